"""Fixtures: a name prefix of each test's own, and a check that nothing of it stays behind."""

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from ringbuf import segment_names

_numbers = count()


@pytest.fixture
def prefix() -> Iterator[str]:
    """A prefix for segment names; whatever bears it is removed afterwards."""
    name = f"rbt{os.getpid():x}x{next(_numbers)}"
    yield name
    for left in segment_names(name):
        Path("/dev/shm", left).unlink(missing_ok=True)
