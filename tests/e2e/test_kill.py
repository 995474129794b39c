"""A kill under load stops submissions at once, and stays through a restart until it is resumed."""

import json
import time

import ringbuf
from tests.e2e.pipeline import BUSY, IN_TRANSIT_NS, Pipeline, assert_whole

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
    limit_ns = info.monotonic_ns + IN_TRANSIT_NS
    assert [entry for entry in pipeline.settlements() if entry["monotonic_ns"] > limit_ns] == []
    code, out, _ = pipeline.stop()
    assert code == 0, out
    assert_whole(pipeline.report())
    assert pipeline.report()["kill_state"] == "killed"

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
    assert_whole(pipeline.report())
