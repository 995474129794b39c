"""Deaths by SIGKILL at every step of claim, write, commit, poll, put and trip.

The steps are crash points compiled into a copy of the core for these tests alone (-DRINGBUF_CRASH_POINTS).
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ringbuf_support import compiler, python_include

import ringbuf

PACKAGE = Path(ringbuf.__file__).parent
HERE = Path(__file__).parent
POINTS = {
    name.lower(): number
    for number, name in enumerate(
        re.findall(
            r"RB_(\w+)", re.search(r"enum \{ /\* test-only.*?\};", (PACKAGE / "_core.h").read_text(), re.S)[0]
        ),
        1,
    )
}
PRODUCER = ["claim_checked", "claim_intent", "write_done", "commit_length", "commit_published"]
CONSUMER = ["poll_seen", "poll_handled", "poll_advanced"]
WRITER = [name for name in POINTS if name.startswith(("put_", "entry_"))]
CASES = [
    *(("producer_offer", point, (0, 5, 21)) for point in [*PRODUCER, "write_half"]),
    *(("producer_claim", point, (0, 5, 21)) for point in PRODUCER),
    *(("producer_batch", point, (0, 5, 21)) for point in ("claim_intent", "write_half", "commit_published")),
    *(("consumer_succeeded", point, (0, 11)) for point in CONSUMER),
    *(("consumer_lifted", point, (0, 4)) for point in CONSUMER),
    ("sleeper_succeeded", "wait_parked", (0, 2)),
    ("sleeper_lifted", "wait_parked", (0, 2)),
    *(("writer", point, (0, 2, 3) if point.startswith("entry") else (0, 2, 9, 40)) for point in WRITER),
    ("tripper", "trip_latched", (0,)),
]


@pytest.fixture(scope="session")
def crash_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package, its core compiled with crash points."""
    folder = tmp_path_factory.mktemp("crash_build")
    package = folder / "ringbuf"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    flags = ["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-DRINGBUF_CRASH_POINTS"]
    subprocess.run(
        [
            compiler(),
            *flags,
            f"-I{python_include()}",
            str(package / "_core.c"),
            "-o",
            str(package / "_core.so"),
        ],
        check=True,
    )
    return folder


@pytest.mark.parametrize(("scenario", "point", "after"), CASES)
def test_row_01_a_process_killed_at_any_step_leaves_whole_records_only(
    crash_build: Path, scenario: str, point: str, after: tuple[int, ...]
) -> None:
    done = subprocess.run(
        [sys.executable, str(HERE / "crash_lab.py"), scenario, str(POINTS[point]), *map(str, after)],
        env={**os.environ, "PYTHONPATH": str(crash_build)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_crash_point_is_provoked() -> None:
    assert {point for _, point, _ in CASES} == set(POINTS)


def test_the_shipped_core_has_no_crash_points() -> None:
    assert not hasattr(ringbuf._core, "crash_at")
