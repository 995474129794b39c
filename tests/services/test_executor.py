"""The executor: the kill, the gate, one submission a plan, one result a plan."""

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
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
from hft.chain.journal_records import Intent
from hft.runtime.exit_codes import ExitCode, HftError
from hft.services.signing import lock_wallet
from hft.wire.enums import EndState, ExecutionReason, KillTrigger, Method

Make = Callable[..., House]


@pytest.fixture
def planned(house: Make) -> tuple[House, bytes]:
    """A run with one real plan on ``planned``, the market still, the manager's page beating."""
    return with_a_plan(house)


def with_a_plan(house: Make, **sections: Any) -> tuple[House, bytes]:
    run = house(settings(simnet=QUIET, planner=PATIENT, **sections))
    plan = make_plan(run)
    run.open("manager")
    return run, plan


def ready(run: House) -> None:
    """Open the executor and let it learn of the chain and its wallet, before it looks at any plan."""
    run.open("executor")
    executor = run.services["executor"]
    link, executor.primary = executor.primary, run.reader("executed", "nothing")
    access, work = executor.access, executor.work
    run.until(lambda: access.watchers.blockhash() is not None and work.lamports is not None)
    run.until(lambda: access.newest_slot > 0)  # the subscriptions stand: none is made of itself later
    executor.primary.close()
    executor.primary = link


def trip(run: House) -> None:
    now_ns = run.clock.monotonic_ns()
    run.control.trip(KillTrigger.MANUAL, "test", "by hand", now_ns, run.clock.unix_ns())


def test_a_plan_becomes_one_submission_and_one_result(planned: tuple[House, bytes]) -> None:
    run, plan = planned
    ready(run)
    run.until(lambda: run.count("executor", "out_executed") == 1)
    (result,) = results(run)
    assert result.plan_id == wire.execution_plan.decode(plan).plan_id
    assert (result.end_state, result.reason) == (EndState.LANDED_OK, ExecutionReason.NONE)
    assert [line["outcome"] for line in submissions(run)].count("landed_ok") == 1
    assert run.services["executor"].pending() == 0


def test_row_21_killed_before_the_plan_nothing_is_signed_or_sent(planned: tuple[House, bytes]) -> None:
    run, _ = planned
    ready(run)
    trip(run)
    run.until(lambda: run.count("executor", "out_executed") == 1)
    (result,) = results(run)
    assert (result.end_state, result.reason) == (EndState.REJECTED, ExecutionReason.KILLED)
    assert (result.signature, result.signed_ns, result.submitted_ns) == (bytes(64), 0, 0)
    assert submissions(run) == []


def test_row_21_killed_after_signing_nothing_is_written_to_the_socket(planned: tuple[House, bytes]) -> None:
    run, _ = planned
    ready(run)
    journal = run.services["executor"].access.writer.journal
    begin = journal.begin

    def begin_then_kill(intent: Intent) -> None:
        begin(intent)
        trip(run)

    journal.begin = begin_then_kill
    run.until(lambda: run.count("executor", "out_executed") == 1)
    (result,) = results(run)
    assert (result.end_state, result.reason) == (EndState.REJECTED, ExecutionReason.KILLED)
    assert result.signature != bytes(64)
    assert result.signed_ns > 0
    assert result.submitted_ns == 0
    assert submissions(run) == []
    run.until(lambda: not journal.open)


def test_row_21_killed_in_flight_it_is_followed_to_its_end(planned: tuple[House, bytes]) -> None:
    run, _ = planned
    ready(run)
    until_out(run)
    trip(run)
    run.until(lambda: run.count("executor", "out_executed") == 1)
    assert results(run)[0].end_state == EndState.LANDED_OK
    assert len(signatures(run)) == 1


def test_row_32_a_full_journal_refuses_new_plans_until_there_is_room(planned: tuple[House, bytes]) -> None:
    run, first = planned
    sidecar = run.segments.pages["sidecar"]
    full = sidecar.index("journal_full")
    sidecar.set(full, 1)
    ready(run)
    run.until(lambda: run.count("executor", "out_executed") == 1)
    assert (results(run)[0].end_state, results(run)[0].reason) == (
        EndState.REJECTED,
        ExecutionReason.JOURNAL_FULL,
    )
    assert submissions(run) == []
    sidecar.set(full, 0)
    again = wire.execution_plan.decode(first)._replace(plan_id=b"another plan ID.")
    view = bytearray(wire.execution_plan.size)
    wire.execution_plan.encode_into(view, *again)
    assert run.writer("planned").offer(bytes(view))
    run.until(lambda: run.count("executor", "out_executed") == 2)
    assert len(signatures(run)) == 1


def test_row_06_a_plan_on_a_fork_that_lost_is_void(planned: tuple[House, bytes]) -> None:
    run, plan = planned
    made = wire.execution_plan.decode(plan)
    behind = run.services["simnet"]._bank.slot - made.slot
    fault(run, "fork_revert", slots=behind + 2)
    run.until(lambda: run.count("feed", "reverts") == 1)
    assert run.count("feed", "revert_slot") <= made.slot
    ready(run)
    until_told(run)
    (result,) = results(run)
    assert (result.end_state, result.reason) == (EndState.REJECTED, ExecutionReason.FORK_REVERTED)
    assert (result.signature, submissions(run)) == (bytes(64), [])
    again = made._replace(plan_id=b"planned after it", received_ns=run.count("feed", "revert_ns") + 1)
    view = bytearray(wire.execution_plan.size)
    wire.execution_plan.encode_into(view, *again)
    assert run.writer("planned").offer(bytes(view))
    until_told(run, 2)
    assert results(run)[1].reason != ExecutionReason.FORK_REVERTED


def test_row_22_an_unreadable_latch_halts(planned: tuple[House, bytes]) -> None:
    run, _ = planned
    ready(run)
    control = run.contexts["executor"].control
    control._segment.memory[:8] = b"\xff" * 8  # the magic
    assert control.killed
    run.until(lambda: run.count("executor", "out_executed") == 1)
    assert results(run)[0].reason == ExecutionReason.KILLED
    assert submissions(run) == []


@pytest.mark.parametrize("beats", [True, False])
def test_row_23_without_the_managers_heartbeat_nothing_is_sent(house: Make, beats: bool) -> None:
    run = house(settings(simnet=QUIET, planner=PATIENT, manager={"heartbeat_limit_ms": 50}))
    make_plan(run)
    if beats:  # it beat once, long ago
        run.segments.pages["manager"].beat(run.clock.monotonic_ns() - 51_000_000)
    ready(run)
    run.until(lambda: run.count("executor", "out_executed") == 1)
    assert results(run)[0].reason == ExecutionReason.HEARTBEAT_LOST
    assert submissions(run) == []


def test_row_24_a_plan_delivered_again_is_sent_once(planned: tuple[House, bytes]) -> None:
    run, plan = planned
    assert run.writer("planned").offer(plan)
    assert run.writer("planned").offer(plan)
    ready(run)
    run.until(lambda: run.count("executor", "in_plans") == 3 and run.count("executor", "out_executed") == 1)
    run.settle()
    assert len(signatures(run)) == 1
    assert len(results(run)) == 1
    assert run.count("executor", "dropped_duplicate") == 2


@pytest.mark.parametrize(
    ("section", "reason"),
    [
        ({"risk": {"maximum_size_lamports": 1}}, ExecutionReason.SIZE_LIMIT),
        ({"risk": {"maximum_tip_lamports": 1_000}}, ExecutionReason.TIP_CAP),
        ({"risk": {"maximum_fee_lamports": 5_000}}, ExecutionReason.FEE_CAP),
        ({"risk": {"minimum_wallet_lamports": 10**15}}, ExecutionReason.WALLET_BALANCE),
    ],
)
def test_row_27_and_the_gates_other_limits_refuse_with_their_reason(
    house: Make, section: dict[str, dict[str, int]], reason: ExecutionReason
) -> None:
    planner_side = settings(simnet=QUIET, planner=PATIENT)
    run = house(planner_side)
    make_plan(run)
    run.open("manager")
    strict = settings(simnet=QUIET, planner=PATIENT, **section)
    object.__setattr__(run.run, "config", strict)
    ready(run)
    run.until(lambda: run.count("executor", "out_executed") == 1)
    assert results(run)[0].reason == reason
    assert b" against " in results(run)[0].detail
    assert submissions(run) == []


def test_an_expired_plan_is_refused(house: Make) -> None:
    run = house(settings(simnet=QUIET, planner={"plan_life_ms": 10}))
    plan = wire.execution_plan.decode(make_plan(run))
    run.open("manager")
    run.until(lambda: run.clock.monotonic_ns() >= plan.expires_ns)
    ready(run)
    run.until(lambda: run.count("executor", "out_executed") == 1)
    assert results(run)[0].reason == ExecutionReason.PLAN_EXPIRED


def test_corrupt_messages_are_counted_and_crash_nothing(planned: tuple[House, bytes]) -> None:
    run, plan = planned
    writer = run.writer("planned")
    for broken in (b"\x00" * 40, plan[:60], b"\xff" * len(plan), plan[:4] + b"XXXX" + plan[8:], b"x"):
        assert writer.offer(broken)
    ready(run)
    run.until(lambda: run.count("executor", "in_planned") == 6 and run.count("executor", "out_executed") == 1)
    assert run.count("executor", "dropped_corrupt") == 5
    assert results(run)[0].end_state == EndState.LANDED_OK


CARRIED_OUT = ("malformed_json", "disconnect")
"""Faults behind which the engine has the bundle all the same, and may say so when asked again."""


def fault(run: House, kind: str, **more: Any) -> None:
    """Something goes wrong on the cluster, until ``clear`` (an action: once)."""
    faults = run.services["simnet"]._cluster.faults
    run.services["simnet"]._cluster.act(faults.parse({"kind": kind, **more}))


def clear(run: House) -> None:
    run.services["simnet"]._cluster.faults.clear()


def until_told(run: House, results: int = 1) -> None:
    run.until(lambda: run.count("executor", "out_executed") == results)


def until_out(run: House) -> None:
    """Until the plan's bytes are with somebody."""
    run.until(lambda: run.count("executor", "submitted") == 1)


def crash(run: House) -> None:
    """The executor dies: the kernel frees its lock and its sockets, nothing is flushed."""
    executor = run.services["executor"]
    executor._lock.close()
    executor.access.loop.close(executor.access._http.close())
    run.crash("executor")


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


def test_row_26_a_second_executor_with_the_same_wallet_refuses(planned: tuple[House, bytes]) -> None:
    run, _ = planned
    ready(run)
    with pytest.raises(HftError, match="is in use by process") as caught:
        lock_wallet(run.run, run.services["executor"].wallet)
    assert caught.value.code is ExitCode.ALREADY_RUNNING


def test_row_29_a_crash_after_the_send_is_reconciled_with_the_chain(planned: tuple[House, bytes]) -> None:
    run, plan = planned
    ready(run)
    until_out(run)
    crash(run)
    assert run.writer("planned").offer(plan)
    run.open("executor")
    assert run.services["executor"].pending() == 1
    until_told(run)
    (result,) = results(run)
    assert result.end_state == EndState.LANDED_OK
    assert result.plan_id == wire.execution_plan.decode(plan).plan_id
    run.until(lambda: run.count("executor", "dropped_duplicate") == 1)
    assert len(signatures(run)) == 1
    assert run.count("executor", "recovered_plans") == 1


def test_row_29_a_crash_before_the_disk_has_the_plan_loses_nothing_and_it_is_not_sent_again(
    planned: tuple[House, bytes],
) -> None:
    run, plan = planned
    ready(run)
    journal = run.services["executor"].access.writer.journal
    asked: list[bool] = []

    def never_begin(_: Intent) -> None:
        asked.append(True)
        gone.wait(60)

    gone = threading.Event()
    journal.begin = never_begin
    run.until(lambda: bool(asked))
    crash(run)
    assert run.writer("planned").offer(plan)
    run.open("executor")
    assert run.services["executor"].pending() == 1
    fault(run, "expired_blockhash")
    until_told(run)
    gone.set()
    assert results(run)[0].end_state == EndState.EXPIRED
    run.until(lambda: run.count("executor", "dropped_duplicate") == 1)
    assert submissions(run) == []


def test_row_29_what_a_dead_cluster_was_sent_is_expired_at_the_next_start(
    house: Make, planned: tuple[House, bytes]
) -> None:
    run, _ = planned
    ready(run)
    until_out(run)
    crash(run)
    (folder,) = (run.run.state_dir / "intents").iterdir()
    folder.rename(folder.with_name("cluster-" + bytes(16).hex()))
    run.open("executor")
    until_told(run)
    assert results(run)[0].end_state == EndState.EXPIRED
    run.until(lambda: not (run.run.state_dir / "intents" / f"cluster-{bytes(16).hex()}").exists())
    assert run.count("executor", "recovered_plans") == 1


def test_without_a_cluster_a_plan_is_refused_as_unreachable(planned: tuple[House, bytes]) -> None:
    run, _ = planned
    run.shut("feed", "simnet")
    run.open("executor")
    work = run.services["executor"].work
    work.lamports = work.base_token = 10**12
    until_told(run)
    assert results(run)[0].reason == ExecutionReason.SETTLEMENT_UNREACHABLE


def test_row_34_a_stop_refuses_new_plans_and_tells_the_end_of_what_is_in_flight(
    planned: tuple[House, bytes],
) -> None:
    run, plan = planned
    ready(run)
    fault(run, "dropped_bundle")
    until_out(run)
    run.contexts["executor"].stop_requested = True
    assert run.writer("planned").offer(plan[:96] + b"another-plan-id!" + plan[112:])
    run.until(lambda: run.count("executor", "in_plans") == 2)
    assert run.services["executor"].pending() == 1
    journal = run.services["executor"].access.writer.journal
    run.shut("executor")
    ends = {(result.end_state, result.reason) for result in results(run)}
    assert ends == {
        (EndState.REJECTED, ExecutionReason.SHUTDOWN),
        (EndState.UNKNOWN, ExecutionReason.SHUTDOWN),
    }
    assert len(journal.open) == 1  # for the next start


def test_results_wait_for_a_reader_that_is_a_lap_behind(house: Make) -> None:
    config = settings(simnet=QUIET, planner=PATIENT)
    small = {**config.links, "executed": config.links["executed"].__class__(2, 1024)}
    object.__setattr__(config, "links", small)
    run = house(config)
    plan = make_plan(run)
    run.control.trip(KillTrigger.MANUAL, "test", "every plan is refused", 1, 1)
    slow = run.segments.rings["executed"].subscribe("slow", gating=True, from_start=True)
    writer = run.writer("planned")
    for n in range(20):
        assert writer.offer(plan[:96] + n.to_bytes(16, "little") + plan[112:])
    run.open("executor")
    for _ in range(10):
        run.cycle(["executor"])
    executor = run.services["executor"]
    assert run.count("executor", "out_executed") == 2
    assert 0 < executor.pending() <= 8
    taken = 0

    def drained() -> bool:
        nonlocal taken
        taken += len(slow.take_batch(1))
        return taken == 21

    run.until(drained)
    assert run.count("executor", "reason_killed") == 21
    slow.close()
