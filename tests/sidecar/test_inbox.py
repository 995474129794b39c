"""Commands through the sidecar itself: from NATS to the run's latch, counted on the sidecar's page."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import nkeys
import pytest
from sidecar_support import Pipeline

from hft.cli.main import run
from hft.runtime import config, killstate
from hft.runtime.exit_codes import ExitCode
from hft.runtime.nats_options import Identity
from hft.runtime.nats_server import NatsServer

SEED: bytes = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)


def with_sender(*sets: str) -> config.Config:
    senders = f"nats.command_senders=alice:{Identity(SEED).public_key}"
    return config.load(None, (), (senders, *sets))


def test_row_21_a_command_from_outside_halts_the_run_and_is_counted(
    server: NatsServer,
    pipeline: Callable[..., Pipeline],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = pipeline(server.url, with_sender())
    made.open()
    made.until(lambda: made.counters().get("commands_connected") == 1)
    key = tmp_path / "alice.nk"
    key.touch(0o600)
    key.write_bytes(SEED)
    to = ["--url", server.url, "--sender-key", str(key), "--wait", "5", "--instance", "hft"]
    assert run(["command", "kill", *to, "--reason", "drill"]) == ExitCode.OK
    assert capsys.readouterr().out == "hft: halted\n"
    assert made.segments.control.killed
    assert killstate.load(tmp_path).message == "drill"
    assert run(["command", "resume", *to, "--reason", "over"]) == ExitCode.OK
    assert made.segments.control.killed
    made.until(lambda: made.counters().get("commands_resume") == 1)
    counts = made.counters()
    assert (counts["commands_in"], counts["commands_kill"]) == (2, 1)
    assert made.page.histogram("stage_command_ns").count == 1


def test_without_senders_there_is_no_door(server: NatsServer, pipeline: Callable[..., Pipeline]) -> None:
    made = pipeline(server.url)
    made.open()
    made.until(lambda: made.counters().get("nats_connected") == 1)
    assert not [name for name in made.counters() if name.startswith("commands_")]


def test_commands_come_in_while_the_duty_cycle_stands_still(
    server: NatsServer, pipeline: Callable[..., Pipeline], tmp_path: Path
) -> None:
    made = pipeline(server.url, with_sender())
    made.open()
    made.until(lambda: made.counters().get("commands_connected") == 1)
    key = tmp_path / "alice.nk"
    key.touch(0o600)
    key.write_bytes(SEED)
    begin = time.monotonic()
    code = run(["command", "kill", "--url", server.url, "--sender-key", str(key), "--instance", "hft"])
    assert code == ExitCode.OK, "no cycle was made in between"
    assert made.segments.control.killed
    assert time.monotonic() - begin < 10
