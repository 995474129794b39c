"""One child process of the supervisor: started, watched, restarted with back-off and a limit, ended."""

import signal
import subprocess
import sys
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from hft.runtime import state
from hft.runtime.settings import Hft

MAXIMUM_BACKOFF_MS = 5_000
"""Longest pause before a restart."""

LOG_TAIL_BYTES = 8192
"""How much of a log's end is searched for the reason of a crash."""


class Crash(NamedTuple):
    """An unexpected end. ``retry_at_ns``: when to start again, or ``None`` when the limit is reached."""

    name: str
    exit_code: int
    reason: str
    retry_at_ns: int | None


class Child:
    """A service process and its history of crashes."""

    def __init__(self, name: str, state_dir: Path, limits: Hft, environment: Mapping[str, str]) -> None:
        """``environment``: all that the process gets of it."""
        self.name = name
        self.restarts = 0
        self.retry_at_ns: int | None = None
        """When a crashed process is to be started again; ``None``: it is running, or ended for good."""
        self.log_file = state_dir / state.LOG_FOLDER / f"{name}.log"
        self._run_file = state_dir / state.RUN_FILE
        self._limits = limits
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._crashes_ns: deque[int] = deque()
        self._log_start = 0

    @property
    def pid(self) -> int:
        """Process id, 0 when it is not running."""
        return self._process.pid if self.running and self._process else 0

    @property
    def running(self) -> bool:
        """Is there a process that has not ended?"""
        return self._process is not None and self._process.poll() is None

    def spawn(self) -> None:
        """Start the process; its standard error is appended to its log file.

        In a session of its own: a Ctrl-C at the terminal reaches the supervisor alone, which then stops all
        in order.
        """
        self.retry_at_ns = None
        with self.log_file.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "hft.runtime.process", self.name, str(self._run_file)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,
            )

    def take_crash(self, now_ns: int) -> Crash | None:
        """The process's unexpected end, told once; decides whether and when it may start again."""
        if self._process is None or self._process.poll() is None:
            return None
        exit_code = self._process.returncode
        self._process = None
        self._crashes_ns.append(now_ns)
        while self._crashes_ns[0] < now_ns - self._limits.restart_window_ms * 1_000_000:
            self._crashes_ns.popleft()
        if len(self._crashes_ns) <= self._limits.restart_limit:
            self.retry_at_ns = (
                now_ns + backoff_ms(self._limits.restart_backoff_ms, len(self._crashes_ns)) * 1_000_000
            )
        return Crash(self.name, exit_code, self.last_error(), self.retry_at_ns)

    def restart_due(self, now_ns: int) -> bool:
        """Is it time to start again after a crash?"""
        return self.retry_at_ns is not None and now_ns >= self.retry_at_ns

    def last_error(self) -> str:
        """The newest error line this process wrote, without its date and name; empty when there is none."""
        try:
            with self.log_file.open("rb") as log:
                log.seek(max(self._log_start, self.log_file.stat().st_size - LOG_TAIL_BYTES))
                lines = log.read().decode("utf-8", "replace").splitlines()
        except OSError:
            return ""
        marker = f" {self.name}: error: "
        return next((line.partition(marker)[2] for line in reversed(lines) if marker in line), "")

    def terminate(self) -> None:
        """Ask it to drain and end."""
        if self.running and self._process:
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once and take its exit status."""
        if self._process and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def wait(self, timeout_s: float) -> int | None:
        """Its exit code, or ``None`` when it is still running after ``timeout_s``. 0 when there is no
        process."""
        if self._process is None:
            return 0
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None


def backoff_ms(first_ms: int, crashes: int) -> int:
    """Pause before restart number ``crashes`` ≥ 1: doubling from ``first_ms``, at most
    ``MAXIMUM_BACKOFF_MS``."""
    return min(first_ms << min(crashes - 1, 16), MAXIMUM_BACKOFF_MS)
