"""One WebSocket connection to a node: requests, subscriptions, and the silence in which a dead one hides."""

import asyncio
import json
import logging
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import IntEnum
from typing import Any, Final

import msgspec
import orjson
from picows import (
    WSCloseCode,
    WSError,
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    ws_connect,
)

from hft.chain.endpoint import EYEBALLS_S, Endpoint, Reach, loopback_socket
from hft.chain.rpc_faults import is_count
from hft.chain.rpc_parse import AccountResult

MAX_MESSAGE_BYTES: Final = 32 << 20
MAX_WAITING: Final = 4_096
CLOSE_S: Final = 0.5
SILENCE_SHARE: Final = 32
"""Looks in one limit of silence: so exact it is known, and no message has to reset a timer."""
Notified = Callable[[msgspec.Raw, int], None]
"""Called with a notification's ``result``, as JSON to be read before it returns, and when it came (ns)."""
AccountTold = Callable[[AccountResult, int], None]
"""The same with an account notification's, read already."""

_UNHEARD: Final = logging.Logger("picows", logging.CRITICAL + 1)
"""What ends a connection is told by ``ChannelError``; the library's own lines would show whole addresses."""


class ChannelErrorCode(IntEnum):
    """Why a connection ended or a request on it failed."""

    CONNECT = 1
    CLOSED = 2
    SILENT = 3
    MALFORMED = 4
    REFUSED = 5
    TIMEOUT = 6
    CERTIFICATE = 7


class ChannelError(Exception):
    """A connection ended or a request on it failed; ``code`` says why."""

    def __init__(self, code: ChannelErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class _Reader(WSListener):
    """Takes frames right as they are read from the socket, in no task of its own; ``ended`` says by what the
    connection did."""

    def __init__(self, name: str, take: Callable[[Any, int], None], clock_ns: Callable[[], int]) -> None:
        self._name = name
        self._take = take
        self._clock_ns = clock_ns
        self._parts: list[bytes] = []
        self._read_ns = 0
        self.frames = 0
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """One frame; what came with one read has one time."""
        if self.ended.done():
            return
        read_ns = self._read_ns or self._clock_ns()
        self._read_ns = 0 if frame.last_in_buffer else read_ns
        self.frames += 1
        try:
            kind = frame.msg_type
            if kind == _TEXT and frame.fin:
                self._take(frame.get_payload_as_memoryview(), read_ns)
            elif kind in _MESSAGE:
                self._gather(frame, read_ns)
            elif kind == _CLOSE:
                raise _error(self._name, ChannelErrorCode.CLOSED, "close")
        except Exception as error:  # nobody else could hear of it: ``run`` raises it
            self.end(error)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """The connection is gone."""
        self.end(_error(self._name, ChannelErrorCode.CLOSED, "the connection ended"))

    def pause_writing(self) -> None:
        """Requests under way are few and small."""

    def resume_writing(self) -> None:
        """See ``pause_writing``."""

    def end(self, error: Exception) -> None:
        """Nothing is taken any more; the first reason counts."""
        if not self.ended.done():
            self.ended.set_exception(error)
            self.ended.exception()  # it need not be asked for

    def _gather(self, frame: WSFrame, read_ns: int) -> None:
        self._parts.append(frame.get_payload_as_bytes())
        size = sum(map(len, self._parts))
        if size > MAX_MESSAGE_BYTES:
            raise _error(self._name, ChannelErrorCode.MALFORMED, f"a message of more than {size} bytes")
        if frame.fin:
            whole = b"".join(self._parts)
            self._parts.clear()
            self._take(whole, read_ns)


class _Params(msgspec.Struct, gc=False):
    subscription: int
    result: msgspec.Raw


class _Notification(msgspec.Struct, gc=False):
    params: _Params


class _AccountParams(msgspec.Struct, gc=False):
    subscription: int
    result: AccountResult


class _AccountNotification(msgspec.Struct, gc=False):
    params: _AccountParams


_read_notification = msgspec.json.Decoder(_Notification).decode
_read_account_notification = msgspec.json.Decoder(_AccountNotification).decode
_TEXT, _CLOSE = WSMsgType.TEXT, WSMsgType.CLOSE
_MESSAGE = (WSMsgType.TEXT, WSMsgType.CONTINUATION)


class _Ending:
    """A handler that is called once."""

    __slots__ = ("_handler",)

    def __init__(self, handler: Notified) -> None:
        self._handler = handler

    def __call__(self, result: msgspec.Raw, received_ns: int) -> None:
        self._handler(result, received_ns)


class Channel:
    """See the module. ``run`` reads until the connection ends; requests are made meanwhile by other tasks.

    A subscription's handler is set in the moment its number is known, so that no notification can come
    between.
    """

    def __init__(
        self,
        reach: Reach,
        endpoint: Endpoint,
        *,
        silence_ns: int,
        request_ns: int,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """``silence_ns``: longest time without any message; ``request_ns``: longest wait for an answer."""
        self._reach = reach
        self._endpoint = endpoint
        self._silence_ns = silence_ns
        self._request_ns = request_ns
        self._clock_ns = clock_ns
        self._socket: WSTransport | None = None
        self._reader: _Reader | None = None
        self._next_id = 0
        self._waiting: dict[int, tuple[asyncio.Future[Any], Notified | None, AccountTold | None]] = {}
        self._handlers: dict[int, Notified] = {}
        self._accounts: dict[int, AccountTold] = {}
        self.messages = 0
        self.strays = 0

    async def open(self) -> None:
        """Connects; over wss to a node whose certificate the system's authorities vouch for (or those of
        ``SSL_CERT_FILE``). ``ChannelError`` CONNECT, CERTIFICATE.
        """
        ways: dict[str, Any] = {"happy_eyeballs_delay": EYEBALLS_S}
        if self._reach is Reach.LOOPBACK:
            ways = {"socket_factory": lambda url: loopback_socket(url.host, url.port)}
        reader = _Reader(self._endpoint.name, self._take, self._clock_ns)
        try:
            async with asyncio.timeout(self._request_ns / 1e9):
                self._socket, _ = await ws_connect(
                    lambda _request, _response: reader,
                    self._endpoint.ws_url,
                    extra_headers=dict(self._endpoint.headers),
                    max_frame_size=MAX_MESSAGE_BYTES,
                    max_redirects=0,
                    websocket_handshake_timeout=None,
                    logger_name=_UNHEARD,
                    **ways,
                )
        except ssl.SSLCertVerificationError as error:
            raise self._error(ChannelErrorCode.CERTIFICATE, error.verify_message) from error
        except (WSError, OSError) as error:
            raise self._error(ChannelErrorCode.CONNECT, type(error).__name__) from error
        self._reader = reader

    async def run(self) -> None:
        """Has every notification handed to its handler, until the connection ends: always by
        ``ChannelError``, or by what a handler raised."""
        assert self._reader is not None
        reader, look_s = self._reader, self._silence_ns / 1e9 / SILENCE_SHARE
        frames = quiet = 0
        while quiet < SILENCE_SHARE:
            await asyncio.wait((reader.ended,), timeout=look_s)
            if reader.ended.done():
                return reader.ended.result()
            quiet = quiet + 1 if frames == reader.frames else 0
            frames = reader.frames
        raise self._error(ChannelErrorCode.SILENT, f"open, and nothing came for {self._silence_ns} ns")

    async def subscribe(
        self,
        method: str,
        params: Sequence[Any],
        handler: Notified,
        *,
        account: AccountTold | None = None,
        once: bool = False,
    ) -> int:
        """Subscribes: the subscription's number; ``account``: is called instead of ``handler`` with whatever
        has the shape of an account; ``once``: it ends by itself with its first notification.
        ``ChannelError``."""
        return int(await self._ask(method, params, _Ending(handler) if once else handler, account))

    async def unsubscribe(self, method: str, number: int) -> None:
        """Ends the subscription ``number``; what still comes of it is no stray. ``ChannelError``."""
        self._handlers[number] = _nothing
        self._accounts.pop(number, None)
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
        socket, self._socket = self._socket, None
        if socket is None:
            return
        with suppress(WSError, OSError):
            if not socket.is_close_frame_sent:
                socket.send_close(WSCloseCode.OK)
            if socket.close_handshake is not None and socket.close_handshake.recv is not None:
                socket.disconnect()
            async with asyncio.timeout(CLOSE_S):
                await socket.wait_disconnected()
        socket.disconnect(graceful=False)

    async def _ask(
        self,
        method: str,
        params: Sequence[Any],
        handler: Notified | None,
        account: AccountTold | None = None,
    ) -> Any:
        if self._socket is None or self._reader is None or self._reader.ended.done():
            raise self._error(ChannelErrorCode.CLOSED, "not connected")
        if len(self._waiting) >= MAX_WAITING:
            raise self._error(ChannelErrorCode.REFUSED, f"{MAX_WAITING} requests wait already")
        self._next_id += 1
        request_id = self._next_id
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = (future, handler, account)
        body = {"jsonrpc": "2.0", "id": request_id, "method": method, "params": list(params)}
        try:
            async with asyncio.timeout(self._request_ns / 1e9):
                self._socket.send(_TEXT, json.dumps(body, separators=(",", ":")).encode())
                return await future
        except TimeoutError as error:
            raise self._error(ChannelErrorCode.TIMEOUT, f"{method} was not answered") from error
        except (WSError, OSError) as error:
            raise self._error(ChannelErrorCode.CLOSED, type(error).__name__) from error
        finally:
            self._waiting.pop(request_id, None)

    def _take(self, text: bytes | memoryview, read_ns: int) -> None:
        self.messages += 1
        if self._accounts:
            try:
                params = _read_account_notification(text).params
            except (msgspec.DecodeError, UnicodeDecodeError):
                pass  # another kind of message, or none: read once more, with care
            else:
                account = self._accounts.get(params.subscription)
                if account is not None:
                    account(params.result, read_ns)
                    return
        self._take_any(text, read_ns)

    def _take_any(self, text: bytes | memoryview, read_ns: int) -> None:
        try:
            params = _read_notification(text).params
        except msgspec.ValidationError:
            self._take_other(text)
            return
        except msgspec.DecodeError as error:
            raise self._error(ChannelErrorCode.MALFORMED, f"no JSON: {bytes(text[:60])!r}") from error
        handler = self._handlers.get(params.subscription)
        if handler is None:
            self.strays += 1
            return
        if type(handler) is _Ending:
            del self._handlers[params.subscription]
        handler(params.result, read_ns)

    def _take_other(self, text: bytes | memoryview) -> None:
        told = orjson.loads(text)
        if not isinstance(told, dict):
            raise self._error(ChannelErrorCode.MALFORMED, f"no object: {bytes(text[:60])!r}")
        if "id" in told and "method" not in told:
            self._answered(told)
        else:
            self.strays += 1

    def _answered(self, told: dict[str, Any]) -> None:
        waiting = self._waiting.get(told["id"]) if isinstance(told["id"], int) else None
        if waiting is None or waiting[0].done():
            self.strays += 1
            return
        future, handler, account = waiting
        if "result" not in told:
            text = str(told.get("error"))[:200]
            future.set_exception(self._error(ChannelErrorCode.REFUSED, text))
        elif handler is None:
            future.set_result(told["result"])
        elif is_count(told["result"]):
            self._handlers[told["result"]] = handler
            if account is not None:
                self._accounts[told["result"]] = account
            future.set_result(told["result"])
        else:
            future.set_exception(self._error(ChannelErrorCode.MALFORMED, "a subscription without a number"))

    def _fail_waiting(self) -> None:
        for future, _, _ in self._waiting.values():
            if not future.done():
                future.set_exception(self._error(ChannelErrorCode.CLOSED, "closed"))
                future.exception()  # whoever waited may be gone
        self._waiting.clear()

    def _error(self, code: ChannelErrorCode, message: str) -> ChannelError:
        return _error(self._endpoint.name, code, message)


def _error(name: str, code: ChannelErrorCode, message: str) -> ChannelError:
    return ChannelError(code, f"{name}: {code.name.lower()}: {message}")


def _nothing(result: msgspec.Raw, received_ns: int) -> None:
    """What came after the end was asked for."""
