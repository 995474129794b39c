"""``hft monitor``: the live view of a run that another process started. It only reads."""

import time
from collections.abc import Iterator, Mapping
from typing import Annotated

import typer

import ringbuf
from hft.cli import options, text, views
from hft.cli.live import Facts
from hft.runtime import killstate, state
from hft.runtime.clock import SystemClock
from hft.runtime.context import Run
from hft.runtime.exit_codes import ExitCode, HftError
from hft.runtime.monitor import Monitor, Reading

ONCE_GAP_S = 1.0
"""Between the two readings that rates are taken from where the view is drawn once."""


def monitor(
    once: Annotated[bool, typer.Option("--once", help="Draw the view once and end.")] = False,
    plain: Annotated[bool, typer.Option("--plain", help="Plain lines instead of the live view.")] = False,
    state_dir: options.StateDir = None,
) -> int:
    """Show a running instance as hft start does; it only reads.

    Until the instance ends or Ctrl-C; exit code 6 when nothing runs.
    """
    folder = options.state_folder(state_dir)
    run = options.running(folder)
    view = views.make(plain=plain or once)
    view.live.hint = "Ctrl-C leaves · hft kill halts at once · hft stop ends it in order"
    config = run.config
    view.live.facts = Facts("", config.hft.mode, views.market_name(config), {}, None, run.nats_url)
    clock = SystemClock()
    view.live.began(clock.monotonic_ns() - (clock.unix_ns() - run.started_unix_ns))
    try:
        reader = Monitor.attach(run, clock)
    except ringbuf.SegmentMissing as error:
        raise HftError(f"the run in {folder} has just ended ({error})", ExitCode.NOT_RUNNING) from error
    try:
        if once:
            _draw_once(view, run, reader)
        else:
            _follow(view, run, reader)
    except KeyboardInterrupt:
        pass
    finally:
        reader.close()
    return int(ExitCode.OK)


def _draw_once(view: views.View, run: Run, reader: Monitor) -> None:
    view.live.add(reader.read())
    time.sleep(ONCE_GAP_S)
    view.live.facts = view.live.facts._replace(run_id=run.run_id8, cpus=run.cpus)
    view.live.restarts = run.restarts
    reading = reader.read()
    view.live.add(reading)
    view.live.asked = killstate.requested(run.state_dir) if reading.kill.killed else None
    view.live.hint = ""
    view.console.print(view.live.render(view.console.width, 1_000))


def _follow(view: views.View, run: Run, reader: Monitor) -> None:
    before: Reading | None = None
    with view.shown():
        while state.holder(run.state_dir) == run.supervisor_pid:
            reading = reader.read()
            for line in news(before, reading):
                view.tell(line)
            view.tick(run, _restarts(run), reading)
            before = reading
            time.sleep(view.tick_s)
        view.tell("the run has ended")


def _restarts(run: Run) -> Mapping[str, int]:
    """From run.json, which is written anew at every restart and gone at the end."""
    try:
        return Run.load(run.state_dir / state.RUN_FILE).restarts
    except HftError:
        return run.restarts


def news(before: Reading | None, now: Reading) -> Iterator[str]:
    """What changed between two readings, in words: the latch, states and processes of services."""
    if before is None:
        return
    if now.kill.killed and not before.kill.killed:
        yield f"KILL: {text.words(now.kill.trigger)} by {now.kill.by}: {now.kill.message}"
    if before.kill.killed and not now.kill.killed:
        yield f"RESUMED by {now.kill.by}: {now.kill.message}"
    for name, page in now.services.items():
        earlier = before.services[name]
        if page.pid != earlier.pid and earlier.pid:
            yield f"{name} restarted, pid {page.pid}"
        elif page.state is not earlier.state and not (page.state.alive and earlier.state.alive):
            yield f"{name} {page.state.name.lower()}"
