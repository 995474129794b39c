"""``scripts/install-systemd``: the units of scripts/systemd into /etc, or into a folder in its place."""

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from hft.cli import options
from hft.runtime import config as configuration
from hft.runtime import cpus, idle, units
from hft.runtime.exit_codes import ExitCode, HftError

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = ROOT / "scripts" / "systemd"


def install_systemd(
    prefix: Annotated[
        Path, typer.Option("--prefix", metavar="DIR", help="Root to install into; other than /: files only.")
    ] = Path("/"),
    user: Annotated[str, typer.Option("--user", metavar="NAME", help="System user of the services.")] = "hft",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, do nothing.")] = False,
    uninstall: Annotated[
        bool, typer.Option("--uninstall", help="Take the units away; settings, state and user stay.")
    ] = False,
    config_file: options.ConfigFile = None,
) -> int:
    """Install the systemd units, or take them away.

    Makes /etc/hft/hft.ini from --config where there is none; its mode and CPUs decide the drop-ins.
    """
    staged = prefix.absolute() != Path("/")
    if not staged and not dry_run and os.geteuid() != 0:
        raise HftError("writing to /etc needs root: sudo scripts/install-systemd", ExitCode.CONFIG)
    if uninstall:
        return _uninstall(prefix, dry_run=dry_run)
    settings = prefix / units.CONFIG_FILE
    source = settings if settings.exists() else config_file or configuration.default_file()
    config = configuration.load(source)
    python = Path(sys.executable)
    problems = units.objections(python, _uid(user))
    if problems and not staged:
        raise HftError("\n".join(problems), ExitCode.CONFIG)
    for problem in problems:
        _say(f"mind: {problem}")
    templates = {
        file.name: file.read_text(encoding="utf-8") for file in TEMPLATES.iterdir() if file.is_file()
    }
    placed = cpus.place(config).cpus
    files = units.render(
        templates,
        user=user,
        python=python,
        root=ROOT,
        mode=config.hft.mode,
        services=units.services_of(config.hft.mode, config.optional),
        placed=placed,
        ranks=cpus.ranks(config.cpus.real_time, placed, idle.resolve(config, placed)),
    )
    _write_settings(settings, source, dry_run=dry_run)
    _remove(_owned(prefix) - {prefix / name for name in files}, dry_run=dry_run)
    _write(prefix, files, dry_run=dry_run)
    if not staged and not dry_run:
        _call("systemd-sysusers", str(prefix / units.SYSUSERS_FILE))
        _reload()
    for line in _next_steps(user):
        _say(line)
    return int(ExitCode.OK)


def _uninstall(prefix: Path, *, dry_run: bool) -> int:
    _remove(_owned(prefix), dry_run=dry_run)
    if prefix.absolute() == Path("/") and not dry_run:
        _reload()
    _say("kept: /etc/hft, /var/lib/hft and the user")
    return int(ExitCode.OK)


def _owned(prefix: Path) -> set[Path]:
    """Files that an install wrote and nobody else."""
    folder = prefix / units.UNIT_FOLDER
    candidates = [*folder.glob("hft*"), *folder.glob("hft*.d/*.conf"), prefix / units.SYSUSERS_FILE]
    return {
        file
        for file in candidates
        if file.is_file() and file.read_text(encoding="utf-8").startswith(units.MARK)
    }


def _write(prefix: Path, files: Mapping[str, str], *, dry_run: bool) -> None:
    for name, text in sorted(files.items()):
        file = prefix / name
        if file.is_file() and file.read_text(encoding="utf-8") == text:
            continue
        _say(f"{'would write' if dry_run else 'write'} {file}")
        if not dry_run:
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
            file.write_text(text, encoding="utf-8")
            file.chmod(0o644)


def _write_settings(settings: Path, source: Path | None, *, dry_run: bool) -> None:
    if settings.exists():
        _say(f"keep {settings}")
        return
    _say(f"{'would write' if dry_run else 'write'} {settings}")
    if not dry_run:
        settings.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        settings.write_text("" if source is None else source.read_text(encoding="utf-8"), encoding="utf-8")


def _remove(files: set[Path], *, dry_run: bool) -> None:
    for file in sorted(files):
        _say(f"{'would remove' if dry_run else 'remove'} {file}")
        if not dry_run:
            file.unlink()
            if file.parent.name.endswith(".d") and not any(file.parent.iterdir()):
                file.parent.rmdir()


def _uid(user: str) -> int | None:
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        return None


def _reload() -> None:
    if Path("/run/systemd/system").is_dir():
        _call("systemctl", "daemon-reload")


def _call(program: str, *arguments: str) -> None:
    if shutil.which(program) is None:
        raise HftError(f"{program} is not installed: this is no system that runs systemd", ExitCode.FAILURE)
    done = subprocess.run([program, *arguments], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise HftError(f"{program} failed: {done.stderr.strip() or done.returncode}", ExitCode.FAILURE)


def _next_steps(user: str) -> list[str]:
    return [
        "next:",
        f"  /etc/hft/hft.ini          settings; keys and state are in /var/lib/hft, {user}'s alone",
        "  systemctl start hft.target      all services; enable it to start at boot",
        "  systemctl status 'hft*'         states · journalctl -fu 'hft*' their lines",
        f"  sudo -u {user} STATE_DIRECTORY=/var/lib/hft hft monitor | kill | resume",
        "  systemctl stop hft.target       ends all in order, each drained",
    ]


def _say(line: str) -> None:
    typer.echo(line)
