"""SIGKILL of each service in turn under load: the others go on, it comes back, nothing is sent twice."""

import os
import signal
import time

import pytest

import ringbuf
from hft.runtime import topology
from hft.runtime.service import ServiceState
from hft.runtime.streams import BY_NAME
from tests.e2e.pipeline import BUSY, Pipeline, assert_whole

pytestmark = pytest.mark.alone

MANAGER_LIMIT_S = 2.5
# A bundle has its turn at the next auction; only what goes by RPC waits for so long.
SLOW_LANDING = ("--set", "simnet.landing_ms=1000", "--set", "chain.method=rpc")
RESTARTABLE = [spec.name for spec in topology.services("paper") if spec.restartable]


def state_of(pipeline: Pipeline, service: str) -> ServiceState:
    try:
        page = ringbuf.Counters.attach(pipeline.run().segment("counters", service))
    except ringbuf.RingError:
        return ServiceState.ABSENT
    try:
        return ServiceState(page.state) if page.owner.alive else ServiceState.ABSENT
    finally:
        page.close()


def kill_and_await(pipeline: Pipeline, service: str) -> None:
    """SIGKILL it; until its successor runs and trades have come since."""
    old = pipeline.pid_of(service)
    trades = pipeline.trades()
    os.kill(old, signal.SIGKILL)
    pipeline.until(f"a new {service}", lambda: pipeline.pid_of(service) not in (0, old))
    pipeline.until(f"{service} to run", lambda: state_of(pipeline, service).alive)
    pipeline.until(f"trades without the old {service}", lambda: pipeline.trades() > trades)


def assert_nothing_twice(pipeline: Pipeline) -> None:
    """By the cluster's own log: no transaction was executed twice, nor one plan by two transactions."""
    landed = [entry["signature"] for entry in pipeline.settlements() if "landed" in entry["outcome"]]
    assert landed
    assert len(landed) == len(set(landed))


def stop_in_mid_send(pipeline: Pipeline) -> str:
    """SIGTERM while submissions are on their way, and another; what the pipeline said."""
    pipeline.until("submissions on their way", lambda: pipeline.counter("simnet", "queued_submissions") > 0)
    assert pipeline.process is not None
    pipeline.process.send_signal(signal.SIGTERM)
    pipeline.until_stopping()
    pipeline.process.send_signal(signal.SIGTERM)
    code, out, err = pipeline.settle()
    assert (code, err) == (0, ""), out
    return out


def check(pipeline: Pipeline, services: list[str]) -> None:
    """A submission takes a second to land, so that some are on their way at every crash and at the stop."""
    pipeline.start(*BUSY, *SLOW_LANDING)
    pipeline.until("a trade", lambda: pipeline.trades() > 0)
    for service in services:
        kill_and_await(pipeline, service)
    out = stop_in_mid_send(pipeline)
    report = pipeline.report()
    assert report["restarts"] == len(services), out
    assert set(report["streams"]) == set(BY_NAME)
    assert_nothing_twice(pipeline)
    assert "unknown" not in report["executions"], out
    assert report["wallet_delta_lamports"] == report["ledger_pnl_lamports"], out
    assert pipeline.segments() == []


def test_row_01_29_34_the_executor_killed_then_sigterm_twice_in_mid_send(pipeline: Pipeline) -> None:
    check(pipeline, ["executor"])


@pytest.mark.slow
def test_row_01_29_34_each_service_killed_in_turn_under_load(pipeline: Pipeline) -> None:
    check(pipeline, RESTARTABLE)


def test_row_23_executors_halt_while_the_manager_is_dead(pipeline: Pipeline) -> None:
    """Its restart waits for 5 s; from the heartbeat limit on nothing is submitted until it is back."""
    limit = f"service:manager.heartbeat_limit_ms={int(MANAGER_LIMIT_S * 1000)}"
    pipeline.start(*BUSY, "--set", limit, "--set", "hft.restart_backoff_ms=5000")
    pipeline.until("a trade", lambda: pipeline.trades() > 0)
    old = pipeline.pid_of("manager")
    os.kill(old, signal.SIGKILL)
    pipeline.until("its end", lambda: ringbuf.process_start(old) is None)
    halted_ns = pipeline.heartbeat_ns("manager") + int(MANAGER_LIMIT_S * 1e9)
    refused = pipeline.counter("executor", "end_rejected")
    pipeline.until("plans refused", lambda: pipeline.counter("executor", "end_rejected") > refused)
    assert state_of(pipeline, "manager") is ServiceState.ABSENT
    pipeline.until("a new manager", lambda: pipeline.pid_of("manager") not in (0, old))
    back_ns = time.monotonic_ns()
    trades = pipeline.trades()
    pipeline.until("trades with the new manager", lambda: pipeline.trades() > trades)
    code, out, _ = pipeline.stop()
    assert code == 0, out
    taken_ns = [result["exec_received_ns"] for result in pipeline.results() if result["submitted_ns"]]
    assert [at for at in taken_ns if halted_ns < at < back_ns] == []
    assert pipeline.report()["kill_state"] == "running"
    assert_whole(pipeline.report())
