"""``hft kill``: halt at once. Nothing new is submitted; what is in flight is followed to its end."""

import getpass
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

import ringbuf
from hft.cli import options
from hft.runtime import killstate, state
from hft.runtime.clock import SystemClock
from hft.runtime.context import Run
from hft.runtime.exit_codes import ExitCode
from hft.wire.enums import KillTrigger

BY_HAND: Final = "by hand"


def kill(
    reason: Annotated[
        str, typer.Option("--reason", metavar="WORDS", help="Why; kept with the latch.")
    ] = BY_HAND,
    state_dir: options.StateDir = None,
) -> int:
    """Halt at once: set the kill latch.

    Of the running instance and on disk; it stays set until hft resume.
    """
    folder = options.state_folder(state_dir)
    state.prepare(folder)
    clock = SystemClock()
    by = killstate.clip(f"hft kill, {getpass.getuser()}", killstate.BY_LIMIT)
    message = killstate.clip(reason.strip() or BY_HAND, killstate.MESSAGE_LIMIT)
    live = _trip_live(folder, by, message, clock)
    first = killstate.trip(folder, KillTrigger.MANUAL, by, message, clock.unix_ns())
    console = Console(highlight=False)
    if live is None:
        console.print("nothing runs now; the next start will be halted")
    else:
        console.print("halted: no submission from now on" if live else "it was halted already")
    if not first and not live:
        console.print("the latch on disk was set already; its first reason stays")
    console.print('to go on: hft resume --approve "who and why"')
    return int(ExitCode.OK)


def _trip_live(folder: Path, by: str, message: str, clock: SystemClock) -> bool | None:
    """Trip the shared latch; ``None`` when nothing runs, False when it was tripped already."""
    if state.holder(folder) == 0 or not (folder / state.RUN_FILE).exists():
        return None
    try:
        control = ringbuf.Control.attach(Run.load(folder / state.RUN_FILE).segment("control"))
    except ringbuf.SegmentMissing:
        return None
    try:
        return control.trip(int(KillTrigger.MANUAL), by, message, clock.monotonic_ns(), clock.unix_ns())
    finally:
        control.close()
