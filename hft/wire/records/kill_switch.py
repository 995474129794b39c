# Made by scripts/codegen from schemas/system.fbs; do not edit.
"""KillSwitch (HFKS, link system, 272 bytes): The kill switch changed, or is said again."""

from struct import Struct
from struct import error as StructError
from typing import Final, NamedTuple

from hft.wire import codec, foreign
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

_TEMPLATE: Final = layout.template
_message: Final = Struct(layout.format())
_pack_into: Final = _message.pack_into
_unpack: Final = _message.unpack
_new: Final = tuple.__new__


def encode_into(
    view: bytearray | memoryview,
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
) -> int:
    """Write one message at the start of ``view``; its size. WireError if a value does not fit its field."""
    try:
        if len(trace_id) == 16 and len(by) <= 32 and len(message) <= 128:
            _pack_into(
                view,
                0,
                _TEMPLATE,
                trace_id,
                sequence,
                slot,
                state,
                trigger,
                observed,
                limit,
                by,
                message,
                monotonic_ns,
                unix_ns,
            )
            return 272
    except (StructError, TypeError):
        pass
    raise codec.refusal(
        layout,
        view,
        (
            trace_id,
            sequence,
            slot,
            state,
            trigger,
            observed,
            limit,
            by,
            message,
            monotonic_ns,
            unix_ns,
        ),
    )


def decode(view: View) -> KillSwitch:
    """The record of a valid message in whatever layout; WireError if it is none."""
    try:
        values = _unpack(view)
        if values[0] == _TEMPLATE:
            return _new(KillSwitch, values[1:])
    except StructError:
        pass
    return KillSwitch._make(foreign.read(layout, view))


def verify(view: View) -> None:
    """Check that ``view`` is a message of this type; WireError if it is not."""
    codec.verify(layout, view)


read_trace_id: Final = codec.bytes_reader(layout, "trace_id")
read_sequence: Final = codec.int_reader(layout, "sequence")
read_slot: Final = codec.int_reader(layout, "slot")
read_state: Final = codec.int_reader(layout, "state")
read_trigger: Final = codec.int_reader(layout, "trigger")
read_observed: Final = codec.int_reader(layout, "observed")
read_limit: Final = codec.int_reader(layout, "limit")
read_by: Final = codec.bytes_reader(layout, "by")
read_message: Final = codec.bytes_reader(layout, "message")
read_monotonic_ns: Final = codec.int_reader(layout, "monotonic_ns")
read_unix_ns: Final = codec.int_reader(layout, "unix_ns")
