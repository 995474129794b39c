"""A run's real shared memory for the tests of this room."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hft.runtime import config, topology
from hft.runtime.context import Run
from hft.runtime.segments import Page, Segments
from hft.runtime.service import RUNNER_COUNTERS, RUNNER_HISTOGRAMS

SMALL = ("hft.accounts_capacity=16", "hft.accounts_bytes=65536", "link:market_data.depth=64")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run with small segments under a prefix of its own."""
    return Run(
        run_id=os.urandom(16),
        state_dir=tmp_path,
        prefix="hftrt",
        config=config.load(None, sets=SMALL),
        cpus={spec.name: () for spec in topology.SERVICES},
        idle={spec.name: "yield" for spec in topology.SERVICES},
    )


@pytest.fixture
def segments(run: Run) -> Iterator[Segments]:
    """All segments of the run, with the runner's counters on every page."""
    pages = {
        spec.name: Page(("things", *RUNNER_COUNTERS), ("stage_ns", *RUNNER_HISTOGRAMS))
        for spec in topology.SERVICES
    }
    made = Segments.create(run, pages)
    yield made
    made.remove()
