"""``hft start``: the whole pipeline, with a live view and a closing report."""

import json
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich import live as rich_live
from rich.console import Console

from hft.cli import options, report_view
from hft.cli.live import Facts, Live
from hft.runtime import report as reporting
from hft.runtime.clock import SystemClock
from hft.runtime.exit_codes import ExitCode, HftError
from hft.runtime.monitor import Reading
from hft.runtime.session import Session
from hft.runtime.settings import Config
from hft.runtime.supervisor import Supervisor

LIVE_TICK_S = 0.5
PLAIN_TICK_S = 5.0
PLAIN_WIDTH = 120
"""Columns of the report where there is no terminal to fit it to."""


def start(
    cpu_list: Annotated[
        str | None, typer.Option("--cpus", metavar="LIST", help="CPUs to use, such as 0-3,5.")
    ] = None,
    duration: Annotated[
        float | None,
        typer.Option("--duration", metavar="SECONDS", min=0.1, help="Stop after so long; default: never."),
    ] = None,
    market: Annotated[
        list[Path] | None,
        typer.Option(
            "--market", metavar="FILE…", help="Account files to load instead of the snapshot that ships."
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Seed of the order flow.")] = None,
    headless: Annotated[
        bool, typer.Option("--headless", help="Plain lines instead of the live view.")
    ] = False,
    report_file: Annotated[
        Path | None, typer.Option("--report", metavar="FILE", help="Write the closing report there as JSON.")
    ] = None,
    config_file: options.ConfigFile = None,
    overlays: options.Overlays = None,
    sets: options.Sets = None,
    state_dir: options.StateDir = None,
) -> int:
    """Run the pipeline, with a live view and a report.

    Paper mode, until --duration is over or Ctrl-C.
    """
    config = _with_options(options.load_config(config_file, overlays, sets), cpu_list, market, seed)
    _check_report_file(report_file)
    terminal = Console()
    console = terminal if terminal.is_terminal else Console(width=PLAIN_WIDTH)
    view = _LiveView(console) if console.is_terminal and not headless else _PlainView(console)
    view.live.facts = Facts("", config.hft.mode, _market_name(config), {}, duration, "")
    session = Session(config, options.state_folder(state_dir, config), SystemClock(), view.tell)
    with view.shown():
        report, failure = session.run(duration, view.tick_s, view.tick)
    if report is not None:
        console.print(report_view.render(report, console.width))
        if report_file is not None:
            report_file.write_text(json.dumps(reporting.as_json(report), indent=1) + "\n", encoding="utf-8")
    if failure is not None:
        raise failure
    return int(ExitCode.OK)


class _View:
    """What the session talks to."""

    tick_s = PLAIN_TICK_S

    def __init__(self, console: Console) -> None:
        self.console = console
        self.live = Live()
        self._began = time.monotonic()

    def shown(self) -> AbstractContextManager[object]:
        """Open while the run lasts."""
        return nullcontext()

    def tell(self, line: str) -> None:
        """Take one line of news."""
        raise TypeError("a view tells in its own way")

    def tick(self, supervisor: Supervisor, reading: Reading) -> None:
        """Take a reading."""
        run = supervisor.run
        self.live.facts = self.live.facts._replace(run_id=run.run_id8, cpus=run.cpus, nats_url=run.nats_url)
        self.live.restarts = supervisor.restarts_of
        self.live.add(reading)
        self.draw()

    def draw(self) -> None:
        """Show what is new."""


class _PlainView(_View):
    """Lines of text: for logs, pipes and CI."""

    def tell(self, line: str) -> None:
        self._print(line)

    def draw(self) -> None:
        self._print(self.live.line())

    def _print(self, line: str) -> None:
        self.console.file.write(line + "\n")
        self.console.file.flush()


class _LiveView(_View):
    """The picture that moves."""

    tick_s = LIVE_TICK_S

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._display = rich_live.Live(
            console=console, auto_refresh=False, screen=False, vertical_overflow="crop"
        )

    def shown(self) -> AbstractContextManager[object]:
        return self._display

    def tell(self, line: str) -> None:
        self.live.events.append(line)
        self.draw()

    def draw(self) -> None:
        self._display.update(self.live.render(self.console.width, self.console.height), refresh=True)


def _with_options(
    config: Config, cpu_list: str | None, market: list[Path] | None, seed: int | None
) -> Config:
    """The settings with the command's own options laid over them."""
    if cpu_list is not None:
        config = replace(config, cpus=replace(config.cpus, list=cpu_list))
    if market:
        config = replace(
            config, simnet=replace(config.simnet, market=tuple(str(file.absolute()) for file in market))
        )
    if seed is not None:
        config = replace(config, simnet=replace(config.simnet, seed=seed))
    for file in config.simnet.market:
        if not Path(file).is_file():
            raise HftError(f"market file {file}: there is no such file", ExitCode.MARKET)
    return config


def _market_name(config: Config) -> str:
    names = [Path(file).name.removesuffix(".json.gz") for file in config.simnet.market]
    return f"market {' + '.join(names)}" if names else "shipped market"


def _check_report_file(file: Path | None) -> None:
    """Refuse now rather than after the run."""
    if file is not None and not file.absolute().parent.is_dir():
        raise HftError(
            f"--report {file}: the folder {file.absolute().parent} does not exist", ExitCode.CONFIG
        )
