"""The two commands on a machine that lacks something: what it is, and how to get it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The scripts and the project file in a folder of their own, without an environment."""
    made = tmp_path / "checkout"
    shutil.copytree(ROOT / "scripts", made / "scripts")
    shutil.copy(ROOT / "pyproject.toml", made)
    return made


def refusal(checkout: Path, script: str, **environment: str) -> str:
    done = subprocess.run(
        [checkout / "scripts" / script],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert not (checkout / ".venv").exists()
    assert not done.stdout
    return done.stderr


@pytest.mark.parametrize("script", ["start", "test", "check"])
def test_a_missing_python_is_named_with_the_way_to_get_it(checkout: Path, script: str) -> None:
    said = refusal(checkout, script, PYTHON="no-such-python")
    assert said.startswith("error: no Python 3.11 or newer found (no-such-python)")
    assert "apt-get install python3 python3-venv python3-dev" in said


def test_an_old_python_does_not_count(checkout: Path, tmp_path: Path) -> None:
    old = tmp_path / "python3.9"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    assert "no Python 3.11 or newer found" in refusal(checkout, "start", PYTHON=str(old))


def test_a_missing_compiler_is_named_with_the_way_to_get_it(checkout: Path) -> None:
    said = refusal(checkout, "start", CC="no-such-compiler")
    assert said.startswith("error: no C compiler found (no-such-compiler)")
    assert "apt-get install gcc libc6-dev" in said


def test_a_compiler_that_cannot_compile_is_told(checkout: Path) -> None:
    assert "the C compiler (false) cannot build C11" in refusal(checkout, "start", CC="false")


def tools(checkout: Path, folder: Path, who: int, apt: str, *pairs: str) -> tuple[str, list[str]]:
    """What debian_tools says as a user, and how it called apt-get, which is ours."""
    folder.mkdir(exist_ok=True)
    calls = folder / "calls"
    programs = {"id": f"echo {who}", "sudo": "exit 1", "apt-get": f'echo "$@" >>{calls}; {apt}'}
    for name, body in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)
    (checkout / ".venv").mkdir(exist_ok=True)
    done = subprocess.run(
        ["bash", "-euc", f". scripts/environment; debian_tools {' '.join(pairs)}"],
        cwd=checkout,
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"},
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")
    said = calls.read_text().splitlines() if calls.exists() else []
    calls.unlink(missing_ok=True)
    return done.stderr, said


def test_programs_for_tests_are_installed_once_where_that_needs_no_question(
    checkout: Path, tmp_path: Path
) -> None:
    fakes = tmp_path / "bin"
    assert tools(checkout, fakes, 0, "exit 0", "bash:bash") == ("", [])  # there already
    said, calls = tools(checkout, fakes, 0, "exit 0", "bash:bash", "one:no-such-tool", "two:nor-this")
    assert said == "· installing one two for the tests\n"
    assert [call.split()[-3:] for call in calls] == [["--no-install-recommends", "one", "two"]] * 2
    assert ["--download-only" in call for call in calls] == [True, False]
    said, calls = tools(checkout, fakes, 0, "exit 1", "one:no-such-tool")
    assert said.endswith("some tests will be skipped; they need: sudo apt-get install one\n")
    assert len(calls) == 2  # the packages, then the lists of packages
    said, calls = tools(checkout, fakes, 0, "exit 1", "one:no-such-tool")
    assert (said.count("\n"), calls) == (1, [])  # not tried again at every run


def test_programs_for_tests_are_named_where_they_can_not_be_installed(checkout: Path, tmp_path: Path) -> None:
    said, calls = tools(checkout, tmp_path / "bin", 1000, "exit 0", "one:no-such-tool")
    assert (said, calls) == (
        "· some tests will be skipped; they need: sudo apt-get install one\n",
        [],
    )
