"""The feed: account bytes from the chain into the account table, what changed into ``market_data``.

Newest only, by (slot, write version), over all sources. What came together is written together, and each pool
it touches is announced once. A pool whose accounts give no pool is disabled and says why; the others go on.
While no source is live, or what a pool rests on was on a fork that lost, nothing vouches for it: disabled,
until a snapshot does.

Counters: in_accounts = applied_accounts + dropped_old + duplicate_accounts + dropped_dead_fork +
coalesced_accounts + unwatched_accounts + dropped_table_full + pending_accounts.
"""

from typing import TYPE_CHECKING

from hft.chain.subscribe import (
    MAX_WATCHES,
    AccountChanged,
    AccountUnusable,
    FeedEvent,
    Reverted,
    SlotSeen,
    SourceLive,
    SourceLost,
)
from hft.chain.subscribe_merge import Version, Watch
from hft.chain.sysvars import CLOCK_KEY
from hft.runtime.runner import Log
from hft.runtime.wallet import LIVE, wallet_address
from hft.services import announce, tally
from hft.services.announce import UNTOUCHED, Announcer, touches
from hft.services.common import SYSTEM_COUNTERS, SystemLink
from hft.services.judge import NONE, Judge
from hft.services.pools import needs_of
from hft.services.sanity import Sanity
from hft.services.simulation_needs import simulation_needs
from hft.services.sources import Origin, Sources
from hft.services.store import Store
from hft.services.tally import Tally
from hft.services.troubles import Troubles
from hft.services.watchset import WatchSet
from hft.venues import WRAPPED_SOL, associated_token_address

if TYPE_CHECKING:
    from hft.runtime.context import Context

COUNTERS: tuple[str, ...] = (*tally.COUNTERS, *announce.COUNTERS, *SYSTEM_COUNTERS)
HISTOGRAMS: tuple[str, ...] = announce.HISTOGRAMS

BATCH_LIMIT = 4_096
"""Events of one batch; what comes at once beyond that is published in parts."""
JUDGE_NS, JUDGE_LATEST_NS = 50_000_000, 100_000_000
"""A pool that was announced is judged so long after its bytes came, if nothing comes; at the latest then."""
OWN = b"own"
"""In the watch set: what is followed for no pool's sake."""


def build(ctx: "Context") -> "Feed":
    """The feed of a run: attaches the table and the link, does not connect yet."""
    return Feed(ctx)


class Feed:
    """See the module. ``wait`` sleeps on the sockets."""

    def __init__(self, ctx: "Context", origin: Origin | None = None) -> None:
        """``origin``: where accounts come from, if not by the settings."""
        self._clock = ctx.clock
        self._counters = ctx.counters
        self._announcer = Announcer(ctx)
        self._system = SystemLink(ctx)
        self._sources = origin or Sources(ctx)
        self._accounts = self._sources.accounts
        self._loop = self._sources.loop
        self._tally = Tally(ctx.counters, self._sources)
        self._watchset = WatchSet(MAX_WATCHES)
        self._wallet = wallet_address(ctx.run)
        self._besides = simulation_needs(ctx.config, self._wallet)
        self._store = Store(ctx.table, self._tally)
        self._book = self._store.book
        strict = ctx.config.hft.mode == LIVE
        sanity = Sanity(self._store.account, ctx.config.feed.reference_limit_bps, strict=strict)
        self._judge = Judge(self._book, self._announcer, sanity, self._watchset.needs)
        self._moved: dict[bytes, None] = {}
        self._log = Log("feed", ctx.clock)
        self._troubles = Troubles(self._log.line)
        self._live = False
        self._vouched = False
        self._slot = SlotSeen(0, 0, 0, 0)
        self._told_slot = 0
        self._connected = False

    def on_start(self) -> None:
        """Takes over what an earlier process of this run wrote, so that nothing older is ever put over it."""
        for version in self._store.take_over():
            self._accounts.knows(version)
        self._sources.start()
        self._take_survey()

    def do_work(self) -> int:
        """Takes what came by now, all of it together; looks at the sockets only if nothing waits, then at the
        pools still to be judged."""
        accounts = self._accounts
        if not accounts.waiting:
            self._loop.step()
        count = accounts.poll(self._on_event, BATCH_LIMIT)
        if count:
            self._end_batch()
        if self._judge.unjudged:
            count += self._look(JUDGE_LATEST_NS if count else JUDGE_NS)
        return count

    def wait(self, timeout_ns: int) -> None:
        self._loop.wait(timeout_ns)

    def on_housekeeping(self, now_ns: int) -> None:
        """Shows gauges, lets go of accounts that no pool needs any more."""
        self._system.poll()
        self._sources.check()
        self._troubles.take(self._sources.troubles)
        if not self._connected:
            self._take_survey()
        self._let_go(now_ns)
        self._tally.show(self._watchset, max(self._slot.slot, self._book.clock.slot))
        statuses = self._judge.statuses
        disabled = sum(1 for status in statuses.values() if status is not NONE)
        self._tally.set("pools", len(statuses))
        self._tally.set("pools_disabled", disabled if self._live else len(statuses))

    def on_close(self) -> None:
        self._sources.close()
        self._tally.show(self._watchset, max(self._slot.slot, self._book.clock.slot))
        self._announcer.close()

    def _take_survey(self) -> None:
        """Once the pools are known: follows them, and whatever else is asked for."""
        found, now_ns = self._sources.found, self._clock.monotonic_ns()
        if found is None:
            return
        self._connected = True
        self._judge.tokens = tokens = dict(found.tokens)
        self._tally.set("pools_left_out", found.left_out)
        self._tally.set("tokens_refused", len(found.problems))
        states = (token.state for token in tokens.values() if token.state is not None)
        purse = associated_token_address(self._wallet, WRAPPED_SOL)
        self._watchset.want(OWN, (CLOCK_KEY, self._wallet, purse, *tokens, *states), now_ns)
        for pool, needs in found.pools.items():
            self._watchset.want(pool, (pool, *needs), now_ns)
        self._follow()
        self._sources.connect(self._announcer.reference)
        for problem in found.problems:
            self._log.line(f"token disabled: {problem.message}")

    def _on_event(self, event: FeedEvent) -> None:
        kind = type(event)
        if kind is AccountChanged or kind is AccountUnusable:
            version: Version = event[0]  # type: ignore[assignment]
            self._store.put(version)
            if self._judge.reverted:
                self._judge.reverted.discard(version.pubkey)
        elif isinstance(event, SlotSeen):
            self._slot = event
        elif isinstance(event, SourceLive):
            self._tally.add("connects")
            if event.first:
                self._live = self._vouched = True
        elif isinstance(event, SourceLost):
            self._tally.add("disconnects")
            if event.last:
                self._live = False
        elif isinstance(event, Reverted) and event.pubkeys:
            self._on_reverted(event)

    def _on_reverted(self, event: Reverted) -> None:
        """What was told in slots that never were rests on nothing; what they held before is on its way."""
        self._tally.reverted(min(event.slots), self._clock.monotonic_ns())
        for key in event.pubkeys:
            record = self._store.records.get(key)
            if record is not None and record.slot in event.slots:
                self._judge.reverted.add(key)

    def _end_batch(self) -> None:
        """Writes the batch and announces each pool it touched: first what readers may hear of at once, then
        what is to be judged before."""
        written = self._store.write()
        book, judge = self._book, self._judge
        touched = touches(written, self._store.records, book)
        for key in written:
            if key in book.entries:
                self._moved[key] = None
        changed, odd = book.take_changed(), self._store.take_odd()
        if self._slot.slot > self._told_slot:
            self._told_slot = self._slot.slot
            self._announcer.slot(*self._slot[:2], book.clock.unix_timestamp, self._slot.received_ns)
        if self._live and not self._vouched:
            if judge.reverted:
                besides = (pool for key in sorted(judge.reverted) for pool in book.users(key))
                changed = list(dict.fromkeys((*changed, *besides)))
            others = judge.tell_early(changed, touched, odd)
            if not others:
                return  # every pool that moved is still to be judged
        else:
            others = judge.turn_over(live=self._live)
            self._vouched = False
        for key in others:
            judge.tell(key, touched.get(key, UNTOUCHED))
        self._watch([key for key in self._moved if key not in judge.unjudged])

    def _look(self, after_ns: int) -> int:
        """Judges a pool that has waited for ``after_ns``; how many."""
        pool = self._judge.tell_late(self._clock.monotonic_ns() - after_ns)
        if pool is None:
            return 0
        if pool in self._moved:
            self._watch([pool])
        return 1

    def _watch(self, moved: list[bytes]) -> None:
        """Pools that moved may need other accounts."""
        if not moved:
            return
        entries, now_ns = self._book.entries, self._clock.monotonic_ns()
        for key in moved:
            del self._moved[key]
            account = self._store.account(key)
            if account is not None and (needs := needs_of(key, account, entries[key].pool)):
                self._watchset.want(key, (key, *needs, *self._besides(entries[key].pool)), now_ns)
        self._follow()

    def _follow(self) -> None:
        added = self._watchset.take_added()
        if added:
            self._accounts.watch([Watch(key, optional=True) for key in added])

    def _let_go(self, now_ns: int) -> None:
        dropped = self._watchset.take_dropped(now_ns)
        if not dropped:
            return
        self._accounts.unwatch(dropped)
        self._judge.reverted.difference_update(dropped)
        self._store.forget(dropped)
