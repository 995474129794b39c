"""What a service does in a duty cycle that found nothing to do."""

from collections.abc import Mapping
from typing import Any

import ringbuf
from hft.runtime import topology
from hft.runtime.service import Service
from hft.runtime.settings import Config, idle_setting

PARK_LIMIT_NS = 2_000_000
"""Longest sleep: so late at most a service that has nothing to do notices a reset, or a halt for which it
could not be roused."""

BACKOFF_SPINS = 64
"""Empty cycles a backing-off service spends yielding before it sleeps."""


class WaitIdle:
    """Sleeps in the service's own ``wait`` (its socket, say), after ``spins`` cycles of mere yielding."""

    __slots__ = ("_empty", "_spins", "_wait", "_yield")

    def __init__(self, wait: Any, yielding: ringbuf.Idle, spins: int) -> None:
        self._wait = wait
        self._yield = yielding
        self._spins = spins
        self._empty = 0

    def idle(self, work_count: int) -> None:
        """Sleep until input comes, at most ``PARK_LIMIT_NS``."""
        if work_count > 0:
            self._empty = 0
            return
        self._empty += 1
        if self._empty <= self._spins:
            self._yield.idle(0)
        else:
            self._wait(PARK_LIMIT_NS)


def resolve(config: Config, cpus: Mapping[str, tuple[int, ...]]) -> dict[str, str]:
    """Service → idle strategy, ``auto`` decided: a hot service with a core of its own yields, every other
    parks.

    Spinning or yielding on a shared core takes the time of the very process whose message is awaited.
    """
    owners = [numbers[0] for numbers in cpus.values() if len(numbers) == 1]
    chosen: dict[str, str] = {}
    for spec in topology.SERVICES:
        asked = idle_setting(config, spec.name)
        if asked == "auto":
            numbers = cpus.get(spec.name, ())
            own_core = len(numbers) == 1 and owners.count(numbers[0]) == 1
            asked = "yield" if spec.hot and own_core else "park"
        chosen[spec.name] = asked
    return chosen


def make(name: str, service: Service) -> ringbuf.Idle:
    """The strategy ``name`` for a service: parking uses its ``wait``, else its ``primary`` subscription, else
    a nap."""
    if name in ("park", "backoff"):
        wait = getattr(service, "wait", None) or _primary_wait(service)
        if wait is not None:
            return WaitIdle(wait, ringbuf.Yield(), BACKOFF_SPINS if name == "backoff" else 0)
        name = "backoff"
    return ringbuf.make_idle(name)


def _primary_wait(service: Service) -> Any:
    primary = getattr(service, "primary", None)
    return None if primary is None else primary.wait
