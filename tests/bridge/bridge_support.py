"""Real rings at both ends of a bridge, real nats-servers, one or three, between them."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from nats.js import JetStreamContext
from sidecar_support import asked

import ringbuf
from hft import wire
from hft.runtime import bridge, streams
from hft.runtime.bridge import Bridge, Ways
from hft.runtime.clock import Clock, SystemClock
from hft.runtime.nats_options import connect_options
from hft.runtime.nats_server import HOST, find_binary
from hft.runtime.settings import Nats

SOURCE_RUN = "5c" * 16
"""The other machine's run."""


def make_streams(url: str, replicas: int = 1) -> None:
    """The six streams, on so many servers."""

    async def make(js: JetStreamContext) -> None:
        await streams.ensure(js, streams.table(Nats(replicas=replicas)))

    asked(url, make)


def publish(
    url: str,
    messages: Sequence[tuple[str, bytes]],
    headers: dict[str, str] | None = None,
    subject: str = "opportunity.two_hop.a.b",
) -> None:
    """(id, payload) of each message, stored in order."""

    async def send(js: JetStreamContext) -> None:
        for identity, payload in messages:
            await js.publish(subject, payload, headers={"Nats-Msg-Id": identity, **(headers or {})})

    asked(url, send)


class Cluster:
    """Three nats-servers on loopback that share their streams out."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        ports = [_free_port() for _ in range(6)]
        self.ports, self._routes = ports[:3], ports[3:]
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        """All addresses, as ``[nats] url`` takes them."""
        return ",".join(f"nats://{HOST}:{port}" for port in self.ports)

    def start(self, number: int) -> None:
        """Start one server; it need not be ready yet."""
        folder = self._folder / f"node{number}"
        folder.mkdir(parents=True, exist_ok=True)
        routes = ", ".join(f'"nats://{HOST}:{port}"' for port in self._routes)
        (folder / "server.conf").write_text(
            f'server_name: "n{number}"\nhost: {HOST}\nport: {self.ports[number]}\n'
            f'jetstream {{ store_dir: "{folder}/store", max_file_store: 40G, max_memory_store: 2G }}\n'
            f'cluster {{ name: "hft", host: {HOST}, port: {self._routes[number]}, routes: [{routes}] }}\n'
        )
        with (folder / "log").open("ab") as log:
            self._processes[number] = subprocess.Popen(
                [find_binary(), "-c", folder / "server.conf"], stdout=log, stderr=log
            )

    def start_all(self) -> None:
        """Start all and wait until streams can be made on three."""
        for number in range(3):
            self.start(number)
        deadline = time.monotonic() + 30
        while True:
            try:
                make_streams(self.url.split(",", maxsplit=1)[0], 3)
                return
            except Exception:
                assert time.monotonic() < deadline
                time.sleep(0.1)

    def kill(self, number: int) -> None:
        """SIGKILL."""
        process = self._processes.pop(number)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def freeze(self, number: int) -> None:
        """As if its machine had lost its power: connections stay open, and nothing is said any more."""
        self._processes[number].send_signal(signal.SIGSTOP)

    def thaw(self, number: int) -> None:
        """It goes on where it was."""
        self._processes[number].send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End all."""
        for process in self._processes.values():
            process.kill()
            process.wait()
        self._processes.clear()

    def leader(self, stream: str, asked_node: int) -> int:
        """Number of the server that leads a stream."""

        async def ask(js: JetStreamContext) -> str:
            cluster = (await js.stream_info(stream)).cluster
            assert cluster is not None
            return str(cluster.leader)

        return int(asked(f"nats://{HOST}:{self.ports[asked_node]}", ask).removeprefix("n"))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@dataclass
class Target:
    """A ring, and a bridge into it that is stepped by hand."""

    folder: Path
    url: str
    stream: str = "OPPORTUNITIES"
    link: str = "opportunities_remote"
    depth: int = 4096
    subject: str = ""
    clock: Clock = field(default_factory=SystemClock)
    run: str = field(default_factory=lambda: os.urandom(16).hex())
    log: list[str] = field(default_factory=list)
    bridge: Bridge | None = None

    def __post_init__(self) -> None:
        name = ringbuf.segment_name("hftbr", self.run[:8], "ring", "target")
        self.ring = ringbuf.Ring.create(name, depth=self.depth, mtu=1024, schema_hash=wire.SCHEMA_HASH)
        self.page = ringbuf.Counters.create(
            ringbuf.segment_name("hftbr", self.run[:8], "counters", "bridge"),
            counters=bridge.counters_of(self.link),
            histograms=bridge.HISTOGRAMS,
        )
        self.reader = self.ring.subscribe(
            "reader", gating=self.link != "opportunities_remote", from_start=True
        )

    def open(self) -> Bridge:
        options = connect_options(replace(Nats(), url=self.url))
        ways = Ways(options, self.stream, self.subject, self.link, self.folder)
        self.bridge = Bridge(ways, self.ring, self.page, self.clock, self.run, self.log.append)
        self.bridge.on_start()
        return self.bridge

    def cycle(self) -> None:
        assert self.bridge is not None
        if not self.bridge.do_work():
            self.bridge.wait(1_000_000)
        self.bridge.on_housekeeping(time.monotonic_ns())

    def until(self, condition: Callable[[], bool], seconds: float = 20.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, (self.counters(), self.log)
            self.cycle()

    def counters(self) -> dict[str, int]:
        return {name: value for name, value in self.page.read().items() if value}

    def written(self) -> int:
        return self.ring.stats()["published"]  # type: ignore[no-any-return]

    def taken(self) -> list[bytes]:
        return self.reader.take_batch(1 << 20)

    def close(self) -> None:
        if self.bridge is not None:
            self.bridge.on_close()
            self.bridge = None

    def remove(self) -> None:
        self.close()
        self.reader.close()
        for segment in (self.ring, self.page):
            segment.close()
            segment.unlink()
