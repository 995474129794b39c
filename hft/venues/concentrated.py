"""Mathematics common to concentrated-liquidity venues: root prices of ticks and their inverse, all integers.

Root prices are Q64.64 (``√(B per A)·2^64``). Sources: orca-so/whirlpools and raydium-io/raydium-clmm,
both held to executions of the mainnet binaries.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
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


def too_many_steps() -> QuoteError:
    """A swap that no transaction's compute limit would carry."""
    return QuoteError(QuoteErrorCode.TOO_MANY_STEPS, f"the swap takes more than {MAX_STEPS} steps")


class Nets:
    """Net liquidity of a pool's initialised ticks, each read from the bytes when a swap first crosses it.

    ``values`` go with ``ticks``, None where not read yet; ``data`` are the tick arrays' bytes by
    their first tick, ``read(data, position)`` finds a tick's figure in them. ``ends`` is for the venue to
    keep how far a swap may go over these ticks, by direction and where it starts.
    """

    __slots__ = ("_data", "_read", "_spacing", "_span", "ends", "ticks", "values")

    def __init__(
        self,
        ticks: Sequence[int],
        values: list[int | None],
        data: Mapping[int, bytes],
        spacing: int,
        array_ticks: int,
        read: Callable[[bytes, int], int],
    ) -> None:
        self.ticks, self.values = ticks, values
        self.ends: dict[tuple[bool, Hashable], tuple[int, int | None]] = {}
        self._data, self._spacing, self._span, self._read = data, spacing, spacing * array_ticks, read

    def at(self, index: int) -> int:
        """Net liquidity of the tick at ``index``."""
        net = self.values[index]
        if net is None:
            tick = self.ticks[index]
            start = tick // self._span * self._span
            net = self.values[index] = self._read(self._data[start], (tick - start) // self._spacing)
        return net


class Path(NamedTuple):
    """What a swap in one direction walks over: initialised ticks in rising order with their net liquidity.

    No tick beyond ``bound`` is used, no price beyond ``limit`` is reached.
    """

    ticks: Sequence[int]
    nets: Nets
    bound: int
    limit: int
    sqrt_price: Callable[[int], int]

    def cross(self, index: int, liquidity: int, falling: bool) -> int:
        """Liquidity beyond the tick at ``index``. Raises QuoteError if it would be negative."""
        net = self.nets.at(index)
        liquidity += -net if falling else net
        if liquidity < 0:
            # The ticks don't fit the pool's liquidity: the program's arithmetic fails there.
            raise QuoteError(
                QuoteErrorCode.OVERFLOW, f"liquidity would be {liquidity} beyond tick {self.ticks[index]}"
            )
        return liquidity


def check_end(amount: int, remaining: int, other: int, exact_in: bool) -> tuple[int, int]:
    """(input used, output) of a swap that left ``remaining`` of ``amount`` and made ``other`` of
    the other side.

    Raises QuoteError where the program's 64-bit arithmetic would fail.
    """
    if remaining < 0 or other > U64_MAX:
        raise QuoteError(
            QuoteErrorCode.OVERFLOW, f"amount {amount} leaves {remaining}, the other side is {other}"
        )
    return (amount - remaining, other) if exact_in else (other, amount - remaining)


def step_exact_in(
    a_to_b: bool, amount: int, price: int, target: int, liquidity: int, fee_rate: int
) -> tuple[int, int, int, int]:
    """One step towards ``target``: (price after, input rounded up, output rounded down, fee on the input)."""
    keep = MILLION - fee_rate
    calc = amount * keep // MILLION
    scaled = liquidity << 64
    if a_to_b:
        used = -(-scaled * (price - target) // (price * target))
        if used <= calc:
            after = target
        else:
            after = -(-scaled * price // (scaled + calc * price))
            if after != target:
                used = -(-scaled * (price - after) // (price * after))
        out = liquidity * (price - after) >> 64
    else:
        used = -(-liquidity * (target - price) >> 64)
        if used <= calc:
            after = target
        else:
            after = price + (calc << 64) // liquidity
            if after != target:
                used = -(-liquidity * (after - price) >> 64)
        out = scaled * (after - price) // (price * after)
    return after, used, out, (-(-used * fee_rate // keep) if after == target else amount - used)


def step_net_in(a_to_b: bool, calc: int, price: int, target: int, liquidity: int) -> tuple[int, int, int]:
    """One step with ``calc`` of input after fees: (price after, input rounded up, output rounded down)."""
    return step_exact_in(a_to_b, calc, price, target, liquidity, 0)[:3]


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
