"""Whole pipelines for the tests of this folder."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.pipeline import Pipeline


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    """A pipeline that is not running yet; whatever of it is left at the end is removed."""
    made = Pipeline(tmp_path / "state", f"hfte{os.getpid()}")
    yield made
    made.close()
    assert made.segments() == []
