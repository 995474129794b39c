"""``hft stop``: end a running instance in order."""

import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from rich.console import Console

import ringbuf
from hft.cli import options
from hft.runtime import intents, state, topology
from hft.runtime.context import Run
from hft.runtime.exit_codes import ExitCode, HftError
from ringbuf.segment import Owner

POLL_S = 0.05


def stop(
    limit: options.WaitLimit = 300.0,
    state_dir: options.StateDir = None,
) -> int:
    """End the running instance in order, and wait for it.

    Exit code 10 if a submission has no end by then: the next start resolves it.
    """
    folder = options.state_folder(state_dir)
    pid = state.holder(folder)
    if pid <= 0:
        raise HftError(f"nothing runs with state folder {folder}", ExitCode.NOT_RUNNING)
    console = Console(highlight=False)
    console.print(f"stopping pid {pid}: every service drains in turn")
    deadline = time.monotonic() + limit
    run = Run.load(folder / state.RUN_FILE) if (folder / state.RUN_FILE).exists() else None
    if run is not None and run.standing:
        _stop_services(run, console, deadline)
    os.kill(pid, signal.SIGTERM)
    wait_for_end(folder, pid, max(0.0, deadline - time.monotonic()))
    console.print("stopped")
    if run is not None and (left := intents.without_end(run)):
        raise HftError(intents.told(left), ExitCode.DRAIN_TIMEOUT)
    return int(ExitCode.OK)


def wait_for_end(folder: Path, pid: int, limit_s: float) -> None:
    """Until process ``pid`` lets go of the state folder; ``HftError`` (DRAIN_TIMEOUT) after ``limit_s``."""
    _await(lambda: state.holder(folder) != pid, f"pid {pid}", time.monotonic() + limit_s)


def _stop_services(run: Run, console: Console, deadline: float) -> None:
    """Those that run by themselves, writers first."""
    for spec in topology.services(run.config.hft.mode, run.config.optional):
        page = ringbuf.Counters.attach(run.segment("counters", spec.name))
        owner = page.owner
        page.close()
        if owner.pid and owner.alive:
            console.print(f"stopping {spec.name}")
            os.kill(owner.pid, signal.SIGTERM)
            _await(partial(_gone, owner), f"{spec.name} (pid {owner.pid})", deadline)


def _gone(owner: Owner) -> bool:
    return not owner.alive


def _await(ended: Callable[[], bool], who: str, deadline: float) -> None:
    while not ended():
        if time.monotonic() > deadline:
            raise HftError(f"{who} still runs after the limit", ExitCode.DRAIN_TIMEOUT)
        time.sleep(POLL_S)
