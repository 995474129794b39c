"""What a capture of a real cluster holds, and when there is none."""

import time
from pathlib import Path

import pytest

from hft.chain.subscribe import AccountChanged, SlotSeen, SourceLive
from hft.chain.sysvars import CLOCK_KEY
from hft.cli import main
from hft.replay.source import batches
from hft.runtime.capture import Capture
from hft.runtime.capture_format import Surveyed
from hft.runtime.exit_codes import ExitCode


def test_a_capture_begins_with_what_is_followed_and_its_snapshot(captured: Path) -> None:
    with Capture(captured) as capture:
        assert capture.torn_bytes == 0
        taken = list(batches(capture))
        events = [event for batch in taken for event in batch.events]
        assert capture.header.slot > 0
    surveyed = events[0]
    assert isinstance(surveyed, Surveyed)
    live = next(place for place, event in enumerate(events) if isinstance(event, SourceLive))
    snapshot = {event.version.pubkey for event in events[:live] if isinstance(event, AccountChanged)}
    needed = {key for pool, needs in surveyed.pools.items() for key in (pool, *needs)}
    assert CLOCK_KEY in snapshot
    assert needed <= snapshot
    later = [event for event in events[live:] if isinstance(event, AccountChanged)]
    assert len(later) > 100
    assert any(isinstance(event, SlotSeen) for event in events)
    for batch in taken:
        for event in batch.events:
            if isinstance(event, AccountChanged):
                assert 0 < event.version.received_ns <= batch.taken_ns


def test_without_a_running_instance_or_addresses_there_is_nothing_to_capture(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "x.capture"
    assert main.run(["capture", "-o", str(file), "--state-dir", str(tmp_path)]) == ExitCode.NOT_RUNNING
    assert "nothing runs" in capfd.readouterr().err
    assert not file.exists()


def test_a_chain_that_is_not_there_leaves_no_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "x.capture"
    urls = ["--rpc-url", "http://127.0.0.1:9", "--ws-url", "ws://127.0.0.1:9"]
    # So long a run waits at its start for the pools; a capture ends when it was to.
    quick = ["--duration", "0.5", "--set", "service:feed.start_wait_ms=60000"]
    arguments = ["capture", "-o", str(file), "--state-dir", str(tmp_path), *urls, *quick]
    began_s = time.monotonic()
    assert main.run(arguments) == ExitCode.CAPTURE
    said = f"error: {file}: not written: no market data came: node0 at 127.0.0.1:9: JSON-RPC: nobody listens"
    assert said in capfd.readouterr().err
    assert time.monotonic() - began_s < 60
    assert not file.exists()


def test_paper_mode_captures_from_loopback_alone(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    urls = ["--rpc-url", "https://example.com", "--ws-url", "wss://example.com"]
    arguments = ["capture", "-o", str(tmp_path / "x"), "--state-dir", str(tmp_path), *urls]
    assert main.run(arguments) == ExitCode.CONFIG
    said = capfd.readouterr().err.splitlines()
    assert [line.partition(" is not on this machine")[0] for line in said] == [
        "error: --rpc-url: example.com",
        "error: --ws-url: example.com",
    ]


def test_nodes_elsewhere_are_asked_without_a_wallet(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    urls = ["--rpc-url", "http://127.0.0.1:9", "--ws-url", "ws://127.0.0.1:9"]
    live = ["--set", "hft.mode=live", "--set", "chain.pools=So11111111111111111111111111111111111111112"]
    arguments = ["capture", "-o", str(tmp_path / "x"), "--state-dir", str(tmp_path), "--duration", "0.1"]
    assert main.run([*arguments, *urls, *live]) == ExitCode.CAPTURE
    assert "no market data came" in capfd.readouterr().err


def test_an_existing_capture_is_not_touched(captured: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = captured.stat().st_mtime_ns
    urls = ["--rpc-url", "http://127.0.0.1:9", "--ws-url", "ws://127.0.0.1:9"]
    arguments = ["capture", "-o", str(captured), "--state-dir", str(captured.parent), *urls]
    assert main.run(arguments) == ExitCode.CAPTURE
    assert "is there already" in capfd.readouterr().err
    assert captured.stat().st_mtime_ns == before


def test_what_is_wrong_is_told_and_not_that_nothing_came(
    captured: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    urls = ["--rpc-url", "http://127.0.0.1:9", "--ws-url", "ws://127.0.0.1:9"]
    wrong = ["--set", "chain.pools=11111111111111111111111111111111,11111111111111111111111111111111"]
    arguments = ["capture", "-o", str(tmp_path / "x"), "--state-dir", str(tmp_path), *urls, *wrong]
    assert main.run(arguments) == ExitCode.CONFIG
    assert "is named twice" in capfd.readouterr().err
