"""Starts everything, watches it, restarts what crashes, stops it in order, leaves nothing behind.

A supervisor is stepped: ``start`` once, ``poll`` a few times a second, ``stop`` once. It prints nothing; what
a person should know goes through ``tell``.
"""

import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from hft.runtime import environment, topology
from hft.runtime.children import Child, Crash
from hft.runtime.clock import Clock
from hft.runtime.context import Run
from hft.runtime.exit_codes import ExitCode, HftError
from hft.runtime.foundation import Foundation, Tell
from hft.runtime.segments import Segments
from hft.runtime.service import ServiceState
from hft.runtime.settings import Config

KILL_GRACE_S = 3.0
"""How much longer than its drain limit a service gets before it is killed."""

POLL_S = 0.01
"""Pause between two looks at whether a service is ready."""


class Cancelled(Exception):
    """The run was asked to stop before all its services ran."""


class Supervisor:
    """One run of the pipeline. Use it as a context manager: leaving it removes every process and segment."""

    def __init__(self, config: Config, state_dir: Path, clock: Clock, tell: Tell) -> None:
        """``tell`` takes one line for a person: progress, crashes, restarts."""
        self.failure: HftError | None = None
        """Set when the run cannot go on; the owner then stops it."""
        self.cancelled: Callable[[], bool] = lambda: False
        """Asked while services start; True ends the start with ``Cancelled``."""
        self._clock = clock
        self._tell = tell
        self._services = topology.services(config.hft.mode, config.optional)
        self._children = {
            spec.name: Child(spec.name, state_dir, config.hft, environment.of_service(spec.name, config))
            for spec in self._services
        }
        self._stopped = False
        self._foundation = Foundation(config, state_dir, clock, tell)

    @property
    def run(self) -> Run:
        """What all processes of this run agree on."""
        return self._foundation.run

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know about who runs where."""
        return self._foundation.notes

    @property
    def segments(self) -> Segments:
        """The run's shared memory, once it was started."""
        return self._foundation.segments

    @property
    def restarts(self) -> int:
        """Restarts of services and of nats-server so far."""
        return sum(child.restarts for child in self._children.values()) + self._foundation.nats_restarts

    @property
    def restarts_of(self) -> Mapping[str, int]:
        """The same by service."""
        return {name: child.restarts for name, child in self._children.items()}

    def __enter__(self) -> "Supervisor":
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def start(self, before: Callable[[str], None] = lambda _stage: None) -> None:
        """Bring everything up; returns when every service runs.

        ``before`` is called with ``services`` when NATS answers and no service has started, and with ``feed``
        when all run but the feed, without which nothing is traded.
        ``HftError`` tells what did not start and why; whatever was started is then removed by ``remove``.
        """
        started_ns = self._clock.monotonic_ns()
        self._foundation.lay()
        self._write_run()
        before("services")
        waves = topology.start_waves(self.run.config.hft.mode, self.run.config.optional)
        for wave in waves:
            if wave == waves[-1]:
                before("feed")
            self._tell(f"starting {', '.join(wave)}")
            for name in wave:
                self._spawn(self._children[name])
            self._write_run()
            for name in wave:
                self._await_ready(self._children[name])
        seconds = (self._clock.monotonic_ns() - started_ns) / 1e9
        self._tell(f"all {len(self._children)} services run after {seconds:.1f} s")

    def poll(self) -> None:
        """Look after the children once: persist a new kill, restart what crashed. Takes microseconds when all
        is well.

        Sets ``failure`` when something cannot be restarted.
        """
        self._foundation.follow_kill()
        now_ns = self._clock.monotonic_ns()
        for child in self._children.values():
            crash = child.take_crash(now_ns)
            if crash is not None:
                self._on_crash(child, crash)
            elif child.restart_due(now_ns):
                self._restart(child)
        try:
            self._foundation.watch_nats(now_ns)
        except HftError as error:
            self.failure = error

    def pause(self, duration_ns: int) -> None:
        """Sleep between two polls."""
        time.sleep(duration_ns / 1e9)

    def stop(self, before_cluster_ends: Callable[[], None] | None = None) -> list[str]:
        """Stop all in order, each drained before the next is asked; returns the names of those that did not
        drain.

        ``before_cluster_ends`` runs when every service has ended but the local cluster and nats-server still
        answer.
        """
        if self._stopped:
            return []
        self._stopped = True
        undrained: list[str] = []
        asked = before_cluster_ends
        for spec in self._services:
            if spec.name == topology.SIMNET and asked is not None:
                asked()
                asked = None
            if not self._stop_child(self._children[spec.name]):
                undrained.append(spec.name)
            self._foundation.follow_kill()
        if asked is not None:
            asked()
        self._foundation.stop_nats()
        return undrained

    def remove(self) -> None:
        """End whatever still runs and unlink all segments; safe to call at any time and twice."""
        self._stopped = True
        for child in self._children.values():
            child.kill()
        self._foundation.remove()

    def _spawn(self, child: Child) -> None:
        self.segments.pages[child.name].set_state(ServiceState.STARTING)
        child.spawn()

    def _await_ready(self, child: Child) -> None:
        deadline_ns = self._clock.monotonic_ns() + self.run.config.hft.start_limit_ms * 1_000_000
        page = self.segments.pages[child.name]
        while not ServiceState(page.state).alive:
            if self.cancelled():
                raise Cancelled
            code = child.wait(POLL_S)
            if code is not None:
                raise self._not_started(child, code)
            if self._clock.monotonic_ns() > deadline_ns:
                limit_s = self.run.config.hft.start_limit_ms / 1000
                raise HftError(
                    f"{child.name} is not ready after {limit_s:g} s; see {child.log_file}",
                    ExitCode.SERVICE_FAILED,
                )

    @staticmethod
    def _not_started(child: Child, code: int) -> HftError:
        reason = child.last_error() or f"it ended with {describe_exit(code)}; see {child.log_file}"
        known = (
            ExitCode(code) if code in list(ExitCode) and code > ExitCode.FAILURE else ExitCode.SERVICE_FAILED
        )
        return HftError(f"{child.name} did not start: {reason}", known)

    def _on_crash(self, child: Child, crash: Crash) -> None:
        page = self.segments.pages[child.name]
        page.set_state(ServiceState.FAILED)
        how = describe_exit(crash.exit_code) + (f": {crash.reason}" if crash.reason else "")
        why = f"{child.name} ended unexpectedly ({how})"
        if not topology.service(child.name).restartable:
            self.failure = HftError(f"{why}; it cannot go on from where it was", ExitCode.SERVICE_FAILED)
        elif crash.retry_at_ns is None:
            limit = self.run.config.hft.restart_limit
            self.failure = HftError(f"{why}; it crashed more than {limit} times", ExitCode.SERVICE_FAILED)
        if self.failure is not None:
            child.retry_at_ns = None
            self._tell(str(self.failure))
        else:
            self._tell(f"{why}; restarting it")

    def _restart(self, child: Child) -> None:
        child.restarts += 1
        self._spawn(child)
        try:
            self._write_run()
        except HftError as error:
            self._tell(f"{error}; the run goes on")

    def _stop_child(self, child: Child) -> bool:
        if not child.running:
            return True
        self._tell(f"stopping {child.name}")
        child.terminate()
        limit_s = self.run.config.hft.drain_limit_ms / 1000 + KILL_GRACE_S
        deadline = time.monotonic() + limit_s
        while (code := child.wait(POLL_S)) is None:
            self._foundation.follow_kill()
            if time.monotonic() > deadline:
                self._tell(f"{child.name} did not end within {limit_s:g} s: killed")
                child.kill()
                return False
        if code != ExitCode.OK:
            self._tell(f"{child.name} ended with {describe_exit(code)} {child.last_error()}".rstrip())
        return code == ExitCode.OK

    def _write_run(self) -> None:
        pids = {name: child.pid for name, child in self._children.items()}
        self._foundation.write_run(pids, self.restarts_of)


def describe_exit(code: int) -> str:
    """An exit status in words: ``exit code 9, SERVICE_FAILED`` or ``signal SIGKILL``."""
    if code < 0:
        try:
            return f"signal {signal.Signals(-code).name}"
        except ValueError:
            return f"signal {-code}"
    name = f", {ExitCode(code).name}" if code in list(ExitCode) else ""
    return f"exit code {code}{name}"
