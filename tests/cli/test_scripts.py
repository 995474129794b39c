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
        timeout=60,
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
