"""How WebSocket clients go: a goodbye is told apart from a broken connection."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator

import aiohttp
import pytest
from door_helpers import DEADLINE_S, Served

SLOTS = '{"jsonrpc":"2.0","id":1,"method":"slotSubscribe"}'
Leave = Callable[[Served, aiohttp.ClientWebSocketResponse], Awaitable[object]]


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    server = Served()
    yield server
    server.close()


async def goodbye(_: Served, socket: aiohttp.ClientWebSocketResponse) -> None:
    await socket.close()


async def going_away(_: Served, socket: aiohttp.ClientWebSocketResponse) -> None:
    await socket.close(code=aiohttp.WSCloseCode.GOING_AWAY)


async def vanish(_: Served, socket: aiohttp.ClientWebSocketResponse) -> None:
    transport = socket._response.connection.transport  # type: ignore[union-attr]
    assert transport is not None
    transport.abort()


async def bytes_instead(_: Served, socket: aiohttp.ClientWebSocketResponse) -> None:
    await socket.send_bytes(b"\x00\x01")


async def cut(served: Served, _: aiohttp.ClientWebSocketResponse) -> None:
    await asyncio.to_thread(served.fault, "cut_streams")


async def complain(_: Served, socket: aiohttp.ClientWebSocketResponse) -> None:
    await socket.close(code=aiohttp.WSCloseCode.PROTOCOL_ERROR)


@pytest.mark.parametrize(
    ("leave", "parting"),
    [
        (goodbye, "left"),
        (going_away, "left"),
        (vanish, "broken"),
        (complain, "broken"),
        (bytes_instead, "refused"),
        (cut, "cut"),
    ],
)
def test_a_client_that_goes_is_counted_by_how(served: Served, leave: Leave, parting: str) -> None:
    partings = served.alone.doors.partings
    before = partings.copy()

    async def visit() -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"ws://127.0.0.1:{served.port}/") as socket,
        ):
            await socket.send_str(SLOTS)
            await socket.receive(timeout=DEADLINE_S)
            await leave(served, socket)
            deadline = time.monotonic() + DEADLINE_S
            while partings == before:
                assert time.monotonic() < deadline, f"nobody counted who {parting}"
                await socket.receive(timeout=0.05) if parting == "cut" else await asyncio.sleep(0.005)

    asyncio.run(visit())
    assert partings - before == {parting: 1}
