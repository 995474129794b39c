"""Results that were taken from the ring and are not in the ledger yet, in a file: a crash loses none of them.

A frame: u32 length and u32 CRC-32 of what follows; the run's id (16), when it was received (i64 unix ns),
the message. Written without a flush, since what it guards against is the end of the process; ``flush`` when
something has to stay longer.
"""

import errno
import os
import struct
import zlib
from pathlib import Path
from typing import Final, NamedTuple

FILE_NAME: Final = "executed.spool"
_HEAD: Final = struct.Struct("<II")
_WHOSE: Final = struct.Struct("<16sq")


class Spooled(NamedTuple):
    """One message, as it came from the ring of a run."""

    run_id: bytes
    unix_ns: int
    message: bytes


class Spool:
    """One open spool file; ``OSError`` when it can't be read or written."""

    def __init__(self, folder: Path) -> None:
        self._file = os.open(folder / FILE_NAME, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self.cut_bytes = 0
        """Bytes of a torn tail that ``load`` cut off."""
        self._size = 0

    def load(self) -> list[Spooled]:
        """What a predecessor left, in order."""
        data = os.pread(self._file, os.fstat(self._file).st_size, 0)
        found, at = [], 0
        while at + _HEAD.size <= len(data):
            length, checksum = _HEAD.unpack_from(data, at)
            body = data[at + _HEAD.size : at + _HEAD.size + length]
            if length < _WHOSE.size or len(body) != length or zlib.crc32(body) != checksum:
                break
            run_id, unix_ns = _WHOSE.unpack_from(body)
            found.append(Spooled(run_id, unix_ns, body[_WHOSE.size :]))
            at += _HEAD.size + length
        self.cut_bytes = len(data) - at
        os.ftruncate(self._file, at)
        self._size = at
        return found

    def append(self, one: Spooled) -> None:
        """One message more, whole or not at all."""
        body = _WHOSE.pack(one.run_id, one.unix_ns) + one.message
        frame = _HEAD.pack(len(body), zlib.crc32(body)) + body
        written = os.write(self._file, frame)
        if written != len(frame):
            os.ftruncate(self._file, self._size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), FILE_NAME)
        self._size += written

    def flush(self) -> None:
        """To the disk."""
        os.fdatasync(self._file)

    def clear(self) -> None:
        """All of them are booked."""
        if self._size:
            os.ftruncate(self._file, 0)
            self._size = 0

    def close(self) -> None:
        os.close(self._file)
