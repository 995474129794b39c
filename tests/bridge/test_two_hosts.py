"""Two instances: the second one's scanner, on its share of the pairs, feeds the first one's planner."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import nats
import pytest
from bridge_support import SOURCE_RUN, Target, make_streams
from sidecar_support import asked

from hft import wire
from hft.runtime.nats_server import NatsServer
from tests.messages import record_bytes

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 50


def free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@pytest.fixture
def hft(tmp_path: Path) -> Iterator[Callable[..., "subprocess.Popen[bytes]"]]:
    """Starts commands; those that still run are asked to end with the test, the last ones first."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "hft.cli.main", *arguments]
        with (tmp_path / f"{len(started)}.log").open("wb") as log:
            started.append(subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log))
        return started[-1]

    yield start
    for process in reversed(started):
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.slow
def test_a_scanner_of_another_instance_feeds_the_planner(
    tmp_path: Path, hft: Callable[..., "subprocess.Popen[bytes]"]
) -> None:
    chain, streams = free_ports(2)
    first, second, report = tmp_path / "first", tmp_path / "second", tmp_path / "report.json"
    sets = {
        "hft.prefix": f"hfta{os.getpid() % 10_000}",
        "service:bridge.enabled": "on",
        "service:scanner.shard": "0/2",
        "simnet.port": chain,
        "nats.port": streams,
    }
    main = hft(
        *("start", "--headless", "--duration", str(SECONDS), "--report", str(report)),
        *("--state-dir", str(first)),
        *(part for key, value in sets.items() for part in ("--set", f"{key}={value}")),
    )
    until((first / "simnet.port").exists, 60)
    local = f"127.0.0.1:{chain}"
    sets = {
        "hft.prefix": f"hftb{os.getpid() % 10_000}",
        "service:scanner.shard": "1/2",
        "chain.rpc_urls": f"http://{local}",
        "chain.ws_urls": f"ws://{local}",
        "chain.jito_urls": f"http://{local}",
        "chain.tip_floor_url": f"http://{local}/tips",
        "nats.url": f"nats://127.0.0.1:{streams}",
    }
    hft(
        *("shm", "up", "--state-dir", str(second)),
        *(part for key, value in sets.items() for part in ("--set", f"{key}={value}")),
    )
    until((second / "run.json").exists, 60)
    for service in ("sidecar", "scanner", "feed"):
        hft("run", service, "--state-dir", str(second))
    assert main.wait(SECONDS + 120) == 0
    told = json.loads(report.read_text())
    remote = told["links"]["opportunities_remote"]
    assert remote["out"] > 0
    assert remote == {"in": remote["out"], "out": remote["out"], "dropped": {}}
    assert told["plans"] > 0
    assert told["ledger_pnl_lamports"] == told["wallet_delta_lamports"]
    age = told["latency_ns"]["handoff_remote_bridge"]
    print(
        f"{remote['out']} opportunities over, age p50 {age['p50'] / 1e6:.1f} ms, p99 {age['p99'] / 1e6:.1f}"
    )


@pytest.mark.slow
def test_all_of_fifty_thousand_at_once_come_over_in_order(
    server: NatsServer, tmp_path: Path, target: Callable[..., Target]
) -> None:
    count = 50_000
    make_streams(server.url)

    async def fill(js: object) -> None:
        client = await nats.connect(server.url)
        for number in range(count):
            await client.publish(
                "opportunity.two_hop.a.b",
                record_bytes(wire.two_hop_opportunity, number),
                headers={"Nats-Msg-Id": f"{SOURCE_RUN}:opportunities:{number}"},
            )
            if number % 1000 == 999:
                await client.flush()
        await client.close()

    asked(server.url, fill)
    made = target(server.url, depth=1 << 16)
    made.open()
    made.until(lambda: made.written() > 0)
    made.until(lambda: made.written() == count, 60)
    assert [wire.two_hop_opportunity.decode(m).sequence for m in made.taken()] == list(range(count))
