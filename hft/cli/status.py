"""``hft status``: what a running instance does, from its shared memory."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

import ringbuf
from hft.cli import options, panels, text
from hft.cli.grid import Grid
from hft.cli.report_view import WIDE
from hft.runtime import cpus, killstate, state, topology
from hft.runtime.clock import SystemClock
from hft.runtime.context import Run
from hft.runtime.exit_codes import ExitCode
from hft.runtime.monitor import Monitor, Reading
from hft.runtime.report import strategies, totals


def status(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
    state_dir: options.StateDir = None,
) -> int:
    """Show services, totals and the kill latch. Exit code 6 when nothing runs."""
    folder = options.state_folder(state_dir)
    console = Console()
    latch = killstate.load(folder)
    if state.holder(folder) == 0 or not (folder / state.RUN_FILE).exists():
        if as_json:
            console.print_json(
                json.dumps({"running": False, "kill_state": "killed" if latch.killed else "running"})
            )
        else:
            console.print(f"nothing runs with state folder {folder}", soft_wrap=True)
            console.print(
                f"kill latch: {'set, ' + latch.message if latch.killed else 'not set'}", soft_wrap=True
            )
            _draw_request(console, folder)
        return int(ExitCode.NOT_RUNNING)
    run = options.running(folder)
    monitor = Monitor.attach(run, SystemClock())
    try:
        reading = monitor.read()
    finally:
        monitor.close()
    if as_json:
        console.print_json(json.dumps(_plain(run, reading)))
    else:
        _draw(console, run, reading)
    return int(ExitCode.OK)


def _plain(run: Run, reading: Reading) -> dict[str, Any]:
    figures = totals(reading)
    request = killstate.requested(run.state_dir)
    return {
        "running": True,
        "run_id": run.run_id.hex(),
        "pid": run.supervisor_pid,
        "state_dir": str(run.state_dir),
        "nats_url": run.nats_url,
        "uptime_s": round((SystemClock().unix_ns() - run.started_unix_ns) / 1e9, 1),
        "kill_state": "killed" if reading.kill.killed else "running",
        "kill": reading.kill._asdict(),
        "resume_requested": request._asdict() if request is not None else None,
        "services": {
            name: {
                "state": page.state.name.lower(),
                "pid": page.pid,
                "cpus": list(run.cpus.get(name, ())),
                "idle": run.idle.get(name, ""),
                "heartbeat_age_ns": page.heartbeat_age_ns,
                "counters": dict(page.counters),
            }
            for name, page in reading.services.items()
        },
        "totals": {
            **figures._asdict(),
            "rejections": dict(figures.rejections),
            "executions": dict(figures.executions),
        },
        "strategies": strategies(reading),
        "latency_ns": {stage: figure._asdict() for stage, figure in reading.latency.items()},
    }


def _draw_request(console: Console, folder: Path) -> None:
    """That someone outside asks for a resume, where it is so."""
    request = killstate.requested(folder)
    if request is not None:
        console.print(panels.request_line(request), markup=False, highlight=False, soft_wrap=True)


def _bridges(run: Run) -> list[str]:
    """A line for each bridge: the run's own, and those of ``hft bridge``."""
    found = []
    pages = {run.segment("counters", f"bridge_{entry.name}"): entry.name for entry in topology.LINKS}
    pages[run.segment("counters", "bridge")] = "opportunities_remote"
    for name in ringbuf.segment_names(run.prefix):
        if name in pages:
            page = ringbuf.Counters.attach(name)
            age = page.histogram("handoff_remote_bridge_ns")
            found.append(panels.bridge_line(page.read(), age.percentile, pages[name]))
            page.close()
    return found


def _draw(console: Console, run: Run, reading: Reading) -> None:
    figures = totals(reading)
    table = Grid("service", "state", ">pid", ">CPU", "idle", ">heartbeat", ">memory")
    for spec in topology.services(run.config.hft.mode, run.config.optional):
        page = reading.services[spec.name]
        table.add_row(
            spec.name,
            panels.state(page.state),
            str(page.pid),
            cpus.format_list(run.cpus.get(spec.name, ())) or "any",
            run.idle.get(spec.name, ""),
            panels.heartbeat(page),
            text.size(page.counters.get("runner_memory_bytes", 0)),
        )
    console.print(panels.framed(f"run {run.run_id8}, pid {run.supervisor_pid}, {run.state_dir}", table))
    for line in _bridges(run):
        console.print(line, highlight=False)
    console.print(panels.strategies(strategies(reading), full=console.width >= WIDE))
    if reading.kill.killed:
        kill = reading.kill
        console.print(
            f"[bold red]■ HALTED[/bold red] {text.words(kill.trigger)} by {kill.by}: {kill.message}"
        )
        _draw_request(console, run.state_dir)
    executions = ", ".join(f"{text.words(name)} {n:,}" for name, n in figures.executions.items()) or "none"
    console.print(
        f"updates {figures.updates:,} · opportunities {figures.opportunities:,} · plans {figures.plans:,} · "
        f"rejected {figures.rejected:,} · executions: {executions} · "
        f"P&L {text.sol(figures.pnl_lamports)} SOL",
        highlight=False,
    )
