"""A bounded queue between coroutines and a duty cycle of the same thread: coroutines put, the cycle polls."""

import asyncio
from collections import deque
from collections.abc import Callable
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
        count = min(limit, len(self._items))
        for _ in range(count):
            handler(self._items.popleft())
        if count:
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
