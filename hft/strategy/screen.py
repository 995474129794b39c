"""The screen: which pool pairs can pay after fees, by floats alone; no amount comes from here.

A route takes ``base`` through pool 1 into another token and through pool 2 back.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from hft.venues import ChainClock, Pool, QuoteError

_FEW_ROUTES = 400  # pools beside the changed ones up to which routes are looked at one by one


class Candidate(NamedTuple):
    """An ordered pool pair whose marginal rates, fees taken off, multiply to ``gain`` > 1 (a float)."""

    pool_1: Pool
    pool_2: Pool
    gain: float


def candidates(
    pools: Iterable[Pool] | Mapping[bytes, Pool],
    base_mint: bytes,
    changed: Collection[bytes] | None = None,
    clock: ChainClock | None = None,
) -> list[Candidate]:
    """Ordered pool pairs base to X to base that can possibly pay after fees, the best first.

    ``changed`` (pool keys) keeps only pairs in which one of those takes part. Without a ``clock``
    dynamic fees count at their lowest, so that no pair that pays is missed.
    """
    values = pools.values() if isinstance(pools, Mapping) else pools
    by_mid: dict[bytes, list[tuple[Pool, float, float]]] = defaultdict(list)
    for pool in values:
        if base_mint not in (pool.mint_a, pool.mint_b):
            continue
        try:
            there, back = pool.rates(clock)
        except QuoteError:
            continue
        if pool.mint_a == base_mint:
            by_mid[pool.mint_b].append((pool, there, back))
        else:
            by_mid[pool.mint_a].append((pool, back, there))
    found = []
    for group in by_mid.values():
        for pool_1, rate_out, _ in group:
            if rate_out * max(back for _, _, back in group) <= 1:
                continue
            for pool_2, _, rate_back in group:
                gain = rate_out * rate_back
                if gain <= 1 or pool_1 is pool_2:
                    continue
                if changed is None or pool_1.key in changed or pool_2.key in changed:
                    found.append(Candidate(pool_1, pool_2, gain))
    found.sort(key=lambda candidate: -candidate.gain)
    return found


def _pays(route: Candidate, base_mint: bytes, clock: ChainClock | None) -> bool:
    try:
        there = route.pool_1.rates(clock)[route.pool_1.mint_a != base_mint]
        return there * route.pool_2.rates(clock)[route.pool_2.mint_a == base_mint] > 1
    except QuoteError:
        return False


class Screen:
    """Which routes can pay, kept up pool by pool by the marginal rates of all pools.

    A row is the other token of a pair, a column a pool of it. ``update`` when a pool changed, then
    ``candidates``. Dynamic fees count at their lowest, so that no pair that pays is missed.

    All routes are one numpy pass over two matrices of rates. The routes of a few changed pools are looked at
    one by one: a pass costs as much as some hundred of them.
    """

    __slots__ = ("_back", "_base", "_behind", "_by_number", "_out", "_places", "_rows")

    def __init__(self, base_mint: bytes) -> None:
        self._base = base_mint
        self._rows: dict[bytes, _Row] = {}
        self._by_number: list[_Row] = []
        self._places: dict[bytes, tuple[_Row, int]] = {}
        self._out = np.zeros((16, 8))
        self._back = np.zeros((16, 8))
        self._behind: dict[tuple[int, int], tuple[float, float]] = {}

    def update(self, pool: Pool) -> None:
        """A pool that is new or changed; pools without the base token are passed over."""
        rates = pool.rates(None)
        if self._base == pool.mint_a:
            out, back = rates
        elif self._base == pool.mint_b:
            back, out = rates
        else:
            return
        place = self._places.get(pool.key)
        row, column = place if place is not None else self._place(pool)
        row.pools[column], row.moves[column] = pool, pool.fee_moves
        self._set(row, column, out, back)

    def _set(self, row: "_Row", column: int, out: float, back: float) -> None:
        row.out[column], row.back[column] = out, back
        self._behind[row.number, column] = out, back

    def _place(self, pool: Pool) -> tuple["_Row", int]:
        mid = pool.other_mint(self._base)
        row = self._rows.get(mid)
        if row is None:
            row = self._rows[mid] = _Row(len(self._rows), [], [], [], [])
            self._by_number.append(row)
        place = self._places[pool.key] = row, len(row.pools)
        row.pools.append(pool)
        row.out.append(0.0)
        row.back.append(0.0)
        row.moves.append(True)
        return place

    def remove(self, key: bytes) -> None:
        """A pool that is disabled: it takes part again after its next ``update``."""
        place = self._places.get(key)
        if place is not None:
            self._set(*place, 0.0, 0.0)

    def candidates(
        self, changed: Collection[bytes] | None = None, clock: ChainClock | None = None
    ) -> list[Candidate]:
        """Ordered pool pairs that can possibly pay after fees, the best first; see the function
        ``candidates``. With a ``clock`` only those that pay at the fees of now, too.
        """
        if changed is None:
            found = self._all()
        else:
            places = [self._places[key] for key in changed if key in self._places]
            if sum(len(row.pools) for row, _ in places) <= _FEW_ROUTES:
                found = _one_by_one(places)
            else:
                ours = {(row.number, column) for row, column in places}
                found = [one for one in self._all() if (one[1], one[2]) in ours or (one[1], one[3]) in ours]
        if not found:
            return []
        found.sort()
        routes = []
        for loss, number, first, second in found:
            _, pools, _, _, moves = self._by_number[number]
            route = Candidate(pools[first], pools[second], -loss)
            fixed = clock is None or not (moves[first] or moves[second])
            if fixed or _pays(route, self._base, clock):
                routes.append(route)
        return routes

    def _all(self) -> list[tuple[float, int, int, int]]:
        """One numpy pass: (−gain, row, first column, second column) of each route."""
        self._catch_up()
        gains = self._out[:, :, None] * self._back[:, None, :]
        return [
            (-float(gains[row, first, second]), row, first, second)
            for row, first, second in zip(*[axis.tolist() for axis in np.nonzero(gains > 1.0)], strict=True)
            if first != second
        ]

    def _catch_up(self) -> None:
        """Brings the matrices up to date, wide enough for every row and column."""
        behind = self._behind
        if not behind:
            return
        row, column = (max(axis) for axis in zip(*behind, strict=True))
        while row >= self._out.shape[0] or column >= self._out.shape[1]:
            rows, columns = self._out.shape
            grow = ((0, rows if row >= rows else 0), (0, columns if column >= columns else 0))
            self._out, self._back = np.pad(self._out, grow), np.pad(self._back, grow)
        for place, (out, back) in behind.items():
            self._out[place], self._back[place] = out, back
        behind.clear()


class _Row(NamedTuple):
    """The pools of one other token: the rate of each from base into it and back, and if its fee moves."""

    number: int
    pools: list[Pool]
    out: list[float]
    back: list[float]
    moves: list[bool]


def _one_by_one(places: Sequence[tuple[_Row, int]]) -> list[tuple[float, int, int, int]]:
    """(−gain, row, first column, second column) of each route that begins or ends in a pool of ``places``."""
    found = []
    for row, column in places:
        number, _, outs, backs, _ = row
        out, back = outs[column], backs[column]
        if out * max(backs) > 1:
            for other, rate in enumerate(backs):
                if out * rate > 1 and other != column:
                    found.append((-(out * rate), number, column, other))
        if max(outs) * back > 1:
            for other, rate in enumerate(outs):
                # One that begins in another of ours is found from there.
                if rate * back > 1 and other != column and (row, other) not in places:
                    found.append((-(rate * back), number, other, column))
    return found
