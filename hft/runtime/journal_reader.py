"""Reads a stream's journal in order, up to what has been written: what is recent from memory."""

import os
from typing import NamedTuple

from hft.runtime import journal_format
from hft.runtime.journal_format import Header, Rows
from hft.runtime.stream_journal import JournalError, Position, Segment, StreamJournal

READ_BYTES = 256 << 10


class Taken(NamedTuple):
    """Records of one segment, the first at offset ``at``, with ``place`` records of the journal before it."""

    header: Header
    at: int
    place: int
    rows: Rows


class Reader:
    """Reads a journal's records in order, from a position on, up to what has been written."""

    def __init__(self, journal: StreamJournal, position: Position) -> None:
        self._journal = journal
        self._position = position
        self._descriptor = -1
        self._open_number = -1
        self._data = b""
        self._data_at = position.offset

    @property
    def position(self) -> Position:
        """Where the next record begins."""
        return self._position

    @property
    def unread(self) -> int:
        """Records that may be taken."""
        return self._journal.end.place - self._position.place

    def seek(self, position: Position) -> None:
        """Go on from there."""
        self._position = position
        self._data, self._data_at = b"", position.offset

    def take(self, limit: int) -> Taken | None:
        """Up to ``limit`` records of one segment; None when there are none.

        Raises JournalError naming file and offset where a record is not what was written.
        """
        segment = self._segment()
        if segment is None:
            return None
        number, begin, place = self._position
        at, taken = begin, Rows.of(())
        while len(taken) < limit and at < segment.used:
            base, room = self._data_at, limit - len(taken)
            found = self._journal.recent(number, at, room)
            if found is None:
                end = min(self._journal.read_until(segment) - base, len(self._data))
                found = journal_format.rows_at(self._data, at - base, end, room)
            if not found and not self._fill(segment, at):
                raise JournalError(f"journal {segment.path}, offset {at}: not what was written there")
            if found:
                taken = taken + found if taken else found
                at += found.size
        self._position = Position(number, at, place + len(taken))
        return Taken(segment.header, begin, place, taken)

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = self._open_number = -1

    def _segment(self) -> Segment | None:
        """The segment of the next record."""
        for segment in self._journal.segments:
            number = segment.header.number
            if number < self._position.number or not segment.count:
                continue
            if number == self._position.number and self._position.offset >= segment.used:
                continue
            if number > self._position.number:
                self.seek(segment.begin)
            return segment
        return None

    def _fill(self, segment: Segment, at: int) -> bool:
        """Read on from ``at``; False when that brings nothing new."""
        try:
            if self._open_number != segment.header.number:
                self.close()
                self._descriptor = os.open(segment.path, os.O_RDONLY)
                self._open_number = segment.header.number
            data = os.pread(self._descriptor, min(READ_BYTES, segment.used - at), at)
        except OSError as error:
            raise JournalError(f"journal {segment.path}: {error.strerror}") from error
        if self._data_at == at and len(data) <= len(self._data):
            return False
        self._data, self._data_at = data, at
        return True
