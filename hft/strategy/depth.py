"""How much a pool can take before its price has moved by a given share."""

from typing import NamedTuple

from hft.venues import ChainClock, Pool, Quote, QuoteError, QuoteErrorCode
from hft.venues.types import U64_MAX

_FINE = 12  # the search ends when what is unsure is below 1/2**12 of the amount
_TRIALS = 120

_TOO_SMALL = frozenset({QuoteErrorCode.AMOUNT_TOO_SMALL})
_CLOSED = frozenset({QuoteErrorCode.POOL_DISABLED, QuoteErrorCode.NOT_OPEN, QuoteErrorCode.CLOCK_BEHIND})


class Depth(NamedTuple):
    """``amount_in`` base units of input, exactly quoted, give ``amount_out`` and leave the price within the
    share. ``whole`` is False where the liquidity (or what is known of it) ends before the price got there."""

    amount_in: int
    amount_out: int
    whole: bool


def depth(pool: Pool, input_mint: bytes, clock: ChainClock, lowest_ratio: float) -> Depth | None:
    """The most input after which the input's price is at least ``lowest_ratio`` (0..1) of what it is now.

    A fall of the other token's price by 1 % is a ``lowest_ratio`` of 0.99, a rise by 1 % one of 1/1.01.
    Amounts are exact quotes; prices are compared as floats. ``None`` where the pool does not trade now.
    Raises QuoteError UNKNOWN_MINT.
    """
    is_a = pool.is_a(input_mint)
    floor = pool.spot_price(input_mint) * lowest_ratio
    form = pool.screen_form(clock)
    reserve = form.depth_a if is_a else form.depth_b
    low, high = 0, U64_MAX + 1
    best: Quote | None = None
    whole = True
    amount = min(max(int(reserve * (lowest_ratio**-0.5 - 1)), 1), U64_MAX)
    for _ in range(_TRIALS):
        try:
            quote = pool.quote(input_mint, amount, clock)
            taken = quote.amount_in_used == amount
            fits = taken and quote.pool_after.spot_price(input_mint) >= floor
        except QuoteError as error:
            if error.code in _CLOSED:
                return None
            quote, fits = None, error.code in _TOO_SMALL
            taken = fits
        if fits:
            low, best = amount, quote or best
        else:
            high, whole = amount, taken
        if high - low <= max(1, low >> _FINE):
            break
        amount = (low + high) // 2 if high <= U64_MAX else min(low * 2, U64_MAX)
    if best is None:
        return Depth(0, 0, whole)
    return Depth(best.amount_in, best.amount_out, whole)
