"""The executor: the kill, the gate, one submission a plan, one result a plan."""

import pytest
from executor_support import Make, fault, ready, trip, until_out, until_told
from service_support import (
    PATIENT,
    QUIET,
    House,
    make_plan,
    results,
    settings,
    signatures,
    submissions,
)

from hft import wire
from hft.chain.journal_records import Intent
from hft.wire.enums import EndState, ExecutionReason, KillTrigger


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
