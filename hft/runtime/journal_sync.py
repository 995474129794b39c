"""Puts journals on disk from a thread, so that no duty cycle waits for a disk."""

import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from hft.runtime.stream_journal import JournalError, StreamJournal


class JournalSync:
    """Syncs each journal within its interval. intervals_ns: one a journal, 0: left to the kernel."""

    def __init__(self, journals: Sequence[StreamJournal], intervals_ns: Sequence[int]) -> None:
        self.syncs = 0
        self._journals = tuple(zip(journals, intervals_ns, strict=True))
        self._due_ns = [0] * len(self._journals)
        self._work: Future[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal-sync")

    def poll(self, now_ns: int) -> None:
        """Begin what is due. Raises JournalError when the last sync failed: nobody knows what is on disk."""
        if self._work is not None:
            if not self._work.done():
                return
            work, self._work = self._work, None
            try:
                work.result()
            except OSError as error:
                raise JournalError(f"a journal can't be put on disk: {error.strerror}") from error
        descriptors: list[int] = []
        for number, (journal, interval_ns) in enumerate(self._journals):
            if journal.written_unsynced and interval_ns and now_ns >= self._due_ns[number]:
                descriptors.append(journal.sync_descriptor())
                self._due_ns[number] = now_ns + interval_ns
            descriptors += journal.sealed
            journal.sealed.clear()
        if descriptors:
            self.syncs += len(descriptors)
            self._work = self._thread.submit(_sync, descriptors)

    def close(self) -> None:
        """Wait for what is under way."""
        self._thread.shutdown(wait=True)


def _sync(descriptors: Sequence[int]) -> None:
    try:
        for descriptor in descriptors:
            os.fdatasync(descriptor)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
