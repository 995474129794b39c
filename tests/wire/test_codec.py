"""The C codec refuses to be made of a layout that reaches outside its message."""

import sys
from itertools import repeat
from typing import Any

import pytest
from wire_support import ours, plain_values

from hft import wire
from hft.wire._codec import Codec

HEAD = b"\x08\0\0\0HFXX"


def made(
    size: int = 24, fields: Any = (("a", "Q", 8, 8, False),), head: bytes = HEAD, record: Any = tuple
) -> Any:
    def never(*_: object) -> Any:
        raise AssertionError("not called")

    return Codec(record, head, size, fields, never, never, never, never)


@pytest.mark.parametrize(
    "arguments",
    [
        {"fields": (("a", "Q", 17, 8, False),)},
        {"fields": (("a", "Q", 0, 8, False),)},
        {"fields": (("a", "Q", -8, 8, False),)},
        {"fields": (("a", "Q", 2**40, 8, False),)},
        {"fields": (("a", "Q", 8, 3, False),)},
        {"fields": (("a", "d", 8, 8, False),)},
        {"fields": (("a", "", 8, 8, False),)},
        {"fields": (("a", "17s", 8, 17, False),)},
        {"fields": (("a", "0s", 8, 0, False),)},
        {"fields": (("a", "s", 8, -1, False),)},
        {"fields": (("a", "Q", 8, 8, False),) * 129},
        {"size": 7},
        {"size": 65_537},
        {"head": HEAD * 4},
        {"head": b"short"},
        {"record": int},
        {"record": type("WithAttributes", (tuple,), {})},
    ],
)
def test_a_layout_outside_its_message_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"fit|range|tuple"):
        made(**arguments)


def test_a_layout_inside_its_message_writes_and_reads() -> None:
    codec = made(fields=(("a", "h", 8, 2, False), ("b", "13s", 11, 13, True)))
    cell = bytearray(b"\xff" * 30)
    assert codec.encode_into(cell, -2, b"text") == 24
    assert bytes(cell) == HEAD + b"\xfe\xff\0text" + bytes(9) + b"\xff" * 6
    assert codec.decode(bytes(cell[:24])) == (-2, b"text" + bytes(9))


def test_what_is_no_writable_or_no_plain_buffer_is_a_type_error() -> None:
    values = plain_values(wire.slot_update)
    with pytest.raises((TypeError, BufferError)):
        wire.slot_update.encode_into(ours(wire.slot_update, values), *values)  # type: ignore[arg-type]
    for wrong in (None, "text", 5):
        with pytest.raises(TypeError):
            wire.slot_update.decode(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="one argument"):
        wire.slot_update.read_slot()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="a view and 11 fields"):
        wire.slot_update.encode_into(bytearray(512), *values[:-1])


def test_equal_keys_are_one_object() -> None:
    """So a dictionary of pools hashes each key once."""
    values = plain_values(wire.pool_update)
    first = wire.pool_update.decode(ours(wire.pool_update, values))
    second = wire.pool_update.decode(ours(wire.pool_update, values))
    assert first.pool is second.pool
    assert wire.pool_update.read_pool(ours(wire.pool_update, values)) is first.pool


def test_keys_that_share_a_place_stay_apart() -> None:
    """More keys than the table of keys has places, read over and over."""
    messages = {}
    for number in range(2000):
        pool = number.to_bytes(8, "big") * 4
        messages[pool] = ours(
            wire.pool_update, (*plain_values(wire.pool_update)[:8], pool, *[bytes(32)] * 2, 1, 2)
        )
    for _ in range(2):
        for pool, message in messages.items():
            assert wire.pool_update.decode(message).pool == pool


def test_encoding_into_a_view_allocates_nothing() -> None:
    values = plain_values(wire.execution_result)
    view = memoryview(bytearray(wire.execution_result.size))
    encode_into = wire.execution_result.encode_into
    before = after = 0
    for _ in range(3):
        before = sys.getallocatedblocks()
        for _ in repeat(None, 10_000):
            encode_into(view, *values)
        after = sys.getallocatedblocks()
    assert after - before < 10
