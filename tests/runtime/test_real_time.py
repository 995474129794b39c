"""Real time: what it covers, and how one that runs on and on loses it. Each in a process of its own."""

import os
import resource
import signal
import threading
import time
from collections.abc import Callable

import pytest

from hft.runtime import real_time
from hft.runtime.real_time import RealTime, set_policy

LIMIT_S = 10.0
REFUSED = "operation not permitted"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that are met at once."""
    monkeypatch.setattr(real_time, "PAUSE_LIMIT_US", 100_000)
    monkeypatch.setattr(real_time, "END_LIMIT_US", 1_000_000)


def told_by_a_child(tell: Callable[[], str]) -> str:
    """What ``tell`` returns in a process of its own, whose scheduling and rights are nobody else's; how it
    ended, where it told nothing. Skips where this process may not run in real time."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, tell().encode())
        finally:
            os._exit(0)
    os.close(writing)
    _, status = os.waitpid(child, 0)
    with os.fdopen(reading) as pipe:
        told = pipe.read() or f"exit status {os.waitstatus_to_exitcode(status)}"
    if told == REFUSED:
        pytest.skip("this process may not run in real time (ulimit -r)")
    return told


def test_a_rank_covers_threads_of_before_and_of_after() -> None:
    def tell() -> str:
        seen: list[int] = []
        begun, ranked = threading.Event(), threading.Event()

        def note() -> None:
            begun.set()
            ranked.wait()
            seen.append(os.sched_getparam(0).sched_priority)

        early, late = threading.Thread(target=note), threading.Thread(target=note)
        early.start()
        begun.wait()
        why_not = set_policy(2)
        ranked.set()
        late.start()
        early.join()
        late.join()
        return why_not or f"{os.sched_getscheduler(0) == os.SCHED_FIFO} {seen}"

    assert told_by_a_child(tell) == "True [2, 2]"


def test_row_35_without_the_right_a_process_runs_as_it_did() -> None:
    def tell() -> str:
        resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))
        if os.geteuid() == 0:
            os.setuid(65534)  # and no longer CAP_SYS_NICE
        return f"{set_policy(1)}, {os.sched_getscheduler(0) == os.SCHED_OTHER}"

    assert told_by_a_child(tell) == f"{REFUSED}, True"


def test_one_that_runs_on_goes_on_as_all_others_until_it_has_nothing_to_do() -> None:
    def tell() -> str:
        held = RealTime(2)
        if why_not := held.take():
            return why_not
        deadline = time.monotonic() + LIMIT_S
        policies = [os.sched_getscheduler(0)]
        for times in (1, 2):
            while held.given_up < times and time.monotonic() < deadline:
                pass
            policies.append(os.sched_getscheduler(0))
            held.again()
            policies.append(os.sched_getscheduler(0))
        return f"{policies}, given up {held.given_up}"

    fifo, other = int(os.SCHED_FIFO), int(os.SCHED_OTHER)
    assert told_by_a_child(tell) == f"{[fifo, other, fifo, other, fifo]}, given up 2"


def test_one_that_pauses_keeps_it() -> None:
    def tell() -> str:
        held = RealTime(1)
        if why_not := held.take():
            return why_not
        used_ns = time.process_time_ns() + 4 * real_time.PAUSE_LIMIT_US * 1_000
        while time.process_time_ns() < used_ns:
            until_ns = time.process_time_ns() + real_time.PAUSE_LIMIT_US * 200
            while time.process_time_ns() < until_ns:
                pass
            time.sleep(0.0001)
        return f"{held.held}, given up {held.given_up}"

    assert told_by_a_child(tell) == "True, given up 0"


def test_one_that_hears_nothing_is_killed() -> None:
    """As in a call into C that does not come back."""

    def tell() -> str:
        if why_not := RealTime(1).take():
            return why_not
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGXCPU})
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline:
            pass
        return "still there"

    assert told_by_a_child(tell) == f"exit status {-signal.SIGKILL}"
