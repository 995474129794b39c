"""Starts everything, watches it, restarts what crashes, stops it in order, leaves nothing behind.

A supervisor is stepped: ``start`` once, ``poll`` a few times a second, ``stop`` once. It prints nothing; what
a person should know goes through ``tell``.
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import ringbuf
from hft.runtime import cpus, idle, killstate, nats_server, state, streams, topology
from hft.runtime.children import Child, Crash
from hft.runtime.clock import Clock
from hft.runtime.context import Run
from hft.runtime.endpoints import PORT_FILE
from hft.runtime.exit_codes import ExitCode, HftError
from hft.runtime.nats_server import NatsServer
from hft.runtime.segments import Segments, declared_page
from hft.runtime.service import ServiceState
from hft.runtime.settings import Config
from hft.wire.enums import KillTrigger

KILL_GRACE_S = 3.0
"""How much longer than its drain limit a service gets before it is killed."""

POLL_S = 0.01
"""Pause between two looks at whether a service is ready."""

Tell = Callable[[str], None]


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
        self._children = {spec.name: Child(spec.name, state_dir, config.hft) for spec in topology.SERVICES}
        self._nats: NatsServer | None = None
        self._nats_restarts = 0
        self._nats_retry_ns = 0
        self._told_kill = False
        self._unsaved_kill = False
        self._stopped = False
        self.segments: Segments
        switched_on, allowed = cpus.online(), cpus.available()
        chosen = cpus.choose(config.cpus.list, allowed, switched_on)
        assignment = cpus.assign(chosen, can_pin=hasattr(os, "sched_setaffinity"))
        self.notes = assignment.notes
        self.run = Run(
            run_id=os.urandom(16),
            state_dir=state_dir,
            prefix=config.hft.prefix,
            config=config,
            cpus=assignment.cpus,
            idle=idle.resolve(config, assignment.cpus),
            started_unix_ns=clock.unix_ns(),
            supervisor_pid=os.getpid(),
        )

    @property
    def restarts(self) -> int:
        """Restarts of services and of nats-server so far."""
        return sum(child.restarts for child in self._children.values()) + self._nats_restarts

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
        for name in ringbuf.sweep(self.run.prefix):
            self._tell(f"removed {name}, left by a run that is gone")
        self._tell("shared memory: rings, account table, counters, kill latch")
        pages = {name: declared_page(name) for name in self._children}
        self.segments = Segments.create(self.run, pages)
        self._load_kill()
        # An earlier run's port would lead this one's services to whatever listens there now.
        (self.run.state_dir / PORT_FILE).unlink(missing_ok=True)
        self._start_nats()
        self._write_run()
        before("services")
        for wave in topology.START_WAVES:
            if wave == topology.START_WAVES[-1]:
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
        self._follow_kill()
        now_ns = self._clock.monotonic_ns()
        for child in self._children.values():
            crash = child.take_crash(now_ns)
            if crash is not None:
                self._on_crash(child, crash)
            elif child.restart_due(now_ns):
                self._restart(child)
        self._watch_nats(now_ns)

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
        for spec in topology.SERVICES:
            if spec.name == topology.SIMNET and before_cluster_ends is not None:
                before_cluster_ends()
            if not self._stop_child(self._children[spec.name]):
                undrained.append(spec.name)
            self._follow_kill()
        if self._nats is not None:
            self._tell("stopping nats-server")
            self._nats.stop()
        return undrained

    def remove(self) -> None:
        """End whatever still runs and unlink all segments; safe to call at any time and twice."""
        self._stopped = True
        for child in self._children.values():
            child.kill()
        if self._nats is not None:
            self._nats.stop()
        if hasattr(self, "segments"):
            self.segments.remove()
        (self.run.state_dir / state.RUN_FILE).unlink(missing_ok=True)
        self.run.socket_path.unlink(missing_ok=True)
        (self.run.state_dir / PORT_FILE).unlink(missing_ok=True)

    def pids(self) -> dict[str, int]:
        """Process ids by name, nats-server's among them; 0 for what does not run."""
        pids = {name: child.pid for name, child in self._children.items()}
        if self._nats is not None:
            pids["nats-server"] = self._nats.pid or 0
        return pids

    def _load_kill(self) -> None:
        latch = killstate.establish(self.run.state_dir, self._clock.unix_ns())
        self._told_kill = latch.killed
        if latch.killed:
            self.segments.control.trip(
                int(latch.trigger), latch.by, latch.message, self._clock.monotonic_ns(), self._clock.unix_ns()
            )
            self._tell(
                f"HALTED: the kill latch is set ({latch.trigger.name.lower()}, {latch.by}: {latch.message}): "
                'no submissions until hft resume --approve "…"'
            )

    def _follow_kill(self) -> None:
        """Tell of a change of the latch, and put a new kill on disk; a disk that refuses is tried again."""
        killed = self.segments.control.killed
        if killed != self._told_kill:
            info = self.segments.control.kill_info()
            trigger = _trigger(info.reason)
            if killed:
                self._tell(f"KILL: {trigger.name.lower()} by {info.by}: {info.message}")
            else:
                self._tell(f"RESUMED by {info.by}: {info.message}")
            self._told_kill, self._unsaved_kill = killed, killed
        if self._unsaved_kill:
            info = self.segments.control.kill_info()
            with contextlib.suppress(OSError):
                killstate.trip(
                    self.run.state_dir, _trigger(info.reason), info.by, info.message, self._clock.unix_ns()
                )
                self._unsaved_kill = False

    def _start_nats(self) -> None:
        settings = self.run.config.nats
        if settings.url != "embedded":
            self.run = replace(self.run, nats_url=settings.url)
            return
        self._tell("starting nats-server with JetStream")
        self._nats = NatsServer(
            self.run.state_dir / state.NATS_FOLDER,
            port=settings.port,
            name=f"hft-{self.run.run_id8}",
            sync_interval_s=0 if settings.sync_always == "on" else nats_server.SYNC_INTERVAL_S,
            streams=streams.table(settings),
            log_file=self.run.state_dir / state.LOG_FOLDER / "nats-server.log",
        )
        self.run = replace(self.run, nats_url=self._nats.start())

    def _watch_nats(self, now_ns: int) -> None:
        if self._nats is None or self._nats.pid is not None:
            return
        if self._nats_retry_ns == 0:
            self._tell("nats-server ended unexpectedly; the services go on, the sidecar waits for it")
            self._nats_retry_ns = now_ns + self.run.config.hft.restart_backoff_ms * 1_000_000
        elif now_ns >= self._nats_retry_ns:
            self._nats_retry_ns = 0
            try:
                self._nats.start()
            except HftError as error:
                self.failure = error
                return
            self._nats_restarts += 1
            self._tell("nats-server restarted")

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
            self._follow_kill()
            if time.monotonic() > deadline:
                self._tell(f"{child.name} did not end within {limit_s:g} s: killed")
                child.kill()
                return False
        if code != ExitCode.OK:
            self._tell(f"{child.name} ended with {describe_exit(code)} {child.last_error()}".rstrip())
        return code == ExitCode.OK

    def _write_run(self) -> None:
        """``HftError`` when the state folder takes nothing more."""
        self.run = replace(self.run, pids=self.pids())
        file = self.run.state_dir / state.RUN_FILE
        try:
            state.write_atomic(file, self.run.to_json())
        except OSError as error:
            raise HftError(f"{file}: {error.strerror}", ExitCode.STATE_FOLDER) from error


def _trigger(reason: int) -> KillTrigger:
    return KillTrigger(reason) if reason in list(KillTrigger) else KillTrigger.CORRUPT


def describe_exit(code: int) -> str:
    """An exit status in words: ``exit code 9, SERVICE_FAILED`` or ``signal SIGKILL``."""
    if code < 0:
        try:
            return f"signal {signal.Signals(-code).name}"
        except ValueError:
            return f"signal {-code}"
    name = f", {ExitCode(code).name}" if code in list(ExitCode) else ""
    return f"exit code {code}{name}"
