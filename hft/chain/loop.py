"""The asyncio loop that this room's sockets run on, stepped by a service's duty cycle."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import uvloop


class SteppedLoop:
    """A uvloop that runs only while ``step`` does. Tasks are kept until they end; one that ends in an
    exception is told by ``failures``."""

    def __init__(self) -> None:
        self.loop = uvloop.new_event_loop()
        self._tasks: set[asyncio.Task[Any]] = set()
        self.failures: list[BaseException] = []
        self._waiting = False

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Starts a task; it runs at the next ``step``."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def step(self) -> None:
        """Runs everything that is ready, sockets looked at once; never waits."""
        self.loop.call_soon(self.loop.stop)
        self.loop.run_forever()

    def wait(self, timeout_ns: int) -> None:
        """Runs until ``wake`` is called, at most ``timeout_ns``."""
        handle = self.loop.call_later(timeout_ns / 1e9, self.wake)
        self._waiting = True
        try:
            self.loop.run_forever()
        finally:
            self._waiting = False
            handle.cancel()

    def wake(self) -> None:
        """Ends ``wait``; to be called from within the loop, as by a mailbox in which something came."""
        if self._waiting:
            # Once: uvloop queues each stop, and one left over would end whatever runs next.
            self._waiting = False
            self.loop.stop()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Runs ``work`` to its end; for start-up and close only."""
        return self.loop.run_until_complete(work)

    def close(self, *last: Coroutine[Any, Any, Any]) -> None:
        """Cancels what still runs, runs ``last`` (closing what they used), and closes the loop."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        for work in last:
            self.loop.run_until_complete(work)
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            self.failures.append(failure)
