"""A run on several workers: which tests stay together, and which have the machine for themselves."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from xdist.scheduler import LoadScopeScheduling

TOGETHER = frozenset({"chain", "replay", "services"})
"""Rooms whose tests share what takes long to start: one worker's each."""


class RoomScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Hands out files in the order of collection, and rooms that stay together whole."""

    def _split_scope(self, nodeid: str) -> str:
        file = PurePosixPath(nodeid.partition("::")[0])
        return str(file.parent if file.parent.name in TOGETHER else file)


@contextmanager
def turn(*, alone: bool) -> Iterator[None]:
    """Waits until no worker runs a test that is to be alone; if this one is, until none runs any."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        yield
        return
    folder = os.open(Path(__file__).parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield
    finally:
        # A child that was forked meanwhile has the folder open too: closing it would not end the turn.
        fcntl.flock(folder, fcntl.LOCK_UN)
        os.close(folder)
