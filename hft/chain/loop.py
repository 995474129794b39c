"""The asyncio loop that this room's sockets run on, stepped by a service's duty cycle."""

import asyncio
import select
import selectors
import time
from collections.abc import Collection, Coroutine
from typing import Any, Final

TIMERS_NS: Final = 1_000_000
"""Longest time between two runs of a stepped loop: what its timers may be late by."""
ROUNDS: Final = 8
"""Rounds of one step at most: what a read makes ready (a task, what waits for it) runs in the same step."""


async def end_all(*tasks: asyncio.Task[Any], expected: tuple[type[BaseException], ...] = ()) -> None:
    """Cancels ``tasks`` and waits until all have ended; raises what one ended by, if not of ``expected``.

    A caller that is cancelled meanwhile is cancelled by it: to await each task and pass over its
    ``CancelledError`` would pass over the caller's own as well.
    """
    for task in tasks:
        task.cancel()
    for ended in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(ended, BaseException) and not isinstance(ended, (asyncio.CancelledError, *expected)):
            raise ended


class _Loop(asyncio.SelectorEventLoop):
    """Asyncio's own loop, which can tell whether anything waits to be run."""

    _ready: Any

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        super().__init__(self.selector)

    @property
    def is_ready(self) -> bool:
        return bool(self._ready)


class SteppedLoop:
    """A loop that runs only while ``step`` or ``wait`` does. Tasks are kept until they end; one that ends in
    an exception is told by ``failures``.

    It is asyncio's own: uvloop makes a socket pair whenever it begins to run and closes it when it ends, by
    which a step takes five times as long (``python -m perf run feed``).
    """

    def __init__(self) -> None:
        self.loop = _Loop()
        # To start and stop the loop costs far more than the question whether there is anything to run.
        self._sockets = select.poll()
        self._sockets.register(self.loop.selector, select.POLLIN)
        self._due_ns = 0
        self._tasks: set[asyncio.Task[Any]] = set()
        self.failures: list[BaseException] = []
        self._waiting = False

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Starts a task; it runs at the next ``step``."""
        task = self.loop.create_task(work)
        self._due_ns = 0
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def step(self) -> None:
        """Runs everything that is ready, in ``ROUNDS`` rounds at most; never waits.

        Nothing is run, and next to no time spent, while no socket and no task is ready and the last run is no
        ``TIMERS_NS`` ago.
        """
        now_ns, loop = time.monotonic_ns(), self.loop
        if now_ns < self._due_ns and not loop.is_ready and not self._sockets.poll(0):
            return
        self._due_ns = now_ns + TIMERS_NS
        for _ in range(ROUNDS):
            loop.call_soon(loop.stop)
            loop.run_forever()
            if not loop.is_ready:
                return

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
            # Once: a stop that came too late for this wait would end whatever runs next.
            self._waiting = False
            self.loop.stop()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Runs ``work`` to its end; for start-up and close only."""
        task = self.loop.create_task(work)
        task.add_done_callback(lambda _: self.loop.stop())
        while not task.done():  # a stop that a wait left over ends a run too
            self.loop.run_forever()
        return task.result()

    def close(self, *last: Coroutine[Any, Any, Any]) -> None:
        """Cancels what still runs, runs ``last`` (closing what they used), and closes the loop."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        self.run(self._end(tasks))
        for work in last:
            self.run(work)
        self.loop.close()

    async def _end(self, tasks: Collection[asyncio.Task[Any]]) -> None:
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.loop.shutdown_asyncgens()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            self.failures.append(failure)
