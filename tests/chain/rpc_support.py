"""A small real JSON-RPC server on loopback whose answers a test writes, and a loop with a limit."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import uvloop
from aiohttp import web

from hft.chain.backoff import BackoffRule
from hft.chain.breaker import BreakerRule
from hft.chain.endpoint import Endpoint
from hft.chain.rpc_caller import CallRule

T = TypeVar("T")
LIMIT_S = 60.0
SECOND = 1_000_000_000
MILLISECOND = 1_000_000

FAST = CallRule(
    attempts=4,
    attempt_ns=300 * MILLISECOND,
    backoff=BackoffRule(2 * MILLISECOND, 10 * MILLISECOND),
    breaker=BreakerRule(3, 100 * MILLISECOND, 400 * MILLISECOND),
)

PATIENT = FAST._replace(attempt_ns=5 * SECOND)
"""For nodes that answer: on a busy machine they take their time."""

Answerer = Callable[[dict[str, Any], web.Request], Awaitable[web.StreamResponse]]


def run(work: Coroutine[Any, Any, T]) -> T:
    """Runs a test's coroutine to its end on a loop as the services use; ``TimeoutError`` after a limit."""

    async def limited() -> T:
        async with asyncio.timeout(LIMIT_S):
            return await work

    return uvloop.run(limited())


async def until(condition: Callable[[], bool]) -> None:
    """Lets the loop run until ``condition`` holds; ``run`` bounds it."""
    while not condition():
        await asyncio.sleep(0.001)


def result(request: dict[str, Any], value: Any) -> web.Response:
    """A JSON-RPC answer."""
    return web.json_response({"jsonrpc": "2.0", "id": request["id"], "result": value})


def error(
    request: dict[str, Any], code: int, message: str = "no", data: Any = None, status: int = 200
) -> web.Response:
    """A JSON-RPC error."""
    told = {"code": code, "message": message} | ({"data": data} if data is not None else {})
    return web.json_response({"jsonrpc": "2.0", "id": request["id"], "error": told}, status=status)


class Server:
    """See the module; ``answers`` may be changed at any time, ``bodies`` is what came."""

    def __init__(self, answer: Answerer) -> None:
        self.answer = answer
        self.requests: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.headers: list[Any] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        asked = json.loads(body) if body else {"id": 0}
        self.requests.append(asked)
        self.paths.append(request.path_qs)
        self.headers.append(request.headers)
        return await self.answer(asked, request)

    def endpoint(self, name: str = "node", **more: Any) -> Endpoint:
        return Endpoint(name, self.url, **{"interval_ns": MILLISECOND, "burst": 1000, **more})


@asynccontextmanager
async def served(answer: Answerer) -> AsyncIterator[Server]:
    """A server on a free port of 127.0.0.1."""
    server = Server(answer)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    server.url = f"http://127.0.0.1:{port}"
    try:
        yield server
    finally:
        await runner.cleanup()
