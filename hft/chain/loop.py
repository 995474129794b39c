"""The asyncio loop that this room's sockets run on, stepped by a service's duty cycle."""

import asyncio
import select
import selectors
import time
from collections import deque
from collections.abc import Callable, Collection, Coroutine
from math import inf
from typing import Any, Final

SELECT_LIMIT: Final = 1_024
"""Descriptors that ``select`` can't take, from this one on."""
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
    """Asyncio's own loop, which can tell whether anything is to be run, and runs it without the ceremony of
    ``run_forever``: that costs more than most of what a duty cycle finds to run.
    """

    _ready: Any
    _scheduled: list[asyncio.TimerHandle]
    _run_once: Callable[[], None]
    _remove_reader: Callable[[Any], None]
    _remove_writer: Callable[[Any], None]

    def __init__(self) -> None:
        selector: Any = selectors.EpollSelector()
        super().__init__(selector)
        self.fd: int = selector.fileno()
        self._keys: dict[int, selectors.SelectorKey] = selector._fd_to_key
        self.sockets: Callable[[float], list[tuple[int, int]]] = selector._selector.poll
        """The sockets that are ready, as ``answer`` takes them, after so many seconds at most; whole
        milliseconds, rounded up."""

    @property
    def due_s(self) -> float:
        """When something is to be run that waits for no socket: 0 for now, infinite for never."""
        if self._ready:
            return 0.0
        return self._scheduled[0].when() if self._scheduled else inf

    def turn(self, rounds: int) -> None:
        """Runs what is ready, and what that makes ready, in ``rounds`` rounds at most; never waits."""
        asyncio._set_running_loop(self)
        self._stopping = True  # by which a round does not wait for its sockets
        try:
            for _ in range(rounds):
                self._run_once()
                if not self._ready:
                    return
        finally:
            self._stopping = False
            asyncio._set_running_loop(None)

    def answer(self, ready: list[tuple[int, int]], rounds: int) -> None:
        """Calls who waits for these sockets, with no round for that alone; then as ``turn``, if that made
        anything ready."""
        asyncio._set_running_loop(self)
        try:
            for fd, event in ready:
                key = self._keys.get(fd)  # one that was called before may have closed it
                if key is None:
                    continue
                reader, writer = key.data
                if reader is not None and event & ~select.EPOLLOUT:
                    self._call(reader, self._remove_reader, fd)
                if writer is not None and event & ~select.EPOLLIN:
                    self._call(writer, self._remove_writer, fd)
        finally:
            asyncio._set_running_loop(None)
        if self._ready:
            self.turn(rounds)

    def _call(self, handle: Any, remove: Callable[[int], None], fd: int) -> None:
        if handle._cancelled:
            remove(fd)
        else:
            handle._run()


class SteppedLoop:
    """A loop that runs only while ``step`` or ``wait`` does. Tasks are kept until they end; one that ends in
    an exception is told by ``failures``.

    It is asyncio's own: uvloop makes a socket pair whenever it begins to run and closes it when it ends, and
    can't be turned without (``python -m perf run feed`` compares the two).
    """

    def __init__(self) -> None:
        self.loop = _Loop()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._handed: deque[Coroutine[Any, Any, Any]] = deque()
        self.failures: list[BaseException] = []
        self._woken = False

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Starts a task; it runs at the next ``step``."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def hand(self, work: Coroutine[Any, Any, Any]) -> None:
        """As ``spawn``, but the task is made in the next ``step``: the caller's time is worth more now."""
        self._handed.append(work)

    def step(self) -> None:
        """Runs everything that is ready, in ``ROUNDS`` rounds at most; never waits. Next to no time is spent
        while no socket and no task is ready and no timer due."""
        if self._handed:
            self._start()
        loop = self.loop
        if loop.due_s <= time.monotonic():
            loop.turn(ROUNDS)
        elif ready := loop.sockets(0):
            loop.answer(ready, ROUNDS)

    def wait(self, timeout_ns: int) -> None:
        """Runs until ``wake`` is called, at most ``timeout_ns``."""
        loop = self.loop
        until_s = time.monotonic() + timeout_ns / 1e9
        self._woken = False
        while not self._woken:
            if self._handed:
                self._start()
            now_s = time.monotonic()
            due_s = loop.due_s
            if due_s <= now_s:
                loop.turn(ROUNDS)
            elif ready := self._sleep(min(due_s, until_s) - now_s):
                loop.answer(ready, ROUNDS)
            elif until_s <= now_s:
                return

    def _sleep(self, limit_s: float) -> list[tuple[int, int]]:
        """The sockets that are ready, after ``limit_s`` at most if there is none. ``epoll`` knows whole
        milliseconds only, ``select`` costs a little more."""
        loop = self.loop
        if 0 < limit_s < 0.001 and loop.fd < SELECT_LIMIT:
            select.select((loop.fd,), (), (), limit_s)
            limit_s = 0
        return loop.sockets(max(limit_s, 0))

    def wake(self) -> None:
        """Ends ``wait``; to be called from within the loop, as by a mailbox in which something came."""
        self._woken = True

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Runs ``work`` to its end; for start-up and close only."""
        task = self.loop.create_task(work)
        task.add_done_callback(lambda _: self.loop.stop())
        while not task.done():
            self.loop.run_forever()
        return task.result()

    def close(self, *last: Coroutine[Any, Any, Any]) -> None:
        """Cancels what still runs, runs ``last`` (closing what they used), and closes the loop."""
        self._start()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        self.run(self._end(tasks))
        for work in last:
            self.run(work)
        self.loop.close()

    def _start(self) -> None:
        while self._handed:
            self.spawn(self._handed.popleft())

    async def _end(self, tasks: Collection[asyncio.Task[Any]]) -> None:
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.loop.shutdown_asyncgens()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            self.failures.append(failure)
