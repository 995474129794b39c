"""Opportunities at a stated rate, in the scanner's place: real routes on the real state of the market.

Every two pools of one token against SOL, both ways round, in turn, each time in another size; quoted as the
scanner would, but offered whether they pay or not: the planner decides. So many a second no market has. That
more of them pay, the shipped market's pools may take next to no fee.
"""

import json
import time
from importlib import resources
from pathlib import Path
from typing import Any, Final

from hft import wire
from hft.runtime.context import Context, Run
from hft.services.book import TableBook
from hft.services.common import Drops
from hft.services.scanner import STRATEGY_COUNTERS
from hft.services.strategies import places_of
from hft.simnet.market import SNAPSHOT
from hft.venues import WRAPPED_SOL, Pool, QuoteError
from hft.wire.enums import Strategy

SMALLEST_LAMPORTS: Final = 10_000_000
SIZES: Final = 24
"""Different sizes of each route, a quarter of an octave apart: none is a repetition of the one before."""
SURE_PPM: Final = 1_000_000


def cheap_market(folder: Path) -> str:
    """A file with the shipped market, most of its pools at a fee of 0.01 %; its path."""
    document = json.loads(resources.files("hft.simnet").joinpath(SNAPSHOT).read_text("utf-8"))
    for entry in document["pools"]:
        _cheapen(entry["figures"])
    file = folder / "cheap_market.json"
    file.write_text(json.dumps(document), "utf-8")
    return str(file)


def _cheapen(figures: dict[str, Any]) -> None:
    venue = figures["venue"]
    if venue == "whirlpool":
        figures["fee_rate"] = 100
    elif venue == "raydium_v4":
        figures["swap_fee_numerator"] = 1
    elif venue == "raydium_cpmm":
        figures["config_rates"][0] = 100
    elif venue == "raydium_clmm":
        figures["config_rates"][1] = 100


class Offers:
    """See the module. Writes the ``opportunities`` link and counts as the scanner does."""

    def __init__(self, run: Run) -> None:
        self._ctx = Context("scanner", run)
        self._out = Drops(self._ctx, "opportunities")
        self._book = TableBook(self._ctx.table)
        self._routes: list[tuple[bytes, bytes]] = []
        self._turn = 0
        index = self._ctx.counters.index
        own = places_of(self._ctx, STRATEGY_COUNTERS)[Strategy.TWO_HOP]
        sized, offered, refused = own
        self._sized, self._offered = (index("routes_sized"), sized), offered
        self._refused = index("rejected_unprofitable"), refused
        self.late_ns = 0
        """How far behind its time the latest one was offered."""

    def find(self) -> int:
        """Looks for routes among the pools there are; how many."""
        self._book.decode_all()
        pools = [entry.pool for entry in self._book.entries.values() if entry.pool is not None]
        traded = [pool for pool in pools if WRAPPED_SOL in (pool.mint_a, pool.mint_b)]
        self._routes = [
            (one.key, other.key)
            for one in traded
            for other in traded
            if one is not other and {one.mint_a, one.mint_b} == {other.mint_a, other.mint_b}
        ]
        return len(self._routes)

    def offer(self, rate: int, until_ns: int) -> int:
        """``rate`` a second until then, never skipping a beat that was missed; how many."""
        interval_ns = 1_000_000_000 // rate
        due_ns, count = time.monotonic_ns(), 0
        while due_ns < until_ns:
            now_ns = time.monotonic_ns()
            if now_ns < due_ns:
                time.sleep((due_ns - now_ns) / 1e9)
            self.late_ns = max(now_ns - due_ns, 0)
            count += self._next()
            due_ns += interval_ns
        return count

    def _next(self) -> int:
        """Offers the next route that has a quote; 1, or 0 where it has none."""
        self._book.refresh()
        key_1, key_2 = self._routes[self._turn % len(self._routes)]
        size = SMALLEST_LAMPORTS * 2 ** (self._turn // len(self._routes) % SIZES / 4)
        self._turn += 1
        entry_1, entry_2 = self._book.entry(key_1), self._book.entry(key_2)
        if entry_1 is None or entry_2 is None or entry_1.pool is None or entry_2.pool is None:
            return 0
        received_ns = time.monotonic_ns()
        self._count(self._sized)
        try:
            amount_in, amount_mid, amount_out = self._quoted(entry_1.pool, entry_2.pool, int(size))
        except QuoteError:
            self._count(self._refused)
            return 0
        sequence = self._out.sequence
        data_ns = max(entry_1.received_ns, entry_2.received_ns)
        self._ctx.counters.add(self._offered)
        return self._out.put(
            wire.two_hop_opportunity,
            self._ctx.run.run_id[:8] + sequence.to_bytes(8, "little"),
            sequence,
            max(entry_1.slot, entry_2.slot),
            Strategy.TWO_HOP,
            entry_1.pool.venue,
            entry_2.pool.venue,
            SURE_PPM,
            WRAPPED_SOL,
            entry_1.pool.other_mint(WRAPPED_SOL),
            key_1,
            key_2,
            amount_in,
            amount_mid,
            amount_out,
            amount_out - amount_in,
            entry_1.slot,
            entry_2.slot,
            data_ns,
            data_ns,
            received_ns,
            time.monotonic_ns(),
        )

    def _quoted(self, pool_1: Pool, pool_2: Pool, amount_in: int) -> tuple[int, int, int]:
        mid = pool_1.quote(WRAPPED_SOL, amount_in, self._book.clock).amount_out
        back = pool_2.quote(pool_1.other_mint(WRAPPED_SOL), mid, self._book.clock).amount_out
        return amount_in, mid, back

    def _count(self, places: tuple[int, ...]) -> None:
        for place in places:
            self._ctx.counters.add(place)

    def close(self) -> None:
        """Lets go of the link."""
        self._out.close()
        self._ctx.close()
