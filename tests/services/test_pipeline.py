"""The whole way, account bytes to ledger, with every part real and stepped by hand."""

from collections.abc import Callable

import pytest
from service_support import QUIET, House, dislocate, results, settings, signatures, submissions

from hft import venues
from hft.runtime import report
from hft.runtime.monitor import Monitor
from hft.wire import enums
from hft.wire.enums import EndState

PIPE = ("simnet", "auditor", "manager", "executor", "planner", "scanner", "feed")
Make = Callable[..., House]


TOLERANT = {
    **{"error_rate_ppm": 1_000_000, "rpc_failure_ppm": 1_000_000, "slot_drift_limit": 1_000},
    **{"heartbeat_limit_ms": 60_000, "no_data_limit_ms": 60_000},
}
"""All services of a run take turns in one process here: much comes too late, which is not the point."""


def wallet_worth(house: House) -> int:
    """SOL + wSOL of the paper wallet, as the cluster has it."""
    simnet = house.services["simnet"]
    found = simnet._bank.balances(house.services["executor"].wallet)
    return int(found.lamports + dict(found.tokens)[venues.WRAPPED_SOL])


def known(house: House) -> bool:
    """Whether the executor knows the wallet and a blockhash, and the feed its pools."""
    executor = house.services["executor"]
    return (
        house.count("feed", "pools") > 0
        and executor.work.lamports is not None
        and executor.access.watchers.blockhash() is not None
    )


def check_balances(house: House) -> None:
    """Every counter balances: in = out + rejected + dropped."""
    reading = Monitor(house.segments.pages, house.segments.rings, house.control, house.clock).read()
    wrong = [balance for balance in report.balances(reading) if not balance.holds]
    assert not wrong, wrong
    counters = {name: service.counters for name, service in reading.services.items()}
    executor, planner, auditor = counters["executor"], counters["planner"], counters["auditor"]
    ends = sum(n for name, n in executor.items() if name.startswith("end_"))
    reasons = sum(n for name, n in executor.items() if name.startswith("reason_"))
    assert (
        executor["in_planned"]
        == executor["in_plans"] + executor["in_plan_rejected"] + executor["dropped_corrupt"]
    )
    assert executor["in_plans"] == ends + executor["dropped_duplicate"] + executor["open_plans"]
    assert ends == reasons == executor["out_executed"] + executor["held_executed"] == auditor["in_executed"]
    rejected = sum(n for name, n in planner.items() if name.startswith("rejected_"))
    assert planner["out_planned"] == planner["plans"] + rejected
    assert executor["in_plan_rejected"] == rejected
    assert auditor["in_executed"] == auditor["out_metrics"] + auditor["dropped_duplicate"]


def test_dislocations_become_trades_and_the_ledger_equals_the_wallet(house: Make) -> None:
    run = house(settings(simnet=QUIET, scanner={"dedupe_slots": 0}))
    run.open(*PIPE)
    before = wallet_worth(run)
    run.until(lambda: known(run) and run.count("manager", "out_system") > 0)
    for trade in range(3):
        dislocate(run)
        run.until(lambda goal=trade + 1: run.count("auditor", "landed_ok") >= goal)
        run.settle()
    assert run.signed("auditor", "pnl_lamports") == wallet_worth(run) - before > 0
    assert run.signed("auditor", "unexplained_lamports") == 0
    assert run.count("auditor", "wallet_lamports") == wallet_worth(run)
    assert len(signatures(run)) == run.count("executor", "submitted") >= 3
    check_balances(run)
    for result in results(run):
        if result.end_state == EndState.LANDED_OK:
            stamps = result[result._fields.index("received_ns") :]
            assert list(stamps) == sorted(stamps)
            spent = result.base_fee_lamports + result.priority_fee_lamports + result.tip_lamports
            assert result.rent_lamports == 0
            assert result.lamports_before - result.lamports_after == spent
            assert result.actual_profit_lamports == (
                result.base_token_after - result.base_token_before - spent
            )
            # Nobody else traded: what was quoted is what was paid, to the lamport.
            assert result.actual_profit_lamports == result.expected_profit_lamports
            assert result.quote_token_after == result.quote_token_before
    assert run.histogram("executor", "tick_to_signed_ns").count == run.count("executor", "signed")
    assert run.histogram("executor", "submit_to_settled_ns").count == run.count("executor", "submitted")


def test_under_order_flow_everything_balances_and_money_agrees_to_the_lamport(house: Make) -> None:
    run = house(settings(simnet={"swaps_per_second": 400, "slot_ms": 100}, manager=TOLERANT))
    run.open(*PIPE)
    before = wallet_worth(run)
    run.until(lambda: run.count("auditor", "trades") >= 15, seconds=120)
    run.settle()
    assert run.count("executor", "end_unknown") == 0, run.nonzero()
    assert run.signed("auditor", "pnl_lamports") == wallet_worth(run) - before, run.nonzero()
    assert run.signed("auditor", "unexplained_lamports") == 0
    assert not run.control.killed, run.control.kill_info()
    check_balances(run)


def test_kill_under_load_leaves_no_submission_afterwards(house: Make) -> None:
    run = house(settings(simnet={"swaps_per_second": 400, "slot_ms": 100}, manager=TOLERANT))
    run.open(*PIPE)
    run.until(lambda: run.count("executor", "submitted") >= 3, seconds=120)
    now_ns = run.clock.monotonic_ns()
    run.control.trip(enums.KillTrigger.MANUAL, "test", "by hand", now_ns, run.clock.unix_ns())
    sent = run.count("executor", "submitted")
    for _ in range(5):  # what was on its way by the socket is read
        run.cycle(["simnet"])
    limit_ns = run.clock.monotonic_ns()
    seen = run.count("planner", "in_opportunities")
    run.until(lambda: run.count("planner", "in_opportunities") >= seen + 10, seconds=120)
    run.settle()
    assert len(signatures(run)) == run.count("executor", "submitted") >= sent
    assert all(line["monotonic_ns"] <= limit_ns for line in submissions(run))
    assert run.count("executor", "open_plans") == 0  # what was in flight was followed to its end
    assert run.count("planner", "rejected_killed") >= 9
    check_balances(run)


@pytest.mark.parametrize("venue", list(venues.Venue))
def test_venue_numbers_are_the_same_in_messages_and_in_code(venue: venues.Venue) -> None:
    assert enums.Venue[venue.name] == venue.value
    assert len(enums.Venue) == len(venues.Venue)
