"""``hft start``: the whole pipeline, with a live view and a closing report."""

import json
from collections.abc import Mapping
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from hft.cli import options, report_view, views
from hft.cli.live import Facts
from hft.runtime import report as reporting
from hft.runtime.clock import SystemClock
from hft.runtime.exit_codes import ExitCode, HftError
from hft.runtime.monitor import Reading
from hft.runtime.session import Session
from hft.runtime.settings import Config
from hft.runtime.supervisor import Supervisor


class Mode(Enum):
    """What ``--mode`` takes."""

    PAPER = "paper"
    LIVE = "live"
    REPLAY = "replay"


CpuList = Annotated[str | None, typer.Option("--cpus", metavar="LIST", help="CPUs to use, such as 0-3,5.")]
ModeOption = Annotated[
    Mode | None,
    typer.Option("--mode", help="paper or live; default: [hft] mode. replay: what --capture names."),
]
CaptureFile = Annotated[
    Path | None,
    typer.Option("--capture", metavar="FILE", help="What --mode replay runs, as hft replay FILE does."),
]
Duration = Annotated[
    float | None,
    typer.Option("--duration", metavar="SECONDS", min=0.1, help="Stop after so long; default: never."),
]
MarketFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--market", metavar="FILE…", help="Account files to load instead of the snapshot that ships."
    ),
]
Seed = Annotated[int | None, typer.Option("--seed", metavar="N", min=0, help="Seed of the order flow.")]
Headless = Annotated[bool, typer.Option("--headless", help="Plain lines instead of the live view.")]
ReportFile = Annotated[
    Path | None, typer.Option("--report", metavar="FILE", help="Write the closing report there as JSON.")
]


def start(
    cpu_list: CpuList = None,
    mode: ModeOption = None,
    capture: CaptureFile = None,
    duration: Duration = None,
    market: MarketFiles = None,
    seed: Seed = None,
    headless: Headless = False,
    report_file: ReportFile = None,
    config_file: options.ConfigFile = None,
    overlays: options.Overlays = None,
    sets: options.Sets = None,
    state_dir: options.StateDir = None,
) -> int:
    """Run the pipeline, with a live view and a report.

    Until --duration is over or Ctrl-C; then each service drains. Exit code 10, and its signature, if a
    submission has no end by then: the next start resolves it.
    """
    if mode is Mode.REPLAY:
        refused = {"--cpus": cpu_list, "--duration": duration, "--market": market, "--seed": seed}
        file = _replayed(capture, refused)
        # Only here: a run needs nothing of it.
        from hft.cli.replay import replay

        return replay(
            file,
            report_file=report_file,
            plain=headless,
            config_file=config_file,
            overlays=overlays,
            sets=sets,
            state_dir=state_dir,
        )
    if capture is not None:
        raise HftError("--capture goes with --mode replay", ExitCode.CONFIG)
    sets = [*(sets or []), *([] if mode is None else [f"hft.mode={mode.value}"])]
    config = _with_options(
        options.load_config(config_file, overlays, sets, starting=True), cpu_list, market, seed
    )
    options.check_report_file(report_file)
    view = views.make(plain=headless)
    console = view.console
    view.live.facts = Facts("", config.hft.mode, views.market_name(config), {}, duration, "")
    folder = options.state_folder(state_dir, config)
    for line in options.wallet_notes(config, folder):
        view.tell(line)
    session = Session(config, folder, SystemClock(), view.tell)

    def tick(supervisor: Supervisor, reading: Reading) -> None:
        view.tick(supervisor.run, supervisor.restarts_of, reading)

    with view.shown():
        report, failure = session.run(duration, view.tick_s, tick)
    if report is not None:
        console.print(report_view.render(report, console.width))
        if report_file is not None:
            report_file.write_text(json.dumps(reporting.as_json(report), indent=1) + "\n", encoding="utf-8")
    if failure is not None:
        raise failure
    return int(ExitCode.OK)


def _replayed(capture: Path | None, others: Mapping[str, object]) -> Path:
    """The capture to replay; ``HftError`` when there is none, or with options of a run."""
    given = [name for name, value in others.items() if value]
    if given:
        raise HftError(
            f"{', '.join(given)}: not with --mode replay, which is one process over recorded data",
            ExitCode.CONFIG,
        )
    if capture is None:
        raise HftError(
            "--mode replay needs --capture FILE, which hft capture writes; for a tape: hft replay FILE "
            "--accounts FILE",
            ExitCode.CONFIG,
        )
    return capture


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
    options.check_market(config, "--market" if market else "[simnet] market")
    return config
