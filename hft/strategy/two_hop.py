"""Two-hop arbitrage: which pool pairs can pay, and the exact input that pays most.

A route takes ``base`` through pool 1 into another token and through pool 2 back. Floats choose where to look;
every amount that leaves this module is an integer from an exact quote.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from math import ceil, inf, isfinite, sqrt
from typing import NamedTuple

from hft.venues import ChainClock, Pool, Quote, QuoteError

_ROUNDS = 24  # quotes of both legs at most while bracketing
_CLOSE_LAMPORTS = 0.25  # a move that promises less than this ends the bracketing
_NEIGHBOURS = 4  # middle amounts tried to either side of the optimum for the luck of the roundings


class Candidate(NamedTuple):
    """An ordered pool pair whose marginal rates, fees taken off, multiply to ``gain`` > 1 (a float)."""

    pool_1: Pool
    pool_2: Pool
    gain: float


class TwoHop(NamedTuple):
    """An exactly quoted route: ``amount_in`` of base to ``amount_mid``, back to ``amount_out`` of base.

    ``gross_profit`` = amount_out − amount_in before network costs. ``marginal_1`` and
    ``marginal_2`` are output per further unit of input at the optimum, fees taken off (floats;
    their product is about 1 unless a limit binds).
    """

    pool_1: Pool
    pool_2: Pool
    base_mint: bytes
    mid_mint: bytes
    amount_in: int
    amount_mid: int
    amount_out: int
    gross_profit: int
    quote_1: Quote
    quote_2: Quote
    marginal_1: float
    marginal_2: float


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
            form = pool.screen_form(clock)
        except QuoteError:
            continue
        if pool.mint_a == base_mint:
            by_mid[pool.mint_b].append((pool, form.rate_a_to_b, form.rate_b_to_a))
        else:
            by_mid[pool.mint_a].append((pool, form.rate_b_to_a, form.rate_a_to_b))
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


class _Route:
    """One route with its exact evaluation and the best result so far."""

    __slots__ = ("base", "best", "clock", "mid", "pool_1", "pool_2")

    def __init__(self, pool_1: Pool, pool_2: Pool, base: bytes, clock: ChainClock) -> None:
        self.pool_1, self.pool_2, self.base, self.clock = pool_1, pool_2, base, clock
        self.mid = pool_1.other_mint(base)
        pool_2.is_a(self.mid)
        self.best: tuple[int, Quote, Quote] | None = None

    def slope(self, amount: int) -> float:
        """1/√(marginal rate of the route) − 1: below 0 while more input pays, +inf beyond the liquidity.

        Within one stretch of constant liquidity this is linear in the amount, so that a secant lands at once.
        """
        legs = self.evaluate(amount)
        if legs is None:
            return inf
        rate = legs[0].marginal * legs[1].marginal
        return 1 / sqrt(rate) - 1 if rate > 0 else inf

    def evaluate(self, amount: int) -> tuple[Quote, Quote] | None:
        """Both quotes for ``amount`` (kept if they are the best), None where a leg can't take it whole."""
        try:
            quote_1 = self.pool_1.quote(self.base, amount, self.clock)
            quote_2 = self.pool_2.quote(self.mid, quote_1.amount_out, self.clock)
        except QuoteError:
            return None
        if quote_1.amount_in_used != amount or quote_2.amount_in_used != quote_1.amount_out:
            return None
        profit = quote_2.amount_out - amount
        if (
            self.best is None
            or profit > self.best[0]
            or (profit == self.best[0] and amount < self.best[1].amount_in)
        ):
            self.best = (profit, quote_1, quote_2)
        return quote_1, quote_2


def _first_guess(pool_1: Pool, pool_2: Pool, base: bytes, clock: ChainClock) -> tuple[float, float]:
    """(slope at nothing, best input) if both pools were constant-product with the depths at their prices."""
    form_1, form_2 = pool_1.screen_form(clock), pool_2.screen_form(clock)
    if pool_1.mint_a == base:
        rate_1, in_1, out_1 = form_1.rate_a_to_b, form_1.depth_a, form_1.depth_b
    else:
        rate_1, in_1, out_1 = form_1.rate_b_to_a, form_1.depth_b, form_1.depth_a
    if pool_2.mint_a == base:
        rate_2, in_2 = form_2.rate_b_to_a, form_2.depth_b
    else:
        rate_2, in_2 = form_2.rate_a_to_b, form_2.depth_a
    gain = rate_1 * rate_2
    if not gain > 1 or not isfinite(gain):
        return 0.0, 0.0
    if in_1 <= 0 or in_2 <= 0 or out_1 <= 0:
        return 1 / sqrt(gain) - 1, 0.0
    # Middle paid for x is rate_1·x/(1 + x·keep/in_1); its drag on leg 2 is 1/in_2 per unit.
    drag = rate_1 / out_1 + rate_1 / in_2
    return 1 / sqrt(gain) - 1, (sqrt(gain) - 1) / drag


def _bracket(route: _Route, low: int, high: int, at_zero: float, guess: float) -> None:
    """Evaluate the route ever nearer to where its slope is 0, by secants inside a bracket."""
    left, left_slope = 0, at_zero
    right, right_slope = high + 1, inf
    amount = min(max(round(guess), low), high) if guess >= 1 else low
    for _ in range(_ROUNDS):
        slope = route.slope(amount)
        if slope < 0:
            left, left_slope = amount, slope
        else:
            right, right_slope = amount, slope
        if slope == 0 or right - left <= 1 or (left >= high) or (right <= low):
            return
        if right_slope < inf:
            step = (right - left) * (-left_slope / (right_slope - left_slope))
            following = left + round(step)
        elif left > 0 and left_slope > at_zero:
            # No right end yet: go on along the line from nothing through the left end, a little beyond.
            following = left + ceil(1.1 * left * -left_slope / (left_slope - at_zero))
            if right <= high:
                following = min(following, (left + right) // 2)
        else:
            following = (left + right) // 2 if right <= high else left * 4 + 1
        following = min(max(following, left + 1, low), right - 1, high)
        if slope < inf and abs(following - amount) * abs(2 * slope) < _CLOSE_LAMPORTS:
            return
        amount = following


def _refine(route: _Route, low: int, high: int) -> None:
    """Integer search around the best: the cheapest input for its middle amount and its neighbours'."""
    if route.best is None:
        return
    _, quote_1, _ = route.best
    per_unit = 1 / quote_1.marginal if quote_1.marginal > 0 else 1.0
    centre = quote_1.amount_in
    for offset in range(-_NEIGHBOURS, _NEIGHBOURS + 1):
        top = min(max(centre + round(offset * per_unit), low), high)
        if per_unit <= 1 or route.evaluate(top) is None:
            if per_unit <= 1:
                route.evaluate(top)
            continue
        _cheapest(route, top, low, ceil(per_unit) + 1)


def _cheapest(route: _Route, top: int, low: int, reach: int) -> None:
    """Evaluate the smallest input, at most ``reach`` below ``top``, that gives the same middle amount."""
    mid = route.pool_1.quote(route.base, top, route.clock).amount_out
    left, right = max(low, top - reach) - 1, top
    while right - left > 1:
        amount = (left + right) // 2
        try:
            enough = route.pool_1.quote(route.base, amount, route.clock).amount_out >= mid
        except QuoteError:
            enough = False
        if enough:
            right = amount
        else:
            left = amount
    route.evaluate(right)


def size(
    pool_1: Pool,
    pool_2: Pool,
    base_mint: bytes,
    clock: ChainClock,
    *,
    minimum_in: int,
    maximum_in: int,
) -> TwoHop | None:
    """The input in ``minimum_in``..``maximum_in`` that earns most through pool 1 and back through pool 2.

    None if no input there earns anything. Raises QuoteError UNKNOWN_MINT if the pools don't trade
    ``base_mint`` against the same other mint, ValueError for limits that are not 1 ≤ minimum ≤ maximum.
    """
    if not 1 <= minimum_in <= maximum_in:
        raise ValueError(f"limits {minimum_in}..{maximum_in} are not 1 <= minimum <= maximum")
    route = _Route(pool_1, pool_2, base_mint, clock)
    try:
        at_zero, guess = _first_guess(pool_1, pool_2, base_mint, clock)
    except QuoteError:
        return None
    if at_zero >= 0:
        return None
    _bracket(route, minimum_in, maximum_in, at_zero, guess)
    if route.best is None:
        return None
    _refine(route, minimum_in, maximum_in)
    profit, quote_1, quote_2 = route.best
    if profit <= 0:
        return None
    return TwoHop(
        pool_1,
        pool_2,
        base_mint,
        route.mid,
        quote_1.amount_in,
        quote_1.amount_out,
        quote_2.amount_out,
        profit,
        quote_1,
        quote_2,
        quote_1.marginal,
        quote_2.marginal,
    )
