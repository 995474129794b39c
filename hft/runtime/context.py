"""What a service is built from: its settings, its clock, its ends of the links, its counters page, the kill
latch."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ringbuf
from hft import wire
from hft.runtime import config as configuration
from hft.runtime import cpus, topology
from hft.runtime.clock import Clock, SystemClock
from hft.runtime.exit_codes import ExitCode, HftError
from hft.runtime.settings import Config


@dataclass(frozen=True)
class Run:
    """One run of the pipeline: what all its processes must agree on. Written to run.json before any of them
    starts."""

    run_id: bytes
    """16 random bytes."""
    state_dir: Path
    prefix: str
    config: Config
    cpus: Mapping[str, tuple[int, ...]]
    """Service → CPU numbers it may run on; one number means a core of its own."""
    idle: Mapping[str, str]
    """Service → name of its idle strategy, never ``auto``."""
    nats_url: str = ""
    started_unix_ns: int = 0
    supervisor_pid: int = 0
    pids: Mapping[str, int] = field(default_factory=dict)
    restarts: Mapping[str, int] = field(default_factory=dict)
    """Service → restarts by the supervisor so far."""
    standing: bool = False
    """Was it laid by ``hft shm up``, so that ``hft run`` brings its services?"""

    @property
    def run_id8(self) -> str:
        """The first 8 hex digits of the run id, part of every shared-memory name."""
        return self.run_id.hex()[:8]

    def segment(self, kind: str, what: str = "") -> str:
        """Name of a shared-memory segment of this run; kinds: ring, table, counters, control."""
        return ringbuf.segment_name(self.prefix, self.run_id8, kind, what)

    def to_json(self) -> str:
        """The text of run.json."""
        values = {
            "run_id": self.run_id.hex(),
            "state_dir": str(self.state_dir),
            "prefix": self.prefix,
            "nats_url": self.nats_url,
            "started_unix_ns": self.started_unix_ns,
            "supervisor_pid": self.supervisor_pid,
            "pids": dict(self.pids),
            "restarts": dict(self.restarts),
            "standing": self.standing,
            "cpus": {name: list(numbers) for name, numbers in self.cpus.items()},
            "idle": dict(self.idle),
            "config": configuration.to_dict(self.config),
        }
        return json.dumps(values, indent=1)

    @classmethod
    def from_json(cls, text: str) -> "Run":
        """The run that ``to_json`` wrote; ``HftError`` when the text is not of that form."""
        try:
            values: dict[str, Any] = json.loads(text)
            return cls(
                run_id=bytes.fromhex(values["run_id"]),
                state_dir=Path(values["state_dir"]),
                prefix=values["prefix"],
                config=configuration.from_dict(values["config"]),
                cpus={name: tuple(numbers) for name, numbers in values["cpus"].items()},
                idle=values["idle"],
                nats_url=values["nats_url"],
                started_unix_ns=values["started_unix_ns"],
                supervisor_pid=values["supervisor_pid"],
                pids=values["pids"],
                restarts=values["restarts"],
                standing=values["standing"],
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise HftError(
                f"run.json is not of the expected form: {error!r}", ExitCode.STATE_FOLDER
            ) from error

    @classmethod
    def load(cls, file: Path) -> "Run":
        """Read run.json; ``HftError`` when it cannot be read."""
        try:
            return cls.from_json(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise HftError(f"{file}: cannot be read: {error.strerror}", ExitCode.STATE_FOLDER) from error


class Context:
    """A service's view of its run. Everything it opens is closed by ``close``."""

    def __init__(self, name: str, run: Run, clock: Clock | None = None) -> None:
        """``name``: a service of the topology. Attaches the counters page and the control segment at once.

        Raises ``ringbuf.SegmentMissing`` or ``SegmentMismatch`` when they are absent or of another layout.
        """
        self.name = name
        self.run = run
        self.config = run.config
        self.clock: Clock = clock or SystemClock()
        self.counters = ringbuf.Counters.attach(run.segment("counters", name))
        self.control = ringbuf.Control.attach(run.segment("control"))
        self.stop_requested = False
        """Set by SIGTERM: take no new input from outside, finish what is under way."""
        self._rings: dict[str, ringbuf.Ring] = {}
        self._publications: dict[str, ringbuf.Publication] = {}
        self._subscriptions: dict[str, ringbuf.Subscription] = {}
        self._peers: dict[str, ringbuf.Counters] = {}
        self._table: ringbuf.Table | None = None

    @property
    def rank(self) -> int:
        """This service's real-time priority, 0 where it has none."""
        run = self.run
        return cpus.ranks(self.config.cpus.real_time, run.cpus, run.idle).get(self.name, 0)

    def step_aside(self) -> None:
        """For a thread that waits for a disk, called in it: it leaves a core that works in real time, where
        the kernel's own work for that disk comes after everything else."""
        if self.rank:
            cpus.pin(cpus.of_others(self.run.cpus))

    def publication(self, link: str) -> ringbuf.Publication:
        """The writing end of ``link``; ``ValueError`` when the topology gives it to another service."""
        if link not in self._publications:
            self._publications[link] = self.written_ring(link).publication()
        return self._publications[link]

    def written_ring(self, link: str) -> ringbuf.Ring:
        """The ring of ``link``; ``ValueError`` when the topology gives it to another writer."""
        writer = topology.link(link).writer
        if writer != self.name:
            raise ValueError(f"link {link} is written by {writer}, not by {self.name}")
        return self._ring(link)

    def subscription(self, link: str) -> ringbuf.Subscription:
        """This service's reading end of ``link``, gating or observing as the topology says; one per link.

        It starts at the link's first message; after a crash it goes on where the predecessor stopped.
        ``ValueError`` when the topology does not name this service as a reader.
        """
        entry = topology.link(link)
        if self.name not in entry.readers:
            raise ValueError(
                f"link {link} is not read by {self.name}; its readers are {', '.join(entry.readers)}"
            )
        if link not in self._subscriptions:
            gating = self.name in entry.gating
            self._subscriptions[link] = self._ring(link).subscribe(self.name, gating=gating, from_start=True)
        return self._subscriptions[link]

    @property
    def table(self) -> ringbuf.Table:
        """The account table: the feed writes it, everyone reads it."""
        if self._table is None:
            self._table = ringbuf.Table.attach(self.run.segment("table", "accounts"))
        return self._table

    def peer_counters(self, name: str) -> ringbuf.Counters:
        """Another service's counters page, for reading."""
        if name not in self._peers:
            self._peers[name] = ringbuf.Counters.attach(self.run.segment("counters", name))
        return self._peers[name]

    @property
    def peers(self) -> tuple[str, ...]:
        """Names of all services of the run, this one included."""
        return tuple(spec.name for spec in topology.services(self.config.hft.mode, self.config.optional))

    @property
    def links(self) -> tuple[str, ...]:
        """Names of the links of the run."""
        return tuple(entry.name for entry in topology.links(self.config.optional))

    def losses(self) -> Mapping[str, int]:
        """Link → messages this service was lapped by so far."""
        return {link: subscription.lost for link, subscription in self._subscriptions.items()}

    def backlog(self) -> int:
        """Messages on all subscribed links that have not been taken yet."""
        return sum(subscription.lag for subscription in self._subscriptions.values())

    def close(self) -> None:
        """Let go of every end that was opened. Segments stay: the supervisor unlinks them.

        Subscriptions keep their slots, as after a crash: their figures stay readable for the closing report,
        and a successor goes on where this process stopped.
        """
        for publication in self._publications.values():
            publication.close()
        for subscription in self._subscriptions.values():
            subscription.release()
        for segment in (
            *self._rings.values(),
            *self._peers.values(),
            self._table,
            self.control,
            self.counters,
        ):
            if segment is not None:
                segment.close()
        for opened in (self._rings, self._publications, self._subscriptions, self._peers):
            opened.clear()
        self._table = None

    def _ring(self, link: str) -> ringbuf.Ring:
        if link not in self._rings:
            self._rings[link] = ringbuf.Ring.attach(
                self.run.segment("ring", link), schema_hash=wire.SCHEMA_HASH
            )
        return self._rings[link]
