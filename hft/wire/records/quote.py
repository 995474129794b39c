# Made by scripts/codegen from schemas/market_data.fbs; do not edit.
# ruff: noqa: E501
"""Quote (HFQU, link market_data, 224 bytes): What an amount of one token is worth in another, from one source."""

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from hft.wire import codec
from hft.wire.enums import QuoteSource, Venue
from hft.wire.layout import Field, Layout, View


class Quote(NamedTuple):
    """What an amount of one token is worth in another, from one source."""

    trace_id: bytes
    """Names this market-data update. (16 bytes)"""
    sequence: int
    """Position in the link, from 0, without gaps. (messages)"""
    slot: int
    """Solana slot that the quote holds for; 0 if its source names none. (slot)"""
    source: int
    """Where the price comes from. (QuoteSource)"""
    venue: int
    """Program of the pool, when the source is one. (Venue)"""
    uncertainty_ppm: int
    """Half-width of the source's own confidence interval; 0 if the quote is exact. (ppm of amount_out)"""
    base_mint: bytes
    """Mint that goes in. (32 bytes)"""
    quote_mint: bytes
    """Mint that comes out. (32 bytes)"""
    account: bytes
    """Pool, price account or stake pool; zero if there is none. (32 bytes)"""
    amount_in: int
    """Input. (base units of base_mint)"""
    amount_out: int
    """Output. (base units of quote_mint)"""
    source_unix_ns: int
    """Moment the source says its data is of; 0 if it says none. (ns, unix)"""
    received_ns: int
    """When the feed received the data. (ns, monotonic)"""
    published_ns: int
    """When the feed published this message. (ns, monotonic)"""


layout: Final = Layout(
    "Quote",
    b"HFQU",
    "market_data",
    "What an amount of one token is worth in another, from one source.",
    224,
    bytes.fromhex(
        "2c000000484651552000b400040014001c002400250028002c004c006c008c0094009c00a400ac000000000024000000"
    ),
    (
        Field("trace_id", "16s", 48, 16, 1, "", "Names this market-data update."),
        Field("sequence", "Q", 64, 8, 8, "messages", "Position in the link, from 0, without gaps."),
        Field(
            "slot", "Q", 72, 8, 8, "slot", "Solana slot that the quote holds for; 0 if its source names none."
        ),
        Field("source", "B", 80, 1, 1, "", "Where the price comes from.", enum=QuoteSource),
        Field("venue", "B", 81, 1, 1, "", "Program of the pool, when the source is one.", enum=Venue),
        Field(
            "uncertainty_ppm",
            "I",
            84,
            4,
            4,
            "ppm of amount_out",
            "Half-width of the source's own confidence interval; 0 if the quote is exact.",
        ),
        Field("base_mint", "32s", 88, 32, 1, "", "Mint that goes in."),
        Field("quote_mint", "32s", 120, 32, 1, "", "Mint that comes out."),
        Field("account", "32s", 152, 32, 1, "", "Pool, price account or stake pool; zero if there is none."),
        Field("amount_in", "Q", 184, 8, 8, "base units of base_mint", "Input."),
        Field("amount_out", "Q", 192, 8, 8, "base units of quote_mint", "Output."),
        Field(
            "source_unix_ns",
            "q",
            200,
            8,
            8,
            "ns, unix",
            "Moment the source says its data is of; 0 if it says none.",
        ),
        Field("received_ns", "q", 208, 8, 8, "ns, monotonic", "When the feed received the data."),
        Field("published_ns", "q", 216, 8, 8, "ns, monotonic", "When the feed published this message."),
    ),
)
name: Final = layout.name
identifier: Final = layout.identifier
size: Final = layout.size
Record: Final = Quote

fast: Final = codec.fast(layout, Quote)


class EncodeInto(Protocol):
    """Write one message at the start of ``view``; its size. WireError if a value does not fit its field."""

    def __call__(
        self,
        view: bytearray | memoryview,
        /,
        trace_id: bytes,
        sequence: int,
        slot: int,
        source: int,
        venue: int,
        uncertainty_ppm: int,
        base_mint: bytes,
        quote_mint: bytes,
        account: bytes,
        amount_in: int,
        amount_out: int,
        source_unix_ns: int,
        received_ns: int,
        published_ns: int,
    ) -> int: ...


encode_into: Final[EncodeInto] = fast.encode_into
decode: Final[Callable[[View], Quote]] = fast.decode
verify: Final[Callable[[View], None]] = fast.verify

read_trace_id: Final = codec.bytes_reader(fast, "trace_id")
read_sequence: Final = codec.int_reader(fast, "sequence")
read_slot: Final = codec.int_reader(fast, "slot")
read_source: Final = codec.int_reader(fast, "source")
read_venue: Final = codec.int_reader(fast, "venue")
read_uncertainty_ppm: Final = codec.int_reader(fast, "uncertainty_ppm")
read_base_mint: Final = codec.bytes_reader(fast, "base_mint")
read_quote_mint: Final = codec.bytes_reader(fast, "quote_mint")
read_account: Final = codec.bytes_reader(fast, "account")
read_amount_in: Final = codec.int_reader(fast, "amount_in")
read_amount_out: Final = codec.int_reader(fast, "amount_out")
read_source_unix_ns: Final = codec.int_reader(fast, "source_unix_ns")
read_received_ns: Final = codec.int_reader(fast, "received_ns")
read_published_ns: Final = codec.int_reader(fast, "published_ns")
