# Made by scripts/codegen from schemas/executed.fbs; do not edit.
# ruff: noqa: E501
"""ExecutionResult (HFER, link executed, 616 bytes): The end of one plan, with the balances that prove it."""

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from hft.wire import codec
from hft.wire.enums import EndState, ExecutionReason, Method, Strategy, Venue
from hft.wire.layout import Field, Layout, View


class ExecutionResult(NamedTuple):
    """The end of one plan, with the balances that prove it."""

    trace_id: bytes
    """The market-data update that gave rise to it. (16 bytes)"""
    plan_id: bytes
    """The plan that was executed. (16 bytes)"""
    sequence: int
    """Position in the link, from 0, without gaps. (messages)"""
    slot: int
    """Slot that the transaction landed in; 0 if it did not. (slot)"""
    strategy: int
    """The trade's shape. (Strategy)"""
    end_state: int
    """How it ended. (EndState)"""
    reason: int
    """Why it did not succeed. (ExecutionReason)"""
    error_code: int
    """The program's custom error, when reason is program_error or minimum_out. (program error)"""
    error_index: int
    """Index of the instruction that failed. (instructions)"""
    method: int
    """How it was submitted. (Method)"""
    venue_1: int
    """Program of pool 1. (Venue)"""
    venue_2: int
    """Program of pool 2. (Venue)"""
    signature: bytes
    """The transaction's id; zero if it was never signed. (64 bytes)"""
    base_mint: bytes
    """Mint that went in and came out. (32 bytes)"""
    quote_mint: bytes
    """Mint between the two swaps. (32 bytes)"""
    pool_1: bytes
    """Address of the pool of the first swap. (32 bytes)"""
    pool_2: bytes
    """Address of the pool of the second swap. (32 bytes)"""
    amount_in: int
    """Input of swap 1. (base units of base_mint)"""
    expected_profit_lamports: int
    """Profit that the plan expected, net of all costs. (lamports)"""
    actual_profit_lamports: int
    """Change of the wallet's worth in lamports: fees alone when it landed and failed, 0 when it did not land. (lamports)"""
    base_fee_lamports: int
    """Signature fee that was paid. (lamports)"""
    priority_fee_lamports: int
    """Priority fee that was paid. (lamports)"""
    tip_lamports: int
    """Tip that was paid. (lamports)"""
    rent_lamports: int
    """Rent that stayed behind in accounts the transaction made; negative if it came back. (lamports)"""
    compute_units: int
    """Compute units that the transaction used. (compute units)"""
    lamports_before: int
    """Wallet's native balance before. (lamports)"""
    lamports_after: int
    """Wallet's native balance after. (lamports)"""
    base_token_before: int
    """Wallet's base_mint balance before. (base units of base_mint)"""
    base_token_after: int
    """Wallet's base_mint balance after. (base units of base_mint)"""
    quote_token_before: int
    """Wallet's quote_mint balance before. (base units of quote_mint)"""
    quote_token_after: int
    """Wallet's quote_mint balance after. (base units of quote_mint)"""
    detail: bytes
    """What a person should know of the error. (UTF-8, at most 64 bytes)"""
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
    """When the planner published the plan. (ns, monotonic)"""
    exec_received_ns: int
    """When the executor received the plan. (ns, monotonic)"""
    signed_ns: int
    """When the transaction was signed; 0 if it was not. (ns, monotonic)"""
    submitted_ns: int
    """When its bytes were handed to the socket; 0 if they were not. (ns, monotonic)"""
    settled_ns: int
    """When its end was known. (ns, monotonic)"""


layout: Final = Layout(
    "ExecutionResult",
    b"HFER",
    "executed",
    "The end of one plan, with the balances that prove it.",
    616,
    bytes.fromhex(
        "6400000048464552580004020400140024002c0034003600370038003c003d003e003f0040008000"
        "a000c000e00004010c0114011c0124012c0134013c0144014c0154015c0164016c017401b401bc01"
        "c401cc01d401dc01e401ec01f401fc01000000005c000000"
    ),
    (
        Field("trace_id", "16s", 104, 16, 1, "", "The market-data update that gave rise to it."),
        Field("plan_id", "16s", 120, 16, 1, "", "The plan that was executed."),
        Field("sequence", "Q", 136, 8, 8, "messages", "Position in the link, from 0, without gaps."),
        Field("slot", "Q", 144, 8, 8, "slot", "Slot that the transaction landed in; 0 if it did not."),
        Field("strategy", "H", 152, 2, 2, "", "The trade's shape.", enum=Strategy),
        Field("end_state", "B", 154, 1, 1, "", "How it ended.", enum=EndState),
        Field("reason", "B", 155, 1, 1, "", "Why it did not succeed.", enum=ExecutionReason),
        Field(
            "error_code",
            "I",
            156,
            4,
            4,
            "program error",
            "The program's custom error, when reason is program_error or minimum_out.",
        ),
        Field("error_index", "B", 160, 1, 1, "instructions", "Index of the instruction that failed."),
        Field("method", "B", 161, 1, 1, "", "How it was submitted.", enum=Method),
        Field("venue_1", "B", 162, 1, 1, "", "Program of pool 1.", enum=Venue),
        Field("venue_2", "B", 163, 1, 1, "", "Program of pool 2.", enum=Venue),
        Field("signature", "64s", 164, 64, 1, "", "The transaction's id; zero if it was never signed."),
        Field("base_mint", "32s", 228, 32, 1, "", "Mint that went in and came out."),
        Field("quote_mint", "32s", 260, 32, 1, "", "Mint between the two swaps."),
        Field("pool_1", "32s", 292, 32, 1, "", "Address of the pool of the first swap."),
        Field("pool_2", "32s", 324, 32, 1, "", "Address of the pool of the second swap."),
        Field("amount_in", "Q", 360, 8, 8, "base units of base_mint", "Input of swap 1."),
        Field(
            "expected_profit_lamports",
            "q",
            368,
            8,
            8,
            "lamports",
            "Profit that the plan expected, net of all costs.",
        ),
        Field(
            "actual_profit_lamports",
            "q",
            376,
            8,
            8,
            "lamports",
            "Change of the wallet's worth in lamports: fees alone when it landed and failed, 0 when it did not land.",
        ),
        Field("base_fee_lamports", "Q", 384, 8, 8, "lamports", "Signature fee that was paid."),
        Field("priority_fee_lamports", "Q", 392, 8, 8, "lamports", "Priority fee that was paid."),
        Field("tip_lamports", "Q", 400, 8, 8, "lamports", "Tip that was paid."),
        Field(
            "rent_lamports",
            "q",
            408,
            8,
            8,
            "lamports",
            "Rent that stayed behind in accounts the transaction made; negative if it came back.",
        ),
        Field("compute_units", "Q", 416, 8, 8, "compute units", "Compute units that the transaction used."),
        Field("lamports_before", "Q", 424, 8, 8, "lamports", "Wallet's native balance before."),
        Field("lamports_after", "Q", 432, 8, 8, "lamports", "Wallet's native balance after."),
        Field(
            "base_token_before",
            "Q",
            440,
            8,
            8,
            "base units of base_mint",
            "Wallet's base_mint balance before.",
        ),
        Field(
            "base_token_after", "Q", 448, 8, 8, "base units of base_mint", "Wallet's base_mint balance after."
        ),
        Field(
            "quote_token_before",
            "Q",
            456,
            8,
            8,
            "base units of quote_mint",
            "Wallet's quote_mint balance before.",
        ),
        Field(
            "quote_token_after",
            "Q",
            464,
            8,
            8,
            "base units of quote_mint",
            "Wallet's quote_mint balance after.",
        ),
        Field("detail", "64s", 472, 64, 1, "", "What a person should know of the error.", text=True),
        Field("received_ns", "q", 536, 8, 8, "ns, monotonic", "When the feed received the account bytes."),
        Field("feed_published_ns", "q", 544, 8, 8, "ns, monotonic", "When the feed published the update."),
        Field("scan_received_ns", "q", 552, 8, 8, "ns, monotonic", "When the scanner received the update."),
        Field(
            "scan_published_ns",
            "q",
            560,
            8,
            8,
            "ns, monotonic",
            "When the scanner published the opportunity.",
        ),
        Field(
            "plan_received_ns", "q", 568, 8, 8, "ns, monotonic", "When the planner received the opportunity."
        ),
        Field("plan_published_ns", "q", 576, 8, 8, "ns, monotonic", "When the planner published the plan."),
        Field("exec_received_ns", "q", 584, 8, 8, "ns, monotonic", "When the executor received the plan."),
        Field(
            "signed_ns", "q", 592, 8, 8, "ns, monotonic", "When the transaction was signed; 0 if it was not."
        ),
        Field(
            "submitted_ns",
            "q",
            600,
            8,
            8,
            "ns, monotonic",
            "When its bytes were handed to the socket; 0 if they were not.",
        ),
        Field("settled_ns", "q", 608, 8, 8, "ns, monotonic", "When its end was known."),
    ),
)
name: Final = layout.name
identifier: Final = layout.identifier
size: Final = layout.size
Record: Final = ExecutionResult

fast: Final = codec.fast(layout, ExecutionResult)


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
        strategy: int,
        end_state: int,
        reason: int,
        error_code: int,
        error_index: int,
        method: int,
        venue_1: int,
        venue_2: int,
        signature: bytes,
        base_mint: bytes,
        quote_mint: bytes,
        pool_1: bytes,
        pool_2: bytes,
        amount_in: int,
        expected_profit_lamports: int,
        actual_profit_lamports: int,
        base_fee_lamports: int,
        priority_fee_lamports: int,
        tip_lamports: int,
        rent_lamports: int,
        compute_units: int,
        lamports_before: int,
        lamports_after: int,
        base_token_before: int,
        base_token_after: int,
        quote_token_before: int,
        quote_token_after: int,
        detail: bytes,
        received_ns: int,
        feed_published_ns: int,
        scan_received_ns: int,
        scan_published_ns: int,
        plan_received_ns: int,
        plan_published_ns: int,
        exec_received_ns: int,
        signed_ns: int,
        submitted_ns: int,
        settled_ns: int,
    ) -> int: ...


encode_into: Final[EncodeInto] = fast.encode_into
decode: Final[Callable[[View], ExecutionResult]] = fast.decode
verify: Final[Callable[[View], None]] = fast.verify

read_trace_id: Final = codec.bytes_reader(fast, "trace_id")
read_plan_id: Final = codec.bytes_reader(fast, "plan_id")
read_sequence: Final = codec.int_reader(fast, "sequence")
read_slot: Final = codec.int_reader(fast, "slot")
read_strategy: Final = codec.int_reader(fast, "strategy")
read_end_state: Final = codec.int_reader(fast, "end_state")
read_reason: Final = codec.int_reader(fast, "reason")
read_error_code: Final = codec.int_reader(fast, "error_code")
read_error_index: Final = codec.int_reader(fast, "error_index")
read_method: Final = codec.int_reader(fast, "method")
read_venue_1: Final = codec.int_reader(fast, "venue_1")
read_venue_2: Final = codec.int_reader(fast, "venue_2")
read_signature: Final = codec.bytes_reader(fast, "signature")
read_base_mint: Final = codec.bytes_reader(fast, "base_mint")
read_quote_mint: Final = codec.bytes_reader(fast, "quote_mint")
read_pool_1: Final = codec.bytes_reader(fast, "pool_1")
read_pool_2: Final = codec.bytes_reader(fast, "pool_2")
read_amount_in: Final = codec.int_reader(fast, "amount_in")
read_expected_profit_lamports: Final = codec.int_reader(fast, "expected_profit_lamports")
read_actual_profit_lamports: Final = codec.int_reader(fast, "actual_profit_lamports")
read_base_fee_lamports: Final = codec.int_reader(fast, "base_fee_lamports")
read_priority_fee_lamports: Final = codec.int_reader(fast, "priority_fee_lamports")
read_tip_lamports: Final = codec.int_reader(fast, "tip_lamports")
read_rent_lamports: Final = codec.int_reader(fast, "rent_lamports")
read_compute_units: Final = codec.int_reader(fast, "compute_units")
read_lamports_before: Final = codec.int_reader(fast, "lamports_before")
read_lamports_after: Final = codec.int_reader(fast, "lamports_after")
read_base_token_before: Final = codec.int_reader(fast, "base_token_before")
read_base_token_after: Final = codec.int_reader(fast, "base_token_after")
read_quote_token_before: Final = codec.int_reader(fast, "quote_token_before")
read_quote_token_after: Final = codec.int_reader(fast, "quote_token_after")
read_detail: Final = codec.bytes_reader(fast, "detail")
read_received_ns: Final = codec.int_reader(fast, "received_ns")
read_feed_published_ns: Final = codec.int_reader(fast, "feed_published_ns")
read_scan_received_ns: Final = codec.int_reader(fast, "scan_received_ns")
read_scan_published_ns: Final = codec.int_reader(fast, "scan_published_ns")
read_plan_received_ns: Final = codec.int_reader(fast, "plan_received_ns")
read_plan_published_ns: Final = codec.int_reader(fast, "plan_published_ns")
read_exec_received_ns: Final = codec.int_reader(fast, "exec_received_ns")
read_signed_ns: Final = codec.int_reader(fast, "signed_ns")
read_submitted_ns: Final = codec.int_reader(fast, "submitted_ns")
read_settled_ns: Final = codec.int_reader(fast, "settled_ns")
