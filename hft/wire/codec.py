"""What the generated record modules are built from: the fast codec, its readers, the errors of an encode."""

from collections.abc import Callable
from functools import partial
from operator import index
from typing import Any, Protocol, SupportsIndex, TypeVar, cast

from hft.wire import foreign
from hft.wire._codec import Codec as FastCodec
from hft.wire.errors import WireError, WireErrorCode
from hft.wire.layout import Field, Layout, View

R = TypeVar("R", bound=tuple[Any, ...])


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
    fast: FastCodec[Any]
    encode_into: Callable[..., int]
    decode: Callable[[View], Any]
    verify: Callable[[View], None]


def fast(layout: Layout, record: type[R]) -> FastCodec[R]:
    """The codec of one record: one pass in C for messages of our own layout, ``foreign`` for all others."""

    def decode_foreign(view: View) -> R:
        values: Any = foreign.read(layout, view)
        return tuple.__new__(record, values)

    return FastCodec(
        record,
        layout.template,
        layout.size,
        tuple((f.name, f.code, f.offset, f.bytes, f.text) for f in layout.fields),
        partial(refusal, layout),
        decode_foreign,
        partial(foreign.verify, layout),
        partial(foreign.read_fields, layout),
    )


def int_reader(codec: FastCodec[R], name: str) -> Callable[[View], int]:
    """Reader of one integer field."""
    return codec.reader((name,), True)


def bytes_reader(codec: FastCodec[R], name: str) -> Callable[[View], bytes]:
    """Reader of one fixed byte field."""
    return codec.reader((name,), True)


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
    wanted = f"an integer in {low}..{high}"
    try:
        return "" if low <= index(cast(SupportsIndex, value)) <= high else wanted
    except TypeError:
        return wanted
