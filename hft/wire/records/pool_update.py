# Made by scripts/codegen from schemas/market_data.fbs; do not edit.
# ruff: noqa: E501
"""PoolUpdate (HFPU, link market_data, 208 bytes): Accounts of a pool changed: the newest bytes are in the account table."""

from struct import Struct
from struct import error as StructError
from typing import Final, NamedTuple

from hft.wire import codec, foreign
from hft.wire.enums import PoolDisabledReason, PoolStatus, Venue
from hft.wire.layout import Field, Layout, View


class PoolUpdate(NamedTuple):
    """Accounts of a pool changed: the newest bytes are in the account table."""

    trace_id: bytes
    """Names this market-data update; carried on to the execution. (16 bytes)"""
    sequence: int
    """Position in the link, from 0, without gaps. (messages)"""
    slot: int
    """Solana slot of the newest changed account. (slot)"""
    write_version: int
    """Write version of the newest changed account within its slot. (writes)"""
    venue: int
    """The pool's program. (Venue)"""
    status: int
    """Whether the pool may be quoted. (PoolStatus)"""
    disabled_reason: int
    """Why not, when it is disabled. (PoolDisabledReason)"""
    accounts_changed: int
    """How many of the pool's accounts this update changed. (accounts)"""
    pool: bytes
    """Address of the pool. (32 bytes)"""
    base_mint: bytes
    """The pool's first mint. (32 bytes)"""
    quote_mint: bytes
    """The pool's second mint. (32 bytes)"""
    received_ns: int
    """When the feed received the account bytes. (ns, monotonic)"""
    published_ns: int
    """When the feed published this message. (ns, monotonic)"""


layout: Final = Layout(
    "PoolUpdate",
    b"HFPU",
    "market_data",
    "Accounts of a pool changed: the newest bytes are in the account table.",
    208,
    bytes.fromhex(
        "2c000000484650551e00a400040014001c0024002c002d002e00300032005200720094009c0000000000000024000000"
    ),
    (
        Field(
            "trace_id", "16s", 48, 16, 1, "", "Names this market-data update; carried on to the execution."
        ),
        Field("sequence", "Q", 64, 8, 8, "messages", "Position in the link, from 0, without gaps."),
        Field("slot", "Q", 72, 8, 8, "slot", "Solana slot of the newest changed account."),
        Field(
            "write_version",
            "Q",
            80,
            8,
            8,
            "writes",
            "Write version of the newest changed account within its slot.",
        ),
        Field("venue", "B", 88, 1, 1, "", "The pool's program.", enum=Venue),
        Field("status", "B", 89, 1, 1, "", "Whether the pool may be quoted.", enum=PoolStatus),
        Field("disabled_reason", "B", 90, 1, 1, "", "Why not, when it is disabled.", enum=PoolDisabledReason),
        Field(
            "accounts_changed",
            "H",
            92,
            2,
            2,
            "accounts",
            "How many of the pool's accounts this update changed.",
        ),
        Field("pool", "32s", 94, 32, 1, "", "Address of the pool."),
        Field("base_mint", "32s", 126, 32, 1, "", "The pool's first mint."),
        Field("quote_mint", "32s", 158, 32, 1, "", "The pool's second mint."),
        Field("received_ns", "q", 192, 8, 8, "ns, monotonic", "When the feed received the account bytes."),
        Field("published_ns", "q", 200, 8, 8, "ns, monotonic", "When the feed published this message."),
    ),
)
name: Final = layout.name
identifier: Final = layout.identifier
size: Final = layout.size
Record: Final = PoolUpdate

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
    write_version: int,
    venue: int,
    status: int,
    disabled_reason: int,
    accounts_changed: int,
    pool: bytes,
    base_mint: bytes,
    quote_mint: bytes,
    received_ns: int,
    published_ns: int,
) -> int:
    """Write one message at the start of ``view``; its size. WireError if a value does not fit its field."""
    try:
        if len(trace_id) == 16 and len(pool) == 32 and len(base_mint) == 32 and len(quote_mint) == 32:
            _pack_into(
                view,
                0,
                _TEMPLATE,
                trace_id,
                sequence,
                slot,
                write_version,
                venue,
                status,
                disabled_reason,
                accounts_changed,
                pool,
                base_mint,
                quote_mint,
                received_ns,
                published_ns,
            )
            return 208
    except (StructError, TypeError):
        pass
    raise codec.refusal(
        layout,
        view,
        (
            trace_id,
            sequence,
            slot,
            write_version,
            venue,
            status,
            disabled_reason,
            accounts_changed,
            pool,
            base_mint,
            quote_mint,
            received_ns,
            published_ns,
        ),
    )


def decode(view: View) -> PoolUpdate:
    """The record of a valid message in whatever layout; WireError if it is none."""
    try:
        values = _unpack(view)
        if values[0] == _TEMPLATE:
            return _new(PoolUpdate, values[1:])
    except StructError:
        pass
    return PoolUpdate._make(foreign.read(layout, view))


def verify(view: View) -> None:
    """Check that ``view`` is a message of this type; WireError if it is not."""
    codec.verify(layout, view)


read_trace_id: Final = codec.bytes_reader(layout, "trace_id")
read_sequence: Final = codec.int_reader(layout, "sequence")
read_slot: Final = codec.int_reader(layout, "slot")
read_write_version: Final = codec.int_reader(layout, "write_version")
read_venue: Final = codec.int_reader(layout, "venue")
read_status: Final = codec.int_reader(layout, "status")
read_disabled_reason: Final = codec.int_reader(layout, "disabled_reason")
read_accounts_changed: Final = codec.int_reader(layout, "accounts_changed")
read_pool: Final = codec.bytes_reader(layout, "pool")
read_base_mint: Final = codec.bytes_reader(layout, "base_mint")
read_quote_mint: Final = codec.bytes_reader(layout, "quote_mint")
read_received_ns: Final = codec.int_reader(layout, "received_ns")
read_published_ns: Final = codec.int_reader(layout, "published_ns")
