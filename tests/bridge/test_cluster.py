"""Two machines and a cluster of three servers, one of which leaves under load and comes back.

The first machine: rings that the test writes, a sidecar process behind them. The second: two bridges, into a
link that drops nothing (PLANNED) and into ``opportunities_remote``.
"""

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from bridge_support import Cluster, Target
from sidecar_support import Pipeline, Started, message_ids, stored

from hft import wire
from hft.runtime import probes
from hft.runtime.exit_codes import ExitCode
from hft.runtime.settings import Config, Nats
from hft.runtime.streams import STREAMS
from tests.messages import record_bytes

LONG = (pytest.mark.slow, pytest.mark.timeout(900))
Make = Callable[..., Target]

CODECS = {
    "opportunities": wire.two_hop_opportunity,
    "planned": wire.execution_plan,
    "executed": wire.execution_result,
}


@pytest.fixture
def source(tmp_path: Path, cluster: Cluster) -> Iterator[Pipeline]:
    """The first machine, its streams on all three servers."""
    (tmp_path / "source").mkdir()
    config = replace(Config(), nats=Nats(url=cluster.url, replicas=3))
    made = Pipeline(tmp_path / "source", cluster.url, config)

    yield made
    made.close()


class Load:
    """So many of each kind a second, while both machines work."""

    def __init__(self, source: Pipeline, targets: list[Target], per_second: int) -> None:
        self.source, self.targets = source, targets
        self.got: list[list[bytes]] = [[] for _ in targets]
        self.longest_pause_s = 0.0
        self.waits = 0
        self._rate = per_second
        self._numbers = itertools.count()
        self._last_s = 0.0

    def run(self, seconds: float) -> None:
        begin, made = time.monotonic(), 0
        while (passed := time.monotonic() - begin) < seconds:
            while made < self._rate * passed:
                number = next(self._numbers)
                for link, codec in CODECS.items():
                    self._publish(link, self.message(codec, number))
                made += 1
            self.step()

    def _publish(self, link: str, message: bytes) -> None:
        """As a writer does: it waits where a sidecar that got no processor has not made room."""
        deadline = time.monotonic() + 30
        while not self.source.publish(link, message):
            assert time.monotonic() < deadline, f"{link} is full"
            self.waits += 1
            self.step()

    @staticmethod
    def message(codec: wire.Codec, number: int) -> bytes:
        now_ns = time.monotonic_ns()
        names = [field.name for field in codec.layout.fields]
        stamps = {name: now_ns for name in names if name.endswith("_ns") and name != "expires_ns"}
        return record_bytes(codec, number, **stamps)

    def step(self) -> None:
        for number, target in enumerate(self.targets):
            target.cycle()
            taken = target.taken()
            self.got[number] += taken
            now_s = time.monotonic()
            if target is self.targets[0] and taken:
                if self._last_s:
                    self.longest_pause_s = max(self.longest_pause_s, now_s - self._last_s)
                self._last_s = now_s

    def drain(self, seconds: float) -> None:
        """Until both links of the second machine have had everything."""
        deadline = time.monotonic() + seconds
        wanted = [len(self.source.published[target.stream.lower()]) for target in self.targets]
        while [len(got) for got in self.got] != wanted:
            assert time.monotonic() < deadline, (wanted, [t.counters() for t in self.targets])
            self.step()


@pytest.mark.parametrize(
    ("frozen", "per_second", "before", "away", "after"),
    [
        (False, 200, 1.0, 2.5, 1.0),
        pytest.param(False, 1000, 10.0, 30.0, 20.0, marks=LONG),
        pytest.param(True, 200, 5.0, 30.0, 10.0, marks=LONG),
    ],
)
def test_row_32_a_cluster_node_killed_or_frozen_under_load_loses_and_doubles_nothing(
    cluster: Cluster,
    source: Pipeline,
    target: Make,
    processes: Started,
    frozen: bool,
    per_second: int,
    before: float,
    away: float,
    after: float,
) -> None:
    begin_ns = time.monotonic_ns()
    sidecar = source.spawn(processes)
    targets = [
        target(cluster.url),
        target(cluster.url, stream="PLANNED", link="planned"),
    ]
    for each in targets:
        each.open()
    load = Load(source, targets, per_second)
    load.run(before)
    victim = cluster.leader("PLANNED", 0)
    leave, return_ = (cluster.freeze, cluster.thaw) if frozen else (cluster.kill, cluster.start)
    leave(victim)
    load.run(away)
    return_(victim)
    load.run(after)
    load.drain(60)
    sidecar.terminate()
    _, log = sidecar.communicate(timeout=60)
    assert sidecar.returncode == ExitCode.OK, log.decode()
    for each, got in zip(targets, load.got, strict=True):
        codec = CODECS[each.stream.lower()]
        assert [codec.decode(message).sequence for message in got] == list(
            range(len(source.published[each.stream.lower()]))
        ), each.log
    alive = cluster.url.split(",")[(victim + 1) % 3]
    for link in ("planned", "executed"):
        assert message_ids(stored(alive, link.upper())) == source.expected_ids(link), link
        assert probes.stream_sequences(source.run)[link.upper()] == len(source.expected_ids(link)), link
    age = targets[0].page.histogram("handoff_remote_bridge_ns")
    print(
        f"{len(load.got[1])} of each kind; longest pause {load.longest_pause_s:.1f} s; "
        f"age p50 {age.percentile(50) / 1e6:.1f} ms, p99 {age.percentile(99) / 1e6:.1f} ms; "
        f"waits for a full ring {load.waits}"
    )
    assert age.max < time.monotonic_ns() - begin_ns, "older than all of this"


def test_streams_of_three_servers_are_led_and_followed(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    from hft.cli import main

    assert main.run(["streams", "info", "--url", cluster.url]) == 0
    said = capsys.readouterr().out
    assert all(stream.name in said for stream in STREAMS)
    assert main.run(["streams", "verify", "--url", cluster.url]) == ExitCode.STREAMS
    capsys.readouterr()
    three = ["--set", "nats.replicas=3"]
    assert main.run(["streams", "verify", "--url", cluster.url, *three]) == ExitCode.OK
    assert main.run(["streams", "init", "--url", cluster.url, *three]) == ExitCode.OK
