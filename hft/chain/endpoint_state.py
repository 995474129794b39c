"""What is known of each endpoint, and which one to ask next: pure, told by the clock it is given."""

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

from hft.chain.breaker import BREAKER_RULE, Breaker, BreakerRule
from hft.chain.endpoint import Endpoint
from hft.chain.limits import TokenBucket

PPM: Final = 1_000_000
_SHIFT: Final = 3
"""Each observation moves an average by an eighth of the difference."""
_FAILURE_COST_NS: Final = 1_000_000_000
_LAG_COST_NS: Final = 50_000_000
_FORGET_NS: Final = 5_000_000_000
"""Failures and lag count half after so long without a request: an endpoint left alone is tried again."""


class Health:
    """Averages of one endpoint: latency, share of failures (ppm), slots behind the others."""

    __slots__ = ("_seen_ns", "failures_ppm", "lag_slots", "latency_ns")

    def __init__(self) -> None:
        self.latency_ns = 0
        self.failures_ppm = 0
        self.lag_slots = 0
        self._seen_ns = 0

    def succeeded(self, now_ns: int, latency_ns: int) -> None:
        """Answered after ``latency_ns``."""
        self._seen_ns = now_ns
        self.failures_ppm -= self.failures_ppm >> _SHIFT
        fresh = self.latency_ns == 0
        self.latency_ns = (
            latency_ns if fresh else self.latency_ns + ((latency_ns - self.latency_ns) >> _SHIFT)
        )

    def failed(self, now_ns: int) -> None:
        """Not answered, or refused for a reason of its own."""
        self._seen_ns = now_ns
        self.failures_ppm += (PPM - self.failures_ppm) >> _SHIFT

    def lags(self, now_ns: int, slots: int) -> None:
        """Seen ``slots`` behind the newest slot known (0: level)."""
        self._seen_ns = now_ns
        self.lag_slots = max(slots, 0)

    def cost_ns(self, now_ns: int) -> int:
        """The score; lower is better: expected latency plus what failures and lag cost."""
        halvings = min(max(now_ns - self._seen_ns, 0) // _FORGET_NS, 40)
        trouble = self.failures_ppm * _FAILURE_COST_NS // PPM + self.lag_slots * _LAG_COST_NS
        return self.latency_ns + (trouble >> halvings)


class EndpointState:
    """One endpoint with its limit, breaker and health."""

    __slots__ = ("breaker", "bucket", "endpoint", "faults", "health", "requests")

    def __init__(self, endpoint: Endpoint, rule: BreakerRule = BREAKER_RULE) -> None:
        self.endpoint = endpoint
        self.bucket = TokenBucket(endpoint.interval_ns, endpoint.burst)
        self.breaker = Breaker(rule)
        self.health = Health()
        self.requests = 0
        self.faults = 0

    def wait_ns(self, now_ns: int) -> int:
        """Time until it may be asked; 0 if it may now."""
        return max(self.bucket.wait_ns(now_ns), self.breaker.wait_ns(now_ns))

    def enter(self, now_ns: int) -> bool:
        """Takes its place for one request, if it may be asked now."""
        if self.wait_ns(now_ns) > 0:
            return False
        self.requests += 1
        return self.bucket.take(now_ns) and self.breaker.enter(now_ns)


class Choice(NamedTuple):
    """Whom to ask: the state at ``place``, after ``wait_ns``."""

    place: int
    wait_ns: int


def choose(states: Sequence[EndpointState], tried: Collection[int], now_ns: int) -> Choice:
    """The endpoint to ask next: the healthiest that may be asked now and was not ``tried`` (indices) in this
    round; else the one that may be asked soonest, of those not tried if there are any."""
    fresh = [index for index in range(len(states)) if index not in tried]
    pool = fresh or list(range(len(states)))
    waits = {index: states[index].wait_ns(now_ns) for index in pool}
    ready = [index for index in pool if not waits[index]]
    if ready:
        return Choice(min(ready, key=lambda index: (states[index].health.cost_ns(now_ns), index)), 0)
    index = min(pool, key=lambda index: (waits[index], index))
    return Choice(index, waits[index])
