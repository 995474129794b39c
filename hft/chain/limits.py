"""A rate limit as a token bucket, told by the clock it is given.

Kept as the time at which the bucket would be full again (the generic cell rate algorithm), so that all is
exact integers and a rate below one a second needs no fractions.
"""


class TokenBucket:
    """Gives one token every ``interval_ns`` (> 0), at most ``burst`` (>= 1) at once; starts full."""

    __slots__ = ("_burst_ns", "_full_ns", "_interval_ns")

    def __init__(self, interval_ns: int, burst: int) -> None:
        if interval_ns <= 0 or burst < 1:
            raise ValueError(f"interval {interval_ns} ns, burst {burst}: both above zero belong here")
        self._interval_ns = interval_ns
        self._burst_ns = interval_ns * burst
        self._full_ns: int | None = None

    def wait_ns(self, now_ns: int) -> int:
        """Time until a token is there; 0 if one is."""
        if self._full_ns is None:
            return 0
        return max(self._full_ns + self._interval_ns - self._burst_ns - now_ns, 0)

    def take(self, now_ns: int) -> bool:
        """Takes a token if there is one."""
        if self.wait_ns(now_ns) > 0:
            return False
        base = now_ns if self._full_ns is None else max(self._full_ns, now_ns)
        self._full_ns = base + self._interval_ns
        return True

    def hold(self, until_ns: int) -> None:
        """No token before ``until_ns``: the server said how long it wants to be left alone."""
        held = until_ns + self._burst_ns - self._interval_ns
        self._full_ns = held if self._full_ns is None else max(self._full_ns, held)
