# Made by scripts/codegen from schemas/system.fbs; do not edit.
"""ConnectionHealth (HFCH, link system, 208 bytes): The state of one connection to the outside."""

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from hft.wire import codec
from hft.wire.enums import ConnectionKind, ConnectionState, Service
from hft.wire.layout import Field, Layout, View


class ConnectionHealth(NamedTuple):
    """The state of one connection to the outside."""

    trace_id: bytes
    """Zero: a connection follows no single update. (16 bytes)"""
    sequence: int
    """Position in the link, from 0, without gaps. (messages)"""
    slot: int
    """Newest Solana slot seen on it. (slot)"""
    service: int
    """The service that holds it. (Service)"""
    kind: int
    """What it speaks. (ConnectionKind)"""
    state: int
    """Whether it can be relied on. (ConnectionState)"""
    endpoint: bytes
    """Its address, without credentials. (UTF-8, at most 64 bytes)"""
    messages: int
    """Received since it was first opened. (messages)"""
    errors: int
    """Errors since it was first opened. (errors)"""
    reconnects: int
    """Times it was opened again. (reconnects)"""
    round_trip_ns: int
    """Time of the newest answer from its request. (ns)"""
    last_message_ns: int
    """When the newest message came; 0 if none did. (ns, monotonic)"""
    recorded_ns: int
    """When this was observed. (ns, monotonic)"""
    recorded_unix_ns: int
    """The same moment, UTC. (ns, unix)"""


layout: Final = Layout(
    "ConnectionHealth",
    b"HFCH",
    "system",
    "The state of one connection to the outside.",
    208,
    bytes.fromhex(
        "2c000000484643482000a400040014001c0024002500260027006c0074007c0084008c0094009c000000000024000000"
    ),
    (
        Field("trace_id", "16s", 48, 16, 1, "", "Zero: a connection follows no single update."),
        Field("sequence", "Q", 64, 8, 8, "messages", "Position in the link, from 0, without gaps."),
        Field("slot", "Q", 72, 8, 8, "slot", "Newest Solana slot seen on it."),
        Field("service", "B", 80, 1, 1, "", "The service that holds it.", enum=Service),
        Field("kind", "B", 81, 1, 1, "", "What it speaks.", enum=ConnectionKind),
        Field("state", "B", 82, 1, 1, "", "Whether it can be relied on.", enum=ConnectionState),
        Field("endpoint", "64s", 83, 64, 1, "", "Its address, without credentials.", text=True),
        Field("messages", "Q", 152, 8, 8, "messages", "Received since it was first opened."),
        Field("errors", "Q", 160, 8, 8, "errors", "Errors since it was first opened."),
        Field("reconnects", "Q", 168, 8, 8, "reconnects", "Times it was opened again."),
        Field("round_trip_ns", "Q", 176, 8, 8, "ns", "Time of the newest answer from its request."),
        Field(
            "last_message_ns", "q", 184, 8, 8, "ns, monotonic", "When the newest message came; 0 if none did."
        ),
        Field("recorded_ns", "q", 192, 8, 8, "ns, monotonic", "When this was observed."),
        Field("recorded_unix_ns", "q", 200, 8, 8, "ns, unix", "The same moment, UTC."),
    ),
)
name: Final = layout.name
identifier: Final = layout.identifier
size: Final = layout.size
Record: Final = ConnectionHealth

fast: Final = codec.fast(layout, ConnectionHealth)


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
        kind: int,
        state: int,
        endpoint: bytes,
        messages: int,
        errors: int,
        reconnects: int,
        round_trip_ns: int,
        last_message_ns: int,
        recorded_ns: int,
        recorded_unix_ns: int,
    ) -> int: ...


encode_into: Final[EncodeInto] = fast.encode_into
decode: Final[Callable[[View], ConnectionHealth]] = fast.decode
verify: Final[Callable[[View], None]] = fast.verify

read_trace_id: Final = codec.bytes_reader(fast, "trace_id")
read_sequence: Final = codec.int_reader(fast, "sequence")
read_slot: Final = codec.int_reader(fast, "slot")
read_service: Final = codec.int_reader(fast, "service")
read_kind: Final = codec.int_reader(fast, "kind")
read_state: Final = codec.int_reader(fast, "state")
read_endpoint: Final = codec.bytes_reader(fast, "endpoint")
read_messages: Final = codec.int_reader(fast, "messages")
read_errors: Final = codec.int_reader(fast, "errors")
read_reconnects: Final = codec.int_reader(fast, "reconnects")
read_round_trip_ns: Final = codec.int_reader(fast, "round_trip_ns")
read_last_message_ns: Final = codec.int_reader(fast, "last_message_ns")
read_recorded_ns: Final = codec.int_reader(fast, "recorded_ns")
read_recorded_unix_ns: Final = codec.int_reader(fast, "recorded_unix_ns")
