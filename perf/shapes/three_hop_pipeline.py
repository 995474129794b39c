"""Four processes in a row on two CPUs, paced: the shape of feed, scanner, planner, executor.

    +--------+     +---------+     +---------+     +------+
    | source |====>| relay 1 |====>| relay 2 |====>| sink |
    +--------+     +---------+     +---------+     +------+
      cpu 0          cpu 1           cpu 0          cpu 1

The source sends at 500/s and at 5,000/s. Measured at the sink: from the time at which a record was *meant*
to leave until it is there, so that a source that was held up counts as latency (no coordinated omission).
Every idle strategy; Queue, Pipe and pyzmq sleep in their receive. The stated rate must be met: within 5 %
over each round.
"""

import time
from array import array
from collections.abc import Callable, Sequence
from itertools import count
from typing import NamedTuple

from perf.actors import Ends
from perf.cases import WorkerCase, limits, samples_of, wanted_peers, wrong_records
from perf.engine import Case, Outcome, Plan, Shape
from perf.peers import PIPE, PYZMQ, QUEUE, RING, Reader, Sender, Transport
from perf.records import PERIOD, RECORD_BYTES, STAMP_BYTES, stamp_of, stamped
from perf.workers import Stopwatch
from ringbuf.idle import NAMES

RATES = (500, 5_000)
TOLERANCE = 0.05
LEAD_NS = 2_000_000


class Sent(NamedTuple):
    """What the source says of a round."""

    elapsed_ns: int
    cpu_ns: int


class Arrived(NamedTuple):
    """What the sink says of a round."""

    samples: bytes
    wrong: int
    cpu_ns: int


class Hop(Ends):
    """Any of the four."""

    def __init__(
        self,
        make_sender: Callable[[], Sender] | None,
        make_reader: Callable[[], Reader] | None,
        idle: str,
    ) -> None:
        super().__init__(make_sender, make_reader, idle=idle)
        self._tails = [line[STAMP_BYTES:RECORD_BYTES] for line in self.lines]
        self._idle_name = idle

    def source(self, n: int, interval_ns: int) -> Sent:
        """Send n stamped records, one an interval, and never skip a beat that was missed."""
        assert self.sender
        send, now, tails, sleeps = self.sender.send, time.perf_counter_ns, self._tails, self._sleeps
        idle = self.idle or (lambda _: None)
        watch, first = Stopwatch(), now() + LEAD_NS
        for i in range(n):
            intended = first + i * interval_ns
            if sleeps:
                time.sleep(max(intended - now(), 0) / 1e9)
            while now() < intended:
                idle(0)
            record = stamped(i, intended, tails[i % PERIOD])
            while send(record) is False:
                idle(0)
        return Sent(now() - first + interval_ns, watch.cpu_ns())

    @property
    def _sleeps(self) -> bool:
        """Whether the source sleeps until the next record is due."""
        return self._idle_name in {"park", "backoff", ""}

    def relay(self, n: int) -> int:
        """Hand n records on; CPU time in ns."""
        assert self.sender
        assert self.reader
        take, send, watch = self.reader.take, self.sender.send, Stopwatch()
        idle = self.idle or (lambda _: None)
        for _ in range(n):
            while (record := take()) is None:
                idle(0)
            idle(1)
            while send(record) is False:
                idle(0)
        return watch.cpu_ns()

    def sink(self, n: int) -> Arrived:
        """Take n records, check each and note how late it is."""
        assert self.reader
        take, now, watch = self.reader.take, time.perf_counter_ns, Stopwatch()
        idle = self.idle or (lambda _: None)
        samples, wrong = array("q", bytes(8 * n)), 0
        for i in range(n):
            while (record := take()) is None:
                idle(0)
            arrived = now()
            idle(1)
            sequence, intended = stamp_of(record)
            samples[i] = arrived - intended
            if sequence != i or record[STAMP_BYTES:] != self._tails[i % PERIOD]:
                wrong += 1
        return Arrived(samples.tobytes(), wrong, watch.cpu_ns())


class Pipeline(WorkerCase):
    """One transport and idle strategy at one rate."""

    def __init__(
        self, transport: Transport, plan: Plan, rate: int, *, idle: str = "", reference: bool = False
    ) -> None:
        label = " ".join(filter(None, (transport.label, idle, f"{rate}/s")))
        super().__init__(label, group=str(rate), reference=reference, missing=transport.missing())
        self._transport, self._plan, self._rate, self._idle = transport, plan, rate, idle

    def start(self) -> None:
        """See WorkerCase."""
        links = [self._transport.link(1, RECORD_BYTES) for _ in range(3)]
        for link in links:
            self.keep(link.close)
        senders = [*(link.sender for link in links), None]
        readers = [None, *(link.readers[0] for link in links)]
        names = ("source", "relay 1", "relay 2", "sink")
        for number, name, sender, reader in zip(count(), names, senders, readers, strict=False):
            self.add(name, self._plan.cpus[number % 2], Hop, sender, reader, self._idle)

    def warm(self, seconds: float) -> None:
        """See WorkerCase."""
        self.ready()
        self.count = max(int(self._rate * max(seconds, 0.2)), 50)
        self.round()

    def round(self) -> Outcome:
        """One paced run."""
        source, *relays, sink = self.workers
        for relay in relays:
            relay.begin("relay", self.count)
        sink.begin("sink", self.count)
        sent: Sent = source.call("source", self.count, 1_000_000_000 // self._rate)
        cpu_ns = sent.cpu_ns + sum(relay.end() for relay in relays)
        arrived: Arrived = sink.end()
        rate = self.count / sent.elapsed_ns * 1e9
        metrics = {
            "rate_per_s": rate,
            "cpu_ns_per_message": (cpu_ns + arrived.cpu_ns) / self.count,
            "received": float(self.count - arrived.wrong),
        }
        problems = wrong_records(arrived.wrong, self.count)
        if rate < self._rate * (1 - TOLERANCE):
            problems.append(f"sent {rate:,.0f}/s instead of the stated {self._rate:,}/s")
        return Outcome(metrics, samples_of(arrived.samples), problems)


def cases(plan: Plan) -> Sequence[Case]:
    """Every idle strategy and the peers that can stand in a row, at each rate."""
    found: list[Case] = limits(plan)
    peers = [peer for peer in wanted_peers(plan) if peer in (QUEUE, PIPE, PYZMQ)]
    for rate in RATES:
        found += [Pipeline(RING, plan, rate, idle=idle, reference=idle == "yield") for idle in NAMES]
        found += [Pipeline(peer, plan, rate) for peer in peers]
    return found


SHAPE = Shape("three_hop_pipeline", __doc__, cases)
