"""A message's subject, read alone, is that of the decoded record; what is not valid has none."""

import pytest
from wire_support import every_record

from hft import wire


def message(codec: wire.Codec, number: int) -> bytes:
    view = bytearray(codec.size)
    values = [
        bytes([number]) * f.bytes if f.code.endswith("s") else number % 100 for f in codec.layout.fields
    ]
    codec.encode_into(view, *values)
    return bytes(view)


@every_record
def test_subjects_read_alone_are_those_of_the_record(codec: wire.Codec) -> None:
    link, subject_of = wire.SUBJECT_READERS[codec.identifier]
    for number in range(20):
        view = message(codec, number)
        assert subject_of(view).decode() == wire.REGISTRY[codec.identifier].subject(codec.decode(view))
        assert link == wire.REGISTRY[codec.identifier].link
    for end in (8, codec.size // 2, codec.size - 1):
        with pytest.raises(wire.WireError):
            subject_of(view[:end])
