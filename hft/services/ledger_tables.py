"""The ledger's tables, the same for SQLite and PostgreSQL.

``executions`` has one row a plan, and one before it if the plan was told as unknown: what nobody could tell
at a stop is found out at the next start, and is booked then. ``entries`` has one row a movement of a landed
one, ``outbox`` the message about each until it is published. Money is integers of 64 signed bits: lamports
never come near (all SOL is 6·10^17); of a token of which more than 2^63 - 1 base units move, the movement is
several rows. Rows of the first two are never updated, deleted or replaced: triggers refuse it, in either
database.
"""

from collections.abc import Iterable
from typing import Final

from sqlalchemy import (
    DDL,
    BigInteger,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    event,
    text,
)

VERSION: Final = 1
"""Of the schema below. Another one in a database is refused, never changed."""

I63: Final = (1 << 63) - 1
"""The largest amount of one row."""

METADATA: Final = MetaData()
_NUMBER = BigInteger().with_variant(Integer, "sqlite")  # only an INTEGER key counts up by itself there


def _int(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False)


def _bytes(name: str) -> Column[bytes]:
    return Column(name, LargeBinary, nullable=False)


def _ended() -> Column[int]:
    """0 while the end is unknown, 1 once it is known."""
    return Column("ended", Integer, nullable=False)


def _of_execution() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["plan_id", "ended"], ["executions.plan_id", "executions.ended"])


LEDGER_VERSION: Final = Table("ledger_version", METADATA, Column("version", Integer, primary_key=True))

EXECUTIONS: Final = Table(
    "executions",
    METADATA,
    Column("number", _NUMBER, primary_key=True),
    _bytes("run_id"),
    _text("mode"),
    _bytes("chain"),
    _bytes("plan_id"),
    _ended(),
    _bytes("trace_id"),
    _bytes("signature"),
    *(_int(name) for name in ("sequence", "strategy", "slot")),
    *(_text(name) for name in ("end_state", "reason")),
    *(_int(name) for name in ("error_code", "error_index")),
    _text("detail"),
    *(_int(name) for name in ("venue_1", "venue_2")),
    *(_text(name) for name in ("pool_1", "pool_2", "base_mint", "quote_mint")),
    *(
        _int(name)
        for name in (
            "amount_in",
            "expected_profit_lamports",
            "actual_profit_lamports",
            "base_fee_lamports",
            "priority_fee_lamports",
            "tip_lamports",
            "rent_lamports",
            "compute_units",
            "wallet_before_lamports",
            "wallet_after_lamports",
            "recorded_unix_ns",
        )
    ),
    UniqueConstraint("plan_id", "ended"),
    sqlite_autoincrement=True,
)

LANDED: Final = text("end_state IN ('landed_ok', 'landed_failed')")
"""In words, not with parameters: only so does a database see that the index below serves."""

Index("executions_by_time", EXECUTIONS.c.recorded_unix_ns)
Index("executions_by_run", EXECUTIONS.c.run_id, EXECUTIONS.c.number)
Index(
    "executions_landed_once",
    EXECUTIONS.c.chain,
    EXECUTIONS.c.signature,
    unique=True,
    sqlite_where=LANDED,
    postgresql_where=LANDED,
)

ENTRIES: Final = Table(
    "entries",
    METADATA,
    _bytes("chain"),
    _bytes("signature"),
    _int("leg"),
    _text("kind"),
    _text("mint"),
    _int("amount"),
    _bytes("plan_id"),
    _ended(),
    _int("recorded_unix_ns"),
    PrimaryKeyConstraint("chain", "signature", "leg"),
    _of_execution(),
    sqlite_with_rowid=False,
)
Index("entries_by_time", ENTRIES.c.recorded_unix_ns)
Index("entries_by_plan", ENTRIES.c.plan_id)

OUTBOX: Final = Table(
    "outbox",
    METADATA,
    Column("number", _NUMBER, primary_key=True),
    _bytes("run_id"),
    _int("sequence"),
    _bytes("plan_id"),
    _ended(),
    _bytes("message"),
    UniqueConstraint("plan_id", "ended"),
    _of_execution(),
    sqlite_autoincrement=True,
)

REFUSAL: Final = "the ledger is append-only"


def _sqlite_triggers(table: str, same: str) -> Iterable[str]:
    for verb in ("UPDATE", "DELETE"):
        yield (
            f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table}"
            f" BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
        )
    # INSERT OR REPLACE deletes without a DELETE trigger.
    yield (
        f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table}"
        f" WHEN EXISTS (SELECT 1 FROM {table} WHERE {same})"
        f" BEGIN SELECT RAISE(ABORT, '{REFUSAL}: UNIQUE'); END"
    )


_SAME = {
    "executions": (
        "(plan_id = NEW.plan_id AND ended = NEW.ended) OR number = NEW.number"
        " OR (chain = NEW.chain AND signature = NEW.signature AND end_state IN ('landed_ok', 'landed_failed')"
        " AND NEW.end_state IN ('landed_ok', 'landed_failed'))"
    ),
    "entries": "chain = NEW.chain AND signature = NEW.signature AND leg = NEW.leg",
}
_POSTGRESQL_FUNCTION = (
    "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql"
    f" AS $$ BEGIN RAISE EXCEPTION '{REFUSAL}'; END $$"
)


def _triggers() -> None:
    def after_creation(statement: str, dialect: str) -> None:
        ddl = DDL(statement)  # type: ignore[no-untyped-call]
        event.listen(METADATA, "after_create", ddl.execute_if(dialect=dialect))

    after_creation(_POSTGRESQL_FUNCTION, "postgresql")
    for table, same in _SAME.items():
        for statement in _sqlite_triggers(table, same):
            after_creation(statement, "sqlite")
        after_creation(
            f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()",
            "postgresql",
        )


_triggers()
