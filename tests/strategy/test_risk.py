"""The risk score and the confidence, in exact integers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hft.strategy.risk import RiskLimits, confidence, profit_term, risk_score

LIMITS = RiskLimits(
    age_limit_ns=2_000_000_000,
    slippage_limit_ppm=10_000,
    minimum_profit_lamports=1_000,
    suspicious_bps_milli=500_000,
)


@pytest.mark.parametrize(
    ("age_ns", "profit", "bps", "sure", "slippage", "score"),
    [
        (0, 10**9, 0, 1_000_000, 0, 0),
        (2_000_000_000, 10**9, 0, 1_000_000, 0, 300_000),
        (1_000_000_000, 10**9, 0, 1_000_000, 0, 150_000),
        (0, 1_000, 0, 1_000_000, 0, 300_000),  # no cushion over the minimum
        (0, 2_000, 0, 1_000_000, 0, 150_000),
        (0, 10**9, 500_000, 1_000_000, 0, 300_000),  # too good to be true
        (0, 10**9, 250_000, 1_000_000, 0, 150_000),
        (0, 10**9, 0, 0, 0, 200_000),
        (0, 10**9, 0, 1_000_000, 10_000, 200_000),
        (10**12, -1, 10**9, -5, 10**9, 1_000_000),  # everything at its worst is one, never more
    ],
)
def test_the_weights(age_ns: int, profit: int, bps: int, sure: int, slippage: int, score: int) -> None:
    found = risk_score(age_ns, profit, bps, sure, slippage, LIMITS)
    assert abs(found.score_ppm - score) <= 1


@given(*(st.integers(-(2**63), 2**63) for _ in range(5)))
def test_the_score_stays_within_its_range(age: int, profit: int, bps: int, sure: int, slippage: int) -> None:
    found = risk_score(age, profit, bps, sure, slippage, LIMITS)
    assert all(0 <= term <= 1_000_000 for term in found)


def test_the_profit_term_has_its_low_between_thin_and_suspicious() -> None:
    thin, sound, suspicious = (
        profit_term(p, b, LIMITS) for p, b in ((1_001, 10), (100_000, 1_000), (10**9, 450_000))
    )
    assert sound < thin
    assert sound < suspicious
    assert profit_term(0, 0, LIMITS) == 1_000_000


@pytest.mark.parametrize(
    ("age_ns", "slots", "sure"),
    [
        (0, 0, 1_000_000),
        (2_500, 0, 500_000),
        (0, 5, 800_000),
        (2_500, 20, 200_000),
        (5_000, 0, 0),
        (0, 26, 0),
        (-5, -1, 1_000_000),
    ],
)
def test_confidence_falls_with_the_age_of_the_data_in_time_and_slots(
    age_ns: int, slots: int, sure: int
) -> None:
    assert confidence(age_ns, slots, 5_000, 25) == sure
