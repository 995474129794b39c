"""What an operator asks of a running pipeline from another shell."""

import json
import re
import subprocess

import psutil
import pytest

from hft.runtime import topology
from hft.runtime.exit_codes import ExitCode
from tests.conftest import ROOT
from tests.e2e.pipeline import BUSY, Pipeline, assert_whole

pytestmark = pytest.mark.alone


def test_row_26_monitor_check_tail_and_profile_look_from_outside_and_a_second_start_refuses(
    pipeline: Pipeline,
) -> None:
    pipeline.start(*BUSY)
    pipeline.until("market data", lambda: pipeline.counter("feed", "out_market_data") > 0)
    lines = pipeline.folder.with_name("monitor.txt")
    following = subprocess.Popen(pipeline.command("monitor", "--plain"), cwd=ROOT, stdout=lines.open("w"))
    once = pipeline.call("monitor", "--once")
    assert (once.returncode, once.stderr) == (0, "")
    for spec in topology.services("paper"):
        assert f"│ {spec.name} " in once.stdout
    assert f"run {pipeline.run().run_id8}" in once.stdout

    second = pipeline.call("start", "--headless", "--duration", "1")
    assert second.returncode == ExitCode.ALREADY_RUNNING
    assert "already running (pid" in second.stderr
    tail = pipeline.call("tail", "MARKET_DATA", "--count", "3", "--json")
    assert (tail.returncode, tail.stdout.count("\n")) == (0, 3), tail.stderr

    checked = pipeline.call("check", "--json", "--set", f"hft.prefix={pipeline.prefix}")
    verdict = json.loads(checked.stdout)
    assert checked.returncode == (ExitCode.CHECK if verdict["verdict"] == "fail" else ExitCode.OK)
    found = {finding["what"]: finding["found"] for finding in verdict["findings"]}
    assert found["instance"] == f"runs, pid {pipeline.run().supervisor_pid}"
    assert found["settings"] == "sound, mode paper"

    graph = pipeline.folder.with_name("scanner.svg")
    profiled = pipeline.call("profile", "scanner", "--seconds", "2", "-o", str(graph))
    if profiled.returncode == ExitCode.PROFILE:
        assert "the kernel does not let this user look" in profiled.stderr
        assert psutil.Process().username() != "root", profiled.stderr
    else:
        assert profiled.returncode == 0, profiled.stderr
        assert re.search(r"<title>.*(step|do_work|_serve)", graph.read_text())
        assert "scanner: 2 s, 200 samples a second</text>" in graph.read_text()

    pipeline.until("the monitor's lines", lambda: "updates" in lines.read_text())
    assert pipeline.call("kill", "--reason", "the drill").returncode == 0
    pipeline.until("news of the kill", lambda: "the drill" in lines.read_text())
    code, out, _ = pipeline.stop()
    assert code == 0, out
    assert_whole(pipeline.report())
    assert following.wait(60) == 0
    assert lines.read_text().endswith("the run has ended\n")
    assert pipeline.call("monitor").returncode == ExitCode.NOT_RUNNING
    assert pipeline.call("profile", "scanner").returncode == ExitCode.NOT_RUNNING
