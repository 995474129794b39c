"""Compute units that a venue's swap takes on chain, for the transaction's limit.

The token transfers that stand in for a swap take a few hundred units; the real programs take tens of
thousands, and a transaction whose limit is too low fails. So each swap is charged what the mainnet binary was
measured to take (one step, and each further one), and the limit is held to that.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from hft.chain.svm_envelope import Call
from hft.venues import Venue
from hft.venues.spl import key


class SwapUnits(NamedTuple):
    """Units of a swap within one step, and of every initialised tick or bin crossed."""

    base: int
    crossing: int


SWAP_UNITS: Final[dict[Venue, SwapUnits]] = {
    Venue.WHIRLPOOL: SwapUnits(44_000, 7_600),
    Venue.RAYDIUM_V4: SwapUnits(21_000, 0),
    Venue.RAYDIUM_CPMM: SwapUnits(33_000, 0),
    Venue.RAYDIUM_CLMM: SwapUnits(61_000, 17_000),
    Venue.METEORA_DLMM: SwapUnits(40_000, 6_200),
    Venue.METEORA_DAMM_V2: SwapUnits(38_000, 0),
}
DEFAULT_UNITS: Final = 200_000
BUILTIN_UNITS: Final = 3_000
MAX_UNITS: Final = 1_400_000
COMPUTE_BUDGET_PROGRAM: Final = key("ComputeBudget111111111111111111111111111111")
_BUILTINS: Final = frozenset((COMPUTE_BUDGET_PROGRAM, bytes(32)))
_SET_LIMIT: Final = 2
_SET_PRICE: Final = 3


class Budget:
    """The compute-unit limit of one transaction and what its swaps took so far."""

    def __init__(self, limit: int) -> None:
        """``limit``: units for the whole transaction."""
        self.limit = limit
        self.used = 0

    def charge(self, venue: Venue, crossings: int) -> bool:
        """Takes a swap's units off; ``False`` if the limit does not cover them (then it is used up)."""
        units = SWAP_UNITS[venue]
        self.used += units.base + units.crossing * crossings
        if self.used <= self.limit:
            return True
        self.used = self.limit
        return False


def set_limit(calls: Sequence[Call]) -> int | None:
    """The limit that a compute-budget instruction sets, ``None`` if there is none."""
    data = _budget_data(calls, _SET_LIMIT, 5)
    return None if data is None else min(int.from_bytes(data[1:], "little"), MAX_UNITS)


def requested_limit(calls: Sequence[Call]) -> int:
    """The limit set, else 200,000 units for each instruction that is not a builtin's, and 3,000 for those."""
    limit = set_limit(calls)
    if limit is not None:
        return limit
    return min(
        sum(BUILTIN_UNITS if call.program in _BUILTINS else DEFAULT_UNITS for call in calls), MAX_UNITS
    )


def requested_price(calls: Sequence[Call]) -> int:
    """The compute-unit price set, in micro-lamports; 0 if none is."""
    data = _budget_data(calls, _SET_PRICE, 9)
    return 0 if data is None else int.from_bytes(data[1:], "little")


def _budget_data(calls: Sequence[Call], tag: int, size: int) -> bytes | None:
    for call in calls:
        if call.program == COMPUTE_BUDGET_PROGRAM and len(call.data) == size and call.data[0] == tag:
            return call.data
    return None
