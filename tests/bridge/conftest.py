"""A real server, targets of a bridge, and a cluster for the tests of this room."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# The other machine of these tests is the sidecar room's: rings, and a sidecar behind them.
sys.path.append(str(Path(__file__).parents[1] / "sidecar"))

from bridge_support import Cluster, Target, make_streams

from hft.runtime.nats_server import NatsServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    """A running server with the six streams."""
    made = NatsServer(tmp_path / "nats")
    made.start()
    make_streams(made.url)
    yield made
    made.stop()


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Callable[..., Target]]:
    """Makes targets that are removed with the test."""
    made: list[Target] = []

    def make(url: str, **more: object) -> Target:
        made.append(Target(tmp_path, url, **more))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for each in made:
        each.remove()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Three servers, the streams on all of them."""
    made = Cluster(tmp_path / "cluster")
    made.start_all()
    yield made
    made.stop()
