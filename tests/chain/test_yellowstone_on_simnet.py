"""Yellowstone gRPC against the local cluster's own door: the client's way through forks, cuts and silence."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer

from hft.chain.backoff import BackoffRule
from hft.chain.endpoint import Endpoint, Reach, open_session
from hft.chain.subscribe import AccountChanged, AccountFeed, FeedEvent, Reverted, SourceLost
from hft.chain.subscribe_merge import Watch
from tests.chain.rpc_support import MILLISECOND, SECOND, run
from tests.chain.simnet_support import WALLET, Simnet, running, signed, soon

grpc = pytest.importorskip("grpc", reason="the extra yellowstone is not installed")
pytest.importorskip("google.protobuf", reason="the extra yellowstone is not installed")
if True:  # these need the extra
    from hft.chain.yellowstone import METHOD, GeyserRule, GeyserSource, pb, subscription

RULE = GeyserRule(
    silence_ns=300 * MILLISECOND,
    snapshot_ns=SECOND,
    backoff=BackoffRule(5 * MILLISECOND, 20 * MILLISECOND),
)
LIMIT_S = 60.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[Simnet]:
    with running(grpc_port=0, slot_ms=40) as simnet:
        yield simnet


@asynccontextmanager
async def stream_of(simnet: Simnet, request: Any) -> AsyncIterator[Any]:
    """A bare call, with its request."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{simnet.grpc_port}") as channel:
        call = channel.stream_stream(
            METHOD,
            request_serializer=pb.SubscribeRequest.SerializeToString,
            response_deserializer=pb.SubscribeUpdate.FromString,
        )()
        await call.write(request)
        try:
            yield call
        finally:
            call.cancel()


class Desk:
    """A feed that the client fills."""

    def __init__(self, feed: AccountFeed, source: GeyserSource) -> None:
        self.feed, self.source = feed, source
        self.events: list[FeedEvent] = []

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not condition():
                self.feed.poll(self.events.append)
                await asyncio.sleep(0.001)
        self.feed.poll(self.events.append)

    def lamports(self) -> int:
        """The newest balance told."""
        told = [event.version.account for event in self.events if isinstance(event, AccountChanged)]
        return 0 if not told or told[-1] is None else told[-1].lamports


@asynccontextmanager
async def desk_of(simnet: Simnet, node: str, pubkey: bytes, resume: int | None = None) -> AsyncIterator[Desk]:
    """``resume``: the slot that the client saw last, before it starts."""
    async with open_session(Reach.LOOPBACK) as http:
        feed = AccountFeed([Watch(pubkey, optional=True)])
        endpoint = Endpoint(node, f"http://127.0.0.1:{simnet.grpc_port}", headers=(("x-token", node),))
        source = GeyserSource(endpoint, Reach.LOOPBACK, simnet.rpc(http, f"{node}-rpc"), feed, RULE)
        source._resume, feed.slots.newest = resume, resume or 0
        task = asyncio.create_task(source.run())
        try:
            yield Desk(feed, source)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def pay(simnet: Simnet, target: Pubkey, lamports: int) -> None:
    """Lamports of the wallet's."""
    async with open_session(Reach.LOOPBACK) as http:
        rpc = simnet.rpc(http, "payer")
        latest, _ = await rpc.latest_blockhash(deadline_ns=soon())
        give = TransferParams(from_pubkey=WALLET.pubkey(), to_pubkey=target, lamports=lamports)
        made = signed(latest.blockhash, transfer(give))
        await rpc.send_transaction(made.data, deadline_ns=soon(), guard=lambda: False)


def test_accounts_come_with_slot_and_write_version(cluster: Simnet) -> None:
    async def work() -> None:
        target = Keypair().pubkey()
        async with desk_of(cluster, "plain", bytes(target)) as desk:
            await desk.until(lambda: desk.feed.live)
            for lamports in (10**6, 2 * 10**6):
                await pay(cluster, target, lamports)
                await desk.until(lambda wanted=lamports: desk.lamports() >= wanted)  # type: ignore[misc]
            assert desk.lamports() == 3 * 10**6
            versions = [one.version for one in desk.events if isinstance(one, AccountChanged)]
            order = [(one.slot, one.write_version) for one in versions if not one.snapshot]
            assert order
            assert order == sorted(set(order))
            assert all(write_version > 0 for _, write_version in order)
            slots = desk.feed.slots
            reached = slots.newest
            await desk.until(lambda: slots.newest > reached + 3)
            assert slots.forks == 0

    run(work())


def test_a_cut_stream_is_taken_up_where_it_broke_off(cluster: Simnet) -> None:
    async def work() -> None:
        target = Keypair().pubkey()
        async with desk_of(cluster, "cut", bytes(target)) as desk:
            await desk.until(lambda: desk.feed.live and desk.feed.slots.newest > 0)
            newest = desk.feed.slots.newest
            await desk.until(lambda: desk.feed.slots.newest > newest)
            for number in range(1, 4):
                # What happens while nobody listens is told afterwards, by the server's history alone.
                await asyncio.to_thread(cluster.fault, "cut_streams", node="cut")
                await pay(cluster, target, 10**6)
                await desk.until(lambda wanted=number * 10**6: desk.lamports() == wanted)  # type: ignore[misc]
                await desk.until(lambda times=number: desk.source.resumed == times)  # type: ignore[misc]
            assert desk.source.snapshots == 1
            lost = [event.reason for event in desk.events if isinstance(event, SourceLost)]
            assert lost == ["unavailable"] * 3

    run(work())


def test_row_06_a_fork_is_told_by_dead_slots_and_accounts_are_asked_for_again(cluster: Simnet) -> None:
    async def work() -> None:
        target = Keypair().pubkey()
        async with desk_of(cluster, "fork", bytes(target)) as desk:
            await desk.until(lambda: desk.feed.live)
            await pay(cluster, target, 10**6)
            await desk.until(lambda: desk.lamports() == 10**6)
            await asyncio.to_thread(cluster.fault, "fork_revert", slots=60)
            await desk.until(lambda: any(isinstance(event, Reverted) for event in desk.events))
            await desk.until(lambda: desk.lamports() == 0)
            assert desk.feed.slots.forks >= 1

    run(work())


def test_row_07_a_silent_stream_is_given_up_and_taken_up_again(cluster: Simnet) -> None:
    async def work() -> None:
        target = Keypair().pubkey()
        async with desk_of(cluster, "mute", bytes(target)) as desk:
            await desk.until(lambda: desk.feed.live)
            await asyncio.to_thread(cluster.fault, "silent_websocket", node="mute", times=0)
            try:
                await desk.until(lambda: desk.source.lost["silent"] >= 1)
                assert not desk.feed.live
                await pay(cluster, target, 7 * 10**6)
            finally:
                await asyncio.to_thread(cluster.clear)
            await desk.until(lambda: desk.feed.live and desk.lamports() == 7 * 10**6)

    run(work())


def test_a_slot_too_old_is_refused_and_the_client_starts_afresh(cluster: Simnet) -> None:
    async def work() -> None:
        async with stream_of(cluster, subscription([], 5)) as call:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call.read()
            assert caught.value.code() is grpc.StatusCode.OUT_OF_RANGE
            assert "broadcast from 5 is not available, last available: " in caught.value.details()
        async with desk_of(cluster, "old", bytes(Keypair().pubkey()), resume=5) as desk:
            await desk.until(lambda: desk.feed.live)
            assert desk.source.lost == {"out_of_range": 1}
            assert (desk.source.resumed, desk.source.snapshots) == (0, 1)

    run(work())


def test_blocks_commitments_slices_and_pings(cluster: Simnet) -> None:
    async def work() -> None:
        request = subscription([bytes(WALLET.pubkey())], None)
        request.commitment = pb.CONFIRMED
        request.blocks_meta["blocks"].SetInParent()
        request.slots["between"].interslot_updates = True
        request.accounts_data_slice.add(offset=0, length=8)
        async with stream_of(cluster, request) as call:
            await call.write(pb.SubscribeRequest(ping=pb.SubscribeRequestPing(id=7)))
            await pay(cluster, Keypair().pubkey(), 10**6)
            seen: dict[str, list[Any]] = {"account": [], "slot": [], "block_meta": [], "pong": []}
            confirmed: set[int] = set()
            async with asyncio.timeout(LIMIT_S):
                while not all(seen.values()) or len(seen["block_meta"]) < 3:
                    update = await call.read()
                    kind = update.WhichOneof("update_oneof")
                    seen[kind].append(update)
                    if kind == "slot" and update.slot.status == pb.SLOT_CONFIRMED:
                        confirmed.add(update.slot.slot)
            assert seen["pong"][0].pong.id == 7
            metas = [update.block_meta for update in seen["block_meta"]]
            assert all(list(update.filters) == ["blocks"] for update in seen["block_meta"])
            for one, other in pairwise(metas):
                assert other.parent_slot == one.slot
                assert other.parent_blockhash == one.blockhash
                assert other.block_height.block_height == one.block_height.block_height + 1
            statuses = {update.slot.status for update in seen["slot"]}
            assert {pb.SLOT_PROCESSED, pb.SLOT_CONFIRMED, pb.SLOT_CREATED_BANK} <= statuses
            for update in seen["slot"]:
                between = update.slot.status == pb.SLOT_CREATED_BANK
                assert sorted(update.filters) == (["between"] if between else ["between", "watched"])
            account = seen["account"][0].account
            assert account.account.pubkey == bytes(WALLET.pubkey())
            assert account.slot <= max(confirmed, default=0) + 1

    run(work())


def test_what_is_not_served_is_refused_by_name(cluster: Simnet) -> None:
    def asked(**changed: Any) -> Any:
        request = pb.SubscribeRequest()
        for name, key in changed.items():
            getattr(request, name)[key].SetInParent()
        return request

    wrong_key = pb.SubscribeRequest()
    wrong_key.accounts["x"].account.append("no key")

    async def work() -> None:
        for request, word in (
            (asked(transactions="x"), "transactions"),
            (asked(blocks="x"), "blocks_meta are served"),
            (asked(accounts="x" * 200), "128 letters"),
            (wrong_key, "base58"),
        ):
            async with stream_of(cluster, request) as call:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await call.read()
                assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
                assert word in caught.value.details()

    run(work())


def test_the_server_pings_and_a_seventeenth_stream_is_refused() -> None:
    with running(grpc_port=0, slot_ms=60_000) as simnet:

        async def work() -> None:
            calls = []
            async with grpc.aio.insecure_channel(f"127.0.0.1:{simnet.grpc_port}") as channel:
                method = channel.stream_stream(
                    METHOD,
                    request_serializer=pb.SubscribeRequest.SerializeToString,
                    response_deserializer=pb.SubscribeUpdate.FromString,
                )
                for _ in range(16):
                    calls.append(method())
                    await calls[-1].write(pb.SubscribeRequest(ping=pb.SubscribeRequestPing(id=1)))
                    assert (await calls[-1].read()).pong.id == 1
                late = method()
                assert await late.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
                for call in calls:
                    call.cancel()

        run(work())
