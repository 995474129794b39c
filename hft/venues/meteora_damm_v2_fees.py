"""Meteora DAMM v2's fees: schedulers over time or price, rate limiter, dynamic fee. Rates are in 1e-9.

Source: IDL ``cp_amm`` 0.2.0 (MeteoraAg/damm-v2-sdk), held to executions of the mainnet binary of 2026-04.
Offsets count from the start of the pool account.
"""

from enum import IntEnum
from functools import lru_cache, partial
from struct import Struct
from typing import NamedTuple

from solders.pubkey import Pubkey

from hft.venues.types import PoolError, PoolErrorCode

BILLION = 1_000_000_000
_Q = 1 << 64

_TIME = Struct("<QQ")  # period length, reduction
_STEPS = Struct("<IIQ")  # scheduler: step bps, expiration, reduction; limiter: duration, max bps, reference
_SETTINGS_AT = 24
_INITIALIZED_AT = 56
# max volatility, control, bin step, filter, decay, reduction, last update, bin step Q64, reference price,
# accumulator, reference
_DYNAMIC = Struct("<IIHHHHQ16s16s16s16s")
_DYNAMIC_AT = 64
_INITIAL_PRICE_AT = 152


class Mode(IntEnum):
    """How the base fee changes."""

    TIME_LINEAR = 0
    TIME_EXPONENTIAL = 1
    RATE_LIMITER = 2
    MARKET_LINEAR = 3
    MARKET_EXPONENTIAL = 4


class BaseFee(NamedTuple):
    """Base fee of a pool.

    ``steps`` is the number of periods (the limiter's increment in bp). ``first``, ``second``,
    ``third`` by mode: time
    schedulers period length, 0, reduction; market schedulers step in bp, expiration, reduction;
    limiter duration,
    highest fee in bp, reference amount.
    """

    mode: Mode
    cliff: int
    steps: int
    first: int
    second: int
    third: int
    initial_price: int

    @staticmethod
    def read(pool: bytes, data: bytes) -> "BaseFee":
        """From a pool account. Raises PoolError for settings that are not known or make no sense."""
        return _base_fee(pool, data[:_INITIALIZED_AT], data[_INITIAL_PRICE_AT : _INITIAL_PRICE_AT + 16])

    def rate(self, point: int, activation: int, price: int, a_to_b: bool, amount: int) -> int:
        """The base rate at ``point`` (slot or time) for a swap of ``amount`` at root price ``price``."""
        mode = self.mode
        if mode is Mode.RATE_LIMITER:
            if a_to_b or point > activation + self.first or amount <= self.third:
                return self.cliff
            return self._limited(amount)
        if mode in (Mode.TIME_LINEAR, Mode.TIME_EXPONENTIAL):
            if not self.first:
                return self.cliff
            passed = max(0, min((point - activation) // self.first, self.steps))
        else:
            passed = self._market_steps(point, activation, price)
        return self._reduced(passed)

    @property
    def moves(self) -> bool:
        """Whether time or price change the rate of a small swap."""
        return self.mode is not Mode.RATE_LIMITER and bool(self.first and self.steps)

    def lowest(self) -> int:
        """The lowest rate there can be; nothing is said of a schedule that takes off more than there is."""
        if not self.moves:
            return self.cliff
        linear = self.mode in (Mode.TIME_LINEAR, Mode.MARKET_LINEAR)
        return self._reduced(self.steps) if linear or self.third <= 10_000 else 0

    def _reduced(self, passed: int) -> int:
        """The scheduler's rate after so many of its steps."""
        if self.mode in (Mode.TIME_LINEAR, Mode.MARKET_LINEAR):
            return max(0, self.cliff - self.third * passed)
        return self.cliff * _power(_Q - (self.third << 64) // 10_000, passed) >> 64

    def _market_steps(self, point: int, activation: int, price: int) -> int:
        if point > activation + self.second:
            return self.steps
        if price <= self.initial_price:
            return 0
        return min((price - self.initial_price) * 10_000 // self.initial_price // self.first, self.steps)

    def _limited(self, amount: int) -> int:
        """Fee rate that grows by an increment for each further reference amount."""
        cliff, reference = self.cliff, self.third
        increment, highest = self.steps * 100_000, self.second * 100_000
        a, b = divmod(amount - reference, reference)
        m = (highest - cliff) // increment
        if a < m:
            total = reference * (cliff + cliff * a + increment * a * (a + 1) // 2)
            total += b * (cliff + increment * (a + 1))
        else:
            total = reference * (cliff + cliff * m + increment * m * (m + 1) // 2)
            total += ((a - m) * reference + b) * highest
        return -(-(-(-total // BILLION) * BILLION) // amount)


@lru_cache(maxsize=1024)
def _base_fee(pool: bytes, data: bytes, price: bytes) -> BaseFee:
    """See ``BaseFee.read``: of the head of the account and the root price that it began with."""
    if data[16] > Mode.MARKET_EXPONENTIAL:
        raise PoolError(
            PoolErrorCode.UNSUPPORTED,
            f"pool {Pubkey(pool)} has base-fee mode {data[16]}, known are 0 to 4",
        )
    mode = Mode(data[16])
    cliff, steps = int.from_bytes(data[8:16], "little"), int.from_bytes(data[22:24], "little")
    if mode in (Mode.TIME_LINEAR, Mode.TIME_EXPONENTIAL):
        first, third = _TIME.unpack_from(data, _SETTINGS_AT)
        second = 0
    else:
        first, second, third = _STEPS.unpack_from(data, _SETTINGS_AT)
    initial_price = int.from_bytes(price, "little")
    broken = mode in (Mode.MARKET_LINEAR, Mode.MARKET_EXPONENTIAL) and not (first and initial_price)
    if broken or (mode is Mode.RATE_LIMITER and not (third and steps)):
        raise PoolError(
            PoolErrorCode.BAD_VALUE,
            f"pool {Pubkey(pool)}: base fee {mode.name.lower()} with settings "
            f"{steps}, {first}, {second}, {third}",
        )
    return BaseFee(mode, cliff, steps, first, second, third, initial_price)


def _power(base: int, exponent: int) -> int:
    """``base`` (Q64) to a power by square-and-multiply with the program's floors."""
    result = _Q
    while exponent:
        if exponent & 1:
            result = result * base >> 64
        base = base * base >> 64
        exponent >>= 1
    return result


class DynamicFee(NamedTuple):
    """Dynamic fee and its volatility state; periods and time in seconds, ``reduction`` in 1/10000."""

    max_volatility: int
    control: int
    bin_step: int
    filter_period: int
    decay_period: int
    reduction: int
    last_update: int
    bin_step_q64: int
    price_reference: int
    volatility: int
    volatility_reference: int

    @staticmethod
    def read(pool: bytes, data: bytes) -> "DynamicFee | None":
        """From a pool account; None if the pool has no dynamic fee. Raises PoolError."""
        if not data[_INITIALIZED_AT]:
            return None
        *small, step, price, volatility, reference = _DYNAMIC.unpack_from(data, _DYNAMIC_AT)
        if not any(step):
            raise PoolError(PoolErrorCode.BAD_VALUE, f"pool {Pubkey(pool)} has a dynamic fee of bin step 0")
        number = int.from_bytes
        wide = (number(step, "little"), number(price, "little"))
        moving = (number(volatility, "little"), number(reference, "little"))
        return _dynamic_fee((*small, *wide, *moving))

    def write(self, data: bytearray) -> None:
        """Into a pool account's data."""
        wide = (value.to_bytes(16, "little") for value in self[7:])
        _DYNAMIC.pack_into(data, _DYNAMIC_AT, *self[:7], *wide)

    def rate(self) -> int:
        """The rate added to the base fee, from the volatility the previous swap stored."""
        crossed = self.volatility * self.bin_step
        return -(-crossed * crossed * self.control // 10**11)

    def after(self, before: int, after: int, now: int) -> "DynamicFee":
        """The state after a swap that moved the root price from ``before`` to ``after`` at ``now``."""
        elapsed = max(0, now - self.last_update)
        price, reference = self.price_reference, self.volatility_reference
        if elapsed >= self.filter_period:
            price = before
            reference = self.volatility * self.reduction // 10_000 if elapsed < self.decay_period else 0
        volatility = min(reference + self._bins(after, price) * 10_000, self.max_volatility)
        updated = now if self._bins(before, after) > 0 else self.last_update
        return self._replace(
            last_update=updated, price_reference=price, volatility=volatility, volatility_reference=reference
        )

    def _bins(self, one: int, other: int) -> int:
        """Bins between two root prices."""
        low, high = min(one, other), max(one, other)
        if low == 0:
            return 0
        return 2 * (((high << 64) // low - _Q) // self.bin_step_q64)


_dynamic_fee = partial(tuple.__new__, DynamicFee)  # half the time of DynamicFee(...)
