"""Swaps at a fixed fee over initialised ticks, in stretches that are worked out once a pool.

Between two initialised ticks the liquidity is constant, and what a swap takes and pays on such a stretch,
if it goes through to the end, does not depend on the swap's size. A ladder keeps the stretches in one
direction with the totals before each: a swap finds the one it ends in by bisection and prices the rest
of its amount there. Stretches are added when a swap first comes to them.
"""

from bisect import bisect_left, bisect_right
from functools import partial
from operator import attrgetter
from typing import NamedTuple

from hft.venues.concentrated import MILLION, Path, SwapEnd, exhausted, step_exact_out
from hft.venues.types import U64_MAX, QuoteError, QuoteErrorCode

_swap_end = partial(tuple.__new__, SwapEnd)  # half the time of SwapEnd(...)


class Stretch(NamedTuple):
    """From a root price to the next tick, the path's bound or its limit.

    ``spent`` to ``crossings`` are totals before it. ``whole_in`` (fee included) and ``whole_out`` move the
    price to ``target``; ``edge`` is the tick at ``place`` in the path, or the path's bound where no
    ``initialised`` one is left, ``at_edge`` its root price.
    """

    price: int
    tick: int
    liquidity: int
    spent: int
    paid: int
    fees: int
    owed_1: int
    owed_2: int
    crossings: int
    whole_in: int
    whole_out: int
    whole_fee: int
    place: int
    edge: int
    at_edge: int
    target: int
    initialised: bool


_stretch = partial(tuple.__new__, Stretch)
_paid = attrgetter("paid")
_NEVER = 1 << 512  # more than any total


class Ladder:
    """The stretches of one direction from ``start`` = (root price, tick, liquidity) along ``path``.

    ``fee_rate`` millionths are taken of the input. ``shares`` = (rate 1, rate 2, base): of each stretch's
    fee ⌊fee·rate/base⌋ is put aside.
    """

    __slots__ = ("_a_to_b", "_keep", "_path", "_shares", "_spent", "_start", "_stretches")

    def __init__(
        self,
        a_to_b: bool,
        path: Path,
        start: tuple[int, int, int],
        fee_rate: int,
        shares: tuple[int, int, int],
    ) -> None:
        self._a_to_b, self._path, self._start = a_to_b, path, start
        self._keep, self._shares = MILLION - fee_rate, shares
        self._stretches: list[Stretch] = []
        self._spent: list[int] = []
        self._extend(0, _NEVER)

    def exact_in(self, amount: int) -> SwapEnd:
        """Swap ``amount`` (1..2^64−1) of input; all of it unless the path's limit stops it.

        Raises QuoteError ARRAYS_EXHAUSTED at the path's bound, OVERFLOW where the program's 64 bits end.
        """
        stretch = self._stretches[bisect_left(self._spent, amount) - 1]
        price, tick, liquidity, spent, paid, fees, owed_1, owed_2, crossings, whole_in, *_ = stretch
        remaining = amount - spent
        if remaining >= whole_in:
            if remaining > whole_in and self._extend(amount, _NEVER):
                return self.exact_in(amount)
            return self._whole(stretch if remaining == whole_in else self._stretches[-1])
        calc = remaining * self._keep // MILLION
        scaled = liquidity << 64
        if self._a_to_b:
            after = -(-scaled * price // (scaled + calc * price))
            used = -(-scaled * (price - after) // (price * after))
            out = liquidity * (price - after) >> 64
        else:
            after = price + (calc << 64) // liquidity
            used = -(-liquidity * (after - price) >> 64)
            out = scaled * (after - price) // (price * after)
        fee = remaining - used
        share_1, share_2, base = self._shares
        paid += out
        if paid > U64_MAX:
            raise _overflow(amount, paid)
        end = None if after != price else tick
        owed_1 += fee * share_1 // base
        owed_2 += fee * share_2 // base
        return _swap_end((amount, paid, fees + fee, owed_1, owed_2, crossings, after, end, liquidity))

    def exact_out(self, amount: int) -> SwapEnd:
        """Swap for ``amount`` (1..2^64−1) of output; less only where the path's limit stops it.

        Raises QuoteError as ``exact_in`` does.
        """
        stretch = self._stretches[bisect_left(self._stretches, amount, key=_paid) - 1]
        remaining = amount - stretch.paid
        if remaining >= stretch.whole_out:
            if remaining > stretch.whole_out and self._extend(_NEVER, amount):
                return self.exact_out(amount)
            return self._whole(stretch if remaining == stretch.whole_out else self._stretches[-1])
        price, target = stretch.price, stretch.target
        after, used, _ = step_exact_out(self._a_to_b, remaining, price, target, stretch.liquidity)
        fee = -(-used * (MILLION - self._keep) // self._keep)
        if after == stretch.at_edge:
            tick, liquidity, crossings = self._beyond(stretch)
        else:
            tick = stretch.tick if after == price else None
            liquidity, crossings = stretch.liquidity, stretch.crossings
        return self._end(stretch, (used + fee, remaining, fee), (after, tick, liquidity, crossings))

    def _whole(self, stretch: Stretch) -> SwapEnd:
        """The end of a swap that goes to the end of ``stretch`` and no further."""
        tick, liquidity, crossings = self._beyond(stretch)
        taken = (stretch.whole_in, stretch.whole_out, stretch.whole_fee)
        return self._end(stretch, taken, (stretch.target, tick, liquidity, crossings))

    def _end(
        self, stretch: Stretch, taken: tuple[int, int, int], place: tuple[int, int | None, int, int]
    ) -> SwapEnd:
        """The totals with (input, output, fee) ``taken`` on ``stretch``. Raises QuoteError OVERFLOW."""
        spent, paid, fee = stretch.spent + taken[0], stretch.paid + taken[1], taken[2]
        if spent > U64_MAX or paid > U64_MAX:
            raise _overflow(spent, paid)
        share_1, share_2, base = self._shares
        owed_1, owed_2 = stretch.owed_1 + fee * share_1 // base, stretch.owed_2 + fee * share_2 // base
        price, tick, liquidity, crossings = place
        return SwapEnd(spent, paid, stretch.fees + fee, owed_1, owed_2, crossings, price, tick, liquidity)

    def _beyond(self, stretch: Stretch) -> tuple[int | None, int, int]:
        """(tick, liquidity, crossings) with the price at the end of ``stretch``. Raises QuoteError."""
        if stretch.target != stretch.at_edge:
            tick = stretch.tick if stretch.target == stretch.price else None
            return tick, stretch.liquidity, stretch.crossings
        tick = stretch.edge - 1 if self._a_to_b else stretch.edge
        if not stretch.initialised:
            return tick, stretch.liquidity, stretch.crossings
        return tick, self._path.cross(stretch.place, stretch.liquidity, self._a_to_b), stretch.crossings + 1

    def _extend(self, amount_in: int, amount_out: int) -> bool:
        """Add stretches until the last holds the end of a swap of one of the amounts; False if the price
        comes to the path's limit before. Raises QuoteError ARRAYS_EXHAUSTED at the path's bound.
        """
        a_to_b, keep, (share_1, share_2, base) = self._a_to_b, self._keep, self._shares
        ticks, nets, bound, limit, sqrt_price = self._path
        stretches, values, last = self._stretches, nets.values, len(ticks) - 1
        target, tick, liquidity = self._start
        spent = paid = fees = owed_1 = owed_2 = crossings = whole_in = whole_out = fee = 0
        if known := bool(stretches):
            _, _, liquidity, spent, paid, fees, owed_1, owed_2, crossings, *rest = stretches[-1]
            whole_in, whole_out, fee, place, edge, _, target, initialised = rest
        else:
            place = bisect_right(ticks, tick) - (1 if a_to_b else 0)
        while True:
            if known:
                spent, paid = spent + whole_in, paid + whole_out
                if amount_in <= spent or amount_out <= paid:
                    return True
                if target == limit:
                    return False
                if not initialised:
                    raise exhausted(bound, None if amount_in == _NEVER else spent)
                fees, owed_1, owed_2 = (
                    fees + fee,
                    owed_1 + fee * share_1 // base,
                    owed_2 + fee * share_2 // base,
                )
                net = values[place]
                if net is None:
                    net = nets.at(place)
                if (liquidity := liquidity - net if a_to_b else liquidity + net) < 0:
                    self._beyond(stretches[-1])  # says so
                crossings += 1
                tick, place = (edge - 1, place - 1) if a_to_b else (edge, place + 1)
            known, price = True, target
            if a_to_b:
                initialised = place >= 0 and ticks[place] >= bound
                edge = ticks[place] if initialised else bound
                at_edge = sqrt_price(edge)
                target = at_edge if at_edge > limit else limit
                used = -(-(liquidity << 64) * (price - target) // (price * target))
                whole_out = liquidity * (price - target) >> 64
            else:
                initialised = place <= last and ticks[place] <= bound
                edge = ticks[place] if initialised else bound
                at_edge = sqrt_price(edge)
                target = at_edge if at_edge < limit else limit
                used = -(-liquidity * (target - price) >> 64)
                whole_out = (liquidity << 64) * (target - price) // (price * target)
            fee = -(-used * (MILLION - keep) // keep)
            whole_in = used + fee
            totals = (spent, paid, fees, owed_1, owed_2, crossings)
            whole = (whole_in, whole_out, fee)
            end = (place, edge, at_edge, target, initialised)
            stretches.append(_stretch((price, tick, liquidity, *totals, *whole, *end)))
            self._spent.append(spent)


def _overflow(spent: int, paid: int) -> QuoteError:
    return QuoteError(QuoteErrorCode.OVERFLOW, f"{spent} in and {paid} out do not fit in 64 bits")
