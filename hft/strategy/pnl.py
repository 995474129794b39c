"""Profit and loss from balances, and its running statistics.

The truth is the wallet: profit = (SOL + wSOL after) - (SOL + wSOL before) of the transaction itself, so it is
exact whatever else is in flight. A transaction that landed and failed costs base + priority fee; its tip
was rolled back. One that did not land costs nothing.

Money stays an integer; floats are ratios only, and none of them decides anything.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import sqrt
from types import MappingProxyType
from typing import Final, NamedTuple

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


DAY_NS: Final = 86_400_000_000_000
DAYS_A_YEAR: Final = 365
"""The chain trades every day."""


class Totals(NamedTuple):
    """Running totals of one strategy, or of all. ``peak`` is the highest P&L so far and starts at zero, so
    that a first loss is a drawdown. ``squared_profits`` is in lamports squared, of the landed trades.
    """

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
    maximum_drawdown_lamports: int = 0
    squared_profits: int = 0

    @property
    def landed(self) -> int:
        """Trades that landed, whether they succeeded or failed."""
        return self.landed_ok + self.landed_failed

    @property
    def drawdown_lamports(self) -> int:
        """How far the P&L is below its peak; never negative."""
        return self.peak_pnl_lamports - self.pnl_lamports

    @property
    def win_rate_ppm(self) -> int:
        """Wins among the trades that won or lost; 0 before the first."""
        decided = self.wins + self.losses
        return self.wins * PPM // decided if decided else 0

    @property
    def average_profit_lamports(self) -> int:
        """P&L of a landed trade, rounded down; 0 before the first."""
        return self.pnl_lamports // self.landed if self.landed else 0

    @property
    def average_cost_lamports(self) -> int:
        """Fees and tip of a landed trade, rounded up; 0 before the first. Swap fees are inside the swaps."""
        return -(-(self.fees_lamports + self.tips_lamports) // self.landed) if self.landed else 0

    @property
    def shortfall_lamports(self) -> int:
        """What the landed trades earned less than their plans expected; negative when it was more."""
        return self.expected_pnl_lamports - self.pnl_lamports

    @property
    def sharpe_per_trade(self) -> float | None:
        """Mean profit of a landed trade over its standard deviation (n - 1), without annualising; the
        riskless return of a trade that lasts a moment is 0. None with fewer than two trades, or when all
        earned the same.
        """
        return _sharpe(self.landed, self.pnl_lamports, self.squared_profits)


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


def sharpe(profits: Sequence[int]) -> float | None:
    """Mean over standard deviation (n - 1) of ``profits`` in lamports, not annualised; None with fewer than
    two, or when all are the same. W. F. Sharpe, "The Sharpe Ratio", 1994, with a riskless return of 0.
    """
    return _sharpe(len(profits), sum(profits), sum(profit * profit for profit in profits))


def _sharpe(count: int, total: int, squares: int) -> float | None:
    # variance = (n·Σx² - (Σx)²) / (n·(n - 1)), so mean / deviation = Σx / √(n·(n·Σx² - (Σx)²) / (n - 1))
    spread = count * squares - total * total
    return None if count < 2 or spread == 0 else total / sqrt(count * spread / (count - 1))


def daily_profits(booked: Iterable[tuple[int, int]]) -> list[int]:
    """(UTC unix ns, profit) → profit of each UTC day from the first to the last, 0 for an idle one."""
    days: dict[int, int] = {}
    for unix_ns, profit in booked:
        days[unix_ns // DAY_NS] = days.get(unix_ns // DAY_NS, 0) + profit
    return [days.get(day, 0) for day in range(min(days), max(days) + 1)] if days else []


def sharpe_per_year(daily: Sequence[int]) -> float | None:
    """Sharpe of daily profits, annualised by √365. Needs two days that differ."""
    ratio = sharpe(daily)
    return None if ratio is None else ratio * sqrt(DAYS_A_YEAR)


def book(totals: Totals, trade: Trade) -> Totals:
    """The totals after ``trade``. An unexplained change is counted apart and is no profit."""
    if not landed(trade.end_state):
        return totals._replace(trades=totals.trades + 1, not_landed=totals.not_landed + 1)
    profit = trade.actual_profit_lamports
    pnl = totals.pnl_lamports + profit
    peak = max(totals.peak_pnl_lamports, pnl)
    succeeded = trade.end_state == EndState.LANDED_OK
    return totals._replace(
        trades=totals.trades + 1,
        landed_ok=totals.landed_ok + succeeded,
        landed_failed=totals.landed_failed + (not succeeded),
        wins=totals.wins + (profit > 0),
        losses=totals.losses + (profit < 0),
        pnl_lamports=pnl,
        peak_pnl_lamports=peak,
        expected_pnl_lamports=totals.expected_pnl_lamports + trade.expected_profit_lamports,
        fees_lamports=totals.fees_lamports + trade.base_fee_lamports + trade.priority_fee_lamports,
        tips_lamports=totals.tips_lamports + trade.tip_lamports,
        unexplained_lamports=totals.unexplained_lamports + unexplained(totals, trade),
        wallet_lamports=trade.wallet_after_lamports,
        slot=max(totals.slot, trade.slot),
        maximum_drawdown_lamports=max(totals.maximum_drawdown_lamports, peak - pnl),
        squared_profits=totals.squared_profits + profit * profit,
    )


class Accounts(NamedTuple):
    """The totals of all trades and of each strategy, by its number."""

    total: Totals = Totals()
    strategies: Mapping[int, Totals] = MappingProxyType({})

    def book(self, strategy: int, trade: Trade) -> "Accounts":
        """The accounts after ``trade``. The wallet is one: what is unexplained belongs to no strategy."""
        total = book(self.total, trade)
        own = book(self.strategies.get(strategy, Totals()), trade)._replace(unexplained_lamports=0)
        return Accounts(total, {**self.strategies, strategy: own})
