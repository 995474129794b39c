"""Profit and loss from balances, and its running statistics.

The truth is the wallet: profit = (SOL + wSOL after) - (SOL + wSOL before) of the transaction itself, so it is
exact whatever else is in flight. A transaction that landed and failed costs base + priority fee; its tip
was rolled back. One that did not land costs nothing.
"""

from typing import NamedTuple

from hft.strategy.costs import PPM
from hft.wire.enums import EndState


class Balances(NamedTuple):
    """The wallet around one transaction: lamports of the fee payer and its token balances, base units."""

    lamports: int
    base_token: int
    quote_token: int

    @property
    def worth_lamports(self) -> int:
        """SOL + wSOL, when the base token is wrapped SOL."""
        return self.lamports + self.base_token


class Totals(NamedTuple):
    """Running totals of one strategy. ``peak`` is the highest P&L so far and starts at zero."""

    trades: int = 0
    landed_ok: int = 0
    landed_failed: int = 0
    not_landed: int = 0
    wins: int = 0
    losses: int = 0
    pnl_lamports: int = 0
    peak_pnl_lamports: int = 0
    expected_pnl_lamports: int = 0
    fees_lamports: int = 0
    tips_lamports: int = 0
    unexplained_lamports: int = 0
    wallet_lamports: int = 0
    slot: int = 0

    @property
    def drawdown_lamports(self) -> int:
        """How far the P&L is below its peak; never negative."""
        return self.peak_pnl_lamports - self.pnl_lamports

    @property
    def win_rate_ppm(self) -> int:
        """Wins among the trades that won or lost; 0 before the first."""
        decided = self.wins + self.losses
        return self.wins * PPM // decided if decided else 0


class Trade(NamedTuple):
    """What the totals need of one ended execution."""

    end_state: EndState
    slot: int
    expected_profit_lamports: int
    actual_profit_lamports: int
    base_fee_lamports: int
    priority_fee_lamports: int
    tip_lamports: int
    wallet_before_lamports: int
    wallet_after_lamports: int


def actual_profit(before: Balances, after: Balances) -> int:
    """Change of SOL + wSOL in lamports; rent that stays behind is inside it, quote-token dust is not."""
    return after.worth_lamports - before.worth_lamports


def landed(end_state: EndState) -> bool:
    return end_state in (EndState.LANDED_OK, EndState.LANDED_FAILED)


def unexplained(totals: Totals, trade: Trade) -> int:
    """Lamports that came (+) or went (-) between the last landed trade and this one, without a trade of ours.

    0 for the first trade, whose "before" is where the wallet starts, and for what didn't land. Results come
    in the order in which the chain executed them.
    """
    if not landed(trade.end_state) or totals.landed_ok + totals.landed_failed == 0:
        return 0
    return trade.wallet_before_lamports - totals.wallet_lamports


def book(totals: Totals, trade: Trade) -> Totals:
    """The totals after ``trade``. An unexplained change is counted apart and is no profit."""
    if not landed(trade.end_state):
        return totals._replace(trades=totals.trades + 1, not_landed=totals.not_landed + 1)
    profit = trade.actual_profit_lamports
    pnl = totals.pnl_lamports + profit
    succeeded = trade.end_state == EndState.LANDED_OK
    return totals._replace(
        trades=totals.trades + 1,
        landed_ok=totals.landed_ok + succeeded,
        landed_failed=totals.landed_failed + (not succeeded),
        wins=totals.wins + (profit > 0),
        losses=totals.losses + (profit < 0),
        pnl_lamports=pnl,
        peak_pnl_lamports=max(totals.peak_pnl_lamports, pnl),
        expected_pnl_lamports=totals.expected_pnl_lamports + trade.expected_profit_lamports,
        fees_lamports=totals.fees_lamports + trade.base_fee_lamports + trade.priority_fee_lamports,
        tips_lamports=totals.tips_lamports + trade.tip_lamports,
        unexplained_lamports=totals.unexplained_lamports + unexplained(totals, trade),
        wallet_lamports=trade.wallet_after_lamports,
        slot=max(totals.slot, trade.slot),
    )
