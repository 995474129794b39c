"""The ledger: an append-only SQLite file in the state folder, the record of every execution and of every
lamport.

``executions`` has one row a plan, unique by plan id. ``entries`` has one row a movement, unique by (run,
signature, leg): each run of the paper cluster is a chain of its own, on which the same seed makes the same
signatures again. The entries in lamports of one signature add up to its profit. Nothing is ever updated or
deleted: triggers refuse it. Amounts are integers in base units.
"""

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from hft.strategy.pnl import Totals, Trade, book, landed
from hft.wire import ExecutionResult, base58, text
from hft.wire.enums import EndState, ExecutionReason

FILE_NAME = "ledger.sqlite3"
DAY_NS = 86_400_000_000_000
U63 = (1 << 63) - 1

_SCHEMA = """
CREATE TABLE IF NOT EXISTS executions (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  run_id BLOB NOT NULL, plan_id BLOB NOT NULL UNIQUE, trace_id BLOB NOT NULL, signature BLOB NOT NULL,
  sequence INTEGER NOT NULL, strategy INTEGER NOT NULL, slot INTEGER NOT NULL,
  end_state TEXT NOT NULL, reason TEXT NOT NULL, error_code INTEGER NOT NULL, error_index INTEGER NOT NULL,
  detail TEXT NOT NULL, venue_1 INTEGER NOT NULL, venue_2 INTEGER NOT NULL,
  pool_1 TEXT NOT NULL, pool_2 TEXT NOT NULL, base_mint TEXT NOT NULL, quote_mint TEXT NOT NULL,
  amount_in INTEGER NOT NULL, expected_profit_lamports INTEGER NOT NULL,
  actual_profit_lamports INTEGER NOT NULL,
  base_fee_lamports INTEGER NOT NULL, priority_fee_lamports INTEGER NOT NULL, tip_lamports INTEGER NOT NULL,
  rent_lamports INTEGER NOT NULL, compute_units INTEGER NOT NULL,
  wallet_before_lamports INTEGER NOT NULL, wallet_after_lamports INTEGER NOT NULL,
  recorded_unix_ns INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS executions_by_time ON executions (recorded_unix_ns);
CREATE TABLE IF NOT EXISTS entries (
  run_id BLOB NOT NULL, signature BLOB NOT NULL, leg INTEGER NOT NULL, kind TEXT NOT NULL, mint TEXT NOT NULL,
  amount INTEGER NOT NULL,
  plan_id BLOB NOT NULL, recorded_unix_ns INTEGER NOT NULL, PRIMARY KEY (run_id, signature, leg)
) WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS executions_no_update BEFORE UPDATE ON executions
  BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS executions_no_delete BEFORE DELETE ON executions
  BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS entries_no_update BEFORE UPDATE ON entries
  BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS entries_no_delete BEFORE DELETE ON entries
  BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
"""

LEG_SWAPS, LEG_BASE_FEE, LEG_PRIORITY_FEE, LEG_TIP, LEG_RENT, LEG_QUOTE_DUST, LEG_UNEXPLAINED = range(7)


class Entry(NamedTuple):
    """One movement: what came (+) or went (-), in lamports or, for dust, in units of ``mint``."""

    leg: int
    kind: str
    mint: bytes
    amount: int


def entries(result: ExecutionResult, unexplained_lamports: int = 0) -> list[Entry]:
    """The movements of one landed execution; none for one that did not land.

    Swaps + fees + tip + rent = profit. The quote token's change (dust) and lamports that came or went
    without a trade are booked beside it and are no part of the profit.
    """
    if not landed(EndState(result.end_state)):
        return []
    spent = (
        result.base_fee_lamports + result.priority_fee_lamports + result.tip_lamports + result.rent_lamports
    )
    moves = [
        Entry(LEG_SWAPS, "swaps", result.base_mint, result.actual_profit_lamports + spent),
        Entry(LEG_BASE_FEE, "base_fee", result.base_mint, -result.base_fee_lamports),
        Entry(LEG_PRIORITY_FEE, "priority_fee", result.base_mint, -result.priority_fee_lamports),
        Entry(LEG_TIP, "tip", result.base_mint, -result.tip_lamports),
        Entry(LEG_RENT, "rent", result.base_mint, -result.rent_lamports),
        Entry(
            LEG_QUOTE_DUST,
            "quote_dust",
            result.quote_mint,
            result.quote_token_after - result.quote_token_before,
        ),
        Entry(LEG_UNEXPLAINED, "unexplained", result.base_mint, unexplained_lamports),
    ]
    return [move for move in moves if move.amount]


def trade_of(result: ExecutionResult) -> Trade:
    """The part of a result that the running totals need."""
    return Trade(
        EndState(result.end_state),
        result.slot,
        result.expected_profit_lamports,
        result.actual_profit_lamports,
        result.base_fee_lamports,
        result.priority_fee_lamports,
        result.tip_lamports,
        result.lamports_before + result.base_token_before,
        result.lamports_after + result.base_token_after,
    )


class Ledger:
    """One open ledger file; sqlite3.Error when it can't be read or written."""

    def __init__(self, folder: Path, run_id: bytes) -> None:
        self._run_id = run_id
        self._connection = sqlite3.connect(folder / FILE_NAME, timeout=0, isolation_level=None)
        run = self._connection.execute
        run("PRAGMA journal_mode=WAL")
        run("PRAGMA synchronous=NORMAL")
        self._connection.executescript(_SCHEMA)

    def begin(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        self._connection.execute("COMMIT")

    def rollback(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def append(self, result: ExecutionResult, unexplained_lamports: int, unix_ns: int) -> bool:
        """Books one result with its movements, inside ``begin``/``commit``; False if its plan or
        its transaction is booked already.
        """
        row = (
            self._run_id,
            result.plan_id,
            result.trace_id,
            result.signature,
            result.sequence,
            result.strategy,
            result.slot,
            EndState(result.end_state).name.lower(),
            ExecutionReason(result.reason).name.lower(),
            result.error_code,
            result.error_index,
            text(result.detail),
            result.venue_1,
            result.venue_2,
            base58(result.pool_1),
            base58(result.pool_2),
            base58(result.base_mint),
            base58(result.quote_mint),
            min(result.amount_in, U63),
            result.expected_profit_lamports,
            result.actual_profit_lamports,
            result.base_fee_lamports,
            result.priority_fee_lamports,
            result.tip_lamports,
            result.rent_lamports,
            result.compute_units,
            result.lamports_before + result.base_token_before,
            result.lamports_after + result.base_token_after,
            unix_ns,
        )
        if landed(EndState(result.end_state)) and self._has(result.signature):
            return False
        marks = ",".join("?" * len(row))
        done = self._connection.execute(f"INSERT OR IGNORE INTO executions VALUES (NULL,{marks})", row)
        if done.rowcount == 0:
            return False
        self._connection.executemany(
            "INSERT INTO entries VALUES (?,?,?,?,?,?,?,?)",
            [
                (
                    self._run_id,
                    result.signature,
                    move.leg,
                    move.kind,
                    base58(move.mint),
                    move.amount,
                    result.plan_id,
                    unix_ns,
                )
                for move in entries(result, unexplained_lamports)
            ],
        )
        return True

    def _has(self, signature: bytes) -> bool:
        """Is this transaction booked already, under whatever plan?"""
        key = (self._run_id, signature)
        found = self._connection.execute("SELECT 1 FROM entries WHERE run_id = ? AND signature = ?", key)
        return found.fetchone() is not None

    def totals(self) -> Totals:
        """The running totals of this run, rebuilt from its rows in the order they were booked."""
        rows = self._connection.execute(
            "SELECT end_state, slot, expected_profit_lamports, actual_profit_lamports, base_fee_lamports,"
            " priority_fee_lamports, tip_lamports, wallet_before_lamports, wallet_after_lamports"
            " FROM executions WHERE run_id = ? ORDER BY number",
            (self._run_id,),
        )
        return replay(Trade(EndState[row[0].upper()], *row[1:]) for row in rows)

    def close(self) -> None:
        self._connection.close()


def replay(trades: Iterable[Trade]) -> Totals:
    """The totals after these trades; the same trades always give the same totals."""
    totals = Totals()
    for trade in trades:
        totals = book(totals, trade)
    return totals


def profit_of_day(folder: Path, unix_ns: int) -> int:
    """Profit in lamports booked since the last UTC midnight before ``unix_ns``; 0 when there is no ledger
    yet.

    sqlite3.Error when the file is there and can't be read: what was lost today is then not known.
    """
    path = folder / FILE_NAME
    if not path.exists():
        return 0
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'executions'").fetchone()
        if known is None:
            return 0
        row = connection.execute(
            "SELECT COALESCE(SUM(actual_profit_lamports), 0) FROM executions WHERE recorded_unix_ns >= ?",
            (unix_ns // DAY_NS * DAY_NS,),
        ).fetchone()
        return int(row[0])
    finally:
        connection.close()
