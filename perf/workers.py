"""Pinned worker processes: fresh interpreters that build one actor each and run its methods on command.

Between commands a worker sleeps in ``recv`` and takes no CPU from the case whose turn it is.
"""

import gc
import multiprocessing
import os
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

SPAWN = multiprocessing.get_context("spawn")
START_TIMEOUT_S = 60.0
JOIN_TIMEOUT_S = 5.0


class WorkerError(Exception):
    """A worker failed, died or did not answer in time; the message carries its own words."""


class Worker:
    """One process, pinned to ``cpu`` (None: not pinned); ``make(*arguments)`` builds its actor there."""

    def __init__(self, name: str, cpu: int | None, make: Callable[..., Any], *arguments: Any) -> None:
        self.name = name
        self._pipe, theirs = SPAWN.Pipe()
        self._process = SPAWN.Process(
            target=_serve, args=(theirs, cpu, make, arguments), name=name, daemon=True
        )
        self._process.start()
        theirs.close()

    def begin(self, method: str, *arguments: Any) -> None:
        """Send a command; end() waits for its answer."""
        self._pipe.send((method, arguments))

    def end(self, timeout_s: float = START_TIMEOUT_S) -> Any:
        """The answer to the last command; also the first one, that the actor is built. WorkerError."""
        if not self._pipe.poll(timeout_s):
            raise WorkerError(f"{self.name}: no answer in {timeout_s:.0f} s")
        try:
            kind, value = self._pipe.recv()
        except EOFError:
            self._process.join(JOIN_TIMEOUT_S)
            raise WorkerError(f"{self.name}: died with exit code {self._process.exitcode}") from None
        if kind == "error":
            raise WorkerError(f"{self.name}: {value}")
        return value

    def call(self, method: str, *arguments: Any, timeout_s: float = START_TIMEOUT_S) -> Any:
        """begin() and end()."""
        self.begin(method, *arguments)
        return self.end(timeout_s)

    def stop(self) -> None:
        """End the process: asked first, then killed. Idempotent."""
        with suppress(OSError, ValueError):
            self._pipe.send(None)
        self._process.join(JOIN_TIMEOUT_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._pipe.close()


def _serve(pipe: Connection, cpu: int | None, make: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})
    actor: Any = None
    try:
        actor = make(*arguments)
        gc.collect()
        gc.freeze()
        gc.disable()
        pipe.send(("ok", None))
        while (command := pipe.recv()) is not None:
            method, given = command
            pipe.send(("ok", getattr(actor, method)(*given)))
            gc.collect()
    except (EOFError, KeyboardInterrupt):
        pass
    except BaseException:
        with suppress(OSError):
            pipe.send(("error", traceback.format_exc(limit=4)))
    finally:
        with suppress(Exception):
            if hasattr(actor, "close"):
                actor.close()


class Stopwatch:
    """CPU time of the calling process since it was made."""

    def __init__(self) -> None:
        self._start_ns = time.process_time_ns()

    def cpu_ns(self) -> int:
        """User and system time of all threads, ns."""
        return time.process_time_ns() - self._start_ns
