"""Valid messages of every record type, for tests that care for a few of their fields or for none."""

import hashlib

from hft.wire import Codec


def record_bytes(codec: Codec, number: int, **fields: object) -> bytes:
    """A valid message of this type; every field follows from ``number`` unless it is given.

    Keys and ids differ from number to number and from field to field; texts hold what JSON must escape; enums
    go through their members; ``sequence`` is ``number``, other integers are below 100.
    """
    values: list[object] = []
    for field in codec.layout.fields:
        if field.name in fields:
            values.append(fields[field.name])
        elif field.text:
            values.append(f'words {number} \\ " ü'.encode())
        elif field.code.endswith("s"):
            values.append(hashlib.shake_128(f"{field.name}{number}".encode()).digest(field.bytes))
        elif field.enum is not None:
            values.append(list(field.enum)[number % len(field.enum)])
        else:
            values.append(number if field.name == "sequence" else number % 100)
    view = bytearray(codec.size)
    codec.encode_into(view, *values)
    return bytes(view)
