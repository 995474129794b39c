"""What a service is to the runner."""

from enum import IntEnum
from typing import Protocol


class ServiceState(IntEnum):
    """The state a service shows on its counters page (``Counters.state``)."""

    ABSENT = 0
    """The page exists, no process has taken it yet."""
    STARTING = 1
    """The process attaches and builds."""
    RUNNING = 2
    """Duty cycles run; trading is allowed."""
    HALTED = 3
    """Duty cycles run; the kill latch is set: nothing new is submitted."""
    DRAINING = 4
    """Asked to stop: takes what is still under way to its end. Its heartbeat may stop at any time from here
    on."""
    STOPPED = 5
    """Ended in order."""
    FAILED = 6
    """Ended otherwise; the supervisor restarts it or gives up."""

    @property
    def alive(self) -> bool:
        """Is a heartbeat to be expected?"""
        return self in (ServiceState.RUNNING, ServiceState.HALTED)


RUNNER_COUNTERS: tuple[str, ...] = (
    "runner_cycles",
    "runner_busy_cycles",
    "runner_halted_ns",
    "runner_halts",
    "runner_gc_runs",
    "runner_real_time_given_up",
    "runner_memory_bytes",
    "runner_cpu",
    "runner_last_cpu",
    "runner_processing_ns",
    "runner_caught_up_ns",
    "runner_backpressured_ns",
    "runner_cpu_ns",
    "runner_voluntary_switches",
    "runner_involuntary_switches",
    "runner_minor_faults",
    "runner_major_faults",
)
"""Counters every page has besides the service's own.

``runner_halted_ns``: monotonic time at which the runner first saw the kill latch set (0: not halted);
``runner_memory_bytes``: resident memory; ``runner_cpu``: CPU number + 1 of the pinned core, 0 when the
service may use several; ``runner_last_cpu``: CPU number + 1 it was seen on last. Time since the service
runs, by regime: ``processing`` in duty cycles that did work, ``caught_up`` when there was nothing to do,
``backpressured`` when a reader that must not be lapped had no room (told to 20 ms). From the kernel, about
once a second: processor time, context switches, page faults."""

RUNNER_HISTOGRAMS: tuple[str, ...] = ("runner_cycle_ns",)
"""Duration of duty cycles that did work."""


class Service(Protocol):
    """A duty cycle over shared memory. It owns no loop, no sleep, no clock; the same object is stepped by
    hand in tests.

    Optional members the runner looks for:
      ``pending() -> int``          work in flight that a drain must wait for;
      ``wait(timeout_ns) -> None``  sleep until input comes or the time has passed (for park and backoff);
      ``primary``                   the ``Subscription`` to park on when there is no ``wait``.
    """

    def on_start(self) -> None:
        """Called once, after everything is attached, before the first duty cycle."""
        ...

    def do_work(self) -> int:
        """One duty cycle: returns the number of things done, 0 when there was nothing to do. Never blocks."""
        ...

    def on_housekeeping(self, now_ns: int) -> None:
        """Called about every 20 ms with the monotonic time: timers, gauges, slow checks."""
        ...

    def on_close(self) -> None:
        """Called once at the end, also after an error."""
        ...
