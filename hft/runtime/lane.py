"""A lane: one link's way from its journal to its stream, in order, kept until the server has it.

What is sent is read from the journal, whether it was written a moment ago or by a predecessor. In doubt
everything from the first unanswered message on is sent again: the server stores an id once within the
stream's duplicate window, and at each connection what the stream holds behind the mark is read back
(``high_water``), so that beyond the window nothing is sent twice either.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Collection, Sequence
from itertools import groupby
from typing import NamedTuple

from hft.runtime.bridge_stamps import CLOCK_HEADER, TAKEN_HEADER
from hft.runtime.journal_format import Header, Rows
from hft.runtime.journal_mark import UNKNOWN, Mark, MarkFile
from hft.runtime.journal_reader import Reader, Taken
from hft.runtime.nats_wire import Answer
from hft.runtime.stream_journal import Position, StreamJournal

WINDOW = 4096
"""Messages of a lane in flight. JetStream drops without a word what exceeds 10,000 in a stream's queue, which
two machines may share."""

CONFLATE_ABOVE = 8192
"""Unpublished messages of a conflated lane above which only the newest of each subject among them is sent."""


class Flight:
    """Messages in a row on their way, of one segment, all with one subject for their answers: a server looks
    up each new subject, which costs it a fifth of its time. They are in the stream when as many answers have
    come as there are messages.

    ticket: the last token of that subject, -1 if no answer is asked for; at: where the first begins in the
    segment; place: records of the journal before it. answered: answers so far; duplicates: among them;
    stream_sequence: the furthest place they told of.
    """

    __slots__ = ("answered", "at", "duplicates", "header", "place", "rows", "stream_sequence", "ticket")

    def __init__(self, taken: Taken, ticket: int) -> None:
        self.header, self.at, self.place, self.rows = taken
        self.ticket = ticket
        self.answered = self.duplicates = self.stream_sequence = 0


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
        self._in_flight = 0
        self._probing = False
        self._ticket = 0
        """The newest flight's."""
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

    def next(self, limit: int, inbox: bytes) -> bytes:
        """At most ``limit`` messages to be sent now, as the client protocol wants them; answers go to
        ``inbox`` + lane, epoch and ticket."""
        room = min(limit, (1 if self._probing else self._window) - self._in_flight)
        if self.held or room <= 0 or self._reader.unread <= 0:
            return b""
        pressed = self._conflates and not self._probing and self._reader.unread > CONFLATE_ABOVE
        taken = self._reader.take(CONFLATE_ABOVE if pressed else room)
        if taken is None:
            return b""
        skipped = _superseded(taken.rows) if pressed else frozenset()
        if not skipped and not self._known:
            return b"".join(self._fly(taken, inbox))
        return b"".join(self._fly_around(taken, skipped, inbox))

    def _fly(self, taken: Taken, inbox: bytes) -> list[bytes]:
        """Send all of these: the pieces of it."""
        self._ticket += 1
        self._flying.append(Flight(taken, self._ticket))
        prefix = b"NATS/1.0\r\n%bNats-Msg-Id: %b:%b:" % (
            self._clock_header(taken.header, taken.rows.times[0]),
            taken.header.run.hex().encode(),
            self._name,
        )
        reply = b" %b%d.%d.%d" % (inbox, self._number, self.epoch, self._ticket)
        sent: list[bytes] = []
        begin, total = 0, len(taken.rows)
        while begin < total:
            end = _alike(taken.rows.sequences, begin)
            sent += _frames(taken.rows.part(begin, end), reply, prefix)
            begin = end
        self._in_flight += total
        return sent

    def _clock_header(self, header: Header, unix_ns: int) -> bytes:
        """What a bridge needs to put these messages' stamps on another clock."""
        if self._clock_ns is None:
            return b""
        if header.run == self.journal.run:
            return b"%b: %d\r\n" % (CLOCK_HEADER.encode(), self._clock_ns())
        return b"%b: %d\r\n" % (TAKEN_HEADER.encode(), unix_ns)

    def _fly_around(self, taken: Taken, skipped: Collection[int], inbox: bytes) -> list[bytes]:
        """Send these but for those that a newer one stands for, or that the stream has."""
        header, at, place, rows = taken
        run, known = header.run.hex(), self._known
        sent: list[bytes] = []
        begin = 0
        for needless, row in groupby(s in skipped or (run, s) in known for s in rows.sequences):
            end = begin + len(list(row))
            part = Taken(header, at, place + begin, rows.part(begin, end))
            if needless:
                self._flying.append(Flight(part, -1))
            else:
                sent += self._fly(part, inbox)
            begin, at = end, at + part.rows.size
        self._settle_silent()
        return sent

    def acknowledge(self, answer: Answer) -> bool:
        """The server has some messages of a flight, all of them when as many answers have come. False: of an
        earlier epoch, or answers to the flight before are lost; the lane rewinds then."""
        if answer.epoch != self.epoch or not self._flying:
            return False
        flight = self._flying[0]  # never a silent one: those are settled as soon as they are the first
        if answer.ticket < flight.ticket:
            return False
        flight.answered += answer.row
        if answer.ticket != flight.ticket or flight.answered > len(flight.rows):
            self.rewind()
            return False
        flight.duplicates += answer.duplicates
        flight.stream_sequence = max(flight.stream_sequence, answer.stream_sequence)
        if flight.answered == len(flight.rows):
            self._probing = False
            self._in_flight -= flight.answered
            self.published += flight.answered
            self.duplicates += flight.duplicates
            self._newest = (flight.header.run, flight.rows.sequences[-1], flight.stream_sequence)
            self._land(flight)
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
            for sequence in flight.rows.sequences:
                if (run, sequence) in self._known:
                    self._known.discard((run, sequence))
                    self.published += 1
                    self.found += 1
                else:
                    self.conflated += 1
            self._land(flight)

    def _land(self, flight: Flight) -> None:
        """The oldest flight's messages are in the stream or left out."""
        rows = flight.rows
        self._base = Position(flight.header.number, flight.at + rows.size, flight.place + len(rows))
        self._flying.popleft()


_NOTHING = (bytes(16), UNKNOWN, 0)


def _superseded(rows: Rows) -> frozenset[int]:
    """Sequences of those that have a newer one of their subject behind them."""
    pairs = list(zip(rows.subjects, rows.sequences, strict=True))
    newest = dict(pairs)
    return frozenset(sequence for subject, sequence in pairs if newest[subject] != sequence)


def _alike(sequences: Sequence[int], begin: int) -> int:
    """Where those end that have as many digits as the one at ``begin``; they ascend."""
    limit: int = 10 ** len(str(sequences[begin]))
    return len(sequences) if sequences[-1] < limit else bisect_left(sequences, limit, begin)


def _frames(rows: Rows, reply: bytes, prefix: bytes) -> list[bytes]:
    """Messages whose sequences have one number of digits, as the client protocol wants them, in pieces:
    ``HPUB subject reply head-size size``, the header with ``prefix`` + sequence, the payload."""
    count, sizes = len(rows), list(map(len, rows.payloads))
    ids = (b" %d" * count % tuple(rows.sequences)).split()
    head = len(prefix) + len(ids[0]) + 4
    lines = {size: b"%b %d %d\r\n%b" % (reply, head, head + size, prefix) for size in set(sizes)}
    # Laid out by columns: six pieces a message, none of them made for it but its number.
    parts = [b"\r\n\r\n"] * (6 * count)
    parts[0::6] = [b"HPUB "] + [b"\r\nHPUB "] * (count - 1)
    parts[1::6] = rows.subjects
    parts[2::6] = map(lines.__getitem__, sizes)
    parts[3::6] = ids
    parts[5::6] = rows.payloads
    parts.append(b"\r\n")
    return parts
