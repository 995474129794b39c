# Made by scripts/codegen from schemas/market_data.fbs; do not edit.
"""SlotUpdate (HFSU, link market_data, 160 bytes): The chain moved on by a slot."""

from struct import Struct
from struct import error as StructError
from typing import Final, NamedTuple

from hft.wire import codec, foreign
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

_TEMPLATE: Final = layout.template
_message: Final = Struct(layout.format())
_pack_into: Final = _message.pack_into
_unpack: Final = _message.unpack
_new: Final = tuple.__new__


def encode_into(
    view: bytearray | memoryview,
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
) -> int:
    """Write one message at the start of ``view``; its size. WireError if a value does not fit its field."""
    try:
        if len(trace_id) == 16 and len(blockhash) == 32:
            _pack_into(
                view,
                0,
                _TEMPLATE,
                trace_id,
                sequence,
                slot,
                parent_slot,
                status,
                block_height,
                last_valid_block_height,
                blockhash,
                unix_timestamp_s,
                received_ns,
                published_ns,
            )
            return 160
    except (StructError, TypeError):
        pass
    raise codec.refusal(
        layout,
        view,
        (
            trace_id,
            sequence,
            slot,
            parent_slot,
            status,
            block_height,
            last_valid_block_height,
            blockhash,
            unix_timestamp_s,
            received_ns,
            published_ns,
        ),
    )


def decode(view: View) -> SlotUpdate:
    """The record of a valid message in whatever layout; WireError if it is none."""
    try:
        values = _unpack(view)
        if values[0] == _TEMPLATE:
            return _new(SlotUpdate, values[1:])
    except StructError:
        pass
    return SlotUpdate._make(foreign.read(layout, view))


def verify(view: View) -> None:
    """Check that ``view`` is a message of this type; WireError if it is not."""
    codec.verify(layout, view)


read_trace_id: Final = codec.bytes_reader(layout, "trace_id")
read_sequence: Final = codec.int_reader(layout, "sequence")
read_slot: Final = codec.int_reader(layout, "slot")
read_parent_slot: Final = codec.int_reader(layout, "parent_slot")
read_status: Final = codec.int_reader(layout, "status")
read_block_height: Final = codec.int_reader(layout, "block_height")
read_last_valid_block_height: Final = codec.int_reader(layout, "last_valid_block_height")
read_blockhash: Final = codec.bytes_reader(layout, "blockhash")
read_unix_timestamp_s: Final = codec.int_reader(layout, "unix_timestamp_s")
read_received_ns: Final = codec.int_reader(layout, "received_ns")
read_published_ns: Final = codec.int_reader(layout, "published_ns")
