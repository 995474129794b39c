"""How a journal's segment file is laid out, and what of one can be read. Little-endian; offsets in bytes.

::

    segment  0 magic[8] | 8 version u32 | 12 crc32 of bytes 16..95 | 16 number u64 | 24 run[16]
             40 records of this run in earlier segments u64 | 48 created_unix_ns i64 | 56 link[32] | 88 zeros
             96 records, one behind another; then zeros to the end of what is reserved
    record   0 magic u32 | 4 crc32 of bytes 8..end | 8 payload bytes u32 | 12 subject bytes u32
             16 sequence u64 | 24 unix_ns i64 | 32 subject | payload

Pure. A record is whole if its magic, its lengths and its checksum are right.
"""

from collections.abc import Sequence
from functools import partial
from struct import Struct
from typing import Final, NamedTuple
from zlib import crc32

MAGIC: Final = b"HFTJRNL\0"
VERSION: Final = 1
HEADER: Final = Struct("<8sIIQ16sQq32s8x")
_CHECKED_AT: Final = 16

RECORD_MAGIC: Final = 0x4C4E524A
RECORD: Final = Struct("<IIIIQq")
RECORD_BYTES: Final = RECORD.size
_HEAD: Final = Struct("<II")
_BODY: Final = Struct("<IIQq")
_BODY_AT: Final = 8
_NEEDLE: Final = RECORD_MAGIC.to_bytes(4, "little")

PAYLOAD_LIMIT: Final = 1 << 20
SUBJECT_LIMIT: Final = 1 << 10


class Header(NamedTuple):
    """A segment's header. ``before``: records of its run in earlier segments."""

    number: int
    run: bytes
    before: int
    created_unix_ns: int
    link: str


class Entry(NamedTuple):
    """One record. ``end``: where the next one begins."""

    sequence: int
    unix_ns: int
    subject: bytes
    payload: bytes
    end: int


class Scan(NamedTuple):
    """What a segment's bytes hold up to ``end``; ``damage`` tells what stands there, empty if nothing does.

    ``torn``: nothing whole follows the damage, as after a write that did not finish.
    """

    end: int
    records: int
    last_sequence: int
    newest_unix_ns: int
    damage: str = ""
    torn: bool = False


def encode_header(header: Header) -> bytes:
    """The segment's first bytes."""
    fields = (header.number, header.run, header.before, header.created_unix_ns, header.link.encode())
    bare = HEADER.pack(MAGIC, VERSION, 0, *fields)
    return HEADER.pack(MAGIC, VERSION, crc32(bare[_CHECKED_AT:]), *fields)


def decode_header(data: bytes) -> Header | str:
    """The header, or what is wrong with it."""
    if len(data) < HEADER.size:
        return f"{len(data)} bytes hold no header ({HEADER.size})"
    magic, version, checksum, number, run, before, created, link = HEADER.unpack_from(data)
    if magic != MAGIC:
        return f"{magic!r} is no journal's magic"
    if version != VERSION:
        return f"layout version {version}; this program reads {VERSION}"
    if crc32(data[_CHECKED_AT : HEADER.size]) != checksum:
        return "the header's checksum is wrong"
    return Header(number, run, before, created, link.rstrip(b"\0").decode("utf-8", "replace"))


def encode(records: Sequence[tuple[int, bytes, bytes]], unix_ns: int, at: int) -> tuple[bytes, list[Entry]]:
    """The bytes of (sequence, subject, payload) records in a row, and what reading them back gives; ``at``:
    where the first begins."""
    parts: list[bytes] = []
    entries: list[Entry] = []
    body_of, head_of, new = _BODY.pack, _HEAD.pack, partial(tuple.__new__, Entry)
    for sequence, subject, payload in records:
        body = body_of(len(payload), len(subject), sequence, unix_ns) + subject + payload
        parts += (head_of(RECORD_MAGIC, crc32(body)), body)
        at += _BODY_AT + len(body)
        entries.append(new((sequence, unix_ns, subject, payload, at)))
    return b"".join(parts), entries


def size(records: Sequence[tuple[int, bytes, bytes]]) -> int:
    """Bytes that these records take."""
    return sum(RECORD_BYTES + len(subject) + len(payload) for _, subject, payload in records)


def entry_at(data: bytes, at: int) -> Entry | None:
    """The whole record that begins at ``at``, None if there is none."""
    if at + RECORD_BYTES > len(data):
        return None
    magic, checksum, payload_bytes, subject_bytes, sequence, unix_ns = RECORD.unpack_from(data, at)
    subject_at = at + RECORD_BYTES
    payload_at = subject_at + subject_bytes
    end = payload_at + payload_bytes
    if (
        magic != RECORD_MAGIC
        or payload_bytes > PAYLOAD_LIMIT
        or subject_bytes > SUBJECT_LIMIT
        or end > len(data)
        or crc32(data[at + _BODY_AT : end]) != checksum
    ):
        return None
    return Entry(sequence, unix_ns, data[subject_at:payload_at], data[payload_at:end], end)


def entries(data: bytes, at: int, size: int, base: int, limit: int) -> list[Entry]:
    """Up to ``limit`` whole records from ``at`` to ``size``; ``base`` is added to each ``end``."""
    found: list[Entry] = []
    unpack, new = RECORD.unpack_from, partial(tuple.__new__, Entry)
    while len(found) < limit and at + RECORD_BYTES <= size:
        magic, checksum, payload_bytes, subject_bytes, sequence, unix_ns = unpack(data, at)
        subject_at = at + RECORD_BYTES
        payload_at = subject_at + subject_bytes
        end = payload_at + payload_bytes
        if magic != RECORD_MAGIC or end > size or crc32(data[at + _BODY_AT : end]) != checksum:
            break
        found.append(new((sequence, unix_ns, data[subject_at:payload_at], data[payload_at:end], base + end)))
        at = end
    return found


def scan(data: bytes, at: int = HEADER.size) -> Scan:
    """Read records from ``at`` on, as far as they are whole."""
    count, sequence, newest = 0, -1, 0
    while (entry := entry_at(data, at)) is not None:
        count += 1
        sequence, newest, at = entry.sequence, entry.unix_ns, entry.end
    if at >= len(data) or not data[at:].strip(b"\0"):
        return Scan(at, count, sequence, newest)
    return Scan(at, count, sequence, newest, _damage(data, at), not _whole_after(data, at))


def _damage(data: bytes, at: int) -> str:
    if data[at : at + 4] != _NEEDLE:
        return "no record begins here"
    return "a record that is not whole, or whose checksum is wrong"


def _whole_after(data: bytes, at: int) -> bool:
    """Whether a whole record begins anywhere behind ``at``."""
    found = data.find(_NEEDLE, at + 1)
    while found >= 0:
        if entry_at(data, found) is not None:
            return True
        found = data.find(_NEEDLE, found + 1)
    return False
