"""Control: the kill latch closes at once, tells why once, and reads as killed whenever in doubt."""

import os
import signal
import time
from pathlib import Path

import pytest
from ringbuf_support import ended, kill, start, until

from ringbuf import (
    ROUSE,
    Control,
    InvalidArgument,
    KillInfo,
    RingError,
    SegmentMismatch,
    SegmentMissing,
    layout,
)

SHM = Path("/dev/shm")


@pytest.fixture
def control(prefix: str) -> Control:
    return Control.create(f"{prefix}-control", run_id=bytes(range(16)))


def test_trip_is_seen_everywhere_and_the_first_story_stays(control: Control) -> None:
    other = Control.attach(control.name)
    assert other.run_id == bytes(range(16))
    assert other.killed is False
    assert control.trip(3, "manager", "drawdown 12 %", 111, 222) is True
    assert other.killed is True
    assert other.trip(4, "operator", "another", 333, 444) is False
    assert other.kill_info() == ("killed", 3, "manager", "drawdown 12 %", 111, 222, 1)


def test_reset_is_explicit_and_told(control: Control) -> None:
    assert control.reset("op", "nothing to do") is False
    control.trip(3, "manager", "why", 1, 2)
    assert Control.attach(control.name).reset("op", "approved", 5, 6) is True
    assert control.killed is False
    assert control.kill_info() == ("running", 0, "op", "approved", 5, 6, 1)
    assert control.trip(7, "manager", "again", 8, 9) is True
    assert control.kill_info() == ("killed", 7, "manager", "again", 8, 9, 2)


def test_of_many_trippers_one_wins(control: Control) -> None:
    def race(number: int) -> None:
        until(lambda: control.services().get("go"))
        os._exit(100 if control.trip(number, f"racer {number}", "race", number, number) else 0)

    for _ in range(20):
        control.reset("test", "next round")
        racers = [start(lambda n=n: race(n)) for n in range(1, 5)]
        control.register("go")
        won = [number for number, pid in enumerate(racers, 1) if ended(pid) == 100]
        assert len(won) == 1
        info = control.kill_info()
        assert (info.reason, info.by, info.monotonic_ns, info.unix_ns) == (
            won[0],
            f"racer {won[0]}",
            *won * 2,
        )


def test_what_a_reader_sees_is_of_one_trip_or_one_reset(control: Control) -> None:
    """The latch closes before its story is written: whoever looks in between waits for the right one."""

    def alternate() -> None:
        mine = Control.attach(control.name)
        for number in range(1, 2001):
            assert mine.trip(number, f"tripper {number}", "m" * (number % 200), number, -number)
            assert mine.reset(f"operator {number}", "r" * (number % 200), number, -number)

    def told() -> KillInfo:
        """The story; asked for again while a living writer has no CPU to write it, which is no answer."""
        limit_s = time.monotonic() + 30
        while (info := control.kill_info()).message == f"{info.state}; why is not written":
            assert (info.reason, info.by) == (0, "")
            assert time.monotonic() < limit_s, info
        return info

    pid = start(alternate)
    while os.waitpid(pid, os.WNOHANG)[0] == 0:
        info = told()
        if info.reason:
            number = info.reason
            assert info.message == "m" * (number % 200)
            assert info == ("killed", number, f"tripper {number}", info.message, number, -number, number)
        elif info.trips:
            who = info.by.partition(" ")
            assert (info.state, *who[:2]) == ("running", "operator", " "), info
            assert int(who[2]) == info.trips == info.monotonic_ns
    assert control.kill_info().by == "operator 2000"


def test_a_latch_without_a_story_says_so(control: Control) -> None:
    with (SHM / control.name).open("r+b") as file:
        file.seek(layout.CONTROL_LATCH_AT)
        file.write(layout.KILLED.to_bytes(8, "little"))  # as a tripper that died right after it leaves it
    assert control.kill_info() == ("killed", 0, "", "killed; why is not written", 0, 0, 0)
    assert control.trip(1, "late", "no", 1, 2) is False
    assert control.reset("op", "looked into it", 3, 4) is True
    assert control.kill_info() == ("running", 0, "op", "looked into it", 3, 4, 0)


def test_latch_is_the_truth_of_killed(control: Control) -> None:
    latch = control.latch
    assert not latch
    control.trip(1, "manager", "why", 1, 2)
    assert latch
    control.reset("op", "go on")
    assert not latch
    control.close()
    assert latch


def test_a_text_that_cannot_be_encoded_stops_no_kill(control: Control) -> None:
    assert control.trip(1, "manager", "file \udcff", 1, 2) is True
    assert control.kill_info().message == "file \\udcff"


def test_long_words_are_cut_not_refused(control: Control) -> None:
    assert control.trip(1, "ä" * 100, "m" * 1000, 1, 2)
    info = control.kill_info()
    assert info.message == "m" * 256
    assert info.by == "ä" * 32


@pytest.mark.parametrize("word", [0, 1, layout.KILLED ^ 1, layout.RUNNING ^ 1, 2**64 - 1])
def test_row_22_a_corrupt_latch_reads_as_killed(control: Control, word: int) -> None:
    with (SHM / control.name).open("r+b") as file:
        file.seek(layout.CONTROL_LATCH_AT)
        file.write(word.to_bytes(8, "little"))
    assert control.killed is True
    assert control.kill_info().state == "killed"
    assert "neither running nor killed" in str(control.damage())
    assert Control.read_killed(control.name) is True
    assert control.reset("op", "repaired") is True
    assert control.killed is False


def test_row_22_a_wrong_magic_reads_as_killed(control: Control) -> None:
    with (SHM / control.name).open("r+b") as file:
        file.write(b"\xff")
    assert control.killed is True
    assert "magic" in str(control.damage())
    with pytest.raises(SegmentMismatch, match="magic"):
        Control.attach(control.name)
    with pytest.raises(RingError, match="damaged"):
        control.reset("op", "no")
    assert Control.read_killed(control.name) is True


@pytest.mark.parametrize("size", [0, 64, layout.CONTROL_BYTES - 1])
def test_row_22_a_truncated_page_reads_as_killed(control: Control, size: int) -> None:
    os.truncate(SHM / control.name, size)
    assert control.killed is (size <= layout.CONTROL_LATCH_AT)  # the latch itself may lie in what is left
    assert control.damage()
    assert Control.read_killed(control.name) is True
    assert control.kill_info().trips == 0


def test_row_22_a_deleted_page_is_noticed(control: Control) -> None:
    assert control.damage() is None
    control.unlink()
    assert "unlinked" in str(control.damage())
    assert Control.read_killed(control.name) is True
    with pytest.raises(SegmentMissing):
        Control.attach(control.name)
    Control.create(control.name, run_id=bytes(16))
    assert "another segment" in str(control.damage())


def test_row_22_closed_reads_as_killed(control: Control) -> None:
    control.close()
    assert control.killed is True
    control.close()


def test_services_register_and_beat(control: Control) -> None:
    manager = control.register("manager")
    control.beat(manager, 77)
    pid = start(lambda: (control.beat(control.register("executor"), 88), until(lambda: False)))
    until(lambda: "executor" in control.services() and control.services()["executor"].heartbeat_ns)
    found = Control.attach(control.name).services()
    assert {name: info.heartbeat_ns for name, info in found.items()} == {"manager": 77, "executor": 88}
    assert found["executor"].owner.pid == pid
    kill(pid)
    assert not control.services()["executor"].owner.alive
    assert control.register("executor") == found["executor"].index
    assert control.services()["executor"].owner.alive


def test_a_trip_rouses_whoever_is_registered_and_harms_nobody_else(control: Control) -> None:
    def listen(name: str, *, asks: bool) -> None:
        if asks:
            signal.signal(ROUSE, lambda _number, _frame: os._exit(100 + control.killed))
        control.register(name)
        time.sleep(60)

    gone = start(lambda: control.register("gone"))
    assert ended(gone) == 0
    roused = start(lambda: listen("asks", asks=True))
    deaf = start(lambda: listen("does not ask", asks=False))
    until(lambda: {"asks", "does not ask"} <= control.services().keys())
    damaged = control.register("damaged")
    control._segment.store(layout.CONTROL_SERVICES_AT + damaged * layout.SERVICE_BYTES + 8, 2**64 - 1)
    assert control.trip(3, "manager", "why", 1, 2) is True
    assert ended(roused) == 101  # the latch was closed by then
    assert Control.attach(control.name).services()["does not ask"].owner.alive
    kill(deaf)
    again = start(lambda: listen("asks", asks=True))
    until(lambda: control.services()["asks"].owner.pid == again)
    assert control.trip(3, "manager", "its tripper may have died before it roused", 1, 2) is False
    assert ended(again) == 101


def test_bad_input_names_the_value(control: Control, prefix: str) -> None:
    with pytest.raises(InvalidArgument, match="run_id must have 16 bytes, has 3"):
        Control.create(f"{prefix}-c2", run_id=b"abc")
    with pytest.raises(InvalidArgument, match="service name"):
        control.register("x" * 41)
    with pytest.raises(TypeError, match="by: str"):
        control.trip(1, b"manager", "why", 1, 2)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="reason must lie in 0"):
        control.trip(-1, "manager", "why", 1, 2)
    assert not control.killed
    with pytest.raises(IndexError, match="service slot 32; there are 32"):
        control.beat(32, 1)
    for number in range(32):
        control.register(f"s{number}")
    with pytest.raises(RingError, match="all 32 service slots"):
        control.register("one more")
