"""A thread that asks for short slices has them; one under another scheduler is left alone."""

import os
import platform
import subprocess
import sys
import threading

import pytest

from hft.runtime import time_slice

needs_system = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "aarch64"), reason=f"no slices on {platform.machine()}"
)


@needs_system
def test_a_thread_gets_the_slice_it_asks_for_and_no_other_one_does() -> None:
    told: list[object] = []

    def ask() -> None:
        told.extend((time_slice.ask(150_000), time_slice.granted_ns(), os.getpriority(os.PRIO_PROCESS, 0)))

    before = time_slice.granted_ns()
    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    if tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2]) < (6, 12):
        pytest.skip(f"Linux {platform.release()} takes no notice of slices")
    assert told == ["", 150_000, os.getpriority(os.PRIO_PROCESS, 0)]
    assert time_slice.granted_ns() == before


@needs_system
def test_who_runs_under_another_scheduler_keeps_it() -> None:
    script = (
        "import os; from hft.runtime import time_slice as t;"
        "os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0));"
        "why = t.ask(100_000); print(why, os.sched_getscheduler(0) == os.SCHED_BATCH)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert ended.stdout.strip() == "another scheduler than the usual one is set True"
