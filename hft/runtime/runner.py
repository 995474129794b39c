"""The only hot loop: everything a service process does besides its service's own decisions.

Order of a life: pin → attach → build → on_start → collect and freeze the heap → real time → duty cycles →
(SIGTERM) drain → on_close. A duty cycle is: stop asked? · do_work · housekeeping when due · idle. The kill
latch is shown on the page (RUNNING or HALTED) and stamped: between two cycles, and at once when a trip rouses
the process, be it asleep or in the midst of a cycle. What a halt means is the service's own business, which
looks at the latch itself where it matters.
"""

import contextlib
import importlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Protocol, TextIO, cast

import ringbuf
from hft.runtime import cpus, garbage, idle, state
from hft.runtime.clock import Clock
from hft.runtime.context import Context, Run
from hft.runtime.exit_codes import ExitCode
from hft.runtime.notify import Notifier
from hft.runtime.real_time import RealTime
from hft.runtime.service import Service, ServiceState
from hft.runtime.topology import service as service_spec
from hft.runtime.usage import Usage, lock_memory

HOUSEKEEPING_NS = 20_000_000
"""Time between two housekeepings, heartbeats among them."""

SLOW_HOUSEKEEPING_EVERY = 50
"""Housekeepings between two readings of memory, about a second."""

QUIET_CYCLES = 3
"""Empty duty cycles in a row, with nothing pending, after which a drain is complete."""


class _Module(Protocol):
    def build(self, ctx: Context) -> Service: ...


class Log:
    """Plain lines of a process's life: start, stop, errors. Never called from a duty cycle that goes well."""

    def __init__(self, name: str, clock: Clock, out: TextIO | None = None) -> None:
        self._name = name
        self._clock = clock
        self._out = out or sys.stderr

    def line(self, text: str) -> None:
        """Write one line with the date and the service's name."""
        seconds = self._clock.unix_ns() // 1_000_000_000
        self._out.write(f"{_utc(seconds)} {self._name}: {text}\n")
        self._out.flush()


def _utc(seconds: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Runner:
    """Steps one service. ``step`` is a whole duty cycle, so that a test can drive the loop by hand."""

    def __init__(
        self,
        ctx: Context,
        service: Service,
        idle_strategy: ringbuf.Idle,
        *,
        source: bool,
        notifier: Notifier | None = None,
        real_time: RealTime | None = None,
    ) -> None:
        """``source``: the service's input never ends; ``notifier``: who wants to hear that it is alive;
        ``real_time``: what to take back when there is nothing to do."""
        self._ctx = ctx
        self._notifier = notifier or Notifier()
        self._service = service
        self._idle = idle_strategy
        self._real_time = real_time
        self._source = source
        self._next_housekeeping_ns = 0
        self._housekeepings = 0
        self._quiet = 0
        self._drain_until_ns = 0
        self._latch = ctx.control.latch
        self._halted = self._looking = False
        self._ground_gone = self._timed_out = False
        counters = ctx.counters
        self._cycles = counters.index("runner_cycles")
        self._busy_cycles = counters.index("runner_busy_cycles")
        self._halted_ns = counters.index("runner_halted_ns")
        self._halts = counters.index("runner_halts")
        self._gc_runs = counters.index("runner_gc_runs")
        self._given_up = counters.index("runner_real_time_given_up")
        self._collector = garbage.Collector(ctx.clock.monotonic_ns)
        self._usage = Usage(ctx)
        self._cycle_ns = counters.histogram_index("runner_cycle_ns")
        self._cycle_count = 0
        self._busy_count = 0

    def step(self) -> bool:
        """One duty cycle; False when the service has drained and may close."""
        ctx = self._ctx
        if (not self._latch) is self._halted:
            self.look()
        if ctx.stop_requested:
            return self._drain_step()
        begin_ns = ctx.clock.monotonic_ns()
        done = self._service.do_work()
        now_ns = ctx.clock.monotonic_ns()
        self._cycle_count += 1
        if done > 0:
            self._busy_count += 1
            self._usage.busy_ns += now_ns - begin_ns
            ctx.counters.record(self._cycle_ns, now_ns - begin_ns)
        if now_ns >= self._next_housekeeping_ns:
            self._housekeeping(now_ns, idle_now=done == 0)
        self._idle.idle(done)
        return True

    def look(self) -> None:
        """Shows on the page what the latch says. A signal's handler too: it may come anywhere, within a look
        as well, which then looks once more.
        """
        if self._looking:
            return
        self._looking = True
        while (not self._latch) is self._halted:
            self._show_halt(not self._halted)
        self._looking = False

    @property
    def ground_gone(self) -> bool:
        """Did it stop since the keeper of its shared memory is gone?"""
        return self._ground_gone

    @property
    def timed_out(self) -> bool:
        """Did the drain end by its limit, with work still in flight?"""
        return self._timed_out

    def _drain_step(self) -> bool:
        now_ns = self._ctx.clock.monotonic_ns()
        if self._drain_until_ns == 0:
            self._drain_until_ns = now_ns + self._ctx.config.hft.drain_limit_ms * 1_000_000
            self._ctx.counters.set_state(ServiceState.DRAINING)
            self._notifier.stopping("draining: what is under way is taken to its end")
        if now_ns >= self._drain_until_ns or (self._source and self._pending() == 0):
            return self._drained(now_ns)
        done = self._service.do_work()
        if now_ns >= self._next_housekeeping_ns:
            self._housekeeping(now_ns, idle_now=False)
        self._quiet = 0 if done > 0 or self._pending() > 0 else self._quiet + 1
        if self._quiet >= QUIET_CYCLES:
            return self._drained(now_ns)
        self._idle.idle(done)
        return True

    def _drained(self, now_ns: int) -> bool:
        """A last housekeeping: gauges show what is left, not what was under way some milliseconds ago."""
        self._timed_out = self._pending() > 0  # asked now: a close gives up what is in flight
        self._housekeeping(now_ns, idle_now=False)
        return False

    def _pending(self) -> int:
        pending = getattr(self._service, "pending", None)
        return 0 if pending is None else int(pending())

    def _housekeeping(self, now_ns: int, *, idle_now: bool) -> None:
        counters = self._ctx.counters
        counters.beat(now_ns)
        counters.add(self._cycles, self._cycle_count)
        counters.add(self._busy_cycles, self._busy_count)
        self._cycle_count = self._busy_count = 0
        self._service.on_housekeeping(now_ns)
        self._notifier.alive(now_ns)
        self._usage.take(now_ns)
        self._housekeepings += 1
        if self._housekeepings % SLOW_HOUSEKEEPING_EVERY == 1:
            self._usage.ask_kernel()
            self._watch_ground()
            self._watch_real_time(idle_now)
        if self._collector.tidy(now_ns, idle_now=idle_now):
            counters.add(self._gc_runs)
        self._next_housekeeping_ns = now_ns + HOUSEKEEPING_NS

    def _watch_real_time(self, idle_now: bool) -> None:
        if self._real_time is not None:
            if idle_now:
                self._real_time.again()
            self._ctx.counters.set(self._given_up, self._real_time.given_up)

    def _watch_ground(self) -> None:
        """A service by itself drains when the process that keeps its shared memory is gone."""
        run = self._ctx.run
        if run.standing and state.holder(run.state_dir) != run.supervisor_pid:
            self._ground_gone = self._ctx.stop_requested = True

    def _show_halt(self, halted: bool) -> None:
        counters = self._ctx.counters
        self._halted = halted
        counters.set(self._halted_ns, self._ctx.clock.monotonic_ns() if halted else 0)
        if halted:
            counters.add(self._halts)
        if not self._ctx.stop_requested:
            counters.set_state(ServiceState.HALTED if halted else ServiceState.RUNNING)
        self._notifier.status(status_of(halted))


def status_of(halted: bool) -> str:
    """What a service manager shows of a service that runs."""
    return "HALTED: the kill latch is set, nothing new is submitted" if halted else "running"


def run_service(name: str, run: Run, clock: Clock, log: Log, notifier: Notifier | None = None) -> ExitCode:
    """The life of one service process, from pinning to the exit code.

    ``notifier``: hears when it is ready, alive and stopping.
    """
    ctx = Context(name, run, clock)
    spec = service_spec(name)
    try:
        ctx.counters.own()
        ctx.counters.set_state(ServiceState.STARTING)
        ctx.counters.beat(clock.monotonic_ns())
        _handle_signals(ctx)
        why_not = cpus.pin(run.cpus.get(name, ()))
        if why_not:
            log.line(f"runs unpinned: {why_not}")
        if name in cpus.RECORDING:
            os.nice(run.config.cpus.nice)
        module = cast(_Module, importlib.import_module(spec.module))
        service = module.build(ctx)
        code = _serve(ctx, service, spec.source, log, notifier or Notifier())
        ctx.counters.set_state(ServiceState.STOPPED if code == ExitCode.OK else ServiceState.FAILED)
        return code
    except BaseException:
        ctx.counters.set_state(ServiceState.FAILED)
        raise
    finally:
        ctx.close()


def _serve(ctx: Context, service: Service, source: bool, log: Log, notifier: Notifier) -> ExitCode:
    strategy = idle.make(ctx.run.idle[ctx.name], service)
    # Taken for the duty cycles only: who starts again beside the others must not hold them up.
    real_time = RealTime(ctx.rank) if ctx.rank else None
    runner = Runner(ctx, service, strategy, source=source, notifier=notifier, real_time=real_time)
    try:
        service.on_start()
        garbage.freeze()
        owned = ctx.run.cpus.get(ctx.name, ())
        ctx.counters.set(ctx.counters.index("runner_cpu"), owned[0] + 1 if len(owned) == 1 else 0)
        ctx.counters.beat(ctx.clock.monotonic_ns())
        ctx.counters.set_state(ServiceState.HALTED if ctx.control.killed else ServiceState.RUNNING)
        memory = ", memory locked" if lock_memory() else ""
        log.line(
            f"runs, pid {os.getpid()}, CPU {cpus.format_list(owned) or 'any'}, "
            f"idle {ctx.run.idle[ctx.name]}{'' if real_time is None else real_time.begin()}{memory}"
        )
        notifier.ready(status_of(ctx.control.killed))
        with roused(ctx, runner.look):
            while runner.step():
                pass
    finally:
        service.on_close()
    if runner.ground_gone:
        log.line("error: the process that keeps the shared memory (hft shm up) is gone")
        return ExitCode.SEGMENT_MISSING
    if runner.timed_out:
        log.line("the drain limit passed with work still in flight")
        return ExitCode.DRAIN_TIMEOUT
    log.line("drained and stopped")
    return ExitCode.OK


@contextlib.contextmanager
def roused(ctx: Context, look: Callable[[], None]) -> Iterator[None]:
    """Within, whoever trips the latch has ``look`` called in this process at once: in a sleep, which then
    goes on, and between two steps of the interpreter. Only a call into C that takes long keeps it waiting.
    """
    signal.signal(ringbuf.ROUSE, lambda _number, _frame: look())
    try:
        ctx.control.register(ctx.name)
        yield
    finally:
        signal.signal(ringbuf.ROUSE, signal.SIG_IGN)


def _handle_signals(ctx: Context) -> None:
    def stop(_number: int, _frame: FrameType | None) -> None:
        ctx.stop_requested = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
