"""Services as processes of their own, as systemd runs them: on one keeper's shared memory, heard by a real
notify socket."""

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hft.runtime import state, topology
from hft.runtime.exit_codes import ExitCode
from tests.conftest import ROOT
from tests.e2e.pipeline import BUSY, DEADLINE_S, POLL_S, Pipeline

WATCHDOG_USEC = "600000"
"""A period short enough to be seen in a test; the services' housekeeping comes every 10 ms."""


class Systemd:
    """The part of systemd that matters here: starts processes, hears what they say, signals them."""

    def __init__(self, pipeline: Pipeline, folder: Path) -> None:
        self.pipeline = pipeline
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.heard: dict[str, list[str]] = {}
        self._sockets: dict[str, socket.socket] = {}
        self._folder = folder

    def start(self, unit: str, *arguments: str) -> None:
        address = self._folder / f"{unit}-{len(self.heard)}.sock"
        self._sockets[unit] = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sockets[unit].bind(str(address))
        heard = self.heard[unit] = []
        threading.Thread(target=_listen, args=(self._sockets[unit], heard), daemon=True).start()
        environment = {**os.environ, "NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": WATCHDOG_USEC}
        self.processes[unit] = subprocess.Popen(
            self.pipeline.command(*arguments),
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=(self._folder / f"{unit}.log").open("ab"),
            env=environment,
        )

    def until_said(self, unit: str, word: str) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not any(word in message for message in self.heard[unit]):
            assert self.processes[unit].poll() is None, self.log(unit)
            assert time.monotonic() < deadline, f"{unit} never said {word}: {set(self.heard[unit])}"
            time.sleep(POLL_S)

    def until(self, what: str, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline, f"no {what}"
            time.sleep(POLL_S)

    def log(self, unit: str) -> str:
        return (self._folder / f"{unit}.log").read_text()

    def close(self) -> None:
        """Services first, then the keeper, which takes shared memory and nats-server away."""
        for process in reversed(self.processes.values()):
            process.terminate()
            try:
                process.wait(DEADLINE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for bound in self._sockets.values():
            bound.shutdown(socket.SHUT_RDWR)
            bound.close()


def _listen(bound: socket.socket, heard: list[str]) -> None:
    """Until it is closed: a queue of datagrams that nobody reads is full after ten."""
    while True:
        try:
            heard.append(bound.recv(4096).decode())
        except OSError:
            return


@pytest.fixture
def systemd(pipeline: Pipeline, tmp_path: Path) -> Iterator[Systemd]:
    made = Systemd(pipeline, tmp_path)
    yield made
    made.close()


def keep_shared_memory(systemd: Systemd) -> None:
    sets = (*BUSY, "--set", f"hft.prefix={systemd.pipeline.prefix}")
    systemd.start("shm", "shm", "up", *sets)
    systemd.until_said("shm", "READY=1")


@pytest.mark.slow
def test_services_by_themselves_trade_restart_and_stop_in_order(systemd: Systemd) -> None:
    pipeline = systemd.pipeline
    keep_shared_memory(systemd)
    for wave in topology.start_waves("paper"):
        for name in wave:
            systemd.start(name, "run", name)
        for name in wave:
            systemd.until_said(name, "READY=1\nSTATUS=running")
    systemd.until("trade", lambda: pipeline.trades() > 0)
    refused = pipeline.call("run", "scanner")
    assert refused.returncode == ExitCode.ALREADY_RUNNING
    assert "scanner runs already (pid" in refused.stderr
    second = pipeline.call("start", "--headless", "--duration", "1")
    assert second.returncode == ExitCode.ALREADY_RUNNING

    systemd.processes["scanner"].kill()
    systemd.processes["scanner"].wait()
    systemd.start("scanner", "run", "scanner")
    systemd.until_said("scanner", "READY=1")
    systemd.until("restart in run.json", lambda: pipeline.run().restarts["scanner"] == 1)
    trades = pipeline.trades()
    systemd.until("trade after the restart", lambda: pipeline.trades() > trades)
    systemd.until_said("scanner", "WATCHDOG=1")
    assert pipeline.call("kill", "--reason", "the test").returncode == 0
    systemd.until_said("executor", "STATUS=HALTED")

    stopped = pipeline.call("stop")
    assert stopped.returncode == 0, stopped.stderr
    order = [spec.name for spec in topology.services("paper")]
    told = [line.removeprefix("stopping ") for line in stopped.stdout.splitlines()]
    assert [name for name in told if name in order] == order
    for unit, process in systemd.processes.items():
        assert process.wait(DEADLINE_S) == 0, systemd.log(unit)
    assert all(any("STOPPING=1" in message for message in said) for said in systemd.heard.values())
    assert "KILL: manual" in systemd.log("shm")
    assert pipeline.segments() == []


def test_a_service_ends_when_the_keeper_of_its_memory_is_gone(
    systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a secret")
    pipeline = systemd.pipeline
    keep_shared_memory(systemd)
    systemd.start("auditor", "run", "auditor")
    systemd.until_said("auditor", "READY=1\nSTATUS=running")
    systemd.until_said("auditor", "WATCHDOG=1")
    given = Path(f"/proc/{systemd.processes['auditor'].pid}/environ").read_bytes()
    assert b"NOTIFY_SOCKET=" in given
    assert b"AWS_SECRET_ACCESS_KEY" not in given
    refused = pipeline.call("run", "auditor")
    assert refused.returncode == ExitCode.ALREADY_RUNNING
    assert "auditor runs already (pid" in refused.stderr
    assert state.holder(pipeline.folder) == systemd.processes["shm"].pid
    assert pipeline.call("shm", "down", "--limit", "1").returncode == ExitCode.DRAIN_TIMEOUT
    systemd.processes["shm"].send_signal(signal.SIGKILL)
    systemd.processes["shm"].wait()
    assert systemd.processes["auditor"].wait(DEADLINE_S) == ExitCode.SEGMENT_MISSING, systemd.log("auditor")
    assert "hft shm up" in systemd.log("auditor")
    assert pipeline.segments()
    keep_shared_memory(systemd)
    assert "left by a run that is gone" in systemd.log("shm")
    assert pipeline.call("shm", "down").returncode == 0
    assert pipeline.segments() == []
