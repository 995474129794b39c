"""How the auditor tells its accounts: gauges on its counters page, and the PnlMetric of a booking."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hft import wire
from hft.strategy.pnl import Accounts, Totals

if TYPE_CHECKING:
    from ringbuf import Counters

MONEY: tuple[str, ...] = (
    "trades",
    "landed_ok",
    "landed_failed",
    "not_landed",
    "wins",
    "losses",
    "pnl_lamports",
    "peak_pnl_lamports",
    "drawdown_lamports",
    "maximum_drawdown_lamports",
    "expected_pnl_lamports",
    "shortfall_lamports",
    "average_profit_lamports",
    "average_cost_lamports",
    "unexplained_lamports",
    "fees_lamports",
    "tips_lamports",
    "wallet_lamports",
)
"""Fields of the totals; signed ones in two's complement."""
SHARPE = "sharpe_per_trade_ppm"
GAUGES: tuple[str, ...] = (*MONEY, SHARPE)
PPM = 1_000_000
U64 = 1 << 64


class Gauges:
    """The totals as gauges on a page."""

    def __init__(self, counters: "Counters", places: Sequence[int]) -> None:
        """``places``: the indexes of ``GAUGES``, in their order."""
        self._counters = counters
        *money, self._sharpe = places
        self._places = tuple(zip(money, MONEY, strict=True))

    def show(self, totals: Totals) -> None:
        """Sets them all."""
        for place, name in self._places:
            self._counters.set(place, getattr(totals, name) % U64)
        ratio = totals.sharpe_per_trade
        self._counters.set(self._sharpe, 0 if ratio is None else round(ratio * PPM) % U64)


def pnl_message(
    trace_id: bytes, sequence: int, strategy: int, accounts: Accounts, now_ns: int, unix_ns: int
) -> bytes:
    """A PnlMetric: the totals of one strategy after its newest trade; slot and wallet are those of all."""
    own = accounts.strategies[strategy]
    message = bytearray(wire.pnl_metric.size)
    wire.pnl_metric.encode_into(
        message,
        trace_id,
        sequence,
        accounts.total.slot,
        strategy,
        own.trades,
        own.landed_ok,
        own.landed_failed,
        own.not_landed,
        own.wins,
        own.losses,
        own.pnl_lamports,
        own.peak_pnl_lamports,
        own.drawdown_lamports,
        own.expected_pnl_lamports,
        own.fees_lamports,
        own.tips_lamports,
        accounts.total.wallet_lamports,
        own.win_rate_ppm,
        now_ns,
        unix_ns,
    )
    return bytes(message)
