"""Pipelines of real parts for the tests of this room."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from executor_support import with_a_plan
from postgresql_server import Server, find_programs
from service_support import House, settings

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
def planned(house: Callable[..., House]) -> tuple[House, bytes]:
    """A run with one real plan on ``planned``, the market still, the manager's page beating."""
    return with_a_plan(house)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A PostgreSQL server of its own; skips where Debian's package is not installed."""
    programs = find_programs()
    if programs is None:
        pytest.skip("no PostgreSQL server: apt-get install postgresql")
    server = Server(programs)
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(params=["sqlite", "postgresql"])
def books(request: pytest.FixtureRequest, house: Callable[..., House]) -> Callable[..., House]:
    """Makes runs whose ledger is in either database."""
    if request.param == "sqlite":
        return house

    def make(**keys: Any) -> House:
        server: Server = request.getfixturevalue("postgresql")
        return house(settings(auditor={"ledger_dsn": server.database()}, **keys))

    return make
