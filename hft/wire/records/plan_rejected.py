# Made by scripts/codegen from schemas/planned.fbs; do not edit.
# ruff: noqa: E501
"""PlanRejected (HFPR, link planned, 304 bytes): An opportunity that will not be traded, and the rule that says so."""

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from hft.wire import codec
from hft.wire.enums import RejectReason, Strategy, ValidationFactor
from hft.wire.layout import Field, Layout, View


class PlanRejected(NamedTuple):
    """An opportunity that will not be traded, and the rule that says so."""

    trace_id: bytes
    """The market-data update that gave rise to it. (16 bytes)"""
    sequence: int
    """Position in the link, from 0, without gaps. (messages)"""
    slot: int
    """Newest slot of the pool states it was judged on. (slot)"""
    opportunity_sequence: int
    """Sequence of the opportunity in its link. (messages)"""
    strategy: int
    """The trade's shape. (Strategy)"""
    factor: int
    """The validation factor that refused. (ValidationFactor)"""
    reason: int
    """The rule that refused. (RejectReason)"""
    base_mint: bytes
    """Mint that goes in and comes out. (32 bytes)"""
    quote_mint: bytes
    """Mint between the two swaps. (32 bytes)"""
    pool_1: bytes
    """Address of the pool of the first swap. (32 bytes)"""
    pool_2: bytes
    """Address of the pool of the second swap. (32 bytes)"""
    amount_in: int
    """Input of swap 1. (base units of base_mint)"""
    observed: int
    """The value that was judged. (of the reason)"""
    limit: int
    """The limit that it broke. (of the reason)"""
    received_ns: int
    """When the feed received the account bytes. (ns, monotonic)"""
    feed_published_ns: int
    """When the feed published the update. (ns, monotonic)"""
    scan_received_ns: int
    """When the scanner received the update. (ns, monotonic)"""
    scan_published_ns: int
    """When the scanner published the opportunity. (ns, monotonic)"""
    plan_received_ns: int
    """When the planner received the opportunity. (ns, monotonic)"""
    plan_published_ns: int
    """When the planner published this message. (ns, monotonic)"""


layout: Final = Layout(
    "PlanRejected",
    b"HFPR",
    "planned",
    "An opportunity that will not be traded, and the rule that says so.",
    304,
    bytes.fromhex(
        "34000000484650522c00fc00040014001c0024002c002e002f003000500070009000b400bc00c400"
        "cc00d400dc00e400ec00f4002c000000"
    ),
    (
        Field("trace_id", "16s", 56, 16, 1, "", "The market-data update that gave rise to it."),
        Field("sequence", "Q", 72, 8, 8, "messages", "Position in the link, from 0, without gaps."),
        Field("slot", "Q", 80, 8, 8, "slot", "Newest slot of the pool states it was judged on."),
        Field("opportunity_sequence", "Q", 88, 8, 8, "messages", "Sequence of the opportunity in its link."),
        Field("strategy", "H", 96, 2, 2, "", "The trade's shape.", enum=Strategy),
        Field("factor", "B", 98, 1, 1, "", "The validation factor that refused.", enum=ValidationFactor),
        Field("reason", "B", 99, 1, 1, "", "The rule that refused.", enum=RejectReason),
        Field("base_mint", "32s", 100, 32, 1, "", "Mint that goes in and comes out."),
        Field("quote_mint", "32s", 132, 32, 1, "", "Mint between the two swaps."),
        Field("pool_1", "32s", 164, 32, 1, "", "Address of the pool of the first swap."),
        Field("pool_2", "32s", 196, 32, 1, "", "Address of the pool of the second swap."),
        Field("amount_in", "Q", 232, 8, 8, "base units of base_mint", "Input of swap 1."),
        Field("observed", "q", 240, 8, 8, "of the reason", "The value that was judged."),
        Field("limit", "q", 248, 8, 8, "of the reason", "The limit that it broke."),
        Field("received_ns", "q", 256, 8, 8, "ns, monotonic", "When the feed received the account bytes."),
        Field("feed_published_ns", "q", 264, 8, 8, "ns, monotonic", "When the feed published the update."),
        Field("scan_received_ns", "q", 272, 8, 8, "ns, monotonic", "When the scanner received the update."),
        Field(
            "scan_published_ns",
            "q",
            280,
            8,
            8,
            "ns, monotonic",
            "When the scanner published the opportunity.",
        ),
        Field(
            "plan_received_ns", "q", 288, 8, 8, "ns, monotonic", "When the planner received the opportunity."
        ),
        Field(
            "plan_published_ns", "q", 296, 8, 8, "ns, monotonic", "When the planner published this message."
        ),
    ),
)
name: Final = layout.name
identifier: Final = layout.identifier
size: Final = layout.size
Record: Final = PlanRejected

fast: Final = codec.fast(layout, PlanRejected)


class EncodeInto(Protocol):
    """Write one message at the start of ``view``; its size. WireError if a value does not fit its field."""

    def __call__(
        self,
        view: bytearray | memoryview,
        /,
        trace_id: bytes,
        sequence: int,
        slot: int,
        opportunity_sequence: int,
        strategy: int,
        factor: int,
        reason: int,
        base_mint: bytes,
        quote_mint: bytes,
        pool_1: bytes,
        pool_2: bytes,
        amount_in: int,
        observed: int,
        limit: int,
        received_ns: int,
        feed_published_ns: int,
        scan_received_ns: int,
        scan_published_ns: int,
        plan_received_ns: int,
        plan_published_ns: int,
    ) -> int: ...


encode_into: Final[EncodeInto] = fast.encode_into
decode: Final[Callable[[View], PlanRejected]] = fast.decode
verify: Final[Callable[[View], None]] = fast.verify

read_trace_id: Final = codec.bytes_reader(fast, "trace_id")
read_sequence: Final = codec.int_reader(fast, "sequence")
read_slot: Final = codec.int_reader(fast, "slot")
read_opportunity_sequence: Final = codec.int_reader(fast, "opportunity_sequence")
read_strategy: Final = codec.int_reader(fast, "strategy")
read_factor: Final = codec.int_reader(fast, "factor")
read_reason: Final = codec.int_reader(fast, "reason")
read_base_mint: Final = codec.bytes_reader(fast, "base_mint")
read_quote_mint: Final = codec.bytes_reader(fast, "quote_mint")
read_pool_1: Final = codec.bytes_reader(fast, "pool_1")
read_pool_2: Final = codec.bytes_reader(fast, "pool_2")
read_amount_in: Final = codec.int_reader(fast, "amount_in")
read_observed: Final = codec.int_reader(fast, "observed")
read_limit: Final = codec.int_reader(fast, "limit")
read_received_ns: Final = codec.int_reader(fast, "received_ns")
read_feed_published_ns: Final = codec.int_reader(fast, "feed_published_ns")
read_scan_received_ns: Final = codec.int_reader(fast, "scan_received_ns")
read_scan_published_ns: Final = codec.int_reader(fast, "scan_published_ns")
read_plan_received_ns: Final = codec.int_reader(fast, "plan_received_ns")
read_plan_published_ns: Final = codec.int_reader(fast, "plan_published_ns")
