"""Raydium CLMM's newer features: dynamic fee, fee on one token only, limit orders.

Follows the program's source of June/July 2026 as Raydium's TypeScript SDK computes it; pools
without any of these
take the shorter way of ``concentrated.swap_exact_in``.
"""

from bisect import bisect_right
from collections.abc import Mapping
from typing import NamedTuple

from hft.venues.concentrated import (
    MAX_STEPS,
    MILLION,
    TICK_LIMIT,
    Path,
    SwapEnd,
    check_end,
    exhausted,
    raydium_sqrt_price,
    step_exact_out,
    step_net_in,
    tick_of,
    too_many_steps,
)
from hft.venues.raydium_clmm_accounts import DynamicFee, Orders

_GROUP = 10_000
_FEE_CAP = 100_000


class Market(NamedTuple):
    """What a swap starts from and walks over.

    ``start`` = (root price, tick, liquidity); ``rates`` in millionths: the fee, and the protocol's and the
    fund's part of it.
    """

    start: tuple[int, int, int]
    rates: tuple[int, int, int]
    tick_spacing: int
    orders: Mapping[int, Orders]
    path: Path


class FeatureEnd(NamedTuple):
    """Where the swap ended, and what the features store."""

    end: SwapEnd
    dynamic: DynamicFee | None
    orders: dict[int, Orders]


def refreshed(fee: DynamicFee, group: int, now: int) -> DynamicFee:
    """The references as a swap from tick group ``group`` at ``now`` begins with."""
    elapsed = max(0, now - fee.last_update)
    if elapsed < fee.filter_period:
        return fee
    reference = fee.volatility * fee.reduction // 10_000 if elapsed < fee.decay_period else 0
    return fee._replace(group_reference=group, volatility_reference=reference, last_update=now)


def volatility_at(fee: DynamicFee, group: int) -> int:
    """The volatility accumulator while trading in tick group ``group``."""
    return min(fee.volatility_reference + abs(fee.group_reference - group) * _GROUP, fee.max_volatility)


def total_rate(base: int, fee: DynamicFee, volatility: int, tick_spacing: int) -> int:
    """Base and dynamic fee rate in millionths."""
    crossed = volatility * tick_spacing
    return min(base + min(-(-fee.control * crossed * crossed // 10**13), _FEE_CAP), _FEE_CAP)


class FeatureSwap:
    """One swap over a pool with newer features."""

    def __init__(
        self, market: Market, a_to_b: bool, fee_on_input: bool, dynamic: DynamicFee | None, now: int
    ) -> None:
        self.market, self.down, self.fee_on_input = market, a_to_b, fee_on_input
        self.price, tick, self.liquidity = market.start
        self.tick: int | None = tick
        self.group = tick // market.tick_spacing
        self.base_rate, self.protocol_rate, self.fund_rate = market.rates
        self.dynamic = None if dynamic is None else refreshed(dynamic, self.group, now)
        self.volatility = 0 if dynamic is None else dynamic.volatility
        self.remaining = self.other = self.fees = self.protocol = self.fund = self.crossings = self.steps = 0
        self.rate = self.base_rate
        self.orders: dict[int, Orders] = {}

    def run(self, amount: int, exact_in: bool) -> FeatureEnd:
        """Walk until the amount is used up. Raises QuoteError."""
        path = self.market.path
        self.remaining = amount
        index = bisect_right(path.ticks, self.market.start[1]) - (1 if self.down else 0)
        while self.remaining > 0 and self.price != path.limit:
            if not self._usable(index):
                raise exhausted(path.bound, amount - self.remaining if exact_in else None)
            edge = path.ticks[index]
            at_edge = raydium_sqrt_price(edge)
            target = max(at_edge, path.limit) if self.down else min(at_edge, path.limit)
            began = self.price
            self._walk_to(target, exact_in)
            if self.price == at_edge:
                index += self._arrive(edge, index, exact_in)
            elif self.price != began:
                self.tick = tick_of(self.price, raydium_sqrt_price)
        used, out = check_end(amount, self.remaining, self.other, exact_in)
        dynamic = None if self.dynamic is None else self.dynamic._replace(volatility=self.volatility)
        counted = (self.fees, self.protocol, self.fund, self.crossings)
        return FeatureEnd(
            SwapEnd(used, out, *counted, self.price, self.tick, self.liquidity), dynamic, self.orders
        )

    def _usable(self, index: int) -> bool:
        ticks, bound = self.market.path.ticks, self.market.path.bound
        return (
            index >= 0 and ticks[index] >= bound
            if self.down
            else index < len(ticks) and ticks[index] <= bound
        )

    def _rate_and_target(self, target: int) -> tuple[int, int, bool]:
        """Fee rate of the step that begins now, where it ends at the latest, and if a group's edge
        cuts it.
        """
        fee = self.dynamic
        if fee is None:
            return self.base_rate, target, False
        self.volatility = volatility_at(fee, self.group)
        rate = total_rate(self.base_rate, fee, self.volatility, self.market.tick_spacing)
        if self.liquidity == 0 or self.volatility == fee.max_volatility:
            return rate, target, False
        edge = (self.group if self.down else self.group + 1) * self.market.tick_spacing
        price = raydium_sqrt_price(max(-TICK_LIMIT, min(TICK_LIMIT, edge)))
        return rate, max(target, price) if self.down else min(target, price), True

    def _walk_to(self, tick_target: int, exact_in: bool) -> None:
        """Steps up to the next tick's price or until the amount is used up."""
        while True:
            self.steps += 1
            if self.steps > MAX_STEPS:
                raise too_many_steps()
            self.rate, target, cut = self._rate_and_target(tick_target)
            self._step(target, self.rate, exact_in)
            if self.dynamic is not None:
                self._advance(cut)
            if self.remaining <= 0 or self.price == tick_target:
                return

    def _advance(self, cut: bool) -> None:
        spacing = self.market.tick_spacing
        if cut:
            self.group += -1 if self.down else 1
            return
        tick = tick_of(self.price, raydium_sqrt_price)
        on_edge = tick % spacing == 0 and self.price == raydium_sqrt_price(tick)
        last = tick // spacing - (1 if on_edge else 0)
        self.group = last if self.down or not on_edge else last + 1

    def _book(self, fee: int) -> None:
        """Divide a step's fee; without liquidity providers the protocol takes their part."""
        to_fund = fee * self.fund_rate // MILLION
        self.fees += fee
        self.fund += to_fund
        self.protocol += fee * self.protocol_rate // MILLION if self.liquidity else fee - to_fund

    def _step(self, target: int, rate: int, exact_in: bool) -> None:
        keep = MILLION - rate
        if not exact_in:
            wanted = self.remaining
            if not self.fee_on_input:
                wanted = -(-wanted * MILLION // keep)
            after, used, out = step_exact_out(self.down, wanted, self.price, target, self.liquidity)
            if self.fee_on_input:
                fee = -(-used * rate // keep)
                used += fee
            else:
                fee = -(-out * rate // MILLION)
                out = min(out - fee, self.remaining)
            self.remaining -= out
            self.other += used
        else:
            calc = self.remaining * keep // MILLION if self.fee_on_input else self.remaining
            after, used, out = step_net_in(self.down, calc, self.price, target, self.liquidity)
            if self.fee_on_input:
                fee = -(-used * rate // keep) if after == target else self.remaining - used
                used += fee
            else:
                fee = -(-out * rate // MILLION)
                out -= fee
                if after != target:
                    used = self.remaining
            self.remaining -= used
            self.other += out
        self._book(fee)
        self.price = after

    def _arrive(self, edge: int, index: int, exact_in: bool) -> int:
        """At a tick's price: serve its limit orders, then cross it unless some are left. Returns
        the index move.
        """
        orders = self.market.orders.get(edge)
        if orders is not None and orders.unfilled:
            if self.remaining > 0:
                orders = self._serve(edge, orders, exact_in)
            if orders.unfilled:
                self.tick = edge if self.down else edge - 1
                return 0
        self.tick = edge - 1 if self.down else edge
        self.liquidity = self.market.path.cross(index, self.liquidity, self.down)
        self.crossings += 1
        return -1 if self.down else 1

    def _serve(self, edge: int, orders: Orders, exact_in: bool) -> Orders:
        """Trade against the limit orders at the tick's price, at the fee of the step that led there."""
        rate, on_input = self.rate, self.fee_on_input
        square = self.price * self.price
        px = square >> 64 if self.down else -(-square >> 64)
        if exact_in:
            fee = -(-self.remaining * rate // MILLION) if on_input else 0
            net = self.remaining - fee
            out = net * px >> 64 if self.down else (net << 64) // px
            whole = out <= orders.unfilled
        else:
            wanted, net = min(self.remaining, orders.unfilled), 0
            out = wanted if on_input else -(-wanted * MILLION // (MILLION - rate))
            whole = False
        if not whole:
            out = min(out, orders.unfilled)
            net = -(-(out << 64) // px) if self.down else -(-out * px >> 64)
            fee = -(-net * rate // (MILLION - rate)) if on_input else 0
        if not on_input:
            fee = -(-out * rate // MILLION)
        taken, paid = (net + fee, out) if on_input else (net, out - fee)
        self.remaining -= taken if exact_in else paid
        self.other += paid if exact_in else taken
        self._book(fee)
        phase, amount, part = orders
        if out < part:
            left = Orders(phase, amount, part - out)
        else:
            rest = out - part
            left = Orders(phase + 1, 0, amount - rest) if rest else Orders(phase, amount, 0)
        self.orders[edge] = left
        return left
