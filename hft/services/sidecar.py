"""The sidecar: republishes every link to its NATS JetStream stream, as the raw bytes of each message.

It reads every link, the gating ones without loss: their messages are kept until the server has acknowledged
them, and while the bounded spool is full the link is not polled, so that its writer waits once the ring is
full too. On observing links a full spool means overruns, which the ring counts; market data is conflated
first, to the newest update of each pool. NATS being slow or away never blocks a duty cycle.

What is in the spool when the process is killed is gone from the streams (not from the ledger).
"""

from __future__ import annotations

from hft import wire
from hft.runtime import topology
from hft.runtime.context import Context
from hft.runtime.jetstream import Publisher
from hft.runtime.lane import Lane, Message
from hft.runtime.runner import Log
from hft.runtime.streams import STREAMS, with_limit
from ringbuf import Subscription

NAME = "sidecar"

# In order of precedence when all have something to send: money first, the firehose last.
LINKS: tuple[str, ...] = ("executed", "planned", "system", "metrics", "opportunities", "market_data")
CONFLATED = "market_data"

GATING_SPOOL = 32_768
"""Messages kept of a gating link: a minute at 500/s, some 30 MB."""

OBSERVING_SPOOL = 8_192
"""Messages kept of an observing link, whose oldest content is the least worth."""

BATCH = 256
"""Messages taken from a link in one duty cycle."""

STEP_NS = 1_000_000
"""Longest time between two moves of the network. A move costs some 50 µs however little there is to do, so a
few messages wait for the next one, or for `wait`, which follows as soon as the links are empty."""

COMPLAINT_PAUSE_NS = 1_000_000_000

_COUNTS: tuple[str, ...] = ("in", "out", "lost", "dropped_corrupt", "dropped_conflated", "dropped_unsent")

COUNTERS: tuple[str, ...] = (
    *(f"{count}_{link}" for link in LINKS for count in _COUNTS),
    "spool_full_cycles",
    "spool_messages",
    "journal_full",
    "nats_connected",
    "nats_connects",
    "nats_connect_failures",
    "nats_repeated",
    "nats_duplicates",
    "nats_refused",
    "stream_differences",
)
"""Per link: in = out + dropped (by reason) + what is in the spool. out: acknowledged by the server; lost:
overrun, never taken; corrupt: no valid message of this link; conflated: gave way to a newer one; unsent: left
at the end."""

HISTOGRAMS: tuple[str, ...] = ("stage_sidecar_ns",)
"""From the ring to the acknowledgement."""


class Feeder:
    """One link's way from its ring into its lane."""

    def __init__(self, link: str, subscription: Subscription) -> None:
        self.link = link
        self.gating = NAME in topology.link(link).gating
        self.lane = Lane(link, strict=self.gating)
        self.subscription = subscription
        self.taken = 0
        self.corrupt = 0
        self.unsent = 0
        self.complaint = ""
        self._lost_before = subscription.lost
        self._limit = GATING_SPOOL if self.gating else OBSERVING_SPOOL

    def room(self) -> int:
        """Messages that may be taken now."""
        room = self._limit - self.lane.backlog
        if room <= 0 and self.link == CONFLATED:
            self.lane.conflate()
            room = self._limit - self.lane.backlog
        return room

    def poll(self, room: int, now_ns: int) -> int:
        """Take at most `room` messages, a batch at most; returns how many were taken."""
        taken = 0
        subscription = self.subscription
        while taken < room and taken < BATCH:
            payload = subscription.take()
            if payload is None:
                break
            taken += 1
            sequence = subscription.sequence - 1
            try:
                entry = wire.entry_of(payload)
                record = entry.codec.decode(payload)
            except wire.WireError as error:
                self._refuse(sequence, str(error))
                continue
            if entry.link != self.link:
                self._refuse(sequence, f"{entry.codec.name} belongs to {entry.link}")
                continue
            self.lane.offer(Message(sequence, entry.subject(record), payload, now_ns))
        self.taken += taken
        return taken

    def _refuse(self, sequence: int, why: str) -> None:
        self.corrupt += 1
        self.complaint = f"message {sequence} of {self.link} is dropped: {why}"

    def counts(self) -> tuple[int, ...]:
        """Totals since the start, in the order of `_COUNTS`."""
        lane = self.lane
        return (
            self.taken,
            lane.acknowledged,
            self.subscription.lost - self._lost_before,
            self.corrupt,
            lane.conflated,
            self.unsent,
        )


class Sidecar:
    """The service. It is told of nothing by the links but their messages, and writes nothing back."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._feeders = tuple(Feeder(link, ctx.subscription(link)) for link in LINKS)
        self._lanes = tuple(feeder.lane for feeder in self._feeders)
        self._log = Log(ctx.name, ctx.clock)
        self._publisher = Publisher(
            ctx.run.nats_url,
            ctx.run.run_id.hex(),
            self._lanes,
            table=with_limit(ctx.config.nats.stream_bytes, STREAMS),
            monotonic_ns=ctx.clock.monotonic_ns,
            on_acknowledged=self._on_acknowledged,
            say=self._log.line,
        )
        self._next_step_ns = 0
        self._next_complaint_ns = 0
        self._spool_full = 0
        counters = ctx.counters
        self._histogram = counters.histogram_index(HISTOGRAMS[0])
        self._spool = counters.index("spool_messages")
        self._connected = counters.index("nats_connected")
        self._totals = tuple(counters.index(name) for name in self._total_names())
        # The page outlives a crash: this process adds to what its predecessor counted.
        self._told = [0] * len(self._totals)

    def on_start(self) -> None:
        """Begin to connect; links are read from the first duty cycle on, connected or not."""
        self._publisher.start()

    def do_work(self) -> int:
        """Take what the links have, as far as the spool has room, and move the network a step."""
        now_ns = self._ctx.clock.monotonic_ns()
        taken = 0
        for feeder in self._feeders:
            room = feeder.room()
            if room > 0:
                taken += feeder.poll(room, now_ns)
            else:
                self._spool_full += 1
        if taken >= BATCH or now_ns >= self._next_step_ns:
            self._publisher.step()
            self._next_step_ns = now_ns + STEP_NS
        return taken

    def wait(self, timeout_ns: int) -> None:
        """Sleep on the network until a link has something for which there is room."""
        self._publisher.wait(timeout_ns, self._ready)
        self._next_step_ns = self._ctx.clock.monotonic_ns() + STEP_NS

    def _ready(self) -> bool:
        return any(feeder.subscription.lag and feeder.room() > 0 for feeder in self._feeders)

    def pending(self) -> int:
        """Messages taken and not acknowledged."""
        return self._publisher.backlog

    def on_housekeeping(self, now_ns: int) -> None:
        """Bring the counters up to date."""
        counters = self._ctx.counters
        for position, total in enumerate(self._total_values()):
            if total != self._told[position]:
                counters.add(self._totals[position], total - self._told[position])
                self._told[position] = total
        counters.set(self._spool, self._publisher.backlog)
        counters.set(self._connected, int(self._publisher.connected))
        if now_ns >= self._next_complaint_ns:
            self._complain(now_ns)

    def on_close(self) -> None:
        """End the connection; what could not be delivered is counted, and told."""
        self._publisher.close()
        for feeder in self._feeders:
            feeder.unsent = feeder.lane.backlog
            if feeder.unsent:
                self._log.line(f"{feeder.unsent} messages of {feeder.link} did not reach NATS")
        self.on_housekeeping(self._ctx.clock.monotonic_ns())

    def _complain(self, now_ns: int) -> None:
        """Tell of dropped messages: the newest of each link, at most once a second."""
        for feeder in self._feeders:
            if feeder.complaint:
                self._log.line(f"{feeder.complaint} ({feeder.corrupt} so far)")
                feeder.complaint = ""
                self._next_complaint_ns = now_ns + COMPLAINT_PAUSE_NS

    def _on_acknowledged(self, message: Message) -> None:
        self._ctx.counters.record(self._histogram, self._ctx.clock.monotonic_ns() - message.taken_ns)

    @staticmethod
    def _total_names() -> tuple[str, ...]:
        per_link = tuple(f"{count}_{link}" for link in LINKS for count in _COUNTS)
        return (
            *per_link,
            "spool_full_cycles",
            "nats_connects",
            "nats_connect_failures",
            "nats_repeated",
            "nats_duplicates",
            "nats_refused",
            "stream_differences",
        )

    def _total_values(self) -> tuple[int, ...]:
        per_link = tuple(count for feeder in self._feeders for count in feeder.counts())
        publisher = self._publisher
        return (
            *per_link,
            self._spool_full,
            publisher.connects,
            publisher.failures,
            sum(lane.repeated for lane in self._lanes),
            sum(lane.duplicates for lane in self._lanes),
            sum(lane.refused for lane in self._lanes),
            publisher.differences,
        )


def build(ctx: Context) -> Sidecar:
    """The service for its run; its links are subscribed to here."""
    return Sidecar(ctx)
