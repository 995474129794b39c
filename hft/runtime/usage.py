"""What a service takes of its machine: time by regime, processor time, switches, faults, memory, its CPU."""

import ctypes
import resource
import sys

import psutil

from hft.runtime.context import Context

MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT = 1, 2, 4

_FROM_KERNEL: tuple[tuple[str, str], ...] = (
    ("runner_voluntary_switches", "ru_nvcsw"),
    ("runner_involuntary_switches", "ru_nivcsw"),
    ("runner_minor_faults", "ru_minflt"),
    ("runner_major_faults", "ru_majflt"),
)


class Usage:
    """Fills a page's ``runner_`` counters. ``take`` costs 1 µs or two, ``ask_kernel`` tens of them."""

    def __init__(self, ctx: Context) -> None:
        counters = ctx.counters
        self._counters = counters
        self._processing = counters.index("runner_processing_ns")
        self._caught_up = counters.index("runner_caught_up_ns")
        self._backpressured = counters.index("runner_backpressured_ns")
        self._blocked = [
            counters.index(name) for name in counters.counter_names if name.startswith("blocked_")
        ]
        self._memory = counters.index("runner_memory_bytes")
        self._last_cpu = counters.index("runner_last_cpu")
        self._cpu_ns = counters.index("runner_cpu_ns")
        self._from_kernel = [(counters.index(name), field) for name, field in _FROM_KERNEL]
        self._process = psutil.Process()
        self._taken_ns = 0
        self._blocked_before = self._refusals()
        self.busy_ns = 0
        """Time in duty cycles that did work since ``take``; the runner adds to it."""

    def take(self, now_ns: int) -> None:
        """Book the time since the last call to its regimes: what was not processing was spent caught up, or
        backpressured when a publication was refused meanwhile."""
        refusals = self._refusals()
        if self._taken_ns:
            rest_ns = max(0, now_ns - self._taken_ns - self.busy_ns)
            held_up = refusals != self._blocked_before
            self._counters.add(self._backpressured if held_up else self._caught_up, rest_ns)
        self._counters.add(self._processing, self.busy_ns)
        self._taken_ns, self._blocked_before, self.busy_ns = now_ns, refusals, 0

    def ask_kernel(self) -> None:
        """Read memory, processor time, switches, faults and the CPU."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        for index, field in self._from_kernel:
            self._counters.set(index, getattr(usage, field))
        self._counters.set(self._cpu_ns, int((usage.ru_utime + usage.ru_stime) * 1e9))
        self._counters.set(self._memory, self._process.memory_info().rss)
        self._counters.set(self._last_cpu, current_cpu() + 1)

    def _refusals(self) -> int:
        return sum(self._counters.value(index) for index in self._blocked)


def lock_memory() -> bool:
    """Keep this process's pages from being swapped out, each from its first use on, where the limit is
    infinite; False where it is not. A finite one would make later allocations fail."""
    if _LIBC is None or resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] != resource.RLIM_INFINITY:
        return False
    return int(_LIBC.mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)) == 0


def current_cpu() -> int:
    """Number of the CPU this thread runs on, −1 where the system does not say."""
    return int(_LIBC.sched_getcpu()) if _LIBC is not None else -1


_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
