"""What a transaction costs the fee payer, in lamports.

Formulas: fee = 5000 x signatures + ceil(price x requested compute-unit limit / 1e6). Swap fees are
inside the exact quotes and are never subtracted again; an atomic transaction pays network fees once.
"""

from typing import NamedTuple

PPM = 1_000_000
BPS_MILLI = 10_000_000
"""One whole in thousandths of a basis point."""
LAMPORTS_PER_SIGNATURE = 5_000
MAXIMUM_COMPUTE_UNITS = 1_400_000
COMPUTE_UNIT_OVERHEAD = 1_200
"""Two compute-budget instructions and the tip transfer (150 each on mainnet), with room."""
COMPUTE_UNIT_MARGIN_PPM = 150_000

# Venue number -> (one swap, each further tick or bin crossing). From the compute units of the recorded
# swaps of each program (median and the slope of the larger ones), rounded up.
_SWAP_COMPUTE_UNITS = {
    1: (60_000, 26_000),  # whirlpool
    2: (25_000, 0),  # raydium_v4
    3: (36_000, 0),  # raydium_cpmm
    4: (75_000, 30_000),  # raydium_clmm
    5: (60_000, 15_000),  # meteora_dlmm
    6: (42_000, 0),  # meteora_damm_v2
}
_UNKNOWN_SWAP = (200_000, 30_000)


class NetworkCosts(NamedTuple):
    """Lamports; ``rent_lamports`` is rent that stays behind in new accounts."""

    base_fee_lamports: int
    priority_fee_lamports: int
    tip_lamports: int
    rent_lamports: int = 0

    @property
    def fees_lamports(self) -> int:
        """What a landed transaction pays even if it fails."""
        return self.base_fee_lamports + self.priority_fee_lamports

    @property
    def total_lamports(self) -> int:
        return self.base_fee_lamports + self.priority_fee_lamports + self.tip_lamports + self.rent_lamports


def compute_unit_limit(venue_1: int, crossings_1: int, venue_2: int, crossings_2: int) -> int:
    """Compute units to request for two swaps and a tip, capped at what a transaction may use."""
    base_1, step_1 = _SWAP_COMPUTE_UNITS.get(venue_1, _UNKNOWN_SWAP)
    base_2, step_2 = _SWAP_COMPUTE_UNITS.get(venue_2, _UNKNOWN_SWAP)
    units = base_1 + step_1 * crossings_1 + base_2 + step_2 * crossings_2 + COMPUTE_UNIT_OVERHEAD
    return min(units + units * COMPUTE_UNIT_MARGIN_PPM // PPM, MAXIMUM_COMPUTE_UNITS)


def base_fee(signatures: int = 1) -> int:
    """Lamports for the signatures of a transaction."""
    return LAMPORTS_PER_SIGNATURE * signatures


def priority_fee(unit_limit: int, price_micro_lamports: int) -> int:
    """Lamports for the *requested* compute units, rounded up as the runtime does."""
    return -(-unit_limit * price_micro_lamports // PPM)


def net_profit(gross_lamports: int, costs: NetworkCosts) -> int:
    """Profit in lamports after every cost; may be negative."""
    return gross_lamports - costs.total_lamports


def profit_bps_milli(profit_lamports: int, amount_in: int) -> int:
    """Profit in thousandths of a basis point of the input, rounded down (towards a loss)."""
    if amount_in <= 0:
        return 0
    return profit_lamports * BPS_MILLI // amount_in
