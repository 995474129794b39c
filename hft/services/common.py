"""What several services share: publishing without loss, and listening to the system link."""

from collections import deque
from typing import TYPE_CHECKING, Any

from hft import wire

if TYPE_CHECKING:
    from hft.runtime.context import Context
    from ringbuf import Publication

SYSTEM_COUNTERS: tuple[str, ...] = ("in_system", "dropped_system_corrupt", "lost_system")


class Outbox:
    """Messages to one link, in order and without loss: what finds no room waits and goes first.

    The owner takes no new input while ``blocked``, so that what waits stays bounded by what is in flight
    already.
    """

    def __init__(self, ctx: "Context", link: str) -> None:
        self._publication: Publication = ctx.publication(link)
        self._claim = self._publication.claim
        self._commit = self._publication.commit
        self._held: deque[bytes] = deque()
        self._counters = ctx.counters
        self._out = ctx.counters.index(f"out_{link}")
        self._blocked = ctx.counters.index(f"blocked_{link}")

    @property
    def sequence(self) -> int:
        """Sequence of the next message put here."""
        return self._publication.sequence + len(self._held)

    @property
    def blocked(self) -> bool:
        return bool(self._held)

    @property
    def held(self) -> int:
        return len(self._held)

    @property
    def told(self) -> int:
        """Sequence below which everything is published."""
        return self._publication.sequence

    def put_message(self, message: bytes) -> None:
        """Publish one message that is encoded already; its sequence must be ``sequence``."""
        self._held.append(message)
        if not self.flush():
            self._counters.add(self._blocked)

    def put(self, codec: Any, *fields: Any) -> None:
        """Publish one message, its fields in schema order."""
        view = None if self._held else self._claim(codec.size)
        if view is not None:
            codec.encode_into(view, *fields)
            self._commit(codec.size)
            self._counters.add(self._out)
            return
        message = bytearray(codec.size)
        codec.encode_into(message, *fields)
        self._held.append(bytes(message))
        self._counters.add(self._blocked)

    def flush(self) -> int:
        """Publish what waits as far as there is room; returns how many went out."""
        sent = 0
        while self._held and self._publication.offer(self._held[0]):
            self._held.popleft()
            sent += 1
        if sent:
            self._counters.add(self._out, sent)
        return sent

    def close(self) -> None:
        """End the publication; a successor goes on at its sequence."""
        self._publication.close()


class Drops:
    """A link whose readers may be lapped: a message that finds no room is dropped and counted."""

    def __init__(self, ctx: "Context", link: str) -> None:
        self._publication: Publication = ctx.publication(link)
        self._claim = self._publication.claim
        self._commit = self._publication.commit
        self._counters = ctx.counters
        self._out = ctx.counters.index(f"out_{link}")
        self._dropped = ctx.counters.index(f"dropped_{link}_no_room")

    @property
    def sequence(self) -> int:
        """Sequence of the next message put here."""
        return self._publication.sequence

    def put(self, codec: Any, *fields: Any) -> bool:
        """Publish one message, its fields in schema order; False if it was dropped."""
        view = self._claim(codec.size)
        if view is None:
            self._counters.add(self._dropped)
            return False
        codec.encode_into(view, *fields)
        self._commit(codec.size)
        self._counters.add(self._out)
        return True

    def close(self) -> None:
        """End the publication; a successor goes on at its sequence."""
        self._publication.close()


class SystemLink:
    """The manager's word, read and counted in housekeeping. What halts is the latch in shared memory, not
    this.
    """

    LIMIT = 64

    def __init__(self, ctx: "Context") -> None:
        self._subscription = ctx.subscription("system")
        self._counters = ctx.counters
        self._in = ctx.counters.index("in_system")
        self._corrupt = ctx.counters.index("dropped_system_corrupt")
        self._lost = ctx.counters.index("lost_system")

    def poll(self) -> int:
        """Take what the manager said; returns the number of messages."""
        count = self._subscription.poll(self._on_message, self.LIMIT)
        self._counters.set(self._lost, self._subscription.lost)
        return count

    def _on_message(self, view: memoryview) -> None:
        self._counters.add(self._in)
        try:
            wire.kill_switch.verify(view)
        except wire.WireError:
            self._counters.add(self._corrupt)
