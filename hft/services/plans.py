"""The planner's settings in their units, and the messages it writes, field by field."""

from typing import TYPE_CHECKING, Any, NamedTuple

from hft.runtime.settings_strategies import effective
from hft.strategy import risk, tip, validation
from hft.strategy.pricing import Policy, Priced
from hft.strategy.validation import Rejection
from hft.venues import Quote
from hft.wire import TwoHopOpportunity
from hft.wire.enums import Method

if TYPE_CHECKING:
    from hft.runtime.settings import Config

LIQUIDITY_SHARE_PPM = 500_000
"""A leg may take at most half of its pool's output vault."""
SUSPICIOUS_BPS_MILLI = 500_000
"""A return of 5% is as good as it gets before it is more likely an error than a trade."""


class Stamps(NamedTuple):
    """Where and when a message is written: its sequence, the newest slot it rests on, received and
    published.
    """

    sequence: int
    slot: int
    received_ns: int
    published_ns: int


def policies(config: "Config") -> dict[int, Policy]:
    """Strategy's number → its policy."""
    return {
        config.strategy[name].number: policy(effective(config, name)) for name in config.strategies.enabled
    }


def policy(config: "Config") -> Policy:
    """The settings that pricing and validation need, in their units, under the chosen profile."""
    settings, scanner = config.planner, config.scanner
    limits = validation.Limits(
        minimum_profit_lamports=settings.minimum_profit_lamports,
        minimum_profit_bps_milli=settings.minimum_profit_bps_milli,
        minimum_confidence_ppm=settings.minimum_confidence_ppm,
        data_age_limit_ns=settings.data_age_limit_ms * 1_000_000,
        slot_age_limit=settings.slot_age_limit,
        opportunity_age_limit_ns=settings.opportunity_age_limit_ms * 1_000_000,
        minimum_amount=scanner.minimum_size_lamports,
        maximum_amount=min(scanner.maximum_size_lamports, config.risk.maximum_size_lamports),
        liquidity_share_ppm=LIQUIDITY_SHARE_PPM,
        maximum_slippage_ppm=settings.maximum_slippage_bps * 100,
        maximum_risk_score_ppm=settings.maximum_risk_score_ppm,
    )
    return Policy(
        validation.with_profile(limits, settings.profile),
        risk.RiskLimits(
            limits.opportunity_age_limit_ns,
            limits.maximum_slippage_ppm,
            limits.minimum_profit_lamports,
            SUSPICIOUS_BPS_MILLI,
        ),
        tip.TipPolicy(settings.tip_share_ppm, settings.tip_floor_lamports, settings.tip_cap_lamports),
        settings.compute_unit_price_micro_lamports,
    )


def minimum_out(found: TwoHopOpportunity, priced: Priced) -> int:
    """The least that is no loss after all costs: below it the chain reverts both swaps."""
    return found.amount_in + priced.candidate.costs.total_lamports


def plan_fields(
    found: TwoHopOpportunity,
    quote_1: Quote,
    quote_2: Quote,
    priced: Priced,
    stamps: Stamps,
    plan_head: bytes,
    expires_ns: int,
) -> tuple[Any, ...]:
    """The fields of an ExecutionPlan, in schema order. ``plan_head``: 8 bytes that name the run.

    Leg 2 takes exactly what leg 1 must at least pay.
    """
    spent = priced.candidate.costs
    return (
        found.trace_id,
        plan_head + stamps.sequence.to_bytes(8, "little"),
        stamps.sequence,
        stamps.slot,
        found.sequence,
        found.strategy,
        Method.LOCAL,
        found.venue_1,
        found.venue_2,
        priced.candidate.risk_score_ppm,
        priced.candidate.confidence_ppm,
        found.base_mint,
        found.quote_mint,
        found.pool_1,
        found.pool_2,
        found.amount_in,
        quote_1.amount_out,
        minimum_out(found, priced),
        quote_2.amount_out,
        quote_2.amount_out - found.amount_in - spent.total_lamports,
        spent.base_fee_lamports,
        spent.priority_fee_lamports,
        spent.tip_lamports,
        priced.compute_unit_limit,
        priced.compute_unit_price_micro_lamports,
        expires_ns,
        found.received_ns,
        found.feed_published_ns,
        found.scan_received_ns,
        found.scan_published_ns,
        stamps.received_ns,
        stamps.published_ns,
    )


def rejection_fields(found: TwoHopOpportunity, rejection: Rejection, stamps: Stamps) -> tuple[Any, ...]:
    """The fields of a PlanRejected, in schema order."""
    return (
        found.trace_id,
        stamps.sequence,
        stamps.slot,
        found.sequence,
        found.strategy,
        rejection.factor,
        rejection.reason,
        found.base_mint,
        found.quote_mint,
        found.pool_1,
        found.pool_2,
        found.amount_in,
        _signed(rejection.observed),
        _signed(rejection.limit),
        found.received_ns,
        found.feed_published_ns,
        found.scan_received_ns,
        found.scan_published_ns,
        stamps.received_ns,
        stamps.published_ns,
    )


def _signed(value: int) -> int:
    """``value`` within 64 bits: what lies beyond is as wrong as the largest."""
    return max(-(1 << 63), min(value, (1 << 63) - 1))
