"""One WebSocket connection to a node: requests, subscriptions, and the silence in which a dead one hides."""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import IntEnum
from typing import Any, Final, cast

import aiohttp
import orjson

from hft.chain.endpoint import Endpoint, Socket
from hft.chain.rpc_faults import is_count

MAX_MESSAGE_BYTES: Final = 32 << 20
MAX_WAITING: Final = 4_096
Notified = Callable[[Any, int], None]
"""Called with a notification's ``result`` and when it came (ns)."""


class ChannelErrorCode(IntEnum):
    """Why a connection ended or a request on it failed."""

    CONNECT = 1
    CLOSED = 2
    SILENT = 3
    MALFORMED = 4
    REFUSED = 5
    TIMEOUT = 6


class ChannelError(Exception):
    """A connection ended or a request on it failed; ``code`` says why."""

    def __init__(self, code: ChannelErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class _Stamping(asyncio.Protocol):
    """Stands before a connection's own protocol and notes when bytes were read from the socket: messages may
    wait for their turn in a task, and that wait belongs to their age."""

    def __init__(self, inner: asyncio.Protocol, clock_ns: Callable[[], int]) -> None:
        self._inner = inner
        self._feed = inner.data_received
        self._clock_ns = clock_ns
        self.read_ns = clock_ns()

    def data_received(self, data: bytes) -> None:
        self.read_ns = self._clock_ns()
        self._feed(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()


class _Ending:
    """A handler that is called once."""

    __slots__ = ("_handler",)

    def __init__(self, handler: Notified) -> None:
        self._handler = handler

    def __call__(self, result: Any, received_ns: int) -> None:
        self._handler(result, received_ns)


class Channel:
    """See the module. ``run`` reads until the connection ends; requests are made meanwhile by other tasks.

    A subscription's handler is set in the moment its number is known, so that no notification can come
    between.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        endpoint: Endpoint,
        *,
        silence_ns: int,
        request_ns: int,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """``silence_ns``: longest time without any message; ``request_ns``: longest wait for an answer."""
        self._session = session
        self._endpoint = endpoint
        self._silence_ns = silence_ns
        self._request_ns = request_ns
        self._clock_ns = clock_ns
        self._socket: aiohttp.ClientWebSocketResponse[Any] | None = None
        self._stamping: _Stamping | None = None
        self._next_id = 0
        self._waiting: dict[int, tuple[asyncio.Future[Any], Notified | None]] = {}
        self._handlers: dict[int, Notified] = {}
        self.messages = 0
        self.strays = 0
        self.last_ns = 0

    async def open(self) -> None:
        """Connects. ``ChannelError`` CONNECT."""
        try:
            async with asyncio.timeout(self._request_ns / 1e9):
                self._socket = await self._session.ws_connect(
                    self._endpoint.ws_url,
                    headers=dict(self._endpoint.headers),
                    max_msg_size=MAX_MESSAGE_BYTES,
                    autoping=True,
                    compress=0,
                    decode_text=False,
                )
        except (aiohttp.ClientError, OSError) as error:
            raise self._error(ChannelErrorCode.CONNECT, f"{type(error).__name__}") from error
        self.last_ns = self._clock_ns()
        transport = self._socket.transport if isinstance(self._socket, Socket) else None
        if transport is not None:
            self._stamping = _Stamping(cast(asyncio.Protocol, transport.get_protocol()), self._clock_ns)
            transport.set_protocol(self._stamping)

    async def run(self) -> None:
        """Hands every notification to its handler, until the connection ends: always by ``ChannelError``."""
        assert self._socket is not None
        receive, text = self._socket.receive, aiohttp.WSMsgType.TEXT
        now_s = asyncio.get_running_loop().time
        silence_s = self._silence_ns / 1e9
        checked_s = now_s()
        try:
            async with asyncio.timeout(silence_s) as limit:
                while True:
                    message = await receive()
                    if message.type is text:
                        self.last_ns = self._stamping.read_ns if self._stamping else self._clock_ns()
                        self.messages += 1
                        self._take(message.data)
                    elif message.type is not aiohttp.WSMsgType.BINARY:
                        raise self._error(ChannelErrorCode.CLOSED, message.type.name.lower())
                    # A timer a message would cost more than reading it: so exact need silence not be known.
                    if now_s() - checked_s > silence_s / 32:
                        checked_s = now_s()
                        limit.reschedule(checked_s + silence_s)
        except TimeoutError as error:
            raise self._error(
                ChannelErrorCode.SILENT, f"open, and nothing came for {self._silence_ns} ns"
            ) from error

    async def subscribe(
        self, method: str, params: Sequence[Any], handler: Notified, *, once: bool = False
    ) -> int:
        """Subscribes: the subscription's number; ``once``: it ends by itself with its first notification.
        ``ChannelError``."""
        return int(await self._ask(method, params, _Ending(handler) if once else handler))

    async def unsubscribe(self, method: str, number: int) -> None:
        """Ends the subscription ``number``; what still comes of it is no stray. ``ChannelError``."""
        self._handlers[number] = _nothing
        try:
            await self._ask(method, [number], None)
        finally:
            self._handlers.pop(number, None)

    def stands(self, number: int) -> bool:
        """Whether there is a subscription of that number which has not ended."""
        return number in self._handlers

    async def request(self, method: str, params: Sequence[Any]) -> Any:
        """One question over the connection. ``ChannelError``."""
        return await self._ask(method, params, None)

    async def close(self) -> None:
        """Closes; whoever still waits gets CLOSED."""
        self._fail_waiting()
        if self._socket is not None:
            with suppress(TimeoutError, aiohttp.ClientError, OSError):
                async with asyncio.timeout(0.5):
                    await self._socket.close()
            self._socket = None

    async def _ask(self, method: str, params: Sequence[Any], handler: Notified | None) -> Any:
        if self._socket is None or self._socket.closed:
            raise self._error(ChannelErrorCode.CLOSED, "not connected")
        if len(self._waiting) >= MAX_WAITING:
            raise self._error(ChannelErrorCode.REFUSED, f"{MAX_WAITING} requests wait already")
        self._next_id += 1
        request_id = self._next_id
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = (future, handler)
        body = {"jsonrpc": "2.0", "id": request_id, "method": method, "params": list(params)}
        try:
            async with asyncio.timeout(self._request_ns / 1e9):
                await self._socket.send_str(json.dumps(body, separators=(",", ":")))
                return await future
        except TimeoutError as error:
            raise self._error(ChannelErrorCode.TIMEOUT, f"{method} was not answered") from error
        except (aiohttp.ClientError, OSError) as error:
            raise self._error(ChannelErrorCode.CLOSED, type(error).__name__) from error
        finally:
            self._waiting.pop(request_id, None)

    def _take(self, text: bytes) -> None:
        try:
            told = orjson.loads(text)
        except ValueError as error:
            raise self._error(ChannelErrorCode.MALFORMED, f"no JSON: {text[:60]!r}") from error
        if not isinstance(told, dict):
            raise self._error(ChannelErrorCode.MALFORMED, f"no object: {text[:60]!r}")
        if "id" in told and "method" not in told:
            self._answered(told)
            return
        params = told.get("params")
        number = params.get("subscription") if isinstance(params, dict) else None
        handler = self._handlers.get(number) if isinstance(number, int) else None
        if handler is None or not isinstance(params, dict):
            self.strays += 1
            return
        if isinstance(handler, _Ending) and isinstance(number, int):
            del self._handlers[number]
        handler(params.get("result"), self.last_ns)

    def _answered(self, told: dict[str, Any]) -> None:
        waiting = self._waiting.get(told["id"]) if isinstance(told["id"], int) else None
        if waiting is None or waiting[0].done():
            self.strays += 1
            return
        future, handler = waiting
        if "result" not in told:
            text = str(told.get("error"))[:200]
            future.set_exception(self._error(ChannelErrorCode.REFUSED, text))
        elif handler is None:
            future.set_result(told["result"])
        elif is_count(told["result"]):
            self._handlers[told["result"]] = handler
            future.set_result(told["result"])
        else:
            future.set_exception(self._error(ChannelErrorCode.MALFORMED, "a subscription without a number"))

    def _fail_waiting(self) -> None:
        for future, _ in self._waiting.values():
            if not future.done():
                future.set_exception(self._error(ChannelErrorCode.CLOSED, "closed"))
                future.exception()  # whoever waited may be gone
        self._waiting.clear()

    def _error(self, code: ChannelErrorCode, message: str) -> ChannelError:
        return ChannelError(code, f"{self._endpoint.name}: {code.name.lower()}: {message}")


def _nothing(result: Any, received_ns: int) -> None:
    """What came after the end was asked for."""
