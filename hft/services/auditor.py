"""The auditor: results → ledger → running profit and loss on ``metrics``.

Each result is booked once, by plan id and by signature; one delivered twice is counted and ignored. What is
taken from the link is in the spool before it counts as read, so that a crash loses nothing; while the
ledger can't be written it stays there, and is tried again with back-off. The spool is bounded: full, the
link waits, then the executor, which takes no more plans. What is booked is told once, though a crash come
between the two.

Counters: in_executed + recovered_results = booked_results + dropped_duplicate + dropped_corrupt +
held_results, and booked_results = out_metrics + held_metrics, but for those of an earlier run, which are
booked and not told again.
"""

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from hft import wire
from hft.runtime.exit_codes import ExitCode, HftError
from hft.services.common import SYSTEM_COUNTERS, Outbox, SystemLink
from hft.services.ledger import Booking, Ledger, bookable, trade_of
from hft.services.ledger_place import LedgerError, place_of
from hft.services.money import GAUGES, Gauges, pnl_message
from hft.services.spool import FILE_NAME, Spool, Spooled
from hft.services.strategies import places_of
from hft.strategy.pnl import Accounts, Totals, unexplained
from hft.wire import ExecutionResult

if TYPE_CHECKING:
    from hft.runtime.context import Context

COUNTERS: tuple[str, ...] = (
    *("in_executed", "recovered_results", "booked_results", "held_results", "ledger_errors"),
    *("dropped_corrupt", "dropped_duplicate", "spool_errors", "spool_full_cycles", "spool_cut_bytes"),
    *("in_planned", "lost_planned", "dropped_planned_corrupt", "plans_seen"),
    *("out_metrics", "blocked_metrics", "held_metrics"),
    *GAUGES,
    *SYSTEM_COUNTERS,
)
STRATEGY_COUNTERS: tuple[str, ...] = GAUGES
HISTOGRAMS: tuple[str, ...] = ("handoff_executor_auditor_ns", "stage_auditor_ns", "ledger_write_ns")

BATCH_LIMIT = 64
SPOOL_LIMIT = 4_096
"""Results that wait for the ledger at most: several seconds at the greatest rate."""
RETRY_NS = 100_000_000
RETRY_LIMIT_NS = 5_000_000_000


class _Waiting(NamedTuple):
    """A result that is not in the ledger. ``received_ns``: monotonic."""

    result: ExecutionResult
    run_id: bytes
    unix_ns: int
    received_ns: int


def build(ctx: "Context") -> "Auditor":
    """The auditor of a run, attached to its links; opens the ledger in ``on_start``."""
    return Auditor(ctx)


class Auditor:
    """See the module."""

    def __init__(self, ctx: "Context") -> None:
        self._ctx = ctx
        self._clock = ctx.clock
        self._counters = ctx.counters
        self._run_id = ctx.run.run_id
        self.primary = ctx.subscription("executed")
        self._planned = ctx.subscription("planned")
        self._out = Outbox(ctx, "metrics")
        self._system = SystemLink(ctx)
        self._ledger = Ledger(place_of(ctx.run.state_dir, ctx.config.auditor), ctx.run)
        self._accounts: Accounts | None = None
        self._waiting: deque[_Waiting] = deque()
        self._retry_ns, self._pause_ns = 0, RETRY_NS
        self._unsafe = False  # something waits that is not on disk
        index = ctx.counters.index
        self._in, self._corrupt, self._duplicate = map(
            index, ("in_executed", "dropped_corrupt", "dropped_duplicate")
        )
        self._in_planned, self._plans_seen = index("in_planned"), index("plans_seen")
        self._booked, self._bad_planned = index("booked_results"), index("dropped_planned_corrupt")
        self._gauges = Gauges(ctx.counters, [index(name) for name in GAUGES])
        places = places_of(ctx, STRATEGY_COUNTERS)
        self._own_gauges = {number: Gauges(ctx.counters, found) for number, found in places.items()}
        histogram = ctx.counters.histogram_index
        self._handoff, self._stage = histogram("handoff_executor_auditor_ns"), histogram("stage_auditor_ns")
        self._write = histogram("ledger_write_ns")

    def on_start(self) -> None:
        """Takes up what a predecessor left in the spool, and opens the ledger where its database answers.

        ``HftError`` when the ledger or the spool can't be used at all; a database that is away for a while
        is waited for: the executor, which must know today's losses, does not begin without it.
        """
        folder, now_ns = self._ctx.run.state_dir, self._clock.monotonic_ns()
        try:
            self._spool = Spool(folder)
            left = self._spool.load()
        except OSError as error:
            raise HftError(f"{folder / FILE_NAME}: {error.strerror}", ExitCode.STATE_FOLDER) from error
        self._counters.set(self._counters.index("spool_cut_bytes"), self._spool.cut_bytes)
        for one in left:
            self._wait(one, now_ns)
        self._counters.add(self._counters.index("recovered_results"), len(left))
        self._open()

    def do_work(self) -> int:
        """Takes results, books them in one transaction, publishes the totals after each."""
        count = self._planned.poll(self._on_planned, BATCH_LIMIT) + self._out.flush()
        room = SPOOL_LIMIT - len(self._waiting)
        if room > 0 and not self._unsafe:
            count += self.primary.poll(self._on_result, min(room, BATCH_LIMIT))
        else:
            self._counters.add(self._counters.index("spool_full_cycles"))
        if self._waiting and self._clock.monotonic_ns() >= self._retry_ns:
            self._book()
        return count

    def pending(self) -> int:
        return len(self._waiting) + self._out.held

    def on_housekeeping(self, now_ns: int) -> None:
        self._system.poll()
        counters = self._counters
        if self._accounts is None and now_ns >= self._retry_ns:
            self._open()
        if not self._waiting:
            self._spool.clear()
            self._unsafe = False
        counters.set(counters.index("held_results"), len(self._waiting))
        counters.set(counters.index("held_metrics"), self._out.held)
        counters.set(counters.index("lost_planned"), self._planned.lost)

    def on_close(self) -> None:
        """What can't be booked now stays in the spool for the next start."""
        if self._waiting:
            self._book()
        self._counters.set(self._counters.index("held_results"), len(self._waiting))
        self._spool.close()
        self._ledger.close()
        self._out.close()

    def _open(self) -> None:
        try:
            accounts = self._ledger.open()
            untold = self._ledger.untold(self._out.sequence)
        except LedgerError as error:
            if not error.temporary:
                raise
            self._later()
            return
        self._accounts = accounts
        for message in untold:
            self._out.put_message(message)
        self._show(accounts)

    def _show(self, accounts: Accounts) -> None:
        self._gauges.show(accounts.total)
        for number, gauges in self._own_gauges.items():
            gauges.show(accounts.strategies.get(number, Totals()))

    def _later(self) -> None:
        """The ledger refuses: try again after a pause that doubles."""
        self._counters.add(self._counters.index("ledger_errors"))
        self._retry_ns = self._clock.monotonic_ns() + self._pause_ns
        self._pause_ns = min(2 * self._pause_ns, RETRY_LIMIT_NS)
        self._spool.flush()

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
        one = Spooled(self._run_id, self._clock.unix_ns(), bytes(view))
        try:
            self._spool.append(one)
        except OSError:  # a full disk: it waits in memory, and nothing more is taken until it is booked
            self._unsafe = True
            self._counters.add(self._counters.index("spool_errors"))
        self._wait(one, now_ns)

    def _wait(self, one: Spooled, now_ns: int) -> None:
        try:
            result = wire.execution_result.decode(one.message)
            sound = bookable(result)
        except (wire.WireError, ValueError):
            sound = False
        if not sound:
            self._counters.add(self._corrupt)
            return
        self._counters.record(self._handoff, max(now_ns - result.settled_ns, 0))
        self._waiting.append(_Waiting(result, one.run_id, one.unix_ns, now_ns))

    def _book(self) -> None:
        """What waits, a batch in one transaction; on an error everything stays and is tried again."""
        if self._accounts is None:
            return
        began_ns = self._clock.monotonic_ns()
        batch = [self._waiting[place] for place in range(min(BATCH_LIMIT, len(self._waiting)))]
        try:
            new = self._ledger.new([(one.run_id, one.result) for one in batch])
            bookings, accounts = self._bookings([one for one, first in zip(batch, new, strict=True) if first])
            if bookings:
                self._ledger.book(bookings, self._out.told)
        except LedgerError:
            self._later()
            return
        self._pause_ns, now_ns = RETRY_NS, self._clock.monotonic_ns()
        self._counters.add(self._booked, len(bookings))
        self._counters.add(self._duplicate, len(batch) - len(bookings))
        self._counters.record(self._write, now_ns - began_ns)
        self._accounts = accounts
        self._show(accounts)
        for one in batch:
            self._waiting.popleft()
            self._counters.record(self._stage, now_ns - one.received_ns)
        for booking in bookings:
            if booking.message:
                self._out.put_message(booking.message)

    def _bookings(self, new: list[_Waiting]) -> tuple[list[Booking], Accounts]:
        """Bookings of ``new`` and the accounts after them; what an earlier run left is in its accounts."""
        accounts, sequence = self._accounts or Accounts(), self._out.sequence
        now_ns, unix_ns = self._clock.monotonic_ns(), self._clock.unix_ns()
        bookings = []
        for one in new:
            result, outside, message = one.result, 0, b""
            if one.run_id == self._run_id:
                trade = trade_of(result)
                outside = unexplained(accounts.total, trade)
                accounts = accounts.book(result.strategy, trade)
                message = pnl_message(result.trace_id, sequence, result.strategy, accounts, now_ns, unix_ns)
            bookings.append(Booking(result, outside, one.unix_ns, one.run_id, sequence, message))
            sequence += bool(message)
        return bookings, accounts
