"""Account streams against the local cluster: snapshot then deltas, silence, several nodes, forks."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager

import pytest
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer

from hft.chain.backoff import BackoffRule
from hft.chain.endpoint import Reach, open_session
from hft.chain.rpc import RpcClient
from hft.chain.rpc_faults import RpcFault
from hft.chain.subscribe import (
    AccountChanged,
    AccountFeed,
    AccountSource,
    AccountUnusable,
    FeedEvent,
    Reverted,
    SlotSeen,
    SourceLive,
    SourceLost,
)
from hft.chain.subscribe_merge import Unusable, Watch
from hft.chain.subscribe_session import SessionRule
from hft.venues import Account
from tests.chain.rpc_support import MILLISECOND, SECOND, run
from tests.chain.simnet_support import WALLET, Simnet, running, signed, soon

RULE = SessionRule(
    silence_ns=250 * MILLISECOND,
    request_ns=2 * SECOND,
    backoff=BackoffRule(10 * MILLISECOND, 50 * MILLISECOND),
)


@pytest.fixture(scope="module")
def market() -> Iterator[Simnet]:
    """A cluster with order flow."""
    with running(swaps_per_second=400) as simnet:
        yield simnet


@pytest.fixture
def moving(market: Simnet) -> Iterator[Simnet]:
    market.clear()
    yield market
    market.clear()


class Desk:
    """A feed with its sources, and everything it told."""

    def __init__(self, feed: AccountFeed, rpc: RpcClient, sources: dict[str, AccountSource]) -> None:
        self.feed = feed
        self.rpc = rpc
        self.sources = sources
        self.events: list[FeedEvent] = []
        self.accounts: dict[bytes, Account | None] = {}

    def take(self, event: FeedEvent) -> None:
        self.events.append(event)
        if isinstance(event, AccountChanged | AccountUnusable):
            self.accounts[event.version.pubkey] = event.version.account

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self.feed.poll(self.take)
            await asyncio.sleep(0.001)
        self.feed.poll(self.take, 1_000_000)

    def told(self, kind: type) -> list[FeedEvent]:
        return [event for event in self.events if type(event) is kind]

    async def matches_the_chain(self, nodes: str) -> None:
        """What is known becomes what the node has, for every account (of a market that may move)."""
        wrong = set(self.feed.watches)
        while wrong:
            self.feed.poll(self.take, 1_000_000)
            asked = list(wrong)[:100]
            try:
                told = await self.rpc.accounts(asked, deadline_ns=soon(), only=nodes)
            except RpcFault:  # a busy machine: asked again, until the test's own limit
                await asyncio.sleep(0.01)
                continue
            await asyncio.sleep(0.002)
            self.feed.poll(self.take, 1_000_000)
            for pubkey, account in zip(asked, told.accounts, strict=True):
                if self.accounts.get(pubkey, account) == account:
                    wrong.discard(pubkey)


@asynccontextmanager
async def desk_of(simnet: Simnet, watches: Sequence[Watch], *nodes: str) -> AsyncIterator[Desk]:
    async with open_session(Reach.LOOPBACK) as http:
        rpc = simnet.rpc(http, *nodes)
        feed = AccountFeed(watches)
        sources = {name: AccountSource(Reach.LOOPBACK, simnet.node(name), rpc, feed, RULE) for name in nodes}
        tasks = [asyncio.create_task(source.run()) for source in sources.values()]
        try:
            yield Desk(feed, rpc, sources)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def with_desk(
    simnet: Simnet, watches: Sequence[Watch], work: Callable[[Desk], Awaitable[None]], *nodes: str
) -> None:
    async def whole() -> None:
        async with desk_of(simnet, watches, *nodes) as desk:
            await work(desk)

    run(whole())


def pool_watches(simnet: Simnet, count: int = 150) -> list[Watch]:
    """Accounts that the market's pools need, with their owners."""
    held = [(pubkey, account) for pubkey, account in simnet.accounts.items() if account.data]
    return [Watch(pubkey, account.owner) for pubkey, account in held][:count]


def test_a_snapshot_comes_first_then_every_change_until_it_is_the_chain(moving: Simnet) -> None:
    absent = [Watch(bytes([number]) * 32, optional=True) for number in range(1, 100)]
    watches = pool_watches(moving) + absent
    assert len(watches) > 100  # more than one request's worth

    async def work(desk: Desk) -> None:
        await desk.until(lambda: desk.feed.live)
        assert set(desk.accounts) == {watch.pubkey for watch in watches}
        live = desk.told(SourceLive)
        assert live == [SourceLive("snapshot", live[0].slot, True)]  # type: ignore[attr-defined]
        seen = len(desk.told(AccountChanged))
        await desk.until(lambda: len(desk.told(AccountChanged)) > seen + 100)
        assert len(desk.told(SlotSeen)) > 3
        assert not desk.told(AccountUnusable)
        slots: dict[bytes, int] = {}
        for event in desk.told(AccountChanged):
            version = event.version  # type: ignore[attr-defined]
            assert version.slot >= slots.get(version.pubkey, 0)
            slots[version.pubkey] = version.slot
        await desk.matches_the_chain("snapshot")

    with_desk(moving, watches, work, "snapshot")


def test_row_07_a_silent_websocket_is_given_up_and_a_snapshot_comes_before_it_counts_again(
    moving: Simnet,
) -> None:
    watches = pool_watches(moving, 40)

    async def work(desk: Desk) -> None:
        await desk.until(lambda: desk.feed.live)
        moving.fault("silent_websocket", node="mute", times=0)
        await desk.until(lambda: bool(desk.told(SourceLost)))
        assert desk.told(SourceLost) == [SourceLost("mute", "silent", True)]
        assert not desk.feed.live
        await desk.until(lambda: desk.sources["mute"].lost["silent"] >= 3)
        waits = desk.sources["mute"].waits_ns
        assert all(5 * MILLISECOND <= wait <= 50 * MILLISECOND for wait in waits)
        assert len(set(waits)) == len(waits)
        moving.clear()
        done = len(desk.events)
        await desk.until(lambda: desk.feed.live)
        after = desk.events[done:]
        back = next(i for i, event in enumerate(after) if isinstance(event, SourceLive) and event.first)
        assert any(isinstance(event, AccountChanged) for event in after[:back])
        await desk.matches_the_chain("mute")

    with_desk(moving, watches, work, "mute")


def test_row_06_several_nodes_are_one_stream_without_doubles_or_steps_back(moving: Simnet) -> None:
    watches = pool_watches(moving, 60)
    moving.fault("lagging_node", node="b", slots=6, times=0)

    async def work(desk: Desk) -> None:
        await desk.until(lambda: len(desk.told(SourceLive)) >= 1)
        await desk.until(lambda: desk.feed.counts["versions_old"] > 20)
        await desk.until(lambda: len(desk.told(AccountChanged)) > 200)
        slots: dict[bytes, int] = {}
        for event in desk.told(AccountChanged):
            version = event.version  # type: ignore[attr-defined]
            assert version.slot >= slots.get(version.pubkey, 0)
            slots[version.pubkey] = version.slot
        moving.clear()
        await desk.until(lambda: desk.feed.counts["versions_duplicate"] > 20)
        moving.fault("silent_websocket", node="a", times=0)
        await desk.until(lambda: any(event.source == "a" for event in desk.told(SourceLost)))  # type: ignore[attr-defined]
        # While b is up its loss ends nothing; on a busy machine b may have been lost too, and comes back.
        lost = desk.told(SourceLost)
        assert SourceLost("a", "silent", False) in lost or any(event.source == "b" for event in lost)  # type: ignore[attr-defined]
        await desk.until(lambda: desk.feed.live)
        await desk.matches_the_chain("b")

    with_desk(moving, watches, work, "a", "b")


def test_row_06_a_fork_that_loses_is_told_and_its_accounts_are_as_before(simnet: Simnet) -> None:
    target = Pubkey(bytes(range(1, 33)))
    keys = {bytes(target), bytes(WALLET.pubkey())}
    watches = [Watch(bytes(target), bytes(32), optional=True), Watch(bytes(WALLET.pubkey()))]
    pay = transfer(TransferParams(from_pubkey=WALLET.pubkey(), to_pubkey=target, lamports=3_000_000))

    async def paid_on_a_fork(desk: Desk) -> bool:
        """False if the fork came when the payment's block was too old for it, on a busy machine."""
        before = desk.accounts[bytes(target)]
        latest, _ = await desk.rpc.latest_blockhash(deadline_ns=soon(), commitment="processed")
        await desk.rpc.send_transaction(
            signed(latest.blockhash, pay).data, deadline_ns=soon(), guard=lambda: False
        )
        await desk.until(lambda: desk.accounts[bytes(target)] != before)
        wallet, forks = desk.accounts[bytes(WALLET.pubkey())], len(desk.told(Reverted))
        simnet.fault("fork_revert", slots=12)
        await desk.until(lambda: len(desk.told(Reverted)) > forks)
        reverted = desk.told(Reverted)[-1]
        assert isinstance(reverted, Reverted)
        if not reverted.pubkeys:
            return False
        assert set(reverted.pubkeys) == keys
        await desk.until(
            lambda: desk.accounts[bytes(target)] == before and desk.accounts[bytes(WALLET.pubkey())] != wallet
        )
        return True

    async def work(desk: Desk) -> None:
        await desk.until(lambda: desk.feed.live)
        assert not desk.accounts[bytes(target)]
        while not await paid_on_a_fork(desk):
            pass
        await desk.matches_the_chain("fork")

    with_desk(simnet, watches, work, "fork")


def test_row_08_a_null_account_or_a_wrong_owner_disables_that_one_alone(moving: Simnet) -> None:
    good = pool_watches(moving, 3)
    absent = Watch(bytes([9]) * 32)
    foreign = Watch(pool_watches(moving, 4)[3].pubkey, bytes([1]) * 32)
    short = Watch(pool_watches(moving, 5)[4].pubkey, None, 1 << 20)

    async def work(desk: Desk) -> None:
        await desk.until(lambda: desk.feed.live)
        unusable = {
            event.version.pubkey: event.reason for event in desk.events if isinstance(event, AccountUnusable)
        }
        assert unusable == {
            absent.pubkey: Unusable.ABSENT,
            foreign.pubkey: Unusable.WRONG_OWNER,
            short.pubkey: Unusable.TOO_SHORT,
        }
        changed = {event.version.pubkey for event in desk.events if isinstance(event, AccountChanged)}
        assert changed >= {watch.pubkey for watch in good}

    with_desk(moving, [*good, absent, foreign, short], work, "odd")
