"""The intent journal: what was signed is on disk before it goes out, so that a crash never loses sight of a
transaction nor sends a plan twice.

``begin`` returns when the kernel says that the bytes are on the disk. ``note`` comes before a ``begin`` that
another thread carries out: it hands the bytes to the kernel alone, so that from then on the death of the
process does not lose them. Nor does it lose what ``sent`` and ``end`` write; should the machine lose its
power before the next ``begin`` has taken that to the disk, the intent is found open and followed to the same
end once more. The file is written anew from what is open at each start and whenever it has grown past its
limit.
"""

import asyncio
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Final, NamedTuple

from hft.chain.journal_records import (
    FILE_MAGIC,
    Ended,
    Intent,
    JournalError,
    JournalErrorCode,
    Record,
    Sent,
    record_bytes,
    scan,
)
from hft.wire.enums import EndState

FILE_NAME: Final = "journal.bin"
SIZE_LIMIT: Final = 16 << 20
REMEMBERED: Final = 1_024
"""Ended plans kept, to recognise one that is delivered again: after a crash a link delivers again what one
poll took, and a plan that old has expired long since."""
_PROVEN_DEAD: Final = frozenset((EndState.EXPIRED, EndState.REJECTED))


class Resign(Enum):
    """Whether a plan may be signed."""

    FIRST = "first"
    """It never was."""
    REPLACEMENT = "replacement"
    """It was, and those bytes are proven unable to land."""
    MAY_STILL_LAND = "may_still_land"
    ENDED = "ended"
    """It has landed, or nobody knows: not again."""

    @property
    def allowed(self) -> bool:
        """Whether to sign."""
        return self in (Resign.FIRST, Resign.REPLACEMENT)


class Open(NamedTuple):
    """An intent without an end, and who is known to have taken it."""

    intent: Intent
    sent: tuple[Sent, ...]


class Journal:
    """See the module. One process (the wallet's lock sees to that); ``note`` may be called beside a thread
    that calls the rest."""

    def __init__(self, folder: Path) -> None:
        """Opens or makes the journal in ``folder``; ``cut_bytes`` of a torn tail are gone afterwards.

        ``JournalError``: CORRUPT or FOREIGN (the file is left as it is), DISK.
        """
        self._path = folder / FILE_NAME
        self._file = -1
        self._size = 0
        self._lock = threading.Lock()
        self._noted: set[bytes] = set()
        self.open: dict[bytes, Open] = {}
        self.ended: OrderedDict[bytes, EndState] = OrderedDict()
        try:
            data = self._path.read_bytes() if self._path.exists() else b""
            found = scan(data)
            self.cut_bytes = len(data) - found.whole_bytes if data else 0
            for record in found.records:
                self._apply(record)
            self._rewrite()
        except JournalError as error:
            raise JournalError(error.code, f"{self._path}: {error}") from error
        except OSError as error:
            raise JournalError(JournalErrorCode.DISK, f"{self._path}: {error.strerror}") from error

    def may_sign(self, plan_id: bytes) -> Resign:
        """Whether a plan may be signed (again): only if it never was, or if what was signed can't land."""
        if plan_id in self.open:
            return Resign.MAY_STILL_LAND
        state = self.ended.get(plan_id)
        if state is None:
            return Resign.FIRST
        return Resign.REPLACEMENT if state in _PROVEN_DEAD else Resign.ENDED

    def begin(self, intent: Intent) -> None:
        """Puts an intent on disk. ``ValueError`` if ``may_sign`` forbids it, ``JournalError`` DISK."""
        with self._lock:
            noted = intent.signature in self._noted
            self._noted.discard(intent.signature)
        if not noted:
            self._write(intent, signing=True)
        self._sync()

    def note(self, intent: Intent) -> None:
        """Hands an intent to the kernel, without a wait for the disk; errors as ``begin``."""
        self._write(intent, signing=True)
        self._noted.add(intent.signature)

    def sent(self, sent: Sent) -> None:
        """Notes that somebody took the plan's bytes."""
        self._write(sent)

    def end(self, intent: Intent, state: EndState) -> None:
        """Notes the end of what is open with these bytes: the end of others signed for the same plan (and
        refused for it) is not theirs. UNKNOWN is none: such an intent stays open, to be looked up after the
        next start."""
        known = self.open.get(intent.plan_id)
        if known is None or known.intent.signature != intent.signature:
            return
        if state is not EndState.UNKNOWN:
            self._write(Ended(intent.plan_id, state))
            if self.has_grown:
                with self._lock:
                    self._rewrite()

    @property
    def has_grown(self) -> bool:
        """Whether the next end has it written anew."""
        return self._size > SIZE_LIMIT

    def close(self) -> None:
        """Closes the file, once the disk has all of it."""
        if self._file >= 0:
            with suppress(OSError):
                os.fdatasync(self._file)
            os.close(self._file)
            self._file = -1

    def remove(self) -> None:
        """Closes the journal and takes its file and folder away."""
        self.close()
        self._path.unlink(missing_ok=True)
        self._path.parent.rmdir()

    def _apply(self, record: Record) -> None:
        if isinstance(record, Intent):
            self.ended.pop(record.plan_id, None)
            self.open[record.plan_id] = Open(record, ())
        elif isinstance(record, Sent):
            known = self.open.get(record.plan_id)
            if known is not None and record not in known.sent:
                self.open[record.plan_id] = Open(known.intent, (*known.sent, record))
        else:
            self.open.pop(record.plan_id, None)
            self.ended[record.plan_id] = record.state
            self.ended.move_to_end(record.plan_id)
            while len(self.ended) > REMEMBERED:
                self.ended.popitem(last=False)

    def _write(self, record: Record, *, signing: bool = False) -> None:
        data = record_bytes(record)
        with self._lock:
            if signing and (record.plan_id in self.open or record.plan_id in self.ended):
                verdict = self.may_sign(record.plan_id)
                if not verdict.allowed:
                    name = record.plan_id.hex()
                    raise ValueError(f"plan {name}: {verdict.value}; it must not be signed again")
            if self._file < 0:
                raise JournalError(JournalErrorCode.DISK, f"{self._path}: closed")
            try:
                written = os.write(self._file, data)
                reason = f"only {written} of {len(data)} bytes could be written"
            except OSError as error:
                written, reason = -1, str(error.strerror)
            if written != len(data):
                # What was written of it must not stand in front of the next record.
                os.ftruncate(self._file, self._size)
                raise JournalError(JournalErrorCode.DISK, f"{self._path}: {reason}")
            self._size += written
            self._apply(record)

    def _sync(self) -> None:
        """Waits for the disk, and keeps nobody who notes waiting with it."""
        with self._lock:
            if self._file < 0:
                raise JournalError(JournalErrorCode.DISK, f"{self._path}: closed")
            file = os.dup(self._file)
        try:
            os.fdatasync(file)
        except OSError as error:
            raise JournalError(JournalErrorCode.DISK, f"{self._path}: {error.strerror}") from error
        finally:
            os.close(file)

    def _rewrite(self) -> None:
        """What is open, and the ends that are remembered, into a new file, put in the old one's place."""
        records: list[Record] = [Ended(plan_id, state) for plan_id, state in self.ended.items()]
        for known in self.open.values():
            records += (known.intent, *known.sent)
        data = FILE_MAGIC + b"".join(map(record_bytes, records))
        fresh = self._path.with_suffix(".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
            os.replace(fresh, self._path)
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError:
            os.close(descriptor)
            raise
        self.close()
        self._file, self._size = descriptor, len(data)


class JournalWriter:
    """A journal for coroutines: where the disk is waited for, it is in a thread of its own."""

    def __init__(self, journal: Journal, begin_thread: Callable[[], None] | None = None) -> None:
        """``begin_thread``: called first in that thread."""
        self.journal = journal
        self._thread = ThreadPoolExecutor(1, "journal", begin_thread)

    async def begin(self, intent: Intent) -> None:
        """``Journal.begin``."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self.journal.begin, intent)

    async def end(self, intent: Intent, state: EndState) -> None:
        """``Journal.end`` of a journal that has grown."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self.journal.end, intent, state)

    def close(self) -> None:
        """Waits for the thread, closes the journal."""
        self._thread.shutdown(wait=True)
        self.journal.close()
