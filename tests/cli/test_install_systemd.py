"""The systemd units as they are installed: judged by systemd itself, idempotent, taken away again."""

import itertools
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from hft.cli.main import run
from hft.runtime import config, cpus, topology, units
from hft.runtime.exit_codes import ExitCode
from tests.conftest import ROOT

Capture = pytest.CaptureFixture[str]
UNITS = [
    "hft.target",
    "hft-shm.service",
    *(f"hft@{spec.name}.service" for spec in topology.services("paper")),
]
EXPOSURE_LIMIT = 2.0
"""Of 10, by systemd-analyze security; an unhardened service has 9.6."""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root into which the units were installed."""
    prefix = tmp_path_factory.mktemp("root")
    assert run(["install-systemd", "--prefix", str(prefix)]) == ExitCode.OK
    return prefix


@pytest.fixture
def analyze(installed: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """systemd-analyze on the installed units."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed (Debian: apt-get install systemd)")

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        path = {"SYSTEMD_UNIT_PATH": f"{installed / units.UNIT_FOLDER}:", "SYSTEMD_COLORS": "0"}
        return subprocess.run(
            [program, *arguments], env={**os.environ, **path}, capture_output=True, text=True, check=False
        )

    return call


def test_systemd_finds_nothing_wrong(analyze: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    verdict = analyze("verify", "--man=no", *UNITS)
    assert (verdict.returncode, verdict.stderr) == (0, "")


def test_systemd_would_find_what_is_wrong(
    installed: Path, analyze: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    folder = installed / units.UNIT_FOLDER / "hft@scanner.service.d"
    wrong = folder / "99-wrong.conf"
    wrong.write_text("[Service]\nWatchdogSecond=1\n")
    try:
        assert "WatchdogSecond" in analyze("verify", "--man=no", "hft@scanner.service").stderr
    finally:
        wrong.unlink()


def test_little_is_exposed(analyze: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    for unit in ("hft-shm.service", "hft@executor.service"):
        verdict = analyze("security", "--offline=yes", "--no-pager", unit)
        if "unrecognized option" in verdict.stderr:
            pytest.skip("this systemd-analyze cannot judge units offline")
        exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", verdict.stdout)
        assert exposure is not None, verdict.stderr
        assert float(exposure[1]) <= EXPOSURE_LIMIT, verdict.stdout


def snapshot(prefix: Path) -> dict[str, str]:
    return {str(file.relative_to(prefix)): file.read_text() for file in prefix.rglob("*") if file.is_file()}


def test_every_service_has_its_place(installed: Path) -> None:
    files = snapshot(installed)
    folder = units.UNIT_FOLDER
    wanted = files[f"{folder}/hft.target.d/10-services.conf"].split("Wants=")[1].split()
    assert wanted == ["hft-shm.service", *UNITS[2:]]
    order = [spec.name for spec in topology.services("paper")]
    for writer, reader in itertools.pairwise(order):
        assert f"After=hft@{reader}.service" in files[f"{folder}/hft@{writer}.service.d/10-order.conf"]
    placed = cpus.place(config.load(ROOT / "hft.ini")).cpus
    for name in order:
        listed = cpus.format_list(placed[name])
        lines = files[f"{folder}/hft@{name}.service.d/20-cpus.conf"].splitlines()
        assert lines[-2:] == [f"CPUAffinity={listed}", f"AllowedCPUs={listed}"]
    ranks = cpus.ranks("auto", placed, dict.fromkeys(placed, "park"))
    for name in order:
        lines = files.get(f"{folder}/hft@{name}.service.d/70-real-time.conf", "").splitlines()
        rights = ["RestrictRealtime=no", f"LimitRTPRIO={ranks[name]}"] if name in ranks else []
        assert lines[-2:] == rights
    assert "IPAddressDeny=any" in files[f"{folder}/hft@.service.d/60-paper.conf"]
    assert not [name for name, text in files.items() if "@python@" in text or "@user@" in text]


def test_readers_start_before_their_writers() -> None:
    """The chain of After= is the topology's stop order backwards; every gating reader is up first."""
    rank = {spec.name: number for number, spec in enumerate(topology.services("paper"))}
    for link in topology.links(()):
        assert all(rank[link.writer] < rank[reader] for reader in link.gating), link.name


def test_an_install_is_idempotent_keeps_settings_and_can_be_undone(tmp_path: Path, capsys: Capture) -> None:
    command = ["install-systemd", "--prefix", str(tmp_path)]
    assert run([*command, "--dry-run"]) == ExitCode.OK
    assert "would write" in capsys.readouterr().out
    assert snapshot(tmp_path) == {}
    assert run(command) == ExitCode.OK
    first = snapshot(tmp_path)
    settings = tmp_path / units.CONFIG_FILE
    settings.write_text("[simnet]\nseed = 7\n")
    own = tmp_path / units.UNIT_FOLDER / "hft@feed.service.d" / "90-mine.conf"
    own.write_text("[Service]\nNice=-5\n")
    stale = tmp_path / units.UNIT_FOLDER / "hft@gone.service.d" / "10-order.conf"
    stale.parent.mkdir()
    stale.write_text(units.MARK)
    capsys.readouterr()
    assert run(command) == ExitCode.OK
    said = capsys.readouterr().out
    assert f"keep {settings}" in said
    assert [line for line in said.splitlines() if line.startswith("write ")] == []
    assert not stale.parent.exists()
    left = {
        **first,
        units.CONFIG_FILE: "[simnet]\nseed = 7\n",
        str(own.relative_to(tmp_path)): own.read_text(),
    }
    assert snapshot(tmp_path) == left
    assert run([*command, "--uninstall"]) == ExitCode.OK
    assert set(snapshot(tmp_path)) == {units.CONFIG_FILE, str(own.relative_to(tmp_path))}


def test_what_systemd_would_break_is_refused(tmp_path: Path) -> None:
    python = Path("/opt/hft/.venv/bin/python")
    assert units.objections(python, None) == []
    assert units.objections(python, 999) == []
    [people] = units.objections(python, 1000)
    assert "RemoveIPC deletes its shared memory at logout" in people
    [hidden] = units.objections(Path("/home/ann/hft/.venv/bin/python"), None)
    assert "is in /home, which ProtectHome and PrivateTmp hide" in hidden
    link = tmp_path / "python"
    link.symlink_to("/root/python/bin/python3.11")
    assert any("is in /root, " in line for line in units.objections(link, None))


def test_live_has_no_local_cluster_and_is_not_held_to_loopback() -> None:
    templates = {file.name: file.read_text() for file in (ROOT / "scripts" / "systemd").iterdir()}
    files = units.render(
        templates,
        user="hft",
        python=Path("/opt/hft/.venv/bin/python"),
        root=Path("/opt/hft"),
        mode="live",
        services=units.services_of("live"),
        placed={},
        ranks={},
    )
    assert not [name for name in files if "simnet" in name or "paper" in name]
    assert "simnet" not in files[f"{units.UNIT_FOLDER}/hft.target.d/10-services.conf"]
