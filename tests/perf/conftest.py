"""One short plan for all of these tests."""

from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree

import pytest

from perf import native
from perf.cli import _cpus
from perf.engine import Plan
from perf.model import Report


@pytest.fixture(scope="session")
def plan() -> Iterator[Plan]:
    """One short round of everything that needs no peer."""
    library, missing = native.build()
    yield Plan(_cpus(None), 1, frozenset(), library, missing, 0.3)
    if library:
        rmtree(Path(library).parent)


@pytest.fixture
def report() -> Report:
    """An empty one."""
    return Report({})
