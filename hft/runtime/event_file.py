"""A file of lines that is replaced by size and by age, and of which a bounded number is kept.

A batch of lines is written whole or not at all: what a full disk cuts off is taken back, and so is a torn
last line that a killed process left.
"""

import contextlib
import os
from pathlib import Path


class EventFile:
    """``FILE`` is the newest; ``FILE.1`` … ``FILE.COUNT`` are older ones, at most ``count`` of them.

    limit_bytes: a file that reached it is followed by a new one. age_ns: so is an older one. Times come from
    the caller.
    """

    def __init__(self, file: Path, *, limit_bytes: int, age_ns: int, count: int) -> None:
        self.file = file
        self.rotations = 0
        self._limit_bytes = limit_bytes
        self._age_ns = age_ns
        self._count = count
        self._descriptor = -1
        self._size = 0
        self._begun_unix_ns = 0

    def write(self, lines: bytes, now_unix_ns: int) -> None:
        """Append whole lines. ``OSError`` when the disk takes none of them; the next call tries again."""
        if self._descriptor < 0:
            self._open(now_unix_ns)
        elif self._size and (
            self._size >= self._limit_bytes or now_unix_ns - self._begun_unix_ns >= self._age_ns
        ):
            self._rotate(now_unix_ns)
        try:
            view = memoryview(lines)
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(lines)

    def close(self) -> None:
        """Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self, now_unix_ns: int) -> None:
        self._descriptor = os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = _cut_torn_line(self._descriptor)
        # A file's own times change with each line: its age counts from when this process first saw it.
        self._begun_unix_ns = now_unix_ns

    def _rotate(self, now_unix_ns: int) -> None:
        self.close()
        older_files = (self.file.with_name(f"{self.file.name}.{n}") for n in range(1, self._count + 1))
        names = [self.file, *older_files]
        for older, newer in zip(reversed(names[1:]), reversed(names[:-1]), strict=True):
            if newer.exists():
                newer.replace(older)
        if not self._count:
            self.file.unlink(missing_ok=True)
        self.rotations += 1
        self._open(now_unix_ns)


def _cut_torn_line(descriptor: int) -> int:
    """The file's size once everything after its last whole line is gone."""
    size = os.fstat(descriptor).st_size
    end = size
    while end:
        start = max(0, end - 65_536)
        found = os.pread(descriptor, end - start, start).rfind(b"\n")
        if found >= 0:
            end = start + found + 1
            break
        end = start
    if end != size:
        os.ftruncate(descriptor, end)
    return end
