"""Bounded queues between coroutines and a duty cycle of the same thread: coroutines put, the cycle polls."""

import asyncio
from collections import deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """At most ``capacity`` items wait. ``put`` waits for room, ``offer`` never does and counts what it
    drops."""

    def __init__(self, capacity: int, wake: Callable[[], None] | None = None) -> None:
        """``wake`` is called whenever an item came."""
        if capacity < 1:
            raise ValueError(f"capacity {capacity}: at least 1 belongs here")
        self._capacity = capacity
        self._wake = wake
        self._items: deque[T] = deque()
        self._room = asyncio.Event()
        self._room.set()
        self._came = asyncio.Event()
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._items)

    def offer(self, item: T) -> bool:
        """Puts an item if there is room; else counts it as dropped and returns False."""
        if len(self._items) >= self._capacity:
            self.dropped += 1
            return False
        self._items.append(item)
        self._came.set()
        if self._wake is not None:
            self._wake()
        if len(self._items) >= self._capacity:
            self._room.clear()
        return True

    async def put(self, item: T) -> None:
        """Puts an item, after waiting for room if there is none."""
        while len(self._items) >= self._capacity:
            await self._room.wait()
        self.offer(item)

    def poll(self, handler: Callable[[T], None], limit: int = 256) -> int:
        """Hands at most ``limit`` items to ``handler``, oldest first; never waits. Returns how many."""
        if not self._items:
            return 0
        count = min(limit, len(self._items))
        for _ in range(count):
            handler(self._items.popleft())
        self._room.set()
        if not self._items:
            self._came.clear()
        return count

    async def get(self) -> T:
        """The oldest item, when there is one."""
        while not self._items:
            await self._came.wait()
        taken: list[T] = []
        self.poll(taken.append, 1)
        return taken[0]


class NewestBox(Generic[T]):
    """Like a mailbox, but an item put with a key takes the place of the one that waits with the same key: a
    slow reader is late, never stale, and what waits is bounded by the keys there are.

    Items without a key keep their order; more than ``capacity`` of them are dropped and counted.
    """

    def __init__(self, capacity: int, wake: Callable[[], None] | None = None) -> None:
        self._capacity = capacity
        self._wake = wake
        self._items: dict[Hashable, T] = {}
        self._plain = 0
        self._next = 0
        self.dropped = 0
        self.replaced = 0

    def __len__(self) -> int:
        return len(self._items)

    def put(self, key: Hashable, item: T) -> bool:
        """Puts the newest of ``key`` (no integer: those number the others); whether it took another's
        place."""
        replaced = key in self._items
        if replaced:
            self.replaced += 1
        self._items[key] = item
        if self._wake is not None:
            self._wake()
        return replaced

    def remove(self, key: Hashable) -> bool:
        """Takes away what waits with ``key``; whether anything did."""
        return self._items.pop(key, None) is not None

    def append(self, item: T) -> bool:
        """Puts an item of its own; False if there is no room."""
        if self._plain >= self._capacity:
            self.dropped += 1
            return False
        self._plain += 1
        self._next += 1
        self.put(self._next, item)
        return True

    def poll(self, handler: Callable[[T], None], limit: int = 256) -> int:
        """Hands at most ``limit`` items to ``handler``, oldest place first; never waits."""
        items = self._items
        if len(items) <= limit:
            if items:
                self._items, self._plain = {}, 0
                for item in items.values():
                    handler(item)
            return len(items)
        for _ in range(limit):
            key = next(iter(self._items))
            item = self._items.pop(key)
            if type(key) is int:
                self._plain -= 1
            handler(item)
        return limit
