"""Whole pipelines for the tests of this folder."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.pipeline import Pipeline

LIMIT_S = 900
"""Of one test: each waits for several things, every one with a deadline of its own."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(LIMIT_S))


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    """A pipeline that is not running yet; whatever of it is left at the end is removed."""
    made = Pipeline(tmp_path / "state", f"hfte{os.getpid()}")
    yield made
    made.close()
    assert made.segments() == []
