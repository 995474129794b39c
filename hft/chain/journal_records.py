"""The journal's bytes. Pure: records to bytes and back, and what a file as it was found holds.

::

    file    | 8 bytes "HFTJRNL1" | record …
    record  | u32 magic | u32 length | u32 crc32(kind, payload) | u8 kind | payload |

    intent  | plan_id 16 | signature 64 | u64 last valid height | u64 slot | u16 n | signed n | context |
    sent    | plan_id 16 | u8 path | u16 n | bundle id n |
    end     | plan_id 16 | u8 end state |

Every record begins with the magic, so that a reader that meets a bad one can tell a torn tail, behind which
nothing whole follows, from corruption in the middle.
"""

import zlib
from collections.abc import Iterable
from enum import IntEnum
from struct import Struct
from struct import error as StructError
from typing import Final, NamedTuple

from hft.wire.enums import EndState

FILE_MAGIC: Final = b"HFTJRNL1"
MAX_PAYLOAD: Final = 8_192
_MAGIC: Final = 0x4A484654
_MAGIC_BYTES: Final = _MAGIC.to_bytes(4, "little")
_HEAD: Final = Struct("<IIIB")
_INTENT: Final = Struct("<16s64sQQH")
_SENT: Final = Struct("<16sBH")
_END: Final = Struct("<16sB")


class Kind(IntEnum):
    """What a record tells."""

    INTENT = 1
    SENT = 2
    END = 3


class Path(IntEnum):
    """By which way bytes went out."""

    JITO = 1
    RPC = 2


class Intent(NamedTuple):
    """What is about to be sent: the plan (16 bytes), the signed bytes with their first signature, the block
    height after which they are dead, the slot they were signed at, and whatever the owner wants back after a
    crash (the plan's message)."""

    plan_id: bytes
    signature: bytes
    last_valid_block_height: int
    slot: int
    signed: bytes
    context: bytes = b""


class Sent(NamedTuple):
    """Somebody took the plan's bytes by ``path``; ``bundle_id`` is empty for RPC."""

    plan_id: bytes
    path: Path
    bundle_id: str = ""


class Ended(NamedTuple):
    """The plan's bytes have their end."""

    plan_id: bytes
    state: EndState


Record = Intent | Sent | Ended


class JournalErrorCode(IntEnum):
    """Why a journal can't be used."""

    FOREIGN = 1
    CORRUPT = 2
    TOO_LARGE = 3
    DISK = 4


class JournalError(Exception):
    """A journal can't be used; ``code`` says why, the text where."""

    def __init__(self, code: JournalErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class Scan(NamedTuple):
    """The records of a file, and how many bytes of it are whole; what follows is a torn tail."""

    records: list[Record]
    whole_bytes: int


def record_bytes(record: Record) -> bytes:
    """One record as it is written; ``JournalError`` TOO_LARGE if it does not fit."""
    if isinstance(record, Intent):
        kind = Kind.INTENT
        plan_id, signature, height, slot, signed, context = record
        payload = _INTENT.pack(plan_id, signature, height, slot, len(signed)) + signed + context
    elif isinstance(record, Sent):
        kind = Kind.SENT
        name = record.bundle_id.encode()
        payload = _SENT.pack(record.plan_id, record.path, len(name)) + name
    else:
        kind = Kind.END
        payload = _END.pack(record.plan_id, record.state)
    if len(payload) > MAX_PAYLOAD:
        raise JournalError(
            JournalErrorCode.TOO_LARGE, f"a record of {len(payload)} bytes: at most {MAX_PAYLOAD} fit"
        )
    return _HEAD.pack(_MAGIC, len(payload), zlib.crc32(payload, kind), kind) + payload


def scan(data: bytes) -> Scan:
    """What a file holds. A bad record behind which no whole one follows is a torn tail.

    ``JournalError``: FOREIGN if it is no journal, CORRUPT if a whole record follows a bad one.
    """
    if not data.startswith(FILE_MAGIC):
        if FILE_MAGIC.startswith(data):  # torn while it was made
            return Scan([], 0)
        raise JournalError(JournalErrorCode.FOREIGN, f"it begins with {data[:8]!r}, not {FILE_MAGIC!r}")
    records: list[Record] = []
    at = len(FILE_MAGIC)
    while at < len(data):
        found = _record_at(data, at)
        if found is None:
            later = _next_whole(data, at + 1)
            if later is not None:
                raise JournalError(
                    JournalErrorCode.CORRUPT,
                    f"the record at byte {at} is corrupt, and whole ones follow at byte {later}",
                )
            break
        records.append(found[0])
        at = found[1]
    return Scan(records, at)


def open_intents(records: Iterable[Record]) -> list[Intent]:
    """Those without an end, in the order in which they were signed."""
    found: dict[bytes, Intent] = {}
    for record in records:
        if isinstance(record, Intent):
            found[record.plan_id] = record
        elif isinstance(record, Ended):
            found.pop(record.plan_id, None)
    return list(found.values())


def _record_at(data: bytes, at: int) -> tuple[Record, int] | None:
    if len(data) - at < _HEAD.size:
        return None
    magic, length, checksum, kind = _HEAD.unpack_from(data, at)
    start = at + _HEAD.size
    if magic != _MAGIC or length > MAX_PAYLOAD or start + length > len(data):
        return None
    payload = data[start : start + length]
    if zlib.crc32(payload, kind) != checksum:
        return None
    record = _read(kind, payload)
    return None if record is None else (record, start + length)


def _read(kind: int, payload: bytes) -> Record | None:
    try:
        if kind == Kind.INTENT:
            plan_id, signature, height, slot, length = _INTENT.unpack_from(payload)
            split = _INTENT.size + length
            if split > len(payload):
                return None
            return Intent(plan_id, signature, height, slot, payload[_INTENT.size : split], payload[split:])
        if kind == Kind.SENT:
            plan_id, path, length = _SENT.unpack_from(payload)
            return Sent(plan_id, Path(path), payload[_SENT.size : _SENT.size + length].decode())
        if kind == Kind.END:
            plan_id, state = _END.unpack(payload)
            return Ended(plan_id, EndState(state))
    except (StructError, ValueError):
        return None
    return None


def _next_whole(data: bytes, start: int) -> int | None:
    at = data.find(_MAGIC_BYTES, start)
    while at >= 0:
        if _record_at(data, at) is not None:
            return at
        at = data.find(_MAGIC_BYTES, at + 1)
    return None
