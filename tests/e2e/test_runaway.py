"""A hot service that never comes to the end of its cycle, in real time on the core that it shares."""

import os
import signal
from pathlib import Path

import pytest

import ringbuf
from hft.runtime import cpus
from hft.runtime.exit_codes import ExitCode
from tests.conftest import ROOT
from tests.e2e.pipeline import BUSY, Pipeline

pytestmark = pytest.mark.alone

RUNS_FOR_EVER = """\
import signal, sys

def run_for_ever(*_):
    while True:
        pass

if "hft.runtime.process" in sys.orig_argv:
    signal.signal(signal.SIGUSR2, run_for_ever)
"""
"""Python reads it as each process starts."""


def test_row_23_a_service_that_runs_for_ever_in_real_time_is_halted_and_ended(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The executor, before which nobody on its core goes: the manager trips, a stop ends all of it."""
    if len(cpus.available()) < 2:
        pytest.skip("nobody runs in real time on one CPU")
    (tmp_path / "sitecustomize.py").write_text(RUNS_FOR_EVER)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{ROOT}")
    two = cpus.format_list(cpus.available()[:2])
    limits = ("--set", "service:manager.heartbeat_limit_ms=2500", "--set", "hft.drain_limit_ms=1000")
    pipeline.start("--cpus", two, *BUSY, *limits)
    pipeline.until("a trade", lambda: pipeline.trades() > 0)
    executor = pipeline.pid_of("executor")
    if os.sched_getscheduler(executor) != os.SCHED_FIFO:
        pytest.skip("services may not run in real time here (ulimit -r)")
    control = ringbuf.Control.attach(pipeline.run().segment("control"))
    try:
        os.kill(executor, signal.SIGUSR2)
        pipeline.until("the manager's halt", lambda: control.killed)
        assert control.kill_info().by == "manager"
    finally:
        control.close()
    killed = pipeline.call("kill", "--reason", "by hand as well")
    assert killed.returncode == 0, killed.stderr
    status = pipeline.call("status")
    assert (status.returncode, "executor" in status.stdout) == (0, True), status.stderr
    stopped = pipeline.call("stop")
    code, out, errors = pipeline.settle()
    assert code == ExitCode.DRAIN_TIMEOUT, (out, errors)
    left = "no end yet" in stopped.stderr
    assert stopped.returncode == (ExitCode.DRAIN_TIMEOUT if left else 0), stopped.stderr
    assert "executor did not end within 4 s: killed" in out
    assert pipeline.segments() == []
