# Made by scripts/codegen from schemas/system.fbs; do not edit.
"""Lifecycle (HFLC, link system, 184 bytes): A service started, stopped, or failed."""

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from hft.wire import codec
from hft.wire.enums import LifecycleEvent, Service
from hft.wire.layout import Field, Layout, View


class Lifecycle(NamedTuple):
    """A service started, stopped, or failed."""

    trace_id: bytes
    """Zero: a service's life follows no single update. (16 bytes)"""
    sequence: int
    """Position in the link, from 0, without gaps. (messages)"""
    slot: int
    """Newest Solana slot known. (slot)"""
    run_id: bytes
    """The run that the service belongs to. (16 bytes)"""
    service: int
    """The service. (Service)"""
    event: int
    """What happened. (LifecycleEvent)"""
    pid: int
    """Process id. (process id)"""
    exit_code: int
    """Exit code, or the negative number of the signal that ended it; 0 while it runs. (exit code)"""
    restarts: int
    """Times it was restarted in this run. (restarts)"""
    detail: bytes
    """What a person should know. (UTF-8, at most 64 bytes)"""
    monotonic_ns: int
    """When it happened. (ns, monotonic)"""
    unix_ns: int
    """The same moment, UTC. (ns, unix)"""


layout: Final = Layout(
    "Lifecycle",
    b"HFLC",
    "system",
    "A service started, stopped, or failed.",
    184,
    bytes.fromhex("2400000048464c431c009400040014001c0024003400350038003c004000440084008c001c000000"),
    (
        Field("trace_id", "16s", 40, 16, 1, "", "Zero: a service's life follows no single update."),
        Field("sequence", "Q", 56, 8, 8, "messages", "Position in the link, from 0, without gaps."),
        Field("slot", "Q", 64, 8, 8, "slot", "Newest Solana slot known."),
        Field("run_id", "16s", 72, 16, 1, "", "The run that the service belongs to."),
        Field("service", "B", 88, 1, 1, "", "The service.", enum=Service),
        Field("event", "B", 89, 1, 1, "", "What happened.", enum=LifecycleEvent),
        Field("pid", "I", 92, 4, 4, "process id", "Process id."),
        Field(
            "exit_code",
            "i",
            96,
            4,
            4,
            "exit code",
            "Exit code, or the negative number of the signal that ended it; 0 while it runs.",
        ),
        Field("restarts", "I", 100, 4, 4, "restarts", "Times it was restarted in this run."),
        Field("detail", "64s", 104, 64, 1, "", "What a person should know.", text=True),
        Field("monotonic_ns", "q", 168, 8, 8, "ns, monotonic", "When it happened."),
        Field("unix_ns", "q", 176, 8, 8, "ns, unix", "The same moment, UTC."),
    ),
)
name: Final = layout.name
identifier: Final = layout.identifier
size: Final = layout.size
Record: Final = Lifecycle

fast: Final = codec.fast(layout, Lifecycle)


class EncodeInto(Protocol):
    """Write one message at the start of ``view``; its size. WireError if a value does not fit its field."""

    def __call__(
        self,
        view: bytearray | memoryview,
        /,
        trace_id: bytes,
        sequence: int,
        slot: int,
        run_id: bytes,
        service: int,
        event: int,
        pid: int,
        exit_code: int,
        restarts: int,
        detail: bytes,
        monotonic_ns: int,
        unix_ns: int,
    ) -> int: ...


encode_into: Final[EncodeInto] = fast.encode_into
decode: Final[Callable[[View], Lifecycle]] = fast.decode
verify: Final[Callable[[View], None]] = fast.verify

read_trace_id: Final = codec.bytes_reader(fast, "trace_id")
read_sequence: Final = codec.int_reader(fast, "sequence")
read_slot: Final = codec.int_reader(fast, "slot")
read_run_id: Final = codec.bytes_reader(fast, "run_id")
read_service: Final = codec.int_reader(fast, "service")
read_event: Final = codec.int_reader(fast, "event")
read_pid: Final = codec.int_reader(fast, "pid")
read_exit_code: Final = codec.int_reader(fast, "exit_code")
read_restarts: Final = codec.int_reader(fast, "restarts")
read_detail: Final = codec.bytes_reader(fast, "detail")
read_monotonic_ns: Final = codec.int_reader(fast, "monotonic_ns")
read_unix_ns: Final = codec.int_reader(fast, "unix_ns")
