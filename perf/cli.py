"""``python -m perf list``, ``run`` and ``report``."""

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

from perf import engine
from perf.engine import BUDGET_S, DEFAULT_ROUNDS, QUICK_BUDGET_S, QUICK_ROUNDS, Plan, Shape
from perf.model import Report, ReportError

OK, FAILED, USAGE = 0, 1, 2
ROUND_LIMIT = 1000
SECONDS_LIMIT = 86_400


class UsageError(Exception):
    """A wrong argument; the message names it and what would be right."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0; 1 when a stated rate was not met, a record was not what it had to be or a case failed;
    2 for a wrong argument."""
    given = _parser().parse_args(arguments)
    try:
        return int(given.command(given))
    except (UsageError, ReportError) as error:
        print(f"perf: {error}", file=sys.stderr)
        return USAGE
    except ModuleNotFoundError as error:
        print(f"perf: {error.name} is not installed; pip install 'hft[perf]' brings it", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        print("perf: interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m perf", description="Benchmarks, each beside its peers.")
    commands = parser.add_subparsers(required=True, metavar="list | run | report")
    command = commands.add_parser("list", help="the shapes, drawn")
    command.add_argument("--short", action="store_true", help="names and one line each")
    command.set_defaults(command=_list)
    command = commands.add_parser("run", help="measure")
    command.add_argument("shapes", nargs="+", metavar="SHAPE", help="names from `list`, or all")
    command.add_argument(
        "--quick", action="store_true", help="about 10 s a shape: a smoke test, not a figure"
    )
    command.add_argument(
        "--rounds", type=int, metavar="N", help=f"{DEFAULT_ROUNDS} ({QUICK_ROUNDS} with --quick)"
    )
    command.add_argument("--seconds", type=float, default=0.0, metavar="N", help="length of a round of load")
    command.add_argument("--json", type=Path, metavar="FILE", help="write the result")
    command.add_argument("--peers", default="all", metavar="all|none|NAME,…", help="whom to compare with")
    command.add_argument(
        "--cpus", metavar="A,B", help="pin to these two CPUs (default: the first two allowed)"
    )
    command.set_defaults(command=_run)
    command = commands.add_parser("report", help="a page with plots from a result, and its tables")
    command.add_argument("file", type=Path, metavar="FILE", help="what run --json wrote")
    command.add_argument("--html", type=Path, metavar="FILE", help="the page (default: beside FILE)")
    command.add_argument("--markdown", action="store_true", help="only print aims and figures, as Markdown")
    command.set_defaults(command=_report)
    return parser


def _list(given: argparse.Namespace) -> int:
    from perf.catalogue import SHAPES
    from perf.peers import PEERS

    for name, shape in SHAPES.items():
        first, _, rest = shape.doc.strip().partition("\n")
        print(f"{name:24} {first}" if given.short else f"{name}\n{'-' * len(name)}\n{first}\n{rest}\n")
    print("peers (--peers):")
    for peer in PEERS:
        why = peer.missing()
        print(f"  {peer.key:14} {peer.label}{f' - skipped here: {why}' if why else ''}")
    return OK


def _run(given: argparse.Namespace) -> int:
    from perf import host, native
    from perf.catalogue import SHAPES
    from perf.peers.ring import PREFIX
    from perf.terminal import show
    from ringbuf import sweep

    names = list(SHAPES) if given.shapes == ["all"] else list(dict.fromkeys(given.shapes))
    unknown = [name for name in names if name not in SHAPES]
    if unknown:
        raise UsageError(f"no shape {', '.join(unknown)}; there are {', '.join(SHAPES)} (or all)")
    rounds = given.rounds if given.rounds is not None else QUICK_ROUNDS if given.quick else DEFAULT_ROUNDS
    if not 1 <= rounds <= ROUND_LIMIT:
        raise UsageError(f"--rounds {rounds} must lie in 1..{ROUND_LIMIT}")
    if given.seconds and not 1 <= given.seconds <= SECONDS_LIMIT:
        raise UsageError(f"--seconds {given.seconds:g} must lie in 1..{SECONDS_LIMIT}")
    if given.json is not None and not given.json.absolute().parent.is_dir():
        raise UsageError(f"--json {given.json}: the folder {given.json.absolute().parent} does not exist")
    cpus = _cpus(given.cpus)
    peers = _peers(given.peers)
    sweep(PREFIX)
    library, missing = native.build()
    budget_s = QUICK_BUDGET_S if given.quick else BUDGET_S
    plan = Plan(cpus, rounds, peers, library, missing, budget_s, given.seconds)
    report = Report(host.describe(list(cpus)))
    report.host["rounds"], report.host["quick"] = rounds, given.quick
    console = Console(stderr=True, highlight=False)
    try:
        for number, name in enumerate(names):
            prefix = f"[{number + 1}/{len(names)}] {name}"
            _measure(SHAPES[name], plan, report, console, prefix)
            if given.json is not None:
                report.save(given.json)
    finally:
        if library:
            shutil.rmtree(Path(library).parent, ignore_errors=True)
    show(report, Console(width=None if sys.stdout.isatty() else 200))
    if given.json is not None:
        console.print(f"written: {given.json}; `python -m perf report {given.json}` makes a page of it")
    return FAILED if report.errors else OK


def _measure(shape: Shape, plan: Plan, report: Report, console: Console, prefix: str) -> None:
    """Run a shape, showing how far it is: a bar on a terminal, else a line a round."""
    if console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        with RichProgress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(prefix, total=1.0)

            def progress(what: str, done: float) -> None:
                bar.update(task, description=f"{prefix}: {what}", completed=done)

            engine.run(shape, plan, report, progress)
        return
    said = ""

    def say(what: str, _: float) -> None:
        nonlocal said
        step = " ".join(what.split()[:2]) if what.startswith("round") else what.split(maxsplit=1)[0]
        if step != said:
            said = step
            console.print(f"{prefix}: {step}")

    engine.run(shape, plan, report, say)


def _cpus(given: str | None) -> tuple[int, int]:
    """The two CPUs to pin to; one alone is used twice."""
    allowed = sorted(os.sched_getaffinity(0))
    if given is None:
        return allowed[0], allowed[1 % len(allowed)]
    try:
        first, second = (int(part) for part in given.split(","))
    except ValueError:
        raise UsageError(f"--cpus {given!r} must be two CPU numbers as 0,1") from None
    if not {first, second} <= set(allowed):
        raise UsageError(f"--cpus {given}: this process may use {', '.join(map(str, allowed))}")
    return first, second


def _peers(given: str) -> frozenset[str]:
    from perf.peers import PEER_KEYS

    if given in {"all", "none"}:
        return frozenset(PEER_KEYS if given == "all" else ())
    wanted = [name.strip() for name in given.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in PEER_KEYS]
    if unknown or not wanted:
        raise UsageError(f"--peers {given}: there are all, none, {', '.join(PEER_KEYS)}")
    return frozenset(wanted)


def _report(given: argparse.Namespace) -> int:
    from perf.page import page
    from perf.terminal import markdown, show

    report = Report.load(given.file)
    if given.markdown:
        print(markdown(report))
        return OK
    target: Path = given.html if given.html is not None else given.file.with_suffix(".html")
    try:
        target.write_text(page(report))
    except OSError as error:
        raise UsageError(f"{target}: {error.strerror}") from error
    show(report, Console(width=None if sys.stdout.isatty() else 200))
    print(f"written: {target}", file=sys.stderr)
    return OK
