"""Idle strategies and waiting: they come back with work, wake for records, honour signals, leak nothing."""

import os
import signal
import threading
import time
from types import FrameType

import pytest
from ringbuf_support import ended, kill, ring, start, until

from ringbuf import Backoff, BusySpin, InvalidArgument, Park, Ring, RingError, Yield, default_idle, make_idle

PARKED_AT = 512


def test_make_idle_by_name(prefix: str) -> None:
    with ring(prefix) as r:
        into = r.subscribe("a", gating=True)
        assert isinstance(make_idle("busy_spin"), BusySpin)
        assert isinstance(make_idle("yield"), Yield)
        assert isinstance(make_idle("backoff"), Backoff)
        assert isinstance(make_idle("park", into), Park)
        assert isinstance(make_idle("park"), Backoff)
        with pytest.raises(InvalidArgument, match="'sleepy'; there are busy_spin, yield, backoff, park"):
            make_idle("sleepy")


def test_row_35_the_default_follows_from_cores_and_processes() -> None:
    assert [default_idle(cores, 4) for cores in (1, 2, 4, 5, 64)] == ["yield"] * 3 + ["busy_spin"] * 2


def test_row_35_no_spinning_under_a_real_time_scheduler() -> None:
    def spin() -> None:
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        except PermissionError:
            os._exit(77)
        for name in ("busy_spin", "yield"):
            with pytest.raises(InvalidArgument, match="real-time"):
                make_idle(name)
        make_idle("backoff")

    code = ended(start(spin))
    if code == 77:
        pytest.skip("no CAP_SYS_NICE")
    assert code == 0


def test_idle_comes_back_at_once_when_there_was_work(prefix: str) -> None:
    with ring(prefix) as r:
        into = r.subscribe("a", gating=True)
        for idle in (BusySpin(), Yield(), Backoff(spins=1, yields=1), Park(into, longest_ns=10**12)):
            begun = time.monotonic()
            for _ in range(1000):
                idle.idle(1)
            assert time.monotonic() - begun < 10
        backoff = Backoff(spins=2, yields=2, first_nap_ns=1000, longest_nap_ns=4000)
        for _ in range(50):
            backoff.idle(0)


@pytest.mark.parametrize("how", ["wait", "spin"])
def test_waiting_ends_with_the_time_or_a_record(prefix: str, how: str) -> None:
    with ring(prefix) as r:
        out, into = r.publication(), r.subscribe("a", gating=True)
        wait = getattr(into, how)
        begun = time.monotonic_ns()
        assert wait(20_000_000) is False
        assert time.monotonic_ns() - begun >= 20_000_000
        assert wait(timeout_ns=0) is False
        out.offer(b"x")
        assert wait(10**15) is True
        with pytest.raises(ValueError, match="-5 ns"):
            wait(-5)
        assert into.take() == b"x"


@pytest.mark.parametrize("how", ["wait", "spin"])
@pytest.mark.parametrize("gating", [True, False])
def test_a_waiter_in_another_process_is_woken_for_every_record(prefix: str, how: str, gating: bool) -> None:
    """Strictly one record at a time, so that a single lost wake-up would hang it until the deadline."""
    with ring(prefix) as there, ring(prefix + "b") as back:
        answers, out = back.subscribe("main", gating=True), there.publication()

        def echo() -> None:
            into = Ring.attach(there.name).subscribe("echo", gating=gating)
            reply = Ring.attach(back.name).publication()
            reply.offer(b"ready")
            for _ in range(300):
                assert getattr(into, how)(20 * 10**9)
                assert reply.offer(into.take() or b"nothing")

        pid = start(echo)
        until(answers.take)
        for number in range(300):
            sent = b"%d" % number
            assert out.offer(sent)
            assert answers.wait(20 * 10**9)
            assert answers.take() == sent
        assert ended(pid) == 0


def test_a_killed_sleeper_leaks_nothing(prefix: str) -> None:
    with ring(prefix) as r:
        out = r.publication()
        pid = start(lambda: Ring.attach(r.name).subscribe("sleeper", gating=False).wait(10**12))
        segment = r._segment
        until(lambda: segment.load(PARKED_AT) & 0xFFFFFFFF)
        kill(pid)
        assert segment.load(PARKED_AT) & 0xFFFFFFFF
        out.offer(b"x")
        assert segment.load(PARKED_AT) & 0xFFFFFFFF == 0
        successor = r.subscribe("sleeper", gating=False)
        assert successor.wait(10**9) is True


@pytest.mark.parametrize("how", ["wait", "spin"])
def test_signals_are_honoured_while_waiting(prefix: str, how: str) -> None:
    class Stop(Exception):
        pass

    def on_alarm(number: int, frame: FrameType | None) -> None:
        raise Stop

    before = signal.signal(signal.SIGALRM, on_alarm)
    try:
        with ring(prefix) as r:
            into = r.subscribe("a", gating=True)
            begun = time.monotonic()
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            with pytest.raises(Stop):
                getattr(into, how)(60 * 10**9)
            assert time.monotonic() - begun < 10
            out = r.publication()
            out.offer(b"works on")
            assert into.take() == b"works on"
    finally:
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("how", ["wait", "spin"])
def test_other_threads_run_while_one_waits_and_may_not_close_under_it(prefix: str, how: str) -> None:
    with ring(prefix) as r:
        out, into = r.publication(), r.subscribe("a", gating=True)
        woken: list[bool] = []
        waiter = threading.Thread(target=lambda: woken.append(getattr(into, how)(30 * 10**9)))
        waiter.start()

        def refused() -> bool:
            try:
                into.poll(len)
            except RingError as error:
                return "another thread waits" in str(error)
            return False

        until(refused)
        with pytest.raises(RingError, match="another thread waits"):
            into.close()
        out.offer(b"x")
        waiter.join(20)
        assert woken == [True]


def test_two_sleepers_are_both_woken(prefix: str) -> None:
    with ring(prefix) as r:
        out = r.publication()
        pids = [
            start(lambda n=n: os._exit(Ring.attach(r.name).subscribe(f"s{n}", gating=True).wait(20 * 10**9)))
            for n in range(4)
        ]
        until(lambda: (r._segment.load(PARKED_AT) & 0xFFFFFFFF).bit_count() == 4)
        out.offer(b"x")
        assert [ended(pid) for pid in pids] == [1] * 4
