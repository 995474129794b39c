"""Captures: market data on disk as a feed took it, written while it comes and read back by a replay.

A capture ends by itself at its limit of bytes. A file whose writing was cut off ends at its last whole
record, and tells what was cut; one that is damaged before its end is refused, with the place.
"""

import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from hft.runtime import capture_format as layout
from hft.runtime.capture_format import Happening, Header, Record
from hft.runtime.exit_codes import ExitCode, HftError

LIMIT_BYTES = 1 << 30
"""Size at which a capture ends unless told otherwise."""
BUFFER_BYTES = 1 << 20


class CaptureError(HftError):
    """A capture that can't be written or read; the message names the file, the offset and what is right."""

    code = ExitCode.CAPTURE


class CaptureWriter:
    """One new file. ``put`` what happened in order of time; after ``full`` nothing more is taken."""

    def __init__(self, file: Path, header: Header, *, limit_bytes: int = LIMIT_BYTES) -> None:
        """``CaptureError`` when the file is there already or can't be made, or the limit is too small."""
        if limit_bytes < layout.HEADER.size:
            raise CaptureError(f"a capture takes {layout.HEADER.size} bytes at least, not {limit_bytes}")
        self.file = file
        self.records = 0
        self.accounts = 0
        self.bytes = 0
        self.full = ""
        """Why nothing more is taken; empty while it is."""
        self._limit = limit_bytes
        self._newest_ns = header.start_ns
        try:
            self._out = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise CaptureError(f"{file}: {error.strerror}; a capture is a new file") from error
        self._pending = bytearray()
        self._append(layout.encode_header(header))

    def put(self, events: list[Happening], taken_ns: int) -> bool:
        """What was taken together at ``taken_ns`` (monotonic, never before an earlier one), as a whole or not
        at all; False at the limit, or when the disk takes nothing more: ``full`` says which."""
        if self.full:
            return False
        if taken_ns < self._newest_ns:
            raise ValueError(f"{taken_ns} ns comes before {self._newest_ns} ns")
        self._newest_ns = taken_ns
        final = len(events) - 1
        data = b"".join(
            layout.encode(event, taken_ns, last=place == final) for place, event in enumerate(events)
        )
        if self.bytes + len(data) > self._limit:
            self.full = f"the limit of {self._limit:,} bytes is reached"
            return False
        if not self._append(data):
            return False
        self.records += len(events)
        self.accounts += sum(isinstance(event, layout.ACCOUNTS) for event in events)
        return True

    def flush(self) -> None:
        """Hands what waits to the kernel: from then on it outlives this process."""
        while self._pending:
            try:
                del self._pending[: os.write(self._out, self._pending)]
            except OSError as error:
                # What stands there is cut back to its last whole record by whoever reads it.
                self.full = f"the disk takes nothing more: {error.strerror}"
                self._pending.clear()

    def close(self) -> None:
        """Writes what waits, and has it on disk."""
        self.flush()
        try:
            os.fsync(self._out)
        except OSError as error:
            self.full = self.full or f"the disk takes nothing more: {error.strerror}"
        os.close(self._out)

    def _append(self, data: bytes) -> bool:
        self._pending += data
        self.bytes += len(data)
        if len(self._pending) >= BUFFER_BYTES:
            self.flush()
        return not self.full


class Capture:
    """One capture to read; iterate over it for its records. Use it as a context manager."""

    def __init__(self, file: Path) -> None:
        """Reads the whole file once. ``CaptureError``: it is no capture of this layout, has another schema
        hash, or is corrupt before its end."""
        self.file = file
        data = self._data = _mapped(file)
        header = layout.decode_header(data)
        if isinstance(header, str):
            self.close()
            raise CaptureError(f"{file}: {header}")
        self.header = header
        self.records = 0
        self.end_ns = header.start_ns
        self.end = layout.HEADER.size
        """Where the last whole record ends."""
        while (frame := layout.frame_at(data, self.end)) is not None:
            if frame[0] < self.end_ns:
                self._refuse(f"goes back in time at byte {self.end:,}")
            self.end_ns, self.end = frame
            self.records += 1
        damage = layout.damage_at(data, self.end)
        if damage is not None and not damage.torn:
            self._refuse(f"corrupt at byte {damage.at:,} of {len(data):,}: {damage.text}")
        self.torn_bytes = len(data) - self.end
        """Bytes of an unfinished last write, which are left out."""

    @property
    def duration_ns(self) -> int:
        """From its start to its last record."""
        return self.end_ns - self.header.start_ns

    def __iter__(self) -> Iterator[Record]:
        data, at = self._data, layout.HEADER.size
        while at < self.end:
            record = layout.record_at(data, at)
            if record is None:
                raise CaptureError(f"{self.file}: byte {at:,}: a record whose content makes no sense")
            at = record.end
            yield record

    def __enter__(self) -> "Capture":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the file."""
        data, self._data = self._data, b""
        if isinstance(data, mmap.mmap):
            data.close()

    def _refuse(self, why: str) -> None:
        self.close()
        raise CaptureError(f"{self.file}: {why}")


def _mapped(file: Path) -> layout.Bytes:
    try:
        with file.open("rb") as opened:
            if os.fstat(opened.fileno()).st_size == 0:
                return b""
            return mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise CaptureError(f"{file}: can't be read: {error.strerror}") from error
