"""Options that several commands share."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer

from hft.runtime import config as configuration
from hft.runtime import state
from hft.runtime.context import Run
from hft.runtime.exit_codes import ExitCode, HftError
from hft.runtime.modes import LIVE
from hft.runtime.settings import Config

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="Settings file; default: hft.ini here, else the project's."
    ),
]
Overlays = Annotated[
    list[Path] | None,
    typer.Option("--overlay", metavar="FILE", help="Settings over the settings file; may be repeated."),
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="One setting over all files; may be repeated."),
]
StateDir = Annotated[
    Path | None,
    typer.Option("--state-dir", metavar="DIR", help="State folder; default: [hft] state_dir, else XDG's."),
]
WaitLimit = Annotated[
    float, typer.Option("--limit", metavar="SECONDS", min=1, help="How long to wait for it.")
]


def load_config(
    file: Path | None, overlays: list[Path] | None, sets: list[str] | None, *, starting: bool = False
) -> Config:
    """Settings from the usual places; ``ConfigError`` with everything that is wrong. ``starting``: also with
    their files, for a start."""
    return configuration.load(
        file or configuration.default_file(), overlays or [], sets or [], starting=starting
    )


@contextlib.contextmanager
def named(typed: Mapping[str, str]) -> Iterator[None]:
    """Within, errors name what a person typed: ``typed`` has the option that stood in for a setting."""
    try:
        yield
    except HftError as error:
        text = str(error)
        for setting, option in typed.items():
            text = text.replace(f"endpoint {setting}:", f"{option}:").replace(f"{setting}:", f"{option}:")
        raise HftError("\n".join(dict.fromkeys(text.splitlines())), error.code) from error


def with_url(url: str, file: Path | None, overlays: list[Path] | None, sets: list[str] | None) -> Config:
    """``load_config`` with ``--url``, where it is given, in place of ``[nats] url``."""
    with named({"[nats] url": "--url"} if url else {}):
        return load_config(file, overlays, [*(sets or ()), *([f"nats.url={url}"] if url else ())])


def state_folder(option: Path | None, config: Config | None = None) -> Path:
    """The state folder: the option, else the setting (read from the usual places), else systemd's or
    XDG's."""
    if option is not None:
        return option.expanduser().absolute()
    return state.choose((config or load_config(None, None, None)).hft.state_dir)


def wallet_notes(config: Config, folder: Path) -> list[str]:
    """Before a run: what a live wallet lacks; ``HftError`` (WALLET) when it can't trade and the run sends."""
    if config.hft.mode != LIVE:
        return []
    # Only here: a run on paper has no need of it, nor has who halts one.
    from hft.services import funds

    return funds.require(config, folder)


def check_report_file(file: Path | None) -> None:
    """Refuse ``--report`` now rather than after the run."""
    if file is None:
        return
    folder = file.absolute().parent
    if not folder.is_dir():
        raise HftError(f"--report {file}: the folder {folder} does not exist", ExitCode.CONFIG)
    if file.is_dir():
        raise HftError(f"--report {file}: is a folder; a file belongs there", ExitCode.CONFIG)
    if not os.access(file if file.exists() else folder, os.W_OK):
        raise HftError(f"--report {file}: it can't be written there", ExitCode.CONFIG)


def check_market(config: Config, named_by: str) -> None:
    """Before anything is started: are the account files that the run's own cluster is to load a market?
    ``HftError`` MARKET naming ``named_by``, file and fault."""
    files = config.simnet.market
    if not files or config.hft.mode == LIVE or config.chain.rpc_urls:
        return
    # Only here: what ships needs no look, and who halts a run no market.
    from hft.simnet.market import MarketError, load_market

    try:
        load_market(files)
    except MarketError as error:
        raise HftError(f"{named_by}: {error}", error.code) from error


def running(folder: Path) -> Run:
    """The run that holds a state folder; ``HftError`` (NOT_RUNNING) when there is none."""
    if state.holder(folder) == 0 or not (folder / state.RUN_FILE).exists():
        raise HftError(
            f"nothing runs with state folder {folder} (hft start begins a run, --state-dir names another)",
            ExitCode.NOT_RUNNING,
        )
    return Run.load(folder / state.RUN_FILE)
