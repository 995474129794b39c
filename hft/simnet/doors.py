"""The local cluster's HTTP door: JSON-RPC, WebSocket, block engine and administration on one loopback port.

    POST /                     JSON-RPC; GET with an upgrade: the WebSocket
    POST /api/v1/...           the block engine
    GET, POST, DELETE /admin/  faults and figures
    /node/NAME/...             the same, as another node of the same cluster: faults can meet it alone

It has an event loop of its own, which ``step`` turns: whoever steps the cluster steps its door.
"""

import asyncio
import errno
import json
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson
import uvloop
from aiohttp import WSCloseCode, WSMsgType, web

from hft.runtime.exit_codes import ExitCode, HftError
from hft.simnet import admin, jito, rpc_accounts, rpc_chain, rpc_transactions
from hft.simnet.block_engine import BundleError
from hft.simnet.cluster import Cluster
from hft.simnet.rpc import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    Method,
    Params,
    RpcError,
    View,
)
from hft.simnet.subscriptions import SUBSCRIBE, UNSUBSCRIBE, Channel, Hub

if TYPE_CHECKING:
    from hft.simnet.geyser import GeyserDoor

HOST: Final = "127.0.0.1"
MAX_BODY: Final = 256 * 1024
MAX_BATCH: Final = 100
MAX_CHANNELS: Final = 256
RATE_LIMITED: Final = -32097
TIP_STREAM_S: Final = 1.0
ORDERLY: Final = (WSCloseCode.OK, WSCloseCode.GOING_AWAY, 1005)
PARTINGS: Final = ("left", "broken", "overrun", "cut", "refused")
"""How WebSocket clients go: with a goodbye; without one; for not reading; by a fault on demand; for sending
what is no text."""
_JSON: Final = "application/json; charset=utf-8"
_PLAIN: Final = {"Content-Type": _JSON}
METHODS: Final[dict[str, Method]] = {
    **rpc_accounts.METHODS,
    **rpc_chain.METHODS,
    **rpc_transactions.METHODS,
}


class Answer(NamedTuple):
    """An HTTP answer to be."""

    status: int
    text: str
    bundle: str = ""

    def response(self) -> web.Response:
        """As aiohttp sends it."""
        headers = {"Content-Type": _JSON, "x-bundle-id": self.bundle} if self.bundle else _PLAIN
        return web.Response(status=self.status, body=self.text.encode(), headers=headers)


class Window:
    """At most so many in a time; 0: no limit."""

    def __init__(self, most: int, span_ns: int) -> None:
        self._most = most
        self._span_ns = span_ns
        self._taken: dict[str, deque[int]] = {}

    def admits(self, key: str, now_ns: int) -> bool:
        """Takes a place of ``key`` if there is one."""
        if not self._most:
            return True
        taken = self._taken.setdefault(key, deque())
        while taken and taken[0] <= now_ns - self._span_ns:
            taken.popleft()
        if len(taken) >= self._most:
            return False
        taken.append(now_ns)
        return True


class Doors:
    """See the module. Loopback only: there is no setting that opens it to other machines."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._loop = uvloop.new_event_loop()
        self._hub = Hub(cluster)
        cluster.listeners.append(self._hub)
        self._runner: web.ServerRunner | None = None
        self._channels: set[Channel] = set()
        self._requests = Window(cluster.settings.rpc_requests_per_10s, 10_000_000_000)
        self._bundles = Window(cluster.settings.bundle_requests_per_second, 1_000_000_000)
        self._timer: asyncio.TimerHandle | None = None
        self._geyser: GeyserDoor | None = None
        self.port = 0
        self.grpc_port = -1
        self.served = 0
        self.partings: Counter[str] = Counter()

    @property
    def subscriptions(self) -> int:
        """Subscriptions that stand."""
        return self._hub.count

    def open(self, port: int) -> int:
        """Listens on a loopback port (0: a free one); returns it. ``HftError`` PORT_TAKEN."""
        try:
            self.port = self._loop.run_until_complete(self._open(port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise HftError(
                f"port {port} of {HOST} is in use by another program", ExitCode.PORT_TAKEN
            ) from error
        if self._cluster.settings.grpc_port >= 0:
            self._open_geyser(self._cluster.settings.grpc_port)
        return self.port

    def step(self, timeout_ns: int) -> None:
        """Serves what is ready; waits for it at most ``timeout_ns``, and ends early once a request came."""
        if timeout_ns > 0:
            self._timer = self._loop.call_later(timeout_ns / 1e9, self._loop.stop)
        else:
            self._loop.call_soon(self._loop.stop)
        self._loop.run_forever()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def close(self) -> None:
        """Ends every connection and the loop."""
        if self._geyser is not None:
            self._geyser.close()
            self._geyser = None
        if self._runner is not None:
            closing = self._loop.create_task(self._close())
            closing.add_done_callback(lambda _: self._loop.stop())
            while not closing.done():  # requests that end now stop the loop too
                self._loop.run_forever()
            self._runner = None
        self._cluster.listeners.remove(self._hub)
        self._loop.close()

    def _open_geyser(self, port: int) -> None:
        try:
            from hft.simnet.geyser import GeyserDoor
        except ImportError as error:
            raise HftError(
                f"[simnet] grpc_port = {port} needs the extra 'yellowstone' ({error.name} is not installed)",
                ExitCode.CONFIG,
            ) from error
        self._geyser = GeyserDoor(self._cluster, self._soon)
        self.grpc_port = self._geyser.open(port)

    def _soon(self, call: Callable[[], None]) -> None:
        """Has ``call`` made on this thread; nothing happens once the loop is closed."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call)

    async def _open(self, port: int) -> int:
        server = web.Server(self._serve, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, port, backlog=512)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def _close(self) -> None:
        if self._runner is not None:
            for task in asyncio.all_tasks():
                if task is not asyncio.current_task():
                    task.cancel()
            await self._runner.cleanup()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        path, node = request.path, ""
        if path.startswith("/node/"):
            node, _, rest = path.removeprefix("/node/").partition("/")
            path = "/" + rest
        try:
            if path.startswith("/admin/"):
                return await self._admin(request, path)
            if path == "/api/v1/bundles/tip_floor" and request.method == "GET":
                floor = jito.tip_floor(self._cluster, int(time.time()), node)
                return Answer(200, json.dumps(floor)).response()
            if request.headers.get("Upgrade", "").lower() == "websocket":
                if path == "/api/v1/bundles/tip_stream":
                    return await self._tip_stream(request)
                return await self._websocket(request, node)
            if request.method == "GET" and path == "/health":
                return web.Response(text="ok")
            if request.method != "POST":
                return web.Response(status=405, text="Used HTTP Method is not allowed. POST is required")
            if request.content_length is not None and request.content_length > MAX_BODY:
                return web.Response(status=413, text=f"at most {MAX_BODY} bytes")
            body = await request.read()
            return await self._post(request, body, path, node)
        finally:
            self.served += 1
            self._loop.stop()

    async def _post(self, request: web.BaseRequest, body: bytes, path: str, node: str) -> web.StreamResponse:
        try:
            asked = orjson.loads(body)
        except ValueError:
            return Answer(200, _error(None, PARSE_ERROR, "Parse error")).response()
        method = asked.get("method", "") if isinstance(asked, dict) else ""
        cut = lost = False
        if self._cluster.faults.standing:
            met = await self._meet(request, node, str(method), asked)
            if met is not None:
                return met
            faults = self._cluster.faults
            cut = faults.take("malformed_json", node, method) is not None
            lost = faults.take("lost_answer", node, method) is not None
        jito_path = path.removeprefix("/api/v1/") if path.startswith("/api/v1/") else None
        if jito_path is not None:
            answer = self._block_engine(request, asked, jito_path, node)
        elif not self._requests.admits(node, time.monotonic_ns()):
            answer = Answer(429, _error(_id(asked), 429, "Too many requests for this endpoint"))
        elif isinstance(asked, list):
            if not 0 < len(asked) <= MAX_BATCH:
                answer = Answer(200, _error(None, INVALID_REQUEST, f"a batch of 1 to {MAX_BATCH} requests"))
            else:
                answer = Answer(200, "[" + ",".join(self.call(one, node) for one in asked) + "]")
        else:
            answer = Answer(200, self.call(asked, node))
        self._loop.stop()
        if lost:
            await self._hang(request)
        if cut:
            answer = answer._replace(text=answer.text[: len(answer.text) // 2])
        return answer.response()

    def call(self, asked: Any, node: str) -> str:
        """One JSON-RPC request's answer as JSON text."""
        try:
            method, params = _parse(asked)
            found = METHODS.get(method)
            if found is None:
                raise RpcError(METHOD_NOT_FOUND, "Method not found")
            result = found(View(self._cluster, node), params)
        except RpcError as error:
            return _error(_id(asked), error.code, str(error), error.data)
        return _result(_id(asked), result)

    def _block_engine(self, request: web.BaseRequest, asked: Any, path: str, node: str) -> Answer:
        if not self._bundles.admits(node, time.monotonic_ns()):
            limit = self._cluster.settings.bundle_requests_per_second
            message = f"Rate limit exceeded. Limit: {limit} per second for txn requests"
            return Answer(429, _error(_id(asked), RATE_LIMITED, message))
        try:
            method, params = _parse(asked)
            if method not in jito.PATHS.get(path, ()):
                raise RpcError(METHOD_NOT_FOUND, f"Method not found: {method!r:.60} at {path!r:.60}")
            view = View(self._cluster, node)
            if method == "sendTransaction":
                only = request.query.get("bundleOnly", "").lower() == "true"
                signature, name = jito.send_transaction(view, params, only)
                return Answer(200, _result(_id(asked), signature), name)
            result = jito.METHODS[method](view, params)
        except BundleError as error:
            return Answer(error.status, _error(_id(asked), error.code, str(error)))
        except RpcError as error:
            return Answer(200, _error(_id(asked), error.code, str(error), error.data))
        return Answer(200, _result(_id(asked), result), result if method == "sendBundle" else "")

    async def _meet(
        self, request: web.BaseRequest, node: str, method: str, asked: Any
    ) -> web.StreamResponse | None:
        """The faults that stand in a request's way; ``None`` if it may go on."""
        take = self._cluster.faults.take
        late = take("latency", node, method)
        if late is not None:
            await asyncio.sleep(late.ms / 1000)
        if take("hang", node, method):
            await self._hang(request)
            return web.Response(status=503)  # nobody reads it; without it the request would be carried out
        if take("disconnect", node, method) and request.transport is not None:
            request.transport.abort()
        if take("rate_limit", node, method):
            text = _error(_id(asked), RATE_LIMITED, "Network congested. Endpoint is globally rate limited.")
            return web.Response(status=429, body=text.encode(), headers={**_PLAIN, "Retry-After": "1"})
        broken = take("server_error", node, method)
        if broken is not None:
            return web.Response(status=broken.status, text="upstream is not available")
        wrong = take("rpc_error", node, method)
        if wrong is not None:
            data = {"numSlotsBehind": 150} if wrong.code == -32005 else None
            data = {"contextSlot": self._cluster.bank.slot} if wrong.code == -32016 else data
            text = _error(_id(asked), wrong.code, "as a fault on demand says", data)
            return Answer(200, text).response()
        return None

    async def _hang(self, request: web.BaseRequest) -> None:
        """Never ends, but with the connection."""
        self._loop.stop()
        while request.transport is not None and not request.transport.is_closing():
            await asyncio.sleep(0.05)

    async def _admin(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        body = await request.read()
        status, found = admin.handle(self._cluster, request.method, path.removeprefix("/admin/"), body)
        return Answer(status, json.dumps(found)).response()

    async def _tip_stream(self, request: web.BaseRequest) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        while not socket.closed:
            await socket.send_str(json.dumps(jito.tip_floor(self._cluster, int(time.time()))))
            await asyncio.sleep(TIP_STREAM_S)
        return socket

    async def _websocket(self, request: web.BaseRequest, node: str) -> web.StreamResponse:
        if len(self._channels) >= MAX_CHANNELS:
            return web.Response(status=503, text=f"{MAX_CHANNELS} WebSockets are served at once")
        socket = web.WebSocketResponse(max_msg_size=MAX_BODY, compress=False)
        await socket.prepare(request)
        news = asyncio.Event()
        channel = Channel(node, news.set)
        self._channels.add(channel)
        writer = asyncio.ensure_future(_write(socket, channel, news))
        refused = False
        try:
            async for message in socket:
                refused = message.type not in (WSMsgType.TEXT, WSMsgType.ERROR)
                if message.type is not WSMsgType.TEXT:
                    break
                self._on_message(channel, message.data)
                self._loop.stop()
            self.partings[_parting(channel, socket.close_code, refused)] += 1
        finally:
            self._channels.discard(channel)
            self._hub.forget(channel)
            writer.cancel()
        return socket

    def _on_message(self, channel: Channel, text: str) -> None:
        asked: Any = None
        after: Callable[[], None] | None = None
        try:
            try:
                asked = orjson.loads(text)
            except ValueError as error:
                raise RpcError(PARSE_ERROR, "Parse error") from error
            method, params = _parse(asked)
            if method in SUBSCRIBE:
                result, after = self._hub.subscribe(channel, method, params)
            elif method in UNSUBSCRIBE:
                result = self._hub.unsubscribe(channel, params[0] if params else None)
            else:
                channel.send(self.call(asked, channel.node))
                return
        except RpcError as error:
            channel.send(_error(_id(asked), error.code, str(error), error.data))
            return
        channel.send(_result(_id(asked), result))
        if after is not None:
            after()


def _parting(channel: Channel, close_code: int | None, refused: bool) -> str:
    """One of ``PARTINGS``. A client that says goodbye names a code (1000, 1001) or none (1005); one whose
    connection ends without, or that breaks the protocol, has another."""
    if refused:
        return "refused"
    if channel.overrun or channel.cut:
        return "overrun" if channel.overrun else "cut"
    return "left" if close_code in ORDERLY else "broken"


async def _write(socket: web.WebSocketResponse, channel: Channel, news: asyncio.Event) -> None:
    """Sends a channel's messages as they come, until it is closed or has too much unread."""
    while not socket.closed:
        await news.wait()
        news.clear()
        while channel.outgoing:
            text = channel.outgoing.popleft()
            channel.unread -= len(text)
            await socket.send_str(text)
        if channel.overrun:
            await socket.close(code=1008, message=b"too much is unread")
        elif channel.cut:
            await socket.close(code=1012, message=b"cut on demand")


def _parse(asked: Any) -> tuple[str, Params]:
    if not isinstance(asked, dict) or not isinstance(asked.get("method"), str):
        raise RpcError(INVALID_REQUEST, "Invalid request")
    params = asked.get("params", [])
    if params is None:
        params = []
    if not isinstance(params, list):
        raise RpcError(INVALID_PARAMS, "Invalid params: a list belongs there")
    return asked["method"], params


def _id(asked: Any) -> Any:
    return asked.get("id") if isinstance(asked, dict) else None


def _result(number: Any, result: Any) -> str:
    return json.dumps({"jsonrpc": "2.0", "result": result, "id": number}, separators=(",", ":"))


def _error(number: Any, code: int, message: str, data: Any = None) -> str:
    error = {"code": code, "message": message}
    if data is not None:
        error["data"] = data
    return json.dumps({"jsonrpc": "2.0", "error": error, "id": number}, separators=(",", ":"))
