"""Shared fixtures: the real chain data, if it is there; processes that end with their test."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent

# The same examples each time, and no clock: what is found does not depend on luck or on what else the machine
# does. New examples: --hypothesis-profile=search.
settings.register_profile(
    "search", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("suite", settings.get_profile("search"), derandomize=True, database=None)
settings.load_profile("suite")


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
