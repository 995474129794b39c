"""A real nats-server for the tests of this room."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# For its rings with a sidecar behind them.
sys.path.append(str(Path(__file__).parents[1] / "sidecar"))

from hft.runtime.nats_server import NatsServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    """A running server on a free port, its store in the test's folder."""
    made = NatsServer(tmp_path / "nats")
    made.start()
    yield made
    made.stop()
