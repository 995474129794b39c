"""Reading the ledger beside its writer: today's profit, and rows for people and spreadsheets."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from sqlalchemy import BigInteger, Column, ColumnElement, Select, case, cast, func, select

from hft.services.ledger_place import LedgerError, Place, engine_of, guarded, version_of
from hft.services.ledger_tables import ENTRIES, EXECUTIONS
from hft.strategy.pnl import DAY_NS

ROWS_AT_ONCE: Final = 500
"""Rows held at a time while exporting, however many there are."""

TRADES: Final = tuple(
    EXECUTIONS.c[name]
    for name in (
        *("recorded_unix_ns", "run_id", "mode", "strategy", "plan_id", "trace_id", "signature", "slot"),
        *("end_state", "reason", "error_code", "error_index", "venue_1", "venue_2", "pool_1", "pool_2"),
        *("base_mint", "quote_mint", "amount_in", "expected_profit_lamports", "actual_profit_lamports"),
        *("base_fee_lamports", "priority_fee_lamports", "tip_lamports", "rent_lamports", "compute_units"),
        *("wallet_before_lamports", "wallet_after_lamports", "detail"),
    )
)
LEGS: Final = (
    *(ENTRIES.c.recorded_unix_ns, EXECUTIONS.c.run_id, EXECUTIONS.c.mode, EXECUTIONS.c.strategy),
    *(ENTRIES.c[name] for name in ("plan_id", "signature", "leg", "kind", "mint", "amount")),
)
_DAY: Final = EXECUTIONS.c.recorded_unix_ns // DAY_NS * DAY_NS


def _sum(name: str, value: ColumnElement[int]) -> ColumnElement[int]:
    """PostgreSQL sums integers to decimals."""
    return cast(func.sum(value), BigInteger).label(name)


DAYS: Final = (
    *(_DAY.label("recorded_unix_ns"), EXECUTIONS.c.mode, EXECUTIONS.c.strategy),
    func.count().label("trades"),
    _sum("landed", case((EXECUTIONS.c.end_state.in_(("landed_ok", "landed_failed")), 1), else_=0)),
    *(
        _sum(name, EXECUTIONS.c[name])
        for name in (
            *("expected_profit_lamports", "actual_profit_lamports", "base_fee_lamports"),
            *("priority_fee_lamports", "tip_lamports", "rent_lamports"),
        )
    ),
)


class Export(NamedTuple):
    """Columns in their order, which stays; the query, oldest first; the time that spans are asked by."""

    columns: tuple[ColumnElement[Any], ...]
    rows: Select[Any]
    time: Column[int]

    @property
    def names(self) -> list[str]:
        """Of the columns."""
        return [column.name for column in self.rows.selected_columns]


_KEYS: Final = (_DAY, EXECUTIONS.c.mode, EXECUTIONS.c.strategy)
EXPORTS: Final[Mapping[str, Export]] = MappingProxyType(
    {
        "trades": Export(
            TRADES, select(*TRADES).order_by(EXECUTIONS.c.number), EXECUTIONS.c.recorded_unix_ns
        ),
        "legs": Export(
            LEGS,
            select(*LEGS).join(EXECUTIONS).order_by(EXECUTIONS.c.number, ENTRIES.c.leg),
            ENTRIES.c.recorded_unix_ns,
        ),
        "days": Export(DAYS, select(*DAYS).group_by(*_KEYS).order_by(*_KEYS), EXECUTIONS.c.recorded_unix_ns),
    }
)
"""What can be exported."""


def read_rows(place: Place, what: str, from_ns: int, to_ns: int) -> Iterator[tuple[Any, ...]]:
    """Rows of an entry of ``EXPORTS`` booked in [from, to) unix ns, ``ROWS_AT_ONCE`` held at a time.

    ``LedgerError`` when there is no ledger or it can't be read.
    """
    if place.url is None and not place.file.exists():
        raise LedgerError(f"{place}: there is no ledger; nothing has been booked with this state folder")
    _, rows, time = EXPORTS[what]
    engine = engine_of(place, read_only=True)
    try:
        with guarded(place), engine.connect() as connection:
            if version_of(connection, place) is None:
                raise LedgerError(f"{place}: there is no ledger in this database; nothing has been booked")
            options = {"yield_per": ROWS_AT_ONCE}
            for row in connection.execute(
                rows.where(time >= from_ns, time < to_ns), execution_options=options
            ):
                yield tuple(row)
    finally:
        engine.dispose()


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
