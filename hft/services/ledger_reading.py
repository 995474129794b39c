"""Reading the ledger beside its writer: today's profit, and rows for people and spreadsheets."""

from collections.abc import Mapping

from sqlalchemy import func, select

from hft.services.ledger_place import Place, engine_of, guarded, version_of
from hft.services.ledger_tables import EXECUTIONS
from hft.strategy.pnl import DAY_NS


def profits_of_day(place: Place, unix_ns: int, mode: str) -> Mapping[int, int]:
    """Strategy → profit in lamports booked in this mode since the last UTC midnight; empty when there is no
    ledger.

    ``LedgerError`` when there is one and it can't be read: what was lost today is then not known.
    """
    if place.url is None and not place.file.exists():
        return {}
    profit = func.sum(EXECUTIONS.c.actual_profit_lamports)
    rows = (
        select(EXECUTIONS.c.strategy, profit)
        .where(EXECUTIONS.c.recorded_unix_ns >= unix_ns // DAY_NS * DAY_NS, EXECUTIONS.c.mode == mode)
        .group_by(EXECUTIONS.c.strategy)
    )
    engine = engine_of(place, read_only=True)
    try:
        with guarded(place), engine.begin() as connection:
            if version_of(connection, place) is None:
                return {}
            return {strategy: int(total) for strategy, total in connection.execute(rows)}
    finally:
        engine.dispose()


def profit_of_day(place: Place, unix_ns: int, mode: str) -> int:
    """The same over all strategies."""
    return sum(profits_of_day(place, unix_ns, mode).values())
