"""Pipelines of real parts for the tests of this room."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from service_support import Cluster, House

from hft.runtime.clock import Clock
from hft.runtime.settings import Config


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Callable[..., House]]:
    """Makes runs that are removed with the test."""
    made: list[House] = []

    def make(config: Config | None = None, clock: Clock | None = None, **_: Any) -> House:
        made.append(House(tmp_path, config, clock))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def cluster() -> Iterator[Callable[[House], Cluster]]:
    """Serves a run's cluster socket from the test."""
    made: list[Cluster] = []

    def make(house: House) -> Cluster:
        made.append(Cluster(house))
        return made[-1]

    yield make
    for each in made:
        each.close()
