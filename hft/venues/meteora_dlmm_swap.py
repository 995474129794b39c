"""A DLMM swap: the walk over bins, layer by layer within a bin, with the program's roundings.

Source: ``lb_clmm`` 0.12.0 (MeteoraAg/dlmm-sdk ``commons``), held to executions of the mainnet
binary of 2026-07.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from hft.venues.meteora_dlmm_accounts import ARRAY_BINS, BIN, BIN_SIZE, FIRST_BIN_AT, Bin, bin_price
from hft.venues.types import QuoteError, QuoteErrorCode

BILLION = 1_000_000_000
FEE_CAP = 100_000_000  # 10% in 1e-9
GROUP = 10_000
SHARE_BASE = 10_000
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


Figures = tuple[int, int, int, int, int, int, int, int]
"""A bin as it stands in the account: the fields of ``Bin``."""

Plain = tuple[Figures, int, int]
"""What a swap took of a bin without orders in the way: the bin, its liquidity taken, what that got."""

Offer = tuple[int, Figures, int, bool]
"""A bin that offers anything: (id, figures, liquidity offered, whether orders count)."""


class BinEnd(NamedTuple):
    """Where a swap ended. ``crossings`` counts bins after the first, ``passed`` those that the ladder's rows
    tell; ``taken`` says what was taken of the others. ``rate`` is the last bin's fee rate, ``entered`` the
    input used before it.
    """

    amount_used: int
    amount_out: int
    fee: int
    protocol: int
    host: int
    crossings: int
    active_id: int
    price: int
    rate: int
    entered: int
    volatility: Volatility
    passed: int
    taken: dict[int, Taken | Plain]


_bin_end = partial(tuple.__new__, BinEnd)  # half the time of BinEnd(...)
_volatility = partial(tuple.__new__, Volatility)


class Beyond(Exception):
    """The swap needs bins beyond the arrays it has, having used ``filled``."""

    def __init__(self, filled: int) -> None:
        super().__init__(filled)
        self.filled = filled


def offers_of(
    orders_count: bool,
    a_to_b: bool,
    active_id: int,
    indexes: Sequence[int],
    arrays: Mapping[int, bytes | None],
    changed: Mapping[int, Bin],
) -> Iterator[Offer]:
    """The bins that offer anything, in a swap's order. An array that is None ends them."""
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


class Row(NamedTuple):
    """A bin on the way with the totals before it; ``cost`` buys all its liquidity, fee aside. A cost of −1
    says that the ladder ends here: orders count in this bin, or the fee is taken of the output.
    """

    bin_id: int
    price: int
    offered: int
    cost: int
    rate: int
    accumulator: int
    spent: int
    paid: int
    fees: int
    parts: int
    host: int
    figures: Figures


_row = partial(tuple.__new__, Row)
_NEVER = 1 << 66  # more than any amount


class Ladder:
    """A pair's bins in one direction, worked out when a swap first comes to them.

    What a bin takes and pays when a swap goes through it whole does not depend on the swap's size, as long
    as the volatility's ``reference`` and ``origin`` are the same: rows keep it with running totals, and a
    swap finds the bin it ends in by bisection. ``now`` is the time these references are right for.
    """

    __slots__ = ("_a_to_b", "_active_id", "_offers", "_passes", "_rows", "_rules", "_source", "now", "start")

    def __init__(
        self, rules: Rules, a_to_b: bool, active_id: int, start: Volatility, source: Iterator[Offer], now: int
    ) -> None:
        self._rules, self._a_to_b, self._active_id, self._source = rules, a_to_b, active_id, source
        self._offers: list[Offer] = []
        self._rows: list[Row] = []
        self._passes: list[int] = []  # inputs from which on a swap goes through the row's bin
        self.start, self.now = start, now

    def at(self, start: Volatility, now: int) -> "Ladder":
        """The ladder for references refreshed at ``now``: this one if they are the same."""
        if (start.reference, start.origin) == (self.start.reference, self.start.origin):
            self.now = now
            return self
        new = Ladder(self._rules, self._a_to_b, self._active_id, start, self._source, now)
        new._offers = self._offers
        return new

    def exact_in(self, amount: int) -> BinEnd:
        """Swap ``amount`` of input. Raises Beyond, QuoteError."""
        at = bisect_right(self._passes, amount)
        if at == len(self._rows):
            at = self._extend(amount)
        row = self._rows[at]
        bin_id, price, offered, cost, rate, accumulator, spent, paid, fees, parts, host, figures = row
        if cost < 0:
            return self._walk(amount, True, at, row)
        remaining = amount - spent
        fee = -(-remaining * rate // BILLION)
        used = remaining - fee
        if self._a_to_b:
            got = offered if used == cost else used * price >> 64
        else:
            got = offered if used == cost else (used << 64) // price
        rules = self._rules
        share = fee * rules[4] // SHARE_BASE
        host += share * rules[5] // SHARE_BASE
        parts += share if used else fee
        start = self.start
        since = start[3] if bin_id == self._active_id else self.now
        state = _volatility((accumulator, start[1], start[2], since))
        taken = {bin_id: (figures, got, used)}
        ends = (fees + fee, parts - host, host, at, bin_id, price, rate, spent, state, at, taken)
        return _bin_end((amount, paid + got, *ends))

    def exact_out(self, amount: int) -> BinEnd:
        """Swap for ``amount`` of output. Raises Beyond, QuoteError."""
        return self._walk(amount, False, 0, None)

    def passed(self, count: int) -> Iterator[tuple[int, Plain]]:
        """What a swap took of the first ``count`` rows' bins."""
        for row in self._rows[:count]:
            yield row.bin_id, (row.figures, row.offered, row.cost)

    def _extend(self, amount: int) -> int:
        """Add rows up to the one in which ``amount`` of input ends; returns its place. Raises Beyond."""
        a_to_b, rows, passes, offers = self._a_to_b, self._rows, self._passes, self._offers
        bin_step, base_rate, control, highest, share, host_share, _, fee_on_y = self._rules
        _, reference, origin, _ = self.start
        laddered, source = not (fee_on_y and a_to_b), self._source
        spent = paid = fees = parts = host = whole = rest = 0
        at = len(rows)
        if rows:
            spent, paid, fees, parts, host = self._totals(rows[-1])
        while True:
            if at == len(offers):
                offer = next(source, None)
                if offer is None:
                    raise Beyond(spent)
                offers.append(offer)
            else:
                offer = offers[at]
            bin_id, figures, offered, has_orders = offer
            price = figures[2] or _price(bin_step, bin_id)
            # No min() or abs() here: a call would cost more than the comparison, once a bin.
            accumulator = reference + (origin - bin_id if origin > bin_id else bin_id - origin) * GROUP
            accumulator = highest if accumulator > highest else accumulator
            crossed = accumulator * bin_step
            rate = base_rate + -(-control * crossed * crossed // CONTROL_UNIT)
            rate = FEE_CAP if rate > FEE_CAP else rate
            cost, enough = -1, _NEVER
            if laddered and not has_orders:
                cost = -(-(offered << 64) // price) if a_to_b else -(-offered * price >> 64)
                keep = BILLION - rate
                whole, rest = divmod(cost * BILLION, keep)
                enough = spent + whole - (-(rest + BILLION) // keep)  # net of fees a unit more than the cost
            totals = (spent, paid, fees, parts, host)
            rows.append(_row((bin_id, price, offered, cost, rate, accumulator, *totals, figures)))
            passes.append(enough)
            if amount < enough:
                return at
            at += 1
            fee = whole - cost + (rest > 0)
            shared = fee * share // SHARE_BASE
            spent, paid, fees, parts = spent + cost + fee, paid + offered, fees + fee, parts + shared
            host += shared * host_share // SHARE_BASE

    def _totals(self, row: Row) -> tuple[int, int, int, int, int]:
        """(spent, paid, fees, parts, host) once a swap has gone through the row's bin whole."""
        fee = -(-row.cost * row.rate // (BILLION - row.rate))
        shared = fee * self._rules.protocol_share // SHARE_BASE
        host = row.host + shared * self._rules.host_share // SHARE_BASE
        return row.spent + row.cost + fee, row.paid + row.offered, row.fees + fee, row.parts + shared, host

    def _offer(self, at: int) -> Offer | None:
        """The offer at a place; None beyond the last."""
        if at == len(self._offers):
            found = next(self._source, None)
            if found is None:
                return None
            self._offers.append(found)
        return self._offers[at]

    def _accumulator(self, bin_id: int) -> int:
        """The volatility accumulator while trading in a bin."""
        start = self.start
        return min(start.reference + abs(start.origin - bin_id) * GROUP, self._rules.max_volatility)

    def _walk(self, amount: int, exact_in: bool, at: int, row: Row | None) -> BinEnd:
        """Swap bin by bin from the offer at a place on, with ``row``'s totals before it. Raises Beyond."""
        rules, a_to_b = self._rules, self._a_to_b
        fee_on_input = not (rules.fee_on_y and a_to_b)
        remaining, other, fees, parts, host = amount, 0, 0, 0, 0
        if row is not None:
            remaining, other, fees, parts, host = amount - row.spent, row.paid, row.fees, row.parts, row.host
        passed = at
        taken: dict[int, Taken | Plain] = {}
        while (offer := self._offer(at)) is not None:
            bin_id, figures, _, has_orders = offer
            entered = amount - remaining
            price = figures[2] or _price(rules.bin_step, bin_id)
            accumulator = self._accumulator(bin_id)
            rate = rules.rate(accumulator)
            fill = _fill if exact_in else _fill_out
            found = Bin(figures[0], figures[1], price, *figures[3:])
            used, got, fee, part, took = fill(rules, found, a_to_b, remaining, rate, fee_on_input, has_orders)
            taken[bin_id] = took
            remaining -= used if exact_in else got
            other += got if exact_in else used
            fees, parts = fees + fee, parts + part
            # The binary shares out what the protocol would get without the orders' half.
            host += fee * rules.protocol_share // SHARE_BASE * rules.host_share // SHARE_BASE
            if remaining <= 0:
                used, got = (amount, other) if exact_in else (other, amount)
                since = self.start.last_update if bin_id == self._active_id else self.now
                state = Volatility(accumulator, self.start.reference, self.start.origin, since)
                counts = (fees, parts - host, host, at)
                return BinEnd(used, got, *counts, bin_id, price, rate, entered, state, passed, taken)
            at += 1
        raise Beyond(amount - remaining)


def _price(bin_step: int, bin_id: int) -> int:
    price = bin_price(bin_step, bin_id)
    if not price:
        raise QuoteError(QuoteErrorCode.OVERFLOW, f"bin {bin_id} of step {bin_step} has no price")
    return price


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
