"""``hft check``: is this machine, with these settings, fit for a run?"""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from hft.cli import options
from hft.runtime import config as configuration
from hft.runtime import host, modes, reach, state
from hft.runtime.config import ConfigError
from hft.runtime.exit_codes import ExitCode, HftError
from hft.runtime.host import Finding, Level
from hft.runtime.settings import Config
from hft.services import funds, ledger_probe

SIGNS = {Level.OK: ("✓", "green"), Level.WARN: ("!", "yellow"), Level.FAIL: ("✗", "bold red")}
WHAT_WIDTH = 15


def check(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of lines.")] = False,
    config_file: options.ConfigFile = None,
    overlays: options.Overlays = None,
    sets: options.Sets = None,
    state_dir: options.StateDir = None,
) -> int:
    """Say whether this machine and these settings fit a run.

    Cores, memory, clock, disk, NATS, nodes, account files, keys, ledger: each a line, with what to do. Exit
    code 21 when a run would fail or must not be, else 0.
    """
    try:
        config = options.load_config(config_file, overlays, sets)
        findings = [Finding(Level.OK, "settings", f"sound, mode {config.hft.mode}")]
    except ConfigError as error:
        config = Config()
        findings = [
            Finding(Level.FAIL, "settings", line, "mend it; what follows is for defaults")
            for line in error.errors
        ]
    for what, wrong in (("mode", modes.errors(config)), ("secrets", configuration.secret_errors(config))):
        findings += [Finding(Level.FAIL, what, line, "a start refuses it") for line in wrong]
    folder = options.state_folder(state_dir, config)
    findings += _look(config, folder, ready=host.worst(findings) is not Level.FAIL)
    verdict = host.worst(findings)
    if as_json:
        plain = {"verdict": str(verdict), "findings": [finding._asdict() for finding in findings]}
        typer.echo(json.dumps(plain, indent=1))
    else:
        _draw(Console(highlight=False), findings)
    return int(ExitCode.CHECK if verdict is Level.FAIL else ExitCode.OK)


def _look(config: Config, folder: Path, *, ready: bool) -> list[Finding]:
    """``ready``: nothing is wrong with what the mode asks for."""
    running = state.holder(folder) != 0
    return [
        *host.processors(config),
        *host.clock(),
        *host.memory(config, running=running),
        *host.folder(folder, config),
        host.running(folder),
        *reach.nats(config),
        *reach.chain(config),
        *_market(config),
        *reach.keys(config, folder),
        *(funds.look(config, folder) if ready else ()),
        ledger_probe.look(folder, config.auditor),
    ]


def _market(config: Config) -> list[Finding]:
    """Account files that a run's own cluster would load."""
    try:
        options.check_market(config, "[simnet] market")
    except HftError as error:
        return [Finding(Level.FAIL, "market", str(error), "a start refuses it")]
    return []


def _draw(console: Console, findings: list[Finding]) -> None:
    for finding in findings:
        sign, style = SIGNS[finding.level]
        line = Text(f"{sign} ", style=style)
        line.append(f"{finding.what:<{WHAT_WIDTH}}", style="bold" if finding.level is not Level.OK else "")
        line.append(finding.found, style="default")
        console.print(line, soft_wrap=True)
        if finding.advice:
            console.print(Text(f"  {'':<{WHAT_WIDTH}}→ {finding.advice}", style="cyan"), soft_wrap=True)
    counts = {level: sum(finding.level is level for finding in findings) for level in Level}
    told = f"{counts[Level.OK]} ok, {counts[Level.WARN]} to mind, {counts[Level.FAIL]} to mend"
    console.print(Text(told, style=SIGNS[host.worst(findings)][1]))
