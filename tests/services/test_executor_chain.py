"""The executor when engine, nodes or market go wrong: one truthful end for each plan."""

from dataclasses import replace

import pytest
from executor_support import Make, clear, crash, fault, ready, until_out, until_told, with_a_plan
from service_support import (
    PATIENT,
    QUIET,
    House,
    make_plan,
    results,
    settings,
    signatures,
    spoil,
    submissions,
)

from hft import wire
from hft.chain.base58 import b58encode as base58
from hft.chain.follow_state import FollowRule
from hft.wire.enums import EndState, ExecutionReason, Method

CARRIED_OUT = ("malformed_json", "disconnect")
"""Faults behind which the engine has the bundle all the same, and may say so when asked again."""


@pytest.mark.parametrize("kind", ["rate_limit", "hang", "malformed_json", "server_error", "disconnect"])
def test_row_12_14_an_engine_in_trouble_costs_the_plan_little_and_rpc_gets_the_same_bytes(
    house: Make, kind: str
) -> None:
    run, _ = with_a_plan(house, chain={"send_limit_ms": 3_000})  # RPC answers in time on a busy machine too
    ready(run)
    fault(run, kind, method="sendBundle", times=0)
    until_told(run)
    (result,) = results(run)
    assert result.end_state == EndState.LANDED_OK
    assert signatures(run) == {base58(result.signature)}
    assert [line["outcome"] for line in submissions(run)].count("landed_ok") == 1
    run.until(lambda: run.count("executor", "chain_jito_faults") >= 1)
    if kind not in CARRIED_OUT:
        assert result.method == Method.RPC
        run.until(lambda: run.count("executor", "chain_fallbacks") == 1)


def test_row_13_a_dropped_bundle_is_followed_to_its_expiry(planned: tuple[House, bytes]) -> None:
    run, _ = planned
    ready(run)
    fault(run, "dropped_bundle")
    until_out(run)
    desk = run.services["executor"].access.desk
    run.until(lambda: desk.follower.counts["bundle_invalid"] > 0)
    assert run.count("executor", "out_executed") == 0
    fault(run, "expired_blockhash")
    until_told(run)
    (result,) = results(run)
    assert (result.end_state, result.reason) == (EndState.EXPIRED, ExecutionReason.BUNDLE_INVALID)
    assert submissions(run) == []


def test_row_15_nobody_can_tell_what_became_of_it_it_ends_unknown_and_is_looked_up_after_the_restart(
    planned: tuple[House, bytes],
) -> None:
    run, plan = planned
    ready(run)
    fault(run, "lost_answer", method="sendBundle", times=0)
    fault(run, "lost_answer", method="sendTransaction", times=0)
    fault(run, "server_error", method="getSignatureStatuses", times=0)
    executor = run.services["executor"]
    executor.access.desk.follower._rule = FollowRule(silence_ns=500_000_000)
    executor.access.desk.follower.on_notified = lambda *told: None
    until_told(run)
    (result,) = results(run)
    assert (result.end_state, result.reason) == (EndState.UNKNOWN, ExecutionReason.STATUS_UNKNOWN)
    assert len(signatures(run)) == 1
    clear(run)
    crash(run)
    assert run.writer("planned").offer(plan)
    run.open("executor")
    run.until(lambda: run.count("executor", "dropped_duplicate") == 1)
    until_told(run, 2)
    assert [one.end_state for one in results(run)] == [EndState.UNKNOWN, EndState.LANDED_OK]
    assert [line["outcome"] for line in submissions(run)].count("landed_ok") == 1


def test_row_16_expired_only_after_the_last_valid_height_and_when_no_node_knows_it(
    planned: tuple[House, bytes],
) -> None:
    run, _ = planned
    ready(run)
    fault(run, "server_error", method="sendBundle", times=0)
    fault(run, "dropped_transaction")
    until_out(run)
    slot = run.count("executor", "slot")
    run.until(lambda: run.count("executor", "slot") > slot + 20)
    assert run.count("executor", "out_executed") == 0
    fault(run, "expired_blockhash")
    until_told(run)
    (result,) = results(run)
    assert (result.end_state, result.reason) == (EndState.EXPIRED, ExecutionReason.BLOCKHASH_EXPIRED)
    assert submissions(run) == []


def test_row_17_30_an_unbundled_trade_that_fails_costs_its_fee_alone(planned: tuple[House, bytes]) -> None:
    run, plan = planned
    order = wire.execution_plan.decode(plan)
    spoil(run, order)
    fault(run, "unbundled_bundle")
    ready(run)
    until_told(run)
    (result,) = results(run)
    assert (result.end_state, result.reason) == (EndState.LANDED_FAILED, ExecutionReason.MINIMUM_OUT)
    assert result.tip_lamports == 0
    fee = result.base_fee_lamports + result.priority_fee_lamports
    assert result.actual_profit_lamports == -fee == -order.base_fee_lamports - order.priority_fee_lamports


def test_a_bundle_that_lost_its_auction_is_expired_some_blocks_later_and_frees_what_it_would_take(
    planned: tuple[House, bytes],
) -> None:
    run, plan = planned
    spoil(run, wire.execution_plan.decode(plan))
    ready(run)
    work = run.services["executor"].work
    run.until(lambda: bool(work.open) and work.base_token_free == work.base_token)
    until_told(run)
    (result,) = results(run)
    assert (result.end_state, result.reason) == (EndState.EXPIRED, ExecutionReason.BUNDLE_FAILED)
    assert result.actual_profit_lamports == 0
    assert [line["outcome"] for line in submissions(run)] == ["rejected"]


def test_row_20_a_lagging_node_gives_no_blockhash(house: Make) -> None:
    run = house(settings(simnet=QUIET, planner=PATIENT))
    make_plan(run)
    run.open("manager")
    base = f"http://127.0.0.1:{(run.run.state_dir / 'simnet.port').read_text().strip()}"
    chain = replace(run.run.config.chain, rpc_urls=(f"{base}/node/late", base))
    object.__setattr__(run.run, "config", replace(run.run.config, chain=chain))
    fault(run, "lagging_node", node="late", slots=40, times=0)
    ready(run)
    tracker = run.services["executor"].access.watchers.blockhashes
    run.until(lambda: tracker.stale + run.services["executor"].access.watchers.faults["blockhash"] > 2)
    bank = run.services["simnet"]._cluster.bank
    assert bank.slot - tracker.newest.slot < 30
    until_told(run)
    assert results(run)[0].end_state == EndState.LANDED_OK


def test_without_a_cluster_a_plan_is_refused_as_unreachable(planned: tuple[House, bytes]) -> None:
    run, _ = planned
    run.shut("feed", "simnet")
    run.open("executor")
    work = run.services["executor"].work
    work.lamports = work.base_token = 10**12
    until_told(run)
    assert results(run)[0].reason == ExecutionReason.SETTLEMENT_UNREACHABLE
