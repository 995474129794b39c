"""Network costs and the tip, as tables."""

import pytest

from hft.strategy import costs
from hft.strategy.costs import NetworkCosts
from hft.strategy.tip import TipPolicy, price_tip


@pytest.mark.parametrize(
    ("limit", "price", "fee"),
    [
        (0, 1_000, 0),
        (1, 1, 1),
        (1_000_000, 1, 1),
        (1_000_001, 1, 2),
        (200_000, 1_000, 200),
        (1_400_000, 50_000, 70_000),
    ],
)
def test_the_priority_fee_is_of_the_requested_units_and_rounds_up(limit: int, price: int, fee: int) -> None:
    assert costs.priority_fee(limit, price) == fee


def test_every_cost_is_taken_once() -> None:
    spent = NetworkCosts(5_000, 120, 1_000, 2_039_280)
    assert spent.fees_lamports == 5_120
    assert spent.total_lamports == 2_045_400
    assert costs.net_profit(3_000_000, spent) == 954_600
    assert costs.base_fee(2) == 10_000


@pytest.mark.parametrize(
    ("profit", "amount", "milli"),
    [(1, 10_000_000, 1), (1, 10_000_001, 0), (-1, 10_000_001, -1), (22_000, 1_000_000_000, 220), (5, 0, 0)],
)
def test_profit_in_thousandths_of_a_basis_point_rounds_down(profit: int, amount: int, milli: int) -> None:
    assert costs.profit_bps_milli(profit, amount) == milli


def test_compute_units_grow_with_crossings_and_stop_at_the_transaction_limit() -> None:
    one, two = costs.compute_unit_limit(1, 0, 2, 0), costs.compute_unit_limit(1, 3, 2, 0)
    assert 90_000 < one < two < costs.MAXIMUM_COMPUTE_UNITS
    assert costs.compute_unit_limit(1, 1_000, 1, 1_000) == costs.MAXIMUM_COMPUTE_UNITS
    assert costs.compute_unit_limit(99, 0, 99, 0) > one


POLICY = TipPolicy(share_ppm=300_000, floor_lamports=2_000, cap_lamports=50_000)


@pytest.mark.parametrize(
    ("gross", "fees", "tip"),
    [
        (100_000, 5_000, 28_500),  # the share of what is left after fees
        (12_000, 5_000, 2_100),
        (11_666, 5_000, 2_000),  # 1999.8: the floor
        (7_001, 5_000, 2_000),  # tip + fees one below the profit
        (7_000, 5_000, None),  # exactly the profit: no trade
        (6_999, 5_000, None),
        (0, 5_000, None),
        (-1, 0, None),
        (171_666, 5_000, 49_999),
        (171_670, 5_000, 50_000),  # 50,001: the cap
        (10_000_000, 5_000, 50_000),
    ],
)
def test_the_tip_is_a_share_floored_and_capped(gross: int, fees: int, tip: int | None) -> None:
    assert price_tip(gross, fees, POLICY) == tip


def test_row_19_a_floor_read_in_the_wrong_unit_can_not_pass_the_cap() -> None:
    spiking = POLICY._replace(floor_lamports=10_000_000_000)
    assert price_tip(1_000_000, 5_000, spiking) == 50_000
    assert price_tip(54_999, 5_000, spiking) is None  # tip + fees >= profit: not sent
    absent = POLICY._replace(floor_lamports=0)
    assert price_tip(6_500, 5_000, absent) == 1_000
    assert price_tip(1_000_000, 0, POLICY._replace(cap_lamports=999)) is None
