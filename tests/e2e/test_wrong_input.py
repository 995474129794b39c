"""Crashes, foreign bytes on a ring, wrong inputs: recovery or one clear error, and nothing left behind."""

import contextlib
import gzip
import os
import random
import signal
import socket
import time
from pathlib import Path

import psutil
import pytest

import ringbuf
from hft.runtime.exit_codes import ExitCode
from tests.e2e.pipeline import BUSY, Pipeline, assert_whole

CORRUPT = 50


def test_row_04_a_crashed_scanner_restarts_and_corrupt_messages_are_counted(
    pipeline: Pipeline,
) -> None:
    """The scanner is killed; before its successor comes, random bytes are published in its place."""
    pipeline.start(*BUSY, "--set", "hft.restart_backoff_ms=1500")
    pipeline.until("a trade", lambda: pipeline.trades() > 0)
    old = pipeline.pid_of("scanner")
    os.kill(old, signal.SIGKILL)
    pipeline.until("the scanner's end", lambda: ringbuf.process_start(old) is None)
    ring = ringbuf.Ring.attach(pipeline.run().segment("ring", "opportunities"))
    publication = ring.publication()
    noise = random.Random(4)
    for length in range(CORRUPT):
        assert publication.offer(noise.randbytes(length * 6 + 1))
    publication.close()
    ring.close()
    pipeline.until("a new scanner", lambda: pipeline.pid_of("scanner") not in (0, old))
    pipeline.until("all counted", lambda: pipeline.counter("planner", "dropped_corrupt") == CORRUPT)
    trades = pipeline.trades()
    pipeline.until("trades after the restart", lambda: pipeline.trades() > trades)
    code, out, err = pipeline.stop()
    assert (code, err) == (0, ""), out
    assert "scanner ended unexpectedly (signal SIGKILL); restarting it" in out
    assert f"planner dropped messages: corrupt {CORRUPT}" in out
    report = pipeline.report()
    assert report["restarts"] == 1
    assert report["links"]["opportunities"]["dropped"] == {"corrupt": CORRUPT}
    assert_whole(report)


def test_row_05_what_a_killed_supervisor_leaves_is_gone_after_the_next_start(pipeline: Pipeline) -> None:
    pipeline.start(*BUSY, "--set", "hft.drain_limit_ms=2000")
    pipeline.until("market data", lambda: pipeline.counter("feed", "out_market_data") > 0)
    assert pipeline.process is not None
    left = {name: pid for name, pid in pipeline.run().pids.items() if pid}
    pipeline.process.kill()
    pipeline.process.communicate()
    deadline = time.monotonic() + 40
    services = [pid for name, pid in left.items() if name != "nats-server"]
    while any(psutil.pid_exists(pid) for pid in services):
        assert time.monotonic() < deadline, "services outlive their supervisor"
        time.sleep(0.05)
    stale = pipeline.segments()
    assert stale
    pipeline.start("--duration", "1")
    code, out, _ = pipeline.settle()
    assert code == 0, out
    assert all(f"removed {name}, left by a run that is gone" in out for name in stale)


def failed_start(pipeline: Pipeline, *arguments: str) -> tuple[int, str]:
    """Exit code and the one line of error of a start that must fail."""
    pipeline.start(*arguments)
    code, _, err = pipeline.settle()
    assert err.startswith("error: ")
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    return code, err


def test_a_taken_port_is_named(pipeline: Pipeline) -> None:
    with contextlib.closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, err = failed_start(pipeline, "--set", f"nats.port={port}")
    assert code == ExitCode.PORT_TAKEN
    assert str(port) in err


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("truncated.json.gz", gzip.compress(b'{"meta": {}, "accounts": [' + b" " * 100_000)[:60]),
        ("empty.json.gz", gzip.compress(b'{"meta": {}, "accounts": []}')),
    ],
    ids=["truncated", "empty"],
)
def test_a_bad_account_file_is_named(pipeline: Pipeline, tmp_path: Path, name: str, content: bytes) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    code, err = failed_start(pipeline, "--market", str(file))
    assert code == ExitCode.MARKET, err
    assert err.startswith(f"error: --market: {file}: ")
    assert not pipeline.folder.exists(), "something was started"


def test_row_36_an_unknown_key_starts_nothing(pipeline: Pipeline, tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.ini"
    overlay.write_text("[risk]\nmaximum_size_sol = 5\n")
    code, err = failed_start(pipeline, "--overlay", str(overlay))
    assert code == ExitCode.CONFIG
    assert "[risk] maximum_size_sol: unknown key" in err
    assert not pipeline.folder.exists()
