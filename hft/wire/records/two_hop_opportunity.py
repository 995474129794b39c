# Made by scripts/codegen from schemas/opportunities.fbs; do not edit.
# ruff: noqa: E501
"""TwoHopOpportunity (HFTO, link opportunities, 312 bytes): A to B on pool 1, B to A on pool 2, more comes out than goes in. Amounts are exact integer quotes, fees of both swaps inside."""

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from hft.wire import codec
from hft.wire.enums import Strategy, Venue
from hft.wire.layout import Field, Layout, View


class TwoHopOpportunity(NamedTuple):
    """A to B on pool 1, B to A on pool 2, more comes out than goes in. Amounts are exact integer quotes, fees of both swaps inside."""

    trace_id: bytes
    """The market-data update that gave rise to it. (16 bytes)"""
    sequence: int
    """Position in the link, from 0, without gaps. (messages)"""
    slot: int
    """Newest slot of the two pools' states. (slot)"""
    strategy: int
    """The trade's shape. (Strategy)"""
    venue_1: int
    """Program of pool 1. (Venue)"""
    venue_2: int
    """Program of pool 2. (Venue)"""
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
    """Output of swap 1 and input of swap 2. (base units of quote_mint)"""
    amount_out: int
    """Output of swap 2. (base units of base_mint)"""
    gross_profit_lamports: int
    """amount_out - amount_in, before network fees and tip. (lamports)"""
    slot_1: int
    """Slot of pool 1's state. (slot)"""
    slot_2: int
    """Slot of pool 2's state. (slot)"""
    received_ns: int
    """When the feed received the account bytes. (ns, monotonic)"""
    feed_published_ns: int
    """When the feed published the update. (ns, monotonic)"""
    scan_received_ns: int
    """When the scanner received the update. (ns, monotonic)"""
    scan_published_ns: int
    """When the scanner published this message. (ns, monotonic)"""


layout: Final = Layout(
    "TwoHopOpportunity",
    b"HFTO",
    "opportunities",
    "A to B on pool 1, B to A on pool 2, more comes out than goes in. Amounts are exact integer quotes, fees of both swaps inside.",
    312,
    bytes.fromhex(
        "3c0000004846544f2e00fc00040014001c0024002600270028002c004c006c008c00ac00b400bc00"
        "c400cc00d400dc00e400ec00f40000000000000034000000"
    ),
    (
        Field("trace_id", "16s", 64, 16, 1, "", "The market-data update that gave rise to it."),
        Field("sequence", "Q", 80, 8, 8, "messages", "Position in the link, from 0, without gaps."),
        Field("slot", "Q", 88, 8, 8, "slot", "Newest slot of the two pools' states."),
        Field("strategy", "H", 96, 2, 2, "", "The trade's shape.", enum=Strategy),
        Field("venue_1", "B", 98, 1, 1, "", "Program of pool 1.", enum=Venue),
        Field("venue_2", "B", 99, 1, 1, "", "Program of pool 2.", enum=Venue),
        Field(
            "confidence_ppm", "I", 100, 4, 4, "ppm", "How fresh the data of both pools is, 0 to 1,000,000."
        ),
        Field("base_mint", "32s", 104, 32, 1, "", "Mint that goes in and comes out."),
        Field("quote_mint", "32s", 136, 32, 1, "", "Mint between the two swaps."),
        Field("pool_1", "32s", 168, 32, 1, "", "Address of the pool of the first swap."),
        Field("pool_2", "32s", 200, 32, 1, "", "Address of the pool of the second swap."),
        Field("amount_in", "Q", 232, 8, 8, "base units of base_mint", "Input of swap 1."),
        Field(
            "amount_mid", "Q", 240, 8, 8, "base units of quote_mint", "Output of swap 1 and input of swap 2."
        ),
        Field("amount_out", "Q", 248, 8, 8, "base units of base_mint", "Output of swap 2."),
        Field(
            "gross_profit_lamports",
            "q",
            256,
            8,
            8,
            "lamports",
            "amount_out - amount_in, before network fees and tip.",
        ),
        Field("slot_1", "Q", 264, 8, 8, "slot", "Slot of pool 1's state."),
        Field("slot_2", "Q", 272, 8, 8, "slot", "Slot of pool 2's state."),
        Field("received_ns", "q", 280, 8, 8, "ns, monotonic", "When the feed received the account bytes."),
        Field("feed_published_ns", "q", 288, 8, 8, "ns, monotonic", "When the feed published the update."),
        Field("scan_received_ns", "q", 296, 8, 8, "ns, monotonic", "When the scanner received the update."),
        Field(
            "scan_published_ns", "q", 304, 8, 8, "ns, monotonic", "When the scanner published this message."
        ),
    ),
)
name: Final = layout.name
identifier: Final = layout.identifier
size: Final = layout.size
Record: Final = TwoHopOpportunity

fast: Final = codec.fast(layout, TwoHopOpportunity)


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
        confidence_ppm: int,
        base_mint: bytes,
        quote_mint: bytes,
        pool_1: bytes,
        pool_2: bytes,
        amount_in: int,
        amount_mid: int,
        amount_out: int,
        gross_profit_lamports: int,
        slot_1: int,
        slot_2: int,
        received_ns: int,
        feed_published_ns: int,
        scan_received_ns: int,
        scan_published_ns: int,
    ) -> int: ...


encode_into: Final[EncodeInto] = fast.encode_into
decode: Final[Callable[[View], TwoHopOpportunity]] = fast.decode
verify: Final[Callable[[View], None]] = fast.verify

read_trace_id: Final = codec.bytes_reader(fast, "trace_id")
read_sequence: Final = codec.int_reader(fast, "sequence")
read_slot: Final = codec.int_reader(fast, "slot")
read_strategy: Final = codec.int_reader(fast, "strategy")
read_venue_1: Final = codec.int_reader(fast, "venue_1")
read_venue_2: Final = codec.int_reader(fast, "venue_2")
read_confidence_ppm: Final = codec.int_reader(fast, "confidence_ppm")
read_base_mint: Final = codec.bytes_reader(fast, "base_mint")
read_quote_mint: Final = codec.bytes_reader(fast, "quote_mint")
read_pool_1: Final = codec.bytes_reader(fast, "pool_1")
read_pool_2: Final = codec.bytes_reader(fast, "pool_2")
read_amount_in: Final = codec.int_reader(fast, "amount_in")
read_amount_mid: Final = codec.int_reader(fast, "amount_mid")
read_amount_out: Final = codec.int_reader(fast, "amount_out")
read_gross_profit_lamports: Final = codec.int_reader(fast, "gross_profit_lamports")
read_slot_1: Final = codec.int_reader(fast, "slot_1")
read_slot_2: Final = codec.int_reader(fast, "slot_2")
read_received_ns: Final = codec.int_reader(fast, "received_ns")
read_feed_published_ns: Final = codec.int_reader(fast, "feed_published_ns")
read_scan_received_ns: Final = codec.int_reader(fast, "scan_received_ns")
read_scan_published_ns: Final = codec.int_reader(fast, "scan_published_ns")
