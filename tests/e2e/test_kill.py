"""A kill under load stops submissions at once, and stays through a restart until it is resumed."""

import json
import time

import pytest

import ringbuf
from hft.runtime.exit_codes import ExitCode
from tests.e2e.pipeline import BUSY, Pipeline, assert_whole

pytestmark = pytest.mark.alone

HALTED = ("feed", "scanner", "planner", "executor", "auditor", "manager")
AFTERMATH_S = 3.0
"""How long the halted pipeline is watched while the market goes on moving."""


def test_row_21_a_kill_under_load_stops_submissions_and_outlives_a_restart(pipeline: Pipeline) -> None:
    pipeline.start(*BUSY)
    pipeline.until("three trades", lambda: pipeline.trades() >= 3)
    killed = pipeline.call("kill", "--reason", "test of the switch")
    assert killed.returncode == 0
    control = ringbuf.Control.attach(pipeline.run().segment("control"))
    info = control.kill_info()
    control.close()
    assert (info.state, info.message) == ("killed", "test of the switch")

    updates = pipeline.counter("feed", "out_market_data")
    watched_until = time.monotonic() + AFTERMATH_S
    pipeline.until("market data after the kill", lambda: time.monotonic() > watched_until)
    assert pipeline.counter("feed", "out_market_data") > updates
    status = json.loads(pipeline.call("status", "--json").stdout)
    assert status["kill_state"] == "killed"
    assert status["services"]["executor"]["state"] == "halted"
    # Whoever shows the halt has seen the latch: it was closed by then.
    closed_ns = min(pipeline.counter(service, "runner_halted_ns") for service in HALTED)
    assert info.monotonic_ns < closed_ns
    code, out, _ = pipeline.stop()
    # What arrives after that was let pass before it; the executor reads the clock, then the latch.
    let_pass_ns = {result["signature"]: result["submitted_ns"] for result in pipeline.results()}
    late = [entry for entry in pipeline.settlements() if entry["monotonic_ns"] > closed_ns]
    assert [entry for entry in late if not 0 < let_pass_ns[entry["signature"]] <= closed_ns] == []
    assert_whole(pipeline.report())
    assert pipeline.report()["kill_state"] == "killed"
    # On a machine that is busy enough the drain limit passes before a submission has its end.
    unknown = pipeline.report()["executions"].get("unknown", 0)
    assert code == (ExitCode.DRAIN_TIMEOUT if unknown else 0), out

    before = len(pipeline.settlements())
    pipeline.start(*BUSY)
    pipeline.until("market data of the halted run", lambda: pipeline.counter("feed", "out_market_data") > 200)
    assert len(pipeline.settlements()) == before
    resumed = pipeline.call("resume", "--approve", "the test: it was the test of the switch")
    assert resumed.returncode == 0
    assert "submissions are allowed again" in resumed.stdout
    pipeline.until("trades after the resume", lambda: len(pipeline.settlements()) > before)
    code, out, _ = pipeline.stop()
    assert code == 0, out
    assert "HALTED" in out
    assert pipeline.report()["kill_state"] == "running"
    assert_whole(pipeline.report(), recovered=unknown)
