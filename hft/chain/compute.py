"""The compute budget: how many units to ask for, and what that costs."""

from typing import Final

MAX_COMPUTE_UNITS: Final = 1_400_000
LAMPORTS_PER_SIGNATURE: Final = 5000
MARGIN_PPM: Final = 150_000
"""Units differ from run to run: another bump seed of a derived address, a tick more on the way."""
MINIMUM_MARGIN_UNITS: Final = 5_000


def compute_unit_limit(
    simulated_units: int, *, margin_ppm: int = MARGIN_PPM, minimum_margin_units: int = MINIMUM_MARGIN_UNITS
) -> int:
    """The limit to ask for when a simulation consumed ``simulated_units``: plus ``margin_ppm`` rounded up, at
    least ``minimum_margin_units`` more, at most the 1.4 million there are.

    The limit asked for is what the priority fee pays, so no more than the margin is given away.
    ``ValueError`` if the simulation's figure is none (1..1.4 million) or a margin is negative.
    """
    if not 0 < simulated_units <= MAX_COMPUTE_UNITS:
        raise ValueError(f"simulation consumed {simulated_units} units: 1 to {MAX_COMPUTE_UNITS} is possible")
    if margin_ppm < 0 or minimum_margin_units < 0:
        raise ValueError(f"margin {margin_ppm} ppm, {minimum_margin_units} units: 0 or more belongs there")
    margin = max(-(-simulated_units * margin_ppm // 1_000_000), minimum_margin_units)
    return min(simulated_units + margin, MAX_COMPUTE_UNITS)


def base_fee_lamports(signatures: int = 1) -> int:
    """Fee for the signatures of a transaction."""
    return LAMPORTS_PER_SIGNATURE * signatures


def priority_fee_lamports(compute_unit_limit: int, price_micro_lamports: int) -> int:
    """ceil(price × *requested* limit / 10^6): the limit asked for is paid, not the units used."""
    return -(-price_micro_lamports * compute_unit_limit // 1_000_000)
