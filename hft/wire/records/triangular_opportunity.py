# Made by scripts/codegen from schemas/opportunities.fbs; do not edit.
# ruff: noqa: E501
"""TriangularOpportunity (HFTR, link opportunities, 408 bytes): A to B on pool 1, B to C on pool 2, C to A on pool 3, more comes out than goes in. Amounts are exact integer quotes."""

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from hft.wire import codec
from hft.wire.enums import Strategy, Venue
from hft.wire.layout import Field, Layout, View


class TriangularOpportunity(NamedTuple):
    """A to B on pool 1, B to C on pool 2, C to A on pool 3, more comes out than goes in. Amounts are exact integer quotes."""

    trace_id: bytes
    """The market-data update that gave rise to it. (16 bytes)"""
    sequence: int
    """Position in the link, from 0, without gaps. (messages)"""
    slot: int
    """Newest slot of the three pools' states. (slot)"""
    strategy: int
    """The trade's shape. (Strategy)"""
    venue_1: int
    """Program of pool 1. (Venue)"""
    venue_2: int
    """Program of pool 2. (Venue)"""
    venue_3: int
    """Program of pool 3. (Venue)"""
    confidence_ppm: int
    """How fresh the data of all pools is, 0 to 1,000,000. (ppm)"""
    base_mint: bytes
    """Mint that goes in and comes out. (32 bytes)"""
    mint_b: bytes
    """Mint between swaps 1 and 2. (32 bytes)"""
    mint_c: bytes
    """Mint between swaps 2 and 3. (32 bytes)"""
    pool_1: bytes
    """Address of the pool of the first swap. (32 bytes)"""
    pool_2: bytes
    """Address of the pool of the second swap. (32 bytes)"""
    pool_3: bytes
    """Address of the pool of the third swap. (32 bytes)"""
    amount_in: int
    """Input of swap 1. (base units of base_mint)"""
    amount_b: int
    """Output of swap 1 and input of swap 2. (base units of mint_b)"""
    amount_c: int
    """Output of swap 2 and input of swap 3. (base units of mint_c)"""
    amount_out: int
    """Output of swap 3. (base units of base_mint)"""
    gross_profit_lamports: int
    """amount_out - amount_in, before network fees and tip. (lamports)"""
    slot_1: int
    """Slot of pool 1's state. (slot)"""
    slot_2: int
    """Slot of pool 2's state. (slot)"""
    slot_3: int
    """Slot of pool 3's state. (slot)"""
    received_ns: int
    """When the feed received the account bytes. (ns, monotonic)"""
    feed_published_ns: int
    """When the feed published the update. (ns, monotonic)"""
    scan_received_ns: int
    """When the scanner received the update. (ns, monotonic)"""
    scan_published_ns: int
    """When the scanner published this message. (ns, monotonic)"""


layout: Final = Layout(
    "TriangularOpportunity",
    b"HFTR",
    "opportunities",
    "A to B on pool 1, B to C on pool 2, C to A on pool 3, more comes out than goes in. Amounts are exact integer quotes.",
    408,
    bytes.fromhex(
        "440000004846545238005401040014001c0024002600270028002c003000500070009000b000d000"
        "f400fc0004010c0114011c0124012c0134013c0144014c01000000003c000000"
    ),
    (
        Field("trace_id", "16s", 72, 16, 1, "", "The market-data update that gave rise to it."),
        Field("sequence", "Q", 88, 8, 8, "messages", "Position in the link, from 0, without gaps."),
        Field("slot", "Q", 96, 8, 8, "slot", "Newest slot of the three pools' states."),
        Field("strategy", "H", 104, 2, 2, "", "The trade's shape.", enum=Strategy),
        Field("venue_1", "B", 106, 1, 1, "", "Program of pool 1.", enum=Venue),
        Field("venue_2", "B", 107, 1, 1, "", "Program of pool 2.", enum=Venue),
        Field("venue_3", "B", 108, 1, 1, "", "Program of pool 3.", enum=Venue),
        Field("confidence_ppm", "I", 112, 4, 4, "ppm", "How fresh the data of all pools is, 0 to 1,000,000."),
        Field("base_mint", "32s", 116, 32, 1, "", "Mint that goes in and comes out."),
        Field("mint_b", "32s", 148, 32, 1, "", "Mint between swaps 1 and 2."),
        Field("mint_c", "32s", 180, 32, 1, "", "Mint between swaps 2 and 3."),
        Field("pool_1", "32s", 212, 32, 1, "", "Address of the pool of the first swap."),
        Field("pool_2", "32s", 244, 32, 1, "", "Address of the pool of the second swap."),
        Field("pool_3", "32s", 276, 32, 1, "", "Address of the pool of the third swap."),
        Field("amount_in", "Q", 312, 8, 8, "base units of base_mint", "Input of swap 1."),
        Field("amount_b", "Q", 320, 8, 8, "base units of mint_b", "Output of swap 1 and input of swap 2."),
        Field("amount_c", "Q", 328, 8, 8, "base units of mint_c", "Output of swap 2 and input of swap 3."),
        Field("amount_out", "Q", 336, 8, 8, "base units of base_mint", "Output of swap 3."),
        Field(
            "gross_profit_lamports",
            "q",
            344,
            8,
            8,
            "lamports",
            "amount_out - amount_in, before network fees and tip.",
        ),
        Field("slot_1", "Q", 352, 8, 8, "slot", "Slot of pool 1's state."),
        Field("slot_2", "Q", 360, 8, 8, "slot", "Slot of pool 2's state."),
        Field("slot_3", "Q", 368, 8, 8, "slot", "Slot of pool 3's state."),
        Field("received_ns", "q", 376, 8, 8, "ns, monotonic", "When the feed received the account bytes."),
        Field("feed_published_ns", "q", 384, 8, 8, "ns, monotonic", "When the feed published the update."),
        Field("scan_received_ns", "q", 392, 8, 8, "ns, monotonic", "When the scanner received the update."),
        Field(
            "scan_published_ns", "q", 400, 8, 8, "ns, monotonic", "When the scanner published this message."
        ),
    ),
)
name: Final = layout.name
identifier: Final = layout.identifier
size: Final = layout.size
Record: Final = TriangularOpportunity

fast: Final = codec.fast(layout, TriangularOpportunity)


class EncodeInto(Protocol):
    """Write one message at the start of ``view``; its size. WireError if a value does not fit its field."""

    def __call__(
        self,
        view: bytearray | memoryview,
        /,
        trace_id: bytes,
        sequence: int,
        slot: int,
        strategy: int,
        venue_1: int,
        venue_2: int,
        venue_3: int,
        confidence_ppm: int,
        base_mint: bytes,
        mint_b: bytes,
        mint_c: bytes,
        pool_1: bytes,
        pool_2: bytes,
        pool_3: bytes,
        amount_in: int,
        amount_b: int,
        amount_c: int,
        amount_out: int,
        gross_profit_lamports: int,
        slot_1: int,
        slot_2: int,
        slot_3: int,
        received_ns: int,
        feed_published_ns: int,
        scan_received_ns: int,
        scan_published_ns: int,
    ) -> int: ...


encode_into: Final[EncodeInto] = fast.encode_into
decode: Final[Callable[[View], TriangularOpportunity]] = fast.decode
verify: Final[Callable[[View], None]] = fast.verify

read_trace_id: Final = codec.bytes_reader(fast, "trace_id")
read_sequence: Final = codec.int_reader(fast, "sequence")
read_slot: Final = codec.int_reader(fast, "slot")
read_strategy: Final = codec.int_reader(fast, "strategy")
read_venue_1: Final = codec.int_reader(fast, "venue_1")
read_venue_2: Final = codec.int_reader(fast, "venue_2")
read_venue_3: Final = codec.int_reader(fast, "venue_3")
read_confidence_ppm: Final = codec.int_reader(fast, "confidence_ppm")
read_base_mint: Final = codec.bytes_reader(fast, "base_mint")
read_mint_b: Final = codec.bytes_reader(fast, "mint_b")
read_mint_c: Final = codec.bytes_reader(fast, "mint_c")
read_pool_1: Final = codec.bytes_reader(fast, "pool_1")
read_pool_2: Final = codec.bytes_reader(fast, "pool_2")
read_pool_3: Final = codec.bytes_reader(fast, "pool_3")
read_amount_in: Final = codec.int_reader(fast, "amount_in")
read_amount_b: Final = codec.int_reader(fast, "amount_b")
read_amount_c: Final = codec.int_reader(fast, "amount_c")
read_amount_out: Final = codec.int_reader(fast, "amount_out")
read_gross_profit_lamports: Final = codec.int_reader(fast, "gross_profit_lamports")
read_slot_1: Final = codec.int_reader(fast, "slot_1")
read_slot_2: Final = codec.int_reader(fast, "slot_2")
read_slot_3: Final = codec.int_reader(fast, "slot_3")
read_received_ns: Final = codec.int_reader(fast, "received_ns")
read_feed_published_ns: Final = codec.int_reader(fast, "feed_published_ns")
read_scan_received_ns: Final = codec.int_reader(fast, "scan_received_ns")
read_scan_published_ns: Final = codec.int_reader(fast, "scan_published_ns")
