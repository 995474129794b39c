"""The executor: the kill, the gate, one submission a plan, one result a plan."""

from collections.abc import Callable

import pytest
from service_support import PATIENT, QUIET, Cluster, House, make_plan, results, settings, submissions

from hft import wire
from hft.chain.frames import Outcome, SettlementStatus, TokenChange
from hft.runtime.service import ServiceState
from hft.wire.enums import EndState, ExecutionReason, KillTrigger

Make = Callable[..., House]
Serve = Callable[[House], Cluster]


@pytest.fixture
def planned(house: Make) -> tuple[House, bytes]:
    """A run with one real plan on ``planned``, the market still, the manager's page beating."""
    run = house(settings(simnet=QUIET, planner=PATIENT))
    plan = make_plan(run)
    run.open("manager")
    return run, plan


def ready(run: House) -> None:
    """Open the executor and let it learn of the chain and its wallet, before it looks at any plan."""
    run.open("executor")
    executor = run.services["executor"]
    link, executor.primary = executor.primary, run.reader("executed", "nothing")
    run.until(lambda: executor._work.chain is not None and executor._work.lamports is not None)
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
    assert [line["outcome"] for line in submissions(run)] == ["landed_ok"]
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
    intents = run.services["executor"]._work.intents
    begin = intents.begin

    def begin_then_kill(intent: object) -> None:
        begin(intent)
        trip(run)

    intents.begin = begin_then_kill
    run.until(lambda: run.count("executor", "out_executed") == 1)
    (result,) = results(run)
    assert (result.end_state, result.reason) == (EndState.REJECTED, ExecutionReason.KILLED)
    assert result.signature != bytes(64)
    assert result.signed_ns > 0
    assert result.submitted_ns == 0
    assert submissions(run) == []
    assert intents.open == {}


def test_row_21_killed_in_flight_it_is_followed_to_its_end(planned: tuple[House, bytes]) -> None:
    run, _ = planned
    ready(run)
    while run.count("executor", "submitted") == 0:
        run.cycle(["executor"])
    trip(run)
    run.until(lambda: run.count("executor", "out_executed") == 1)
    assert results(run)[0].end_state == EndState.LANDED_OK
    assert len(submissions(run)) == 1


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
    assert len(submissions(run)) == 1


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
    assert len(submissions(run)) == 1
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


def swap_cluster(run: House, cluster: Serve) -> Cluster:
    """Replace the simnet by a socket that the test serves."""
    run.shut("feed", "simnet")
    return cluster(run)


def on_the_silent_cluster(run: House, cluster: Serve) -> Cluster:
    """The executor connected to a cluster that takes submissions and never says what became of them."""
    served = swap_cluster(run, cluster)
    run.open("executor")
    run.segments.pages["executor"].set_state(ServiceState.RUNNING)
    executor = run.services["executor"]
    link, executor.primary = executor.primary, run.reader("executed", "nothing")

    def known() -> bool:
        served.server.poll()
        if served.clients and executor._work.chain is None:
            served.slot(slot=1_000, block_height=100, last_valid=250)
        return executor._work.chain is not None and executor._work.lamports is not None

    run.until(known)
    executor.primary.close()
    executor.primary = link

    def submitted() -> bool:
        served.server.poll()
        return bool(served.submitted)

    run.until(submitted)
    return served


def told(run: House, served: Cluster) -> None:
    """Until the plan has its result."""

    def out() -> bool:
        served.server.poll()
        return run.count("executor", "out_executed") == 1

    run.until(out)


def test_row_16_expired_only_after_the_last_valid_height_and_when_the_cluster_never_saw_it(
    planned: tuple[House, bytes], cluster: Serve
) -> None:
    run, _ = planned
    served = on_the_silent_cluster(run, cluster)
    served.slot(slot=1_150, block_height=250, last_valid=400)
    run.until(lambda: run.count("executor", "slot") == 1_150)
    for _ in range(3):
        run.cycle()
    assert run.count("executor", "out_executed") == 0
    served.slot(slot=1_151, block_height=251, last_valid=401)
    told(run, served)
    (result,) = results(run)
    assert (result.end_state, result.reason) == (EndState.EXPIRED, ExecutionReason.BLOCKHASH_EXPIRED)
    assert len(served.submitted) == 1


def test_row_15_nobody_can_tell_what_became_of_it_it_ends_unknown_and_is_never_sent_again(
    planned: tuple[House, bytes], cluster: Serve
) -> None:
    run, _ = planned
    served = on_the_silent_cluster(run, cluster)
    served.knows_nothing = False
    served.drop_clients()
    run.until(lambda: run.count("executor", "disconnects") == 1)

    def reconnected() -> bool:
        served.server.poll()
        return bool(served.clients)

    run.until(reconnected)
    served.slot(slot=1_151, block_height=251, last_valid=401)
    told(run, served)
    (result,) = results(run)
    assert (result.end_state, result.reason) == (EndState.UNKNOWN, ExecutionReason.STATUS_UNKNOWN)
    assert len(served.submitted) == 1


def landed(run: House, served: Cluster) -> SettlementStatus:
    """The status of the one submission, as a cluster that executed it would tell it."""
    work = next(iter(run.services["executor"]._work.open.values()))
    plan = work.plan
    paid = 5_100 + plan.tip_lamports
    tokens = (TokenChange(plan.base_mint, 10**12, 10**12 + plan.expected_out - plan.amount_in),)
    return SettlementStatus(
        work.signature, Outcome.LANDED_OK, 1_000, 255, 0, "", 5_100, 1, 10**12, 10**12 - paid, tokens
    )


def test_row_15_a_status_missed_on_a_broken_connection_is_asked_for(
    planned: tuple[House, bytes], cluster: Serve
) -> None:
    run, _ = planned
    served = on_the_silent_cluster(run, cluster)
    status = landed(run, served)
    served.statuses[status.signature] = status
    served.drop_clients()
    told(run, served)
    (result,) = results(run)
    assert result.end_state == EndState.LANDED_OK
    assert run.services["executor"]._work.lamports == status.lamports_after
    assert len(served.submitted) == 1


def crash_and_redeliver(run: House, served: Cluster, plan: bytes) -> None:
    """The executor dies after the send; the ring delivers the plan again to its successor."""
    run.services["executor"]._cluster.close()
    run.crash("executor")
    assert run.writer("planned").offer(plan)
    served.clients.clear()
    run.open("executor")
    assert run.services["executor"].pending() == 1


def test_row_29_a_crash_after_the_send_is_reconciled_with_the_chain(
    planned: tuple[House, bytes], cluster: Serve
) -> None:
    run, plan = planned
    served = on_the_silent_cluster(run, cluster)
    status = landed(run, served)
    served.statuses[status.signature] = status
    crash_and_redeliver(run, served, plan)
    told(run, served)
    (result,) = results(run)
    assert result.end_state == EndState.LANDED_OK
    assert result.plan_id == wire.execution_plan.decode(plan).plan_id
    run.until(lambda: run.count("executor", "dropped_duplicate") == 1)
    assert len(served.submitted) == 1
    assert run.count("executor", "recovered_plans") == 1


def test_row_29_a_crash_after_the_send_that_never_arrived_expires_and_is_not_sent_again(
    planned: tuple[House, bytes], cluster: Serve
) -> None:
    run, plan = planned
    served = on_the_silent_cluster(run, cluster)
    crash_and_redeliver(run, served, plan)

    def known() -> bool:
        served.server.poll()
        return bool(served.clients)

    run.until(known)
    served.slot(slot=1_151, block_height=251, last_valid=401)
    told(run, served)
    assert results(run)[0].end_state == EndState.EXPIRED
    assert len(served.submitted) == 1
    run.until(lambda: run.count("executor", "wallet_lamports") == 2 * 10**12)  # asked anew


def test_without_a_cluster_a_plan_is_refused_as_unreachable(planned: tuple[House, bytes]) -> None:
    run, _ = planned
    run.shut("feed", "simnet")
    run.open("executor")
    run.services["executor"]._work.lamports = run.services["executor"]._work.base_token = 10**12
    run.until(lambda: run.count("executor", "out_executed") == 1)
    assert results(run)[0].reason == ExecutionReason.SETTLEMENT_UNREACHABLE


def test_row_34_a_stop_refuses_new_plans_and_tells_the_end_of_what_is_in_flight(
    planned: tuple[House, bytes], cluster: Serve
) -> None:
    run, plan = planned
    on_the_silent_cluster(run, cluster)
    run.contexts["executor"].stop_requested = True
    assert run.writer("planned").offer(plan[:96] + b"another-plan-id!" + plan[112:])
    run.until(lambda: run.count("executor", "in_plans") == 2)
    assert run.services["executor"].pending() == 1
    run.shut("executor")
    ends = {(result.end_state, result.reason) for result in results(run)}
    assert ends == {
        (EndState.REJECTED, ExecutionReason.SHUTDOWN),
        (EndState.UNKNOWN, ExecutionReason.SHUTDOWN),
    }


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
