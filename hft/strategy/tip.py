"""The tip: a share of the expected profit, floored by what lands, capped by the operator."""

from typing import NamedTuple

from hft.strategy.costs import PPM

MINIMUM_TIP_LAMPORTS = 1_000
"""Least tip the block engine accepts."""


class TipPolicy(NamedTuple):
    """``floor_lamports`` is the higher of the setting and the landed-tip percentile, in lamports."""

    share_ppm: int
    floor_lamports: int
    cap_lamports: int


def price_tip(gross_profit_lamports: int, fees_lamports: int, policy: TipPolicy) -> int | None:
    """Tip in lamports, or None when there is none worth paying.

    The share is taken of the gross profit after network fees. The cap holds against the floor as well
    (a floor read in the wrong unit can't raise it). None when the cap is below the engine's minimum or
    when tip + fees >= gross profit: such a trade can't pay.
    """
    share = (gross_profit_lamports - fees_lamports) * policy.share_ppm // PPM
    tip = min(max(share, policy.floor_lamports, MINIMUM_TIP_LAMPORTS), policy.cap_lamports)
    if tip < MINIMUM_TIP_LAMPORTS or tip + fees_lamports >= gross_profit_lamports:
        return None
    return tip
