"""A run of the pipeline's own services as real processes, and what they tell: pages, rings, logs.

The very service classes under the very runner, started as the supervisor starts them, on the cores that it
would give them; without the supervisor, NATS and whoever else a measurement leaves out.
"""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import ringbuf
from hft.runtime import cpus, environment, idle, killstate, state, streams, topology
from hft.runtime.children import Child
from hft.runtime.clock import SystemClock
from hft.runtime.context import Run
from hft.runtime.monitor import Monitor, Reading
from hft.runtime.nats_server import NatsServer
from hft.runtime.segments import Segments, declared_page
from hft.runtime.service import ServiceState
from hft.runtime.settings import Config
from hft.simnet.service import SETTLEMENT_LOG
from perf.workers import WorkerError

Market = Callable[[Path], str]
START_LIMIT_S = 60.0
STOP_LIMIT_S = 40.0
POLL_S = 0.005


def configured(**sections: Mapping[str, Any]) -> Config:
    """Default settings with some keys of some sections changed: ``configured(simnet={"slot_ms": 50})``."""
    config = Config()
    return replace(
        config, **{name: replace(getattr(config, name), **keys) for name, keys in sections.items()}
    )


class Processes:
    """Some services of one run. ``WorkerError`` when one does not start, ends early or does not stop."""

    def __init__(
        self,
        config: Config,
        services: Collection[str],
        allowed: Collection[int],
        market: Market | None = None,
    ) -> None:
        """``allowed``: the CPUs to share out among the services as ``hft start --cpus`` does; ``market``:
        writes the market's file into a folder."""
        self._folder = Path(tempfile.mkdtemp(prefix="perf-services-"))
        state.prepare(self._folder)
        prefix = f"perf-p{os.getpid()}"
        config = replace(config, hft=replace(config.hft, prefix=prefix))
        if market is not None:
            config = replace(config, simnet=replace(config.simnet, market=(market(self._folder),)))
        assigned = cpus.assign(tuple(sorted(set(allowed))), config.cpus.placement)
        self.others = assigned.others
        self.run = Run(
            run_id=os.urandom(16),
            state_dir=self._folder,
            prefix=prefix,
            config=config,
            cpus=assigned.cpus,
            idle=idle.resolve(config, assigned.cpus),
            supervisor_pid=os.getpid(),
        )
        self._services = tuple(services)
        self._nats: NatsServer | None = None
        if "sidecar" in services:
            folder, limits = self._folder / state.NATS_FOLDER, streams.table(config.nats)
            self._nats = NatsServer(
                folder, name=f"perf-{self.run.run_id8}", streams=limits, nice=config.cpus.nice
            )
        self._children: dict[str, Child] = {}
        self.segments: Segments | None = None

    @property
    def made(self) -> Segments:
        """The run's shared memory, once it started."""
        assert self.segments is not None
        return self.segments

    def start(self) -> None:
        """Every service, readers before writers, each wave once the one before it runs."""
        killstate.establish(self._folder, time.time_ns())
        if self._nats is not None:
            before = cpus.available()
            cpus.pin(self.others)  # nats-server inherits it, as the supervisor's does
            self.run = replace(self.run, nats_url=self._nats.start())
            cpus.pin(before)
        every = {spec.name: declared_page(spec.name) for spec in topology.services("paper")}
        self.segments = Segments.create(self.run, every)
        state.write_atomic(self._folder / state.RUN_FILE, self.run.to_json())
        for wave in topology.START_WAVES:
            self._start([name for name in wave if name in self._services])

    def _start(self, names: Collection[str]) -> None:
        for name in names:
            given = environment.of_service(name, self.run.config)
            self._children[name] = Child(name, self._folder, self.run.config.hft, given)
            self.made.pages[name].set_state(ServiceState.STARTING)
            self._children[name].spawn()
        self.until(
            f"{', '.join(names)} ready",
            lambda: all(ServiceState(self.made.pages[name].state).alive for name in names),
            START_LIMIT_S,
        )

    def until(self, what: str, condition: Callable[[], object], limit_s: float) -> None:
        """Poll until it holds; ``WorkerError`` when it does not, or a service ends meanwhile."""
        deadline = time.monotonic() + limit_s
        while not condition():
            self.check()
            if time.monotonic() > deadline:
                raise WorkerError(f"not within {limit_s:.0f} s: {what}; {self.last_words()}")
            time.sleep(POLL_S)

    def check(self) -> None:
        """``WorkerError`` if a service has ended."""
        for name, child in self._children.items():
            if not child.running:
                raise WorkerError(f"{name} ended: {child.last_error() or self.last_words()}")

    def count(self, service: str, name: str) -> int:
        """A counter, as its page has it now."""
        page = self.made.pages[service]
        return page.value(page.index(name))

    def reader(self, link: str) -> ringbuf.Subscription:
        """A further, observing end of a link, from its next message on."""
        return self.made.rings[link].subscribe("perf", gating=False)

    def reading(self) -> Reading:
        """All pages, rings and the latch."""
        made = self.made
        return Monitor(made.pages, made.rings, made.control, SystemClock()).read()

    def pid(self, service: str) -> int:
        """Of its process."""
        return self._children[service].pid

    def cpu_ns(self, service: str) -> int:
        """CPU time of its process so far."""
        return int(Path(f"/proc/{self.pid(service)}/schedstat").read_text("ascii").split()[0])

    def own_bytes(self, service: str) -> int:
        """Memory of its process that it shares with nobody (``RssAnon``): the rings have their fixed size."""
        for line in Path(f"/proc/{self.pid(service)}/status").read_text("ascii").splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
        raise WorkerError(f"/proc/{self.pid(service)}/status has no RssAnon")

    def stop_nats(self) -> None:
        """End nats-server, if there is one; the services go on."""
        if self._nats is not None:
            self._nats.stop()

    def settlements(self) -> list[dict[str, Any]]:
        """What reached the local cluster, by its own log."""
        lines = (self._folder / SETTLEMENT_LOG).read_text("utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def last_words(self) -> str:
        """The newest line of each log."""
        logs = sorted((self._folder / state.LOG_FOLDER).glob("*.log"))
        lines = [(file.stem, file.read_text("utf-8", "replace").splitlines()) for file in logs]
        return "; ".join(f"{name}: {said[-1]}" for name, said in lines if said)

    def drain(self) -> list[str]:
        """End the services in order, writers first, each drained before the next; who did not drain."""
        left = []
        for name in [spec.name for spec in topology.SERVICES if spec.name in self._children]:
            child = self._children[name]
            child.terminate()
            if child.wait(STOP_LIMIT_S) != 0:
                left.append(name)
                child.kill()
        return left

    def stop(self) -> None:
        """End whatever still runs, take everything away. Idempotent."""
        for child in self._children.values():
            child.kill()
        self._children.clear()
        if self._nats is not None:
            self._nats.stop()
        if self.segments is not None:
            self.segments.remove()
            self.segments = None
        shutil.rmtree(self._folder, ignore_errors=True)


class Lasting:
    """A case whose pipeline lasts from ``start`` to ``stop``."""

    _pipeline: Processes | None = None

    @property
    def pipeline(self) -> Processes:
        """Once it started."""
        assert self._pipeline is not None
        return self._pipeline

    def stop(self) -> None:
        """All of it."""
        if self._pipeline is not None:
            self._pipeline.stop()
            self._pipeline = None
