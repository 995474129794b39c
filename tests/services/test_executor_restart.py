"""The executor that ends, dies and starts again: nothing is lost, nothing is sent twice."""

import threading

import pytest
from executor_support import Make, crash, fault, ready, until_out, until_told
from service_support import (
    House,
    results,
    signatures,
    submissions,
)

from hft import wire
from hft.chain.journal_records import Intent
from hft.runtime.exit_codes import ExitCode, HftError
from hft.services.signing import lock_wallet
from hft.wire.enums import EndState, ExecutionReason


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
