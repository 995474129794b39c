"""The scanner: what changed in the market → two-hop routes that pay → ``opportunities``.

A pool update says only *which* pool changed; the bytes come from the account table, so a lapped or late
scanner never works on old state. Several updates of one pool that wait together are looked at once.

Counters: in_market_data = scanned_updates + coalesced_updates + disabled_updates + other_updates +
dropped_corrupt, and routes_sized = out_opportunities + rejected_unprofitable + rejected_below_gross +
rejected_duplicate + rejected_stale + dropped_opportunities_no_room. A route counts as sized once for each
strategy.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hft import wire
from hft.services import updates
from hft.services.book import TableBook, pool_settings
from hft.services.common import SYSTEM_COUNTERS, Drops, SystemLink
from hft.services.strategies import places_of, strategies_of
from hft.services.updates import Update, Updates
from hft.strategy.registry import Refusal, Sizes, TwoHopStrategy, widest
from hft.strategy.risk import confidence
from hft.strategy.screen import Screen
from hft.strategy.shard import own_mids
from hft.venues import WRAPPED_SOL, Pool, QuoteError, tokens

if TYPE_CHECKING:
    from hft.runtime.context import Context

COUNTERS: tuple[str, ...] = (
    *updates.COUNTERS,
    "scanned_updates",
    "routes_sized",
    "rejected_unprofitable",
    "rejected_below_gross",
    "rejected_duplicate",
    "rejected_stale",
    "dropped_opportunities_no_room",
    "out_opportunities",
    "pools",
    "pools_unlisted",
    "slot",
    *SYSTEM_COUNTERS,
)
STRATEGY_COUNTERS: tuple[str, ...] = ("routes_sized", "opportunities", "rejected")
HISTOGRAMS: tuple[str, ...] = (updates.HANDOFF, "stage_scanner_ns")


def build(ctx: "Context") -> "Scanner":
    """The scanner of a run, attached to its links."""
    return Scanner(ctx)


class Scanner:
    """See the module."""

    def __init__(self, ctx: "Context") -> None:
        settings, planner = ctx.config.scanner, ctx.config.planner
        self._clock = ctx.clock
        self._counters = ctx.counters
        self._book = TableBook(ctx.table, pool_settings(ctx.config))
        self._updates = Updates(ctx, self._drop_pool)
        self.primary = self._updates.subscription
        self._out = Drops(ctx, "opportunities")
        self._system = SystemLink(ctx)
        by_number = strategies_of(ctx.config)
        self._strategies = tuple(by_number.values())
        self._widest = widest(by_number)
        self._places = places_of(ctx, STRATEGY_COUNTERS)
        self._executor = ctx.peer_counters("executor")
        self._halted = places_of(ctx, ("halted",), self._executor)
        self._data_age_limit_ns = planner.data_age_limit_ms * 1_000_000
        self._slot_age_limit = planner.slot_age_limit
        self._pools: dict[bytes, Pool] = {}
        self._screen = Screen(WRAPPED_SOL)
        listed = tokens.pairs(stable_pairs=settings.stablecoin_pairs == "on")
        self._mids = own_mids(listed, WRAPPED_SOL, settings.shard)
        self._unlisted: set[bytes] = set()
        index = ctx.counters.index
        self._scanned, self._sized = index("scanned_updates"), index("routes_sized")
        self._refusals = tuple(index(f"rejected_{refusal.name.lower()}") for refusal in Refusal)
        self._duplicate, self._too_stale = index("rejected_duplicate"), index("rejected_stale")
        self._stage = ctx.counters.histogram_index("stage_scanner_ns")

    def on_start(self) -> None:
        """Reads the pools that are in the table already, so that the first update finds its counterparts."""
        self._book.refresh()
        for key in self._book.take_changed():
            self._take_pool(key)

    def do_work(self) -> int:
        """Takes waiting updates together, then looks once at every pool they name."""
        count = self._updates.poll()
        waiting = self._updates.take()
        if waiting:
            self._scan(waiting)
        return count

    def on_housekeeping(self, now_ns: int) -> None:
        self._system.poll()
        counters = self._counters
        self._updates.show()
        counters.set(counters.index("pools"), len(self._pools))
        counters.set(counters.index("pools_unlisted"), len(self._unlisted))
        counters.set(counters.index("slot"), self._book.clock.slot)

    def on_close(self) -> None:
        self._out.close()

    def _scan(self, waiting: Mapping[bytes, Update]) -> None:
        self._counters.add(self._scanned, len(waiting))
        self._book.refresh()
        for key in waiting:
            self._take_pool(key)
        for key in self._book.take_changed():
            if key in self._pools and key not in waiting:
                self._take_pool(key)
        changed = [key for key in waiting if key in self._pools]
        if not changed:
            return
        for pool_1, pool_2, _ in self._screen.candidates(changed, self._book.clock):
            update = waiting.get(pool_1.key) or waiting[pool_2.key]
            self._consider(pool_1, pool_2, update)

    def _take_pool(self, key: bytes) -> None:
        entry = self._book.entry(key)
        if entry is None or entry.pool is None:
            self._drop_pool(key)
            return
        pool = entry.pool
        if self._pools.get(key) is pool:
            return  # decoded, and known to the screen, since before its update came
        self._pools[key] = pool
        mid = pool.mint_b if pool.mint_a == WRAPPED_SOL else pool.mint_a
        if mid not in self._mids or WRAPPED_SOL not in (pool.mint_a, pool.mint_b):
            self._unlisted.add(key)  # unlisted, under a listed one's symbol, or another's share: not traded
            return
        try:
            self._screen.update(pool)
        except QuoteError:
            self._screen.remove(key)

    def _drop_pool(self, key: bytes) -> None:
        self._pools.pop(key, None)
        self._unlisted.discard(key)
        self._screen.remove(key)

    def _consider(self, pool_1: Pool, pool_2: Pool, update: Update) -> None:
        """One route, sized once, for each strategy that has not lost what it may today."""
        sizes = Sizes(pool_1, pool_2, WRAPPED_SOL, self._book.clock, self._widest)
        for strategy in self._strategies:
            if self._executor.value(self._halted[strategy.number][0]):
                continue
            sized, offered, refused = self._places[strategy.number]
            self._counters.add(self._sized)
            self._counters.add(sized)
            sent = self._offer(strategy, pool_1, pool_2, sizes, update)
            self._counters.add(offered if sent else refused)

    def _offer(
        self, strategy: TwoHopStrategy, pool_1: Pool, pool_2: Pool, sizes: Sizes, update: Update
    ) -> bool:
        counters, book = self._counters, self._book
        found = strategy.judge(sizes)
        if isinstance(found, Refusal):
            counters.add(self._refusals[found])
            return False
        entry_1, entry_2 = book.entries[pool_1.key], book.entries[pool_2.key]
        slot = max(entry_1.slot, entry_2.slot)
        ages = book.ages(entry_1, entry_2, self._clock.monotonic_ns())
        sure_ppm = confidence(*ages, self._data_age_limit_ns, self._slot_age_limit)
        if sure_ppm <= 0:
            counters.add(self._too_stale)
            return False
        if not strategy.is_new(found, slot):
            counters.add(self._duplicate)
            return False
        now_ns = self._clock.monotonic_ns()
        sent = self._out.put(
            wire.two_hop_opportunity,
            update.trace_id,
            self._out.sequence,
            slot,
            strategy.number,
            pool_1.venue,
            pool_2.venue,
            sure_ppm,
            WRAPPED_SOL,
            pool_1.other_mint(WRAPPED_SOL),
            pool_1.key,
            pool_2.key,
            found.amount_in,
            found.amount_mid,
            found.amount_out,
            found.gross_profit,
            entry_1.slot,
            entry_2.slot,
            update.received_ns,
            update.published_ns,
            update.scan_received_ns,
            now_ns,
        )
        if sent:
            counters.record(self._stage, now_ns - update.scan_received_ns)
        return sent
