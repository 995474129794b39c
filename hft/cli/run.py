"""``hft run``: one service as a process of its own, as systemd's ``hft@SERVICE`` starts it."""

import os
import sys
from typing import Annotated

import typer

from hft.cli import options
from hft.runtime import environment, standing, state, topology
from hft.runtime.exit_codes import ExitCode, HftError


def run(
    service: Annotated[str, typer.Argument(metavar="SERVICE", help="A service of hft topology.")],
    state_dir: options.StateDir = None,
) -> int:
    """Run one service in the foreground, beside hft shm up.

    On the shared memory that hft shm up keeps. SIGTERM drains it. It tells systemd when it is ready, alive
    and stopping.
    """
    known = [spec.name for spec in topology.SERVICES]
    if service not in known:
        raise HftError(f"{service!r} is no service; there are {', '.join(known)}", ExitCode.CONFIG)
    folder = options.state_folder(state_dir)
    joined = standing.check(folder, service)
    given = {**environment.of_service(service, joined.config), **environment.of_systemd()}
    entry = ["-m", "hft.runtime.process", service, str(folder / state.RUN_FILE)]
    os.execve(sys.executable, [sys.executable, *entry], given)
