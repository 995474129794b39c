"""Cases of one process that time every single operation: for operations of microseconds, whose tail matters.

Two looks at the clock (some 50 ns) are part of each sample.
"""

import math
import time
from array import array
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any, NamedTuple

from perf.cases import WorkerCase, samples_of
from perf.engine import Outcome, Plan

CHUNK = 16


class Timed(NamedTuple):
    """``call`` with each of ``arguments`` in turn (a power of two of them)."""

    call: Callable[..., object]
    arguments: Sequence[tuple[Any, ...]]
    less: Sequence[tuple[Any, ...]] = ()
    """Arguments that lack ``levels`` of what the others go through: the difference is what a level costs."""
    levels: int = 0
    renew: Callable[..., tuple[Any, ...]] | None = None
    """Makes the arguments anew before each call, outside the time."""


class Sampler:
    """An operation in a worker."""

    def __init__(self, make: Callable[..., Timed], *arguments: Any) -> None:
        self._timed = make(*arguments)

    def sample(self, n: int) -> tuple[bytes, float, str]:
        """n operations: (ns each as array('q') bytes, ns a level or 0, what is wrong).

        With ``less``, both kinds take turns of a few operations, so that the machine's moods hit both alike.
        """
        timed = self._timed
        if not timed.levels:
            return _samples(timed, timed.arguments, n).tobytes(), 0.0, ""
        samples, base = array("q"), array("q")
        for _ in range(max(n // CHUNK, 1)):
            samples += _samples(timed, timed.arguments, CHUNK)
            base += _samples(timed, timed.less, CHUNK)
        return samples.tobytes(), (median(samples) - median(base)) / timed.levels, ""


def _samples(timed: Timed, arguments: Sequence[tuple[Any, ...]], n: int) -> "array[int]":
    call, renew = timed.call, timed.renew
    samples, now, mask = array("q", bytes(8 * n)), time.perf_counter_ns, len(arguments) - 1
    for i in range(n):
        given = arguments[i & mask] if renew is None else renew(*arguments[i & mask])
        start = now()
        call(*given)
        samples[i] = now() - start
    return samples


class Sampled(WorkerCase):
    """One operation, pinned to the first CPU."""

    limit = 20_000

    def __init__(
        self,
        label: str,
        plan: Plan,
        make: Any,
        *arguments: Any,
        group: str = "",
        reference: bool = False,
        missing: str = "",
        actor: Callable[..., Any] = Sampler,
    ) -> None:
        super().__init__(label, group=group, reference=reference, missing=missing)
        self._cpu, self._actor, self._arguments = plan.cpus[0], actor, (make, *arguments)

    def start(self) -> None:
        """See WorkerCase."""
        self.add("bench", self._cpu, self._actor, *self._arguments)

    def warm(self, seconds: float) -> None:
        """See WorkerCase."""
        super().warm(min(seconds, 0.25))
        self.count = min(self.count, self.limit)

    def elapsed_s(self) -> float:
        """See WorkerCase."""
        start = time.perf_counter()
        self.workers[0].call("sample", self.count)
        return max(time.perf_counter() - start, math.ulp(1.0))

    def round(self) -> Outcome:
        """Every operation's time."""
        raw, per_level, wrong = self.workers[0].call("sample", self.count)
        metrics = {"ns_per_crossing": per_level} if per_level else {}
        return Outcome(metrics, samples_of(raw), [wrong] if wrong else [])
