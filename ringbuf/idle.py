"""What a duty cycle does when it found no work.

The rule: busy_spin only with a core for each hot process and one to spare, yield when hot processes share
cores among themselves, backoff or park for what may be late or shares a core with others' work. Spinning
keeps the core from the very process that is waited for; a futex wake-up costs the kernel's latency, and
nearly no CPU while nothing comes. ``python -m perf run three_hop_pipeline parked_handoff`` measures all four
on the machine at hand. A spinner under a real-time scheduler starves whom it waits for: refused.
"""

import os
from collections.abc import Callable
from typing import Final, Protocol

from ringbuf import _core
from ringbuf.errors import InvalidArgument
from ringbuf.ring import Subscription

NAMES: Final = ("busy_spin", "yield", "backoff", "park")


class Idle(Protocol):
    """An idle strategy."""

    def idle(self, work_count: int) -> None:
        """Pass some time when work_count is 0; come back at once when it is not."""


class BusySpin:
    """One spin-loop hint; burns its core."""

    def idle(self, work_count: int) -> None:
        """See Idle."""
        if not work_count:
            _core.pause()


class Yield:
    """sched_yield: gives the core to whoever else wants it."""

    def idle(self, work_count: int) -> None:
        """See Idle."""
        if not work_count:
            _core.sched_yield()


class Backoff:
    """Spins, then yields, then naps ever longer, up to a limit."""

    def __init__(
        self, spins: int = 20, yields: int = 50, first_nap_ns: int = 10_000, longest_nap_ns: int = 1_000_000
    ) -> None:
        self._spins, self._yields = spins, spins + yields
        self._first_ns, self._longest_ns = first_nap_ns, longest_nap_ns
        self._idled, self._nap_ns = 0, first_nap_ns

    def idle(self, work_count: int) -> None:
        """See Idle."""
        if work_count:
            self._idled, self._nap_ns = 0, self._first_ns
            return
        self._idled += 1
        if self._idled <= self._spins:
            _core.pause()
        elif self._idled <= self._yields:
            _core.sched_yield()
        else:
            _core.nap(self._nap_ns)
            self._nap_ns = min(self._nap_ns * 2, self._longest_ns)


class Park:
    """Sleeps on a subscription's futex until a record waits, longest_ns at most."""

    def __init__(self, subscription: Subscription, longest_ns: int = 1_000_000) -> None:
        self._wait, self._longest_ns = subscription.wait, longest_ns

    def idle(self, work_count: int) -> None:
        """See Idle."""
        if not work_count:
            self._wait(self._longest_ns)


def make_idle(name: str, subscription: Subscription | None = None) -> Idle:
    """The strategy of this name; park needs a subscription and falls back to backoff without one."""
    if name == "park":
        return Park(subscription) if subscription is not None else Backoff()
    if name not in NAMES:
        raise InvalidArgument(f"idle strategy {name!r}; there are {', '.join(NAMES)}")
    if name in ("busy_spin", "yield") and os.sched_getscheduler(0) in (os.SCHED_FIFO, os.SCHED_RR):
        raise InvalidArgument(f"idle strategy {name!r} under a real-time scheduler; use park or backoff")
    makers: dict[str, Callable[[], Idle]] = {"busy_spin": BusySpin, "yield": Yield, "backoff": Backoff}
    return makers[name]()


def default_idle(cores: int, hot_processes: int) -> str:
    """busy_spin with a core for each hot process and one to spare, else yield.

    For hot processes that have these cores to themselves; who shares them with other work should park.
    """
    return "busy_spin" if cores > hot_processes else "yield"
