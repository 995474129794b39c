"""What a re-quoted two-hop opportunity is worth: costs, tip, confidence, slippage and risk, as one
candidate.
"""

from typing import NamedTuple

from hft.strategy import costs, risk, tip
from hft.strategy.validation import Candidate, Limits
from hft.venues import ChainClock, Pool, Quote


class Leg(NamedTuple):
    """One leg on the newest state. ``vault_out`` is the paying vault's balance, None where it isn't known;
    ``data_age_ns`` the age of the pool's data."""

    pool: Pool
    input_mint: bytes
    quote: Quote
    vault_out: int | None
    data_age_ns: int


class Offer(NamedTuple):
    """The opportunity as the scanner made it. Ages as of now, in nanoseconds and slots."""

    amount_in: int
    amount_out: int
    age_ns: int
    age_slots: int


class Policy(NamedTuple):
    """Settings of the pricing."""

    limits: Limits
    risk_limits: risk.RiskLimits
    tips: tip.TipPolicy
    compute_unit_price_micro_lamports: int


class Wallet(NamedTuple):
    """Base units and lamports the wallet holds, None where not known."""

    base_token: int | None
    lamports: int | None


class Priced(NamedTuple):
    """The candidate for validation, the compute units it asks for, and what it offers for each."""

    candidate: Candidate
    compute_unit_limit: int
    compute_unit_price_micro_lamports: int


def price(
    offer: Offer,
    leg_1: Leg,
    leg_2: Leg,
    clock: ChainClock,
    wallet: Wallet,
    policy: Policy,
    unit_limit: int | None = None,
) -> Priced:
    """Everything validation wants to know of two quoted legs. ``unit_limit``: compute units to ask for, where
    they were measured; None: by the venues' tables.

    Where no tip is worth paying the least possible one is assumed, so that the profit factor refuses with
    true figures.
    """
    limits = policy.limits
    gross = leg_2.quote.amount_out - offer.amount_in
    if unit_limit is None:
        unit_limit = costs.compute_unit_limit(
            leg_1.pool.venue, leg_1.quote.crossings, leg_2.pool.venue, leg_2.quote.crossings
        )
    base, unit_price = costs.LAMPORTS_PER_SIGNATURE, policy.compute_unit_price_micro_lamports
    priority = costs.priority_fee(unit_limit, unit_price)
    tip_lamports = tip.price_tip(gross, base + priority, policy.tips)
    if tip_lamports is None:
        tip_lamports = max(policy.tips.floor_lamports, tip.MINIMUM_TIP_LAMPORTS)
    net = gross - base - priority - tip_lamports
    data_age_ns = max(leg_1.data_age_ns, leg_2.data_age_ns)
    sure_ppm = risk.confidence(data_age_ns, offer.age_slots, limits.data_age_limit_ns, limits.slot_age_limit)
    slippage_ppm = max(offer.amount_out - leg_2.quote.amount_out, 0) * costs.PPM // max(offer.amount_out, 1)
    impact_ppm = max(price_impact_ppm(leg_1, clock), price_impact_ppm(leg_2, clock))
    score = risk.risk_score(
        offer.age_ns,
        net,
        costs.profit_bps_milli(net, offer.amount_in),
        sure_ppm,
        max(slippage_ppm, impact_ppm),
        policy.risk_limits,
    )
    # By place: by name it takes longer, on the way of every trade.
    candidate = Candidate(
        offer.amount_in,
        gross,
        costs.NetworkCosts(base, priority, tip_lamports),
        sure_ppm,
        data_age_ns,
        offer.age_slots,
        offer.age_ns,
        max(taken_ppm(leg_1), taken_ppm(leg_2)),
        wallet.base_token,
        wallet.lamports,
        slippage_ppm,
        impact_ppm,
        score.score_ppm,
        False,
        False,
    )
    return Priced(candidate, unit_limit, unit_price)


def price_impact_ppm(leg: Leg, clock: ChainClock) -> int:
    """How much worse than the marginal price after fees a leg trades, in ppm, at least 0.

    A ratio of floats to be compared with a limit; no amount of money comes from it.
    """
    used = leg.quote.amount_in_used
    marginal = leg.pool.spot_price(leg.input_mint) * (1 - leg.pool.fee_ppm(clock) / costs.PPM)
    if used <= 0 or marginal <= 0:
        return costs.PPM
    return max(int((1 - leg.quote.amount_out / (used * marginal)) * costs.PPM), 0)


def taken_ppm(leg: Leg) -> int:
    """Share of the paying vault that a leg takes, in ppm; 0 where the balance isn't known."""
    if leg.vault_out is None:
        return 0
    return leg.quote.amount_out * costs.PPM // leg.vault_out if leg.vault_out > 0 else costs.PPM
