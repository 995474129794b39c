"""Shared fixtures: the real chain data, if it is there; processes that end with their test."""

import os
import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests import workers

ROOT = Path(__file__).resolve().parent.parent

# The same examples each time, and no clock: what is found does not depend on luck or on what else the machine
# does. New examples: --hypothesis-profile=search.
settings.register_profile(
    "search", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("suite", settings.get_profile("search"), derandomize=True, database=None)
settings.load_profile("suite")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that have the machine for themselves come last: the other workers have ended by then."""
    items.sort(key=is_alone)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    with workers.turn(alone=is_alone(item)):
        return (yield)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> workers.RoomScheduling | None:
    """Takes the place of xdist's default way; any other that is asked for stays."""
    if config.getvalue("dist") != "load":
        return None
    config.option.loadscopereorder = False
    return workers.RoomScheduling(config, log)


def is_alone(item: pytest.Item) -> bool:
    return item.get_closest_marker("alone") is not None


def shared_folder() -> Path:
    """The folder with real chain data (``HFT_SHARED``, else beside the checkout); it may not exist."""
    return Path(os.environ.get("HFT_SHARED", ROOT.parent / "shared"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Path of the chain-data folder; the test is skipped by name where it is absent."""
    data = shared_folder() / "data"
    if not data.is_dir():
        pytest.skip("chain data folder is absent (set HFT_SHARED)")
    return data


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that are ended with the test."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()
