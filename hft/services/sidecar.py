"""The sidecar: writes every link to its journal, then publishes it to its NATS JetStream stream.

A message is in the journal before it goes anywhere else, and on the gating links before its writer may
overwrite it: nothing of PLANNED and EXECUTED is lost between ring and stream, whoever is killed. NATS being
slow or away never blocks a duty cycle: the journal grows, up to its limit, and is published from where the
stream left off. Without room for another segment of a gating link ``journal_full`` is shown, upon which the
executor refuses new plans; what is under way finds room in what is left.

Inwards it lets signed commands through (``inbox``): a halt, or a request to resume.
"""

from __future__ import annotations

from hft.runtime import nats_options, streams
from hft.runtime.context import Context
from hft.runtime.jetstream import Publisher
from hft.runtime.journal_mark import MarkFile
from hft.runtime.journal_sync import JournalSync
from hft.runtime.lane import Lane
from hft.runtime.runner import Log
from hft.runtime.stream_journal import StreamJournal
from hft.services import inbox
from hft.services.intake import BATCH, COUNTS, Intake
from hft.wire.registry import name_strategies

NAME = "sidecar"
FOLDER = "journal"

# In order of precedence when all have something to send: money first, the firehose last.
LINKS: tuple[str, ...] = ("executed", "planned", "system", "metrics", "opportunities", "market_data")
CONFLATED = "market_data"

STEP_NS = 200_000
"""Longest time between two looks at the network while links keep the duty cycle busy."""

SAVE_NS = 100_000_000
"""Time between two looks at marks, ages and room."""

COMPLAINT_PAUSE_NS = 1_000_000_000

_TOTALS: tuple[str, ...] = (
    "nats_connects",
    "nats_connect_failures",
    "nats_repeated",
    "nats_duplicates",
    "nats_refused",
    "nats_found",
    "stream_differences",
    "journal_syncs",
)
"""found: read back from a stream at a connection instead of being sent again."""

COUNTERS: tuple[str, ...] = (
    *(f"{count}_{link}" for link in LINKS for count in COUNTS),
    *(f"journal_bytes_{link}" for link in LINKS),
    *_TOTALS,
    *inbox.COUNTERS,
    "journal_backlog",
    "journal_full",
    "nats_connected",
)
"""journal_backlog: messages the streams are not known to have; journal_full: new trades halt."""

HISTOGRAMS: tuple[str, ...] = ("stage_sidecar_ns", *inbox.HISTOGRAMS)
"""stage_sidecar: from the ring to the acknowledgement, one sample a batch: its last message."""


class Sidecar:
    """The service. It is told of nothing by the links but their messages, and writes nothing back."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._clock = ctx.clock
        self._log = Log(ctx.name, ctx.clock)
        self._closed = False
        self._inbox = inbox.Inbox(ctx, self._log.line)
        counters = ctx.counters
        self._places = {link: tuple(counters.index(f"{count}_{link}") for count in COUNTS) for link in LINKS}
        self._intakes = tuple(self._intake(number, link) for number, link in enumerate(LINKS))
        self._lanes = tuple(intake.lane for intake in self._intakes)
        own = ctx.config.sidecar
        self._ages_ns = tuple(getattr(own, f"{link}_age_s") * 1_000_000_000 for link in LINKS)
        self._sync = JournalSync(
            [lane.journal for lane in self._lanes],
            [getattr(own, f"{link}_sync_ms") * 1_000_000 for link in LINKS],
        )
        self._publisher = Publisher(
            nats_options.connect_options(ctx.config.nats, ctx.run.nats_url),
            [(link.upper(), lane) for link, lane in zip(LINKS, self._lanes, strict=True)],
            table=streams.table(ctx.config.nats),
            monotonic_ns=ctx.clock.monotonic_ns,
            say=self._log.line,
        )
        self._next_step_ns = 0
        self._next_save_ns = 0
        self._next_complaint_ns = 0
        self._histogram = counters.histogram_index(HISTOGRAMS[0])
        self._totals = tuple(counters.index(name) for name in _TOTALS)
        # The page outlives a crash: this process adds to what its predecessor counted.
        self._totals_before = tuple(counters.value(place) for place in self._totals)
        self._bytes = tuple(counters.index(f"journal_bytes_{link}") for link in LINKS)
        self._backlog = counters.index("journal_backlog")
        self._full = counters.index("journal_full")
        self._connected = counters.index("nats_connected")
        self._was_full = False
        self._show()

    def on_start(self) -> None:
        """Begin to connect; links are read from the first duty cycle on, connected or not."""
        self._publisher.step()
        self._inbox.start()

    def do_work(self) -> int:
        """Take what the links have into their journals, and move the network a step."""
        now_ns, unix_ns = self._clock.monotonic_ns(), self._clock.unix_ns()
        taken = 0
        for intake in self._intakes:
            taken += intake.poll(now_ns, unix_ns)
        if taken >= BATCH or now_ns >= self._next_step_ns:
            self._step(now_ns)
        return taken

    def wait(self, timeout_ns: int) -> None:
        """Sleep on the network until a link has something for which there is room."""
        self._publisher.wait(timeout_ns, self._ready)
        self._step(self._clock.monotonic_ns())

    def pending(self) -> int:
        """Messages that are on their way; without a server to be reached they wait in the journal."""
        return 0 if self._publisher.away else self._publisher.backlog

    def on_housekeeping(self, now_ns: int) -> None:
        """Sync and trim the journals, write the marks down, bring the counters up to date."""
        self._sync.poll(now_ns)
        self._inbox.show()
        if now_ns >= self._next_save_ns:
            self._next_save_ns = now_ns + SAVE_NS
            unix_ns = self._clock.unix_ns()
            for intake, age_ns in zip(self._intakes, self._ages_ns, strict=True):
                intake.lane.save()
                intake.expire(unix_ns - age_ns)
                intake.retry()
        self._show()
        if now_ns >= self._next_complaint_ns:
            self._complain(now_ns)

    def on_close(self) -> None:
        """End the connection; what is not published stays in the journal for the next run, and is told."""
        if self._closed:
            return
        self._closed = True
        self._inbox.close()
        self._publisher.close()
        self._show()
        self._sync.close()
        for lane in self._lanes:
            if lane.backlog:
                self._log.line(f"{lane.backlog} messages of {lane.name} wait in the journal for NATS")
            lane.close()

    def _intake(self, number: int, link: str) -> Intake:
        ctx, own = self._ctx, self._ctx.config.sidecar
        folder = ctx.run.state_dir / FOLDER / link.upper()
        limit_bytes = getattr(own, f"{link}_bytes")
        journal = StreamJournal(folder, link, ctx.run.run_id, limit_bytes, self._log.line)
        clock = ctx.clock
        lane = Lane(
            number,
            journal,
            MarkFile(folder),
            conflates=link == CONFLATED,
            clock_ns=lambda: clock.unix_ns() - clock.monotonic_ns(),
        )
        journal.reserve()
        before = tuple(ctx.counters.value(place) for place in self._places[link])
        return Intake(ctx.subscription(link), lane, before)

    def _step(self, now_ns: int) -> None:
        self._publisher.step()
        self._next_step_ns = now_ns + STEP_NS
        for intake in self._intakes:
            if taken_ns := intake.acknowledged_ns():
                self._ctx.counters.record(self._histogram, self._clock.monotonic_ns() - taken_ns)

    def _ready(self) -> bool:
        return any(intake.available for intake in self._intakes)

    def _show(self) -> None:
        counters = self._ctx.counters
        for intake in self._intakes:
            for place, total in zip(self._places[intake.link], intake.counts(), strict=True):
                counters.set(place, total)
        for place, before, total in zip(self._totals, self._totals_before, self._total_values(), strict=True):
            counters.set(place, before + total)
        for place, lane in zip(self._bytes, self._lanes, strict=True):
            counters.set(place, lane.journal.disk_bytes)
        full = any(i.lane.journal.low or i.stuck for i in self._intakes if i.gating)
        counters.set(self._backlog, self._publisher.backlog)
        counters.set(self._full, int(full))
        counters.set(self._connected, int(self._publisher.connected))
        if full != self._was_full:
            self._was_full = full
            words = "is full: new trades halt" if full else "has room again: trades may go on"
            self._log.line(f"ALERT: the journal of PLANNED or EXECUTED {words}")

    def _complain(self, now_ns: int) -> None:
        """Tell of dropped messages: the newest of each link, at most once a second."""
        for intake in self._intakes:
            if intake.complaint:
                self._log.line(f"{intake.complaint} ({intake.corrupt + intake.dropped_full} so far)")
                intake.complaint = ""
                self._next_complaint_ns = now_ns + COMPLAINT_PAUSE_NS

    def _total_values(self) -> tuple[int, ...]:
        publisher, lanes = self._publisher, self._lanes
        return (
            publisher.connects,
            publisher.failures,
            sum(lane.repeated for lane in lanes),
            sum(lane.duplicates for lane in lanes),
            sum(lane.refused for lane in lanes),
            sum(lane.found for lane in lanes),
            publisher.differences,
            self._sync.syncs,
        )


def build(ctx: Context) -> Sidecar:
    """The service for its run; its links are subscribed to and its journals opened here. Strategies of the
    settings' own go by their names.

    Raises JournalError for a journal that is damaged anywhere but at its end.
    """
    name_strategies({section.number: name for name, section in ctx.config.strategy.items()})
    return Sidecar(ctx)
