"""Buffers that our own writer did not make: verified in full, then read through the generated accessors.

A verified buffer is safe to read: the root table, its vtable and every field that the schema knows lie inside
the buffer, aligned. Fields that only a newer schema knows are left alone; those an older one lacks are zero.
"""

from functools import cache
from importlib import import_module
from struct import Struct
from typing import Any

from hft.wire.errors import WireError, WireErrorCode
from hft.wire.layout import MAXIMUM_BYTES, Field, Layout, View

_ROOT = Struct("<I4s").unpack_from
_SOFFSET = Struct("<i").unpack_from
_PAIR = Struct("<HH").unpack_from


def verify(layout: Layout, view: View) -> None:
    """Check that ``view`` is a message of this type, in whatever layout; WireError if it is not."""
    vtable, table, offsets = _check_tables(layout, view)
    table_size = _PAIR(view, vtable)[1]
    for field, offset in zip(layout.fields, offsets, strict=False):
        if offset == 0:
            continue
        if offset < 4 or offset + field.bytes > table_size:
            raise WireError(
                WireErrorCode.BAD_FIELD,
                f"{layout.name}.{field.name}: {field.bytes} bytes at {offset}, table has {table_size}",
            )
        if (table + offset) % field.alignment:
            raise WireError(
                WireErrorCode.BAD_FIELD,
                f"{layout.name}.{field.name}: at {table + offset}, not a multiple of {field.alignment}",
            )


def _check_tables(layout: Layout, view: View) -> tuple[int, int, tuple[int, ...]]:
    """Position of vtable and table, and the vtable's entries, once they are known to lie inside ``view``."""
    length = len(view)
    if length < 8:
        raise WireError(WireErrorCode.TRUNCATED, f"{length} bytes hold no root offset and identifier (8)")
    if length > MAXIMUM_BYTES:
        raise WireError(WireErrorCode.OVERSIZE, f"{length} bytes; at most {MAXIMUM_BYTES}")
    table, identifier = _ROOT(view)
    if identifier != layout.identifier:
        raise WireError(
            WireErrorCode.WRONG_IDENTIFIER, f"{identifier!r}; {layout.name} is {layout.identifier!r}"
        )
    if table < 8 or table % 4 or table + 4 > length:
        raise WireError(WireErrorCode.BAD_ROOT, f"root table at {table} of {length} bytes")
    vtable = table - _SOFFSET(view, table)[0]
    if vtable < 8 or vtable % 2 or vtable + 4 > length:
        raise WireError(WireErrorCode.BAD_VTABLE, f"vtable at {vtable} of {length} bytes")
    vtable_size, table_size = _PAIR(view, vtable)
    if vtable_size < 4 or vtable_size % 2 or vtable + vtable_size > length:
        raise WireError(WireErrorCode.BAD_VTABLE, f"vtable of {vtable_size} bytes at {vtable} of {length}")
    if table_size < 4 or table + table_size > length:
        raise WireError(WireErrorCode.BAD_TABLE, f"table of {table_size} bytes at {table} of {length}")
    count = (vtable_size - 4) // 2
    return vtable, table, Struct(f"<{count}H").unpack_from(view, vtable + 4)


def read(layout: Layout, view: View) -> tuple[Any, ...]:
    """All fields in schema order of a message in whatever layout; WireError if it is no valid one."""
    verify(layout, view)
    root = _root(layout, view)
    return tuple(_value(root, view, field) for field in layout.fields)


def read_fields(layout: Layout, view: View, names: tuple[str, ...]) -> tuple[Any, ...]:
    """These fields, in the order named, of a message in whatever layout; WireError if it is no valid one."""
    verify(layout, view)
    root = _root(layout, view)
    return tuple(_value(root, view, layout.fields[layout.position(name)]) for name in names)


def _root(layout: Layout, view: View) -> Any:
    return _accessor(layout.name).GetRootAs(view, 0)


@cache
def _accessor(name: str) -> Any:
    # Imported on first need: the flatbuffers runtime pulls numpy in, which our own messages never use.
    return getattr(import_module(f"hft.wire.generated.{name}"), name)


def _value(root: Any, view: View, field: Field) -> Any:
    value = getattr(root, accessor_name(field.name))()
    if field.code[-1] != "s":
        return value
    if value is None:
        return bytes(field.bytes)
    # The struct's own accessor makes a list a byte at a time: 25 times slower than a slice at its place.
    start = value._tab.Pos
    return bytes(view[start : start + field.bytes])


@cache
def accessor_name(field: str) -> str:
    """Name that flatc gives the accessor of this field."""
    return "".join(part[:1].upper() + part[1:] for part in field.split("_"))
