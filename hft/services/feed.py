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
from hft.chain.subscribe_merge import Watch
from hft.chain.sysvars import CLOCK_KEY
from hft.runtime.runner import Log
from hft.runtime.wallet import LIVE, wallet_address
from hft.services import announce, tally
from hft.services.announce import DISABLED_REASONS, UNTOUCHED, Announcer, touches
from hft.services.book import Entry
from hft.services.common import SYSTEM_COUNTERS, SystemLink
from hft.services.pools import needs_of
from hft.services.sanity import Sanity
from hft.services.simulation_needs import simulation_needs
from hft.services.sources import Origin, Sources
from hft.services.store import Store
from hft.services.tally import Tally
from hft.services.watchset import WatchSet
from hft.venues import WRAPPED_SOL, associated_token_address
from hft.venues.tokens import Token
from hft.wire.enums import PoolDisabledReason

if TYPE_CHECKING:
    from hft.runtime.context import Context

COUNTERS: tuple[str, ...] = (*tally.COUNTERS, *announce.COUNTERS, *SYSTEM_COUNTERS)
HISTOGRAMS: tuple[str, ...] = announce.HISTOGRAMS

BATCH_LIMIT = 4_096
"""Events of one batch; what comes at once beyond that is published in parts."""
OWN = b"own"
"""In the watch set: what is followed for no pool's sake."""
NONE, STALE = PoolDisabledReason.NONE, PoolDisabledReason.STALE


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
        self._tokens: dict[bytes, Token] = {}
        self._store = Store(ctx.table, self._tally)
        self._book = self._store.book
        self._reverted: set[bytes] = set()
        self._sanity = Sanity(
            self._store.account, ctx.config.feed.reference_limit_bps, strict=ctx.config.hft.mode == LIVE
        )
        self._log = Log("feed", ctx.clock)
        self._statuses: dict[bytes, PoolDisabledReason] = {}
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
        """Takes what came by now, all of it together; looks at the sockets only if nothing waits."""
        accounts = self._accounts
        if not accounts.waiting:
            self._loop.step()
        count = accounts.poll(self._on_event, BATCH_LIMIT)
        if count:
            self._end_batch()
        return count

    def wait(self, timeout_ns: int) -> None:
        self._loop.wait(timeout_ns)

    def on_housekeeping(self, now_ns: int) -> None:
        """Shows gauges, lets go of accounts that no pool needs any more."""
        self._system.poll()
        self._sources.check()
        if not self._connected:
            self._take_survey()
        self._let_go(now_ns)
        self._tally.show(self._watchset, max(self._slot.slot, self._book.clock.slot))
        disabled = sum(1 for status in self._statuses.values() if status is not NONE)
        self._tally.set("pools", len(self._statuses))
        self._tally.set("pools_disabled", disabled if self._live else len(self._statuses))

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
        self._tokens = dict(found.tokens)
        self._tally.set("pools_left_out", found.left_out)
        self._tally.set("tokens_refused", len(found.problems))
        states = (token.state for token in self._tokens.values() if token.state is not None)
        purse = associated_token_address(self._wallet, WRAPPED_SOL)
        self._watchset.want(OWN, (CLOCK_KEY, self._wallet, purse, *self._tokens, *states), now_ns)
        for pool, needs in found.pools.items():
            self._watchset.want(pool, (pool, *needs), now_ns)
        self._follow()
        self._sources.connect(self._announcer.reference)
        for problem in found.problems:
            self._log.line(f"token disabled: {problem.message}")

    def _on_event(self, event: FeedEvent) -> None:
        kind = type(event)
        if kind is AccountChanged or kind is AccountUnusable:
            version = event.version  # type: ignore[union-attr]
            self._store.put(version)
            self._reverted.discard(version.pubkey)
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
                self._reverted.add(key)

    def _end_batch(self) -> None:
        """Writes the batch, announces each pool it touched, then looks whether they are still sound."""
        written = self._store.write()
        touched = touches(written, self._store.records, self._book)
        changed = dict.fromkeys(self._book.take_changed())
        if self._reverted:
            changed.update((pool, None) for key in sorted(self._reverted) for pool in self._book.users(key))
        if self._slot.slot > self._told_slot:
            self._told_slot = self._slot.slot
            self._announcer.slot(*self._slot[:2], self._book.clock.unix_timestamp, self._slot.received_ns)
        if self._vouched and self._live:
            # The snapshot vouches for every pool, also for those that did not change.
            self._statuses.clear()
            changed = dict.fromkeys(self._book.entries)
        self._vouched = False
        entries, statuses, announce = self._book.entries, self._statuses, self._announcer.announce
        if not self._live:
            for key in [key for key, status in statuses.items() if status is not STALE]:
                statuses[key] = STALE
                announce(entries[key], UNTOUCHED, STALE)
            changed = {}
        early = [key for key in changed if statuses.get(key) is NONE and self._goes_early(key)]
        for key in early:
            announce(entries[key], touched.get(key, UNTOUCHED), NONE)
        for key in changed:
            entry = self._book.entry(key)
            if entry is None:
                continue
            reason = self._reason(entry)
            if statuses.get(key) is not reason or (reason is NONE and key not in early):
                statuses[key] = reason
                announce(entry, touched.get(key, UNTOUCHED), reason)
        self._watch(written)

    def _reason(self, entry: Entry) -> PoolDisabledReason:
        """Why a pool may not be quoted."""
        if entry.error is not None or entry.pool is None:
            return DISABLED_REASONS[entry.error] if entry.error else PoolDisabledReason.ACCOUNT_MISSING
        if self._is_reverted(entry.key):
            return PoolDisabledReason.REVERTED
        if entry.pool.mint_a not in self._tokens or entry.pool.mint_b not in self._tokens:
            return PoolDisabledReason.MINT_MISMATCH
        if not self._sanity.agrees(entry.pool, self._tokens):
            return PoolDisabledReason.OFF_REFERENCE
        return NONE

    def _goes_early(self, pool: bytes) -> bool:
        """May readers hear of it before it is decoded here? Not if its price is to be looked at first."""
        return pool not in self._sanity.covered and not self._is_reverted(pool)

    def _is_reverted(self, pool: bytes) -> bool:
        return bool(self._reverted) and not self._reverted.isdisjoint(self._watchset.needs(pool))

    def _watch(self, written: list[bytes]) -> None:
        """Pools that moved may need other accounts."""
        entries, now_ns = self._book.entries, self._clock.monotonic_ns()
        for key in written:
            account = self._store.account(key) if key in entries else None
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
        self._reverted.difference_update(dropped)
        self._store.forget(dropped)
