# Made by scripts/codegen from schemas/system.fbs; do not edit.
"""HealthMetric (HFHM, link system, 176 bytes): One health check of a service."""

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from hft.wire import codec
from hft.wire.enums import HealthCheck, HealthStatus, Service
from hft.wire.layout import Field, Layout, View


class HealthMetric(NamedTuple):
    """One health check of a service."""

    trace_id: bytes
    """Zero: a check follows no single update. (16 bytes)"""
    sequence: int
    """Position in the link, from 0, without gaps. (messages)"""
    slot: int
    """Newest Solana slot known. (slot)"""
    service: int
    """The service that was examined. (Service)"""
    check: int
    """What was examined. (HealthCheck)"""
    status: int
    """The result. (HealthStatus)"""
    observed: int
    """The value that was judged. (of the check)"""
    limit: int
    """The limit it was judged by. (of the check)"""
    detail: bytes
    """What a person should know. (UTF-8, at most 64 bytes)"""
    recorded_ns: int
    """When it was examined. (ns, monotonic)"""
    recorded_unix_ns: int
    """The same moment, UTC. (ns, unix)"""


layout: Final = Layout(
    "HealthMetric",
    b"HFHM",
    "system",
    "One health check of a service.",
    176,
    bytes.fromhex("240000004846484d1a008c00040014001c002400250026002c0034003c007c00840000001c000000"),
    (
        Field("trace_id", "16s", 40, 16, 1, "", "Zero: a check follows no single update."),
        Field("sequence", "Q", 56, 8, 8, "messages", "Position in the link, from 0, without gaps."),
        Field("slot", "Q", 64, 8, 8, "slot", "Newest Solana slot known."),
        Field("service", "B", 72, 1, 1, "", "The service that was examined.", enum=Service),
        Field("check", "B", 73, 1, 1, "", "What was examined.", enum=HealthCheck),
        Field("status", "B", 74, 1, 1, "", "The result.", enum=HealthStatus),
        Field("observed", "q", 80, 8, 8, "of the check", "The value that was judged."),
        Field("limit", "q", 88, 8, 8, "of the check", "The limit it was judged by."),
        Field("detail", "64s", 96, 64, 1, "", "What a person should know.", text=True),
        Field("recorded_ns", "q", 160, 8, 8, "ns, monotonic", "When it was examined."),
        Field("recorded_unix_ns", "q", 168, 8, 8, "ns, unix", "The same moment, UTC."),
    ),
)
name: Final = layout.name
identifier: Final = layout.identifier
size: Final = layout.size
Record: Final = HealthMetric

fast: Final = codec.fast(layout, HealthMetric)


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
        check: int,
        status: int,
        observed: int,
        limit: int,
        detail: bytes,
        recorded_ns: int,
        recorded_unix_ns: int,
    ) -> int: ...


encode_into: Final[EncodeInto] = fast.encode_into
decode: Final[Callable[[View], HealthMetric]] = fast.decode
verify: Final[Callable[[View], None]] = fast.verify

read_trace_id: Final = codec.bytes_reader(fast, "trace_id")
read_sequence: Final = codec.int_reader(fast, "sequence")
read_slot: Final = codec.int_reader(fast, "slot")
read_service: Final = codec.int_reader(fast, "service")
read_check: Final = codec.int_reader(fast, "check")
read_status: Final = codec.int_reader(fast, "status")
read_observed: Final = codec.int_reader(fast, "observed")
read_limit: Final = codec.int_reader(fast, "limit")
read_detail: Final = codec.bytes_reader(fast, "detail")
read_recorded_ns: Final = codec.int_reader(fast, "recorded_ns")
read_recorded_unix_ns: Final = codec.int_reader(fast, "recorded_unix_ns")
