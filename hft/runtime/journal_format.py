"""How a journal's segment file is laid out, and what of one can be read. Little-endian; offsets in bytes.

::

    segment  0 magic[8] | 8 version u32 | 12 crc32 of bytes 16..95 | 16 number u64 | 24 run[16]
             40 records of this run in earlier segments u64 | 48 created_unix_ns i64 | 56 link[32] | 88 zeros
             96 records, one behind another; then zeros to the end of what is reserved
    record   0 magic u32 | 4 crc32 of bytes 8..end | 8 payload bytes u32 | 12 subject bytes u32
             16 sequence u64 | 24 unix_ns i64 | 32 subject | payload

Pure. A record is whole if its magic, its lengths and its checksum are right.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
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


@dataclass(frozen=True, slots=True)
class Rows:
    """Records in a row, by columns of one length: no object is made for a message."""

    sequences: Sequence[int]
    subjects: Sequence[bytes]
    payloads: Sequence[bytes]
    times: Sequence[int] = ()
    """When each was written, ns (unix), of those that were."""

    @classmethod
    def of(cls, records: Iterable[tuple[int, bytes, bytes]]) -> "Rows":
        """From (sequence, subject, payload)."""
        listed = list(records)
        return cls([r[0] for r in listed], [r[1] for r in listed], [r[2] for r in listed])

    def __len__(self) -> int:
        return len(self.payloads)

    def __iter__(self) -> Iterator[tuple[int, bytes, bytes]]:
        return zip(self.sequences, self.subjects, self.payloads, strict=True)

    def __add__(self, other: "Rows") -> "Rows":
        return Rows(
            [*self.sequences, *other.sequences],
            [*self.subjects, *other.subjects],
            [*self.payloads, *other.payloads],
            [*self.times, *other.times],
        )

    def part(self, begin: int, end: int) -> "Rows":
        """Those from ``begin`` to before ``end``."""
        if not begin and end >= len(self):
            return self
        return Rows(
            self.sequences[begin:end],
            self.subjects[begin:end],
            self.payloads[begin:end],
            self.times[begin:end],
        )

    @property
    def size(self) -> int:
        """Bytes that these records take."""
        texts = sum(map(len, self.subjects)) + sum(map(len, self.payloads))
        return RECORD_BYTES * len(self) + texts


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


def encode(rows: Rows, unix_ns: int) -> bytes:
    """The bytes of these records in a row."""
    sizes = (map(len, rows.payloads), map(len, rows.subjects))
    heads = map(_BODY.pack, *sizes, rows.sequences, repeat(unix_ns))
    bodies = list(map(b"".join, zip(heads, rows.subjects, rows.payloads, strict=True)))
    parts = [b""] * (2 * len(bodies))
    parts[::2] = map(_HEAD.pack, repeat(RECORD_MAGIC), map(crc32, bodies))
    parts[1::2] = bodies
    return b"".join(parts)


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


def rows_at(data: bytes, at: int, size: int, limit: int) -> Rows:
    """Up to ``limit`` whole records from ``at`` to ``size``."""
    sequences: list[int] = []
    subjects: list[bytes] = []
    payloads: list[bytes] = []
    times: list[int] = []
    while len(sequences) < limit and at + RECORD_BYTES <= size:
        magic, checksum, payload_bytes, subject_bytes, sequence, unix_ns = RECORD.unpack_from(data, at)
        subject_at = at + RECORD_BYTES
        payload_at = subject_at + subject_bytes
        end = payload_at + payload_bytes
        if magic != RECORD_MAGIC or end > size or crc32(data[at + _BODY_AT : end]) != checksum:
            break
        sequences.append(sequence)
        subjects.append(data[subject_at:payload_at])
        payloads.append(data[payload_at:end])
        times.append(unix_ns)
        at = end
    return Rows(sequences, subjects, payloads, times)


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
