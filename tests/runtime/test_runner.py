"""The only hot loop, stepped by hand: heartbeat, housekeeping, halt, drain."""

import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

import ringbuf
from hft.runtime import cpus, state, topology
from hft.runtime.clock import ManualClock
from hft.runtime.context import Context, Run
from hft.runtime.notify import Notifier
from hft.runtime.runner import HOUSEKEEPING_NS, Runner, roused
from hft.runtime.segments import Segments, declared_page
from hft.runtime.service import ServiceState

PARKED_AT = 512
"""Where a ring's segment has a bit for each reader that sleeps."""


class Worker:
    """A service that does what it is told to have waiting."""

    def __init__(self) -> None:
        self.waiting = 0
        self.in_flight = 0
        self.housekept: list[int] = []

    def on_start(self) -> None: ...

    def do_work(self) -> int:
        done, self.waiting = min(self.waiting, 2), max(self.waiting - 2, 0)
        return done

    def pending(self) -> int:
        return self.in_flight

    def on_housekeeping(self, now_ns: int) -> None:
        self.housekept.append(now_ns)

    def on_close(self) -> None:
        self.in_flight = 0


class Idler:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[int] = []

    def idle(self, work_count: int) -> None:
        self.told.append(work_count)


class Stepped:
    """A runner with its parts at hand."""

    def __init__(self, run: Run, *, source: bool = False) -> None:
        self.clock = ManualClock()
        self.ctx = Context("scanner", run, self.clock)
        self.worker, self.idler = Worker(), Idler()
        self.runner = Runner(self.ctx, self.worker, self.idler, source=source)

    def counter(self, name: str) -> int:
        return self.ctx.counters.read()[name]


@pytest.fixture
def stepped(run: Run, segments: Segments) -> Iterator[Stepped]:
    made = Stepped(run)
    yield made
    made.ctx.close()


def test_a_cycle_works_then_idles_with_what_it_did(stepped: Stepped) -> None:
    stepped.worker.waiting = 3
    assert all(stepped.runner.step() for _ in range(3))
    assert stepped.idler.told == [2, 1, 0]


def test_housekeeping_and_heartbeat_come_about_every_twenty_milliseconds(stepped: Stepped) -> None:
    for _ in range(100):
        stepped.runner.step()
        stepped.clock.advance(1_000_000)
    beats = stepped.worker.housekept
    assert [later - earlier for earlier, later in itertools.pairwise(beats)] == [HOUSEKEEPING_NS] * 4
    assert stepped.ctx.counters.heartbeat_ns == beats[-1]
    stepped.clock.advance(HOUSEKEEPING_NS)
    stepped.runner.step()
    assert stepped.counter("runner_cycles") == 101
    assert stepped.counter("runner_memory_bytes") > 1_000_000


def test_time_is_booked_to_its_regime(stepped: Stepped) -> None:
    """A cycle of 4 ms of work, then 6 ms of nothing; a housekeeping every other time."""

    class Slow(Worker):
        def do_work(self) -> int:
            done = super().do_work()
            stepped.clock.advance(4_000_000 if done else 1_000_000)
            return done

    stepped.runner._service = worker = Slow()
    stepped.runner.step()
    before = stepped.counter("runner_caught_up_ns")
    for _ in range(10):
        worker.waiting = 1
        for _ in range(7):
            stepped.runner.step()
    booked = stepped.counter("runner_processing_ns"), stepped.counter("runner_caught_up_ns") - before
    assert booked == (40_000_000, 60_000_000)
    assert stepped.counter("runner_backpressured_ns") == 0
    assert stepped.counter("runner_cpu_ns") > 0
    assert 0 < stepped.counter("runner_last_cpu") <= 4096
    assert stepped.counter("runner_minor_faults") > 0


def test_row_11_a_jump_of_the_wall_clock_changes_no_timer(stepped: Stepped) -> None:
    stepped.runner.step()
    for hours in (1, -2):
        stepped.clock.jump_wall(hours * 3_600_000_000_000)
        stepped.runner.step()
    assert len(stepped.worker.housekept) == 1


def test_the_kill_latch_shows_on_the_page_with_its_time(stepped: Stepped, segments: Segments) -> None:
    stepped.ctx.counters.set_state(ServiceState.RUNNING)
    stepped.runner.step()
    segments.control.trip(1, "test", "x", 5, 6)
    stepped.clock.advance(7)
    stepped.runner.step()
    assert stepped.ctx.counters.state == ServiceState.HALTED
    assert stepped.counter("runner_halted_ns") == stepped.clock.monotonic_ns()
    segments.control.reset("test", "all is well")
    stepped.runner.step()
    assert stepped.ctx.counters.state == ServiceState.RUNNING
    assert (stepped.counter("runner_halted_ns"), stepped.counter("runner_halts")) == (0, 1)


def test_a_trip_in_mid_cycle_is_shown_before_the_cycle_ends(stepped: Stepped, segments: Segments) -> None:
    page, seen = stepped.ctx.counters, []

    class Busy(Worker):
        def do_work(self) -> int:
            segments.control.trip(1, "test", "x", 5, 6)
            seen.append((page.state, stepped.counter("runner_halted_ns")))
            return 1

    stepped.runner._service = Busy()
    page.set_state(ServiceState.RUNNING)
    stepped.clock.advance(7)
    with roused(stepped.ctx, stepped.runner.look):
        stepped.runner.step()
    assert seen == [(ServiceState.HALTED, stepped.clock.monotonic_ns())]
    segments.control.trip(1, "test", "nobody is roused any more", 5, 6)
    assert stepped.counter("runner_halts") == 1


def test_a_trip_while_a_resume_is_being_shown_is_shown_after_it(run: Run, segments: Segments) -> None:
    class Tripping(Listener):
        def _send(self, message: str, wait_s: float = 0.0) -> None:
            super()._send(message, wait_s)
            if message == "STATUS=running":
                segments.control.trip(1, "test", "again", 5, 6)

    ctx, listener = Context("scanner", run, ManualClock()), Tripping()
    runner = Runner(ctx, Worker(), Idler(), source=False, notifier=listener)
    segments.control.trip(1, "test", "x", 5, 6)
    with roused(ctx, runner.look):
        runner.step()
        segments.control.reset("test", "all is well")
        runner.step()
    assert [message.split(":")[0] for message in listener.heard] == [
        "STATUS=HALTED",
        "STATUS=running",
        "STATUS=HALTED",
    ]
    assert ctx.counters.state == ServiceState.HALTED
    assert ctx.counters.read()["runner_halts"] == 2
    ctx.close()


SLEEPER = """
import sys
from pathlib import Path
from hft.runtime import idle, process
idle.PARK_LIMIT_NS = 3_600_000_000_000
sys.exit(process.run("manager", Path(sys.argv[1])))
"""


def test_a_trip_rouses_a_service_that_sleeps(run: Run) -> None:
    run = replace(run, idle=dict.fromkeys(run.idle, "park"), supervisor_pid=os.getpid())
    state.write_atomic(run.state_dir / state.RUN_FILE, run.to_json())
    segments = Segments.create(
        run, {spec.name: declared_page(spec.name) for spec in topology.services("paper")}
    )
    page = segments.pages["manager"]
    child = subprocess.Popen([sys.executable, "-c", SLEEPER, str(run.state_dir / state.RUN_FILE)])
    try:
        until(lambda: page.state == ServiceState.RUNNING and is_parked(segments.rings["executed"]))
        segments.control.trip(1, "test", "x", 5, 6)
        until(lambda: page.state == ServiceState.HALTED)
        assert child.poll() is None
    finally:
        child.kill()
        child.wait()
        segments.remove()


def is_parked(ring: ringbuf.Ring) -> bool:
    """Does a reader of it sleep?"""
    return ring._segment.load(PARKED_AT) & 0xFFFFFFFF != 0


def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.002)


def test_row_34_a_drain_takes_what_waits_and_what_is_in_flight(stepped: Stepped) -> None:
    stepped.worker.waiting, stepped.worker.in_flight = 5, 1
    stepped.ctx.stop_requested = True
    for _ in range(20):
        assert stepped.runner.step()
    assert stepped.worker.waiting == 0
    assert stepped.ctx.counters.state == ServiceState.DRAINING
    stepped.worker.in_flight = 0
    steps = 1
    while stepped.runner.step():
        steps += 1
    assert steps <= 3
    assert not stepped.runner.timed_out


def test_gauges_are_shown_once_more_when_a_drain_is_over(stepped: Stepped) -> None:
    stepped.runner.step()
    housekept = len(stepped.worker.housekept)
    stepped.ctx.stop_requested = True
    while stepped.runner.step():
        pass
    assert len(stepped.worker.housekept) == housekept + 1


class Listener(Notifier):
    """Keeps what systemd would hear."""

    def __init__(self, watchdog_ns: int = 0) -> None:
        super().__init__("", watchdog_ns)
        self.heard: list[str] = []

    def _send(self, message: str, wait_s: float = 0.0) -> None:
        self.heard.append(message)


def test_the_watchdog_is_fed_by_turning_cycles_alone(run: Run, segments: Segments) -> None:
    clock, listener = ManualClock(), Listener(watchdog_ns=30_000_000)
    ctx = Context("scanner", run, clock)
    runner = Runner(ctx, Worker(), Idler(), source=False, notifier=listener)
    for _ in range(10):
        clock.advance(HOUSEKEEPING_NS)
        runner.step()
    assert listener.heard == ["WATCHDOG=1"] * 10
    clock.advance(60_000_000_000)
    assert len(listener.heard) == 10
    segments.control.trip(1, "test", "x", 5, 6)
    runner.step()
    assert listener.heard[10:] == [
        "STATUS=HALTED: the kill latch is set, nothing new is submitted",
        "WATCHDOG=1",
    ]
    ctx.stop_requested = True
    runner.step()
    assert listener.heard[12].startswith("STOPPING=1\nSTATUS=draining")
    ctx.close()


def test_row_34_a_drain_that_never_ends_is_cut_at_its_limit(stepped: Stepped) -> None:
    stepped.worker.in_flight = 1
    stepped.ctx.stop_requested = True
    assert stepped.runner.step()
    stepped.clock.advance(stepped.ctx.config.hft.drain_limit_ms * 1_000_000)
    assert not stepped.runner.step()
    stepped.worker.on_close()
    assert stepped.runner.timed_out


def test_a_source_stops_at_once_since_its_input_never_ends(run: Run, segments: Segments) -> None:
    stepped = Stepped(run, source=True)
    stepped.worker.waiting = 100
    stepped.ctx.stop_requested = True
    assert not stepped.runner.step()
    assert stepped.worker.waiting == 100
    stepped.ctx.close()


def test_a_context_gives_only_the_ends_that_the_topology_gives(stepped: Stepped) -> None:
    with pytest.raises(ValueError, match="link planned is written by planner, not by scanner"):
        stepped.ctx.publication("planned")
    with pytest.raises(ValueError, match="link executed is not read by scanner"):
        stepped.ctx.subscription("executed")
    assert stepped.ctx.publication("opportunities") is stepped.ctx.publication("opportunities")
    assert not stepped.ctx.subscription("market_data").gating


def test_row_03_another_schema_is_refused(run: Run, segments: Segments) -> None:
    segments.rings["market_data"].unlink()
    other = ringbuf.Ring.create(run.segment("ring", "market_data"), depth=64, mtu=256, schema_hash=1)
    ctx = Context("scanner", run)
    with pytest.raises(ringbuf.SegmentMismatch, match="schema hash is 1"):
        ctx.subscription("market_data")
    ctx.close()
    other.close()
    other.unlink()


def test_a_successor_goes_on_where_its_predecessor_stopped(run: Run, segments: Segments) -> None:
    feed = Context("feed", run)
    out = feed.publication("market_data")
    first = Context("scanner", run)
    first.subscription("market_data")
    for number in range(3):
        out.offer(bytes([number]))
    assert first.subscription("market_data").take() == b"\0"
    first.close()
    figures = segments.rings["market_data"].stats()["subscriptions"]
    assert [(entry["label"], entry["cursor"]) for entry in figures] == [("scanner", 1)]
    feed.close()


def test_a_thread_that_waits_for_a_disk_leaves_a_core_that_works_in_real_time(
    run: Run, segments: Segments
) -> None:
    here = cpus.available()
    if len(here) < 2:
        pytest.skip("nobody runs in real time on one CPU")
    placed = cpus.assign(here[:2]).cpus
    seen: dict[str, tuple[int, ...]] = {}

    def note(ctx: Context, idle: str) -> None:
        cpus.pin(placed[ctx.name])
        ctx.step_aside()
        seen[f"{ctx.name} {idle}"] = cpus.available()

    for name, idle in (("executor", "park"), ("executor", "yield"), ("auditor", "park")):
        ctx = Context(name, replace(run, cpus=placed, idle=dict.fromkeys(placed, idle)))
        thread = threading.Thread(target=note, args=(ctx, idle))
        thread.start()
        thread.join()
        ctx.close()
    assert seen == {
        "executor park": here[:1],
        "executor yield": here[1:2],
        "auditor park": here[:1],
    }
    assert cpus.available() == here
