"""The auditor: results → ledger → running profit and loss on ``metrics``.

Each result is booked once, by plan id and by (signature, leg); one delivered twice is counted and ignored.
A ledger that can't be written keeps the result and the link waits: money is never dropped.

Counters: in_executed = out_metrics + dropped_metrics_no_room + dropped_duplicate + dropped_corrupt +
held_results.
"""

import sqlite3
from collections import deque
from typing import TYPE_CHECKING

from hft import wire
from hft.runtime.exit_codes import ExitCode, HftError
from hft.services.common import SYSTEM_COUNTERS, Drops, SystemLink
from hft.services.ledger import FILE_NAME, Ledger, trade_of
from hft.strategy.pnl import book, unexplained
from hft.wire import ExecutionResult

if TYPE_CHECKING:
    from hft.runtime.context import Context

COUNTERS: tuple[str, ...] = (
    "in_executed",
    "in_planned",
    "lost_planned",
    "dropped_corrupt",
    "dropped_planned_corrupt",
    "dropped_duplicate",
    "dropped_metrics_no_room",
    "held_results",
    "ledger_errors",
    "out_metrics",
    "plans_seen",
    "trades",
    "landed_ok",
    "landed_failed",
    "not_landed",
    "wins",
    "losses",
    "pnl_lamports",
    "peak_pnl_lamports",
    "drawdown_lamports",
    "expected_pnl_lamports",
    "unexplained_lamports",
    "fees_lamports",
    "tips_lamports",
    "wallet_lamports",
    *SYSTEM_COUNTERS,
)
HISTOGRAMS: tuple[str, ...] = ("handoff_executor_auditor_ns", "stage_auditor_ns")

BATCH_LIMIT = 64
RETRY_NS = 100_000_000
U64 = 1 << 64


def build(ctx: "Context") -> "Auditor":
    """The auditor of a run, attached to its links; opens the ledger in ``on_start``."""
    return Auditor(ctx)


class Auditor:
    """See the module."""

    def __init__(self, ctx: "Context") -> None:
        self._ctx = ctx
        self._clock = ctx.clock
        self._counters = ctx.counters
        self.primary = ctx.subscription("executed")
        self._planned = ctx.subscription("planned")
        self._out = Drops(ctx, "metrics")
        self._system = SystemLink(ctx)
        self._waiting: deque[tuple[ExecutionResult, int]] = deque()
        self._retry_ns = 0
        index = ctx.counters.index
        self._in, self._corrupt, self._duplicate = (
            index("in_executed"),
            index("dropped_corrupt"),
            index("dropped_duplicate"),
        )
        self._in_planned, self._plans_seen = index("in_planned"), index("plans_seen")
        self._bad_planned = index("dropped_planned_corrupt")
        self._errors = index("ledger_errors")
        self._handoff = ctx.counters.histogram_index("handoff_executor_auditor_ns")
        self._stage = ctx.counters.histogram_index("stage_auditor_ns")

    def on_start(self) -> None:
        """Opens the ledger and takes up this run's totals where a predecessor left them.

        ``HftError`` when it can't be read or written.
        """
        folder = self._ctx.run.state_dir
        try:
            self._ledger = Ledger(folder, self._ctx.run.run_id)
            self._totals = self._ledger.totals()
        except sqlite3.Error as error:
            raise HftError(f"{folder / FILE_NAME}: {error}", ExitCode.STATE_FOLDER) from error
        self._show()

    def do_work(self) -> int:
        """Takes results, books them in one transaction, publishes the totals after each."""
        count = self._planned.poll(self._on_planned, BATCH_LIMIT)
        if len(self._waiting) < BATCH_LIMIT:
            count += self.primary.poll(self._on_result, BATCH_LIMIT - len(self._waiting))
        if self._waiting and self._clock.monotonic_ns() >= self._retry_ns:
            self._book()
        return count

    def pending(self) -> int:
        return len(self._waiting)

    def on_housekeeping(self, now_ns: int) -> None:
        self._system.poll()
        counters = self._counters
        counters.set(counters.index("held_results"), len(self._waiting))
        counters.set(counters.index("lost_planned"), self._planned.lost)

    def on_close(self) -> None:
        if self._waiting:
            self._book()
        self._ledger.close()
        self._out.close()

    def _on_planned(self, view: memoryview) -> None:
        """Only counted: how many plans there were to execute."""
        self._counters.add(self._in_planned)
        try:
            if wire.identifier(view) == wire.execution_plan.identifier:
                self._counters.add(self._plans_seen)
        except wire.WireError:
            self._counters.add(self._bad_planned)

    def _on_result(self, view: memoryview) -> None:
        now_ns = self._clock.monotonic_ns()
        self._counters.add(self._in)
        try:
            result = wire.execution_result.decode(view)
        except wire.WireError:
            self._counters.add(self._corrupt)
            return
        self._counters.record(self._handoff, max(now_ns - result.settled_ns, 0))
        self._waiting.append((result, now_ns))

    def _book(self) -> None:
        """All that waits in one transaction; on an error everything stays and is tried again."""
        unix_ns = self._clock.unix_ns()
        totals = self._totals
        booked = []
        try:
            self._ledger.begin()
            for result, received_ns in self._waiting:
                trade = trade_of(result)
                if self._ledger.append(result, unexplained(totals, trade), unix_ns):
                    totals = book(totals, trade)
                    booked.append((result, received_ns, totals))
            self._ledger.commit()
        except sqlite3.Error:
            self._ledger.rollback()
            self._counters.add(self._errors)
            self._retry_ns = self._clock.monotonic_ns() + RETRY_NS
            return
        self._counters.add(self._duplicate, len(self._waiting) - len(booked))
        self._waiting.clear()
        for result, received_ns, after in booked:
            self._totals = after
            self._publish(result, received_ns, unix_ns)
        self._show()

    def _publish(self, result: ExecutionResult, received_ns: int, unix_ns: int) -> None:
        totals = self._totals
        now_ns = self._clock.monotonic_ns()
        self._out.put(
            wire.pnl_metric,
            result.trace_id,
            self._out.sequence,
            totals.slot,
            result.strategy,
            totals.trades,
            totals.landed_ok,
            totals.landed_failed,
            totals.not_landed,
            totals.wins,
            totals.losses,
            totals.pnl_lamports,
            totals.peak_pnl_lamports,
            totals.drawdown_lamports,
            totals.expected_pnl_lamports,
            totals.fees_lamports,
            totals.tips_lamports,
            totals.wallet_lamports,
            totals.win_rate_ppm,
            now_ns,
            unix_ns,
        )
        self._counters.record(self._stage, now_ns - received_ns)

    def _show(self) -> None:
        """The totals as gauges; signed ones in two's complement."""
        counters, totals = self._counters, self._totals
        for name in ("trades", "landed_ok", "landed_failed", "not_landed", "wins", "losses", "pnl_lamports"):
            counters.set(counters.index(name), getattr(totals, name) % U64)
        for name in (
            "peak_pnl_lamports",
            "drawdown_lamports",
            "expected_pnl_lamports",
            "unexplained_lamports",
        ):
            counters.set(counters.index(name), getattr(totals, name) % U64)
        for name in ("fees_lamports", "tips_lamports", "wallet_lamports"):
            counters.set(counters.index(name), getattr(totals, name) % U64)
