"""One local cluster for the tests of this folder, its faults cleared after each."""

from collections.abc import Iterator

import pytest

from tests.chain import simnet_support


@pytest.fixture(scope="session")
def cluster() -> Iterator[simnet_support.Simnet]:
    """Started once; each test takes nodes of its own."""
    with simnet_support.running() as simnet:
        yield simnet


@pytest.fixture
def simnet(cluster: simnet_support.Simnet) -> Iterator[simnet_support.Simnet]:
    """The cluster without faults."""
    cluster.clear()
    yield cluster
    cluster.clear()
