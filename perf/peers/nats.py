"""NATS core through nats-py: a server of our own on the loopback, a subject a link, a connection a worker."""

import os
import shutil
import tempfile
import time
from array import array
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from itertools import count, cycle, islice
from pathlib import Path
from typing import Any

from perf.peers.base import Link, Reader, Sender, Transport, module_missing

_numbers = count()


class _Shared:
    """What a process's links share: in the parent the server, in a worker loop and connection."""

    def __init__(self) -> None:
        self.server: Any = None
        self.uses = 0
        self.connection: Any = None
        self.loop: Any = None


_shared = _Shared()


def _missing() -> str:
    reason = module_missing("nats")
    if reason:
        return reason
    from hft.runtime.nats_server import NatsServerError, find_binary

    try:
        find_binary()
    except NatsServerError as error:
        return str(error)
    return ""


def _link(readers: int, _record_bytes: int) -> Link:
    if _shared.server is None:
        from hft.runtime.nats_server import NatsServer

        _shared.server = NatsServer(Path(tempfile.mkdtemp(prefix="perf-nats-")), name=f"perf-{os.getpid()}")
        _shared.server.start()
    _shared.uses += 1
    subject = f"perf.{next(_numbers)}"
    return Link(
        partial(_sender, _shared.server.url, subject),
        tuple(partial(_reader, _shared.server.url, subject) for _ in range(readers)),
        _release_server,
    )


def _release_server() -> None:
    _shared.uses -= 1
    if _shared.uses == 0 and _shared.server is not None:
        _shared.server.stop()
        shutil.rmtree(_shared.server.folder, ignore_errors=True)
        _shared.server = None


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run on this worker's loop."""
    if _shared.loop is None:
        import asyncio

        _shared.loop = asyncio.new_event_loop()
    return _shared.loop.run_until_complete(work)


def _connect(url: str) -> Any:
    if _shared.connection is None:
        import nats

        _shared.connection = run(nats.connect(url, ping_interval=600, pending_size=64 << 20))
    return _shared.connection


def _close() -> None:
    if _shared.connection is not None:
        connection, _shared.connection = _shared.connection, None
        run(connection.close())


def _sender(url: str, subject: str) -> Sender:
    connection = _connect(url)
    return Sender(partial(connection.publish, subject), _close, None, connection)


def _reader(url: str, subject: str) -> Reader:
    connection = _connect(url)
    subscription = run(connection.subscribe(subject, pending_msgs_limit=-1, pending_bytes_limit=-1))
    run(connection.flush())
    messages: AsyncIterator[Any] = subscription.messages
    return Reader(messages.__anext__, _close, None, subscription)  # type: ignore[arg-type]


def ping(send: Callable[..., Any], take: Callable[..., Any], n: int, lines: list[bytes]) -> tuple[bytes, int]:
    """As perf.loops.ping."""

    async def work() -> tuple[bytes, int]:
        samples, wrong, now = array("q", bytes(8 * n)), 0, time.perf_counter_ns
        for i, record in enumerate(islice(cycle(lines), n)):
            start = now()
            await send(record)
            got = (await take()).data
            samples[i] = now() - start
            wrong += got != record
        return samples.tobytes(), wrong

    result: tuple[bytes, int] = run(work())
    return result


def pong(send: Callable[..., Any], take: Callable[..., Any], n: int) -> None:
    """As perf.loops.pong."""

    async def work() -> None:
        for _ in range(n):
            await send((await take()).data)
        await _shared.connection.flush()

    run(work())


def produce(send: Callable[..., Any], n: int, lines: list[bytes]) -> int:
    """As perf.loops.produce."""

    async def work() -> int:
        start = time.perf_counter_ns()
        for record in islice(cycle(lines), n):
            await send(record)
        await _shared.connection.flush()
        return start

    start: int = run(work())
    return start


def consume(take: Callable[..., Any], n: int, lines: list[bytes]) -> tuple[int, int]:
    """As perf.loops.consume."""

    async def work() -> tuple[int, int]:
        wrong = 0
        for record in islice(cycle(lines), n):
            wrong += (await take()).data != record
        return time.perf_counter_ns(), wrong

    result: tuple[int, int] = run(work())
    return result


NATS = Transport("nats", "NATS core", _missing, _link, asynchronous=True)
