"""Exit codes are few, fixed and documented."""

import ringbuf
from hft.runtime.exit_codes import ExitCode, HftError, exit_code_of
from hft.runtime.nats_server import NatsServerError, NatsServerReason
from hft.runtime.supervisor import describe_exit
from tests.conftest import ROOT


def test_numbers_never_change_their_meaning() -> None:
    assert {code.name: int(code) for code in ExitCode} == {
        "OK": 0,
        "FAILURE": 1,
        "CONFIG": 2,
        "SEGMENT_MISMATCH": 3,
        "SEGMENT_MISSING": 4,
        "ALREADY_RUNNING": 5,
        "NOT_RUNNING": 6,
        "PORT_TAKEN": 7,
        "MARKET": 8,
        "SERVICE_FAILED": 9,
        "DRAIN_TIMEOUT": 10,
        "NATS": 11,
        "STATE_FOLDER": 12,
        "STREAMS": 13,
        "WALLET": 14,
        "PROFILE": 20,
        "CHECK": 21,
        "CAPTURE": 22,
    }


def test_the_readme_lists_every_code() -> None:
    readme = (ROOT / "README.md").read_text()
    for code in ExitCode:
        assert f"| {int(code)} | {code.name} |" in readme, code


def test_row_03_errors_lead_to_their_own_codes() -> None:
    assert exit_code_of(ringbuf.SegmentMismatch("x")) is ExitCode.SEGMENT_MISMATCH
    assert exit_code_of(ringbuf.SegmentMissing("x")) is ExitCode.SEGMENT_MISSING
    assert exit_code_of(HftError("x", ExitCode.MARKET)) is ExitCode.MARKET
    assert exit_code_of(NatsServerError(NatsServerReason.PORT_TAKEN, "x")) is ExitCode.PORT_TAKEN
    assert exit_code_of(ValueError("x")) is ExitCode.FAILURE


def test_exits_are_told_in_words() -> None:
    assert describe_exit(9) == "exit code 9, SERVICE_FAILED"
    assert describe_exit(99) == "exit code 99"
    assert describe_exit(-9) == "signal SIGKILL"
    assert describe_exit(-99) == "signal 99"
