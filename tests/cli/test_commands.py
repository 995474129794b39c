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
        (["start", "--market", "none.json.gz"], ExitCode.MARKET, "none.json.gz: can't be read (No such file"),
        (["start", "--report", "no/such/folder/r.json"], ExitCode.CONFIG, "does not exist"),
        (["start", "--duration", "soon"], ExitCode.CONFIG, "--duration"),
        (["start", "--overlay", "none.ini"], ExitCode.CONFIG, "none.ini: cannot be read"),
        (
            ["start", "--mode", "reckless"],
            ExitCode.CONFIG,
            "--mode: 'reckless' is not one of 'paper', 'live'",
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
        (["start", "--report", "/"], ExitCode.CONFIG, "error: --report /: is a folder; a file belongs there"),
        (["start", "--report", "/no/x"], ExitCode.CONFIG, "error: --report /no/x: the folder /no does not"),
        (["replay", "x", "--report", "/"], ExitCode.CONFIG, "error: --report /: is a folder"),
        (["simnet", "fault", "flood"], ExitCode.CONFIG, "error: 'flood' is no fault; there are latency,"),
        (["start", "--market", "/"], ExitCode.MARKET, "error: --market: /: can't be read"),
        (["shm", "up", "--set", "simnet.market=/"], ExitCode.MARKET, "error: [simnet] market: /: can't be"),
        (["tail", "EXECUTED", "--url", "http://x"], ExitCode.CONFIG, "error: --url: 'http://x' is none of"),
        (
            ["tail", "EXECUTED", "--set", "nats.url=http://x"],
            ExitCode.CONFIG,
            "error: [nats] url: 'http://x' is none of",
        ),
        (["streams", "verify", "--url", "nats://u@127.0.0.1"], ExitCode.CONFIG, "error: --url: no user"),
        (
            ["bridge", "--from", "PLANNED", "--to", "planned", "--url", "x"],
            ExitCode.CONFIG,
            "error: --url: 'x' is none of",
        ),
        (
            ["capture", "-o", "x", "--rpc-url", "http://127.0.0.1:1", "--ws-url", "ws://[::2]:1"],
            ExitCode.CONFIG,
            "error: --ws-url: ::2 is not on this machine",
        ),
        (
            ["capture", "-o", "x", "--rpc-url", "http://[::2]", "--ws-url", "ws://127.0.0.1:1"],
            ExitCode.CONFIG,
            "error: --rpc-url: ::2 is not on this machine",
        ),
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


def test_a_market_that_is_none_is_found_before_a_start(folder: Path, capsys: Capture) -> None:
    assert run(["check", "--json", "--set", "simnet.market=/"]) == ExitCode.CHECK
    found = json.loads(capsys.readouterr().out)["findings"]
    (market,) = [one for one in found if one["what"] == "market"]
    assert market["level"] == "fail"
    assert market["found"].startswith("[simnet] market: /: can't be read")


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
    assert "kill latch: not set" in capsys.readouterr().out


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


def test_what_a_command_does_is_never_cut_short(capsys: Capture) -> None:
    for name in ("", "simnet", *GROUPS):
        assert run([name, "--help"] if name else ["--help"]) == ExitCode.OK
        listed = capsys.readouterr().out.partition("Commands:\n")[2].splitlines()
        assert listed
        assert not [line for line in listed if line.endswith("...")]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            "start --duration 0",
            "--duration 0: it must be greater than or equal to 0.1 (hft start --help lists what there is)",
        ),
        ("tail PLANNED --count x", "--count x: it must be a valid integer (hft tail --help lists"),
        ("replay f --speed 2x", "--speed: '2x' is not one of 'max', '1x' (hft replay --help lists"),
        ("start --nothing", "No such option: --nothing (hft start --help lists"),
        ("nothing", "No such command 'nothing' (hft --help lists"),
        (
            "simnet fault hang --ms -1",
            "--ms -1: it must be greater than or equal to 0 (hft simnet fault --help",
        ),
        ("streams nothing", "No such command 'nothing' (hft streams --help lists"),
        ("run", "Missing argument 'SERVICE' (hft run --help lists"),
        ("bridge --from PLANNED --to x", "no link 'x'; there are market_data, "),
        (
            "programs fetch --rpc ftp://h/secret --out x",
            "--rpc: http://HOST[:PORT]/… or https of a Solana RPC",
        ),
        (
            "programs fetch --rpc http://h --out x --program y",
            "--program y: a program's id, 32 bytes in base58",
        ),
    ],
)
def test_a_wrong_word_is_told_with_what_is_right_and_where_help_is(
    folder: Path, capsys: Capture, words: str, told: str
) -> None:
    assert run(words.split()) == ExitCode.CONFIG
    said = capsys.readouterr().err
    assert f"error: {told}" in said
    assert "secret" not in said


def test_a_file_in_the_state_folders_place_is_named(folder: Path, capsys: Capture) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    file = folder.with_name("file")
    file.write_text("x")
    assert run(["kill", "--state-dir", str(file)]) == ExitCode.STATE_FOLDER
    assert f"{file} is no folder; choose another with --state-dir" in capsys.readouterr().err
    assert run(["status", "--state-dir", str(file)]) == ExitCode.NOT_RUNNING
    assert "kill latch: set, kill.json cannot be read: Not a directory" in capsys.readouterr().out


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
