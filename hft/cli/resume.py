"""``hft resume``: the only way out of a halt, with a reason that is kept."""

import getpass
from typing import Annotated

import typer
from rich.console import Console

import ringbuf
from hft.cli import options
from hft.runtime import killstate, state
from hft.runtime.clock import SystemClock
from hft.runtime.context import Run
from hft.runtime.exit_codes import ExitCode, HftError


def resume(
    approve: Annotated[
        str,
        typer.Option(
            "--approve", metavar="WORDS", help="Who approves and why it is safe again; kept in the log."
        ),
    ],
    state_dir: options.StateDir = None,
) -> int:
    """Clear the kill latch, with a reason.

    On disk and of the running instance.
    """
    if not approve.strip():
        raise HftError('--approve "…": say who approves and why it is safe again', ExitCode.CONFIG)
    folder = options.state_folder(state_dir)
    if not folder.is_dir():
        raise HftError(f"state folder {folder} does not exist", ExitCode.STATE_FOLDER)
    clock = SystemClock()
    by = killstate.clip(f"hft resume, {getpass.getuser()}", killstate.BY_LIMIT)
    before = killstate.resume(folder, by, approve, clock.unix_ns())
    console = Console(highlight=False, soft_wrap=True)
    if state.holder(folder) != 0 and (folder / state.RUN_FILE).exists():
        control = ringbuf.Control.attach(Run.load(folder / state.RUN_FILE).segment("control"))
        try:
            was_halted = control.reset(by, killstate.clip(approve, killstate.MESSAGE_LIMIT))
        finally:
            control.close()
        console.print("resumed: submissions are allowed again" if was_halted else "it was not halted")
    elif before.killed:
        console.print(f"the latch is cleared; it was set by {before.by}: {before.message}")
    else:
        console.print("the latch was not set")
    return int(ExitCode.OK)
