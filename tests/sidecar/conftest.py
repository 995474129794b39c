"""A real nats-server for the tests of this room."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sidecar_support import Pipeline

from hft.runtime.nats_server import NatsServer
from hft.runtime.settings import Config


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    """A running server on a free port, its store in the test's folder."""
    made = NatsServer(tmp_path / "nats")
    made.start()
    yield made
    made.stop()


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Callable[..., Pipeline]]:
    """Makes pipelines that are removed with the test."""
    made: list[Pipeline] = []

    def make(nats_url: str, config: Config | None = None) -> Pipeline:
        made.append(Pipeline(tmp_path, nats_url, config))
        return made[-1]

    yield make
    for each in made:
        each.close()
