"""Where the planner's opportunities come from: the scanner, and the bridge where the run has one.

Several writers are several links, polled in turn: neither waits behind the other's burst.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hft.runtime.context import Context

LINKS: tuple[str, ...] = ("opportunities", "opportunities_remote")
COUNTERS: tuple[str, ...] = tuple(f"{what}_{link}" for link in LINKS for what in ("in", "lost"))

LOOK_NS = 1_000_000
"""Longest sleep on the scanner's link while there is another to be looked at."""


class Opportunities:
    """The links that the run has. ``first``: the scanner's."""

    def __init__(self, ctx: "Context") -> None:
        self._counters = ctx.counters
        index = ctx.counters.index
        self._links = tuple(
            (ctx.subscription(link), index(f"in_{link}"), index(f"lost_{link}"))
            for link in LINKS
            if link in ctx.links
        )
        self.first = self._links[0][0]
        self._others = tuple(subscription for subscription, _, _ in self._links[1:])

    def poll(self, handler: Callable[[memoryview], object], limit: int) -> int:
        """Hand out at most ``limit`` messages of each link; how many there were."""
        total = 0
        for subscription, taken, _ in self._links:
            count = subscription.poll(handler, limit)
            if count:
                self._counters.add(taken, count)
                total += count
        return total

    def wait(self, timeout_ns: int) -> None:
        """Sleep until a message waits, or the time has passed."""
        if not self._others:
            self.first.wait(timeout_ns)
        elif not any(subscription.lag for subscription in self._others):
            self.first.wait(min(timeout_ns, LOOK_NS))

    def show(self) -> None:
        """Bring the counters of what was lost up to date."""
        for subscription, _, lost in self._links:
            self._counters.set(lost, subscription.lost)
