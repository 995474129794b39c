"""A service process in real time (SCHED_FIFO): from its first duty cycle on, unless it runs on and on.

A process that never sleeps would keep those of lower rank off its core: they could neither drain nor even
be killed. So the kernel counts (``RLIMIT_RTTIME``): after ``PAUSE_LIMIT_US`` of processor time without a
sleep it sends SIGXCPU, and the process goes on as all others do, until it has nothing to do again. One that
cannot take that signal either, in a call that does not come back, is killed at ``END_LIMIT_US`` and started
again as after any crash.
"""

import contextlib
import os
import resource
import signal
from types import FrameType

PAUSE_LIMIT_US = 1_000_000
END_LIMIT_US = 10_000_000


class RealTime:
    """This process's real-time priority, 1 to 99. The main thread's: signals come to it."""

    def __init__(self, rank: int) -> None:
        self._rank = rank
        self.held = False
        self.given_up = 0
        """How often it ran for too long without a pause."""

    def begin(self) -> str:
        """Take it, and say for the log how that went."""
        why_not = self.take()
        return f", no real time ({why_not})" if why_not else f", real time {self._rank}"

    def take(self) -> str:
        """From here on; returns why it could not, else the empty string."""
        why_not = set_policy(self._rank)
        if not why_not:
            signal.signal(signal.SIGXCPU, self._give_up)
            # Anew each time: the kernel raises it with each signal.
            resource.setrlimit(resource.RLIMIT_RTTIME, (PAUSE_LIMIT_US, END_LIMIT_US))
            self.held = True
        return why_not

    def again(self) -> None:
        """There is nothing to do: what was given up is taken back."""
        if self.given_up and not self.held:
            self.take()

    def _give_up(self, _number: int, _frame: FrameType | None) -> None:
        set_policy(0)
        self.held = False
        self.given_up += 1


def set_policy(rank: int, *, own_thread: bool = False) -> str:
    """Run all threads of this process (``own_thread``: the one that calls), and those that they will make, in
    real time with this priority, or with 0 as all others; returns why it could not, else the empty string.

    Its other threads too: where one of low rank has the interpreter's lock, the duty cycle would wait for
    every process that goes before that one.
    """
    if not hasattr(os, "sched_setscheduler"):
        return "this system has no real-time priorities"
    policy = os.SCHED_FIFO if rank else os.SCHED_OTHER
    try:
        for thread in ("0",) if own_thread else os.listdir("/proc/self/task"):
            with contextlib.suppress(ProcessLookupError):
                os.sched_setscheduler(int(thread), policy, os.sched_param(rank))
    except OSError as error:
        return str(error.strerror).lower()
    return ""
