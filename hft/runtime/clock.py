"""Where time comes from. Services never read a clock of their own; tests inject one they move by hand."""

import time
from typing import Protocol


class Clock(Protocol):
    """Two readings, both integer nanoseconds."""

    def monotonic_ns(self) -> int:
        """Nanoseconds since an arbitrary start; the same origin in every process of this boot; never goes
        back."""
        ...

    def unix_ns(self) -> int:
        """Nanoseconds since 1970-01-01 UTC. May jump: never used for a timer, only for a record's date."""
        ...


class SystemClock:
    """The machine's clocks (CLOCK_MONOTONIC and CLOCK_REALTIME)."""

    __slots__ = ()

    monotonic_ns = staticmethod(time.monotonic_ns)
    unix_ns = staticmethod(time.time_ns)


class ManualClock:
    """A clock that only moves when told to."""

    __slots__ = ("_monotonic_ns", "_unix_ns")

    def __init__(self, monotonic_ns: int = 1_000_000_000, unix_ns: int = 1_790_000_000_000_000_000) -> None:
        self._monotonic_ns = monotonic_ns
        self._unix_ns = unix_ns

    def monotonic_ns(self) -> int:
        """The time last set."""
        return self._monotonic_ns

    def unix_ns(self) -> int:
        """The date last set."""
        return self._unix_ns

    def advance(self, duration_ns: int) -> None:
        """Move both clocks forward by ``duration_ns`` ≥ 0."""
        if duration_ns < 0:
            raise ValueError(f"a clock moves forward only, not by {duration_ns} ns")
        self._monotonic_ns += duration_ns
        self._unix_ns += duration_ns

    def jump_wall(self, duration_ns: int) -> None:
        """Move only the wall clock, either way, as a correction of the date does."""
        self._unix_ns += duration_ns
