"""A lane: one link's way from its journal to its stream, in order, kept until the server has it.

What is sent is read from the journal, whether it was written a moment ago or by a predecessor. In doubt
everything from the first unanswered message on is sent again: the server stores an id once within the
stream's duplicate window, and at each connection what the stream holds behind the mark is read back
(``high_water``), so that beyond the window nothing is sent twice either.
"""

from collections import deque
from collections.abc import Collection
from typing import NamedTuple

from hft.runtime.journal_format import Entry, Header
from hft.runtime.journal_mark import UNKNOWN, Mark, MarkFile
from hft.runtime.stream_journal import Position, Reader, StreamJournal

WINDOW = 2048
"""Messages of a lane in flight. JetStream drops without a word what exceeds 10,000 in a stream's queue."""

CONFLATE_ABOVE = 8192
"""Unpublished messages of a conflated lane above which only the newest of each subject among them is sent."""


Flight = tuple[int, int, int, int, bytes, int]
"""A message on its way: the ticket that its answer carries (-1: none is asked for), segment, offset behind
it, index behind it, run, sequence."""


class Held(NamedTuple):
    """What was found in a stream: its incarnation and last place; ``ids``: of ours, behind the mark (run in
    hex, sequence); ``newest``: our last one, if the stream has lost its end and the mark leads beyond."""

    incarnation: int
    stream_sequence: int
    ids: Collection[tuple[str, int]]
    newest: tuple[str, int] | None = None


class Lane:
    """One link's way to one stream.

    number: first token of an answer's subject. held: nothing is sent until it is cleared.
    conflated: under pressure a newer message stands for the older ones of its subject.
    Counts since it was made: ``published`` (stored, answered or found), ``repeated`` (sent again),
    ``duplicates`` (the server had them), ``found`` (read back from the stream), ``refused`` (answers that
    were errors), ``conflated``, ``abandoned`` (deleted unpublished).
    """

    def __init__(
        self,
        number: int,
        journal: StreamJournal,
        marks: MarkFile,
        *,
        conflates: bool = False,
        window: int = WINDOW,
    ) -> None:
        self.name = journal.link
        self.journal = journal
        self.held = True
        self.epoch = 0
        self.published = self.repeated = self.duplicates = self.found = 0
        self.refused = self.conflated = self.abandoned = 0
        self._number = number
        self._marks = marks
        self._conflates = conflates
        self._window = window
        mark = marks.mark
        self._fresh = not journal.end.place
        at = journal.position_at(mark.number, mark.offset) if mark is not None else None
        self._base = at or journal.begin
        self._reader = Reader(journal, self._base)
        self._flying: deque[Flight] = deque()
        self._ticket = 0
        self._known: set[tuple[str, int]] = set()
        self._newest = (mark.run, mark.sequence, mark.stream_sequence) if mark is not None else _NOTHING
        self._incarnation = mark.incarnation if mark is not None else 0
        journal.keep_from(self._base)

    @property
    def mark(self) -> Mark | None:
        """How far the stream has got; None before it was ever looked at."""
        if not self._incarnation:
            return None
        return Mark(self._base.number, self._base.offset, *self._newest, self._incarnation)

    @property
    def fresh(self) -> bool:
        """Whether nothing of this journal can be in any stream yet."""
        return self._fresh and self._marks.mark is None

    @property
    def settled(self) -> int:
        """Index of the first record of the journal that is not published."""
        return self._base.place

    @property
    def waiting(self) -> int:
        """Messages not sent yet."""
        return self._reader.unread

    @property
    def flying(self) -> int:
        """Messages sent and not answered."""
        return len(self._flying)

    @property
    def backlog(self) -> int:
        """Messages the stream is not known to have."""
        return self.journal.end.place - self._base.place

    def next(self, limit: int, inbox: bytes) -> list[bytes]:
        """At most ``limit`` messages to be sent now, as the client protocol wants them; answers go to
        ``inbox`` + lane, epoch and ticket."""
        room = min(limit, self._window - len(self._flying))
        if self.held or room <= 0 or self._reader.unread <= 0:
            return []
        pressed = self._conflates and self._reader.unread > CONFLATE_ABOVE
        before = self._reader.position
        taken = self._reader.take(CONFLATE_ABOVE if pressed else room)
        if taken is None:
            return []
        header, entries = taken
        skipped = _superseded(entries) if pressed else frozenset()
        return self._encode(header, entries, before.place, skipped, inbox)

    def _encode(
        self, header: Header, entries: list[Entry], index: int, skipped: Collection[int], inbox: bytes
    ) -> list[bytes]:
        run, number = header.run, header.number
        reply = b"%b%d.%d." % (inbox, self._number, self.epoch)
        prefix = b"NATS/1.0\r\nNats-Msg-Id: %b:%b:" % (run.hex().encode(), self.name.encode())
        known, ticket, fly = self._known, self._ticket, self._flying.append
        constant = len(prefix) + 4
        sent: list[bytes] = []
        for sequence, _, subject, payload, end in entries:
            index += 1
            if sequence in skipped or (known and (run.hex(), sequence) in known):
                self.conflated += sequence in skipped
                self.found += sequence not in skipped
                fly((-1, number, end, index, run, sequence))
                continue
            ticket += 1
            digits = b"%d" % sequence
            head = constant + len(digits)
            sent.append(
                b"HPUB %b %b%d %d %d\r\n%b%b\r\n\r\n%b\r\n"
                % (subject, reply, ticket, head, head + len(payload), prefix, digits, payload)
            )
            fly((ticket, number, end, index, run, sequence))
        self._ticket = ticket
        self._settle_silent()
        return sent

    def acknowledge(self, epoch: int, ticket: int, stream_sequence: int, *, duplicate: bool) -> bool:
        """The server has the message of that ticket at that place. False: of an earlier epoch, or its answer
        came before another's, which is lost; the lane rewinds then."""
        flying = self._flying
        if epoch != self.epoch or not flying or ticket < flying[0][0]:
            return False
        if flying[0][0] != ticket:
            self.rewind()
            return False
        _, number, offset, index, run, sequence = flying.popleft()
        self._base = Position(number, offset, index)
        self._newest = (run, sequence, stream_sequence)
        self.published += 1
        self.duplicates += duplicate
        if flying and flying[0][0] < 0:
            self._settle_silent()
        return True

    def refuse(self, epoch: int) -> bool:
        """The server answered with an error: hold the lane, take back all that flies. False if stale."""
        if epoch != self.epoch:
            return False
        self.refused += 1
        self.held = True
        self.rewind()
        return True

    def rewind(self) -> int:
        """Take everything in flight back, to be sent again in order; returns how many."""
        count = sum(flight[0] >= 0 for flight in self._flying)
        self.epoch += 1
        self._flying.clear()
        self._reader.seek(self._base)
        self.repeated += count
        return count

    def resume(self, held: Held) -> None:
        """Go on from what the stream holds, as it was found at this connection; the mark is on disk before
        anything is sent."""
        self.rewind()
        if held.newest is not None:
            run, sequence = bytes.fromhex(held.newest[0]), held.newest[1]
            at = self.journal.position_after(run, sequence)
            if at is not None:
                self._base = at
                self._newest = (run, sequence, held.stream_sequence)
        if held.incarnation != self._incarnation:
            self._newest = (self.journal.run, UNKNOWN, held.stream_sequence if self.fresh else 0)
        self._incarnation = held.incarnation
        self._known = set(held.ids)
        self._reader.seek(self._base)
        self.save(durable=True)
        self.held = False

    def save(self, *, durable: bool = False) -> None:
        """Write the mark down if it has moved, and let the journal know what it may delete."""
        mark = self.mark
        if mark is not None and mark != self._marks.mark:
            self._marks.write(mark, durable=durable)
        self.journal.keep_from(self._base)

    def abandon_oldest(self) -> bool:
        """Delete the journal's oldest finished segment, published or not; False if there is none."""
        begin = self.journal.discard_oldest()
        if begin is None:
            return False
        if begin.place > self._base.place:
            self.rewind()
            self.abandoned += begin.place - self._base.place
            self._base = begin
            self._reader.seek(begin)
            self.save()
        return True

    def close(self) -> None:
        """Write the mark down and let go of the files."""
        self.save(durable=True)
        self._reader.close()
        self._marks.close()
        self.journal.close()

    def _settle_silent(self) -> None:
        """What needs no answer and has nothing before it is done."""
        flying = self._flying
        while flying and flying[0][0] < 0:
            _, number, offset, index, run, sequence = flying.popleft()
            self._base = Position(number, offset, index)
            if (run.hex(), sequence) in self._known:
                self._known.discard((run.hex(), sequence))
                self.published += 1


_NOTHING = (bytes(16), UNKNOWN, 0)


def _superseded(entries: list[Entry]) -> frozenset[int]:
    """Sequences of those that have a newer one of their subject behind them."""
    newest = {entry.subject: entry.sequence for entry in entries}
    return frozenset(entry.sequence for entry in entries if newest[entry.subject] != entry.sequence)
