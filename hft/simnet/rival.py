"""A rival searcher: it sees dislocations as everybody does, and bids for them in the block engine's auction.

It attends a share of them, some time after they appear, takes the two hops that earn most and offers a share
of the profit as its tip. Its trades are carried out on the bank at once (they are nobody's transactions), if
when its place comes they still pay. Drawn from its own seeded generator: without outside trades the same
seed gives the same rival.
"""

import heapq
import random
from collections.abc import Callable
from typing import Final, NamedTuple

from hft.simnet.bank import Bank
from hft.strategy.screen import candidates
from hft.strategy.two_hop import size
from hft.venues import WRAPPED_SOL, QuoteError, quote

NEVER: Final = 2**62
MINIMUM_PROFIT: Final = 20_000  # lamports: below it a trade would not pay its fees
MAXIMUM_IN: Final = 100_000_000_000
MINIMUM_IN: Final = 10_000_000
TRADE_UNITS: Final = 200_000  # compute units of a two-hop transaction: its price is per unit, as others' is
_SALT: Final = 0x5249_5641_4C00_0000


class RivalCounts(NamedTuple):
    """Dislocations it attended, bids it made, trades it got, bids that came too late."""

    seen: int
    bids: int
    won: int
    late: int


class Rival:
    """One rival on a bank. ``next_ns``: when (on the market's time) it acts next."""

    def __init__(
        self,
        bank: Bank,
        bid: Callable[[int, Callable[[], None], int], int],
        *,
        seed: int,
        share_ppm: int,
        reaction_ns: int,
        tip_ppm: int,
    ) -> None:
        """``bid(price, run, now_ns)`` enters the auction. ``share_ppm``: how many of the dislocations it
        attends; ``tip_ppm``: how much of the profit it offers."""
        self._bank = bank
        self._bid = bid
        self._random = random.Random(seed ^ _SALT)
        self._share_ppm = share_ppm
        self._reaction_ns = reaction_ns
        self._tip_ppm = tip_ppm
        self._due: list[tuple[int, bytes, bool]] = []
        self._busy: set[bytes] = set()
        self.paid_lamports = 0
        self._seen = self._bids = self._won = self._late = 0

    @property
    def next_ns(self) -> int:
        """``NEVER`` if it has nothing in view."""
        return self._due[0][0] if self._due else NEVER

    @property
    def counts(self) -> RivalCounts:
        """What it did so far."""
        return RivalCounts(self._seen, self._bids, self._won, self._late)

    def look(self, pool: bytes, now_ns: int) -> None:
        """The pool moved: if that dislocated its pair, the rival may come."""
        if not self._share_ppm or pool in self._busy or pool not in self._bank.pools:
            return
        if not self._candidates(pool):
            return
        self._busy.add(pool)
        attends = self._random.randrange(1_000_000) < self._share_ppm
        self._seen += attends
        delay = self._reaction_ns + int(self._random.expovariate(1.0) * self._reaction_ns)
        heapq.heappush(self._due, (now_ns + delay, pool, attends))

    def step(self) -> None:
        """What is due next: a bid for the dislocation it saw, if it is still there."""
        now_ns, pool, attends = heapq.heappop(self._due)
        self._busy.discard(pool)
        if not attends:
            return
        best = self._best(pool)
        if best is None:
            self._late += 1
            return
        route, amount, profit = best
        tip = profit * self._tip_ppm // 1_000_000
        self._bids += 1
        self._bid(tip * 1_000_000 // TRADE_UNITS, lambda: self._trade(route, amount, tip), now_ns)

    def _candidates(self, pool: bytes) -> list[tuple[bytes, bytes]]:
        moved = self._bank.pools[pool]
        if WRAPPED_SOL not in (moved.mint_a, moved.mint_b):
            return []
        pair = {moved.mint_a, moved.mint_b}
        pools = {key: p for key, p in self._bank.pools.items() if {p.mint_a, p.mint_b} == pair}
        found = candidates(pools, WRAPPED_SOL, {pool}, self._bank.clock)
        return [(one.pool_1.key, one.pool_2.key) for one in found if one.gain > 0]

    def _best(self, pool: bytes) -> tuple[tuple[bytes, bytes], int, int] | None:
        """(pools, amount in, profit) of the best trade through ``pool``."""
        if pool not in self._bank.pools:
            return None
        for route in self._candidates(pool)[:1]:
            first, second = (self._bank.pools[key] for key in route)
            try:
                found = size(
                    first,
                    second,
                    WRAPPED_SOL,
                    self._bank.clock,
                    minimum_in=MINIMUM_IN,
                    maximum_in=MAXIMUM_IN,
                )
            except QuoteError:
                return None
            if found is not None and found.gross_profit >= MINIMUM_PROFIT:
                return route, found.amount_in, found.gross_profit
        return None

    def _trade(self, route: tuple[bytes, bytes], amount: int, tip: int) -> None:
        bank = self._bank
        if any(key not in bank.pools for key in route):
            self._late += 1
            return
        first, second = (bank.pools[key] for key in route)
        try:
            out = quote(first, WRAPPED_SOL, amount, bank.clock)
            middle = first.other_mint(WRAPPED_SOL)
            back = quote(second, middle, out.amount_out, bank.clock)
            if back.amount_out - amount <= tip:
                self._late += 1
                return
            save = bank.savepoint()
            try:
                bank.swap(route[0], WRAPPED_SOL, out)
                bank.swap(route[1], middle, back)
            except ValueError:
                bank.rollback(save)
                self._late += 1
                return
            bank.keep()
        except QuoteError:
            self._late += 1
            return
        self._won += 1
        self.paid_lamports += tip
