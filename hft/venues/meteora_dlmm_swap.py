"""A DLMM swap: the walk over bins, layer by layer within a bin, with the program's roundings.

Source: ``lb_clmm`` 0.12.0 (MeteoraAg/dlmm-sdk ``commons``), held to executions of the mainnet
binary of 2026-07.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from hft.venues.meteora_dlmm_accounts import ARRAY_BINS, BIN, BIN_SIZE, FIRST_BIN_AT, Bin, bin_price
from hft.venues.types import QuoteError, QuoteErrorCode

BILLION = 1_000_000_000
FEE_CAP = 100_000_000  # 10% in 1e-9
GROUP = 10_000
CONTROL_UNIT = 10**11


class Volatility(NamedTuple):
    """The fee's state: accumulator, reference, the bin it counts from, time of the last change of the bin."""

    accumulator: int
    reference: int
    origin: int
    last_update: int


class Rules(NamedTuple):
    """What the pair fixes. ``host_share`` is in 1/10000 of ⌊fee · protocol_share/10000⌋, a bin."""

    bin_step: int
    base_rate: int
    control: int
    max_volatility: int
    protocol_share: int
    host_share: int
    orders_count: bool
    fee_on_y: bool

    def rate(self, accumulator: int) -> int:
        """Fee rate in 1e-9 at a volatility accumulator."""
        crossed = accumulator * self.bin_step
        return min(self.base_rate + -(-self.control * crossed * crossed // 10**11), FEE_CAP)


class Taken(NamedTuple):
    """What a swap took of one bin: of its liquidity, of orders being served, of open orders; ``paid`` is what
    its liquidity got for it."""

    found: Bin
    liquidity: int
    processed: int
    opened: int
    paid: int


Plain = tuple[tuple[int, int, int, int, int, int, int, int], int, int]
"""The same for a bin without orders in the way: the bin's figures, its liquidity taken, what it got."""


class BinEnd(NamedTuple):
    """Where a swap ended and what it took of each bin. ``crossings`` counts bins after the first;
    ``entered`` is the input used before the last.
    """

    amount_used: int
    amount_out: int
    fee: int
    protocol: int
    host: int
    crossings: int
    active_id: int
    volatility: Volatility
    price: int
    entered: int
    taken: dict[int, Taken | Plain]


class Beyond(Exception):
    """The swap needs bins beyond the arrays it has, having used ``filled``."""

    def __init__(self, filled: int) -> None:
        super().__init__(filled)
        self.filled = filled


Figures = tuple[int, int, int, int, int, int, int, int]
Offer = tuple[int, Figures, int, bool]


def offers_of(
    orders_count: bool,
    a_to_b: bool,
    active_id: int,
    indexes: Sequence[int],
    arrays: Mapping[int, bytes | None],
    changed: Mapping[int, Bin],
) -> Iterator[Offer]:
    """The bins that offer anything, in a swap's order: (id, figures, liquidity offered, whether
    orders count).

    An array that is None ends them.
    """
    side = 0 if a_to_b else 1
    for index in indexes:
        data = arrays.get(index)
        if data is None:
            return
        first = index * ARRAY_BINS
        beyond = first + ARRAY_BINS
        bins = (
            range(min(active_id, beyond - 1), first - 1, -1)
            if a_to_b
            else range(max(active_id, first), beyond)
        )
        orders_kept = data[16] >= 2
        for bin_id in bins:
            figures: Figures | None = changed.get(bin_id) if changed else None
            if figures is None:
                values = BIN.unpack_from(data, FIRST_BIN_AT + BIN_SIZE * (bin_id - first))
                amount_x, amount_y, low, high, opened, total, processed, age, ask_side = values
                if not orders_kept:
                    opened = total = processed = age = ask_side = 0
                figures = (amount_x, amount_y, high << 64 | low, opened, total, processed, age, ask_side)
            offered = figures[1] if a_to_b else figures[0]
            has_orders = orders_count and figures[7] == side and (figures[3] > 0 or figures[5] > 0)
            if offered or has_orders:
                yield bin_id, figures, offered, has_orders


def _price(figures: Figures, bin_step: int, bin_id: int) -> int:
    price = figures[2] or bin_price(bin_step, bin_id)
    if not price:
        raise QuoteError(QuoteErrorCode.OVERFLOW, f"bin {bin_id} of step {bin_step} has no price")
    return price


def swap_bins(
    rules: Rules,
    a_to_b: bool,
    amount: int,
    exact_in: bool,
    active_id: int,
    volatility: Volatility,
    offers: Iterable[Offer],
    now: int,
) -> BinEnd:
    """Swap ``amount`` from ``active_id`` over the bins of ``offers``; ``volatility`` has its
    references refreshed.

    Raises Beyond if they are not enough.
    """
    bin_step, base_rate, control, highest, share, host_share, _, fee_on_y = rules
    accumulator, reference, origin, _ = volatility
    fee_on_input = not (fee_on_y and a_to_b)
    inline = exact_in and fee_on_input
    remaining = amount
    other = fees = parts = host = 0
    taken: dict[int, Taken | Plain] = {}
    for bin_id, figures, offered, has_orders in offers:
        entered = amount - remaining
        price = figures[2] or _price(figures, bin_step, bin_id)
        # No min() or abs() here: a call would cost more than the comparison, once a bin.
        accumulator = reference + (origin - bin_id if origin > bin_id else bin_id - origin) * GROUP
        accumulator = highest if accumulator > highest else accumulator
        crossed = accumulator * bin_step
        rate = base_rate + -(-control * crossed * crossed // CONTROL_UNIT)
        rate = FEE_CAP if rate > FEE_CAP else rate
        if inline and not has_orders:
            cost = -(-(offered << 64) // price) if a_to_b else -(-offered * price >> 64)
            if remaining * (BILLION - rate) >= (cost + 1) * BILLION:  # more than the bin costs
                fee = -(-cost * rate // (BILLION - rate))
                got, used = offered, cost
                remaining -= cost + fee
            else:
                fee = -(-remaining * rate // BILLION)
                used = remaining - fee
                got = offered if used == cost else (used * price >> 64 if a_to_b else (used << 64) // price)
                remaining = 0
            part = fee * share // 10_000 if used else fee
            taken[bin_id] = (figures, got, used)
            other += got
        else:
            fill = _fill if exact_in else _fill_out
            found = Bin(figures[0], figures[1], price, *figures[3:])
            used, got, fee, part, took = fill(rules, found, a_to_b, remaining, rate, fee_on_input, has_orders)
            taken[bin_id] = took
            remaining -= used if exact_in else got
            other += got if exact_in else used
        fees += fee
        parts += part
        # The binary shares out what the protocol would get without the orders' half.
        host += fee * share // 10_000 * host_share // 10_000
        if remaining <= 0:
            used, got = (amount, other) if exact_in else (other, amount)
            since = now if bin_id != active_id else volatility.last_update
            state = Volatility(accumulator, reference, origin, since)
            counts = (fees, parts - host, host, len(taken) - 1)
            return BinEnd(used, got, *counts, bin_id, state, price, entered, taken)
    raise Beyond(amount - remaining)


def _layers(found: Bin, a_to_b: bool, has_orders: bool) -> tuple[int, int, int]:
    """What the bin offers: its liquidity, what is left of orders being served, and open orders."""
    liquidity = found.amount_y if a_to_b else found.amount_x
    return (liquidity, found.processed_remaining, found.open_order) if has_orders else (liquidity, 0, 0)


def _fill(
    rules: Rules, found: Bin, a_to_b: bool, remaining: int, rate: int, fee_on_input: bool, has_orders: bool
) -> tuple[int, int, int, int, Taken]:
    """Take as much of a bin as ``remaining`` buys: (input consumed, output, fee, protocol's part, taken)."""
    price = found.price
    fee = -(-remaining * rate // BILLION) if fee_on_input else 0
    left = net = remaining - fee
    served = [0, 0, 0]
    first_used = 0
    for i, layer in enumerate(_layers(found, a_to_b, has_orders)):
        if not layer or not left:
            continue
        cost = -(-(layer << 64) // price) if a_to_b else -(-layer * price >> 64)
        if left >= cost:
            served[i], spent = layer, cost
        else:
            served[i] = left * price >> 64 if a_to_b else (left << 64) // price
            spent = left
        left -= spent
        if i == 0:
            first_used = spent
    used = net - left
    consumed = remaining
    if left:
        fee = -(-used * rate // (BILLION - rate)) if fee_on_input else 0
        consumed = used + fee
    out = sum(served)
    if not fee_on_input:
        fee = -(-out * rate // BILLION)
        out -= fee
    taken = Taken(found, served[0], served[1], served[2], first_used)
    return consumed, out, fee, _protocol_part(rules, fee, first_used, used), taken


def _fill_out(
    rules: Rules, found: Bin, a_to_b: bool, wanted: int, rate: int, fee_on_input: bool, has_orders: bool
) -> tuple[int, int, int, int, Taken]:
    """Take as much of a bin as ``wanted`` asks for; returns as ``_fill``."""
    price = found.price
    left = wanted if fee_on_input else -(-wanted * BILLION // (BILLION - rate))
    served = [0, 0, 0]
    first_used = used = 0
    for i, layer in enumerate(_layers(found, a_to_b, has_orders)):
        served[i] = min(layer, left)
        left -= served[i]
        spent = -(-(served[i] << 64) // price) if a_to_b else -(-served[i] * price >> 64)
        used += spent
        if i == 0:
            first_used = spent
    out = sum(served)
    if fee_on_input:
        fee = -(-used * rate // (BILLION - rate))
    else:
        fee = -(-out * rate // BILLION)
        out = min(out - fee, wanted)
    consumed = used + fee if fee_on_input else used
    taken = Taken(found, served[0], served[1], served[2], first_used)
    return consumed, out, fee, _protocol_part(rules, fee, first_used, used), taken


def _protocol_part(rules: Rules, fee: int, first_used: int, used: int) -> int:
    """The protocol's part of a bin's fee: a share of the liquidity's side, half of the orders' side."""
    if not used:
        return fee
    liquidity_side = fee if first_used == used else -(-fee * first_used // used)
    order_side = fee - liquidity_side
    return liquidity_side * rules.protocol_share // 10_000 + order_side - order_side // 2


def bin_after(taken: Taken | Plain, a_to_b: bool) -> Bin:
    """The bin after a swap: open orders that were touched become orders being served."""
    if not isinstance(taken, Taken):
        figures, liquidity, paid = taken
        taken = Taken(Bin(*figures), liquidity, 0, 0, paid)
    found = taken.found
    x, y = (taken.paid, -taken.liquidity) if a_to_b else (-taken.liquidity, taken.paid)
    found = found._replace(
        amount_x=found.amount_x + x,
        amount_y=found.amount_y + y,
        processed_remaining=found.processed_remaining - taken.processed,
    )
    if not taken.opened:
        return found
    return found._replace(
        processed_remaining=found.open_order - taken.opened,
        total_processing=found.open_order,
        open_order=0,
        age=found.age + 1,
    )
