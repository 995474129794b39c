"""Following against the local cluster: what landed, what expired, and what nobody can tell."""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from hft.chain.endpoint import Reach, open_session
from hft.chain.follow_state import FollowRule
from hft.chain.journal import Journal, Resign
from hft.chain.journal_records import Intent
from hft.chain.journal_records import Path as Way
from hft.chain.rpc_faults import FaultKind, RpcFault
from hft.chain.submit import SendState
from hft.chain.subscribe_signatures import SignatureSource
from hft.chain.trackers import BlockhashTracker, HashVerdict
from hft.venues import WRAPPED_SOL, Venue, minimum_out_error, swap_instruction
from hft.wire.enums import EndState, ExecutionReason
from tests.chain.rpc_support import MILLISECOND, SECOND, run, until
from tests.chain.simnet_support import WALLET, Simnet, intent_of, soon
from tests.chain.submission_support import Bench, with_desk


def test_a_signature_subscription_tells_it_sooner_than_questions(simnet: Simnet, tmp_path: Path) -> None:
    async def work(desk: Bench) -> None:
        desk.follower._times.poll_ns = 60 * SECOND
        source = SignatureSource(Reach.LOOPBACK, simnet.node("signatures"), desk.follower)
        tasks = [asyncio.create_task(source.run()), asyncio.create_task(desk.follower.run())]
        await until(lambda: source.live)
        for _ in range(3):
            intent = await desk.intent()
            await desk.submit(intent)
            source.watch()
        await until(lambda: desk.follower.poll(desk.ends.append) == 0 and len(desk.ends) == 3)
        assert {end.state for end in desk.ends} == {EndState.LANDED_OK}
        assert source.notified == 3
        for task in tasks:
            task.cancel()

    with_desk(simnet, tmp_path, work)


def test_a_subscription_of_what_never_landed_is_ended_with_it(simnet: Simnet, tmp_path: Path) -> None:
    async def work(desk: Bench) -> None:
        source = SignatureSource(Reach.LOOPBACK, simnet.node("ended"), desk.follower)
        task = asyncio.create_task(source.run())
        await until(lambda: source.live)
        simnet.fault("dropped_transaction", method="sendTransaction")
        intent = await desk.intent()
        await desk.submit(intent)
        source.watch()
        await until(lambda: source._known.get(intent.signature, -1) >= 0)
        number = source._known[intent.signature]
        before = simnet._alone.doors.subscriptions
        simnet.fault("expired_blockhash")
        assert (await desk.the_end()).state is EndState.EXPIRED
        source.watch()
        await until(lambda: intent.signature not in source._known)
        await until(lambda: simnet._alone.doors.subscriptions == before - 1)
        assert number > 0
        task.cancel()

    with_desk(simnet, tmp_path, work)


def test_row_13_a_bundle_that_turns_invalid_is_followed_to_expiry(simnet: Simnet, tmp_path: Path) -> None:
    simnet.fault("dropped_bundle")

    async def work(desk: Bench) -> None:
        intent = await desk.intent()
        outcome = await desk.submit(intent)
        assert outcome.state is SendState.ACCEPTED
        assert outcome.bundle_id
        follower = desk.follower
        while not follower.counts["bundle_invalid"]:
            await follower.ask()
            await follower.settle()
        assert follower.poll(desk.ends.append) == 0
        simnet.fault("expired_blockhash")
        end = await desk.the_end()
        assert (end.state, end.reason) == (EndState.EXPIRED, ExecutionReason.BUNDLE_INVALID)
        assert follower.point is not None
        assert follower.point.height > intent.last_valid_block_height

    with_desk(simnet, tmp_path, work, jito="engine")


def test_row_15_a_time_out_after_the_write_is_unknown_and_not_signed_again(
    simnet: Simnet, tmp_path: Path
) -> None:
    simnet.fault("lost_answer", node="main", method="sendTransaction", times=0)

    async def work(desk: Bench) -> None:
        intent = await desk.intent()
        outcome = await desk.submit(intent, life_ns=300 * MILLISECOND)
        assert outcome.state is SendState.UNKNOWN
        journal = desk.writer.journal
        assert journal.may_sign(intent.plan_id) is Resign.MAY_STILL_LAND
        again = (await desk.intent())._replace(plan_id=intent.plan_id)
        refused = await desk.submit(again)
        assert refused.state is SendState.REFUSED
        assert "may_still_land" in refused.reason
        assert (await desk.the_end()).intent == again
        assert journal.may_sign(intent.plan_id) is Resign.MAY_STILL_LAND
        assert (await desk.the_end()).state is EndState.LANDED_OK
        assert journal.may_sign(intent.plan_id) is Resign.ENDED

    with_desk(simnet, tmp_path, work)


def test_row_16_expired_takes_the_height_and_a_history_that_knows_nothing(
    simnet: Simnet, tmp_path: Path
) -> None:
    simnet.fault("dropped_transaction", method="sendTransaction")

    async def work(desk: Bench) -> None:
        intent = await desk.intent()
        assert (await desk.submit(intent)).state is SendState.ACCEPTED
        for _ in range(5):
            await desk.follower.ask()
            await desk.follower.settle()
        assert desk.follower.poll(desk.ends.append) == 0
        simnet.fault("expired_blockhash")
        end = await desk.the_end()
        assert (end.state, end.reason) == (EndState.EXPIRED, ExecutionReason.BLOCKHASH_EXPIRED)
        assert desk.follower.point is not None
        assert desk.follower.point.height > intent.last_valid_block_height
        assert desk.writer.journal.may_sign(intent.plan_id) is Resign.REPLACEMENT
        replacement = (await desk.intent())._replace(plan_id=intent.plan_id)
        assert (await desk.submit(replacement)).state is SendState.ACCEPTED
        assert (await desk.the_end()).state is EndState.LANDED_OK

    with_desk(simnet, tmp_path, work)


def test_row_16_what_landed_late_is_found_in_the_history_not_called_expired(
    simnet: Simnet, tmp_path: Path
) -> None:
    """The only node lags while the transaction lands and the blockhash dies: no end before it has caught
    up."""

    async def work(desk: Bench) -> None:
        intent = await desk.intent()
        assert (await desk.submit(intent)).state is SendState.ACCEPTED
        landed = desk.rpc
        while (await landed.signature_statuses([intent.signature], deadline_ns=soon(), search_history=False))[
            1
        ] == (None,):
            pass
        simnet.fault("lagging_node", node="main", slots=30, times=0)
        simnet.fault("expired_blockhash")
        for _ in range(10):
            await desk.follower.ask()
            await desk.follower.settle()
        assert all(end.state is EndState.LANDED_OK for end in desk.ends)
        simnet.clear()
        assert (await desk.the_end()).state is EndState.LANDED_OK

    with_desk(simnet, tmp_path, work)


def test_row_17_an_unbundled_transaction_is_reverted_by_its_own_minimum_and_pays_its_fee_only(
    simnet: Simnet, tmp_path: Path
) -> None:
    simnet.fault("unbundled_bundle")
    pool = next(one for one in simnet.pools.values() if one.venue is Venue.WHIRLPOOL)
    mint = WRAPPED_SOL if WRAPPED_SOL in (pool.mint_a, pool.mint_b) else pool.mint_a
    swap = swap_instruction(pool, WALLET.pubkey(), mint, 1_000_000, 2**62)

    async def work(desk: Bench) -> None:
        wallet = bytes(WALLET.pubkey())
        latest, _ = await desk.rpc.latest_blockhash(deadline_ns=soon())
        before = (await desk.rpc.accounts([wallet], deadline_ns=soon())).accounts[0]
        intent = intent_of(latest, swap, lamports=50_000)
        outcome = await desk.submit(intent)
        assert (outcome.state, outcome.path) == (SendState.ACCEPTED, Way.JITO)
        end = await desk.the_end()
        assert end.state is EndState.LANDED_FAILED
        assert (end.error_index, end.error_code) == (2, minimum_out_error(Venue.WHIRLPOOL))
        after = (await desk.rpc.accounts([wallet], deadline_ns=soon())).accounts[0]
        told = await desk.rpc.transaction(intent.signature, deadline_ns=soon())
        assert before is not None
        assert after is not None
        assert told is not None
        assert before.lamports - after.lamports == told["meta"]["fee"] < 50_000

    with_desk(simnet, tmp_path, work, jito="engine")


def test_row_20_a_blockhash_of_a_lagging_node_is_not_taken(simnet: Simnet, tmp_path: Path) -> None:
    simnet.fault("lagging_node", node="late", slots=30, times=0)

    async def work(desk: Bench) -> None:
        tracker = BlockhashTracker(lag_limit=8)
        fresh, _ = await desk.rpc.latest_blockhash(deadline_ns=soon(), only="well")
        assert tracker.offer(fresh) is HashVerdict.NEWER
        stale, _ = await desk.rpc.latest_blockhash(deadline_ns=soon(), only="late")
        assert tracker.offer(stale) is HashVerdict.STALE
        assert tracker.newest == fresh
        assert stale.last_valid_block_height < fresh.last_valid_block_height - 8
        for _ in range(5):
            told, node = await desk.rpc.latest_blockhash(deadline_ns=soon(), min_context_slot=fresh.slot)
            assert node == "well"
            assert told.slot >= fresh.slot
        with pytest.raises(RpcFault) as caught:
            await desk.rpc.latest_blockhash(deadline_ns=soon(), min_context_slot=fresh.slot, only="late")
        assert caught.value.kind is FaultKind.BEHIND
        assert caught.value.context_slot is not None
        assert caught.value.context_slot < fresh.slot

    with_desk(simnet, tmp_path, work, "late", "well")


CHILD = """
import asyncio, os, signal, sys
from pathlib import Path
from hft.chain.endpoint import Endpoint, Reach, open_session
from hft.chain.journal import Journal
from hft.chain.journal_records import Intent, Sent, Path as Way
from hft.chain.rpc import RpcClient
import time

folder, url, stage = sys.argv[1:]
print("ready", flush=True)
plan, signature, height, slot, data = sys.stdin.readline().split()
journal = Journal(Path(folder))
intent = Intent(bytes.fromhex(plan), bytes.fromhex(signature), int(height), int(slot), bytes.fromhex(data))
journal.begin(intent)

async def send():
    async with open_session(Reach.LOOPBACK) as http:
        rpc = RpcClient(http, [Endpoint("main", url)])
        await rpc.send_transaction(
            intent.signed, deadline_ns=time.monotonic_ns() + 5 * 10**9, guard=lambda: False
        )

if stage != "journaled":
    asyncio.run(send())
if stage == "recorded":
    journal.sent(Sent(intent.plan_id, Way.RPC))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(
    ("stage", "state"),
    [
        ("journaled", EndState.EXPIRED),
        ("sent", EndState.LANDED_OK),
        ("recorded", EndState.LANDED_OK),
    ],
)
def test_row_29_a_crash_at_any_stage_is_reconciled_with_the_chain(
    simnet: Simnet, tmp_path: Path, stage: str, state: EndState
) -> None:
    async def made() -> Intent:
        async with open_session(Reach.LOOPBACK) as http:
            latest, _ = await simnet.rpc(http, "main").latest_blockhash(deadline_ns=soon())
            return intent_of(latest)

    command = [sys.executable, "-c", CHILD, str(tmp_path), simnet.node("main").url, stage]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"  # a blockhash lives three seconds here
        intent = run(made())
        words = [intent.plan_id.hex(), intent.signature.hex(), str(intent.last_valid_block_height)]
        words += [str(intent.slot), intent.signed.hex()]
        child.stdin.write(" ".join(words) + "\n")
        child.stdin.flush()
        assert child.wait(120) == -9

    async def work(desk: Bench) -> None:
        journal = desk.writer.journal
        assert journal.may_sign(intent.plan_id) is Resign.MAY_STILL_LAND
        assert desk.follower.recover(journal.open.values()) == 1
        if state is EndState.EXPIRED:
            simnet.fault("expired_blockhash")
        end = await desk.the_end()
        assert (end.state, end.intent) == (state, intent)
        assert not journal.open

    with_desk(simnet, tmp_path, work)
    reopened = Journal(tmp_path)
    assert not reopened.open
    assert reopened.ended[intent.plan_id] is state
    reopened.close()


def test_nobody_to_ask_ends_as_unknown_and_stays_open_for_the_next_start(
    simnet: Simnet, tmp_path: Path
) -> None:
    async def work(desk: Bench) -> None:
        intent = await desk.intent()
        await desk.submit(intent)
        simnet.fault("server_error", node="main", times=0)
        end = await desk.the_end()
        assert (end.state, end.reason) == (EndState.UNKNOWN, ExecutionReason.STATUS_UNKNOWN)
        assert desk.writer.journal.may_sign(intent.plan_id) is Resign.MAY_STILL_LAND

    with_desk(simnet, tmp_path, work)
    with_desk(simnet, tmp_path, recovered(simnet))


def recovered(simnet: Simnet) -> Callable[[Bench], Awaitable[None]]:
    async def work(desk: Bench) -> None:
        simnet.clear()
        assert desk.follower.recover(desk.writer.journal.open.values()) == 1
        assert (await desk.the_end()).state is EndState.LANDED_OK

    return work


def test_a_fork_that_takes_a_landed_transaction_back_is_no_end(simnet: Simnet, tmp_path: Path) -> None:
    """Processed only, then reverted: it lands again or expires, but it was not told as landed."""

    async def work(desk: Bench) -> None:
        desk.follower._rule = FollowRule("finalized", 5 * SECOND)
        while True:
            intent = await desk.intent()
            await desk.submit(intent)
            followed = desk.follower._followed[intent.signature]
            while followed.processed_slot == 0:
                await desk.follower.ask()
            simnet.fault("fork_revert", slots=8)
            simnet.fault("expired_blockhash")
            end = await desk.the_end()
            if end.state is EndState.EXPIRED:
                return
            # On a busy machine the fork may come when the block is too old for it: then it has landed.
            assert end.state is EndState.LANDED_OK
            assert await desk.rpc.transaction(intent.signature, deadline_ns=soon()) is not None

    with_desk(simnet, tmp_path, work)
