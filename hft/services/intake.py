"""One link's way into the sidecar: from the ring to the journal, and what is counted of it.

A gating link's messages are copied without being read, written to the journal, and only then read past: at no
moment is one in neither. What a killed predecessor wrote and did not read past is skipped by its sequence.
An observing link's messages are taken as they come; without room in the journal its oldest part gives way.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hft import wire
from hft.runtime.journal_format import Rows

if TYPE_CHECKING:
    from hft.runtime.lane import Lane
    from ringbuf import Subscription

BATCH = 256
"""Messages taken from a link in one duty cycle."""

COUNTS: tuple[str, ...] = (
    "in",
    "recovered",
    "out",
    "lost",
    "dropped_corrupt",
    "dropped_conflated",
    "dropped_journal_full",
    "dropped_expired",
)
"""Per link: in + recovered = out + dropped (by reason) + what is unpublished in the journal. in: taken from
the ring; recovered: of earlier runs, found unpublished at the start of this one; out: known to be in the
stream; lost: overrun, never taken; corrupt: no valid message of this link; conflated: gave way to a newer
one; journal_full, expired: gave way to the journal's limits of size and age."""


class Intake:
    """One link; its lane leads on from the journal."""

    def __init__(self, subscription: "Subscription", lane: "Lane", before: tuple[int, ...]) -> None:
        """``before``: what a predecessor in this run counted, in the order of ``COUNTS``."""
        self.link = lane.name
        self.lane = lane
        self.gating = subscription.gating
        self.subscription = subscription
        self.stuck = False
        """The journal had no room for what waits; until it has, the writer of the link waits."""
        self.complaint = ""
        self.corrupt = before[4]
        self.dropped_full = before[6]
        self.expired = before[7]
        self._journal = lane.journal
        self._readers = {key: read for key, (link, read) in wire.SUBJECT_READERS.items() if link == lane.name}
        self._journaled = lane.journal.last_sequence
        self._wanted = 0
        # The page may be some milliseconds behind what a killed predecessor did; ring and journal are not.
        successor = subscription.sequence > subscription.lost or lane.journal.run_count > 0
        self._recovered = before[1] if successor else lane.backlog
        self._conflated_before = before[5]
        known = self._recovered + lane.journal.run_count - lane.backlog
        self._out_before = max(known - before[5] - before[6] - before[7], 0)
        self._stamps: deque[tuple[int, int]] = deque()

    @property
    def available(self) -> bool:
        """Whether there is something that may be taken."""
        return bool(self.subscription.lag) and not self.stuck

    def poll(self, now_ns: int, unix_ns: int) -> int:
        """Take a batch into the journal; how many messages."""
        if self.stuck or not self.subscription.lag:
            return 0
        return self._copy(now_ns, unix_ns) if self.gating else self._take(now_ns, unix_ns)

    def retry(self) -> None:
        """Look whether the journal has room again."""
        if self._journal.low:
            self._journal.reserve()
        if self.stuck:
            self.stuck = not self._journal.ready(self._wanted)

    def expire(self, oldest_unix_ns: int) -> None:
        """Let go of what is older: what is published; on an observing link what is not, too."""
        self._journal.expire(oldest_unix_ns)
        while not self.gating and 0 < self._journal.oldest_newest_unix_ns() < oldest_unix_ns:
            before = self.lane.abandoned
            self.lane.abandon_oldest()
            self.expired += self.lane.abandoned - before

    def acknowledged_ns(self) -> int:
        """When the newest of those batches was taken that are published as a whole; 0 without a new one."""
        taken_ns = 0
        while self._stamps and self._stamps[0][0] <= self.lane.settled:
            taken_ns = self._stamps.popleft()[1]
        return taken_ns

    def counts(self) -> tuple[int, ...]:
        """Totals of this run, in the order of ``COUNTS``."""
        return (
            self.subscription.sequence - self.subscription.lost,
            self._recovered,
            self._out_before + self.lane.published,
            self.subscription.lost,
            self.corrupt,
            self._conflated_before + self.lane.conflated,
            self.dropped_full,
            self.expired,
        )

    def _copy(self, now_ns: int, unix_ns: int) -> int:
        """Copy, write, read past."""
        first = self.subscription.sequence
        payloads = self.subscription.peek(BATCH)
        if not payloads:  # it joined a link under way: nobody waits for it yet
            self._wanted = self._journal.segment_bytes // 2
            self.stuck = not self._journal.ready(self._wanted)
            return 0 if self.stuck else self._take(now_ns, unix_ns)
        last = first + len(payloads) - 1
        rows, refused = self._rows(range(first, last + 1), payloads)
        if rows and not self._write(rows, last, now_ns, unix_ns):
            self.stuck = True
            return 0
        self.subscription.poll(len, limit=len(payloads))
        self._refuse(refused)
        return len(payloads)

    def _take(self, now_ns: int, unix_ns: int) -> int:
        """Take, write; what finds no room is dropped, the oldest first."""
        sequences: list[int] = []
        payloads: list[bytes] = []
        take, subscription = self.subscription.take, self.subscription
        while len(payloads) < BATCH and (payload := take()) is not None:
            sequences.append(subscription.sequence - 1)
            payloads.append(payload)
        rows, refused = self._rows(sequences, payloads)
        self._refuse(refused)
        if rows and not self._write(rows, sequences[-1], now_ns, unix_ns):
            self._make_room(rows, sequences[-1], now_ns, unix_ns)
        return len(payloads)

    def _make_room(self, rows: Rows, last: int, now_ns: int, unix_ns: int) -> None:
        before = self.lane.abandoned
        while self.lane.abandon_oldest():
            if self._write(rows, last, now_ns, unix_ns):
                break
        else:
            self.dropped_full += len(rows)
            self.complaint = f"{len(rows)} messages of {self.link} are dropped: no room for the journal"
        self.dropped_full += self.lane.abandoned - before

    def _write(self, rows: Rows, last: int, now_ns: int, unix_ns: int) -> bool:
        """Append to the journal; False when it has no room."""
        self._wanted = rows.size
        if not (self._journal.ready(self._wanted) and self._journal.append(rows, unix_ns)):
            return False
        self._journaled = last
        self._stamps.append((self._journal.end.place, now_ns))
        return True

    def _rows(self, sequences: Sequence[int], payloads: Sequence[bytes]) -> tuple[Rows, list[str]]:
        """The journal's records of what is valid and not there yet; and what is wrong with the others."""
        there = bisect_right(sequences, self._journaled)
        if there:
            sequences, payloads = sequences[there:], payloads[there:]
        readers = self._readers
        try:
            subjects = [readers[payload[4:8]](payload) for payload in payloads]
        except (KeyError, wire.WireError):
            return self._valid_rows(sequences, payloads)
        return Rows(sequences, subjects, payloads), []

    def _valid_rows(self, sequences: Sequence[int], payloads: Sequence[bytes]) -> tuple[Rows, list[str]]:
        """The same where some are not valid: one by one."""
        valid: list[tuple[int, bytes, bytes]] = []
        refused: list[str] = []
        for sequence, payload in zip(sequences, payloads, strict=True):
            try:
                codec = wire.codec_of(payload)
                link, subject_of = wire.SUBJECT_READERS[codec.identifier]
                subject = subject_of(payload)
            except wire.WireError as error:
                refused.append(f"message {sequence} of {self.link} is dropped: {error}")
                continue
            if link == self.link:
                valid.append((sequence, subject, payload))
            else:
                why = f"{codec.name} belongs to {link}"
                refused.append(f"message {sequence} of {self.link} is dropped: {why}")
        return Rows.of(valid), refused

    def _refuse(self, refused: list[str]) -> None:
        self.corrupt += len(refused)
        if refused:
            self.complaint = refused[-1]
