"""Records and schemas as JSON for people and other programs: keys in base 58, enums and units by name."""

from typing import Any

from hft.wire.codec import Codec
from hft.wire.layout import Field, View
from hft.wire.registry import entry_of
from hft.wire.texts import base58, text


def field_kind(field: Field) -> str:
    """What a person calls the field's type: ``u64``, ``key32``, ``text64``, an enum's name …"""
    if field.enum:
        return field.enum.__name__
    if field.code[-1] == "s":
        prefix = "text" if field.text else {16: "id", 32: "key", 64: "signature"}.get(field.bytes, "bytes")
        return f"{prefix}{field.bytes}"
    return f"{'i' if field.code.islower() else 'u'}{8 * field.bytes}"


def field_value(field: Field, value: int | bytes) -> int | str:
    """One value as JSON: ids in hexadecimal, keys and signatures in base 58, text without its padding, enums
    by lower-case name (a number that has none stays a number)."""
    if isinstance(value, int):
        if field.enum is None:
            return value
        try:
            return field.enum(value).name.lower()
        except ValueError:
            return value
    if field.text:
        return text(value)
    return value.hex() if field.bytes == 16 else base58(value)


def record_values(codec: Codec, record: tuple[Any, ...]) -> dict[str, int | str]:
    """The record's fields by name, as JSON values without units."""
    return {f.name: field_value(f, v) for f, v in zip(codec.layout.fields, record, strict=True)}


def message_json(view: View) -> dict[str, Any]:
    """Everything that a message says, with units; WireError if it is no valid message of a known type."""
    codec, link, stream, subject = entry_of(view)
    record = codec.decode(view)
    fields = {
        f.name: {"value": field_value(f, v), "type": field_kind(f)} | ({"unit": f.unit} if f.unit else {})
        for f, v in zip(codec.layout.fields, record, strict=True)
    }
    return {
        "record": codec.name,
        "identifier": codec.identifier.decode(),
        "bytes": len(view),
        "link": link,
        "stream": stream,
        "subject": subject(record),
        "fields": fields,
    }


def schema_json(codec: Codec) -> dict[str, Any]:
    """A record type: its size in bytes, its fields with type, unit, place in our own writing, and meaning."""
    layout = codec.layout
    return {
        "record": layout.name,
        "identifier": layout.identifier.decode(),
        "bytes": layout.size,
        "link": layout.link,
        "stream": layout.link.upper(),
        "about": layout.doc,
        "fields": [
            {
                "name": f.name,
                "type": field_kind(f),
                "unit": f.unit,
                "offset": f.offset,
                "bytes": f.bytes,
                "about": f.doc,
            }
            for f in layout.fields
        ],
    }
