"""One WebSocket connection, against a server that does what a node may do: every way to end, every frame."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport, ws_create_server
from solders.pubkey import Pubkey

from hft.chain import rpc_parse, subscribe_channel
from hft.chain.endpoint import Endpoint, EndpointError, EndpointErrorCode, Reach, loopback_socket
from hft.chain.rpc_parse import ShapeError
from hft.chain.subscribe_channel import Channel, ChannelError, ChannelErrorCode
from hft.venues import Account
from tests.chain.rpc_support import run

NUMBER = 77
SILENCE_NS, LONG_NS = 200_000_000, 20_000_000_000
Play = Callable[[WSTransport], None]


class Node(WSListener):
    """Answers every request by its number, then plays its part."""

    def __init__(self, play: Play) -> None:
        self._play = play
        self.heard: list[WSMsgType] = []
        self.pongs: list[bytes] = []
        self.headers: dict[str, str] = {}

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        self.heard.append(frame.msg_type)
        if frame.msg_type == WSMsgType.PONG:
            self.pongs.append(frame.get_payload_as_bytes())
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        if frame.msg_type == WSMsgType.TEXT:
            asked = json.loads(frame.get_payload_as_bytes())
            answer = {"jsonrpc": "2.0", "id": asked["id"], "result": NUMBER}
            transport.send(WSMsgType.TEXT, json.dumps(answer).encode())
            self._play(transport)


def told(result: Any, number: int = NUMBER) -> bytes:
    return json.dumps({"method": "x", "params": {"result": result, "subscription": number}}).encode()


@asynccontextmanager
async def channel_to(node: Node, silence_ns: int = LONG_NS) -> AsyncIterator[Channel]:
    def accept(request: Any) -> Node:
        node.headers = {name.lower(): value for name, value in request.headers.items()}
        return node

    server = await ws_create_server(accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    endpoint = Endpoint("node", "", f"ws://127.0.0.1:{port}/path", headers=(("x-token", "uuid"),))
    channel = Channel(Reach.LOOPBACK, endpoint, silence_ns=silence_ns, request_ns=LONG_NS)
    try:
        await channel.open()
        yield channel
    finally:
        await channel.close()
        server.close()
        await server.wait_closed()


def follow(
    play: Play, *, until: int = 10, silence_ns: int = LONG_NS, handler: Any = None
) -> tuple[list[tuple[Any, int]], ChannelError | None, Node, Channel]:
    """What came of one subscription, until so many came or the connection ended."""
    node, got, enough = Node(play), [], asyncio.Event()

    def take(result: msgspec.Raw, received_ns: int) -> None:
        if handler is not None:
            handler(result)
        got.append((rpc_parse.loads(result), received_ns))
        if len(got) >= until:
            enough.set()

    async def work() -> tuple[ChannelError | None, Channel]:
        async with channel_to(node, silence_ns) as channel:
            reading = asyncio.create_task(channel.run())
            assert await channel.subscribe("x", [], take) == NUMBER
            waiting = asyncio.create_task(enough.wait())
            await asyncio.wait({reading, waiting}, return_when=asyncio.FIRST_COMPLETED, timeout=20)
            waiting.cancel()
            error = None
            if reading.done():
                ended = reading.exception()
                if not isinstance(ended, ChannelError):
                    assert ended is not None
                    raise ended
                error = ended
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        return error, channel

    error, channel = run(work())
    return got, error, node, channel


def test_what_comes_together_has_one_time_and_each_kind_of_frame_its_place() -> None:
    def play(node: WSTransport) -> None:
        node.send(WSMsgType.TEXT, told(1))
        node.send_ping(b"there?")
        node.send(WSMsgType.BINARY, b"not for us")
        node.send(WSMsgType.TEXT, told(0, number=78))
        whole = told({"in": "parts"})
        node.send(WSMsgType.TEXT, whole[:9], fin=False)
        node.send(WSMsgType.CONTINUATION, whole[9:20], fin=False)
        node.send(WSMsgType.CONTINUATION, whole[20:])
        node.send(WSMsgType.TEXT, told(3))

    got, error, node, channel = follow(play, until=3)
    assert error is None
    assert [result for result, _ in got] == [1, {"in": "parts"}, 3]
    assert all(0 < before <= after for (_, before), (_, after) in pairwise(got))
    assert (channel.strays, channel.messages) == (1, 5)
    assert node.pongs == [b"there?"]
    assert node.headers["x-token"] == "uuid"
    assert node.heard[-1] == WSMsgType.CLOSE  # it said goodbye


@pytest.mark.parametrize(
    ("play", "code"),
    [
        (lambda node: node.send_close(WSCloseCode.GOING_AWAY), ChannelErrorCode.CLOSED),
        (lambda node: node.disconnect(graceful=False), ChannelErrorCode.CLOSED),
        (lambda node: node.send(WSMsgType.TEXT, b"{"), ChannelErrorCode.MALFORMED),
        (lambda node: node.send(WSMsgType.TEXT, b"[]"), ChannelErrorCode.MALFORMED),
        (lambda node: node.send(WSMsgType.TEXT, b"\xff"), ChannelErrorCode.MALFORMED),
    ],
)
def test_an_end_has_its_reason(play: Play, code: ChannelErrorCode) -> None:
    got, error, _, _ = follow(play)
    assert not got
    assert error is not None
    assert error.code is code
    assert str(error).startswith(f"node: {code.name.lower()}: ")


def test_more_than_a_message_may_have_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscribe_channel, "MAX_MESSAGE_BYTES", 1_000)

    def parts(node: WSTransport) -> None:
        node.send(WSMsgType.TEXT, b" " * 900, fin=False)
        node.send(WSMsgType.CONTINUATION, b" " * 900, fin=False)

    for play in (lambda node: node.send(WSMsgType.TEXT, b" " * 1_001), parts):
        got, error, _, _ = follow(play)
        assert not got
        assert error is not None
        assert error.code in (ChannelErrorCode.CLOSED, ChannelErrorCode.MALFORMED)


def test_row_07_pings_alone_are_silence() -> None:
    def ping(node: WSTransport) -> None:
        if not node.is_disconnected:
            node.send_ping(b"")
            asyncio.get_running_loop().call_later(SILENCE_NS / 1e9 / 8, ping, node)

    _, error, node, _ = follow(ping, silence_ns=SILENCE_NS)
    assert error is not None
    assert error.code is ChannelErrorCode.SILENT
    assert len(node.pongs) >= 4


def test_what_a_handler_raises_ends_the_connection_with_it() -> None:
    def refuse(result: msgspec.Raw) -> None:
        raise ShapeError("odd")

    with pytest.raises(ShapeError, match="odd"):
        follow(lambda node: node.send(WSMsgType.TEXT, told(1)), handler=refuse)


def test_nobody_listens_or_another_machine() -> None:
    async def connect(url: str) -> None:
        channel = Channel(Reach.LOOPBACK, Endpoint("n", "", url), silence_ns=LONG_NS, request_ns=LONG_NS)
        await channel.open()

    with pytest.raises(ChannelError, match="connect: ConnectionRefusedError"):
        run(connect("ws://127.0.0.1:9/"))
    with pytest.raises(EndpointError) as refused:
        run(connect("ws://192.0.2.1:9/"))
    assert refused.value.code is EndpointErrorCode.NOT_LOOPBACK

    async def by_name() -> Awaitable[Any] | None:
        server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
        async with server:
            made = await loopback_socket("localhost", server.sockets[0].getsockname()[1])
            made.close()
        return None

    run(by_name())


OWNER = Pubkey(bytes(range(32)))
GOOD = {"lamports": 2**64 - 1, "data": [base64.b64encode(b"bytes").decode(), "base64"], "owner": str(OWNER)}
AROUND: dict[str, Any] = {"rentEpoch": 2**64 - 1, "executable": False, "space": 5}


def raw(value: Any, slot: Any = 5) -> bytes:
    return json.dumps({"context": {"apiVersion": "3.1", "slot": slot}, "value": value}).encode()


def test_a_notification_is_read_as_an_answer_is() -> None:
    slot, value = rpc_parse.with_context(json.loads(raw(GOOD | AROUND)), "x")
    assert rpc_parse.account_notification(raw(GOOD | AROUND)) == (slot, rpc_parse.account(value))
    assert rpc_parse.account_notification(raw(GOOD)) == (5, Account(bytes(OWNER), b"bytes", 2**64 - 1))
    assert rpc_parse.account_notification(raw(None)) == (5, None)


@pytest.mark.parametrize(
    "odd",
    [
        b"{",
        b"[]",
        b'{"context":{"slot":1}}',
        raw(GOOD, slot=-1),
        raw(GOOD, slot=2**64),
        raw(GOOD, slot=1.0),
        raw(GOOD | {"lamports": 2**64}),
        raw(GOOD | {"lamports": True}),
        raw(GOOD | {"owner": "nobody"}),
        raw(GOOD | {"data": ["!", "base64"]}),
        raw(GOOD | {"data": ["AAA", "base64"]}),
        raw(GOOD | {"data": ["", "base58"]}),
        raw(GOOD | {"data": "AAAA"}),
        raw("x"),
    ],
)
def test_a_notification_of_another_shape_is_refused(odd: bytes) -> None:
    with pytest.raises(ShapeError):
        rpc_parse.account_notification(odd)
