"""A lane: one link's way from its journal to its stream, in order, kept until the server has it.

What is sent is read from the journal, whether it was written a moment ago or by a predecessor. In doubt
everything from the first unanswered message on is sent again: the server stores an id once within the
stream's duplicate window, and at each connection what the stream holds behind the mark is read back
(``high_water``), so that beyond the window nothing is sent twice either.
"""

from collections import deque
from collections.abc import Callable, Collection
from itertools import groupby
from typing import NamedTuple

from hft.runtime.bridge_stamps import CLOCK_HEADER, TAKEN_HEADER
from hft.runtime.journal_format import Entry, Header
from hft.runtime.journal_mark import UNKNOWN, Mark, MarkFile
from hft.runtime.nats_wire import Answer
from hft.runtime.stream_journal import Position, Reader, StreamJournal

WINDOW = 2048
"""Messages of a lane in flight. JetStream drops without a word what exceeds 10,000 in a stream's queue."""

CONFLATE_ABOVE = 8192
"""Unpublished messages of a conflated lane above which only the newest of each subject among them is sent."""


class Flight:
    """Messages in a row on their way, of one segment. ticket: the first one's, -1 if no answer is asked for;
    place: records of the journal before the first; done: how many are answered."""

    __slots__ = ("done", "entries", "header", "place", "ticket")

    def __init__(self, header: Header, entries: list[Entry], place: int, ticket: int) -> None:
        self.header = header
        self.entries = entries
        self.place = place
        self.ticket = ticket
        self.done = 0

    @property
    def left(self) -> int:
        """Messages that are not answered."""
        return len(self.entries) - self.done


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
    clock_ns: unix time minus monotonic time, told with each message of this run (``bridge_stamps``); one of
    an earlier run, whose monotonic time may be another boot's, tells when it was journaled.
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
        clock_ns: Callable[[], int] | None = None,
    ) -> None:
        self.name = journal.link
        self.journal = journal
        self.held = True
        self.epoch = 0
        self.published = self.repeated = self.duplicates = self.found = 0
        self.refused = self.conflated = self.abandoned = 0
        self._name = journal.link.encode()
        self._number = number
        self._marks = marks
        self._conflates = conflates
        self._window = window
        self._clock_ns = clock_ns
        mark = marks.mark
        self._fresh = not journal.end.place
        at = journal.position_at(mark.number, mark.offset) if mark is not None else None
        self._base = at or journal.begin
        self._reader = Reader(journal, self._base)
        self._flying: deque[Flight] = deque()
        self._last: Flight
        self._in_flight = 0
        self._probing = False
        self._ticket = 0
        self._next_ticket = 1
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
        return self._in_flight

    @property
    def backlog(self) -> int:
        """Messages the stream is not known to have."""
        return self.journal.end.place - self._base.place

    def next(self, limit: int, inbox: bytes) -> list[bytes]:
        """At most ``limit`` messages to be sent now, as the client protocol wants them; answers go to
        ``inbox`` + lane, epoch and ticket."""
        room = min(limit, (1 if self._probing else self._window) - self._in_flight)
        if self.held or room <= 0 or self._reader.unread <= 0:
            return []
        pressed = self._conflates and not self._probing and self._reader.unread > CONFLATE_ABOVE
        before = self._reader.position
        taken = self._reader.take(CONFLATE_ABOVE if pressed else room)
        if taken is None:
            return []
        header, entries = taken
        skipped = _superseded(entries) if pressed else frozenset()
        if not skipped and not self._known:
            return self._fly(header, entries, before.place, inbox)
        return self._fly_around(header, entries, before.place, skipped, inbox)

    def _fly(self, header: Header, entries: list[Entry], place: int, inbox: bytes) -> list[bytes]:
        """Send all of these."""
        prefix = b"NATS/1.0\r\n%bNats-Msg-Id: %b:%b:" % (
            self._clock_header(header, entries[0].unix_ns),
            header.run.hex().encode(),
            self._name,
        )
        reply = b"%b%d.%d." % (inbox, self._number, self.epoch)
        constant = len(prefix) + 4
        ticket = self._ticket
        self._flying.append(Flight(header, entries, place, ticket + 1))
        self._in_flight += len(entries)
        self._ticket += len(entries)
        sent: list[bytes] = []
        for sequence, _, subject, payload, _ in entries:
            ticket += 1
            digits = b"%d" % sequence
            head = constant + len(digits)
            sent.append(
                b"HPUB %b %b%d %d %d\r\n%b%b\r\n\r\n%b\r\n"
                % (subject, reply, ticket, head, head + len(payload), prefix, digits, payload)
            )
        return sent

    def _clock_header(self, header: Header, unix_ns: int) -> bytes:
        """What a bridge needs to put these messages' stamps on another clock."""
        if self._clock_ns is None:
            return b""
        if header.run == self.journal.run:
            return b"%b: %d\r\n" % (CLOCK_HEADER.encode(), self._clock_ns())
        return b"%b: %d\r\n" % (TAKEN_HEADER.encode(), unix_ns)

    def _fly_around(
        self, header: Header, entries: list[Entry], place: int, skipped: Collection[int], inbox: bytes
    ) -> list[bytes]:
        """Send these but for those that a newer one stands for, or that the stream has."""
        run, known = header.run.hex(), self._known
        sent: list[bytes] = []
        for needless, row in groupby(entries, lambda e: e.sequence in skipped or (run, e.sequence) in known):
            part = list(row)
            if needless:
                self._flying.append(Flight(header, part, place, -1))
            else:
                sent += self._fly(header, part, place, inbox)
            place += len(part)
        self._settle_silent()
        return sent

    def acknowledge(self, answer: Answer) -> bool:
        """The server has these messages. False: of an earlier epoch, or their answer came before another's,
        which is lost; the lane rewinds then."""
        first = answer.ticket - answer.row + 1
        if answer.epoch != self.epoch or not self._flying or first < self._next_ticket:
            return False
        if first != self._next_ticket or answer.ticket > self._ticket:
            self.rewind()
            return False
        self._probing = False
        count = answer.row
        self._next_ticket += count
        self._in_flight -= count
        self.published += count
        self.duplicates += answer.duplicates
        while count:
            flight = self._flying[0]
            if flight.ticket < 0:
                self._settle_silent()
                continue
            step = min(count, flight.left)
            flight.done += step
            count -= step
            self._reach(flight)
        self._newest = (
            self._last.header.run,
            self._last.entries[self._last.done - 1].sequence,
            answer.stream_sequence,
        )
        self._settle_silent()
        return True

    def refuse(self, epoch: int) -> bool:
        """The server answered with an error: hold the lane, take back all that flies. False if stale."""
        if epoch != self.epoch:
            return False
        self.refused += 1
        self.held = True
        # One message at a time until one is taken: later ones must not get in before those refused.
        self._probing = True
        self.rewind()
        return True

    def rewind(self) -> int:
        """Take everything in flight back, to be sent again in order; returns how many."""
        count = self._in_flight
        self.epoch += 1
        self._flying.clear()
        self._in_flight = 0
        self._next_ticket = self._ticket + 1
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
        while self._flying and self._flying[0].ticket < 0:
            flight = self._flying[0]
            run = flight.header.run.hex()
            for entry in flight.entries:
                if (run, entry.sequence) in self._known:
                    self._known.discard((run, entry.sequence))
                    self.published += 1
                    self.found += 1
                else:
                    self.conflated += 1
            flight.done = len(flight.entries)
            self._reach(flight)

    def _reach(self, flight: Flight) -> None:
        """Everything up to the flight's done messages is in the stream or left out."""
        self._base = Position(
            flight.header.number, flight.entries[flight.done - 1].end, flight.place + flight.done
        )
        self._last = flight
        if not flight.left:
            self._flying.popleft()


_NOTHING = (bytes(16), UNKNOWN, 0)


def _superseded(entries: list[Entry]) -> frozenset[int]:
    """Sequences of those that have a newer one of their subject behind them."""
    newest = {entry.subject: entry.sequence for entry in entries}
    return frozenset(entry.sequence for entry in entries if newest[entry.subject] != entry.sequence)
