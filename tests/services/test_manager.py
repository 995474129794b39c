"""The manager: trips the latch when it should, never when it shouldn't, and says so."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from service_support import PIPELINE, House, settings
from test_auditor import expired, failed, offer, result

from hft import wire
from hft.runtime import killstate
from hft.runtime.clock import ManualClock
from hft.runtime.service import ServiceState
from hft.wire import KillSwitch
from hft.wire.enums import EndState, ExecutionReason, KillState, KillTrigger

Make = Callable[..., House]
SECOND = 1_000_000_000


@pytest.fixture
def run(house: Make) -> House:
    made = house(settings(manager={"minimum_samples": 4, "window_s": 60}), clock=ManualClock())
    killstate.establish(made.run.state_dir, made.clock.unix_ns())
    made.open("manager")
    return made


def advance(run: House, duration_ns: int) -> None:
    """Time passes; everybody who beats beats on."""
    assert isinstance(run.clock, ManualClock)
    run.clock.advance(duration_ns)
    run.cycle()


def said(run: House) -> list[KillSwitch]:
    reader = run.reader("system", "listener")
    found = [wire.kill_switch.decode(message) for message in reader.take_batch(100)]
    reader.close()
    return found


def seen(run: House, count: int) -> None:
    run.until(lambda: run.count("manager", "in_executed") == count)


def test_it_says_the_state_at_its_start_and_again_later(run: House) -> None:
    assert [(m.state, m.trigger) for m in said(run)] == [(KillState.RUNNING, KillTrigger.NONE)]
    run.cycle()
    advance(run, 10 * SECOND)
    assert len(said(run)) == 2
    assert [m.sequence for m in said(run)] == [0, 1]


def test_row_25_the_error_rate_trips_above_its_limit_with_enough_samples(run: House) -> None:
    offer(run, result(0), result(1), result(2), failed(3), failed(4), failed(5))
    seen(run, 6)
    assert not run.control.killed  # three of six: exactly the limit
    offer(run, failed(6))
    seen(run, 7)
    assert run.control.killed
    info = run.control.kill_info()
    assert (info.reason, info.by) == (KillTrigger.ERROR_RATE, "manager")
    latch = killstate.load(run.run.state_dir)
    assert latch.killed
    assert latch.trigger is KillTrigger.ERROR_RATE
    message = said(run)[-1]
    assert (message.state, message.trigger) == (KillState.KILLED, KillTrigger.ERROR_RATE)
    assert (message.observed, message.limit) == (4 * 10**6 // 7, 500_000)
    assert wire.text(message.message) == "4 of 7 executions did not land well"
    assert wire.text(message.by) == "manager"
    assert message.trace_id == b"t" * 16
    log = [json.loads(line) for line in (run.run.state_dir / "kill_log.jsonl").read_text().splitlines()]
    assert log[-1]["trigger"] == "error_rate"


def test_row_25_a_rate_needs_its_minimum_sample(run: House) -> None:
    offer(run, failed(0), failed(1), failed(2))
    seen(run, 3)
    assert not run.control.killed
    offer(run, failed(3))
    seen(run, 4)
    assert run.control.killed


def test_old_failures_leave_the_window(run: House) -> None:
    offer(run, failed(0), failed(1), failed(2))
    seen(run, 3)
    advance(run, 60 * SECOND)
    offer(run, failed(3), result(4), result(5), result(6))
    seen(run, 7)
    assert not run.control.killed


def test_the_gates_own_refusals_are_no_errors(run: House) -> None:
    refused = [
        expired(n)._replace(end_state=EndState.REJECTED, reason=reason)
        for n, reason in enumerate(
            (ExecutionReason.RATE_LIMIT, ExecutionReason.KILLED, ExecutionReason.SIZE_LIMIT) * 4
        )
    ]
    offer(run, *refused)
    seen(run, 12)
    assert not run.control.killed


def test_submissions_that_never_arrive_trip_as_settlement_failures(house: Make) -> None:
    run = house(settings(manager={"minimum_samples": 4, "error_rate_ppm": 1_000_000}), clock=ManualClock())
    run.open("manager")
    offer(run, *(expired(n) for n in range(4)), result(4))
    seen(run, 5)
    assert run.control.killed
    assert run.control.kill_info().reason == KillTrigger.RPC_FAILURES


def metric(run: House, **changes: int) -> None:
    values: dict[str, Any] = {}
    for field in wire.pnl_metric.layout.fields:
        values[field.name] = bytes(field.bytes) if field.code.endswith("s") else 0
    values |= {"trades": 1, "landed_ok": 1, "wallet_lamports": 1_000_000} | changes
    message = bytearray(wire.pnl_metric.size)
    wire.pnl_metric.encode_into(message, *values.values())
    assert run.writer("metrics").offer(bytes(message))
    before = run.count("manager", "in_metrics")
    run.until(lambda: run.count("manager", "in_metrics") > before)


def test_row_25_drawdown_is_from_the_peak_of_equity(run: House) -> None:
    # started with 1,000,000, peaked at 1,500,000, now exactly a tenth of the peak below it
    metric(
        run,
        wallet_lamports=1_350_000,
        pnl_lamports=350_000,
        peak_pnl_lamports=500_000,
        drawdown_lamports=150_000,
    )
    assert not run.control.killed
    metric(
        run,
        wallet_lamports=1_349_999,
        pnl_lamports=349_999,
        peak_pnl_lamports=500_000,
        drawdown_lamports=150_001,
    )
    assert run.control.kill_info().reason == KillTrigger.DRAWDOWN


def test_row_25_no_trades_no_drawdown(run: House) -> None:
    metric(run, landed_ok=0, trades=0, drawdown_lamports=900_000, wallet_lamports=0)
    assert not run.control.killed


def beating(run: House, *names: str) -> None:
    for name in names:
        page = run.segments.pages[name]
        page.set_state(ServiceState.RUNNING)
        page.beat(run.clock.monotonic_ns())


def gauge(run: House, service: str, name: str, value: int) -> None:
    page = run.segments.pages[service]
    page.set(page.index(name), value)


def test_row_25_the_drawdown_of_all_strategies_together_trips(run: House) -> None:
    whole = {"wallet_lamports": 900_000, "drawdown_lamports": 100_000, "pnl_lamports": 2**64 - 100_000}
    for name, value in whole.items():
        gauge(run, "auditor", name, value)
    gauge(run, "auditor", "landed_failed", 2)
    advance(run, SECOND)
    assert not run.control.killed  # exactly a tenth of 1,000,000
    gauge(run, "auditor", "drawdown_lamports", 100_001)
    advance(run, SECOND)
    assert run.control.kill_info().reason == KillTrigger.DRAWDOWN


def test_row_23_a_service_whose_heartbeat_stops_trips_and_one_that_drains_does_not(run: House) -> None:
    beating(run, "scanner", "planner")
    run.cycle()
    run.segments.pages["planner"].set_state(ServiceState.DRAINING)
    advance(run, 5 * SECOND)
    assert not run.control.killed
    advance(run, 100_000_000)
    info = run.control.kill_info()
    assert info.reason == KillTrigger.HEARTBEAT
    assert "scanner has not beaten for 5100 ms" in info.message


@pytest.mark.parametrize("name", [name for name in PIPELINE if name not in ("simnet", "manager")])
def test_a_service_that_never_began_is_waited_for(run: House, name: str) -> None:
    run.segments.pages[name].set_state(ServiceState.STARTING)
    advance(run, 60 * SECOND)
    assert run.control.kill_info().reason != KillTrigger.HEARTBEAT


def test_row_07_no_market_data_trips(run: House) -> None:
    beating(run, "feed")
    gauge(run, "feed", "last_update_ns", run.clock.monotonic_ns())
    run.cycle()
    for _ in range(10):
        advance(run, SECOND)
        beating(run, "feed")
    assert not run.control.killed
    advance(run, SECOND)
    assert run.control.kill_info().reason == KillTrigger.NO_DATA


def test_slot_drift_trips(run: House) -> None:
    beating(run, "feed", "executor")
    for feed_slot, killed in ((950, False), (949, True)):
        gauge(run, "feed", "slot", feed_slot)
        gauge(run, "executor", "slot", 1_000)
        advance(run, 60_000_000)
        assert run.control.killed is killed
    assert run.control.kill_info().reason == KillTrigger.SLOT_DRIFT


@pytest.mark.parametrize(("change", "killed"), [(10**9, False), (-1, True)])
def test_row_31_only_money_that_left_trips(run: House, change: int, killed: bool) -> None:
    gauge(run, "auditor", "unexplained_lamports", change % 2**64)
    advance(run, 60_000_000)
    advance(run, 1_999_999_999)
    assert not run.control.killed  # results told out of order look like that for a moment
    advance(run, 60_000_000)
    assert run.control.killed is killed
    if killed:
        assert run.control.kill_info().reason == KillTrigger.UNEXPLAINED_BALANCE


def test_a_kill_by_hand_and_an_approved_resume_are_told_and_old_failures_forgotten(run: House) -> None:
    now_ns, unix_ns = run.clock.monotonic_ns(), run.clock.unix_ns()
    run.control.trip(KillTrigger.MANUAL, "ops", "lunch", now_ns, unix_ns)
    run.cycle()
    offer(run, *(failed(n) for n in range(20)))
    seen(run, 20)
    message = said(run)[-1]
    assert (message.state, message.trigger, wire.text(message.by)) == (
        KillState.KILLED,
        KillTrigger.MANUAL,
        "ops",
    )
    assert killstate.load(run.run.state_dir).killed
    assert run.count("manager", "trips") == 0
    run.control.reset("ops", "back", run.clock.monotonic_ns(), run.clock.unix_ns())
    run.cycle()
    assert said(run)[-1].state == KillState.RUNNING
    offer(run, failed(20))
    seen(run, 21)
    assert not run.control.killed


def test_row_22_a_kill_outlives_the_run(run: House) -> None:
    offer(run, *(failed(n) for n in range(5)))
    seen(run, 5)
    assert run.control.killed
    assert killstate.establish(run.run.state_dir, 1).killed  # what a later start reads


def test_a_disk_that_takes_no_kill_halts_all_the_same_and_is_tried_again(run: House) -> None:
    folder = run.run.state_dir / ".kill.lock"
    folder.unlink()
    folder.mkdir()  # the lock can't be opened any more
    offer(run, *(failed(n) for n in range(5)))
    seen(run, 5)
    assert run.control.killed
    assert run.count("manager", "disk_errors") > 0
    assert not killstate.load(run.run.state_dir).killed
    folder.rmdir()
    run.cycle()
    assert killstate.load(run.run.state_dir).killed


def test_corrupt_messages_are_counted(run: House) -> None:
    for link in ("executed", "metrics"):
        for broken in (b"\x00" * 30, b"\xff" * 800 if link == "executed" else b"\xff" * 200, b"HF"):
            assert run.writer(link).offer(broken)
    run.until(lambda: run.count("manager", "dropped_corrupt") == 6)
    assert not run.control.killed
