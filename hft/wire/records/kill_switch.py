# Made by scripts/codegen from schemas/system.fbs; do not edit.
"""KillSwitch (HFKS, link system, 272 bytes): The kill switch changed, or is said again."""

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from hft.wire import codec
from hft.wire.enums import KillState, KillTrigger
from hft.wire.layout import Field, Layout, View


class KillSwitch(NamedTuple):
    """The kill switch changed, or is said again."""

    trace_id: bytes
    """The message that led to it; zero if none did. (16 bytes)"""
    sequence: int
    """Position in the link, from 0, without gaps. (messages)"""
    slot: int
    """Newest Solana slot known. (slot)"""
    state: int
    """The state after the change. (KillState)"""
    trigger: int
    """What set it. (KillTrigger)"""
    observed: int
    """The value that was judged. (of the trigger)"""
    limit: int
    """The limit that it broke. (of the trigger)"""
    by: bytes
    """The service or person that set it. (UTF-8, at most 32 bytes)"""
    message: bytes
    """Why, for a person to read. (UTF-8, at most 128 bytes)"""
    monotonic_ns: int
    """When it changed. (ns, monotonic)"""
    unix_ns: int
    """The same moment, UTC. (ns, unix)"""


layout: Final = Layout(
    "KillSwitch",
    b"HFKS",
    "system",
    "The kill switch changed, or is said again.",
    272,
    bytes.fromhex("2400000048464b531a00ec00040014001c00240025002c0034003c005c00dc00e40000001c000000"),
    (
        Field("trace_id", "16s", 40, 16, 1, "", "The message that led to it; zero if none did."),
        Field("sequence", "Q", 56, 8, 8, "messages", "Position in the link, from 0, without gaps."),
        Field("slot", "Q", 64, 8, 8, "slot", "Newest Solana slot known."),
        Field("state", "B", 72, 1, 1, "", "The state after the change.", enum=KillState),
        Field("trigger", "B", 73, 1, 1, "", "What set it.", enum=KillTrigger),
        Field("observed", "q", 80, 8, 8, "of the trigger", "The value that was judged."),
        Field("limit", "q", 88, 8, 8, "of the trigger", "The limit that it broke."),
        Field("by", "32s", 96, 32, 1, "", "The service or person that set it.", text=True),
        Field("message", "128s", 128, 128, 1, "", "Why, for a person to read.", text=True),
        Field("monotonic_ns", "q", 256, 8, 8, "ns, monotonic", "When it changed."),
        Field("unix_ns", "q", 264, 8, 8, "ns, unix", "The same moment, UTC."),
    ),
)
name: Final = layout.name
identifier: Final = layout.identifier
size: Final = layout.size
Record: Final = KillSwitch

fast: Final = codec.fast(layout, KillSwitch)


class EncodeInto(Protocol):
    """Write one message at the start of ``view``; its size. WireError if a value does not fit its field."""

    def __call__(
        self,
        view: bytearray | memoryview,
        /,
        trace_id: bytes,
        sequence: int,
        slot: int,
        state: int,
        trigger: int,
        observed: int,
        limit: int,
        by: bytes,
        message: bytes,
        monotonic_ns: int,
        unix_ns: int,
    ) -> int: ...


encode_into: Final[EncodeInto] = fast.encode_into
decode: Final[Callable[[View], KillSwitch]] = fast.decode
verify: Final[Callable[[View], None]] = fast.verify

read_trace_id: Final = codec.bytes_reader(fast, "trace_id")
read_sequence: Final = codec.int_reader(fast, "sequence")
read_slot: Final = codec.int_reader(fast, "slot")
read_state: Final = codec.int_reader(fast, "state")
read_trigger: Final = codec.int_reader(fast, "trigger")
read_observed: Final = codec.int_reader(fast, "observed")
read_limit: Final = codec.int_reader(fast, "limit")
read_by: Final = codec.bytes_reader(fast, "by")
read_message: Final = codec.bytes_reader(fast, "message")
read_monotonic_ns: Final = codec.int_reader(fast, "monotonic_ns")
read_unix_ns: Final = codec.int_reader(fast, "unix_ns")
