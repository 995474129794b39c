"""Profit and loss from balances."""

from hypothesis import given
from hypothesis import strategies as st

from hft.strategy.pnl import Balances, Totals, Trade, actual_profit, book, unexplained
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
