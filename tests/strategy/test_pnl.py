"""Profit and loss from balances."""

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hft.strategy.pnl import (
    DAY_NS,
    Accounts,
    Balances,
    Totals,
    Trade,
    actual_profit,
    book,
    daily_profits,
    sharpe,
    sharpe_per_year,
    unexplained,
)
from hft.wire.enums import EndState

OK = Trade(EndState.LANDED_OK, 7, 900, 800, 5_000, 100, 1_000, 10_000, 10_800)


def test_profit_is_the_change_of_sol_and_wrapped_sol() -> None:
    before, after = Balances(1_000_000, 5_000_000, 3), Balances(993_900, 5_010_000, 9)
    assert actual_profit(before, after) == 3_900  # the quote token's six units are dust, no profit


def test_row_30_a_failed_transaction_that_landed_costs_its_fees_alone() -> None:
    before = Balances(1_000_000, 5_000_000, 3)
    after = before._replace(lamports=1_000_000 - 5_100)
    failed = OK._replace(
        end_state=EndState.LANDED_FAILED,
        actual_profit_lamports=actual_profit(before, after),
        tip_lamports=0,
        wallet_before_lamports=before.worth_lamports,
        wallet_after_lamports=after.worth_lamports,
    )
    totals = book(Totals(), failed)
    assert totals.pnl_lamports == -5_100
    assert (totals.fees_lamports, totals.tips_lamports) == (5_100, 0)
    assert (totals.landed_failed, totals.losses, totals.drawdown_lamports) == (1, 1, 5_100)


def test_drawdown_is_from_the_peak_and_the_peak_starts_at_zero() -> None:
    totals = Totals()
    wallet = 10_000
    curve = []
    for profit in (-50, 200, -30, -100, 500):
        trade = OK._replace(
            actual_profit_lamports=profit,
            wallet_before_lamports=wallet,
            wallet_after_lamports=wallet + profit,
        )
        totals = book(totals, trade)
        wallet += profit
        curve.append((totals.pnl_lamports, totals.peak_pnl_lamports, totals.drawdown_lamports))
    assert curve == [(-50, 0, 50), (150, 150, 0), (120, 150, 30), (20, 150, 130), (520, 520, 0)]
    assert (totals.wins, totals.losses, totals.win_rate_ppm) == (2, 3, 400_000)
    assert totals.wallet_lamports == wallet
    assert totals.unexplained_lamports == 0


def test_row_31_an_outside_deposit_is_classified_and_is_no_profit() -> None:
    first = book(Totals(), OK)
    second = OK._replace(wallet_before_lamports=60_800, wallet_after_lamports=61_600)
    assert unexplained(first, second) == 50_000
    totals = book(first, second)
    assert totals.pnl_lamports == 1_600
    assert totals.unexplained_lamports == 50_000
    third = OK._replace(wallet_before_lamports=61_590, wallet_after_lamports=62_390)
    assert unexplained(totals, third) == -10


def test_what_did_not_land_changes_no_money() -> None:
    totals = book(book(Totals(), OK), Trade(EndState.EXPIRED, 0, 5, 0, 0, 0, 0, 0, 0))
    assert (totals.trades, totals.not_landed, totals.pnl_lamports, totals.wallet_lamports) == (
        2,
        1,
        800,
        10_800,
    )
    assert totals.win_rate_ppm == 1_000_000
    assert Totals().win_rate_ppm == 0


@given(st.lists(st.integers(-(10**9), 10**9), max_size=30))
def test_profit_adds_up_to_the_change_of_the_wallet(profits: list[int]) -> None:
    wallet, totals = 10**12, Totals()
    for profit in profits:
        trade = OK._replace(
            actual_profit_lamports=profit,
            wallet_before_lamports=wallet,
            wallet_after_lamports=wallet + profit,
        )
        totals, wallet = book(totals, trade), wallet + profit
    assert totals.pnl_lamports == sum(profits)
    assert totals.drawdown_lamports >= 0
    if profits:
        assert totals.wallet_lamports - 10**12 == totals.pnl_lamports


def traded(*profits: int) -> Totals:
    totals, wallet = Totals(), 10**12
    for profit in profits:
        trade = OK._replace(
            actual_profit_lamports=profit,
            wallet_before_lamports=wallet,
            wallet_after_lamports=wallet + profit,
        )
        totals, wallet = book(totals, trade), wallet + profit
    return totals


def test_row_25_the_statistics_of_known_trades() -> None:
    totals = traded(600, -200, -100, 900, -300)
    assert (totals.landed, totals.pnl_lamports, totals.wins, totals.losses) == (5, 900, 2, 3)
    assert totals.win_rate_ppm == 400_000
    assert totals.average_profit_lamports == 180
    assert totals.average_cost_lamports == 6_100
    assert totals.shortfall_lamports == 5 * 900 - 900
    assert (totals.peak_pnl_lamports, totals.drawdown_lamports) == (1_200, 300)
    assert totals.maximum_drawdown_lamports == 300
    # mean 180, sum of squared deviations 420² + 380² + 280² + 720² + 480² = 1,148,000, over 4 = 287,000
    assert totals.sharpe_per_trade == pytest.approx(180 / 287_000**0.5)


def test_row_25_averages_round_against_us() -> None:
    totals = traded(-1, -1, -1, 0)
    assert totals.average_profit_lamports == -1  # -0.75
    costs = [OK._replace(tip_lamports=tip, base_fee_lamports=0, priority_fee_lamports=0) for tip in (0, 1)]
    assert book(book(Totals(), costs[0]), costs[1]).average_cost_lamports == 1


def test_row_25_nothing_is_said_of_no_trades() -> None:
    assert Totals().sharpe_per_trade is None
    assert traded(5).sharpe_per_trade is None
    assert traded(5, 5, 5).sharpe_per_trade is None  # no deviation
    assert (Totals().average_profit_lamports, Totals().average_cost_lamports) == (0, 0)
    assert sharpe([]) is None
    assert daily_profits([]) == []
    assert sharpe_per_year([7]) is None


@given(st.lists(st.integers(-(10**12), 10**12), min_size=2, max_size=30))
def test_the_running_ratio_is_that_of_the_whole_list(profits: list[int]) -> None:
    found = traded(*profits).sharpe_per_trade
    assert found == sharpe(profits)
    if len(set(profits)) > 1:
        assert found == pytest.approx(statistics.mean(profits) / statistics.stdev(profits))
    else:
        assert found is None


def test_days_without_a_trade_count_as_zero() -> None:
    booked = [(DAY_NS - 1, 10), (DAY_NS, 20), (DAY_NS + 5, -5), (4 * DAY_NS, 30)]
    assert daily_profits(booked) == [10, 15, 0, 0, 30]
    expected = statistics.mean([10, 15, 0, 0, 30]) / statistics.stdev([10, 15, 0, 0, 30]) * 365**0.5
    assert sharpe_per_year(daily_profits(booked)) == pytest.approx(expected)


def test_strategies_have_accounts_of_their_own_and_one_wallet() -> None:
    first = OK._replace(wallet_before_lamports=10_000, wallet_after_lamports=10_800)
    second = OK._replace(
        actual_profit_lamports=-300, wallet_before_lamports=10_800, wallet_after_lamports=10_500
    )
    third = OK._replace(
        actual_profit_lamports=100, wallet_before_lamports=10_577, wallet_after_lamports=10_677
    )
    accounts = Accounts().book(1, first).book(2, second).book(1, third)
    assert accounts.total.pnl_lamports == 600
    assert accounts.total.unexplained_lamports == 77
    assert (accounts.strategies[1].pnl_lamports, accounts.strategies[2].pnl_lamports) == (900, -300)
    assert accounts.strategies[2].drawdown_lamports == 300
    assert [own.unexplained_lamports for own in accounts.strategies.values()] == [0, 0]
