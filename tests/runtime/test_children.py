"""Service processes: a crash is told once with its reason, and retried with back-off up to a limit."""

import os
from pathlib import Path

import pytest

from hft.runtime import state
from hft.runtime.children import MAXIMUM_BACKOFF_MS, Child, backoff_ms
from hft.runtime.exit_codes import ExitCode
from hft.runtime.settings import Hft

SECOND_NS = 1_000_000_000


@pytest.fixture
def child(tmp_path: Path) -> Child:
    """A child without a run file: it ends at once with STATE_FOLDER."""
    state.prepare(tmp_path)
    limits = Hft(restart_limit=2, restart_window_ms=10_000, restart_backoff_ms=100)
    return Child("scanner", tmp_path, limits, os.environ)


def crash(child: Child, now_ns: int) -> int | None:
    child.spawn()
    assert child.wait(30) == ExitCode.STATE_FOLDER
    told = child.take_crash(now_ns)
    assert told is not None
    assert told.exit_code == ExitCode.STATE_FOLDER
    assert "run.json: cannot be read" in told.reason
    assert child.take_crash(now_ns) is None
    return told.retry_at_ns


def test_crashes_are_retried_up_to_the_limit_within_the_window(child: Child) -> None:
    assert crash(child, 0) == 100_000_000
    assert not child.restart_due(99_999_999)
    assert child.restart_due(100_000_000)
    assert crash(child, 1 * SECOND_NS) == 1 * SECOND_NS + 200_000_000
    assert crash(child, 2 * SECOND_NS) is None
    assert crash(child, 60 * SECOND_NS) == 60 * SECOND_NS + 100_000_000


def test_the_pause_doubles_up_to_its_limit() -> None:
    assert [backoff_ms(100, crashes) for crashes in (1, 2, 3)] == [100, 200, 400]
    assert backoff_ms(100, 1000) == MAXIMUM_BACKOFF_MS


def test_a_child_that_was_never_started_is_nothing(child: Child) -> None:
    assert (child.pid, child.running, child.wait(0), child.take_crash(0)) == (0, False, 0, None)
    child.terminate()
    child.kill()
