"""A bridge: a stream of other machines' messages into a link of this one, by JetStream.

In order and each once: what the link has had is known by source run and sequence, over restarts of the bridge
and of its machine (``bridge_place``), so beyond any duplicate window. Every message is verified; what is not
valid is terminated on the server and counted. Time stamps are put on this machine's clock
(``bridge_stamps``). Into a link with gating readers nothing is dropped: the bridge waits for them, and tells
the server that a message is done with only when all of them have taken it. Messages of this instance's own
runs, which its scanner has given it already, are left out.

Counters: in_messages = out_<link> + left_out_own + dropped (by reason) + held. behind: messages that wait in
the stream and here; clock_ahead: came from the future by their machine's wall clock.
"""

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import ringbuf
from hft import wire
from hft.runtime import topology
from hft.runtime.bridge_place import Passed, Place, PlaceFile
from hft.runtime.bridge_source import Begin, Delivery, Source
from hft.runtime.bridge_stamps import Now, restamp
from hft.runtime.clock import Clock
from hft.runtime.nats_options import ConnectOptions

FOLDER = "bridge"
BATCH = 256
"""Messages judged in one duty cycle."""

SAVE_NS = 100_000_000
SYNC_NS = 1_000_000_000
FULL_NS = 500_000
"""Time between two looks whether a full ring has room."""

_ENDS = ("left_out_own", "dropped_duplicate", "dropped_corrupt", "dropped_no_room")
_GAUGES = ("held", "behind", "unacknowledged", "nats_connected")
_TOTALS = ("nats_connects", "nats_connect_failures", "consumer_resets", "redelivered")


def counters_of(link: str) -> tuple[str, ...]:
    """The counters of a bridge to ``link``."""
    return ("in_messages", f"out_{link}", *_ENDS, "clock_ahead", *_GAUGES, *_TOTALS)


HISTOGRAMS: tuple[str, ...] = ("handoff_remote_bridge_ns",)
"""From the newest stamp on the other machine to here, as far as both wall clocks agree."""


class Ways(NamedTuple):
    """From where to where. ``subject``: only these of the stream, empty for all."""

    options: ConnectOptions
    stream: str
    subject: str
    link: str
    folder: Path


class _Held(NamedTuple):
    passed: Passed
    message: bytes
    reply: str


class _Batch(NamedTuple):
    """Messages that are in the ring up to ``end``; ``place``: behind them."""

    end: int
    place: Place
    replies: tuple[str, ...]


class Bridge:
    """See the module. A service is made of it, and ``hft bridge``."""

    def __init__(
        self,
        ways: Ways,
        ring: ringbuf.Ring,
        counters: ringbuf.Counters,
        clock: Clock,
        run: str,
        say: Callable[[str], None],
    ) -> None:
        """``run``: id of the run whose ring it is, in hex. Raises ``ringbuf.PublicationTaken`` while the ring
        has a writer, ``HftError`` (STATE_FOLDER) when the file with its place is damaged."""
        self._ways = ways
        self._ring = ring
        self._counters = counters
        self._clock = clock
        self._say = say
        self._publication = ring.publication()
        self._gates = bool(topology.link(ways.link).gating)
        path = ways.folder / FOLDER / f"{ways.stream}-{ways.link}"
        self._file = PlaceFile(path, run, self._publication.sequence)
        self._own = frozenset(self._file.own_runs)
        self._marks = dict(self._file.written.marks)
        self._held: deque[_Held] = deque()
        self._batch: list[_Held] = []
        self._flying: deque[_Batch] = deque()
        if self._gates:
            self._flying.append(_Batch(self._publication.sequence, self._file.written, ()))
        place = self._file.written
        begin = Begin(place.incarnation, place.stream_sequence)
        self._source = Source(ways.options, ways.stream, self._file.consumer, ways.subject, begin, say)
        self._next_save_ns = self._next_sync_ns = 0
        self._changed = False
        self._end = {name: counters.index(name) for name in _ENDS}
        self._gauges = tuple(counters.index(name) for name in _GAUGES)
        self._totals = tuple(counters.index(name) for name in _TOTALS)
        # The page outlives a crash: this process adds to what its predecessor counted.
        self._before = tuple(counters.value(place) for place in self._totals)
        self._in, self._out = counters.index("in_messages"), counters.index(f"out_{ways.link}")
        self._ahead = counters.index("clock_ahead")
        self._age = counters.histogram_index(HISTOGRAMS[0])

    def on_start(self) -> None:
        """Begin to connect."""
        self._say(f"brings {self._ways.stream} to {self._ways.link}, as consumer {self._file.consumer}")
        self._source.start()

    def do_work(self) -> int:
        """Judge what has come and write it into the ring; nothing new is taken while it is full."""
        done = 0
        if not self._held:
            deliveries = self._source.take(BATCH)
            if deliveries:
                self._judge(deliveries)
                done = len(deliveries)
        done += self._publish()
        self._let_go()
        return done

    def wait(self, timeout_ns: int) -> None:
        """Sleep until a message comes, or a full ring may have room."""
        if self._held:
            self._source.pause(FULL_NS)
        else:
            self._source.wait(timeout_ns)

    def pending(self) -> int:
        """Messages that were judged and are not in the ring yet."""
        return len(self._held)

    def on_housekeeping(self, now_ns: int) -> None:
        """Keep the place on disk, and show the gauges."""
        if self._changed and not self._held and now_ns >= self._next_save_ns:
            self._next_save_ns = now_ns + SAVE_NS
            self._changed = False
            self._file.intend(self._publication.sequence, ())
        if now_ns >= self._next_sync_ns:
            self._next_sync_ns = now_ns + SYNC_NS
            self._source.aside(self._file.sync)
        self._show()

    def on_close(self) -> None:
        """End the connection; what is not in the ring comes again from the stream."""
        self._let_go()
        self._source.close()
        if not self._held:
            self._file.intend(self._publication.sequence, ())
        self._file.close()
        self._show()
        self._publication.close()

    def _judge(self, deliveries: list[Delivery]) -> None:
        """Sort out what may not pass; the rest waits for the ring, on this machine's clock."""
        now = Now(self._clock.monotonic_ns(), self._clock.unix_ns())
        done: list[str] = []
        bad: list[str] = []
        for delivery in deliveries:
            source = _source_of(delivery.headers)
            reason = self._left_out(source)
            if reason:
                self._counters.add(self._end[reason])
                done.append(delivery.reply)
                continue
            try:
                stamped = restamp(delivery.data, delivery.headers, delivery.stored_unix_ns, now)
                self._fits(source, stamped.message)
            except wire.WireError as error:
                self._counters.add(self._end["dropped_corrupt"])
                self._say(f"message {delivery.stream_sequence} of {self._ways.stream} is dropped: {error}")
                bad.append(delivery.reply)
                continue
            assert source is not None
            run, sequence = source
            self._marks[run] = sequence
            self._counters.add(self._ahead, stamped.ahead)
            self._counters.record(self._age, stamped.age_ns)
            passed = Passed(run, sequence, delivery.stream_sequence)
            self._held.append(_Held(passed, stamped.message, delivery.reply))
        self._counters.add(self._in, len(deliveries))
        self._follow_incarnation(deliveries[-1].incarnation)
        if done or bad:
            self._source.finish(done, bad)
        if not self._held:
            self._pass_by(deliveries[-1].stream_sequence)
        self._batch = list(self._held)
        if self._held:
            self._file.intend(self._publication.sequence, [held.passed for held in self._held])

    def _left_out(self, source: tuple[str, int] | None) -> str:
        """Why a message of this source must not pass; empty when it may."""
        if source is None:
            return ""
        run, sequence = source
        if run in self._own:
            return "left_out_own"
        return "dropped_duplicate" if sequence <= self._marks.get(run, -1) else ""

    def _fits(self, source: tuple[str, int] | None, message: bytes) -> None:
        """Raises WireError for what is no message of this stream, has no id, or is too long for the link."""
        codec = wire.codec_of(message)
        if source is None:
            raise wire.WireError(wire.WireErrorCode.BAD_VALUE, "its Nats-Msg-Id is not run:link:sequence")
        if codec.layout.link != self._ways.stream.lower():
            raise wire.WireError(wire.WireErrorCode.BAD_VALUE, f"{codec.name} belongs to {codec.layout.link}")
        if len(message) > self._publication.mtu:
            what = f"{codec.name} takes {len(message)} bytes, a cell has {self._publication.mtu}"
            raise wire.WireError(wire.WireErrorCode.NO_ROOM, what)

    def _follow_incarnation(self, incarnation: int) -> None:
        if incarnation != self._file.written.incarnation:
            self._file.written = self._file.written._replace(incarnation=incarnation)

    def _pass_by(self, stream_sequence: int) -> None:
        """None of a batch went into the ring: the place is behind it all the same."""
        self._file.written = self._file.written._replace(stream_sequence=stream_sequence)
        self._flying.append(_Batch(self._publication.sequence, self._file.written, ()))

    def _publish(self) -> int:
        """Write what waits into the ring, as far as there is room."""
        if not self._held:
            return 0
        count = self._publication.offer_batch([held.message for held in self._held])
        for _ in range(count):
            self._held.popleft()
        self._counters.add(self._out, count)
        if self._held and not self._gates:
            self._counters.add(self._end["dropped_no_room"], len(self._held))
            self._held.clear()
        if not self._held:
            file = self._file
            file.written = file.written.after([held.passed for held in self._batch])
            replies = tuple(held.reply for held in self._batch)
            self._flying.append(_Batch(self._publication.sequence, file.written, replies))
            self._batch = []
        return count

    def _let_go(self) -> None:
        """Tell the server of what every gating reader has taken, or what is in a ring that has none."""
        if not self._flying:
            return
        floor = self._publication.sequence
        if self._gates:
            readers = self._ring.stats()["subscriptions"]
            ends = [each["cursor"] for each in readers if each["gating"] and not each["lifted"]]
            # Nobody there yet: a gating reader that comes later begins at what the ring still has.
            floor = min(ends, default=0)
        replies: list[str] = []
        while self._flying and self._flying[0].end <= floor:
            batch = self._flying.popleft()
            self._file.taken = batch.place
            replies += batch.replies
            self._changed = True
        if replies:
            self._source.finish(replies)

    def _show(self) -> None:
        counters, source = self._counters, self._source
        waiting = sum(len(batch.replies) for batch in self._flying)
        behind = source.pending + source.waiting + len(self._held)
        gauges = (len(self._held), behind, waiting, int(source.connected))
        for index, value in zip(self._gauges, gauges, strict=True):
            counters.set(index, value)
        totals = (source.connects, source.failures, source.resets, source.redelivered)
        for index, before, total in zip(self._totals, self._before, totals, strict=True):
            counters.set(index, before + total)


def _source_of(headers: dict[str, str]) -> tuple[str, int] | None:
    """Run and sequence of a message, None when its id does not tell."""
    parts = headers.get("Nats-Msg-Id", "").split(":")
    if len(parts) != 3 or not parts[2].isdigit() or len(parts[2]) > 20 or not parts[0]:
        return None
    return parts[0], int(parts[2])
