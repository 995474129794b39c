"""A feed of its own whose events go into a capture: the same sources, pools and watch set as the pipeline's.

It runs on shared memory of its own, so that nothing of a running pipeline waits for it or for the disk.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from hft.chain.subscribe import AccountChanged, FeedEvent
from hft.chain.subscribe_merge import Version, Watch
from hft.chain.sysvars import CLOCK_KEY, CLOCK_LAYOUT
from hft.runtime.capture import LIMIT_BYTES, CaptureError, CaptureWriter
from hft.runtime.capture_format import Happening, Header, Surveyed
from hft.runtime.clock import Clock
from hft.runtime.context import Context, Run
from hft.runtime.segments import Segments, declared_page
from hft.runtime.service import ServiceState
from hft.runtime.settings import Config
from hft.services.feed import Feed
from hft.services.pools import Survey
from hft.services.references import Tell
from hft.services.sources import Accounts, Loop, Sources

HOUSEKEEPING_NS = 10_000_000
FLUSH_NS = 500_000_000
LINK_DEPTH = 64
"""Nobody reads this feed's links."""
WAITING_LIMIT = 100_000
"""Events kept at most until the chain's clock is known, and the file can begin."""

Taken = Callable[[list[FeedEvent]], None]


class _TappedAccounts:
    """A stream of accounts that shows what was polled together, after its taker has it."""

    def __init__(self, inner: Accounts, taken: Taken) -> None:
        self._inner = inner
        self._taken = taken
        self.counts: Counter[str] = inner.counts

    @property
    def waiting(self) -> int:
        return self._inner.waiting

    def poll(self, handler: Callable[[FeedEvent], None], limit: int) -> int:
        events: list[FeedEvent] = []

        def both(event: FeedEvent) -> None:
            events.append(event)
            handler(event)

        count = self._inner.poll(both, limit)
        if events:
            self._taken(events)
        return count

    def watch(self, watches: Sequence[Watch]) -> None:
        self._inner.watch(watches)

    def unwatch(self, pubkeys: Iterable[bytes]) -> None:
        self._inner.unwatch(pubkeys)

    def knows(self, version: Version) -> None:
        self._inner.knows(version)


class _TappedSources:
    """The feed's sources, their accounts tapped."""

    def __init__(self, inner: Sources, taken: Taken) -> None:
        self._inner = inner
        self.accounts: Accounts = _TappedAccounts(inner.accounts, taken)
        self.loop: Loop = inner.loop

    @property
    def found(self) -> Survey | None:
        return self._inner.found

    @property
    def silences(self) -> int:
        return self._inner.silences

    @property
    def failures(self) -> int:
        return self._inner.failures

    @property
    def survey_failures(self) -> int:
        return self._inner.survey_failures

    @property
    def reference_failures(self) -> int:
        return self._inner.reference_failures

    @property
    def troubles(self) -> Mapping[str, str]:
        return self._inner.troubles

    def start(self) -> None:
        self._inner.start()

    def connect(self, tell: Tell) -> None:
        self._inner.connect(tell)

    def check(self) -> None:
        self._inner.check()

    def close(self) -> None:
        self._inner.close()


class Recorder:
    """See the module. A context manager, which connects and in the end has the file on disk: ``step`` until
    ``full`` says why it is over, or it has been long enough."""

    def __init__(
        self, config: Config, state_dir: Path, file: Path, clock: Clock, *, limit_bytes: int = LIMIT_BYTES
    ) -> None:
        """``state_dir``: of the instance whose local cluster is asked, if no address is set.

        ``HftError`` when the file is there already, or an address, a pool or the shared memory is not.
        """
        if file.exists():
            raise CaptureError(f"{file}: is there already; a capture is a new file")
        if not file.absolute().parent.is_dir():
            raise CaptureError(f"{file}: the folder {file.absolute().parent} does not exist")
        self._file = file
        self._clock = clock
        self._limit = limit_bytes
        self._began_ns, self._began_unix_ns = clock.monotonic_ns(), clock.unix_ns()
        self._next_housekeeping_ns = self._next_flush_ns = 0
        self._early: list[tuple[int, list[Happening]]] = []
        self._surveyed = False
        self.writer: CaptureWriter | None = None
        links = {name: replace(link, depth=LINK_DEPTH) for name, link in config.links.items()}
        # Who asked for two seconds gets no more: the pools are looked for while they pass.
        feed = replace(config.feed, start_wait_ms=0)
        own = replace(config, links=links, feed=feed)
        self._run = Run(os.urandom(16), state_dir, config.hft.prefix, own, {}, {})
        self._segments = Segments.create(self._run, {"feed": declared_page("feed")})
        try:
            self._context = Context("feed", self._run, clock)
            self._sources = _TappedSources(Sources(self._context), self._taken)
            self.feed = Feed(self._context, self._sources)
        except BaseException:
            self._segments.remove()
            raise

    @property
    def full(self) -> str:
        """Why nothing more is taken; empty while it is."""
        return "" if self.writer is None else self.writer.full

    @property
    def duration_ns(self) -> int:
        """Since it began."""
        return self._clock.monotonic_ns() - self._began_ns

    def counter(self, name: str) -> int:
        """One of the feed's counters."""
        page = self._segments.pages["feed"]
        return page.value(page.index(name))

    def __enter__(self) -> "Recorder":
        """Looks for the pools and connects. ``HftError`` when a pool that is named can't be right."""
        try:
            self.feed.on_start()
        except BaseException:
            self._let_go()
            raise
        self._segments.pages["feed"].set_state(ServiceState.RUNNING)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """``CaptureError`` when all went well, but nothing came that a replay could begin with."""
        try:
            self._let_go()
        finally:
            if self.writer is not None:
                self.writer.close()
        if self.writer is None and error is None:
            told = "; ".join(f"{place}: {why}" for place, why in self._sources.troubles.items())
            raise CaptureError(f"{self._file}: not written: no market data came{': ' if told else ''}{told}")

    def step(self, wait_ns: int) -> None:
        """Takes what came by now; waits at most ``wait_ns`` where nothing did."""
        if not self.feed.do_work():
            self.feed.wait(wait_ns)
        now_ns = self._clock.monotonic_ns()
        if now_ns >= self._next_housekeeping_ns:
            self._next_housekeeping_ns = now_ns + HOUSEKEEPING_NS
            self._segments.pages["feed"].beat(now_ns)
            self.feed.on_housekeeping(now_ns)
        if self.writer is not None and now_ns >= self._next_flush_ns:
            self._next_flush_ns = now_ns + FLUSH_NS
            self.writer.flush()

    def _let_go(self) -> None:
        """Ends every connection, takes the shared memory away."""
        try:
            self.feed.on_close()
        finally:
            self._context.close()
            self._segments.remove()

    def _taken(self, events: list[FeedEvent]) -> None:
        now_ns = self._clock.monotonic_ns()
        found = self._sources.found
        if not self._surveyed and found is not None:
            self._surveyed = True
            surveyed = Surveyed(found.pools, tuple(found.tokens), found.left_out)
            self._put([surveyed], now_ns)
        self._put(list(events), now_ns)

    def _put(self, events: list[Happening], now_ns: int) -> None:
        if self.writer is not None:
            self.writer.put(events, now_ns)
            return
        self._early.append((now_ns, events))
        clock = next(filter(None, map(_clock_of, events)), None)
        if clock is None:
            if sum(len(early) for _, early in self._early) > WAITING_LIMIT:
                raise CaptureError(f"{WAITING_LIMIT:,} events came, and the chain's clock was not among them")
            return
        header = Header(self._run.run_id, self._began_ns, self._began_unix_ns, *clock)
        self.writer = CaptureWriter(self._file, header, limit_bytes=self._limit)
        for taken_ns, early in self._early:
            self.writer.put(early, taken_ns)
        self._early.clear()


def _clock_of(event: Happening) -> tuple[int, int] | None:
    """Slot and Unix time, if the event is the chain's clock."""
    if not isinstance(event, AccountChanged) or event.version.pubkey != CLOCK_KEY:
        return None
    account = event.version.account
    if account is None or len(account.data) != CLOCK_LAYOUT.size:
        return None
    slot, _, _, _, unix_timestamp = CLOCK_LAYOUT.unpack(account.data)
    return slot, unix_timestamp
