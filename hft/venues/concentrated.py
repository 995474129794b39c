"""Mathematics common to concentrated-liquidity venues: root prices of ticks and their inverse, all integers.

Root prices are Q64.64 (``√(B per A)·2^64``). Sources: orca-so/whirlpools and raydium-io/raydium-clmm,
both held to executions of the mainnet binaries.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import lru_cache
from math import isqrt
from typing import NamedTuple

from hft.venues.types import U64_MAX, QuoteError, QuoteErrorCode

Q64 = 1 << 64
TICK_LIMIT = 443_636
MIN_SQRT_PRICE = 4_295_048_016
MILLION = 1_000_000

ORCA_MAX_SQRT_PRICE = 79_226_673_515_401_279_992_447_579_055
RAYDIUM_MAX_SQRT_PRICE = 79_226_673_521_066_979_257_578_248_091


def _root_constants() -> tuple[tuple[int, ...], tuple[int, ...]]:
    """⌊2^96·1.0001^(2^i/2)⌋ and ⌊2^64·1.0001^(−2^i/2)⌋ for i = 0..18, from exact integer roots and powers."""
    guard = 512  # the largest power multiplies the relative error by 2^18: 512 bits leave hundreds to spare
    root = isqrt((10_001 << (2 * guard)) // 10_000)
    up, down = [], []
    for _ in range(19):
        up.append(root >> (guard - 96))
        down.append((1 << (guard + 64)) // root)
        root = (root * root) >> guard
    return tuple(up), tuple(down)


_ORCA_UP, _ORCA_DOWN = _root_constants()
# Raydium's constants are Uniswap's old ones cut to 64 bits, not the exact roots.
_RAYDIUM = (
    0xFFFCB933BD6FB800,
    0xFFF97272373D4000,
    0xFFF2E50F5F657000,
    0xFFE5CACA7E10F000,
    0xFFCB9843D60F7000,
    0xFF973B41FA98E800,
    0xFF2EA16466C9B000,
    0xFE5DEE046A9A3800,
    0xFCBE86C7900BB000,
    0xF987A7253AC65800,
    0xF3392B0822BB6000,
    0xE7159475A2CAF000,
    0xD097F3BDFD2F2000,
    0xA9F746462D9F8000,
    0x70D869A156F31C00,
    0x31BE135F97ED3200,
    0x09AA508B5B85A500,
    0x005D6AF8DEDC582C,
    0x00002216E584F5FA,
)


@lru_cache(maxsize=131_072)
def orca_sqrt_price(tick: int) -> int:
    """Whirlpool's root price of ``tick`` (−443636..443636)."""
    if tick >= 0:
        price = _ORCA_UP[0] if tick & 1 else 1 << 96
        bits, i = tick >> 1, 1
        while bits:
            if bits & 1:
                price = (price * _ORCA_UP[i]) >> 96
            bits >>= 1
            i += 1
        return price >> 32
    bits = -tick
    price = _ORCA_DOWN[0] if bits & 1 else Q64
    bits, i = bits >> 1, 1
    while bits:
        if bits & 1:
            price = (price * _ORCA_DOWN[i]) >> 64
        bits >>= 1
        i += 1
    return price


@lru_cache(maxsize=131_072)
def raydium_sqrt_price(tick: int) -> int:
    """Raydium CLMM's root price of ``tick`` (−443636..443636)."""
    bits = abs(tick)
    price = _RAYDIUM[0] if bits & 1 else Q64
    bits, i = bits >> 1, 1
    while bits:
        if bits & 1:
            price = (price * _RAYDIUM[i]) >> 64
        bits >>= 1
        i += 1
    return ((1 << 128) - 1) // price if tick > 0 else price


# log2(1.0001)/2 as a 2^64 fraction, inverted: ticks per doubling of the root price, scaled by 2^32.
_TICKS_PER_DOUBLING_Q32 = 59_543_866_431_248


def tick_of(price: int, sqrt_price: Callable[[int], int]) -> int:
    """The greatest tick whose root price is at most ``price``: an integer logarithm, then comparison."""
    msb = price.bit_length() - 1
    mantissa = price >> (msb - 63) if msb >= 63 else price << (63 - msb)
    fraction = 0
    for bit in range(31, 17, -1):
        mantissa *= mantissa
        if mantissa >> 127:
            fraction |= 1 << bit
            mantissa >>= 64
        else:
            mantissa >>= 63
    tick = ((((msb - 64) << 32) + fraction) * _TICKS_PER_DOUBLING_Q32) >> 64
    tick = max(-TICK_LIMIT, min(TICK_LIMIT, tick))
    while tick > -TICK_LIMIT and sqrt_price(tick) > price:
        tick -= 1
    while tick < TICK_LIMIT and sqrt_price(tick + 1) <= price:
        tick += 1
    return tick


# A program step costs thousands of compute units of at most 1.4 million: no swap takes as many steps as this.
MAX_STEPS = 2048


def tick_fits(tick: int, price: int, sqrt_price: Callable[[int], int]) -> bool:
    """True if a pool at root price ``price`` may be in ``tick``: at the upper edge it may still be
    below it.
    """
    if not -TICK_LIMIT - 1 <= tick <= TICK_LIMIT:
        return False
    above = tick == -TICK_LIMIT - 1 or sqrt_price(tick) <= price
    return above and (tick == TICK_LIMIT or price <= sqrt_price(tick + 1))


class SwapEnd(NamedTuple):
    """Where a concentrated swap ended. ``tick`` is None if only the price tells it (``tick_of``).

    ``owed_1`` and ``owed_2`` are the parts of the fee put aside for the protocol and the fund.
    """

    amount_used: int
    amount_out: int
    fee: int
    owed_1: int
    owed_2: int
    crossings: int
    price: int
    tick: int | None
    liquidity: int


def exhausted(bound: int, filled: int | None = None) -> QuoteError:
    """The swap reached the end of the arrays it may use, with ``filled`` of its input used."""
    return QuoteError(
        QuoteErrorCode.ARRAYS_EXHAUSTED, f"liquidity up to tick {bound} does not fill the amount", filled
    )


def negative_liquidity(tick: int) -> QuoteError:
    """The ticks don't fit the liquidity: the program's arithmetic fails there."""
    return QuoteError(QuoteErrorCode.OVERFLOW, f"liquidity would be negative beyond tick {tick}")


def too_many_steps() -> QuoteError:
    """A swap that no transaction's compute limit would carry."""
    return QuoteError(QuoteErrorCode.TOO_MANY_STEPS, f"the swap takes more than {MAX_STEPS} steps")


def swap_exact_in(  # noqa: PLR0915 - one loop, both directions inline: calls would cost a quarter of it
    a_to_b: bool,
    amount: int,
    price: int,
    tick: int,
    liquidity: int,
    fee_rate: int,
    shares: tuple[int, int, int],
    ticks: Sequence[int],
    nets: Sequence[int | None],
    load: Callable[[int], int],
    bound: int,
    limit: int,
    sqrt_price: Callable[[int], int],
) -> SwapEnd:
    """Swap ``amount`` with a fixed fee of ``fee_rate`` millionths on the input.

    ``ticks`` are the initialised ticks in rising order with their ``nets`` (``load(index)`` where that is
    None: not read from the bytes yet); none beyond ``bound`` is used, and reaching it with something left
    raises ARRAYS_EXHAUSTED. ``shares`` = (rate 1, rate 2, base): of each step's fee ⌊fee·rate/base⌋ is put
    aside. Stops early only at ``limit``.
    """
    keep = MILLION - fee_rate
    share_1, share_2, share_base = shares
    remaining = amount
    out = fees = owed_1 = owed_2 = crossings = 0
    end: int | None = tick
    index = bisect_right(ticks, tick) - (1 if a_to_b else 0)
    count = len(ticks)
    while True:
        scaled = liquidity << 64
        calc = remaining * keep // MILLION
        if a_to_b:
            initialised = index >= 0 and ticks[index] >= bound
            edge = ticks[index] if initialised else bound
            at_edge = sqrt_price(edge)
            target = at_edge if at_edge > limit else limit
            used = -(-scaled * (price - target) // (price * target))
            if used <= calc:
                after = target
            else:
                after = -(-scaled * price // (scaled + calc * price))
                if after != target:
                    used = -(-scaled * (price - after) // (price * after))
            out += liquidity * (price - after) >> 64
        else:
            initialised = index < count and ticks[index] <= bound
            edge = ticks[index] if initialised else bound
            at_edge = sqrt_price(edge)
            target = at_edge if at_edge < limit else limit
            used = -(-liquidity * (target - price) >> 64)
            if used <= calc:
                after = target
            else:
                after = price + (calc << 64) // liquidity
                if after != target:
                    used = -(-liquidity * (after - price) >> 64)
            out += scaled * (after - price) // (price * after)
        fee = -(-used * fee_rate // keep) if after == target else remaining - used
        remaining -= used + fee
        fees += fee
        owed_1 += fee * share_1 // share_base
        owed_2 += fee * share_2 // share_base
        if after == at_edge:
            end = edge - 1 if a_to_b else edge
            if initialised:
                net = nets[index]
                if net is None:
                    net = load(index)
                liquidity += -net if a_to_b else net
                if liquidity < 0:
                    raise negative_liquidity(edge)
                crossings += 1
                index += -1 if a_to_b else 1
        elif after != price:
            end = None
        price = after
        if remaining <= 0 or price == limit:
            break
        if not initialised:
            raise exhausted(bound, amount - remaining)
    if remaining < 0 or out > U64_MAX:
        raise QuoteError(
            QuoteErrorCode.OVERFLOW, f"amount {amount} leaves remainder {remaining}, output {out}"
        )
    return SwapEnd(amount - remaining, out, fees, owed_1, owed_2, crossings, price, end, liquidity)


def swap_exact_out(
    a_to_b: bool,
    amount: int,
    price: int,
    tick: int,
    liquidity: int,
    fee_rate: int,
    shares: tuple[int, int, int],
    ticks: Sequence[int],
    nets: Sequence[int | None],
    load: Callable[[int], int],
    bound: int,
    limit: int,
    sqrt_price: Callable[[int], int],
) -> SwapEnd:
    """Like ``swap_exact_in`` for a wanted output: ``amount_used`` is the whole input."""
    share_1, share_2, share_base = shares
    remaining = amount
    paid_in = fees = owed_1 = owed_2 = crossings = 0
    end: int | None = tick
    index = bisect_right(ticks, tick) - (1 if a_to_b else 0)
    while True:
        initialised = (
            index >= 0 and ticks[index] >= bound if a_to_b else index < len(ticks) and ticks[index] <= bound
        )
        edge = ticks[index] if initialised else bound
        at_edge = sqrt_price(edge)
        target = max(at_edge, limit) if a_to_b else min(at_edge, limit)
        after, used, out = step_exact_out(a_to_b, remaining, price, target, liquidity)
        fee = -(-used * fee_rate // (MILLION - fee_rate))
        remaining -= out
        paid_in += used + fee
        fees += fee
        owed_1 += fee * share_1 // share_base
        owed_2 += fee * share_2 // share_base
        if after == at_edge:
            end = edge - 1 if a_to_b else edge
            if initialised:
                net = nets[index]
                if net is None:
                    net = load(index)
                liquidity += -net if a_to_b else net
                if liquidity < 0:
                    raise negative_liquidity(edge)
                crossings += 1
                index += -1 if a_to_b else 1
        elif after != price:
            end = None
        price = after
        if remaining <= 0 or price == limit:
            break
        if not initialised:
            raise exhausted(bound)
    if paid_in > U64_MAX:
        raise QuoteError(QuoteErrorCode.OVERFLOW, f"output {amount} needs input {paid_in}")
    return SwapEnd(paid_in, amount - remaining, fees, owed_1, owed_2, crossings, price, end, liquidity)


def step_exact_in(
    a_to_b: bool, amount: int, price: int, target: int, liquidity: int, fee_rate: int
) -> tuple[int, int, int, int]:
    """One step towards ``target``: (price after, input used, output, fee), the fee on the input."""
    calc = amount * (MILLION - fee_rate) // MILLION
    after, used, out = step_net_in(a_to_b, calc, price, target, liquidity)
    if after == target:
        return after, used, out, -(-used * fee_rate // (MILLION - fee_rate))
    return after, used, out, amount - used


def step_net_in(a_to_b: bool, calc: int, price: int, target: int, liquidity: int) -> tuple[int, int, int]:
    """One step with ``calc`` of input after fees: (price after, input rounded up, output rounded down)."""
    scaled = liquidity << 64
    if a_to_b:
        used = -(-scaled * (price - target) // (price * target))
        after = target if used <= calc else -(-scaled * price // (scaled + calc * price))
        if after != target:
            used = -(-scaled * (price - after) // (price * after))
        return after, used, liquidity * (price - after) >> 64
    used = -(-liquidity * (target - price) >> 64)
    after = target if used <= calc else price + (calc << 64) // liquidity
    if after != target:
        used = -(-liquidity * (after - price) >> 64)
    return after, used, scaled * (after - price) // (price * after)


def step_exact_out(
    a_to_b: bool, wanted: int, price: int, target: int, liquidity: int
) -> tuple[int, int, int]:
    """One step that pays at most ``wanted``: (price after, input rounded up, output rounded down)."""
    scaled = liquidity << 64
    if a_to_b:
        out = liquidity * (price - target) >> 64
        after = target if out <= wanted else price - -(-(wanted << 64) // liquidity)
        if after != target:
            out = liquidity * (price - after) >> 64
        return after, -(-scaled * (price - after) // (price * after)), min(out, wanted)
    out = scaled * (target - price) // (price * target)
    if out <= wanted:
        after = target
    else:
        after = -(-scaled * price // (scaled - wanted * price))
        if after != target:
            out = scaled * (after - price) // (price * after)
    return after, -(-liquidity * (after - price) >> 64), min(out, wanted)
