"""How far a stream has taken its journal: a small file beside the segments, rewritten in place.

Two slots, written in turn, each with its checksum: a write that does not finish leaves the other. The mark
may be behind the truth, never before it.
"""

import os
from pathlib import Path
from struct import Struct
from typing import Final, NamedTuple
from zlib import crc32

from hft.runtime import state
from hft.runtime.stream_journal import JournalError

FILE: Final = "published"
_SLOT: Final = Struct("<IQQQ16sqQq")
_SLOT_BYTES: Final = 256
UNKNOWN: Final = -1


class Mark(NamedTuple):
    """Everything before offset ``offset`` of segment ``number`` is in the stream, or was left out on purpose.

    run, sequence: the newest message that is known to be there (UNKNOWN: none); stream_sequence: its place in
    the stream, whose creation is ``incarnation`` (us, unix). What came behind that place is not known.
    """

    number: int
    offset: int
    run: bytes
    sequence: int
    stream_sequence: int
    incarnation: int


class MarkFile:
    """The file in a journal's folder. Raises JournalError when the file system refuses."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        existed = self.path.exists()
        try:
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
            if not existed:
                # Written, not merely reserved: a full disk must never keep the mark from moving.
                os.pwrite(self._descriptor, bytes(2 * _SLOT_BYTES), 0)
                os.fsync(self._descriptor)
                state.sync_folder(folder)
            data = os.pread(self._descriptor, 2 * _SLOT_BYTES, 0)
        except OSError as error:
            raise JournalError(f"journal {self.path}: {error.strerror}") from error
        slots = [
            found for at in (0, _SLOT_BYTES) if (found := _slot(data[at : at + _SLOT_BYTES])) is not None
        ]
        self.mark: Mark | None
        self._turn, self.mark = max(slots, default=(0, None), key=lambda slot: slot[0])

    def write(self, mark: Mark, *, durable: bool = False) -> None:
        """Replace the mark; ``durable``: on disk when this returns."""
        self._turn += 1
        self.mark = mark
        fields = (
            self._turn,
            mark.number,
            mark.offset,
            mark.run,
            mark.sequence,
            mark.stream_sequence,
            mark.incarnation,
        )
        bare = _SLOT.pack(0, *fields)
        try:
            os.pwrite(self._descriptor, _SLOT.pack(crc32(bare[4:]), *fields), self._turn % 2 * _SLOT_BYTES)
            if durable:
                os.fdatasync(self._descriptor)
        except OSError as error:
            raise JournalError(f"journal {self.path}: {error.strerror}") from error

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)


def _slot(data: bytes) -> tuple[int, Mark] | None:
    if len(data) < _SLOT.size:
        return None
    checksum, turn, number, offset, run, sequence, stream_sequence, incarnation = _SLOT.unpack_from(data)
    if not turn or crc32(data[4 : _SLOT.size]) != checksum:
        return None
    return turn, Mark(number, offset, run, sequence, stream_sequence, incarnation)
