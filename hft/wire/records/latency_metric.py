# Made by scripts/codegen from schemas/metrics.fbs; do not edit.
"""LatencyMetric (HFLM, link metrics, 224 bytes): One latency histogram of a service over a window."""

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from hft.wire import codec
from hft.wire.enums import Service
from hft.wire.layout import Field, Layout, View


class LatencyMetric(NamedTuple):
    """One latency histogram of a service over a window."""

    trace_id: bytes
    """Zero: a histogram follows no single update. (16 bytes)"""
    sequence: int
    """Position in the link, from 0, without gaps. (messages)"""
    slot: int
    """Newest Solana slot known. (slot)"""
    service: int
    """Whose histogram it is. (Service)"""
    histogram: bytes
    """The histogram's name, such as stage_planner_ns. (UTF-8, at most 64 bytes)"""
    samples: int
    """Samples in the window. (samples)"""
    p50_ns: int
    """Half of the samples are at most this. (ns)"""
    p99_ns: int
    """99% of the samples are at most this. (ns)"""
    p999_ns: int
    """99.9% of the samples are at most this. (ns)"""
    max_ns: int
    """The greatest sample. (ns)"""
    mean_ns: int
    """Sum of the samples divided by their number. (ns)"""
    window_ns: int
    """Length of the window. (ns)"""
    recorded_ns: int
    """End of the window. (ns, monotonic)"""
    recorded_unix_ns: int
    """The same moment, UTC. (ns, unix)"""


layout: Final = Layout(
    "LatencyMetric",
    b"HFLM",
    "metrics",
    "One latency histogram of a service over a window.",
    224,
    bytes.fromhex(
        "2c00000048464c4d2000b400040014001c00240025006c0074007c0084008c0094009c00a400ac000000000024000000"
    ),
    (
        Field("trace_id", "16s", 48, 16, 1, "", "Zero: a histogram follows no single update."),
        Field("sequence", "Q", 64, 8, 8, "messages", "Position in the link, from 0, without gaps."),
        Field("slot", "Q", 72, 8, 8, "slot", "Newest Solana slot known."),
        Field("service", "B", 80, 1, 1, "", "Whose histogram it is.", enum=Service),
        Field(
            "histogram", "64s", 81, 64, 1, "", "The histogram's name, such as stage_planner_ns.", text=True
        ),
        Field("samples", "Q", 152, 8, 8, "samples", "Samples in the window."),
        Field("p50_ns", "Q", 160, 8, 8, "ns", "Half of the samples are at most this."),
        Field("p99_ns", "Q", 168, 8, 8, "ns", "99% of the samples are at most this."),
        Field("p999_ns", "Q", 176, 8, 8, "ns", "99.9% of the samples are at most this."),
        Field("max_ns", "Q", 184, 8, 8, "ns", "The greatest sample."),
        Field("mean_ns", "Q", 192, 8, 8, "ns", "Sum of the samples divided by their number."),
        Field("window_ns", "Q", 200, 8, 8, "ns", "Length of the window."),
        Field("recorded_ns", "q", 208, 8, 8, "ns, monotonic", "End of the window."),
        Field("recorded_unix_ns", "q", 216, 8, 8, "ns, unix", "The same moment, UTC."),
    ),
)
name: Final = layout.name
identifier: Final = layout.identifier
size: Final = layout.size
Record: Final = LatencyMetric

fast: Final = codec.fast(layout, LatencyMetric)


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
        histogram: bytes,
        samples: int,
        p50_ns: int,
        p99_ns: int,
        p999_ns: int,
        max_ns: int,
        mean_ns: int,
        window_ns: int,
        recorded_ns: int,
        recorded_unix_ns: int,
    ) -> int: ...


encode_into: Final[EncodeInto] = fast.encode_into
decode: Final[Callable[[View], LatencyMetric]] = fast.decode
verify: Final[Callable[[View], None]] = fast.verify

read_trace_id: Final = codec.bytes_reader(fast, "trace_id")
read_sequence: Final = codec.int_reader(fast, "sequence")
read_slot: Final = codec.int_reader(fast, "slot")
read_service: Final = codec.int_reader(fast, "service")
read_histogram: Final = codec.bytes_reader(fast, "histogram")
read_samples: Final = codec.int_reader(fast, "samples")
read_p50_ns: Final = codec.int_reader(fast, "p50_ns")
read_p99_ns: Final = codec.int_reader(fast, "p99_ns")
read_p999_ns: Final = codec.int_reader(fast, "p999_ns")
read_max_ns: Final = codec.int_reader(fast, "max_ns")
read_mean_ns: Final = codec.int_reader(fast, "mean_ns")
read_window_ns: Final = codec.int_reader(fast, "window_ns")
read_recorded_ns: Final = codec.int_reader(fast, "recorded_ns")
read_recorded_unix_ns: Final = codec.int_reader(fast, "recorded_unix_ns")
