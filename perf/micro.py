"""Cases of one process: what a single operation costs, in blocks of many."""

import time
import timeit
import tracemalloc
from array import array
from collections.abc import Callable
from typing import Any, NamedTuple

from perf.cases import WorkerCase, samples_of
from perf.engine import Outcome, Plan
from perf.model import percentile
from perf.peers.base import nothing

BLOCKS = 400
UNDISTURBED = 10
"""Blocks in this per cent, the fastest, are taken to have run without another process between."""
ALLOCATION_OPERATIONS = 200
ALLOCATION_TRIALS = 4


class Operation(NamedTuple):
    """A statement, timed inline in a loop (about 10 ns of each operation are the loop's)."""

    statement: str
    names: dict[str, Any]
    """What the statement uses, as local variables."""
    check: Callable[[int], str] = lambda _: ""
    """Called with the number of operations done in all; what is wrong, or ""."""
    facts: dict[str, float] = {}  # noqa: RUF012 - never changed
    """Further figures, such as a size."""
    close: Callable[[], object] = nothing


class Bench:
    """An operation in a worker."""

    def __init__(self, make: Callable[[], Operation]) -> None:
        self._operation = make()
        setup = "; ".join(f"{name} = _names[{name!r}]" for name in self._operation.names) or "pass"
        timer = timeit.Timer(
            self._operation.statement,
            setup,
            timer=time.perf_counter_ns,
            globals={"_names": self._operation.names},
        )
        self._time: Callable[[int], int] = timer.timeit  # type: ignore[assignment]
        self._done = 0

    def measure(self, per_block: int) -> tuple[bytes, str]:
        """BLOCKS blocks: (ns an operation in each, as array('q') bytes of thousandths; what is wrong)."""
        blocks = array("q", (self._time(per_block) * 1000 // per_block for _ in range(BLOCKS)))
        self._done += BLOCKS * per_block
        return blocks.tobytes(), self._operation.check(self._done)

    def elapsed_ns(self, operations: int) -> int:
        """Time of so many operations in one block."""
        self._done += operations
        return self._time(operations)

    def facts(self) -> dict[str, float]:
        """Figures that do not change from round to round: sizes, and bytes allocated by one operation."""
        empty = timeit.Timer("pass", timer=time.perf_counter_ns).timeit
        tracemalloc.start()
        try:
            peak = _peak_bytes(self._time) - _peak_bytes(empty)
        finally:
            tracemalloc.stop()
        self._done += ALLOCATION_OPERATIONS * ALLOCATION_TRIALS
        return {**self._operation.facts, "peak_allocated_bytes": float(max(peak, 0))}

    def close(self) -> None:
        """Free what the operation holds."""
        self._operation.close()


def _peak_bytes(run: Callable[[int], object]) -> int:
    """The most that is allocated at a time while the operation runs, beyond what was there before."""
    peaks = []
    for _ in range(ALLOCATION_TRIALS):
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        run(ALLOCATION_OPERATIONS)
        peaks.append(tracemalloc.get_traced_memory()[1] - before)
    return min(peaks)


class Micro(WorkerCase):
    """One operation, pinned to the first CPU."""

    limit = 10_000_000

    def __init__(
        self,
        label: str,
        plan: Plan,
        make: Callable[[], Operation],
        *,
        group: str = "",
        reference: bool = False,
        missing: str = "",
        close: Callable[[], object] = nothing,
    ) -> None:
        super().__init__(label, group=group, reference=reference, missing=missing)
        self._make, self._cpu = make, plan.cpus[0]
        self._facts: dict[str, float] = {}
        self.keep(close)

    def start(self) -> None:
        """See WorkerCase."""
        self.add("bench", self._cpu, Bench, self._make)

    def elapsed_s(self) -> float:
        """See WorkerCase."""
        return float(self.workers[0].call("elapsed_ns", self.count)) / 1e9

    def warm(self, seconds: float) -> None:
        """See WorkerCase; operations need a short turn only."""
        super().warm(min(seconds, 0.25))
        self._facts = self.workers[0].call("facts")

    def round(self) -> Outcome:
        """Nanoseconds an operation in the undisturbed blocks, as timeit advises."""
        raw, wrong = self.workers[0].call("measure", max(self.count // BLOCKS, 1))
        blocks = sorted(samples_of(raw))
        metrics = {"ns_per_operation": percentile(blocks, UNDISTURBED) / 1000, **self._facts}
        return Outcome(metrics, None, [wrong] if wrong else [])


class Fact(WorkerCase):
    """Figures that need no measuring."""

    def __init__(
        self,
        label: str,
        facts: dict[str, float],
        *,
        group: str = "",
        reference: bool = False,
        missing: str = "",
    ) -> None:
        super().__init__(label, group=group, reference=reference, missing=missing)
        self._facts = facts

    def start(self) -> None:
        """Nothing to start."""

    def warm(self, seconds: float) -> None:
        """Nothing to run in."""

    def round(self) -> Outcome:
        """The figures."""
        return Outcome(dict(self._facts))
