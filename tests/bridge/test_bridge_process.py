"""The bridge as a process, by hand and as a service, killed under load: nothing lost, nothing twice."""

import asyncio
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import nats
import pytest
from bridge_support import SOURCE_RUN
from sidecar_support import Started, message_ids, stored

import ringbuf
from hft import wire
from hft.runtime import state
from hft.runtime.context import Run
from hft.runtime.exit_codes import ExitCode
from hft.runtime.nats_server import NatsServer
from hft.runtime.segments import Segments, declared_page
from hft.runtime.service import ServiceState
from hft.runtime.settings import Bridge, Config
from hft.wire import Codec
from tests.conftest import ROOT
from tests.e2e.pipeline import CALM, Pipeline
from tests.messages import record_bytes

RATE = 200
"""Messages a second."""

LONG = (pytest.mark.slow, pytest.mark.timeout(900))
PREFIX = f"hftbp{os.getpid() % 10_000}"


class Load(threading.Thread):
    """The other machine: so many messages a second into a stream, until it is told to end."""

    def __init__(self, url: str, link: str, codec: Codec, subject: str) -> None:
        super().__init__(daemon=True)
        self.sent: list[bytes] = []
        self._url, self._link, self._codec, self._subject = url, link, codec, subject
        self._ended = threading.Event()
        self.start()

    def end(self) -> None:
        """Whatever was sent is in the stream then."""
        self._ended.set()
        self.join(60)
        assert not self.is_alive()

    def run(self) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        client = await nats.connect(self._url)
        begin = time.monotonic()
        while not self._ended.is_set():
            while len(self.sent) < RATE * (time.monotonic() - begin):
                await self._send(client)
            await client.flush()
            await asyncio.sleep(0.005)
        await client.close()

    async def _send(self, client: nats.aio.client.Client) -> None:
        number, now_ns = len(self.sent), time.monotonic_ns()
        names = [field.name for field in self._codec.layout.fields]
        stamps = {name: now_ns for name in names if name.endswith("_ns") and name != "expires_ns"}
        message = record_bytes(self._codec, number, **stamps)
        await client.publish(
            self._subject, message, headers={"Nats-Msg-Id": f"{SOURCE_RUN}:{self._link}:{number}"}
        )
        self.sent.append(message)


class Machine:
    """The machine that the bridge runs on: the rings of a run, and a reader at the end of one of them."""

    def __init__(self, folder: Path, url: str, link: str) -> None:
        state.prepare(folder)
        self.run = Run(
            run_id=os.urandom(16),
            state_dir=folder,
            prefix=PREFIX,
            config=replace(Config(), bridge=Bridge(enabled="on")),
            cpus={},
            idle={"bridge": "park"},
            nats_url=url,
        )
        self.link = link
        self.segments = Segments.create(self.run, {"bridge": declared_page("bridge")})
        self.page = self.segments.pages["bridge"]
        self.ring = self.segments.rings[link]
        self.reader = self.ring.subscribe("executor", gating=link == "planned", from_start=True)
        self.taken: list[bytes] = []
        self.run_file = folder / state.RUN_FILE
        self.run_file.write_text(self.run.to_json())
        self._lock = state.InstanceLock(folder)
        self._lock.__enter__()

    def command(self) -> list[str]:
        """``hft bridge``, or the service as the supervisor starts it."""
        if self.link == "planned":
            by_hand = ["bridge", "--from", "PLANNED", "--to", self.link]
            return ["-m", "hft.cli.main", *by_hand, "--state-dir", str(self.run.state_dir)]
        return ["-m", "hft.runtime.process", "bridge", str(self.run_file)]

    def spawn(self, started: Started) -> "subprocess.Popen[bytes]":
        self.page.set_state(ServiceState.STARTING)
        started.append(subprocess.Popen([sys.executable, *self.command()], cwd=ROOT, stderr=subprocess.PIPE))
        return started[-1]

    def until(self, process: "subprocess.Popen[bytes]", condition: Callable[[], bool]) -> None:
        """Take what comes until the condition holds."""
        deadline = time.monotonic() + 120
        while not condition():
            assert process.poll() is None, process.communicate()[1].decode()
            assert time.monotonic() < deadline, (len(self.taken), self.ring.stats())
            self.take()
            time.sleep(0.001)

    def take(self) -> None:
        self.taken += self.reader.take_batch(1 << 20)

    def close(self) -> None:
        self.reader.close()
        self._lock.__exit__(None, None, None)
        self.segments.remove()
        ringbuf.sweep(PREFIX)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Callable[[str, str], Machine]]:
    made: list[Machine] = []

    def make(url: str, link: str) -> Machine:
        made.append(Machine(tmp_path / "state", url, link))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.mark.parametrize("kills", [1, pytest.param(10, marks=LONG)])
@pytest.mark.parametrize(
    ("link", "codec", "subject"),
    [
        ("planned", wire.execution_plan, "execution.planned.x"),
        ("opportunities_remote", wire.two_hop_opportunity, "opportunity.two_hop.a.b"),
    ],
)
def test_row_01_32_a_bridge_killed_under_load_loses_and_doubles_nothing(
    server: NatsServer,
    machine: Callable[[str, str], Machine],
    processes: Started,
    link: str,
    codec: Codec,
    subject: str,
    kills: int,
) -> None:
    made = machine(server.url, link)
    stream = made.command()[4] if link == "planned" else "OPPORTUNITIES"
    load, dice = Load(server.url, stream.lower(), codec, subject), random.Random(kills)
    for _ in range(kills):
        goal = len(made.taken) + dice.randint(100, 600)
        process = made.spawn(processes)
        made.until(process, lambda goal=goal: len(made.taken) >= goal)  # type: ignore[misc]
        process.kill()
        process.wait()
    last = made.spawn(processes)
    goal = len(made.taken) + 100
    made.until(last, lambda: len(made.taken) >= goal)
    load.end()
    made.until(last, lambda: len(made.taken) >= len(load.sent))
    last.terminate()
    _, log = last.communicate(timeout=60)
    assert last.returncode == ExitCode.OK, log.decode()
    made.take()
    assert message_ids(stored(server.url, stream)) == [
        f"{SOURCE_RUN}:{stream.lower()}:{number}" for number in range(len(load.sent))
    ]
    assert made.reader.lost == 0
    assert len(made.taken) == len(load.sent)
    for got, sent in zip(map(codec.decode, made.taken), map(codec.decode, load.sent), strict=True):
        # All but the stamps, which are on this machine's clock now.
        assert [value for name, value in zip(got._fields, got, strict=True) if not name.endswith("_ns")] == [
            value for name, value in zip(sent._fields, sent, strict=True) if not name.endswith("_ns")
        ]
    print(f"{kills} kills, {len(load.sent)} messages")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_row_01_32_the_supervisor_brings_a_killed_bridge_back_and_nothing_is_lost(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path / "state", f"hfts{os.getpid() % 10_000}")
    kills = 4
    try:
        limits = ("--set", f"hft.restart_limit={kills}", "--set", "simnet.swaps_per_second=0")
        pipeline.start(*CALM, *limits, "--set", "service:bridge.enabled=on")
        pipeline.until("the feed", lambda: pipeline.counter("feed", "out_market_data") > 0)
        url = pipeline.run().nats_url
        load = Load(url, "opportunities", wire.two_hop_opportunity, "opportunity.two_hop.a.b")

        def brought() -> int:
            return pipeline.counter("planner", "in_opportunities_remote")

        for _ in range(kills):
            goal = brought() + 300
            pipeline.until("load", lambda goal=goal: brought() >= goal)  # type: ignore[misc]
            old = pipeline.pid_of("bridge")
            os.kill(old, 9)
            pipeline.until("a new bridge", lambda old=old: pipeline.pid_of("bridge") not in (0, old))  # type: ignore[misc]
        goal = brought() + 300
        pipeline.until("load", lambda: brought() >= goal)
        load.end()
        pipeline.until("all", lambda: brought() >= len(load.sent))
        code, out, _ = pipeline.stop()
        assert code == 0, out
    finally:
        pipeline.close()
    report = pipeline.report()
    assert report["restarts"] == kills
    print(f"{kills} kills, {len(load.sent)} messages")
    lines = map(json.loads, (pipeline.folder / "logs" / "events.jsonl").read_text().splitlines())
    told = [line["sequence"] for line in lines if line["link"] == "opportunities_remote"]
    assert told == list(range(len(load.sent)))
    remote = report["links"]["opportunities_remote"]
    assert (remote["out"], remote["dropped"]) == (len(load.sent), {})
