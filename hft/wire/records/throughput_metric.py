# Made by scripts/codegen from schemas/metrics.fbs; do not edit.
# ruff: noqa: E501
"""ThroughputMetric (HFTM, link metrics, 152 bytes): Messages that a service took from or put into a link over a window."""

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from hft.wire import codec
from hft.wire.enums import Direction, Link, Service
from hft.wire.layout import Field, Layout, View


class ThroughputMetric(NamedTuple):
    """Messages that a service took from or put into a link over a window."""

    trace_id: bytes
    """Zero: a count follows no single update. (16 bytes)"""
    sequence: int
    """Position in the link, from 0, without gaps. (messages)"""
    slot: int
    """Newest Solana slot known. (slot)"""
    service: int
    """Whose count it is. (Service)"""
    counted_link: int
    """The link. (Link)"""
    direction: int
    """Taken from it or put into it. (Direction)"""
    total: int
    """Since the service started. (messages)"""
    messages: int
    """In the window. (messages)"""
    dropped: int
    """Dropped in the window, for whatever counted reason. (messages)"""
    lost: int
    """Overrun in the window: overwritten before they were read. (messages)"""
    lag: int
    """Not yet read at the end of the window. (messages)"""
    window_ns: int
    """Length of the window. (ns)"""
    recorded_ns: int
    """End of the window. (ns, monotonic)"""
    recorded_unix_ns: int
    """The same moment, UTC. (ns, unix)"""


layout: Final = Layout(
    "ThroughputMetric",
    b"HFTM",
    "metrics",
    "Messages that a service took from or put into a link over a window.",
    152,
    bytes.fromhex(
        "2c0000004846544d20006c00040014001c002400250026002c0034003c0044004c0054005c0064000000000024000000"
    ),
    (
        Field("trace_id", "16s", 48, 16, 1, "", "Zero: a count follows no single update."),
        Field("sequence", "Q", 64, 8, 8, "messages", "Position in the link, from 0, without gaps."),
        Field("slot", "Q", 72, 8, 8, "slot", "Newest Solana slot known."),
        Field("service", "B", 80, 1, 1, "", "Whose count it is.", enum=Service),
        Field("counted_link", "B", 81, 1, 1, "", "The link.", enum=Link),
        Field("direction", "B", 82, 1, 1, "", "Taken from it or put into it.", enum=Direction),
        Field("total", "Q", 88, 8, 8, "messages", "Since the service started."),
        Field("messages", "Q", 96, 8, 8, "messages", "In the window."),
        Field("dropped", "Q", 104, 8, 8, "messages", "Dropped in the window, for whatever counted reason."),
        Field(
            "lost", "Q", 112, 8, 8, "messages", "Overrun in the window: overwritten before they were read."
        ),
        Field("lag", "Q", 120, 8, 8, "messages", "Not yet read at the end of the window."),
        Field("window_ns", "Q", 128, 8, 8, "ns", "Length of the window."),
        Field("recorded_ns", "q", 136, 8, 8, "ns, monotonic", "End of the window."),
        Field("recorded_unix_ns", "q", 144, 8, 8, "ns, unix", "The same moment, UTC."),
    ),
)
name: Final = layout.name
identifier: Final = layout.identifier
size: Final = layout.size
Record: Final = ThroughputMetric

fast: Final = codec.fast(layout, ThroughputMetric)


class EncodeInto(Protocol):
    """Write one message at the start of ``view``; its size. WireError if a value does not fit its field."""

    def __call__(
        self,
        view: bytearray | memoryview,
        /,
        trace_id: bytes,
        sequence: int,
        slot: int,
        service: int,
        counted_link: int,
        direction: int,
        total: int,
        messages: int,
        dropped: int,
        lost: int,
        lag: int,
        window_ns: int,
        recorded_ns: int,
        recorded_unix_ns: int,
    ) -> int: ...


encode_into: Final[EncodeInto] = fast.encode_into
decode: Final[Callable[[View], ThroughputMetric]] = fast.decode
verify: Final[Callable[[View], None]] = fast.verify

read_trace_id: Final = codec.bytes_reader(fast, "trace_id")
read_sequence: Final = codec.int_reader(fast, "sequence")
read_slot: Final = codec.int_reader(fast, "slot")
read_service: Final = codec.int_reader(fast, "service")
read_counted_link: Final = codec.int_reader(fast, "counted_link")
read_direction: Final = codec.int_reader(fast, "direction")
read_total: Final = codec.int_reader(fast, "total")
read_messages: Final = codec.int_reader(fast, "messages")
read_dropped: Final = codec.int_reader(fast, "dropped")
read_lost: Final = codec.int_reader(fast, "lost")
read_lag: Final = codec.int_reader(fast, "lag")
read_window_ns: Final = codec.int_reader(fast, "window_ns")
read_recorded_ns: Final = codec.int_reader(fast, "recorded_ns")
read_recorded_unix_ns: Final = codec.int_reader(fast, "recorded_unix_ns")
