# Made by scripts/codegen from schemas/market_data.fbs; do not edit.
"""SlotUpdate (HFSU, link market_data, 160 bytes): The chain moved on by a slot."""

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from hft.wire import codec
from hft.wire.enums import SlotStatus
from hft.wire.layout import Field, Layout, View


class SlotUpdate(NamedTuple):
    """The chain moved on by a slot."""

    trace_id: bytes
    """Names this market-data update. (16 bytes)"""
    sequence: int
    """Position in the link, from 0, without gaps. (messages)"""
    slot: int
    """The slot. (slot)"""
    parent_slot: int
    """The slot that it builds on. (slot)"""
    status: int
    """How far it has come. (SlotStatus)"""
    block_height: int
    """Block height at the slot. (blocks)"""
    last_valid_block_height: int
    """Highest block height at which a transaction with this blockhash can land. (blocks)"""
    blockhash: bytes
    """Newest blockhash. (32 bytes)"""
    unix_timestamp_s: int
    """The chain's clock. (s, unix)"""
    received_ns: int
    """When the feed received it. (ns, monotonic)"""
    published_ns: int
    """When the feed published this message. (ns, monotonic)"""


layout: Final = Layout(
    "SlotUpdate",
    b"HFSU",
    "market_data",
    "The chain moved on by a slot.",
    160,
    bytes.fromhex("24000000484653551a007c00040014001c0024002c0034003c00440064006c00740000001c000000"),
    (
        Field("trace_id", "16s", 40, 16, 1, "", "Names this market-data update."),
        Field("sequence", "Q", 56, 8, 8, "messages", "Position in the link, from 0, without gaps."),
        Field("slot", "Q", 64, 8, 8, "slot", "The slot."),
        Field("parent_slot", "Q", 72, 8, 8, "slot", "The slot that it builds on."),
        Field("status", "B", 80, 1, 1, "", "How far it has come.", enum=SlotStatus),
        Field("block_height", "Q", 88, 8, 8, "blocks", "Block height at the slot."),
        Field(
            "last_valid_block_height",
            "Q",
            96,
            8,
            8,
            "blocks",
            "Highest block height at which a transaction with this blockhash can land.",
        ),
        Field("blockhash", "32s", 104, 32, 1, "", "Newest blockhash."),
        Field("unix_timestamp_s", "q", 136, 8, 8, "s, unix", "The chain's clock."),
        Field("received_ns", "q", 144, 8, 8, "ns, monotonic", "When the feed received it."),
        Field("published_ns", "q", 152, 8, 8, "ns, monotonic", "When the feed published this message."),
    ),
)
name: Final = layout.name
identifier: Final = layout.identifier
size: Final = layout.size
Record: Final = SlotUpdate

fast: Final = codec.fast(layout, SlotUpdate)


class EncodeInto(Protocol):
    """Write one message at the start of ``view``; its size. WireError if a value does not fit its field."""

    def __call__(
        self,
        view: bytearray | memoryview,
        /,
        trace_id: bytes,
        sequence: int,
        slot: int,
        parent_slot: int,
        status: int,
        block_height: int,
        last_valid_block_height: int,
        blockhash: bytes,
        unix_timestamp_s: int,
        received_ns: int,
        published_ns: int,
    ) -> int: ...


encode_into: Final[EncodeInto] = fast.encode_into
decode: Final[Callable[[View], SlotUpdate]] = fast.decode
verify: Final[Callable[[View], None]] = fast.verify

read_trace_id: Final = codec.bytes_reader(fast, "trace_id")
read_sequence: Final = codec.int_reader(fast, "sequence")
read_slot: Final = codec.int_reader(fast, "slot")
read_parent_slot: Final = codec.int_reader(fast, "parent_slot")
read_status: Final = codec.int_reader(fast, "status")
read_block_height: Final = codec.int_reader(fast, "block_height")
read_last_valid_block_height: Final = codec.int_reader(fast, "last_valid_block_height")
read_blockhash: Final = codec.bytes_reader(fast, "blockhash")
read_unix_timestamp_s: Final = codec.int_reader(fast, "unix_timestamp_s")
read_received_ns: Final = codec.int_reader(fast, "received_ns")
read_published_ns: Final = codec.int_reader(fast, "published_ns")
