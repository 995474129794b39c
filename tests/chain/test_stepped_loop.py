"""The loop as a service's duty cycle turns it: never waiting in a step, woken by what comes."""

import asyncio
import time

import pytest

from hft.chain.endpoint import Reach, open_session
from hft.chain.loop import SteppedLoop, end_all
from hft.chain.subscribe import AccountChanged, AccountFeed, AccountSource, FeedEvent
from hft.chain.subscribe_merge import Watch
from tests.chain.rpc_support import SECOND
from tests.chain.simnet_support import WALLET, Simnet, signed, soon

KEY = bytes(WALLET.pubkey())


def test_a_duty_cycle_turns_the_loop_and_polls_without_ever_waiting(simnet: Simnet) -> None:
    stepped = SteppedLoop()
    events: list[FeedEvent] = []
    feed = AccountFeed([Watch(KEY)], stepped.wake)

    async def open_all() -> tuple[AccountSource, object]:
        http = open_session(Reach.LOOPBACK)
        rpc = simnet.rpc(http, "stepped")
        return AccountSource(Reach.LOOPBACK, simnet.node("stepped"), rpc, feed), (http, rpc)

    source, (http, rpc) = stepped.run(open_all())
    stepped.spawn(source.run())
    deadline = soon(60 * SECOND)
    longest = 0
    while not feed.live and time.monotonic_ns() < deadline:
        begin = time.monotonic_ns()
        stepped.step()
        longest = max(longest, time.monotonic_ns() - begin)
        feed.poll(events.append)
    assert feed.live
    assert longest < 2 * SECOND
    latest, _ = stepped.run(rpc.latest_blockhash(deadline_ns=soon()))
    stepped.run(rpc.send_transaction(signed(latest.blockhash).data, deadline_ns=soon(), guard=lambda: False))
    seen = len([event for event in events if isinstance(event, AccountChanged)])
    while len([event for event in events if isinstance(event, AccountChanged)]) == seen:
        assert time.monotonic_ns() < deadline
        stepped.wait(5 * SECOND)  # ends at once when something came
        feed.poll(events.append)
    stepped.close(http.close())
    assert not stepped.failures


def test_what_is_handed_over_is_begun_by_the_next_step_in_a_wait_and_at_the_close() -> None:
    stepped = SteppedLoop()
    begun: list[str] = []

    async def work(name: str, then: str = "") -> None:
        begun.append(name)
        if then:
            stepped.hand(work(then))
        await asyncio.sleep(60)

    stepped.hand(work("stepped"))
    assert not begun
    stepped.step()
    assert begun == ["stepped"]
    stepped.hand(work("waited", then="handed meanwhile"))
    stepped.wait(1_000_000)
    assert begun == ["stepped", "waited", "handed meanwhile"]
    stepped.hand(work("never"))
    stepped.close()
    assert begun == ["stepped", "waited", "handed meanwhile"]
    assert not stepped.failures


def test_a_wait_ends_at_its_time_and_failures_are_told() -> None:
    stepped = SteppedLoop()

    async def fail() -> None:
        raise ValueError("told")

    stepped.spawn(fail())
    begin = time.monotonic_ns()
    stepped.wait(20_000_000)
    assert time.monotonic_ns() - begin >= 19_000_000
    with pytest.raises(ValueError, match="told"):
        raise stepped.failures[0]
    stepped.close()


def test_a_loop_that_was_woken_more_than_once_still_runs_work_to_its_end() -> None:
    loop = SteppedLoop()

    async def wakes() -> None:
        for _ in range(5):
            loop.wake()
            await asyncio.sleep(0)

    for timeout_ns in (0, 1, 1_000_000):
        task = loop.spawn(wakes())
        loop.wait(timeout_ns)
        loop.run(asyncio.sleep(0.001))
        assert task.done()
    loop.close()


def test_a_cancel_that_comes_while_a_task_is_ended_is_not_lost() -> None:
    """A connection that is lost in the moment of the stop: the feed would have hung until it was killed."""

    async def lingers() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0.01)

    async def lives() -> None:
        while True:
            worker = asyncio.create_task(lingers())
            await asyncio.sleep(0)
            ending.set()
            await end_all(worker)

    async def work() -> bool:
        task = asyncio.create_task(lives())
        await ending.wait()
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task}, timeout=5)
        return task.cancelled()

    ending = asyncio.Event()
    assert asyncio.run(work())


def test_what_a_task_ended_by_is_told_unless_it_is_expected() -> None:
    async def fails() -> None:
        raise ValueError("told")

    async def work(*expected: type[BaseException]) -> None:
        task = asyncio.create_task(fails())
        await asyncio.sleep(0)
        await end_all(task, expected=expected)

    asyncio.run(work(ValueError))
    with pytest.raises(ValueError, match="told"):
        asyncio.run(work(KeyError))
