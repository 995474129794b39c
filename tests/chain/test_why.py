"""Why a server can't be reached, told of real servers that refuse, and of places where there is none."""

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web

from hft.chain.endpoint import Endpoint, Reach, open_session
from hft.chain.rpc import RpcClient
from hft.chain.rpc_faults import FaultKind, RpcFault
from hft.chain.rpc_parse import ShapeError
from hft.chain.subscribe_channel import Channel, ChannelError, ChannelErrorCode
from hft.chain.why import why
from tests.chain.rpc_support import FAST, SECOND, run, served

KEY = "/a-secret-key"


@pytest.fixture
def nobody() -> Iterator[int]:
    """A port that is taken, and at which nobody listens."""
    with contextlib.closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


async def told(url: str, reach: Reach = Reach.LOOPBACK) -> tuple[str, str]:
    """What is said of a JSON-RPC call, and of a WebSocket, to the same place."""
    ws_url = url.replace("http", "ws", 1)
    async with open_session(reach) as http:
        rpc = RpcClient(http, [Endpoint("node", url)], FAST._replace(attempts=1))
        with pytest.raises(RpcFault) as of_rpc:
            await rpc.slot(deadline_ns=rpc.now_ns + 5 * SECOND)
    channel = Channel(reach, Endpoint("node", "", ws_url), silence_ns=SECOND, request_ns=5 * SECOND)
    with pytest.raises(ChannelError) as of_channel:
        await channel.open()
    await channel.close()
    return why(of_rpc.value), why(of_channel.value)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "HTTP 401 (is the key right?)"),
        (403, "HTTP 403 (is the key right?)"),
        (404, "HTTP 404"),
        (429, "HTTP 429"),
        (503, "HTTP 503"),
    ],
)
def test_a_status_is_told_without_what_the_server_says_to_it(status: int, said: str) -> None:
    async def refuse(_asked: dict[str, Any], request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=f"no such key: {request.path_qs}")

    async def work() -> None:
        async with served(refuse) as server:
            assert await told(server.url + KEY) == (f"JSON-RPC: {said}", said)

    run(work())


@pytest.mark.parametrize("reach", list(Reach))
def test_a_place_where_nobody_listens(nobody: int, reach: Reach) -> None:
    words = "nobody listens there"
    assert run(told(f"http://127.0.0.1:{nobody}{KEY}", reach)) == (f"JSON-RPC: {words}", words)


def test_a_name_that_is_none() -> None:
    for said in run(told(f"http://there-is-none.invalid{KEY}", Reach.ANYWHERE)):
        assert said.removeprefix("JSON-RPC: ").startswith("its name is not found: ")
        assert KEY not in said


def test_a_server_without_tls() -> None:
    async def answer(_asked: dict[str, Any], _request: web.Request) -> web.StreamResponse:
        return web.Response()

    async def work() -> None:
        async with served(answer) as server:
            for said in await told(server.url.replace("http", "https") + KEY):
                assert said.removeprefix("JSON-RPC: ").startswith("no TLS there: ")
                assert KEY not in said

    run(work())


def test_a_call_that_was_not_made_says_nothing_new() -> None:
    refused = RpcFault(FaultKind.DEADLINE, "node", "no request was allowed before the deadline")
    assert why(refused, "JSON-RPC: HTTP 401") == "JSON-RPC: HTTP 401"
    assert why(refused) == "JSON-RPC: no answer in time"


def test_what_comes_and_makes_no_sense_is_told_as_such() -> None:
    assert why(ShapeError("slot: a text")) == "its answer makes no sense"
    assert why(ChannelError(ChannelErrorCode.SILENT, "node: silent")) == "open, but nothing comes"
    assert why(RpcFault(FaultKind.RPC_ERROR, "node", "no", code=-32601)) == "JSON-RPC: error -32601"
