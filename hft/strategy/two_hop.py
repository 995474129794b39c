"""Two-hop arbitrage: the exact input that pays most.

A route takes ``base`` through pool 1 into another token and through pool 2 back. Floats choose where to look;
every amount that leaves this module is an integer from an exact quote.
"""

from math import ceil, inf, isfinite, sqrt
from typing import NamedTuple

from hft.venues import ChainClock, Pool, Quote, QuoteError

_ROUNDS = 24  # quotes of both legs at most while bracketing
_STALLS = 3  # secants that hardly narrow the bracket before it is halved
_CLOSE_LAMPORTS = 0.25  # a move that promises less than this ends the bracketing
_LUCK_COUNTS = 1_000  # roundings are looked into where they may decide on more than this part of the profit
_NEIGHBOURS = ((1_000, 8), (inf, 4))  # amounts then tried to either side of the optimum, by profit below
_FINE = 0.7  # units of the middle token for one of base: from here on single units of base are looked at


class TwoHop(NamedTuple):
    """An exactly quoted route: ``amount_in`` of base to ``amount_mid``, back to ``amount_out`` of base.

    ``gross_profit`` = amount_out − amount_in + rebates in the base token, before network costs.
    ``marginal_1`` and
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


class _Route:
    """One route with its exact evaluation and the best result so far."""

    __slots__ = ("base", "best", "clock", "filled", "mid", "pool_1", "pool_2", "rebate_1", "rebate_2")

    def __init__(self, pool_1: Pool, pool_2: Pool, base: bytes, clock: ChainClock) -> None:
        self.pool_1, self.pool_2, self.base, self.clock = pool_1, pool_2, base, clock
        self.mid = pool_1.other_mint(base)
        # A rebate is profit only where it comes back in the base token.
        self.rebate_1 = pool_1.fee_mint(base) == base
        self.rebate_2 = pool_2.fee_mint(self.mid) == base
        self.best: tuple[int, Quote, Quote] | None = None
        self.filled: int | None = None

    def evaluate(self, amount: int, quote_1: Quote | None = None) -> tuple[Quote, Quote] | None:
        """Both quotes for ``amount`` (kept if they are the best), None where a leg can't take it whole.
        ``quote_1``: the first, where it is known.

        ``filled`` is then the input that could have been taken, if the venue says so.
        """
        self.filled = None
        try:
            if quote_1 is None:
                quote_1 = self.pool_1.quote(self.base, amount, self.clock)
        except QuoteError as error:
            self.filled = error.filled
            return None
        if quote_1.amount_in_used != amount:
            self.filled = quote_1.amount_in_used
            return None
        best = self.best
        try:
            if best is not None and best[2].amount_in == quote_1.amount_out:
                quote_2 = best[2]
            else:
                quote_2 = self.pool_2.quote(self.mid, quote_1.amount_out, self.clock)
        except QuoteError as error:
            self.filled = self._input_for(error.filled)
            return None
        if quote_2.amount_in_used != quote_1.amount_out:
            self.filled = self._input_for(quote_2.amount_in_used)
            return None
        profit = self.profit(quote_1, quote_2)
        if best is None or profit > best[0] or (profit == best[0] and amount < best[1].amount_in):
            self.best = (profit, quote_1, quote_2)
        return quote_1, quote_2

    def profit(self, quote_1: Quote, quote_2: Quote) -> int:
        """Base units earned: out − in, and rebates in the base token."""
        profit = quote_2.amount_out - quote_1.amount_in
        if quote_1.rebate and self.rebate_1:
            profit += quote_1.rebate
        if quote_2.rebate and self.rebate_2:
            profit += quote_2.rebate
        return profit

    def _input_for(self, mid: int | None) -> int | None:
        """An input that gives about ``mid`` of the middle token; None if there is none."""
        if not mid:
            return None
        try:
            return self.pool_1.quote_exact_out(self.mid, mid, self.clock).amount_in
        except QuoteError:
            return None

    def jumps(self, legs: tuple[Quote, Quote]) -> list[int]:
        """Inputs at and around which the marginal rate jumped on the way to ``legs`` (last bins' edges)."""
        found = []
        entered = legs[0].entered
        if entered:
            found += [entered, entered + 1]
        entered = legs[1].entered
        beyond = self._input_for(entered + 1) if entered else None
        if beyond is not None:
            found += [beyond - 1, beyond]
        return sorted(found, reverse=True)


def _slope(legs: tuple[Quote, Quote] | None) -> float:
    """1/√(marginal rate of the route) − 1: below 0 while more input pays, +inf beyond the liquidity.

    Within one stretch of constant liquidity this is linear in the amount, so that a secant lands at once.
    """
    if legs is None:
        return inf
    rate = legs[0].marginal * legs[1].marginal
    return 1 / sqrt(rate) - 1 if rate > 0 else inf


def _first_guess(pool_1: Pool, pool_2: Pool, base: bytes, clock: ChainClock) -> tuple[float, float]:
    """(slope at nothing, best input) if both pools were constant-product with the depths at their prices.

    For two constant-product pools this is the closed form: out = g·x / (1 + d·x) has slope 1 at (√g − 1)/d.
    """
    first_a, second_a = pool_1.mint_a == base, pool_2.mint_a == base
    rate_1 = pool_1.rates(clock)[not first_a]
    gain = rate_1 * pool_2.rates(clock)[second_a]
    if not gain > 1 or not isfinite(gain):
        return 0.0, 0.0
    at_zero = 1 / sqrt(gain) - 1
    mid_1, base_2 = pool_1.depths()[first_a], pool_2.depths()[not second_a]
    if mid_1 <= 0 or base_2 <= 0:
        return at_zero, 0.0
    return at_zero, (sqrt(gain) - 1) / (rate_1 / mid_1 + gain / base_2)


class _Bracket:
    """The search for the input at which the route's slope is 0."""

    __slots__ = ("at_zero", "high", "left", "left_slope", "low", "pending", "right", "right_slope", "stalls")

    def __init__(self, low: int, high: int, at_zero: float) -> None:
        self.low, self.high, self.at_zero = low, high, at_zero
        self.left, self.left_slope = 0, at_zero
        self.right, self.right_slope = high + 1, inf
        self.pending: list[int] = []
        self.stalls = 0

    def take(self, amount: int, slope: float) -> None:
        """Narrow the bracket by what the route is like at ``amount``."""
        if slope < 0:
            self.stalls = self.stalls + 1 if self.left and amount - self.left < (self.right - amount) else 0
            self.left, self.left_slope = amount, slope
        else:
            self.stalls = 0 if self.right_slope == inf else self.stalls + 1
            self.right, self.right_slope = amount, slope

    def limit(self, filled: int | None) -> None:
        """More than about ``filled`` can't be taken: look there next."""
        self.pending = []
        if filled is None:
            return
        if filled <= self.left:
            self.right = self.left + 1
        else:
            self.pending = [filled, filled - 1]
            self.right = min(self.right, filled + 64 + (filled >> 20))

    def following(self) -> int:
        """The next amount to look at, strictly inside the bracket."""
        left, right = self.left, self.right
        while self.pending:
            amount = self.pending.pop(0)
            if max(left, self.low - 1) < amount < right:
                return amount
        if self.right_slope < inf and self.stalls < _STALLS:
            share = -self.left_slope / (self.right_slope - self.left_slope)
            amount = left + round((right - left) * share)
        elif self.right_slope < inf:
            self.stalls = 0
            amount = (left + right) // 2
        elif left and self.left_slope > self.at_zero:
            # No right end yet: on along the line from nothing through the left end, a little beyond.
            amount = left + ceil(1.1 * left * self.left_slope / (self.at_zero - self.left_slope))
            if right <= self.high:
                amount = min(amount, (left + right) // 2)
        else:
            amount = (left + right) // 2 if right <= self.high else left * 4 + 1
        return min(max(amount, left + 1, self.low), right - 1, self.high)


def _search(route: _Route, low: int, high: int, at_zero: float, guess: float) -> None:
    """Evaluate the route ever nearer to where its slope is 0: secants, and the edges where rates jump."""
    amount = min(max(round(guess), low), high) if guess >= 1 else low
    legs = route.evaluate(amount)
    slope = _slope(legs)
    if legs is not None and _is_close(amount, slope, at_zero) and not (slope > 0 and route.jumps(legs)):
        return  # as most are: within a stretch the closed form is right
    bracket = _Bracket(low, high, at_zero)
    for _ in range(_ROUNDS):
        bracket.take(amount, slope)
        if legs is None:
            bracket.limit(route.filled)
        elif slope > 0:
            bracket.pending = route.jumps(legs)
        if slope == 0 or bracket.right - bracket.left <= 1 or bracket.left >= high or bracket.right <= low:
            return
        by_secant = not bracket.pending
        following = bracket.following()
        if by_secant and slope < inf and abs(following - amount) * abs(2 * slope) < _CLOSE_LAMPORTS:
            return
        if (
            bracket.right_slope < inf
            and -2 * bracket.left_slope * (bracket.right - bracket.left) < _CLOSE_LAMPORTS
        ):
            return
        amount = following
        legs = route.evaluate(amount)
        slope = _slope(legs)


def _is_close(amount: int, slope: float, at_zero: float) -> bool:
    """Does a move along the line through the slopes at nothing and at ``amount`` to 0 promise nothing?"""
    return slope > at_zero and 2 * amount * slope * slope < _CLOSE_LAMPORTS * (slope - at_zero)


def _luck(quote_1: Quote) -> float:
    """Base units that the luck of the roundings can bring: two units of the middle token, for what they cost
    in base (pool 1 rounds its output, pool 2 its fee), and a few of base."""
    return 4 + 2 / quote_1.marginal


def _refine(route: _Route, best: tuple[int, Quote, Quote], low: int, high: int) -> None:
    """Integer search around the ``best`` for the luck of the roundings."""
    profit, quote_1, quote_2 = best
    reach = next(count for below, count in _NEIGHBOURS if profit < below)
    amount, mid = quote_1.amount_in, quote_1.amount_out
    mids: set[int] = set()
    inputs: set[int] = set()
    if quote_1.marginal >= _FINE:
        inputs.update(range(amount - reach, amount + reach + 1))
    else:
        # A unit of the middle token costs several of base: look for the cheapest input of each middle amount.
        near = min(reach, 4)
        mids.update(range(mid - near + 1, mid + near))
    # A fee's rounding up is wasted least where the fee comes out whole.
    inputs.update(_whole_fees(quote_1, route.pool_1.fee_ppm(route.clock)))
    mids.update(_whole_fees(quote_2, route.pool_2.fee_ppm(route.clock)))
    inputs.discard(amount)
    for candidate in sorted(inputs):
        if low <= candidate <= high:
            route.evaluate(candidate)
    for candidate in sorted(mids):
        if candidate > 0:
            _cheapest(route, candidate, low, high)


def _whole_fees(quote: Quote, ppm: int) -> tuple[int, ...]:
    """The largest inputs that pay this quote's fee, and one unit less of it."""
    if not ppm or not quote.fee:
        return ()
    return quote.fee * 1_000_000 // ppm, (quote.fee - 1) * 1_000_000 // ppm


def _cheapest(route: _Route, mid: int, low: int, high: int) -> None:
    """Evaluate the smallest input that gives ``mid`` of the middle token."""
    pool, base, clock = route.pool_1, route.base, route.clock
    try:
        amount = pool.quote_exact_out(route.mid, mid, clock).amount_in
        quote = pool.quote(base, amount, clock)
        for _ in range(3):
            if quote.amount_out < mid:
                amount += 1
                quote = pool.quote(base, amount, clock)
                continue
            less = pool.quote(base, amount - 1, clock)
            if less.amount_out < mid:
                break
            amount, quote = amount - 1, less
    except QuoteError:
        return
    if low <= amount <= high:
        route.evaluate(amount, quote)


def size(
    pool_1: Pool,
    pool_2: Pool,
    base_mint: bytes,
    clock: ChainClock,
    *,
    minimum_in: int,
    maximum_in: int,
    minimum_profit: int = 1,
) -> TwoHop | None:
    """The input in ``minimum_in``..``maximum_in`` that earns most through pool 1 and back through pool 2.

    None if no input there earns ``minimum_profit`` (at least 1). A profit is at most a unit below the best,
    or, where that is less than a thousandth of it, what the roundings of one swap can take: two units of the
    middle token for their price and four of base. Raises QuoteError UNKNOWN_MINT if the pools don't trade
    ``base_mint`` against the same other mint, ValueError for limits that are not 1 ≤ minimum ≤ maximum.
    """
    if not 1 <= minimum_in <= maximum_in:
        raise ValueError(f"limits {minimum_in}..{maximum_in} are not 1 <= minimum <= maximum")
    mid = pool_1.other_mint(base_mint)
    pool_2.is_a(mid)
    try:
        at_zero, guess = _first_guess(pool_1, pool_2, base_mint, clock)
    except QuoteError:
        return None
    if at_zero >= 0:
        return None
    route = _Route(pool_1, pool_2, base_mint, clock)
    _search(route, minimum_in, maximum_in, at_zero, guess)
    if route.best is None:
        return None
    luck = _luck(route.best[1])
    if route.best[0] < minimum_profit - luck:
        return None
    if route.best[0] < luck * _LUCK_COUNTS:
        _refine(route, route.best, minimum_in, maximum_in)
    profit, quote_1, quote_2 = route.best
    if profit < max(1, minimum_profit):
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
