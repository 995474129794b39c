"""Commands without a running pipeline: clear words and the right exit code, never a traceback."""

import json
from importlib.metadata import version
from pathlib import Path

import pytest

from hft.cli.main import COMMANDS, GROUPS, expand_lists, run
from hft.runtime import killstate, state
from hft.runtime.exit_codes import ExitCode

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of its own, also by default."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "hft"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (
            ["start", "--set", "simnet.sed=1"],
            ExitCode.CONFIG,
            "[simnet] sed: unknown key; did you mean seed?",
        ),
        (["start", "--cpus", "0-"], ExitCode.CONFIG, "'0-' is neither a CPU number nor a range"),
        (["start", "--cpus", "4000"], ExitCode.CONFIG, "CPU 4000 does not exist or is offline"),
        (["start", "--market", "none.json.gz"], ExitCode.MARKET, "none.json.gz: there is no such file"),
        (["start", "--report", "no/such/folder/r.json"], ExitCode.CONFIG, "does not exist"),
        (["start", "--duration", "soon"], ExitCode.CONFIG, "--duration"),
        (["start", "--overlay", "none.ini"], ExitCode.CONFIG, "none.ini: cannot be read"),
        (
            ["start", "--mode", "reckless"],
            ExitCode.CONFIG,
            "'--mode': 'reckless' is not one of 'paper', 'live'",
        ),
        (["start", "--wrong"], ExitCode.CONFIG, "--wrong"),
        (["resume", "--approve", " "], ExitCode.CONFIG, "say who approves"),
        (["resume"], ExitCode.CONFIG, "--approve"),
        (["run", "scanner"], ExitCode.SEGMENT_MISSING, "start hft shm up (hft-shm.service) first"),
        (["run", "cook"], ExitCode.CONFIG, "'cook' is no service; there are feed, scanner"),
        (["shm", "down"], ExitCode.NOT_RUNNING, "nothing runs with state folder"),
        (["shm", "up", "--set", "hft.prefix=9"], ExitCode.CONFIG, "[hft] prefix"),
        (["stop"], ExitCode.NOT_RUNNING, "nothing runs with state folder"),
        (["tail", "EXECUTED"], ExitCode.NOT_RUNNING, "nothing runs with state folder"),
        (["tail", "NOWHERE"], ExitCode.CONFIG, "NOWHERE"),
        (["dance"], ExitCode.CONFIG, "dance"),
        (["capture", "-o", "x"], ExitCode.NOT_RUNNING, "--rpc-url and --ws-url say where to ask"),
        (["inspect", "none"], ExitCode.FAILURE, "error: none: No such file or directory"),
        (["schema", "Trade"], ExitCode.CONFIG, "error: no record 'Trade'; there are"),
        (
            ["simnet", "fault", "list", "--port", "1"],
            ExitCode.NOT_RUNNING,
            "Connection refused (--port names",
        ),
        (
            ["programs", "fetch", "--rpc", "http://127.0.0.1:1", "--out", "x"],
            ExitCode.FAILURE,
            ":1: Connection",
        ),
        (["streams", "info", "--url", "nats://127.0.0.1:1"], ExitCode.NATS, "can't be used: nobody listens"),
    ],
)
def test_row_36_what_is_wrong_is_one_clear_line(
    arguments: list[str], code: ExitCode, says: str, folder: Path, capsys: Capture
) -> None:
    assert run(arguments) == code
    said = capsys.readouterr()
    assert says in said.err
    assert "Errno" not in said.err
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert "Traceback" not in said.err
    assert not said.out


def test_every_wrong_setting_is_a_line(folder: Path, capsys: Capture) -> None:
    assert run(["start", "--set", "simnet.sed=1", "--set", "risk.x=1", "--set", "a"]) == ExitCode.CONFIG
    assert capsys.readouterr().err.count("error: ") == 3


def test_kill_without_a_run_halts_the_next_and_resume_ends_it(folder: Path, capsys: Capture) -> None:
    assert run(["kill", "--reason", "before the holidays"]) == ExitCode.OK
    assert killstate.load(folder).message == "before the holidays"
    assert "the next start will be halted" in capsys.readouterr().out
    assert run(["status", "--json"]) == ExitCode.NOT_RUNNING
    assert json.loads(capsys.readouterr().out) == {"running": False, "kill_state": "killed"}
    assert run(["resume", "--approve", "me: back at work"]) == ExitCode.OK
    assert "before the holidays" in capsys.readouterr().out
    assert not killstate.load(folder).killed
    assert run(["status"]) == ExitCode.NOT_RUNNING
    assert "kill latch: running" in capsys.readouterr().out


def test_a_state_folder_in_use_is_refused(folder: Path, capsys: Capture) -> None:
    state.prepare(folder)
    with state.InstanceLock(folder):
        assert run(["start", "--duration", "1"]) == ExitCode.ALREADY_RUNNING
    assert "already running" in capsys.readouterr().err


def test_topology_shows_every_link_and_service(capsys: Capture) -> None:
    from hft.runtime import topology

    assert run(["topology"]) == ExitCode.OK
    shown = capsys.readouterr().out
    for name in [entry.name for entry in topology.LINKS] + [spec.name for spec in topology.SERVICES]:
        assert name in shown


def test_a_group_alone_shows_its_commands_and_the_version_is_told(capsys: Capture) -> None:
    for name in GROUPS:
        assert run([name]) == ExitCode.OK
        said = capsys.readouterr()
        assert "Commands:" in said.out
        assert not said.err
    assert run(["--version"]) == ExitCode.OK
    assert capsys.readouterr().out == f"hft {version('hft')}\n"


def test_help_lists_every_command(capsys: Capture) -> None:
    assert run([]) == ExitCode.OK
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in COMMANDS)
    for name in COMMANDS:
        assert run([name, "--help"]) == ExitCode.OK


def test_market_takes_files_until_the_next_option() -> None:
    assert expand_lists(["start", "--market", "a", "b", "c", "--seed", "7"]) == [
        *("start", "--market", "a", "--market", "b", "--market", "c", "--seed", "7")
    ]
    assert expand_lists(["start", "--market", "a", "--market", "b"]) == [
        "start",
        "--market",
        "a",
        "--market",
        "b",
    ]
    assert expand_lists(["tail", "EXECUTED"]) == ["tail", "EXECUTED"]
