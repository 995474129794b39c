"""``hft stop``: end a running instance in order."""

import os
import signal
import time
from typing import Annotated

import typer
from rich.console import Console

from hft.cli import options
from hft.runtime import state
from hft.runtime.exit_codes import ExitCode, HftError

POLL_S = 0.05


def stop(
    limit: Annotated[
        float, typer.Option("--limit", metavar="SECONDS", min=1, help="How long to wait for it.")
    ] = 300.0,
    state_dir: options.StateDir = None,
) -> int:
    """End the running instance in order, and wait for it."""
    folder = options.state_folder(state_dir)
    pid = state.holder(folder)
    if pid <= 0:
        raise HftError(f"nothing runs with state folder {folder}", ExitCode.NOT_RUNNING)
    console = Console(highlight=False)
    console.print(f"stopping pid {pid}: every service drains in turn")
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + limit
    while state.holder(folder) == pid:
        if time.monotonic() > deadline:
            raise HftError(f"pid {pid} still runs after {limit:g} s", ExitCode.DRAIN_TIMEOUT)
        time.sleep(POLL_S)
    console.print("stopped")
    return int(ExitCode.OK)
