"""What the services of a run stand on: shared memory, the kill latch on disk, nats-server, run.json.

One process lays it, keeps it while the run lasts and takes it away: the supervisor of ``hft start``, or ``hft
shm up`` where systemd runs each service by itself.
"""

import contextlib
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import ringbuf
from hft.runtime import cpus, idle, killstate, nats_address, nats_server, state, streams, topology
from hft.runtime.clock import Clock
from hft.runtime.context import Run
from hft.runtime.endpoints import PORT_FILE
from hft.runtime.exit_codes import ExitCode, HftError
from hft.runtime.nats_server import NatsServer
from hft.runtime.segments import Segments, declared_page
from hft.runtime.settings import Config
from hft.wire.enums import KillTrigger

Tell = Callable[[str], None]
CONNECT_LIMIT_S = 1.0


class Foundation:
    """Laid once, then polled a few times a second, then removed. Whoever lays it holds the state folder's
    lock."""

    def __init__(
        self, config: Config, state_dir: Path, clock: Clock, tell: Tell, *, standing: bool = False
    ) -> None:
        """``tell`` takes one line for a person; ``standing``: services come by ``hft run``."""
        self._clock = clock
        self._tell = tell
        self._nats: NatsServer | None = None
        self._nats_retry_ns = 0
        self._told_kill = False
        self._unsaved_kill = False
        self.nats_restarts = 0
        self.segments: Segments
        assignment = cpus.place(config)
        self._others = assignment.others
        self._affinity_before: tuple[int, ...] = ()
        self.notes = assignment.notes
        """What a person should know about who runs where."""
        self.run = Run(
            run_id=os.urandom(16),
            state_dir=state_dir,
            prefix=config.hft.prefix,
            config=config,
            cpus=assignment.cpus,
            idle=idle.resolve(config, assignment.cpus),
            started_unix_ns=clock.unix_ns(),
            supervisor_pid=os.getpid(),
            standing=standing,
        )

    def lay(self) -> None:
        """Make everything, on an empty place: what a dead run left is swept away first.

        This process, and nats-server after it, leaves the cores of the hot services alone from here on.
        ``HftError`` tells what could not be made; whatever was made is then taken away by ``remove``.
        """
        self._affinity_before = cpus.available()
        cpus.pin(self._others)
        for name in ringbuf.sweep(self.run.prefix):
            self._tell(f"removed {name}, left by a run that is gone")
        self._tell("shared memory: rings, account table, counters, kill latch")
        self.segments = Segments.create(
            self.run,
            {
                spec.name: declared_page(spec.name, self.run.config)
                for spec in topology.services(self.run.config.hft.mode, self.run.config.optional)
            },
        )
        self._load_kill()
        # An earlier run's port would lead this one's services to whatever listens there now.
        (self.run.state_dir / PORT_FILE).unlink(missing_ok=True)
        self._start_nats()

    def write_run(self, pids: Mapping[str, int], restarts: Mapping[str, int]) -> None:
        """Tell in run.json which processes there are; ``HftError`` when the state folder takes nothing
        more."""
        nats_pid = {} if self._nats is None else {"nats-server": self._nats.pid or 0}
        self.run = replace(self.run, pids={**pids, **nats_pid}, restarts=dict(restarts))
        file = self.run.state_dir / state.RUN_FILE
        try:
            state.write_atomic(file, self.run.to_json())
        except OSError as error:
            raise HftError(f"{file}: {error.strerror}", ExitCode.STATE_FOLDER) from error

    def follow_kill(self) -> None:
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

    def watch_nats(self, now_ns: int) -> None:
        """Start nats-server again when it has ended; ``HftError`` when it does not come back."""
        if self._nats is None or self._nats.pid is not None:
            return
        if self._nats_retry_ns == 0:
            self._tell("nats-server ended unexpectedly; the services go on, the sidecar waits for it")
            self._nats_retry_ns = now_ns + self.run.config.hft.restart_backoff_ms * 1_000_000
        elif now_ns >= self._nats_retry_ns:
            self._nats_retry_ns = 0
            self._nats.start()
            self.nats_restarts += 1
            self._tell("nats-server restarted")

    def stop_nats(self) -> None:
        """End nats-server, if it is ours."""
        if self._nats is not None:
            self._tell("stopping nats-server")
            self._nats.stop()

    def remove(self) -> None:
        """Take everything away; safe to call at any time and twice."""
        cpus.pin(self._affinity_before)
        if self._nats is not None:
            self._nats.stop()
        if hasattr(self, "segments"):
            self.segments.remove()
        (self.run.state_dir / state.RUN_FILE).unlink(missing_ok=True)
        (self.run.state_dir / PORT_FILE).unlink(missing_ok=True)

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

    def _start_nats(self) -> None:
        settings = self.run.config.nats
        if settings.url != "embedded":
            self.run = replace(self.run, nats_url=settings.url)
            for line in _not_there(settings.url):
                self._tell(f"NATS {line}; what is to be published waits in the journal")
            return
        self._tell("starting nats-server with JetStream")
        self._nats = NatsServer(
            self.run.state_dir / state.NATS_FOLDER,
            port=settings.port,
            name=f"hft-{self.run.run_id8}",
            sync_interval_s=0 if settings.sync_always == "on" else nats_server.SYNC_INTERVAL_S,
            streams=streams.table(settings),
            nice=self.run.config.cpus.nice,
            log_file=self.run.state_dir / state.LOG_FOLDER / "nats-server.log",
        )
        self.run = replace(self.run, nats_url=self._nats.start())


def _not_there(urls: str) -> Iterator[str]:
    """Servers at which nobody listens, and why."""
    for server in nats_address.parse_urls(urls, plaintext_anywhere=True)[0]:
        try:
            socket.create_connection((server.host, server.port), CONNECT_LIMIT_S).close()
        except OSError as error:
            yield f"at {server.url}: {error.strerror or error}"


def _trigger(reason: int) -> KillTrigger:
    return KillTrigger(reason) if reason in list(KillTrigger) else KillTrigger.CORRUPT
