"""Yellowstone gRPC against a small real server of its protocol, with snapshots from the local cluster."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from hft.chain.backoff import BackoffRule
from hft.chain.endpoint import Endpoint, EndpointError, Reach, open_session
from hft.chain.subscribe import AccountChanged, AccountFeed, FeedEvent, SourceLive, SourceLost
from hft.chain.subscribe_merge import Watch
from tests.chain.rpc_support import MILLISECOND, SECOND, run
from tests.chain.simnet_support import WALLET, Simnet

grpc = pytest.importorskip("grpc", reason="the extra yellowstone is not installed")
pytest.importorskip("google.protobuf", reason="the extra yellowstone is not installed")
if True:  # these need the extra
    from hft.chain.yellowstone import GeyserRule, GeyserSource, pb

RULE = GeyserRule(
    silence_ns=200 * MILLISECOND,
    snapshot_ns=SECOND,
    backoff=BackoffRule(5 * MILLISECOND, 20 * MILLISECOND),
)
KEY = bytes(WALLET.pubkey())


class Geyser:
    """A server of geyser.Geyser/Subscribe whose messages the test sends."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.metadata: list[dict[str, str]] = []
        self.pongs = 0
        self.streams: list[asyncio.Queue[Any]] = []
        self.port = 0

    async def subscribe(self, incoming: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        first = await anext(incoming)
        self.requests.append(first)
        self.metadata.append(dict(context.invocation_metadata()))
        queue: asyncio.Queue[Any] = asyncio.Queue()
        self.streams.append(queue)

        async def read() -> None:
            async for request in incoming:
                self.pongs += request.HasField("ping")

        reader = asyncio.create_task(read())
        try:
            while (message := await queue.get()) is not None:
                if isinstance(message, grpc.StatusCode):
                    await context.abort(message, "on demand")
                yield message
        finally:
            reader.cancel()

    def slot(self, slot: int, parent: int) -> None:
        update = pb.SubscribeUpdateSlot(slot=slot, parent=parent, status=pb.SLOT_PROCESSED)
        self.streams[-1].put_nowait(pb.SubscribeUpdate(slot=update))

    def account(self, slot: int, write_version: int, lamports: int) -> None:
        info = pb.SubscribeUpdateAccountInfo(
            pubkey=KEY, owner=bytes(32), lamports=lamports, write_version=write_version
        )
        self.streams[-1].put_nowait(
            pb.SubscribeUpdate(account=pb.SubscribeUpdateAccount(account=info, slot=slot))
        )


@asynccontextmanager
async def geyser_server() -> AsyncIterator[Geyser]:
    geyser = Geyser()
    server = grpc.aio.server()
    handler = grpc.stream_stream_rpc_method_handler(
        geyser.subscribe,
        request_deserializer=pb.SubscribeRequest.FromString,
        response_serializer=pb.SubscribeUpdate.SerializeToString,
    )
    service = grpc.method_handlers_generic_handler("geyser.Geyser", {"Subscribe": handler})
    server.add_generic_rpc_handlers((service,))
    geyser.port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield geyser
    finally:
        await server.stop(None)


class Desk:
    def __init__(self, feed: AccountFeed, source: GeyserSource) -> None:
        self.feed, self.source = feed, source
        self.events: list[FeedEvent] = []

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self.feed.poll(self.events.append)
            await asyncio.sleep(0.001)
        self.feed.poll(self.events.append)

    @property
    def lamports(self) -> list[int]:
        versions = [event.version for event in self.events if isinstance(event, AccountChanged)]
        return [version.account.lamports for version in versions if version.account is not None]


@asynccontextmanager
async def desk_of(simnet: Simnet, geyser: Geyser) -> AsyncIterator[Desk]:
    async with open_session(Reach.LOOPBACK) as http:
        feed = AccountFeed([Watch(KEY)])
        endpoint = Endpoint("geyser", f"http://localhost:{geyser.port}", headers=(("x-token", "t"),))
        source = GeyserSource(endpoint, Reach.LOOPBACK, simnet.rpc(http, "geyser-rpc"), feed, RULE)
        task = asyncio.create_task(source.run())
        try:
            yield Desk(feed, source)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def test_write_versions_order_what_one_slot_brings_and_pings_are_answered(simnet: Simnet) -> None:
    async def work() -> None:
        async with geyser_server() as geyser, desk_of(simnet, geyser) as desk:
            await desk.until(lambda: len(geyser.streams) == 1)
            assert geyser.metadata[0]["x-token"] == "t"
            assert list(geyser.requests[0].accounts["watched"].account) == [str(WALLET.pubkey())]
            assert not geyser.requests[0].HasField("from_slot")
            geyser.streams[0].put_nowait(pb.SubscribeUpdate(ping=pb.SubscribeUpdatePing()))
            await desk.until(lambda: geyser.pongs == 1)
            assert not desk.feed.live, "no snapshot before the stream is known to stand"
            reached = simnet.state()["slot"]
            geyser.slot(reached, reached - 1)
            await desk.until(lambda: desk.feed.live and geyser.pongs == 1)
            assert desk.source.snapshots == 1
            far = 10**12
            geyser.account(far, 7, 70)
            await desk.until(lambda: desk.lamports[-1] == 70)
            for write_version, lamports in ((6, 60), (7, 71), (9, 90), (8, 80)):
                geyser.account(far, write_version, lamports)
            geyser.account(far - 1, 100, 5)
            geyser.account(far + 1, 1, 11)
            await desk.until(lambda: desk.lamports[-1] == 11)
            assert desk.lamports[-2:] in ([90, 11], [70, 11])
            assert desk.feed.counts["versions_old"] == 3
            assert desk.feed.counts["versions_duplicate"] == 1

    run(work())


def test_a_broken_stream_is_taken_up_at_its_slot_and_counts_once_it_has_caught_up(simnet: Simnet) -> None:
    async def work() -> None:
        async with geyser_server() as geyser, desk_of(simnet, geyser) as desk:
            await desk.until(lambda: len(geyser.streams) == 1)
            base = simnet.state()["slot"] + 1_000_000
            geyser.slot(base - 1_000_000, base - 1_000_001)
            await desk.until(lambda: desk.feed.live)
            geyser.slot(base + 1, base)
            await desk.until(lambda: desk.feed.slots.newest == base + 1)
            geyser.streams[0].put_nowait(grpc.StatusCode.UNAVAILABLE)
            await desk.until(lambda: len(geyser.streams) == 2)
            assert geyser.requests[1].from_slot == base + 1
            geyser.slot(base + 2, base + 1)
            await desk.until(lambda: desk.feed.live)
            assert (desk.source.resumed, desk.source.snapshots) == (1, 1)
            geyser.streams[1].put_nowait(grpc.StatusCode.OUT_OF_RANGE)
            await desk.until(lambda: len(geyser.streams) == 3)
            assert not geyser.requests[2].HasField("from_slot")
            geyser.slot(base - 1_000_000, base - 1_000_001)
            await desk.until(lambda: desk.source.snapshots == 2)
            lost = [event.reason for event in desk.events if isinstance(event, SourceLost)]
            assert lost == ["unavailable", "out_of_range"]

    run(work())


def test_row_07_a_silent_stream_is_given_up(simnet: Simnet) -> None:
    async def work() -> None:
        async with geyser_server() as geyser, desk_of(simnet, geyser) as desk:
            greeted = 0

            def live() -> bool:
                """Each stream speaks once: on a busy machine one may be given up before its snapshot."""
                nonlocal greeted
                if len(geyser.streams) > greeted:
                    greeted = len(geyser.streams)
                    geyser.slot(5, 4)
                return any(isinstance(event, SourceLive) for event in desk.events)

            await desk.until(live)
            await desk.until(lambda: any(isinstance(event, SourceLost) for event in desk.events))
            assert desk.source.lost["silent"] >= 1
            await desk.until(lambda: len(geyser.streams) > greeted)

    run(work())


def test_row_36_a_server_beyond_this_machine_is_refused(simnet: Simnet) -> None:
    async def work() -> None:
        async with open_session(Reach.LOOPBACK) as http:
            rpc = simnet.rpc(http, "x")
            with pytest.raises(EndpointError):
                GeyserSource(
                    Endpoint("far", "https://grpc.example.com"), Reach.LOOPBACK, rpc, AccountFeed([])
                )

    run(work())
