"""What runs inside the workers: ends of links, driven by the loops; and the same in plain C."""

import ctypes
import mmap
import time
from array import array
from collections.abc import Callable
from typing import NamedTuple

from perf import loops, native
from perf.peers import nats
from perf.peers.base import Reader, Sender
from perf.records import PERIOD, records
from perf.workers import Stopwatch
from ringbuf.idle import make_idle


class Pinged(NamedTuple):
    """What the pinging side measured."""

    samples: bytes
    """Round trips or one-way times, ns, an array('q')."""
    wrong: int
    cpu_ns: int
    elapsed_ns: int


class Moved(NamedTuple):
    """What one side of a stream measured."""

    at_ns: int
    """When it began (producer) or ended (consumer)."""
    wrong: int
    cpu_ns: int


class Ends:
    """A sending end, a receiving end or both, in one worker."""

    def __init__(
        self,
        make_sender: Callable[[], Sender] | None,
        make_reader: Callable[[], Reader] | None,
        asynchronous: bool = False,
        idle: str = "",
        record_bytes: int = 256,
    ) -> None:
        self.sender = make_sender() if make_sender else None
        self.reader = make_reader() if make_reader else None
        self._asynchronous = asynchronous
        self.lines = records(PERIOD, record_bytes)
        subscription = self.reader.raw if self.reader and idle == "park" else None
        self.idle = make_idle(idle, subscription).idle if idle else None

    def ping(self, n: int) -> Pinged:
        """Send n records, each after the last one's return."""
        assert self.sender
        assert self.reader
        loop = nats.ping if self._asynchronous else loops.ping
        watch, start = Stopwatch(), time.perf_counter_ns()
        samples, wrong = loop(self.sender.send, self.reader.take, n, self.lines)
        return Pinged(samples, wrong, watch.cpu_ns(), time.perf_counter_ns() - start)

    def pong(self, n: int) -> int:
        """Send n records back; CPU time in ns."""
        assert self.sender
        assert self.reader
        watch = Stopwatch()
        (nats.pong if self._asynchronous else loops.pong)(self.sender.send, self.reader.take, n)
        return watch.cpu_ns()

    def ping_parked(self, n: int) -> Pinged:
        """ping(), asleep while it waits."""
        assert self.sender
        assert self.reader
        watch, start = Stopwatch(), time.perf_counter_ns()
        samples, wrong = loops.ping_parked(
            self.sender.send, self.reader.take, self.reader.raw.wait, n, self.lines
        )
        return Pinged(samples, wrong, watch.cpu_ns(), time.perf_counter_ns() - start)

    def pong_parked(self, n: int) -> int:
        """pong(), asleep while it waits."""
        assert self.sender
        assert self.reader
        watch = Stopwatch()
        loops.pong_parked(self.sender.send, self.reader.take, self.reader.raw.wait, n)
        return watch.cpu_ns()

    def produce(self, n: int, batch: int = 0) -> Moved:
        """Send n records as fast as they are taken."""
        assert self.sender
        watch = Stopwatch()
        if batch:
            assert self.sender.send_batch
            start = loops.produce_batches(self.sender.send_batch, n, self.lines, batch)
        elif self._asynchronous:
            start = nats.produce(self.sender.send, n, self.lines)
        else:
            start = loops.produce(self.sender.send, n, self.lines, self.idle)
        return Moved(start, 0, watch.cpu_ns())

    def consume(self, n: int, batch: int = 0) -> Moved:
        """Take and check n records."""
        assert self.reader
        watch = Stopwatch()
        if batch:
            assert self.reader.take_batch
            end, wrong = loops.consume_batches(self.reader.take_batch, n, self.lines)
        elif self._asynchronous:
            end, wrong = nats.consume(self.reader.take, n, self.lines)
        else:
            end, wrong = loops.consume(self.reader.take, n, self.lines, self.idle)
        return Moved(end, wrong, watch.cpu_ns())

    def close(self) -> None:
        """Close both ends."""
        for end in (self.sender, self.reader):
            if end is not None:
                end.close()


class Court:
    """The C side of a pair: a shared mapping that native.c plays in."""

    def __init__(self, library: str, path: str) -> None:
        self._c = native.load(library)
        with open(path, "r+b") as file:
            self._map = mmap.mmap(file.fileno(), self._c.court_bytes())
        self._anchor = ctypes.c_char.from_buffer(self._map)
        self._court = ctypes.addressof(self._anchor)
        self._from = {"line": 0, "ring": 0, "stream": 0}

    def _range(self, kind: str, n: int) -> tuple[int, int]:
        start = self._from[kind]
        self._from[kind] += n
        return start, n

    def ping(self, kind: str, n: int) -> Pinged:
        """Round trips of a cache line ("line") or of 256-byte records ("ring")."""
        samples = array("q", bytes(8 * n))
        address, _ = samples.buffer_info()
        watch, start = Stopwatch(), time.perf_counter_ns()
        wrong = getattr(self._c, f"{kind}_ping")(self._court, *self._range(kind, n), address)
        return Pinged(samples.tobytes(), wrong or 0, watch.cpu_ns(), time.perf_counter_ns() - start)

    def pong(self, kind: str, n: int) -> int:
        """The other side of ping(); CPU time in ns."""
        watch = Stopwatch()
        getattr(self._c, f"{kind}_pong")(self._court, *self._range(kind, n))
        return watch.cpu_ns()

    def produce(self, n: int) -> Moved:
        """Stream n records."""
        watch = Stopwatch()
        start = self._c.ring_produce(self._court, *self._range("stream", n))
        return Moved(start, 0, watch.cpu_ns())

    def consume(self, n: int) -> Moved:
        """Take and check n records."""
        watch, wrong = Stopwatch(), ctypes.c_uint64(0)
        end = self._c.ring_consume(self._court, *self._range("stream", n), ctypes.addressof(wrong))
        return Moved(end, wrong.value, watch.cpu_ns())

    def close(self) -> None:
        """Unmap."""
        del self._anchor
        self._map.close()


GAP_ROOM = 200_000


class HiccupMeter:
    """What the machine takes from a process that does nothing but read the clock."""

    def __init__(self, library: str) -> None:
        self._c = native.load(library) if library else None

    def measure(self, duration_ns: int, threshold_ns: int) -> list[int]:
        """Gaps of at least threshold_ns between two looks at the clock, ns."""
        if self._c is None:
            return _gaps_in_python(duration_ns, threshold_ns)
        gaps = array("q", bytes(8 * GAP_ROOM))
        address, _ = gaps.buffer_info()
        found = self._c.hiccup(duration_ns, threshold_ns, address, GAP_ROOM)
        return gaps[: min(found, GAP_ROOM)].tolist()


def _gaps_in_python(duration_ns: int, threshold_ns: int) -> list[int]:
    gaps, now = [], time.perf_counter_ns
    last = now()
    end = last + duration_ns
    while last < end:
        this = now()
        if this - last >= threshold_ns:
            gaps.append(this - last)
        last = this
    return gaps
