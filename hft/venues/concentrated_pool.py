"""What pools of concentrated liquidity share: price, liquidity and fee as floats, for screen and sizing."""

from abc import abstractmethod
from collections.abc import Mapping
from struct import Struct
from typing import ClassVar

from hft.venues.concentrated import MILLION, Q64
from hft.venues.types import Account, ChainClock, Pool


class ConcentratedPool(Pool):
    """A pool with a Q64.64 root price, a tick, the liquidity there, and a fee in millionths of the input."""

    __slots__ = ("fee_rate", "liquidity", "sqrt_price", "tick", "tick_spacing")

    fee_rate: int
    liquidity: int
    sqrt_price: int
    tick: int
    tick_spacing: int
    _curve: ClassVar[tuple[Struct, int, int]]
    """Fields of the pool account, where they begin, and which of them is the root price."""

    @abstractmethod
    def fee_ppm(self, clock: ChainClock) -> int:
        """The fee rate in millionths; a changing one at the volatility the next swap begins with."""

    def spot_price(self, input_mint: bytes) -> float:
        """Output base units per input base unit before fees; for screening only."""
        price: float = (self.sqrt_price / Q64) ** 2
        return price if self.is_a(input_mint) else 1 / price

    def glance(self, accounts: Mapping[bytes, Account]) -> float | None:
        """By the root price in the pool account."""
        account, (layout, at, place) = accounts.get(self.key), self._curve
        if account is None or len(account.data) < at + layout.size:
            return None
        root = int.from_bytes(layout.unpack_from(account.data, at)[place], "little") / Q64
        return root * root

    def rates(self, clock: ChainClock | None) -> tuple[float, float]:
        """Marginal rates after fees; without a clock at the fixed part of the fee."""
        root = self.sqrt_price / Q64
        keep = 1 - (self.fee_rate if clock is None else self.fee_ppm(clock)) / MILLION
        return root * root * keep, keep / (root * root)

    def depths(self) -> tuple[float, float]:
        """Virtual reserves of the liquidity at the price."""
        root = self.sqrt_price / Q64
        return self.liquidity / root, self.liquidity * root


def marginal_at(a_to_b: bool, price: int, fee_rate: int) -> float:
    """Output per further unit of input at a root price, fee taken off; floats, for sizing only."""
    root = price / Q64
    rate = root * root
    keep: float = 1 - fee_rate / MILLION
    return rate * keep if a_to_b else keep / rate
