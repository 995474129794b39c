"""Six-factor validation: each limit exactly at, one below, one above."""

import pytest

from hft.strategy.costs import NetworkCosts
from hft.strategy.validation import Candidate, Limits, Rejection, check_age, validate, with_profile
from hft.wire.enums import RejectReason, ValidationFactor

LIMITS = Limits(
    minimum_profit_lamports=10_000,
    minimum_profit_bps_milli=100,
    minimum_confidence_ppm=500_000,
    data_age_limit_ns=5_000_000_000,
    slot_age_limit=25,
    opportunity_age_limit_ns=2_000_000_000,
    minimum_amount=10_000_000,
    maximum_amount=100_000_000_000,
    liquidity_share_ppm=500_000,
    maximum_slippage_ppm=10_000,
    maximum_risk_score_ppm=700_000,
)
COSTS = NetworkCosts(5_000, 120, 4_880)
GOOD = Candidate(
    amount_in=1_000_000_000,
    gross_profit_lamports=100_000,
    costs=COSTS,
    confidence_ppm=900_000,
    data_age_ns=1_000_000,
    data_age_slots=1,
    opportunity_age_ns=1_000_000,
    liquidity_taken_ppm=1_000,
    wallet_base=20_000_000_000,
    wallet_lamports=1_000_000_000,
    slippage_ppm=0,
    price_impact_ppm=500,
    risk_score_ppm=200_000,
    pool_disabled=False,
    pool_blacklisted=False,
)


def test_a_good_candidate_passes() -> None:
    assert validate(GOOD, LIMITS) is None


R, F = RejectReason, ValidationFactor
CASES = [
    # field, value that passes, value that is refused, factor, reason, observed, limit
    ("gross_profit_lamports", 20_000, 19_999, F.PROFIT, R.BELOW_MINIMUM_PROFIT, 9_999, 10_000),
    ("amount_in", 900_000_000, 900_000_001, F.PROFIT, R.BELOW_MINIMUM_BPS, 999, 1_000),
    ("data_age_ns", 4_999_999_999, 5_000_000_000, F.CONFIDENCE, R.STALE_DATA, 5_000_000_000, 5_000_000_000),
    ("data_age_slots", 25, 26, F.CONFIDENCE, R.STALE_SLOTS, 26, 25),
    ("confidence_ppm", 500_000, 499_999, F.CONFIDENCE, R.LOW_CONFIDENCE, 499_999, 500_000),
    ("opportunity_age_ns", 1_999_999_999, 2_000_000_000, F.AGE, R.TOO_OLD, 2_000_000_000, 2_000_000_000),
    ("amount_in", 10_000_000, 9_999_999, F.AMOUNT, R.BELOW_MINIMUM_AMOUNT, 9_999_999, 10_000_000),
    (
        "amount_in",
        100_000_000_000,
        100_000_000_001,
        F.AMOUNT,
        R.ABOVE_MAXIMUM_AMOUNT,
        100_000_000_001,
        100_000_000_000,
    ),
    ("liquidity_taken_ppm", 500_000, 500_001, F.AMOUNT, R.INSUFFICIENT_LIQUIDITY, 500_001, 500_000),
    ("wallet_base", 1_000_000_000, 999_999_999, F.AMOUNT, R.WALLET_BALANCE, 999_999_999, 1_000_000_000),
    ("wallet_lamports", 10_000, 9_999, F.AMOUNT, R.WALLET_BALANCE, 9_999, 10_000),
    ("slippage_ppm", 9_999, 10_000, F.SLIPPAGE, R.SLIPPAGE, 10_000, 10_000),
    ("price_impact_ppm", 9_999, 10_000, F.SLIPPAGE, R.PRICE_IMPACT, 10_000, 10_000),
    ("risk_score_ppm", 700_000, 700_001, F.RISK, R.RISK_SCORE, 700_001, 700_000),
    ("pool_disabled", False, True, F.RISK, R.POOL_DISABLED, 1, 0),
    ("pool_blacklisted", False, True, F.RISK, R.POOL_BLACKLISTED, 1, 0),
]


@pytest.mark.parametrize(("field", "passes", "refused", "factor", "reason", "observed", "limit"), CASES)
def test_row_25_each_limit_at_and_beyond(
    field: str, passes: int, refused: int, factor: F, reason: R, observed: int, limit: int
) -> None:
    limits = LIMITS
    base = GOOD
    if reason == R.BELOW_MINIMUM_BPS:
        limits = LIMITS._replace(minimum_profit_bps_milli=1_000)
    elif reason in (R.ABOVE_MAXIMUM_AMOUNT, R.BELOW_MINIMUM_AMOUNT):
        limits = LIMITS._replace(minimum_profit_bps_milli=0)
        base = GOOD._replace(wallet_base=None)
    assert validate(base._replace(**{field: passes}), limits) is None
    assert validate(base._replace(**{field: refused}), limits) == Rejection(factor, reason, observed, limit)


@pytest.mark.parametrize(
    ("gross", "reason", "observed", "limit"),
    [
        (0, R.NOT_PROFITABLE, 0, 0),
        (-7, R.NOT_PROFITABLE, -7, 0),
        (10_000, R.COSTS_EXCEED_PROFIT, 10_000, 10_000),
        (9_999, R.COSTS_EXCEED_PROFIT, 10_000, 9_999),
        (10_001, R.BELOW_MINIMUM_PROFIT, 1, 10_000),
    ],
)
def test_profit_is_net_of_all_costs(gross: int, reason: R, observed: int, limit: int) -> None:
    assert validate(GOOD._replace(gross_profit_lamports=gross), LIMITS) == (F.PROFIT, reason, observed, limit)


def test_factors_are_asked_in_order() -> None:
    bad = GOOD._replace(
        gross_profit_lamports=0,
        data_age_ns=10**12,
        opportunity_age_ns=10**12,
        amount_in=1,
        slippage_ppm=10**6,
        risk_score_ppm=10**6,
    )
    found = []
    for field, good in (
        ("gross_profit_lamports", 100_000),
        ("data_age_ns", 0),
        ("opportunity_age_ns", 0),
        ("amount_in", 1_000_000_000),
        ("slippage_ppm", 0),
        ("risk_score_ppm", 0),
    ):
        rejection = validate(bad, LIMITS)
        assert rejection is not None
        found.append(rejection.factor)
        bad = bad._replace(**{field: good})
    assert found == [F.PROFIT, F.CONFIDENCE, F.AGE, F.AMOUNT, F.SLIPPAGE, F.RISK]
    assert validate(bad, LIMITS) is None


def test_an_unknown_wallet_is_left_to_the_gate() -> None:
    assert validate(GOOD._replace(wallet_base=None, wallet_lamports=None), LIMITS) is None


def test_the_age_factor_alone() -> None:
    assert check_age(1_999_999_999, LIMITS) is None
    assert check_age(2_000_000_000, LIMITS) == (F.AGE, R.TOO_OLD, 2_000_000_000, 2_000_000_000)


def test_the_conservative_profile_refuses_real_two_hop_trades() -> None:
    real = GOOD._replace(
        gross_profit_lamports=370_000 + COSTS.total_lamports, amount_in=2_300_000_000
    )  # 1.6 bps
    assert validate(real, with_profile(LIMITS, "default")) is None
    rejection = validate(real, with_profile(LIMITS, "conservative"))
    assert rejection is not None
    assert (rejection.reason, rejection.limit) == (R.BELOW_MINIMUM_BPS, 30_000)
    stricter = LIMITS._replace(minimum_profit_bps_milli=40_000)
    assert with_profile(stricter, "conservative").minimum_profit_bps_milli == 40_000
    with pytest.raises(ValueError, match="'bold' is not one of default, conservative"):
        with_profile(LIMITS, "bold")
