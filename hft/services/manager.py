"""The manager: watches everybody's counters, results and metrics; trips the kill latch; speaks on
``system``.

The latch in shared memory halts at once; it is written to disk right after, so that a restart stays halted.
The manager never resumes: that takes an explicit approval. What it says on ``system``: every change of the
latch, whoever made it, and the present state at its start and every ``SAY_AGAIN_NS``.
"""

from collections import deque
from typing import TYPE_CHECKING

import psutil

from hft import wire
from hft.runtime import killstate
from hft.services.common import Drops
from hft.services.watch import PeerWatch, kill_limits
from hft.strategy import kill_rules
from hft.strategy.costs import PPM
from hft.strategy.kill_rules import Trip, Window
from hft.wire.enums import EndState, ExecutionReason, KillState, KillTrigger

if TYPE_CHECKING:
    from hft.runtime.context import Context
    from ringbuf import Subscription

COUNTERS: tuple[str, ...] = (
    "in_executed",
    "in_metrics",
    "lost_executed",
    "lost_metrics",
    "dropped_corrupt",
    "dropped_system_no_room",
    "out_system",
    "trips",
    "latch_changes",
    "disk_errors",
    "memory_ppm",
    "slot",
)
HISTOGRAMS: tuple[str, ...] = ("handoff_executor_manager_ns",)

POLL_LIMIT = 64
CHECK_NS = 50_000_000
"""Time between two looks at the peers' pages."""
SLOW_CHECK_NS = 1_000_000_000
SAY_AGAIN_NS = 10_000_000_000


def build(ctx: "Context") -> "Manager":
    """The manager of a run, attached to its links and its peers' pages."""
    return Manager(ctx)


class Manager:
    """See the module."""

    def __init__(self, ctx: "Context") -> None:
        settings = ctx.config.manager
        self._ctx = ctx
        self._clock = ctx.clock
        self._control = ctx.control
        self._counters = ctx.counters
        self.primary: Subscription = ctx.subscription("executed")
        self._metrics = ctx.subscription("metrics")
        self._out = Drops(ctx, "system")
        self._limits = kill_limits(settings)
        self._watch = PeerWatch(ctx, self._limits)
        self._errors = Window(self._limits.window_ns)
        self._failures = Window(self._limits.window_ns)
        self._memory: deque[int] = deque(maxlen=max(settings.window_s, settings.minimum_samples))
        self._seen_running = False
        self._killed = False
        self._trips = 0
        self._next_check_ns = 0
        self._next_slow_check_ns = 0
        self._next_say_ns = 0
        self._last_trace = bytes(16)
        self._on_disk = True
        index = ctx.counters.index
        self._in_executed, self._in_metrics = index("in_executed"), index("in_metrics")
        self._corrupt = index("dropped_corrupt")
        self._handoff = ctx.counters.histogram_index("handoff_executor_manager_ns")

    def on_start(self) -> None:
        """Says what the latch says."""
        self._killed = self._control.killed
        self._trips = self._control.kill_info().trips
        self._say(self._clock.monotonic_ns(), None)

    def do_work(self) -> int:
        """Takes results and metrics; a drawdown or an error rate trips right here."""
        count = self.primary.poll(self._on_result, POLL_LIMIT)
        return count + self._metrics.poll(self._on_metric, POLL_LIMIT)

    def on_housekeeping(self, now_ns: int) -> None:
        """Follows the latch, looks at the peers every ``CHECK_NS``."""
        if self._control.killed is not self._killed:
            self._follow(now_ns)
        if not self._on_disk:
            self._persist()
        if now_ns >= self._next_check_ns:
            self._next_check_ns = now_ns + CHECK_NS
            self._check(now_ns)
        if now_ns >= self._next_slow_check_ns:
            self._next_slow_check_ns = now_ns + SLOW_CHECK_NS
            self._check_memory()
        if now_ns >= self._next_say_ns:
            self._say(now_ns, None)
        counters = self._counters
        counters.set(counters.index("lost_executed"), self.primary.lost)
        counters.set(counters.index("lost_metrics"), self._metrics.lost)

    def on_close(self) -> None:
        self._out.close()

    def _on_result(self, view: memoryview) -> None:
        now_ns = self._clock.monotonic_ns()
        self._counters.add(self._in_executed)
        try:
            result = wire.execution_result.decode(view)
            state, reason = EndState(result.end_state), ExecutionReason(result.reason)
        except (wire.WireError, ValueError):
            self._counters.add(self._corrupt)
            return
        self._counters.record(self._handoff, max(now_ns - result.settled_ns, 0))
        if not kill_rules.is_execution_sample(state, reason):
            return
        self._last_trace = result.trace_id
        self._errors.add(now_ns, kill_rules.is_error(state))
        self._failures.add(now_ns, kill_rules.is_settlement_failure(state, reason))
        self._judge(kill_rules.error_rate(*self._errors.rate(now_ns), self._limits))
        self._judge(kill_rules.settlement_failures(*self._failures.rate(now_ns), self._limits))

    def _on_metric(self, view: memoryview) -> None:
        self._counters.add(self._in_metrics)
        try:
            metric = wire.pnl_metric.decode(view)
        except wire.WireError:
            self._counters.add(self._corrupt)
            return
        start_lamports = metric.wallet_lamports - metric.pnl_lamports
        peak = start_lamports + metric.peak_pnl_lamports
        landed = metric.landed_ok + metric.landed_failed
        self._judge(kill_rules.drawdown(metric.drawdown_lamports, peak, landed, self._limits))

    def _check(self, now_ns: int) -> None:
        """Heartbeats, market data, slots and the wallet, as the peers' pages show them."""
        if not self._ctx.stop_requested:
            for trip in self._watch.trips(now_ns):
                self._judge(trip)
            self._counters.set(self._counters.index("slot"), self._watch.slot)

    def _check_memory(self) -> None:
        memory = psutil.virtual_memory()
        used_ppm = (memory.total - memory.available) * PPM // memory.total
        self._counters.set(self._counters.index("memory_ppm"), used_ppm)
        self._memory.append(used_ppm)
        self._judge(kill_rules.memory(self._memory, self._limits))

    def _judge(self, trip: Trip | None) -> None:
        """Trips the latch in shared memory first, then on disk, then says so."""
        if trip is None or self._control.killed:
            return
        now_ns = self._clock.monotonic_ns()
        if not self._control.trip(trip.trigger, self._ctx.name, trip.message, now_ns, self._clock.unix_ns()):
            return
        self._killed = True
        self._trips += 1
        self._counters.add(self._counters.index("trips"))
        self._persist()
        self._say(now_ns, trip)

    def _follow(self, now_ns: int) -> None:
        """The latch changed without the manager: by hand, or by an approved resume."""
        self._killed = self._control.killed
        self._counters.add(self._counters.index("latch_changes"))
        if self._killed:
            self._persist()
        else:
            self._errors.clear()
            self._failures.clear()
            self._memory.clear()
            self._watch.restart(now_ns)
        self._say(now_ns, None)

    def _persist(self) -> None:
        """The latch to disk. A kill that can't be written still halts, and is tried again."""
        info = self._control.kill_info()
        try:
            trigger = KillTrigger(info.reason)
        except ValueError:
            trigger = KillTrigger.CORRUPT
        try:
            killstate.trip(self._ctx.run.state_dir, trigger, info.by, info.message, info.unix_ns)
            self._on_disk = True
        except OSError:
            self._on_disk = False
            self._counters.add(self._counters.index("disk_errors"))

    def _say(self, now_ns: int, trip: Trip | None) -> None:
        """The present state on the system link."""
        self._next_say_ns = now_ns + SAY_AGAIN_NS
        info = self._control.kill_info()
        killed = self._control.killed
        self._out.put(
            wire.kill_switch,
            self._last_trace if trip is not None else bytes(16),
            self._out.sequence,
            self._watch.slot,
            KillState.KILLED if killed else KillState.RUNNING,
            info.reason if killed else KillTrigger.NONE,
            trip.observed if trip is not None else 0,
            trip.limit if trip is not None else 0,
            wire.fit_text(info.by, 32),
            wire.fit_text(info.message, 128),
            info.monotonic_ns,
            info.unix_ns,
        )
