"""What the generated record modules are built from: field readers, and the errors of a refused encode."""

from collections.abc import Callable
from struct import Struct
from struct import error as StructError
from typing import Any, Protocol

from hft.wire import foreign
from hft.wire.errors import WireError, WireErrorCode
from hft.wire.layout import Field, Layout, View


class Codec(Protocol):
    """What each record module offers.

    ``encode_into(view, *fields)`` writes one message at the start of a writable view, its fields in schema
    order, and returns ``size``. Byte fields are of exactly their length, text may be shorter. WireError
    ``no_room`` or ``bad_value`` otherwise; the view's content is then undefined.

    ``decode(view)`` gives the ``Record`` of a valid message, else WireError; enum fields are plain ints.
    ``verify(view)`` only checks. ``read_<field>(view)`` gives one field, :func:`hft.wire.reader` several.
    """

    name: str
    identifier: bytes
    size: int
    layout: Layout
    Record: type[Any]
    encode_into: Callable[..., int]

    def decode(self, view: View) -> Any: ...

    def verify(self, view: View) -> None: ...


def int_reader(layout: Layout, name: str) -> Callable[[View], int]:
    """Reader of one integer field."""
    return _reader(layout, name)


def bytes_reader(layout: Layout, name: str) -> Callable[[View], bytes]:
    """Reader of one fixed byte field."""
    return _reader(layout, name)


def _reader(layout: Layout, name: str) -> Callable[[View], Any]:
    unpack = Struct(layout.format(name)).unpack
    template = layout.template

    def read(view: View) -> Any:
        try:
            head, value = unpack(view)
            if head == template:
                return value
        except StructError:
            pass
        return foreign.read_fields(layout, view, (name,))[0]

    return read


def fields_reader(layout: Layout, names: tuple[str, ...]) -> Callable[[View], tuple[Any, ...]]:
    """Reader of several fields at once, in the order of ``names``, which must be the schema's."""
    positions = [layout.position(name) for name in names]
    if not names or positions != sorted(set(positions)):
        raise ValueError(
            f"{layout.name}: {', '.join(names) or 'no fields'}: name fields once, in schema order"
        )
    unpack = Struct(layout.format(*names)).unpack
    template = layout.template

    def read(view: View) -> tuple[Any, ...]:
        try:
            values = unpack(view)
            if values[0] == template:
                return values[1:]
        except StructError:
            pass
        return foreign.read_fields(layout, view, names)

    return read


def verify(layout: Layout, view: View) -> None:
    """Check that ``view`` is a message of this type; WireError if it is not."""
    # Our own template, with all of its fields behind it, was checked when it was made.
    if len(view) != layout.size or bytes(view[: len(layout.template)]) != layout.template:
        foreign.verify(layout, view)


def refusal(layout: Layout, view: bytearray | memoryview, values: tuple[object, ...]) -> WireError:
    """The error that says why these values could not be encoded into ``view``."""
    for field, value in zip(layout.fields, values, strict=True):
        wanted = _misfit(field, value)
        if wanted:
            shown = repr(value) if isinstance(value, int) else _shown(value)
            return WireError(
                WireErrorCode.BAD_VALUE, f"{layout.name}.{field.name}: {shown}; must be {wanted}"
            )
    return WireError(
        WireErrorCode.NO_ROOM, f"{layout.name} takes {layout.size} bytes, the view has {len(view)}"
    )


def _shown(value: object) -> str:
    return f"{len(value)} bytes" if isinstance(value, bytes | bytearray) else f"a {type(value).__name__}"


def _misfit(field: Field, value: object) -> str:
    """What the field wants, if the value is not that, else ``""``."""
    if field.code[-1] == "s":
        if isinstance(value, bytes | bytearray) and (
            len(value) == field.bytes or (field.text and len(value) < field.bytes)
        ):
            return ""
        return f"{'at most ' if field.text else ''}{field.bytes} bytes"
    bits = 8 * field.bytes
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if field.code.islower() else (0, (1 << bits) - 1)
    return "" if isinstance(value, int) and low <= value <= high else f"an integer in {low}..{high}"
