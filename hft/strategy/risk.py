"""The four-factor risk score: 0.3 age + 0.3 profit + 0.2 (1 - confidence) + 0.2 slippage.

Every term is clamped to [0, 1] and normalised by its own limit; all of it in integer parts per million,
so the same figures give the same score on every machine.
"""

from typing import NamedTuple

from hft.strategy.costs import PPM

AGE_WEIGHT_PPM = 300_000
PROFIT_WEIGHT_PPM = 300_000
CONFIDENCE_WEIGHT_PPM = 200_000
SLIPPAGE_WEIGHT_PPM = 200_000


class RiskLimits(NamedTuple):
    """What each term is measured against.

    ``age_limit_ns`` and ``slippage_limit_ppm`` give a term of one. ``minimum_profit_lamports`` is the profit
    that leaves no cushion; ``suspicious_bps_milli`` the return that is too good to be true.
    """

    age_limit_ns: int
    slippage_limit_ppm: int
    minimum_profit_lamports: int
    suspicious_bps_milli: int


class RiskScore(NamedTuple):
    """The score and its four terms, each in [0, 1_000_000]."""

    score_ppm: int
    age_ppm: int
    profit_ppm: int
    doubt_ppm: int
    slippage_ppm: int


def _share(value: int, limit: int) -> int:
    """value / limit in ppm, clamped to [0, 1]; a limit of zero or less counts any value as the whole."""
    if value <= 0:
        return 0
    if limit <= 0 or value >= limit:
        return PPM
    return value * PPM // limit


def profit_term(profit_lamports: int, profit_bps_milli: int, limits: RiskLimits) -> int:
    """High for a thin profit (minimum / profit) and for one too good to be true (return / suspicious)."""
    if profit_lamports <= 0:
        return PPM
    thin = _share(limits.minimum_profit_lamports, profit_lamports)
    return max(thin, _share(profit_bps_milli, limits.suspicious_bps_milli))


def risk_score(
    age_ns: int,
    profit_lamports: int,
    profit_bps_milli: int,
    confidence_ppm: int,
    slippage_ppm: int,
    limits: RiskLimits,
) -> RiskScore:
    """Score in parts per million; 0 is no risk, 1_000_000 the most. Inputs out of range are clamped."""
    age = _share(age_ns, limits.age_limit_ns)
    profit = profit_term(profit_lamports, profit_bps_milli, limits)
    doubt = PPM - min(max(confidence_ppm, 0), PPM)
    slippage = _share(slippage_ppm, limits.slippage_limit_ppm)
    weighted = (
        AGE_WEIGHT_PPM * age
        + PROFIT_WEIGHT_PPM * profit
        + CONFIDENCE_WEIGHT_PPM * doubt
        + SLIPPAGE_WEIGHT_PPM * slippage
    )
    return RiskScore(weighted // PPM, age, profit, doubt, slippage)


def confidence(data_age_ns: int, data_age_slots: int, age_limit_ns: int, slot_limit: int) -> int:
    """Confidence in ppm from the age of the data: falls linearly to zero at the nearer of both limits."""
    return PPM - max(_share(data_age_ns, age_limit_ns), _share(data_age_slots, slot_limit))
