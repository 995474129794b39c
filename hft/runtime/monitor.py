"""Reads a run from outside: counters pages, rings and the kill latch as one consistent-enough picture.

Nothing here writes; a reading costs well under a millisecond and may be taken at any time, also of a run that
halts.
"""

from collections.abc import Mapping
from typing import NamedTuple

import ringbuf
from hft.runtime import topology
from hft.runtime.clock import Clock
from hft.runtime.context import Run
from hft.runtime.service import ServiceState
from hft.wire.enums import KillTrigger

SIGN_BIT = 1 << 63


class Latency(NamedTuple):
    """A histogram's figures, nanoseconds."""

    samples: int
    p50: int
    p99: int
    p999: int
    max: int


class ServiceReading(NamedTuple):
    """One counters page. ``heartbeat_age_ns`` is 0 before the first beat."""

    state: ServiceState
    pid: int
    heartbeat_age_ns: int
    counters: Mapping[str, int]

    def total(self, prefix: str) -> dict[str, int]:
        """Counters that begin with ``prefix``, without it, zero ones left out."""
        return {name[len(prefix) :]: n for name, n in self.counters.items() if name.startswith(prefix) and n}

    def signed(self, name: str) -> int:
        """A counter that holds a signed number in two's complement; 0 when there is none of that name."""
        value = self.counters.get(name, 0)
        return value - (1 << 64) if value & SIGN_BIT else value


class ReaderReading(NamedTuple):
    """One subscription of a ring. ``taken`` + ``lost`` + ``unread`` = what was published."""

    gating: bool
    taken: int
    lost: int
    unread: int


class LinkReading(NamedTuple):
    """One ring."""

    published: int
    readers: Mapping[str, ReaderReading]


class KillReading(NamedTuple):
    """The latch."""

    killed: bool
    trigger: str
    by: str
    message: str


class Reading(NamedTuple):
    """The whole run at one moment."""

    at_ns: int
    services: Mapping[str, ServiceReading]
    links: Mapping[str, LinkReading]
    latency: Mapping[str, Latency]
    """Stage → figures; the stage is the histogram's name without its unit."""
    kill: KillReading

    def counter(self, service: str, name: str) -> int:
        """One counter, 0 when the service or the counter is not there."""
        page = self.services.get(service)
        return 0 if page is None else page.counters.get(name, 0)


class Monitor:
    """The shared memory of a run, open for reading."""

    def __init__(
        self,
        pages: Mapping[str, ringbuf.Counters],
        rings: Mapping[str, ringbuf.Ring],
        control: ringbuf.Control,
        clock: Clock,
    ) -> None:
        self._pages = pages
        self._rings = rings
        self._control = control
        self._clock = clock

    @classmethod
    def attach(cls, run: Run, clock: Clock) -> "Monitor":
        """Open another process's run. ``ringbuf.SegmentMissing`` when it has just ended."""
        pages = {
            spec.name: ringbuf.Counters.attach(run.segment("counters", spec.name))
            for spec in topology.services(run.config.hft.mode, run.config.optional)
        }
        rings = {
            link.name: ringbuf.Ring.attach(run.segment("ring", link.name))
            for link in topology.links(run.config.optional)
        }
        return cls(pages, rings, ringbuf.Control.attach(run.segment("control")), clock)

    def close(self) -> None:
        """Close what ``attach`` opened."""
        for page in self._pages.values():
            page.close()
        for ring in self._rings.values():
            ring.close()
        self._control.close()

    def read(self) -> Reading:
        """Take a reading."""
        now_ns = self._clock.monotonic_ns()
        info = self._control.kill_info()
        killed = self._control.killed
        return Reading(
            now_ns,
            {name: self._service(page, now_ns) for name, page in self._pages.items()},
            {name: _link(ring) for name, ring in self._rings.items()},
            self._latencies(),
            KillReading(killed, _trigger(info.reason), info.by, info.message),
        )

    @staticmethod
    def _service(page: ringbuf.Counters, now_ns: int) -> ServiceReading:
        beat_ns = page.heartbeat_ns
        return ServiceReading(
            ServiceState(page.state), page.pid, max(1, now_ns - beat_ns) if beat_ns else 0, page.read()
        )

    def _latencies(self) -> dict[str, Latency]:
        figures: dict[str, Latency] = {}
        for page in self._pages.values():
            for name in page.histogram_names:
                if name.startswith("runner_"):
                    continue
                histogram = page.histogram(name)
                if histogram.count:
                    figures[name.removesuffix("_ns")] = Latency(
                        histogram.count,
                        histogram.percentile(50),
                        histogram.percentile(99),
                        histogram.percentile(99.9),
                        histogram.max,
                    )
        return figures


def _link(ring: ringbuf.Ring) -> LinkReading:
    stats = ring.stats()
    published = stats["published"]
    readers = {
        entry["label"]: ReaderReading(
            entry["gating"],
            taken=entry["cursor"] - entry["lost"],
            lost=entry["lost"],
            unread=max(0, published - entry["cursor"]),
        )
        for entry in stats["subscriptions"]
    }
    return LinkReading(published, readers)


def _trigger(reason: int) -> str:
    try:
        return KillTrigger(reason).name.lower()
    except ValueError:
        return str(reason)
