"""What Python's garbage collector takes out of a service's duty cycles when its heap is large.

    +----------------------------------------+
    | service: 1,000,000 lists, and growing  |   cycle, cycle, [collection], cycle, ... idle
    +----------------------------------------+
     cpu 0

A process holds 1,000,000 lists, then runs 200,000 cycles that each make three more and keep them. Measured:
the length of a cycle, with whatever held it up; the longest collection by its CPU time, whichever moment it
came at; and the CPU time of a cycle, collections included.

enabled:            as Python starts: full collections walk the whole heap in mid-cycle.
frozen, enabled:    gc.freeze() hides the heap of the start: full collections walk what came after; the less
                    that is, the oftener they come.
runner's policy:    frozen and disabled; the young are collected in idle moments (here one every 1,000
                    cycles), once as many have come as the runner waits for. No cycle meets a collection; the
                    first message after an idle moment may. What a service has had made since its start is
                    collected as a whole some seconds apart, which such a run is too short for.
"""

import gc
import time
from array import array
from collections.abc import Sequence
from typing import Any

from hft.runtime.garbage import YOUNG_LIMIT
from perf.cases import WorkerCase, limits, samples_of
from perf.engine import Case, Outcome, Plan, Shape
from perf.workers import Stopwatch

HEAP = 1_000_000
CYCLES = 200_000
CYCLES_BETWEEN_IDLE = 1_000


class Service:
    """A process with a heap."""

    def __init__(self, freeze: bool, idle_only: bool) -> None:
        self._freeze, self._idle_only = freeze, idle_only
        self._heap = [[[i]] for i in range(HEAP // 2)]
        self._start_ns = self._longest_ns = 0

    def cycles(self, n: int) -> tuple[bytes, int, int, int]:
        """Run n cycles: length of each (array('q') bytes), CPU time, longest collection, records kept."""
        self._longest_ns = 0
        self._begin()
        kept: list[Any] = []
        lengths, now, watch = array("q", bytes(8 * n)), time.perf_counter_ns, Stopwatch()
        for i in range(n):
            start = now()
            kept.append([i, [i], [i]])
            lengths[i] = now() - start
            if self._idle_only and i % CYCLES_BETWEEN_IDLE == 0 and gc.get_count()[0] > YOUNG_LIMIT:
                gc.collect(0)
        cpu_ns = watch.cpu_ns()
        gc.disable()
        gc.callbacks.remove(self._time)
        return lengths.tobytes(), cpu_ns, self._longest_ns, len(kept)

    def _begin(self) -> None:
        gc.unfreeze()
        gc.collect()
        if self._freeze:
            gc.freeze()
        gc.callbacks.append(self._time)
        if self._idle_only:
            gc.disable()
        else:
            gc.enable()

    def _time(self, phase: str, _info: dict[str, int]) -> None:
        if phase == "start":
            self._start_ns = time.thread_time_ns()
        else:
            self._longest_ns = max(self._longest_ns, time.thread_time_ns() - self._start_ns)

    def close(self) -> None:
        """Nothing to let go of."""


class Policy(WorkerCase):
    """One way to run the collector."""

    def __init__(
        self, label: str, plan: Plan, *, freeze: bool, idle_only: bool = False, reference: bool = False
    ) -> None:
        super().__init__(label, group="policy", reference=reference)
        self._cpu, self._how = plan.cpus[0], (freeze, idle_only)

    def start(self) -> None:
        """See WorkerCase."""
        self.add("service", self._cpu, Service, *self._how)

    def warm(self, seconds: float) -> None:
        """See WorkerCase; the number of cycles is given."""
        self.ready()
        self.count = CYCLES

    def round(self) -> Outcome:
        """The cycles of one round."""
        raw, cpu_ns, longest_ns, kept = self.workers[0].call("cycles", self.count)
        problems = [] if kept == self.count else [f"{kept} records kept instead of {self.count}"]
        metrics = {"longest_collection_ns": float(longest_ns), "cpu_ns_per_message": cpu_ns / self.count}
        return Outcome(metrics, samples_of(raw), problems)


def cases(plan: Plan) -> Sequence[Case]:
    """The policies."""
    return [
        *limits(plan),
        Policy("enabled", plan, freeze=False),
        Policy("frozen, enabled", plan, freeze=True),
        Policy("runner's policy", plan, freeze=True, idle_only=True, reference=True),
    ]


SHAPE = Shape("gc_pause", __doc__, cases)
