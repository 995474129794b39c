"""Commands as processes of their own, for the tests of captures and replays."""

import os
import subprocess
import sys
import time
from collections.abc import Callable

from tests.conftest import ROOT


def hft(*arguments: str, hash_seed: int = 0) -> "subprocess.Popen[str]":
    """A command of the program as a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": str(hash_seed)}
    return subprocess.Popen(
        [sys.executable, "-m", "hft.cli.main", *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Waits for the condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.02)
