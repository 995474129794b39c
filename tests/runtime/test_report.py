"""Totals, equations and the JSON form, from plain readings."""

from hft.runtime import report
from hft.runtime.clock import ManualClock
from hft.runtime.monitor import (
    KillReading,
    Latency,
    LinkReading,
    Monitor,
    ReaderReading,
    Reading,
    ServiceReading,
)
from hft.runtime.segments import Segments
from hft.runtime.service import ServiceState

KEYS = {
    "duration_s",
    "updates",
    "opportunities",
    "plans",
    "rejections",
    "executions",
    "strategies",
    "ledger_pnl_lamports",
    "wallet_delta_lamports",
    "streams",
    "links",
    "latency_ns",
    "restarts",
    "kill_state",
    "open_signatures",
}


def page(**counters: int) -> ServiceReading:
    return ServiceReading(ServiceState.STOPPED, 1, 0, counters)


def reading(**changes: int) -> Reading:
    """Ten opportunities, of which six were planned, four rejected; all read by all."""
    planner = {"in_opportunities": 10, "plans": 6, "rejected_too_old": 4, "out_planned": 10} | changes
    return Reading(
        at_ns=1,
        services={
            "feed": page(out_market_data=100),
            "scanner": page(routes_sized=10, out_opportunities=10),
            "planner": page(**planner),
            "executor": page(
                in_planned=10,
                in_plans=6,
                in_plan_rejected=4,
                end_landed_ok=5,
                end_landed_failed=1,
                end_expired=0,
                out_executed=6,
            ),
            "auditor": page(pnl_lamports=(1 << 64) - 5000, wins=3, losses=1),
        },
        links={
            "opportunities": LinkReading(10, {"planner": ReaderReading(False, 10, 0, 0)}),
            "planned": LinkReading(
                10, {"executor": ReaderReading(True, 10, 0, 0), "auditor": ReaderReading(False, 7, 2, 1)}
            ),
        },
        latency={"tick_to_signed": Latency(6, 1, 2, 3, 4)},
        kill=KillReading(False, "none", "", ""),
    )


def test_totals_leave_out_what_did_not_happen() -> None:
    figures = report.totals(reading())
    assert (figures.updates, figures.opportunities, figures.plans) == (100, 10, 6)
    assert figures.rejections == {"too_old": 4}
    assert figures.executions == {"landed_ok": 5, "landed_failed": 1}
    assert figures.pnl_lamports == -5000
    assert (figures.rejected, figures.executed, figures.win_rate) == (4, 6, 0.75)


def test_a_balance_that_does_not_hold_is_found_with_what_is_missing() -> None:
    assert all(balance.holds for balance in report.balances(reading()))
    broken = {
        balance.name: balance.missing for balance in report.balances(reading(plans=5)) if not balance.holds
    }
    assert broken == {"planner: opportunities": 1, "planner: decisions": 1}
    broken = {
        balance.name: balance.missing
        for balance in report.balances(reading(out_planned=9))
        if not balance.holds
    }
    assert broken == {"planned: planner → ring": -1, "planner: decisions": -1}


def finished(source: Reading) -> report.Report:
    return report.Report(
        60.0004, report.totals(source), -5000, -5000, {"SYSTEM": 3}, source, 1, report.balances(source)
    )


def test_the_json_has_the_documented_keys_and_its_links_balance() -> None:
    told = report.as_json(finished(reading()))
    assert set(told) == KEYS
    assert told["duration_s"] == 60.0
    assert told["kill_state"] == "running"
    assert told["open_signatures"] == []
    left = report.as_json(finished(reading())._replace(open_signatures=("a",)))
    assert left["open_signatures"] == ["a"]
    assert told["latency_ns"] == {"tick_to_signed": {"p50": 1, "p99": 2, "p999": 3, "max": 4}}
    assert told["links"]["planned"] == {"in": 10, "out": 10, "dropped": {}}
    assert told["links"]["planned>auditor"] == {
        "in": 10,
        "out": 7,
        "dropped": {"overrun": 2, "after_stop": 1},
    }
    for entry in told["links"].values():
        assert entry["in"] == entry["out"] + sum(entry["dropped"].values())


def test_refused_messages_are_dropped_by_reason_and_told_by_service() -> None:
    source = reading(plans=5, dropped_corrupt=1)
    told = report.as_json(finished(source))
    assert told["links"]["opportunities"] == {"in": 10, "out": 9, "dropped": {"corrupt": 1}}
    assert report.losses(source) == {"planner": {"corrupt": 1}}


def test_money_agrees_only_when_both_sides_are_known_and_equal() -> None:
    whole = finished(reading())
    assert whole.money_agrees
    assert not whole._replace(wallet_delta_lamports=-4999).money_agrees
    assert not whole._replace(wallet_delta_lamports=None).money_agrees


def test_a_reading_of_real_shared_memory(segments: Segments) -> None:
    segments.pages["scanner"].add(segments.pages["scanner"].index("things"), 3)
    segments.pages["scanner"].record(0, 1000)
    segments.control.trip(1, "test", "why", 1, 2)
    taken = Monitor(segments.pages, segments.rings, segments.control, ManualClock()).read()
    assert taken.counter("scanner", "things") == 3
    assert taken.counter("scanner", "absent") == taken.counter("absent", "things") == 0
    assert taken.latency["stage"].samples == 1
    assert taken.kill == KillReading(True, "manual", "test", "why")
    assert taken.links["planned"] == LinkReading(0, {})


def test_what_each_strategy_did_adds_up_to_the_whole() -> None:
    loss = (1 << 64) - 700
    found = reading()
    scanner = {"strategy.a.routes_sized": 7, "strategy.a.rejected": 1, "strategy.a.opportunities": 6}
    scanner |= {"strategy.b.routes_sized": 3, "strategy.b.opportunities": 4}
    auditor = {"strategy.a.pnl_lamports": loss, "strategy.b.pnl_lamports": (1 << 64) - 4_300}
    services = dict(found.services)
    services["scanner"] = page(**found.services["scanner"].counters, **scanner)
    services["auditor"] = page(**found.services["auditor"].counters, **auditor)
    found = found._replace(services=services)
    each = report.strategies(found)
    assert list(each) == ["a", "b"]
    assert each["a"] == {"routes_sized": 7, "rejected_routes": 1, "opportunities": 6, "pnl_lamports": -700}
    sums = {balance.name: balance for balance in report.balances(found) if "by strategy" in balance.name}
    assert sums["auditor: pnl_lamports by strategy"].holds
    assert sums["scanner: out_opportunities by strategy"].holds
    assert not sums["planner: plans by strategy"].holds  # six plans, and nobody says they were his
