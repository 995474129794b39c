"""Segments: made whole or not at all, refused when foreign, swept when stale."""

import os
import re
import stat
import struct
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ringbuf_support import ended, kill, start, until

from ringbuf import (
    Control,
    Counters,
    InvalidArgument,
    Ring,
    RingError,
    SegmentExists,
    SegmentFull,
    SegmentMismatch,
    SegmentMissing,
    Table,
    layout,
    segment_name,
    segment_names,
    sweep,
)

SHM = Path("/dev/shm")
MAKERS: dict[str, Callable[[str], Any]] = {
    "ring": lambda name: Ring.create(name, depth=8, mtu=64, schema_hash=7),
    "table": lambda name: Table.create(name, capacity=4, data_bytes=100, schema_hash=7),
    "counters": lambda name: Counters.create(name, counters=["a"], histograms=["h"]),
    "control": lambda name: Control.create(name, run_id=bytes(16)),
}
ATTACHERS: dict[str, Callable[[str], Any]] = {
    "ring": lambda name: Ring.attach(name, schema_hash=7),
    "table": lambda name: Table.attach(name, schema_hash=7),
    "counters": Counters.attach,
    "control": Control.attach,
}
FIELDS = {
    "magic": (0, "Q"),
    "layout version": (8, "I"),
    "kind": (12, "I"),
    "build id": (16, "Q"),
    "schema hash": (24, "Q"),
    "size": (32, "Q"),
    "boot id": (64, "Q"),
}


def patch(name: str, offset: int, kind: str, change: Callable[[int], int]) -> None:
    """Change one integer of a segment's file."""
    with (SHM / name).open("r+b") as file:
        file.seek(offset)
        (value,) = struct.unpack(f"<{kind}", file.read(struct.calcsize(kind)))
        file.seek(offset)
        file.write(struct.pack(f"<{kind}", change(value) & ((1 << 8 * struct.calcsize(kind)) - 1)))


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("field", FIELDS)
def test_row_03_a_header_that_differs_is_refused_naming_both_values(
    prefix: str, kind: str, field: str
) -> None:
    if field == "schema hash" and kind in ("counters", "control"):
        pytest.skip(f"{kind} carry no schema")
    made = MAKERS[kind](f"{prefix}-x")
    offset, width = FIELDS[field]
    before = int.from_bytes(
        (SHM / made.name).read_bytes()[offset : offset + struct.calcsize(width)], "little"
    )
    patch(made.name, offset, width, lambda value: value ^ 0x11)
    with pytest.raises(SegmentMismatch, match=f"{field} is .*, this side has") as refused:
        ATTACHERS[kind](made.name)
    if field != "boot id":
        assert str(before) in str(refused.value)
        assert str(before ^ 0x11) in str(refused.value)
    assert refused.value.exit_code not in (0, 1, 2)
    patch(made.name, offset, width, lambda value: value ^ 0x11)
    ATTACHERS[kind](made.name)


@pytest.mark.parametrize("kind", MAKERS)
def test_row_03_any_flipped_bit_of_the_header_is_refused(prefix: str, kind: str) -> None:
    """The C core computes addresses from what stands there."""
    made = MAKERS[kind](f"{prefix}-x")
    for offset in range(0, layout.CHECKED_BYTES + 8, 2):
        patch(made.name, offset, "B", lambda value: value ^ 0x10)
        if not (offset in range(24, 32) and kind in ("counters", "control")):
            with pytest.raises(SegmentMismatch, match=r"is .*, this side"):
                ATTACHERS[kind](made.name)
        patch(made.name, offset, "B", lambda value: value ^ 0x10)
    ATTACHERS[kind](made.name)


def test_row_03_exit_codes_differ_by_error() -> None:
    assert SegmentMismatch.exit_code != SegmentMissing.exit_code != SegmentFull.exit_code


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("size", [0, 1, 100, 255, 256, 300])
def test_row_03_a_truncated_segment_is_refused(prefix: str, kind: str, size: int) -> None:
    made = MAKERS[kind](f"{prefix}-x")
    made.close()
    os.truncate(SHM / made.name, size)
    with pytest.raises(SegmentMismatch, match=str(size)):
        ATTACHERS[kind](made.name)


def test_the_c_structs_lie_where_the_layout_says(prefix: str) -> None:
    """One word of each structure, written by the core, found at its offset (the C side asserts the rest)."""
    ring = Ring.create(f"{prefix}-ring", depth=8, mtu=64)
    out, into = ring.publication(), ring.subscribe("label", gating=True)
    out.offer_batch([b"abc"] * 5)
    into.take_batch(3)
    raw = (SHM / ring.name).read_bytes()

    def word(offset: int) -> int:
        return int.from_bytes(raw[offset : offset + 8], "little")

    assert word(layout.RING_PUBLISHED_AT) == word(layout.RING_INTENT_AT) == 5
    assert word(layout.RING_OWNER_AT) == os.getpid()
    slot = layout.RING_SLOTS_AT
    assert word(slot + layout.SLOT_CURSOR_AT) == 3
    assert word(slot + layout.SLOT_STATE_AT) == layout.SLOT_ACTIVE | 1 << 32
    assert word(slot + layout.SLOT_OWNER_AT) == os.getpid()
    assert raw[slot + layout.SLOT_LABEL_AT :].startswith(b"label\0")
    cells = word(layout.PARAMS_AT + 8 * 4)
    assert raw[cells : cells + 11] == b"\3\0\0\0\0\0\0\0abc"


def test_the_diagrams_and_the_c_header_agree() -> None:
    source = Path(layout.__file__).with_name("_core.h").read_text()
    constants = dict(re.findall(r"#define (RB_\w+) (?:UINT64_C\()?(\w+)", source))
    assert int(constants["RB_CONTROL_MAGIC"], 0) == layout.MAGIC
    assert int(constants["RB_RUNNING"], 0) == layout.RUNNING
    assert int(constants["RB_KILLED"], 0) == layout.KILLED
    assert int(constants["RB_SERVICES"], 0) == layout.CONTROL_SERVICES


@pytest.mark.parametrize("kind", MAKERS)
def test_segments_are_private_to_their_user(prefix: str, kind: str) -> None:
    before = os.umask(0)
    try:
        made = MAKERS[kind](f"{prefix}-x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((SHM / made.name).stat().st_mode) == 0o600


def test_bad_input_names(prefix: str) -> None:
    for name in ("", "x" * 201, "a/b", ".hidden", "naïve", "new\nline"):
        with pytest.raises(InvalidArgument, match="segment name"):
            Ring.create(name, depth=8, mtu=8)
    assert segment_name("hft", bytes.fromhex("1a2b3c4d" + "00" * 12), "ring", "market_data") == (
        "hft-1a2b3c4d-ring-market_data"
    )
    assert segment_name("hft", "1a2b3c4dffff", "control") == "hft-1a2b3c4d-control"
    with pytest.raises(SegmentMissing, match="does not exist"):
        Ring.attach(f"{prefix}-nowhere")
    ring = MAKERS["ring"](f"{prefix}-x")
    with pytest.raises(SegmentExists, match="exists already"):
        MAKERS["table"](ring.name)
    with pytest.raises(InvalidArgument, match="schema_hash -1"):
        Ring.create(f"{prefix}-y", depth=8, mtu=8, schema_hash=-1)


def test_a_full_shm_is_refused_before_anything_is_written(prefix: str) -> None:
    free = os.statvfs(SHM).f_bavail * os.statvfs(SHM).f_frsize
    with pytest.raises((SegmentFull, InvalidArgument), match=r"needs|limit"):
        Table.create(f"{prefix}-huge", capacity=1, data_bytes=free)
    assert segment_names(prefix) == []


SMALL_SHM = """
import subprocess, sys
if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", "/dev/shm"]).returncode:
    sys.exit(77)
from ringbuf import Ring, SegmentFull, segment_names
kept = Ring.create("small-a", depth=1024, mtu=500)
for depth in (1024, 4096):
    try:
        Ring.create("small-b", depth=depth, mtu=500)
    except SegmentFull as error:
        assert "needs" in str(error) and "free" in str(error), error
    else:
        sys.exit("no error")
assert segment_names("small") == ["small-a"]
out, into = kept.publication(), kept.subscribe("a", gating=True)
assert out.offer(b"x" * 500) and into.take() == b"x" * 500
"""


def test_a_really_full_shm_is_refused_cleanly() -> None:
    """In a mount namespace of its own, with a /dev/shm of one MiB."""
    root = str(Path(layout.__file__).parent.parent)
    try:
        done = subprocess.run(
            ["unshare", "--mount", sys.executable, "-c", SMALL_SHM],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": root},
        )
    except FileNotFoundError:
        pytest.skip("no unshare command")
    if done.returncode == 77 or "Operation not permitted" in done.stderr:
        pytest.skip("no right to mount a tmpfs in a namespace")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", MAKERS)
def test_row_05_stale_segments_are_swept(prefix: str, kind: str) -> None:
    mine = MAKERS[kind](f"{prefix}-{kind}-live")
    assert ended(start(lambda: MAKERS[kind](f"{prefix}-{kind}-dead"))) == 0
    patch(MAKERS[kind](f"{prefix}-{kind}-boot").name, 64, "Q", lambda value: value ^ 1)
    assert sweep(prefix) == [f"{prefix}-{kind}-boot", f"{prefix}-{kind}-dead"]
    assert segment_names(prefix) == [mine.name]
    assert sweep(prefix) == []


def test_row_05_a_stale_segment_in_the_way_is_rebuilt(prefix: str) -> None:
    def leave_behind() -> None:
        Ring.create(f"{prefix}-x", depth=8, mtu=64).publication().offer(b"old")

    assert ended(start(leave_behind)) == 0
    ring = Ring.create(f"{prefix}-x", depth=16, mtu=32)
    assert (ring.depth, ring.mtu, ring.stats()["published"]) == (16, 32, 0)


def test_row_05_half_made_segments_are_swept_once_their_maker_is_gone(prefix: str) -> None:
    for size in (0, 100, 4096):
        (SHM / f"{prefix}-half-{size}").write_bytes(bytes(size))
    assert sweep(prefix) == []
    assert len(sweep(prefix, grace_s=0.0)) == 3


def test_row_05_a_segment_being_made_is_left_alone(prefix: str) -> None:
    import fcntl

    path = SHM / f"{prefix}-half"

    def hold() -> None:
        with path.open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(b"\0" * 300)
            file.flush()
            until(lambda: False)

    pid = start(hold)
    until(lambda: path.exists() and path.stat().st_size == 300)
    assert sweep(prefix, grace_s=0.0) == []
    kill(pid)
    assert sweep(prefix, grace_s=0.0) == [path.name]


def test_row_05_a_hundred_rounds_of_create_crash_sweep_leave_shm_clean(prefix: str) -> None:
    """Each round a process makes the four kinds and is killed, at a moment that moves from round to round."""

    def run_for_ever(number: int) -> None:
        while True:
            for kind, make in MAKERS.items():
                made = make(f"{prefix}-{number:08x}-{kind}")
                if kind == "ring":
                    made.publication().offer(b"x")
                made.unlink()
                make(made.name)
            for name in segment_names(f"{prefix}-{number:08x}"):
                (SHM / name).unlink()

    for number in range(100):
        pid = start(partial(run_for_ever, number))
        if number % 2:
            until(lambda: segment_names(prefix))
        for _ in range(number * 30):
            pass
        kill(pid)
        sweep(prefix, grace_s=0.0)
        assert segment_names(prefix) == []


def test_row_35_elsewhere_than_linux_it_refuses_in_words() -> None:
    root = str(Path(layout.__file__).parent.parent)
    code = "import platform; platform.system = lambda: 'Darwin'; import ringbuf"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": root},
    )
    assert done.returncode == 1
    assert "ringbuf needs Linux" in done.stderr
    assert "this is Darwin" in done.stderr


def test_every_error_has_a_code_of_its_own() -> None:
    def below(error: type[RingError]) -> list[type[RingError]]:
        return [error, *(sub for direct in error.__subclasses__() for sub in below(direct))]

    codes = [error.code for error in below(RingError)]
    assert len(set(codes)) == len(codes)
