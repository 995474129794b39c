# Made by scripts/codegen from schemas/market_data.fbs; do not edit.
# ruff: noqa: E501
"""PoolUpdate (HFPU, link market_data, 208 bytes): Accounts of a pool changed: the newest bytes are in the account table."""

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from hft.wire import codec
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

fast: Final = codec.fast(layout, PoolUpdate)


class EncodeInto(Protocol):
    """Write one message at the start of ``view``; its size. WireError if a value does not fit its field."""

    def __call__(
        self,
        view: bytearray | memoryview,
        /,
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
    ) -> int: ...


encode_into: Final[EncodeInto] = fast.encode_into
decode: Final[Callable[[View], PoolUpdate]] = fast.decode
verify: Final[Callable[[View], None]] = fast.verify

read_trace_id: Final = codec.bytes_reader(fast, "trace_id")
read_sequence: Final = codec.int_reader(fast, "sequence")
read_slot: Final = codec.int_reader(fast, "slot")
read_write_version: Final = codec.int_reader(fast, "write_version")
read_venue: Final = codec.int_reader(fast, "venue")
read_status: Final = codec.int_reader(fast, "status")
read_disabled_reason: Final = codec.int_reader(fast, "disabled_reason")
read_accounts_changed: Final = codec.int_reader(fast, "accounts_changed")
read_pool: Final = codec.bytes_reader(fast, "pool")
read_base_mint: Final = codec.bytes_reader(fast, "base_mint")
read_quote_mint: Final = codec.bytes_reader(fast, "quote_mint")
read_received_ns: Final = codec.int_reader(fast, "received_ns")
read_published_ns: Final = codec.int_reader(fast, "published_ns")
