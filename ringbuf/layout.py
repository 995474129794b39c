"""Where every byte of a segment lies. All integers are little-endian u64 unless said; offsets are in bytes.

Header, the first 256 bytes of each segment::

    0 magic (written last) | 8 layout version u32 | 12 kind u32 | 16 build_id | 24 schema_hash | 32 size
    40 creator_pid | 48 creator_start (clock ticks since boot) | 56 created_unix_ns | 64 boot_id[16]
    80 params[8] | 144 crc32 of bytes 8 to 143 | 152 reserved

Ring (kind 1); params: depth, mtu, stride, max_subscriptions, cells offset::

    256 published | 384 intent | 512 parked u32, may_park u32, 520 joins
    640 owner pid, start, takeovers, skipped, lifted
    768 slot 0 .. slot max-1, 256 bytes each:
        0 cursor, 8 lost | 128 state u32, 132 gating u32, 136 pid, 144 start, 152 label[64]
    cells: depth of them, stride bytes each: 0 length u32, 4 reserved u32, 8 data[mtu]

Table (kind 2); params: capacity, index size, log size, data bytes, offsets of index, log, entries, data::

    256 changes, 264 entries, 272 used, 280 pending | 384 writer pid, start, takeovers
    index: u32 entry + 1 | log: u32 entry | entries, 128 bytes each:
        0 intent, 8 version, 16 changed, 24 offset, 32 capacity u32, 40 length u32[2], 48 key[32]
    data: per entry two buffers of its capacity; version v stands in buffer v & 1

Counters (kind 3); params: counters, histograms, offsets of names, values, histograms::

    256 heartbeat_ns, 264 state, 272 pid, 280 start, 288 label[64]
    names: 56 bytes each, counters first | values: u64 each
    histograms: 0 sum, 8 max, 64 buckets u64[1216]

Control (kind 4); params: run id in two words::

    256 latch | 384 written (bit 0: being written, bit 1: tells of a trip), trips, resets, reason,
    416 monotonic_ns i64, unix_ns i64
    432 by[64] | 496 message[256]
    768 services, 32 of 64 bytes: 0 heartbeat_ns, 8 pid, 16 start, 24 name[40]
"""

import hashlib
import struct
from enum import IntEnum
from pathlib import Path
from typing import Final

from ringbuf import _core

MAGIC: Final = 0x31304C5443465452
LAYOUT: Final = 1
HEADER_BYTES: Final = 256
HEADER: Final = struct.Struct("<QIIQQQQQQ16s8Q")
MAGIC_AT: Final = 0
CREATOR_PID_AT: Final = 40
PARAMS_AT: Final = 80
CHECKED_BYTES: Final = 144
LINE: Final = 128

RING_PUBLISHED_AT: Final = 256
RING_INTENT_AT: Final = 384
RING_OWNER_AT: Final = 640
RING_TAKEOVERS_AT: Final = 656
RING_SKIPPED_AT: Final = 664
RING_LIFTED_AT: Final = 672
RING_SLOTS_AT: Final = 768
SLOT_BYTES: Final = 256
SLOT_CURSOR_AT: Final = 0
SLOT_LOST_AT: Final = 8
SLOT_STATE_AT: Final = 128
SLOT_OWNER_AT: Final = 136
SLOT_LABEL_AT: Final = 152
SLOT_LABEL_BYTES: Final = 64
SLOT_FREE: Final = 0
SLOT_ACTIVE: Final = 1
SLOT_LIFTED: Final = 2
CELL_HEADER_BYTES: Final = 8

TABLE_CHANGES_AT: Final = 256
TABLE_ENTRIES_AT: Final = 264
TABLE_OWNER_AT: Final = 384
TABLE_TAKEOVERS_AT: Final = 400
TABLE_INDEX_AT: Final = 512
ENTRY_BYTES: Final = 128

COUNTERS_HEARTBEAT_AT: Final = 256
COUNTERS_STATE_AT: Final = 264
COUNTERS_OWNER_AT: Final = 272
COUNTERS_LABEL_AT: Final = 288
COUNTERS_NAMES_AT: Final = 384
NAME_BYTES: Final = 56

CONTROL_LATCH_AT: Final = 256
CONTROL_SERVICES_AT: Final = 768
CONTROL_SERVICES: Final = 32
SERVICE_BYTES: Final = 64
SERVICE_NAME_BYTES: Final = 40
CONTROL_BYTES: Final = CONTROL_SERVICES_AT + CONTROL_SERVICES * SERVICE_BYTES
RUNNING: Final = 0x474E494E4E55522B
KILLED: Final = 0x2144454C4C494B21

BUILD_ID: Final = int.from_bytes(
    hashlib.blake2b(Path(_core.__file__).read_bytes(), digest_size=8).digest(), "little"
)
"""Hash of the compiled core that this process runs: two builds never share a segment."""


class Kind(IntEnum):
    """What a segment holds."""

    RING = 1
    TABLE = 2
    COUNTERS = 3
    CONTROL = 4


def round_up(value: int, step: int) -> int:
    """The lowest multiple of step that is not below value."""
    return -(-value // step) * step


def power_of_two(at_least: int) -> int:
    """The lowest power of two that is not below at_least."""
    return 1 << max(at_least - 1, 0).bit_length()
