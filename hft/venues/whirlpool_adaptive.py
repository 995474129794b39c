"""Whirlpool's adaptive fee: the volatility state of the oracle, and swaps cut into steps by tick groups.

Follows ``fee_rate_manager`` of orca-so/whirlpools, held to executions of the mainnet binary of 2025-09.
"""

from bisect import bisect_right
from typing import NamedTuple

from hft.venues.concentrated import (
    MAX_STEPS,
    MILLION,
    TICK_LIMIT,
    Path,
    SwapEnd,
    check_end,
    exhausted,
    orca_sqrt_price,
    step_exact_in,
    step_exact_out,
    tick_of,
    too_many_steps,
)
from hft.venues.types import QuoteError, QuoteErrorCode

FEE_CAP = 100_000  # 10% in millionths
_GROUP = 10_000
_MAX_REFERENCE_AGE_S = 3600


class Oracle(NamedTuple):
    """Adaptive-fee state of a pool; periods and times in seconds, ``reduction`` in 1/10000."""

    trade_enable: int
    filter_period: int
    decay_period: int
    reduction: int
    control: int
    max_volatility: int
    group_size: int
    major_ticks: int
    last_reference: int
    last_major: int
    volatility_reference: int
    group_reference: int
    volatility: int

    def refreshed(self, group: int, now: int) -> "Oracle":
        """The references as a swap from tick group ``group`` at ``now`` begins with. Raises QuoteError."""
        if now < self.trade_enable:
            raise QuoteError(QuoteErrorCode.NOT_OPEN, f"trading opens at {self.trade_enable}, now is {now}")
        newest = max(self.last_reference, self.last_major)
        if now < newest:
            raise QuoteError(QuoteErrorCode.CLOCK_BEHIND, f"time {now} lies before the oracle's {newest}")
        elapsed = now - newest
        if now - self.last_reference > _MAX_REFERENCE_AGE_S:
            reference = 0
        elif elapsed < self.filter_period:
            return self
        elif elapsed < self.decay_period:
            reference = self.volatility * self.reduction // 10_000
        else:
            reference = 0
        return self._replace(group_reference=group, volatility_reference=reference, last_reference=now)

    def volatility_at(self, group: int) -> int:
        """The volatility accumulator while trading in tick group ``group``."""
        return min(
            self.volatility_reference + abs(self.group_reference - group) * _GROUP, self.max_volatility
        )

    def fee_rate(self, base: int, volatility: int) -> int:
        """Total fee rate in millionths for a base rate and a volatility accumulator."""
        crossed = volatility * self.group_size
        return min(base + min(-(-self.control * crossed * crossed // 10**13), FEE_CAP), FEE_CAP)


class _Walk:
    """The tick-group side of one swap: which group, which fee, where the next inner step ends."""

    __slots__ = ("_core", "_down", "_edges", "_fee", "group", "oracle", "skipped", "steps", "volatility")

    def __init__(self, oracle: Oracle, tick: int, a_to_b: bool, fee: int, now: int) -> None:
        self._down, self._fee = a_to_b, fee
        size = oracle.group_size
        self.group = tick // size
        self.oracle = oracle = oracle.refreshed(self.group, now)
        reach = -(-(oracle.max_volatility - oracle.volatility_reference) // _GROUP)
        low, high = oracle.group_reference - reach, oracle.group_reference + reach
        low_tick, high_tick = low * size, high * size + size
        self._core = (low, high)
        self._edges = (
            orca_sqrt_price(low_tick) if low_tick > -TICK_LIMIT else None,
            orca_sqrt_price(high_tick) if high_tick < TICK_LIMIT else None,
        )
        self.volatility = oracle.volatility
        self.skipped = False
        self.steps = 0

    def next_step(self, tick_target: int, liquidity: int) -> tuple[int, int]:
        """(fee rate, target price) of the step that begins now; renews the volatility. Raises QuoteError."""
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise too_many_steps()
        self.volatility = self.oracle.volatility_at(self.group)
        return self.oracle.fee_rate(self._fee, self.volatility), self._target(tick_target, liquidity)

    def _target(self, tick_target: int, liquidity: int) -> int:
        """Price at which the inner step ends at the latest."""
        lower, upper = self._edges
        self.skipped = True
        if self.oracle.control == 0 or liquidity == 0:
            return tick_target
        if lower is not None and self.group < self._core[0]:
            return tick_target if self._down else min(tick_target, lower)
        if upper is not None and self.group > self._core[1]:
            return max(tick_target, upper) if self._down else tick_target
        self.skipped = False
        edge = (self.group if self._down else self.group + 1) * self.oracle.group_size
        price = orca_sqrt_price(max(-TICK_LIMIT, min(TICK_LIMIT, edge)))
        return max(tick_target, price) if self._down else min(tick_target, price)

    def advance(self, price: int, at_edge: int, edge: int) -> None:
        """Go on to the next group after a step that ended at ``price`` (next tick ``edge`` at
        ``at_edge``).
        """
        if self.skipped:
            size = self.oracle.group_size
            if price == at_edge:
                tick, on_edge = edge, edge % size == 0
            else:
                tick = tick_of(price, orca_sqrt_price)
                on_edge = tick % size == 0 and price == orca_sqrt_price(tick)
            last = tick // size - (1 if on_edge and not self._down else 0)
            if last < self.group if self._down else last > self.group:
                self.group = last
                self.volatility = self.oracle.volatility_at(last)
        self.group += -1 if self._down else 1

    def end(self, before: int, after: int, now: int) -> Oracle:
        """The oracle as the swap leaves it."""
        small, large = min(before, after), max(before, after)
        major = large >= small * orca_sqrt_price(self.oracle.major_ticks) >> 64
        return self.oracle._replace(
            volatility=self.volatility, last_major=now if major else self.oracle.last_major
        )


def swap_adaptive(
    a_to_b: bool,
    amount: int,
    exact_in: bool,
    start: tuple[int, int, int],
    fee_rate: int,
    protocol_rate: int,
    oracle: Oracle,
    path: Path,
    now: int,
) -> tuple[SwapEnd, Oracle]:
    """Swap with an adaptive fee: ``swap_fixed_fee`` with each step cut at tick groups' edges."""
    price, tick, liquidity = start
    ticks, _, bound, limit, _ = path
    walk = _Walk(oracle, tick, a_to_b, fee_rate, now)
    remaining = amount
    other = fees = owed = crossings = 0
    end: int | None = tick
    index = bisect_right(ticks, tick) - (1 if a_to_b else 0)
    last = len(ticks) - 1
    while remaining > 0 and price != limit:
        initialised = (
            index >= 0 and ticks[index] >= bound if a_to_b else index <= last and ticks[index] <= bound
        )
        edge = ticks[index] if initialised else bound
        at_edge = orca_sqrt_price(edge)
        tick_target = max(at_edge, limit) if a_to_b else min(at_edge, limit)
        began = price
        while True:
            rate, target = walk.next_step(tick_target, liquidity)
            if exact_in:
                after, used, out, fee = step_exact_in(a_to_b, remaining, price, target, liquidity, rate)
                remaining -= used + fee
                other += out
            else:
                after, used, out = step_exact_out(a_to_b, remaining, price, target, liquidity)
                fee = -(-used * rate // (MILLION - rate))
                remaining -= out
                other += used + fee
            fees += fee
            owed += fee * protocol_rate // 10_000
            price = after
            walk.advance(price, at_edge, edge)
            if remaining <= 0 or price == tick_target:
                break
        if price == at_edge:
            end = edge - 1 if a_to_b else edge
            if initialised:
                liquidity = path.cross(index, liquidity, a_to_b)
                crossings += 1
                index += -1 if a_to_b else 1
            elif remaining > 0 and price != limit:
                raise exhausted(bound, amount - remaining if exact_in else None)
        elif price != began:
            end = None
    used, out = check_end(amount, remaining, other, exact_in)
    swap = SwapEnd(used, out, fees, owed, 0, crossings, price, end, liquidity)
    return swap, walk.end(start[0], price, now)
