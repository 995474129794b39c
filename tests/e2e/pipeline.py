"""A whole pipeline as a child process, and what can be asked of it from outside."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ringbuf
from hft.runtime.context import Run
from hft.runtime.streams import BY_NAME
from tests.conftest import ROOT

DEADLINE_S = 120.0
"""A start takes a few seconds; on a machine that does ten other things, a minute."""
SETTLE_S = 180.0
"""A minute of running, and the stop."""
POLL_S = 0.05

CALM = (
    *("--set", "service:manager.error_rate_ppm=1000000"),
    *("--set", "service:manager.rpc_failure_ppm=1000000"),
    *("--set", "service:manager.slot_drift_limit=1000"),
    *("--set", "service:manager.heartbeat_limit_ms=60000"),
    *("--set", "service:manager.no_data_limit_ms=60000"),
)
"""On a busy machine trades and services are late: what halts for that is tested elsewhere."""

BUSY = ("--set", "simnet.swaps_per_second=200", *CALM)
"""An order flow four times the usual: trades come sooner."""


class Pipeline:
    """``hft start`` with a state folder and a shared-memory prefix of its own."""

    def __init__(self, folder: Path, prefix: str) -> None:
        self.folder = folder
        self.prefix = prefix
        self.report_file = folder.with_name(f"{folder.name}-report.json")
        self.process: subprocess.Popen[str] | None = None

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "hft.cli.main", *arguments, "--state-dir", str(self.folder)]

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run another command on this instance to its end."""
        command = self.command(*arguments)
        return subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE_S, check=False
        )

    def start(self, *arguments: str) -> None:
        """Start headless in the background; ``settle`` waits for its end."""
        self.report_file.unlink(missing_ok=True)
        options = ("--headless", "--report", str(self.report_file), "--set", f"hft.prefix={self.prefix}")
        self.process = subprocess.Popen(
            self.command("start", *options, *arguments),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "COLUMNS": "120"},
        )

    def settle(self) -> tuple[int, str, str]:
        """Exit code, output and errors, once it has ended."""
        assert self.process is not None
        out, err = self.process.communicate(timeout=SETTLE_S)
        return self.process.returncode, out, err

    def stop(self) -> tuple[int, str, str]:
        """Ask for an orderly stop and wait for it."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.settle()

    def report(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads(self.report_file.read_text())
        return loaded

    def run(self) -> Run:
        return Run.load(self.folder / "run.json")

    def pid_of(self, service: str) -> int:
        return self.run().pids[service]

    def counter(self, service: str, name: str) -> int:
        """A counter from the live page; 0 while there is none."""
        try:
            page = ringbuf.Counters.attach(self.run().segment("counters", service))
        except Exception:
            return 0
        try:
            return page.read().get(name, 0)
        finally:
            page.close()

    def trades(self) -> int:
        """Executions that landed, from the executor's page."""
        return self.counter("executor", "end_landed_ok") + self.counter("executor", "end_landed_failed")

    def until(self, what: str, condition: Callable[[], object], deadline_s: float = DEADLINE_S) -> None:
        """Poll a condition; fails when the deadline passes or the pipeline ends meanwhile."""
        deadline = time.monotonic() + deadline_s
        while not condition():
            assert self.process is not None
            if self.process.poll() is not None:
                raise AssertionError(f"ended while waiting for {what}: {self.settle()}")
            if time.monotonic() > deadline:
                raise AssertionError(f"no {what} after {deadline_s} s; logs: {self.logs()}")
            time.sleep(POLL_S)

    def until_stopping(self) -> None:
        """Until the first service drains or has gone."""
        self.until("the stop", lambda: not (self.folder / "run.json").exists() or self.pid_gone("feed"))

    def pid_gone(self, service: str) -> bool:
        return ringbuf.process_start(self.pid_of(service)) is None

    def logs(self) -> str:
        return "\n".join(
            line
            for file in sorted((self.folder / "logs").glob("*.log"))
            if file.name != "nats-server.log"
            for line in file.read_text().splitlines()[-5:]
        )

    def segments(self) -> list[str]:
        return ringbuf.segment_names(self.prefix)

    def settlements(self) -> list[dict[str, Any]]:
        """What the local cluster received, in order."""
        file = self.folder / "settlement.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def results(self) -> list[dict[str, Any]]:
        """What became of each plan, from the event log; whole once the pipeline has stopped."""
        lines = (self.folder / "logs" / "events.jsonl").read_text().splitlines()
        return [event for event in map(json.loads, lines) if event["event"] == "execution_result"]

    def heartbeat_ns(self, service: str) -> int:
        """When a service last showed that it lives."""
        page = ringbuf.Counters.attach(self.run().segment("counters", service))
        try:
            return page.heartbeat_ns
        finally:
            page.close()

    def ledger_lamports(self, run_id: bytes) -> int:
        """The profit of a run as the ledger file has it."""
        with contextlib.closing(sqlite3.connect(self.folder / "ledger.sqlite3")) as ledger:
            (total,) = ledger.execute(
                "SELECT COALESCE(SUM(actual_profit_lamports), 0) FROM executions WHERE run_id = ?", (run_id,)
            ).fetchone()
        return int(total)

    def close(self) -> None:
        """End whatever is left."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.communicate(timeout=DEADLINE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.communicate()


def assert_whole(report: dict[str, Any], *, recovered: int = 0) -> None:
    """What every good run's report shows: money agrees, streams have messages, links balance.

    recovered: plans of an earlier run that ended unknown, whose end this one tells.
    """
    assert report["wallet_delta_lamports"] == report["ledger_pnl_lamports"]
    assert set(report["streams"]) == set(BY_NAME)
    for name, entry in report["links"].items():
        assert entry["in"] == entry["out"] + sum(entry["dropped"].values()), name
    plans = report["plans"] + recovered
    assert plans == sum(report["executions"].values()), (plans, report["executions"])
