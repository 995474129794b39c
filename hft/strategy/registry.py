"""Strategies: a kind of search with terms of its own, any number of them side by side.

Each has a name, a number (in messages and in the ledger) and its own filters, de-duplication, limits,
counters and profit. What costs time is shared: pools are screened once, and a route is sized once for all
whose bounds leave the best size free.
"""

from collections.abc import Callable, Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from hft.strategy import two_hop
from hft.strategy.costs import profit_bps_milli
from hft.strategy.dedupe import Deduper, Path, size_bucket
from hft.strategy.two_hop import TwoHop
from hft.venues import ChainClock, Pool

FIRST_FREE_NUMBER: Final = 16
"""Lower ones are the schema's own: 1 two_hop, 2 triangular."""


class Terms(NamedTuple):
    """What a strategy asks of a route: sizes and gross profit in lamports, the profit also as a share of
    the size in thousandths of a basis point; ``dedupe_slots``: for so long a route in a size class is not
    repeated.
    """

    minimum_in: int
    maximum_in: int
    minimum_profit: int
    minimum_gross_bps_milli: int
    dedupe_slots: int


class Refusal(IntEnum):
    """Why a sized route is not offered."""

    UNPROFITABLE = 0
    """No size within the bounds earns the minimum."""
    BELOW_GROSS = 1


class Sizes:
    """The best sizes of one route. Bounds that the best of the widest lies within have the same one."""

    __slots__ = ("_clock", "_pools", "_widest", "base_mint")

    def __init__(
        self, pool_1: Pool, pool_2: Pool, base_mint: bytes, clock: ChainClock, widest: Terms
    ) -> None:
        self._pools = pool_1, pool_2
        self._clock = clock
        self.base_mint = base_mint
        self._widest = self._sized(widest)

    def best(self, terms: Terms) -> TwoHop | None:
        """The size within ``terms`` that earns most, None when none earns the minimum."""
        found = self._widest
        if found is None:
            return None
        if not terms.minimum_in <= found.amount_in <= terms.maximum_in:
            return self._sized(terms)
        return found if found.gross_profit >= terms.minimum_profit else None

    def _sized(self, terms: Terms) -> TwoHop | None:
        return two_hop.size(
            *self._pools,
            self.base_mint,
            self._clock,
            minimum_in=terms.minimum_in,
            maximum_in=terms.maximum_in,
            minimum_profit=terms.minimum_profit,
        )


class TwoHopStrategy:
    """Two-hop arbitrage under terms of its own."""

    def __init__(self, name: str, number: int, terms: Terms) -> None:
        self.name = name
        self.number = number
        self.terms = terms
        self._deduper = Deduper(terms.dedupe_slots)

    def judge(self, sizes: Sizes) -> TwoHop | Refusal:
        """The route at its best size, or why it is not for this strategy."""
        found = sizes.best(self.terms)
        if found is None:
            return Refusal.UNPROFITABLE
        if profit_bps_milli(found.gross_profit, found.amount_in) < self.terms.minimum_gross_bps_milli:
            return Refusal.BELOW_GROSS
        return found

    def is_new(self, found: TwoHop, slot: int) -> bool:
        """Was the route not offered in this size class within the last slots? It is then remembered."""
        bucket = size_bucket(found.amount_in)
        return self._deduper.first(
            Path(self.number, found.pool_1.key, found.pool_2.key, found.base_mint, bucket), slot
        )


KINDS: Final[Mapping[str, Callable[[str, int, Terms], TwoHopStrategy]]] = MappingProxyType(
    {"two_hop": TwoHopStrategy}
)
"""Kind → what makes a strategy of its name, number and terms. The settings section is ``[strategy:NAME]``."""


def widest(strategies: Mapping[int, TwoHopStrategy]) -> Terms:
    """Terms that refuse no size that any of them would take."""
    terms = [strategy.terms for strategy in strategies.values()]
    return Terms(
        min(each.minimum_in for each in terms),
        max(each.maximum_in for each in terms),
        min(each.minimum_profit for each in terms),
        min(each.minimum_gross_bps_milli for each in terms),
        min(each.dedupe_slots for each in terms),
    )
