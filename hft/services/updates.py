"""The scanner's end of ``market_data``: the pools to be looked at, each once for all that waits of it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from hft import wire
from hft.services.announce import is_other_news
from hft.wire.enums import PoolStatus

if TYPE_CHECKING:
    from hft.runtime.context import Context

COUNTERS: tuple[str, ...] = (
    "in_market_data",
    "lost_market_data",
    "coalesced_updates",
    "disabled_updates",
    "other_updates",
    "dropped_corrupt",
)
HANDOFF: str = "handoff_feed_scanner_ns"
POLL_LIMIT = 64


class Update(NamedTuple):
    """The newest update of one pool that is still to be looked at."""

    trace_id: bytes
    received_ns: int
    published_ns: int
    scan_received_ns: int


class Updates:
    """Pools with news. ``subscription``: the link."""

    def __init__(self, ctx: "Context", drop: Callable[[bytes], None]) -> None:
        """``drop``: told of a pool that nobody vouches for any more."""
        self.subscription = ctx.subscription("market_data")
        self._poll = self.subscription.poll
        self._clock = ctx.clock
        self._counters = ctx.counters
        self._drop = drop
        self._waiting: dict[bytes, Update] = {}
        self._read = wire.reader(
            wire.pool_update, "trace_id", "status", "pool", "received_ns", "published_ns"
        )
        index = ctx.counters.index
        self._in, self._lost = index("in_market_data"), index("lost_market_data")
        self._coalesced, self._disabled = index("coalesced_updates"), index("disabled_updates")
        self._other, self._corrupt = index("other_updates"), index("dropped_corrupt")
        self._handoff = ctx.counters.histogram_index(HANDOFF)

    def poll(self) -> int:
        """Takes what is on the link; how many messages."""
        return self._poll(self._on_update, POLL_LIMIT)

    def take(self) -> dict[bytes, Update]:
        """What is to be looked at, by pool: it is the caller's from here on."""
        waiting = self._waiting
        if waiting:
            self._waiting = {}
        return waiting

    def show(self) -> None:
        """Bring the counter of what was lost up to date."""
        self._counters.set(self._lost, self.subscription.lost)

    def _on_update(self, view: memoryview) -> None:
        now_ns = self._clock.monotonic_ns()
        counters = self._counters
        counters.add(self._in)
        try:
            trace_id, status, key, received_ns, published_ns = self._read(view)
        except wire.WireError:
            counters.add(self._other if is_other_news(view) else self._corrupt)
            return
        if status != PoolStatus.ACTIVE:
            counters.add(self._disabled)
            self._drop(key)
            if self._waiting.pop(key, None) is not None:
                counters.add(self._coalesced)
            return
        counters.record(self._handoff, max(now_ns - published_ns, 0))
        if key in self._waiting:
            counters.add(self._coalesced)
        self._waiting[key] = Update(trace_id, received_ns, published_ns, now_ns)
