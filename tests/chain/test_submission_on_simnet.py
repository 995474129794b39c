"""Submission against the local cluster, with its faults, over the network."""

import asyncio
from base64 import b64decode
from pathlib import Path

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer

from hft.chain.journal import Resign
from hft.chain.journal_records import Intent
from hft.chain.journal_records import Path as Way
from hft.chain.submit import SendState, Submitter
from hft.chain.tips import TIP_ACCOUNTS
from hft.chain.transaction import sign
from hft.wire.enums import EndState, ExecutionReason
from tests.chain.rpc_support import MILLISECOND, SECOND, until
from tests.chain.simnet_support import Simnet, soon
from tests.chain.submission_support import RULE, Bench, with_desk


@pytest.mark.parametrize("jito", ["", "engine"])
@pytest.mark.parametrize(
    ("lamports", "state"), [(5_000, EndState.LANDED_OK), (2**60, EndState.LANDED_FAILED)]
)
def test_what_lands_is_told_once(
    simnet: Simnet, tmp_path: Path, jito: str, lamports: int, state: EndState
) -> None:
    if jito and state is EndState.LANDED_FAILED:
        simnet.fault("unbundled_bundle")

    async def work(desk: Bench) -> None:
        intent = await desk.intent(lamports)
        outcome = await desk.submit(intent)
        assert outcome.state is SendState.ACCEPTED
        assert outcome.path is (Way.JITO if jito else Way.RPC)
        end = await desk.the_end()
        assert (end.intent, end.state) == (intent, state)
        if state is EndState.LANDED_FAILED:
            assert (end.error_index, end.error_code) == (2, 1)
        assert end.slot >= intent.slot
        assert len(desk.follower) == 0
        assert not desk.writer.journal.open
        assert desk.writer.journal.may_sign(intent.plan_id) is Resign.ENDED

    with_desk(simnet, tmp_path, work, jito=jito)


REQUEST_FAULTS = [
    {"kind": "latency", "ms": 5_000},
    {"kind": "rate_limit"},
    {"kind": "server_error", "status": 503},
    {"kind": "hang"},
    {"kind": "malformed_json"},
    {"kind": "rpc_error", "code": -32005},
    {"kind": "rpc_error", "code": -32016},
    {"kind": "disconnect"},
]


def never_answers(fault: dict[str, object]) -> bool:
    return fault["kind"] in ("latency", "hang")


def name_of(fault: dict[str, object]) -> str:
    return f"{fault['kind']}{fault.get('code', '')}"


@pytest.mark.parametrize("fault", REQUEST_FAULTS, ids=name_of)
def test_row_12_a_node_in_trouble_costs_less_than_the_plans_life(
    simnet: Simnet, tmp_path: Path, fault: dict[str, object]
) -> None:
    simnet.fault(**{"node": "bad", "times": 0, **fault})  # type: ignore[arg-type]

    async def work(desk: Bench) -> None:
        for number in range(3):
            intent = await desk.intent()
            before_ns = desk.rpc.now_ns
            outcome = await desk.submit(intent, life_ns=5 * SECOND)
            assert desk.rpc.now_ns - before_ns < 5 * SECOND
            assert outcome.state is SendState.ACCEPTED
            assert (await desk.the_end()).state is EndState.LANDED_OK
            assert len(desk.ends) == number + 1
        bad = desk.rpc.state_of("bad")
        assert bad.faults >= 1
        assert simnet.met()[str(fault["kind"])] >= 1

    with_desk(simnet, tmp_path, work, "bad", "well", hasty=never_answers(fault))


@pytest.mark.parametrize("fault", REQUEST_FAULTS, ids=name_of)
def test_row_12_a_block_engine_in_trouble_is_followed_by_rpc_with_the_same_bytes(
    simnet: Simnet, tmp_path: Path, fault: dict[str, object]
) -> None:
    simnet.fault(**{"node": "engine", "times": 0, "method": "sendBundle", **fault})  # type: ignore[arg-type]

    async def work(desk: Bench) -> None:
        intent = await desk.intent()
        outcome = await desk.submit(intent)
        assert (outcome.state, outcome.path) == (SendState.ACCEPTED, Way.RPC)
        assert desk.submitter.fallbacks == 1
        assert (await desk.the_end()).state is EndState.LANDED_OK
        told = await desk.rpc.transaction(intent.signature, deadline_ns=soon())
        assert told is not None
        assert b64decode(told["transaction"][0]) == intent.signed

    with_desk(simnet, tmp_path, work, jito="engine", hasty=never_answers(fault))


def test_row_12_every_node_down_ends_within_the_plans_life_and_nothing_is_out(
    simnet: Simnet, tmp_path: Path
) -> None:
    async def work(desk: Bench) -> None:
        intent = await desk.intent()
        simnet.fault("rate_limit", times=0, method="sendBundle")
        simnet.fault("rpc_error", times=0, method="sendTransaction", code=-32005)
        before_ns = desk.rpc.now_ns
        outcome = await desk.submit(intent, life_ns=300 * MILLISECOND)
        assert desk.rpc.now_ns - before_ns < 2 * SECOND
        assert outcome.state is SendState.REFUSED
        end = await desk.the_end()
        assert (end.state, end.reason) == (EndState.REJECTED, ExecutionReason.SEND_FAILED)
        assert desk.writer.journal.may_sign(intent.plan_id) is Resign.REPLACEMENT

    with_desk(simnet, tmp_path, work, "one", "two", jito="engine")


def test_row_14_one_plan_by_both_ways_lands_once_and_is_counted_once(simnet: Simnet, tmp_path: Path) -> None:
    """The engine takes the bundle and its answer is lost, so RPC gets the same bytes."""
    simnet.fault("lost_answer", node="engine", method="sendBundle", times=0)

    async def work(desk: Bench) -> None:
        before = simnet.state()["transactions"]
        intent = await desk.intent()
        outcome = await desk.submit(intent)
        assert (outcome.state, outcome.path) == (SendState.ACCEPTED, Way.RPC)
        end = await desk.the_end()
        assert (end.state, end.intent.signature) == (EndState.LANDED_OK, intent.signature)
        told = await desk.rpc.transaction(intent.signature, deadline_ns=soon())
        assert told is not None
        assert b64decode(told["transaction"][0]) == intent.signed
        for _ in range(20):
            await desk.follower.ask()
            await desk.follower.settle()
        assert desk.follower.poll(desk.ends.append) == 0
        assert simnet.state()["transactions"] == before + 1

    with_desk(simnet, tmp_path, work, jito="engine", hasty=True)


def test_row_14_a_bundle_handed_over_twice_is_not_given_up_on_the_engine_s_word(
    simnet: Simnet, tmp_path: Path
) -> None:
    """The first answer is lost: what the engine says of the one copy it says of the one it was asked for."""
    simnet.fault("lost_answer", node="engine", method="sendBundle", times=1)

    async def work(desk: Bench) -> None:
        intent = await desk.intent()
        outcome = await desk.submit(intent)
        assert (outcome.state, outcome.path) == (SendState.ACCEPTED, Way.JITO)
        assert outcome.again
        assert not desk.writer.journal.open[intent.plan_id].sent
        followed = desk.follower._followed.get(intent.signature)
        assert followed is None or not followed.engine_only
        assert (await desk.the_end()).state is EndState.LANDED_OK

    with_desk(simnet, tmp_path, work, jito="engine", hasty=True)


def test_row_21_nothing_is_written_after_a_kill(simnet: Simnet, tmp_path: Path) -> None:
    """Set before the plan, and set while the block engine is being waited for."""

    async def work(desk: Bench) -> None:
        before = simnet.state()
        desk.killed = True
        intent = await desk.intent()
        assert (await desk.submit(intent)).state is SendState.KILLED
        end = await desk.the_end()
        assert (end.state, end.reason) == (EndState.REJECTED, ExecutionReason.KILLED)
        assert desk.checks >= 1
        desk.killed = False
        simnet.fault("hang", node="engine", times=0)
        hung = simnet.met().get("hang", 0)
        intent = await desk.intent()
        sending = asyncio.create_task(desk.submit(intent))
        await until(lambda: simnet.met().get("hang", 0) > hung)
        desk.killed = True
        outcome = await sending
        assert outcome.state is SendState.UNKNOWN
        simnet.fault("expired_blockhash")
        assert (await desk.the_end()).state is EndState.EXPIRED
        after = simnet.state()
        assert (after["transactions"], after["bundles"]) == (before["transactions"], before["bundles"])

    with_desk(simnet, tmp_path, work, jito="engine", hasty=True)


def test_row_27_a_wallet_without_sol_is_refused_with_the_reason(simnet: Simnet, tmp_path: Path) -> None:
    async def work(desk: Bench) -> None:
        latest, _ = await desk.rpc.latest_blockhash(deadline_ns=soon())
        poor = Keypair.from_seed(bytes(range(32)))
        tip = TransferParams(from_pubkey=poor.pubkey(), to_pubkey=Pubkey(TIP_ACCOUNTS[0]), lamports=5_000)
        made = sign([transfer(tip)], poor, latest.blockhash)
        intent = Intent(bytes(16), made.signature, latest.last_valid_block_height, latest.slot, made.data)
        desk.submitter = Submitter(
            desk.rpc, None, desk.writer, desk.is_killed, RULE._replace(skip_preflight=False)
        )
        outcome = await desk.submit(intent)
        assert outcome.state is SendState.REFUSED
        end = await desk.the_end()
        assert end.state is EndState.REJECTED
        assert end.detail in ("AccountNotFound", "InsufficientFundsForFee")

    with_desk(simnet, tmp_path, work)
