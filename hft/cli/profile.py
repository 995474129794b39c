"""``hft profile``: where a service's time goes, as a flame graph, measured by py-spy from outside."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hft.cli import options
from hft.runtime import topology
from hft.runtime.clock import SystemClock
from hft.runtime.context import Run
from hft.runtime.exit_codes import ExitCode, HftError
from hft.runtime.monitor import Monitor

GRACE_S = 30.0
"""How much longer than the measurement py-spy may take."""

REFUSALS = ("permission denied", "operation not permitted", "eperm", "ptrace")
"""Words by which py-spy tells that the kernel does not let it look."""

TITLE = re.compile(r'(<text id="title"[^>]*>)[^<]*(</text>)')

OPTIONS = ("--format", "flamegraph", "--nonblocking")
"""Non-blocking: the service is not stopped for a sample, so its latency stays; some samples are torn and
left out. Function names and lines alone, never values."""


def profile(
    service: Annotated[str, typer.Argument(metavar="SERVICE", help="A service of hft topology.")],
    seconds: Annotated[
        int, typer.Option("--seconds", metavar="N", min=1, max=3600, help="For how long.")
    ] = 10,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Default: SERVICE.svg here.")
    ] = None,
    rate: Annotated[
        int, typer.Option("--rate", metavar="N", min=1, max=1000, help="Samples a second.")
    ] = 200,
    state_dir: options.StateDir = None,
) -> int:
    """Record a flame graph (SVG) of a running service.

    The service is not stopped for it. Names of functions only: no values, no secrets.
    """
    known = [spec.name for spec in topology.SERVICES]
    if service not in known:
        raise HftError(f"{service!r} is no service; there are {', '.join(known)}", ExitCode.CONFIG)
    target = (output or Path(f"{service}.svg")).absolute()
    if not target.parent.is_dir():
        raise HftError(f"--output {target}: the folder {target.parent} does not exist", ExitCode.CONFIG)
    pid = _pid_of(service, options.running(options.state_folder(state_dir)))
    command = [str(find_py_spy()), "record", *OPTIONS, "--pid", str(pid), "--duration", str(seconds)]
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{service} (pid {pid}): {rate} samples a second for {seconds} s")
    record(service, [*command, "--rate", str(rate), "--output", str(target)], seconds + GRACE_S)
    _set_title(target, f"{service}: {seconds} s, {rate} samples a second")
    console.print(f"flame graph: {target} (open it in a browser)")
    return int(ExitCode.OK)


def record(service: str, command: list[str], limit_s: float) -> None:
    """Run py-spy; ``HftError`` (PROFILE) in words when it may not look or finds no Python."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, check=False)
    except subprocess.TimeoutExpired:
        raise HftError(f"py-spy did not end within {limit_s:g} s", ExitCode.PROFILE) from None
    if done.returncode == 0:
        return
    said = " ".join((done.stderr or done.stdout).split())
    if any(word in said.lower() for word in REFUSALS):
        raise HftError(
            f"the kernel does not let this user look into {service}: run as root, or give py-spy "
            "CAP_SYS_PTRACE, or allow your own processes by sysctl kernel.yama.ptrace_scope=0; a process "
            f"that holds a key can be looked into by root alone ({said[:200]})",
            ExitCode.PROFILE,
        )
    raise HftError(f"py-spy failed: {said[:400] or done.returncode}", ExitCode.PROFILE)


def _set_title(graph: Path, title: str) -> None:
    """In the place of py-spy's command line, which has paths of this machine."""
    drawn = graph.read_text(encoding="utf-8")
    graph.write_text(TITLE.sub(rf"\g<1>{title}\g<2>", drawn, count=1), encoding="utf-8")


def find_py_spy() -> Path:
    """py-spy beside the interpreter, else on the PATH; ``HftError`` (PROFILE) when there is none."""
    beside = Path(sys.executable).with_name("py-spy")
    found = str(beside) if beside.exists() else shutil.which("py-spy")
    if found is None:
        raise HftError("py-spy is not installed: pip install py-spy", ExitCode.PROFILE)
    return Path(found)


def _pid_of(service: str, run: Run) -> int:
    reader = Monitor.attach(run, SystemClock())
    try:
        page = reader.read().services[service]
    finally:
        reader.close()
    if not page.pid or not page.state.alive:
        raise HftError(f"{service} does not run ({page.state.name.lower()})", ExitCode.NOT_RUNNING)
    return page.pid
