"""A circuit breaker: after too many failures in a row an endpoint is left alone, then tried with one
request."""

from enum import IntEnum
from typing import Final, NamedTuple


class BreakerState(IntEnum):
    """Whether requests may pass."""

    CLOSED = 0
    OPEN = 1
    HALF_OPEN = 2
    """One request is on its way to find out."""


class BreakerRule(NamedTuple):
    """Opens after ``failures`` in a row, for ``open_ns``, twice as long each time its probe fails, up to
    ``longest_open_ns``."""

    failures: int = 5
    open_ns: int = 500_000_000
    longest_open_ns: int = 30_000_000_000


BREAKER_RULE: Final = BreakerRule()


class Breaker:
    """See the module; every method takes the time. A probe that never reports back frees its place after
    ``longest_open_ns``."""

    __slots__ = ("_failures", "_open_ns", "_rule", "_until_ns", "opened", "state")

    def __init__(self, rule: BreakerRule = BREAKER_RULE) -> None:
        self._rule = rule
        self._failures = 0
        self._open_ns = rule.open_ns
        self._until_ns = 0
        self.state = BreakerState.CLOSED
        self.opened = 0

    def wait_ns(self, now_ns: int) -> int:
        """Time until a request may pass; 0 if one may now."""
        return 0 if self.state is BreakerState.CLOSED else max(self._until_ns - now_ns, 0)

    def enter(self, now_ns: int) -> bool:
        """Asks to let one request pass; every one let pass reports ``succeeded`` or ``failed``."""
        if self.wait_ns(now_ns) > 0:
            return False
        if self.state is not BreakerState.CLOSED:
            self.state = BreakerState.HALF_OPEN
            self._until_ns = now_ns + self._rule.longest_open_ns
        return True

    def succeeded(self) -> None:
        """A request was answered."""
        self.state = BreakerState.CLOSED
        self._failures = 0
        self._open_ns = self._rule.open_ns

    def failed(self, now_ns: int) -> None:
        """A request was not answered as it should have been."""
        self._failures += 1
        if self.state is BreakerState.HALF_OPEN:
            self._open_ns = min(self._open_ns * 2, self._rule.longest_open_ns)
        elif self.state is BreakerState.OPEN or self._failures < self._rule.failures:
            return
        self.state = BreakerState.OPEN
        self.opened += 1
        self._until_ns = now_ns + self._open_ns
