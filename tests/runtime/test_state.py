"""The state folder: where it is, who holds it, what a crash leaves of a file."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hft.runtime import state
from hft.runtime.exit_codes import ExitCode, HftError


def test_the_folder_is_the_setting_else_systemd_else_xdg(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/hft:/var/lib/other")
    assert state.choose(str(tmp_path)) == tmp_path
    assert state.choose("") == Path("/var/lib/hft")
    monkeypatch.delenv("STATE_DIRECTORY")
    assert state.choose("") == tmp_path / "xdg" / "hft"
    monkeypatch.delenv("XDG_STATE_HOME")
    assert state.choose("") == Path("~/.local/state/hft").expanduser()


def test_a_folder_that_cannot_be_made_is_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HftError, match="choose another with --state-dir") as caught:
        state.prepare(tmp_path / "file" / "state")
    assert caught.value.code == ExitCode.STATE_FOLDER


def test_row_26_a_second_instance_with_one_state_folder_refuses(tmp_path: Path) -> None:
    assert state.holder(tmp_path) == 0
    with state.InstanceLock(tmp_path):
        assert state.holder(tmp_path) == os.getpid()
        with pytest.raises(HftError, match=rf"already running \(pid {os.getpid()}\)") as caught:
            state.InstanceLock(tmp_path).__enter__()
        assert caught.value.code == ExitCode.ALREADY_RUNNING
    assert state.holder(tmp_path) == 0
    with state.InstanceLock(tmp_path):
        pass


def test_the_lock_ends_with_its_process(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from hft.runtime import state\n"
        "lock = state.InstanceLock(pathlib.Path(sys.argv[1])).__enter__()\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    assert state.holder(tmp_path) == child.pid
    child.kill()
    child.communicate()
    assert state.holder(tmp_path) == 0


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    state.write_atomic(file, "old")
    with pytest.raises(UnicodeEncodeError):
        state.write_atomic(file, "new \ud800")
    assert file.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]
    state.write_atomic(file, "new")
    assert file.read_text() == "new"
