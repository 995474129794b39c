# Made by scripts/codegen from schemas/planned.fbs; do not edit.
# ruff: noqa: E501
"""ExecutionPlan (HFEP, link planned, 416 bytes): One atomic transaction to be signed and submitted before it expires."""

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from hft.wire import codec
from hft.wire.enums import Method, Strategy, Venue
from hft.wire.layout import Field, Layout, View


class ExecutionPlan(NamedTuple):
    """One atomic transaction to be signed and submitted before it expires."""

    trace_id: bytes
    """The market-data update that gave rise to it. (16 bytes)"""
    plan_id: bytes
    """Names this plan and its execution. (16 bytes)"""
    sequence: int
    """Position in the link, from 0, without gaps. (messages)"""
    slot: int
    """Newest slot of the pool states it was quoted on. (slot)"""
    opportunity_sequence: int
    """Sequence of the opportunity in its link. (messages)"""
    strategy: int
    """The trade's shape. (Strategy)"""
    method: int
    """How it is to be submitted. (Method)"""
    venue_1: int
    """Program of pool 1. (Venue)"""
    venue_2: int
    """Program of pool 2. (Venue)"""
    risk_score_ppm: int
    """Four-factor risk score, 0 to 1,000,000. (ppm)"""
    confidence_ppm: int
    """How fresh the data of both pools is, 0 to 1,000,000. (ppm)"""
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
    amount_mid: int
    """Minimum output of swap 1 and input of swap 2. (base units of quote_mint)"""
    minimum_out: int
    """Minimum output of swap 2; less reverts the whole transaction. (base units of base_mint)"""
    expected_out: int
    """Output of swap 2 as quoted. (base units of base_mint)"""
    expected_profit_lamports: int
    """Expected profit, net of all costs. (lamports)"""
    base_fee_lamports: int
    """Signature fee. (lamports)"""
    priority_fee_lamports: int
    """Compute-unit limit times price, rounded up. (lamports)"""
    tip_lamports: int
    """Tip for the block engine, paid only if the transaction succeeds. (lamports)"""
    compute_unit_limit: int
    """Compute units that the transaction may use. (compute units)"""
    compute_unit_price_micro_lamports: int
    """Price of a compute unit. (micro-lamports per compute unit)"""
    expires_ns: int
    """Not to be submitted after this moment. (ns, monotonic)"""
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
    "ExecutionPlan",
    b"HFEP",
    "planned",
    "One atomic transaction to be signed and submitted before it expires.",
    416,
    bytes.fromhex(
        "4c00000048464550440054010400140024002c0034003c003e003f004000440048004c006c008c00"
        "ac00cc00d400dc00e400ec00f400fc0004010c0114011c0124012c0134013c0144014c0144000000"
    ),
    (
        Field("trace_id", "16s", 80, 16, 1, "", "The market-data update that gave rise to it."),
        Field("plan_id", "16s", 96, 16, 1, "", "Names this plan and its execution."),
        Field("sequence", "Q", 112, 8, 8, "messages", "Position in the link, from 0, without gaps."),
        Field("slot", "Q", 120, 8, 8, "slot", "Newest slot of the pool states it was quoted on."),
        Field("opportunity_sequence", "Q", 128, 8, 8, "messages", "Sequence of the opportunity in its link."),
        Field("strategy", "H", 136, 2, 2, "", "The trade's shape.", enum=Strategy),
        Field("method", "B", 138, 1, 1, "", "How it is to be submitted.", enum=Method),
        Field("venue_1", "B", 139, 1, 1, "", "Program of pool 1.", enum=Venue),
        Field("venue_2", "B", 140, 1, 1, "", "Program of pool 2.", enum=Venue),
        Field("risk_score_ppm", "I", 144, 4, 4, "ppm", "Four-factor risk score, 0 to 1,000,000."),
        Field(
            "confidence_ppm", "I", 148, 4, 4, "ppm", "How fresh the data of both pools is, 0 to 1,000,000."
        ),
        Field("base_mint", "32s", 152, 32, 1, "", "Mint that goes in and comes out."),
        Field("quote_mint", "32s", 184, 32, 1, "", "Mint between the two swaps."),
        Field("pool_1", "32s", 216, 32, 1, "", "Address of the pool of the first swap."),
        Field("pool_2", "32s", 248, 32, 1, "", "Address of the pool of the second swap."),
        Field("amount_in", "Q", 280, 8, 8, "base units of base_mint", "Input of swap 1."),
        Field(
            "amount_mid",
            "Q",
            288,
            8,
            8,
            "base units of quote_mint",
            "Minimum output of swap 1 and input of swap 2.",
        ),
        Field(
            "minimum_out",
            "Q",
            296,
            8,
            8,
            "base units of base_mint",
            "Minimum output of swap 2; less reverts the whole transaction.",
        ),
        Field("expected_out", "Q", 304, 8, 8, "base units of base_mint", "Output of swap 2 as quoted."),
        Field("expected_profit_lamports", "q", 312, 8, 8, "lamports", "Expected profit, net of all costs."),
        Field("base_fee_lamports", "Q", 320, 8, 8, "lamports", "Signature fee."),
        Field(
            "priority_fee_lamports", "Q", 328, 8, 8, "lamports", "Compute-unit limit times price, rounded up."
        ),
        Field(
            "tip_lamports",
            "Q",
            336,
            8,
            8,
            "lamports",
            "Tip for the block engine, paid only if the transaction succeeds.",
        ),
        Field(
            "compute_unit_limit",
            "I",
            344,
            4,
            4,
            "compute units",
            "Compute units that the transaction may use.",
        ),
        Field(
            "compute_unit_price_micro_lamports",
            "Q",
            352,
            8,
            8,
            "micro-lamports per compute unit",
            "Price of a compute unit.",
        ),
        Field("expires_ns", "q", 360, 8, 8, "ns, monotonic", "Not to be submitted after this moment."),
        Field("received_ns", "q", 368, 8, 8, "ns, monotonic", "When the feed received the account bytes."),
        Field("feed_published_ns", "q", 376, 8, 8, "ns, monotonic", "When the feed published the update."),
        Field("scan_received_ns", "q", 384, 8, 8, "ns, monotonic", "When the scanner received the update."),
        Field(
            "scan_published_ns",
            "q",
            392,
            8,
            8,
            "ns, monotonic",
            "When the scanner published the opportunity.",
        ),
        Field(
            "plan_received_ns", "q", 400, 8, 8, "ns, monotonic", "When the planner received the opportunity."
        ),
        Field(
            "plan_published_ns", "q", 408, 8, 8, "ns, monotonic", "When the planner published this message."
        ),
    ),
)
name: Final = layout.name
identifier: Final = layout.identifier
size: Final = layout.size
Record: Final = ExecutionPlan

fast: Final = codec.fast(layout, ExecutionPlan)


class EncodeInto(Protocol):
    """Write one message at the start of ``view``; its size. WireError if a value does not fit its field."""

    def __call__(
        self,
        view: bytearray | memoryview,
        /,
        trace_id: bytes,
        plan_id: bytes,
        sequence: int,
        slot: int,
        opportunity_sequence: int,
        strategy: int,
        method: int,
        venue_1: int,
        venue_2: int,
        risk_score_ppm: int,
        confidence_ppm: int,
        base_mint: bytes,
        quote_mint: bytes,
        pool_1: bytes,
        pool_2: bytes,
        amount_in: int,
        amount_mid: int,
        minimum_out: int,
        expected_out: int,
        expected_profit_lamports: int,
        base_fee_lamports: int,
        priority_fee_lamports: int,
        tip_lamports: int,
        compute_unit_limit: int,
        compute_unit_price_micro_lamports: int,
        expires_ns: int,
        received_ns: int,
        feed_published_ns: int,
        scan_received_ns: int,
        scan_published_ns: int,
        plan_received_ns: int,
        plan_published_ns: int,
    ) -> int: ...


encode_into: Final[EncodeInto] = fast.encode_into
decode: Final[Callable[[View], ExecutionPlan]] = fast.decode
verify: Final[Callable[[View], None]] = fast.verify

read_trace_id: Final = codec.bytes_reader(fast, "trace_id")
read_plan_id: Final = codec.bytes_reader(fast, "plan_id")
read_sequence: Final = codec.int_reader(fast, "sequence")
read_slot: Final = codec.int_reader(fast, "slot")
read_opportunity_sequence: Final = codec.int_reader(fast, "opportunity_sequence")
read_strategy: Final = codec.int_reader(fast, "strategy")
read_method: Final = codec.int_reader(fast, "method")
read_venue_1: Final = codec.int_reader(fast, "venue_1")
read_venue_2: Final = codec.int_reader(fast, "venue_2")
read_risk_score_ppm: Final = codec.int_reader(fast, "risk_score_ppm")
read_confidence_ppm: Final = codec.int_reader(fast, "confidence_ppm")
read_base_mint: Final = codec.bytes_reader(fast, "base_mint")
read_quote_mint: Final = codec.bytes_reader(fast, "quote_mint")
read_pool_1: Final = codec.bytes_reader(fast, "pool_1")
read_pool_2: Final = codec.bytes_reader(fast, "pool_2")
read_amount_in: Final = codec.int_reader(fast, "amount_in")
read_amount_mid: Final = codec.int_reader(fast, "amount_mid")
read_minimum_out: Final = codec.int_reader(fast, "minimum_out")
read_expected_out: Final = codec.int_reader(fast, "expected_out")
read_expected_profit_lamports: Final = codec.int_reader(fast, "expected_profit_lamports")
read_base_fee_lamports: Final = codec.int_reader(fast, "base_fee_lamports")
read_priority_fee_lamports: Final = codec.int_reader(fast, "priority_fee_lamports")
read_tip_lamports: Final = codec.int_reader(fast, "tip_lamports")
read_compute_unit_limit: Final = codec.int_reader(fast, "compute_unit_limit")
read_compute_unit_price_micro_lamports: Final = codec.int_reader(fast, "compute_unit_price_micro_lamports")
read_expires_ns: Final = codec.int_reader(fast, "expires_ns")
read_received_ns: Final = codec.int_reader(fast, "received_ns")
read_feed_published_ns: Final = codec.int_reader(fast, "feed_published_ns")
read_scan_received_ns: Final = codec.int_reader(fast, "scan_received_ns")
read_scan_published_ns: Final = codec.int_reader(fast, "scan_published_ns")
read_plan_received_ns: Final = codec.int_reader(fast, "plan_received_ns")
read_plan_published_ns: Final = codec.int_reader(fast, "plan_published_ns")
