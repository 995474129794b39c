"""One stream's journal: every message in files of our own before it is published.

A journal is a row of segment files; only the newest is written to. Its space is reserved before a message is
taken from a ring, so a full disk shows beforehand: the next segment stands ready as a spare. Without a spare
the journal is ``low``, with no room in the newest segment either it is full. Old segments are deleted for
space or for age, those with unpublished messages only by ``discard_oldest``.

What a crash leaves half written at the end is cut off. Damage anywhere else refuses to open, by file and
offset: a journal that has lost its middle is not to be trusted with what follows.
"""

import contextlib
import errno
import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from hft.runtime import journal_format, state
from hft.runtime.exit_codes import ExitCode, HftError
from hft.runtime.journal_format import HEADER, Header, Rows, Scan

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

SEGMENT_LIMIT = 8 << 20
SEGMENTS = 8
"""A journal has room for at least as many segments: that much of it goes at once when space is needed."""

MINIMUM_BYTES = 4 << 20
RECENT_LIMIT = 128
"""Batches kept in memory besides, for a reader that is not far behind the writer: reading them back from disk
takes ten times as long."""

_SUFFIX = ".journal"
_SPARE = "spare"


class JournalError(HftError):
    """A journal that can't be opened, read or written."""

    def __init__(self, message: str) -> None:
        super().__init__(message, ExitCode.STATE_FOLDER)


class Position(NamedTuple):
    """A place between two records. ``place``: records of the journal before it, since it was opened."""

    number: int
    offset: int
    place: int


@dataclass
class Segment:
    """One file. ``first``: index of its first record; ``used``: bytes; ``reserved``: bytes on disk."""

    path: Path
    header: Header
    first: int
    count: int
    used: int
    reserved: int
    last_sequence: int
    newest_unix_ns: int

    @property
    def begin(self) -> Position:
        """Where its first record begins."""
        return Position(self.header.number, HEADER.size, self.first)

    @property
    def end(self) -> Position:
        """Where its next record will begin."""
        return Position(self.header.number, self.used, self.first + self.count)


class StreamJournal:
    """The journal in ``folder`` (made if absent) of one link, for one run; one process at a time.

    limit_bytes: most bytes on disk, at least MINIMUM_BYTES. say: takes a line about what was cut off.
    Raises JournalError for damage that is not a torn end, for another link's files, and for what the
    file system refuses.
    """

    def __init__(
        self, folder: Path, link: str, run: bytes, limit_bytes: int, say: Callable[[str], None]
    ) -> None:
        self.folder = folder
        self.link = link
        self.run = run
        self.segment_bytes = min(limit_bytes // SEGMENTS, SEGMENT_LIMIT)
        self._limit_bytes = limit_bytes
        self._say = say
        self._descriptor = -1
        self._spare = False
        self._kept = Position(0, 0, 0)
        self._recent: deque[tuple[int, int, Rows]] = deque()
        self.written_unsynced = False
        self.sealed: list[int] = []
        """Descriptors of finished files, to be synced and closed."""
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (folder / _SPARE).unlink(missing_ok=True)
            self.segments = self._load()
            self._writes = bool(self.segments) and self.segments[-1].header.run == run
            if self.segments:
                self._reopen()
        except OSError as error:
            raise JournalError(f"journal {folder}: {error.strerror}") from error
        self._kept = self.begin

    @property
    def begin(self) -> Position:
        """Where the oldest record begins."""
        return self.segments[0].begin if self.segments else Position(0, HEADER.size, 0)

    @property
    def end(self) -> Position:
        """Where the next record will begin, in the newest segment there is."""
        return self.segments[-1].end if self.segments else Position(0, HEADER.size, 0)

    @property
    def last_sequence(self) -> int:
        """Sequence of this run's newest record, -1 if there is none."""
        return max((s.last_sequence for s in self.segments if s.header.run == self.run), default=-1)

    @property
    def run_count(self) -> int:
        """Records of this run that were ever written."""
        last = self.segments[-1] if self.segments else None
        return last.header.before + last.count if last is not None and last.header.run == self.run else 0

    @property
    def low(self) -> bool:
        """Whether no space is reserved beyond the newest segment."""
        return not self._spare

    @property
    def disk_bytes(self) -> int:
        """Bytes on disk, reserved ones included."""
        return sum(segment.reserved for segment in self.segments) + self._spare * self.segment_bytes

    def ready(self, size: int) -> bool:
        """Whether ``size`` bytes can be written now; begins a new segment if need be. False while full."""
        if self._writes and self.segments[-1].used + size <= self.segments[-1].reserved:
            return True
        if HEADER.size + size > self.segment_bytes:
            raise JournalError(
                f"journal {self.folder}: {size} bytes at once, a segment has {self.segment_bytes}"
            )
        if not self.reserve():
            return False
        self._begin_segment()
        self.reserve()
        return True

    def append(self, rows: Rows, unix_ns: int) -> bool:
        """Write records at once; ``ready`` said there is room for their size.

        False, and nothing is written, when the file system has no room after all.
        """
        segment = self.segments[-1]
        data = journal_format.encode(rows, unix_ns)
        try:
            done = os.pwrite(self._descriptor, data, segment.used)
            while done < len(data):
                done += os.pwrite(self._descriptor, data[done:], segment.used + done)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise JournalError(f"journal {segment.path}: {error.strerror}") from error
            os.ftruncate(self._descriptor, segment.used)
            segment.reserved = segment.used
            return False
        if len(self._recent) < RECENT_LIMIT:
            written = replace(rows, times=(unix_ns,) * len(rows))
            self._recent.append((segment.header.number, segment.used, written))
        segment.used += len(data)
        segment.count += len(rows)
        segment.last_sequence = rows.sequences[-1]
        segment.newest_unix_ns = unix_ns
        self.written_unsynced = True
        return True

    def recent(self, number: int, offset: int, limit: int) -> Rows | None:
        """Up to ``limit`` records from that place on, if they were written lately: they need not be read."""
        recent = self._recent
        while recent and recent[0][:2] < (number, offset):
            recent.popleft()
        if not recent or recent[0][:2] != (number, offset):
            return None
        rows = recent.popleft()[2]
        if len(rows) <= limit:
            return rows
        first = rows.part(0, limit)
        recent.appendleft((number, offset + first.size, rows.part(limit, len(rows))))
        return first

    def read_until(self, segment: Segment) -> int:
        """How far a segment is to be read from disk: to the first of its records that need not be."""
        if self._recent and self._recent[0][0] == segment.header.number:
            return self._recent[0][1]
        return segment.used

    def reserve(self) -> bool:
        """See that the spare stands ready, deleting published segments if it needs their space."""
        while not self._spare:
            if self.disk_bytes + self.segment_bytes <= self._limit_bytes and self._make_spare():
                self._spare = True
            elif not self._delete_published():
                return False
        return True

    def keep_from(self, position: Position) -> None:
        """Everything before it is published: it may be deleted when its space is needed."""
        self._kept = position

    def expire(self, oldest_unix_ns: int) -> None:
        """Delete finished, published segments whose newest record is older."""
        while len(self.segments) > 1 and self.segments[0].newest_unix_ns < oldest_unix_ns:
            if not self._delete_published():
                return

    def oldest_newest_unix_ns(self) -> int:
        """Time of the oldest finished segment's newest record; 0 without such a segment."""
        return self.segments[0].newest_unix_ns if len(self.segments) > 1 else 0

    def discard_oldest(self) -> Position | None:
        """Delete the oldest finished segment, published or not; where the journal begins then, None if there
        is none."""
        if len(self.segments) < 2:
            return None
        self._delete(self.segments.pop(0))
        return self.begin

    def sync_descriptor(self) -> int:
        """A descriptor of the newest segment for a sync elsewhere; whoever gets it closes it."""
        self.written_unsynced = False
        return os.dup(self._descriptor)

    def position_at(self, number: int, offset: int) -> Position | None:
        """The place at that offset of that segment; None when it is no longer there or between no records."""
        for segment in self.segments:
            if segment.header.number == number:
                if offset > segment.used:
                    return segment.end
                found = journal_format.scan(self._content(segment)[:offset])
                return (
                    Position(number, offset, segment.first + found.records) if found.end == offset else None
                )
        return None

    def position_after(self, run: bytes, sequence: int) -> Position | None:
        """The place right behind that message, None when the journal does not have it."""
        for segment in reversed(self.segments):
            if segment.header.run != run or segment.last_sequence < sequence:
                continue
            data, at, count = self._content(segment), HEADER.size, 0
            while (entry := journal_format.entry_at(data, at)) is not None:
                at, count = entry.end, count + 1
                if entry.sequence == sequence:
                    return Position(segment.header.number, at, segment.first + count)
        return None

    def close(self) -> None:
        """Put everything on disk and let go of the files; the spare is deleted."""
        for descriptor in self.sealed:
            os.fsync(descriptor)
            os.close(descriptor)
        self.sealed.clear()
        if self._descriptor >= 0:
            os.fsync(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1
        self._writes = False
        if self._spare:
            self._spare = False
            (self.folder / _SPARE).unlink(missing_ok=True)

    def _load(self) -> list[Segment]:
        """Every segment, checked from its first byte to its last."""
        found: list[Segment] = []
        paths = sorted(self.folder.glob(f"*{_SUFFIX}"))
        for path in paths:
            data, newest = path.read_bytes(), path is paths[-1]
            if newest and not data.strip(b"\0"):
                self._say(f"journal {path}: never begun, deleted")
                path.unlink()
                continue
            header = journal_format.decode_header(data)
            if isinstance(header, str):
                raise self._damaged(path, 0, header)
            if header.link != self.link:
                raise JournalError(f"journal {path} is of link {header.link}, not of {self.link}")
            if found and header.number != found[-1].header.number + 1:
                missing = path.with_name(f"{found[-1].header.number + 1:016d}{_SUFFIX}")
                raise JournalError(f"journal {missing} is missing, and later ones are there")
            scan = journal_format.scan(data)
            if scan.damage:
                self._cut(path, data, scan, newest=newest)
            first = found[-1].end.place if found else 0
            figures = (first, scan.records, scan.end, len(data), scan.last_sequence, scan.newest_unix_ns)
            found.append(Segment(path, header, *figures))
        return found

    def _cut(self, path: Path, data: bytes, scan: Scan, *, newest: bool) -> None:
        """Forget a torn end, with an alert; refuse any other damage."""
        if not newest or not scan.torn:
            raise self._damaged(path, scan.end, scan.damage)
        torn = len(data.rstrip(b"\0")) - scan.end
        with path.open("r+b") as file:
            file.truncate(scan.end)
            os.fsync(file.fileno())
        self._say(f"ALERT: journal {path}: its last {torn} bytes, from offset {scan.end}, are torn: cut off")

    @staticmethod
    def _damaged(path: Path, offset: int, what: str) -> JournalError:
        return JournalError(
            f"journal {path}, offset {offset}: {what}. Nothing is started on a damaged journal: "
            "put the file back from a copy, or move the whole folder away to go on without it"
        )

    def _reopen(self) -> None:
        """Go on in the newest segment if it is of this run; give back what others have reserved."""
        last = self.segments[-1]
        descriptor = os.open(last.path, os.O_RDWR)
        os.ftruncate(descriptor, last.used)
        last.reserved = last.used
        if not self._writes:
            os.close(descriptor)
            return
        self._descriptor = descriptor
        with contextlib.suppress(OSError):
            os.posix_fallocate(descriptor, 0, self.segment_bytes)
            last.reserved = max(self.segment_bytes, last.used)

    def _make_spare(self) -> bool:
        path = self.folder / _SPARE
        descriptor = -1
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
            os.posix_fallocate(descriptor, 0, self.segment_bytes)
        except OSError as error:
            path.unlink(missing_ok=True)
            if error.errno in NO_ROOM:
                return False
            raise JournalError(f"journal {path}: {error.strerror}") from error
        finally:
            if descriptor >= 0:
                os.close(descriptor)
        return True

    def _begin_segment(self) -> None:
        """Turn the spare into the newest segment."""
        before = self.run_count
        number = self.segments[-1].header.number + 1 if self.segments else 1
        header = Header(number, self.run, before, 0, self.link)
        path = self.folder / f"{number:016d}{_SUFFIX}"
        self._seal()
        try:
            descriptor = os.open(self.folder / _SPARE, os.O_RDWR)
            os.pwrite(descriptor, journal_format.encode_header(header), 0)
            (self.folder / _SPARE).rename(path)
            state.sync_folder(self.folder)
        except OSError as error:
            raise JournalError(f"journal {path}: {error.strerror}") from error
        self._spare = False
        self._descriptor = descriptor
        self._writes = True
        first = self.segments[-1].end.place if self.segments else 0
        self.segments.append(Segment(path, header, first, 0, HEADER.size, self.segment_bytes, -1, 0))
        if len(self.segments) == 1:
            self._kept = self.begin

    def _seal(self) -> None:
        if not self._writes:
            return
        last = self.segments[-1]
        os.ftruncate(self._descriptor, last.used)
        last.reserved = last.used
        self.sealed.append(self._descriptor)
        self._descriptor = -1
        self._writes = False

    def _delete_published(self) -> bool:
        """Delete the oldest segment if it is finished and published."""
        if len(self.segments) < 2 or self._kept.place < self.segments[1].first:
            return False
        self._delete(self.segments.pop(0))
        return True

    def _delete(self, segment: Segment) -> None:
        try:
            segment.path.unlink()
        except OSError as error:
            raise JournalError(f"journal {segment.path}: {error.strerror}") from error

    def _content(self, segment: Segment) -> bytes:
        try:
            with segment.path.open("rb") as file:
                return file.read(segment.used)
        except OSError as error:
            raise JournalError(f"journal {segment.path}: {error.strerror}") from error
