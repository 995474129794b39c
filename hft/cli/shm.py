"""``hft shm up | down``: the ground of a run whose services are processes of their own (``hft run``)."""

import os
import signal
from types import FrameType

import typer

from hft.cli import options
from hft.cli.stop import wait_for_end
from hft.runtime import standing, state
from hft.runtime.clock import SystemClock
from hft.runtime.context import Run
from hft.runtime.exit_codes import ExitCode, HftError
from hft.runtime.notify import Notifier
from hft.runtime.runner import Log

shm = typer.Typer(
    help="Shared memory for services that systemd starts: up, down.",
    no_args_is_help=True,
)


@shm.command()
def up(
    config_file: options.ConfigFile = None,
    overlays: options.Overlays = None,
    sets: options.Sets = None,
    state_dir: options.StateDir = None,
) -> int:
    """Make a run's shared memory and keep it, in the foreground.

    Until SIGTERM or Ctrl-C; hft run SERVICE brings each service.
    """
    config = options.load_config(config_file, overlays, sets, starting=True)
    options.check_market(config, "[simnet] market")
    clock = SystemClock()
    log = Log("shm", clock)
    notifier = Notifier.from_environment()
    asked: list[int] = []

    def ask(number: int, _frame: FrameType | None) -> None:
        asked.append(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ask)
    folder = options.state_folder(state_dir, config)
    for line in options.wallet_notes(config, folder):
        log.line(line)
    standing.hold(config, folder, clock, log.line, notifier, lambda: bool(asked))
    return int(ExitCode.OK)


@shm.command()
def down(
    limit: options.WaitLimit = 60.0,
    state_dir: options.StateDir = None,
) -> int:
    """Take it away again, once its services have ended.

    hft stop ends services and shared memory in order.
    """
    folder = options.state_folder(state_dir)
    pid = state.holder(folder)
    if pid <= 0:
        raise HftError(f"nothing runs with state folder {folder}", ExitCode.NOT_RUNNING)
    if not Run.load(folder / state.RUN_FILE).standing:
        raise HftError(
            f"hft start (pid {pid}) holds state folder {folder}: hft stop ends it", ExitCode.ALREADY_RUNNING
        )
    os.kill(pid, signal.SIGTERM)
    wait_for_end(folder, pid, limit)
    return int(ExitCode.OK)
