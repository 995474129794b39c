"""Six-factor validation of an opportunity: profit, confidence, age, amount, slippage, risk.

Every rejection has its own code with the value observed and the limit it broke. Minimums pass at exactly
their value; "less than" limits (data age, opportunity age, slippage) refuse at exactly theirs, as the
rules say "<5 s", "<2 s", "<1%"; maximum amount and risk cut-off pass at exactly theirs.
"""

from typing import NamedTuple

from hft.strategy.costs import NetworkCosts, profit_bps_milli
from hft.wire.enums import RejectReason, ValidationFactor


class Limits(NamedTuple):
    """Thresholds. Profit is net of all costs; ``*_bps_milli`` are thousandths of a basis point of the input.

    ``liquidity_share_ppm`` bounds what a leg may take of its pool's output vault.
    """

    minimum_profit_lamports: int
    minimum_profit_bps_milli: int
    minimum_confidence_ppm: int
    data_age_limit_ns: int
    slot_age_limit: int
    opportunity_age_limit_ns: int
    minimum_amount: int
    maximum_amount: int
    liquidity_share_ppm: int
    maximum_slippage_ppm: int
    maximum_risk_score_ppm: int


class Candidate(NamedTuple):
    """One opportunity, re-quoted. Lamports and base units, ages in nanoseconds and slots.

    ``slippage_ppm``: how far the newest quote fell short of the opportunity's; ``price_impact_ppm``: the
    larger of the two legs' own effect on price. ``liquidity_taken_ppm``: the larger share taken of an
    output vault. ``wallet_base`` and ``wallet_lamports`` are None where the planner does not know them: the
    executor's gate, which does, judges them again.
    """

    amount_in: int
    gross_profit_lamports: int
    costs: NetworkCosts
    confidence_ppm: int
    data_age_ns: int
    data_age_slots: int
    opportunity_age_ns: int
    liquidity_taken_ppm: int
    wallet_base: int | None
    wallet_lamports: int | None
    slippage_ppm: int
    price_impact_ppm: int
    risk_score_ppm: int
    pool_disabled: bool
    pool_blacklisted: bool


class Rejection(NamedTuple):
    """``observed`` and ``limit`` are in the unit of the reason: lamports, ppm, thousandths of a bp, ns,
    slots.
    """

    factor: ValidationFactor
    reason: RejectReason
    observed: int
    limit: int


CONSERVATIVE_PROFIT_BPS_MILLI = 30_000
"""0.3% net: the seed's own planner gate. Real two-hop trades earned 0.03 to 1.6 bps gross, so it refuses
them.
"""
CONSERVATIVE_GROSS_BPS_MILLI = 50_000
"""0.5% gross: the seed's own scanner gate."""
PROFILES = ("default", "conservative")


def with_profile(limits: Limits, profile: str) -> Limits:
    """The limits under a named profile. ``ValueError`` for a name that isn't one of ``PROFILES``."""
    if profile == "default":
        return limits
    if profile == "conservative":
        bps = max(limits.minimum_profit_bps_milli, CONSERVATIVE_PROFIT_BPS_MILLI)
        return limits._replace(minimum_profit_bps_milli=bps)
    raise ValueError(f"profile {profile!r} is not one of {', '.join(PROFILES)}")


def validate(candidate: Candidate, limits: Limits) -> Rejection | None:
    """The first factor that refuses, in the order of the rules; None when all six pass."""
    return (
        _is_worth_it(candidate, limits)
        or check_age(candidate.opportunity_age_ns, limits)
        or _fits(candidate, limits)
    )


def check_age(opportunity_age_ns: int, limits: Limits) -> Rejection | None:
    """The age factor alone: cheap enough to be asked before anything is quoted."""
    if opportunity_age_ns >= limits.opportunity_age_limit_ns:
        reason = RejectReason.TOO_OLD
        return Rejection(ValidationFactor.AGE, reason, opportunity_age_ns, limits.opportunity_age_limit_ns)
    return None


def _is_worth_it(candidate: Candidate, limits: Limits) -> Rejection | None:
    """Profit and confidence."""
    gross, total = candidate.gross_profit_lamports, candidate.costs.total_lamports
    net = gross - total
    factor = ValidationFactor.PROFIT
    if gross <= 0:
        return Rejection(factor, RejectReason.NOT_PROFITABLE, gross, 0)
    if total >= gross:
        return Rejection(factor, RejectReason.COSTS_EXCEED_PROFIT, total, gross)
    if net < limits.minimum_profit_lamports:
        return Rejection(factor, RejectReason.BELOW_MINIMUM_PROFIT, net, limits.minimum_profit_lamports)
    bps = profit_bps_milli(net, candidate.amount_in)
    if bps < limits.minimum_profit_bps_milli:
        return Rejection(factor, RejectReason.BELOW_MINIMUM_BPS, bps, limits.minimum_profit_bps_milli)
    factor = ValidationFactor.CONFIDENCE
    if candidate.data_age_ns >= limits.data_age_limit_ns:
        return Rejection(factor, RejectReason.STALE_DATA, candidate.data_age_ns, limits.data_age_limit_ns)
    if candidate.data_age_slots > limits.slot_age_limit:
        return Rejection(factor, RejectReason.STALE_SLOTS, candidate.data_age_slots, limits.slot_age_limit)
    if candidate.confidence_ppm < limits.minimum_confidence_ppm:
        reason = RejectReason.LOW_CONFIDENCE
        return Rejection(factor, reason, candidate.confidence_ppm, limits.minimum_confidence_ppm)
    return None


def _fits(candidate: Candidate, limits: Limits) -> Rejection | None:
    """Amount, slippage and risk."""
    factor, amount, needed = ValidationFactor.AMOUNT, candidate.amount_in, candidate.costs.total_lamports
    taken, base, lamports = candidate.liquidity_taken_ppm, candidate.wallet_base, candidate.wallet_lamports
    if amount < limits.minimum_amount:
        return Rejection(factor, RejectReason.BELOW_MINIMUM_AMOUNT, amount, limits.minimum_amount)
    if amount > limits.maximum_amount:
        return Rejection(factor, RejectReason.ABOVE_MAXIMUM_AMOUNT, amount, limits.maximum_amount)
    if taken > limits.liquidity_share_ppm:
        return Rejection(factor, RejectReason.INSUFFICIENT_LIQUIDITY, taken, limits.liquidity_share_ppm)
    if base is not None and base < amount:
        return Rejection(factor, RejectReason.WALLET_BALANCE, base, amount)
    if lamports is not None and lamports < needed:
        return Rejection(factor, RejectReason.WALLET_BALANCE, lamports, needed)
    factor, limit = ValidationFactor.SLIPPAGE, limits.maximum_slippage_ppm
    if candidate.slippage_ppm >= limit:
        return Rejection(factor, RejectReason.SLIPPAGE, candidate.slippage_ppm, limit)
    if candidate.price_impact_ppm >= limit:
        return Rejection(factor, RejectReason.PRICE_IMPACT, candidate.price_impact_ppm, limit)
    factor = ValidationFactor.RISK
    if candidate.pool_disabled:
        return Rejection(factor, RejectReason.POOL_DISABLED, 1, 0)
    if candidate.pool_blacklisted:
        return Rejection(factor, RejectReason.POOL_BLACKLISTED, 1, 0)
    if candidate.risk_score_ppm > limits.maximum_risk_score_ppm:
        reason = RejectReason.RISK_SCORE
        return Rejection(factor, reason, candidate.risk_score_ppm, limits.maximum_risk_score_ppm)
    return None
