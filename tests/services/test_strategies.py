"""Two strategies side by side on one market: counters, limits and profit of their own."""

from collections.abc import Callable
from typing import Any

import pytest
from made_results import failed, result
from opportunity_support import found, refused
from service_support import PATIENT, PIPELINE, QUIET, House, dislocate, results, settings

from hft import wire
from hft.runtime import config as configuration
from hft.runtime.settings_strategies import Strategies, Strategy, effective
from hft.services.ledger import Booking, Ledger
from hft.services.ledger_place import place_of
from hft.wire.enums import ExecutionReason, RejectReason

Make = Callable[..., House]
SOL = 10**9
LENIENT = {
    **PATIENT,
    "opportunity_age_limit_ms": 60_000,
    "data_age_limit_ms": 60_000,
    "slot_age_limit": 10**5,
}


def two(house: Make, first: dict[str, Any], second: dict[str, Any], **sections: dict[str, Any]) -> House:
    """A pipeline with ``first`` (number 16) before ``second`` (17)."""
    base = settings(simnet=QUIET, planner=LENIENT, **sections)
    made = {"first": Strategy(number=16, **first), "second": Strategy(number=17, **second)}
    return house(
        configuration.replace(base, strategies=Strategies(enabled=("first", "second")), strategy=made)
    )


def moved(run: House, *names: str, share: float = 0.003) -> None:
    run.open(*names)
    run.until(lambda: run.count("feed", "pools") > 0 and run.count("feed", "slot") > 0)
    dislocate(run, share)


def test_one_sizing_serves_both_and_each_has_its_own_filters(house: Make) -> None:
    run = two(house, {"maximum_size_lamports": SOL}, {})
    moved(run, "simnet", "scanner", "feed")
    run.until(lambda: run.count("scanner", "strategy.second.opportunities") > 0)
    offers = {offer.strategy: offer for offer in found(run)}
    assert offers[16].trace_id == offers[17].trace_id
    assert offers[16].amount_in <= SOL < offers[17].amount_in
    for name in ("routes_sized", "opportunities", "rejected"):
        whole = {"opportunities": "out_opportunities"}.get(name, name)
        total = run.count("scanner", whole) if name != "rejected" else run.total("scanner", "rejected_")
        assert total == sum(run.count("scanner", f"strategy.{each}.{name}") for each in ("first", "second"))


def test_a_route_that_only_one_of_them_wants(house: Make) -> None:
    run = two(house, {"minimum_gross_profit_lamports": 10**15}, {})
    moved(run, "simnet", "scanner", "feed")
    run.until(lambda: run.count("scanner", "strategy.second.opportunities") > 0)
    assert {offer.strategy for offer in found(run)} == {17}
    assert (
        run.count("scanner", "strategy.first.rejected")
        == run.count("scanner", "strategy.first.routes_sized")
        > 0
    )


def test_row_24_where_both_want_the_same_pools_the_first_goes_and_the_wallet_buys_once(house: Make) -> None:
    run = two(house, {}, {})
    moved(run, "simnet", "planner", "scanner", "feed")
    run.until(lambda: run.count("planner", "strategy.second.in_opportunities") > 0)
    run.until(lambda: run.count("planner", "in_opportunities") == run.count("scanner", "out_opportunities"))
    assert run.count("planner", "strategy.first.plans") > 0
    assert run.count("planner", "strategy.second.plans") == 0
    twins = [refusal for refusal in refused(run) if refusal.strategy == 17]
    assert {refusal.reason for refusal in twins} == {RejectReason.DUPLICATE}
    assert run.count("planner", "strategy.second.rejected") == len(twins)


def test_a_plan_keeps_to_the_limits_of_its_own_strategy(house: Make) -> None:
    run = two(house, {"minimum_profit_lamports": 10**15}, {"tip_share_ppm": 0})
    moved(run, "simnet", "planner", "scanner", "feed")
    run.until(lambda: run.count("planner", "strategy.second.plans") > 0)
    assert run.count("planner", "strategy.first.plans") == 0
    own = [refusal for refusal in refused(run) if refusal.strategy == 16]
    assert own
    assert {refusal.reason for refusal in own} == {RejectReason.BELOW_MINIMUM_PROFIT}
    assert own[0].limit == 10**15
    reader = run.reader("planned")
    plans = [wire.execution_plan.decode(m) for m in reader.take_batch(1_000) if wire.identifier(m) == b"HFEP"]
    assert {(plan.strategy, plan.tip_lamports) for plan in plans} == {(17, 1_000)}


def test_what_no_strategy_here_offered_is_not_planned(house: Make) -> None:
    run = two(house, {}, {})
    moved(run, "simnet", "scanner", "feed")
    run.until(lambda: run.count("scanner", "out_opportunities") > 0)
    run.shut("scanner")
    stranger = found(run)[0]._replace(strategy=1, scan_published_ns=run.clock.monotonic_ns())
    run.open("planner")
    run.until(lambda: run.count("planner", "in_opportunities") > 0)
    before = run.count("planner", "dropped_corrupt")
    message = bytearray(wire.two_hop_opportunity.size)
    wire.two_hop_opportunity.encode_into(message, *stranger)
    assert run.writer("opportunities").offer(bytes(message))
    run.until(lambda: run.count("planner", "dropped_corrupt") == before + 1)


def test_each_has_its_own_profit_and_they_add_up(house: Make) -> None:
    """The first takes a route once, the second each time it pays."""
    run = two(house, {"dedupe_slots": 10_000}, {"dedupe_slots": 0})
    run.open(*PIPELINE)
    run.until(lambda: run.count("feed", "pools") > 0 and run.count("feed", "slot") > 0)
    for name in ("first", "second"):
        dislocate(run)
        run.until(lambda name=name: run.signed("auditor", f"strategy.{name}.pnl_lamports") > 0)
    run.settle()
    for gauge in ("trades", "pnl_lamports", "wins", "fees_lamports", "tips_lamports"):
        shares = [run.signed("auditor", f"strategy.{name}.{gauge}") for name in ("first", "second")]
        assert sum(shares) == run.signed("auditor", gauge)
        assert all(shares)
    metrics = [wire.pnl_metric.decode(m) for m in run.reader("metrics").take_batch(1_000)]
    newest = {metric.strategy: metric.pnl_lamports for metric in metrics}
    assert newest == {
        16: run.signed("auditor", "strategy.first.pnl_lamports"),
        17: run.signed("auditor", "strategy.second.pnl_lamports"),
    }


def test_row_25_each_strategy_has_its_own_daily_loss_and_the_other_trades_on(house: Make) -> None:
    """The first lost its limit earlier today, as the ledger says; the second has a profit."""
    run = two(house, {"maximum_daily_loss_lamports": 5_100}, {"dedupe_slots": 0})
    ledger = Ledger(place_of(run.run.state_dir, run.run.config.auditor), run.run)
    ledger.open()
    earlier = (failed(0)._replace(strategy=16), result(1, strategy=17))
    ledger.book([Booking(each, 0, run.clock.unix_ns(), b"an earlier run--") for each in earlier], 0)
    ledger.close()
    run.open(*PIPELINE)
    run.until(lambda: run.count("feed", "pools") > 0 and run.count("feed", "slot") > 0)
    assert [run.count("executor", f"strategy.{name}.halted") for name in ("first", "second")] == [1, 0]
    dislocate(run)
    run.until(lambda: run.signed("auditor", "strategy.second.pnl_lamports") > 0)
    assert {(end.strategy, end.reason) for end in results(run)} == {(17, ExecutionReason.NONE)}
    assert run.count("scanner", "strategy.first.routes_sized") == 0  # it keeps nothing from the other
    assert not run.control.killed


def test_row_25_the_gate_refuses_what_a_strategy_may_not_whoever_offered_it(house: Make) -> None:
    run = two(house, {"maximum_daily_loss_lamports": 5_100}, {})
    moved(run, "simnet", "scanner", "feed")
    run.until(lambda: run.count("scanner", "strategy.first.opportunities") > 0)
    run.shut("scanner")
    ledger = Ledger(place_of(run.run.state_dir, run.run.config.auditor), run.run)
    ledger.open()
    ledger.book([Booking(failed(0)._replace(strategy=16), 0, run.clock.unix_ns(), b"an earlier run--")], 0)
    ledger.close()
    run.open("executor", "manager")
    run.until(lambda: run.count("executor", "wallet_lamports") > 0)
    run.open("planner")
    run.until(lambda: run.count("executor", "reason_daily_loss") > 0)
    assert run.count("executor", "signed") == 0


def test_a_strategys_own_settings_stand_over_the_common_ones_and_never_over_the_gate() -> None:
    config = configuration.load(
        None,
        sets=[
            "strategies.enabled=two_hop,bold",
            "strategy:bold.number=16",
            "strategy:bold.maximum_size_lamports=7",
            "strategy:bold.minimum_size_lamports=5",
            "strategy:bold.tip_share_ppm=0",
            "strategy:bold.maximum_open_plans=100000",
            "strategy:bold.maximum_daily_loss_lamports=5",
        ],
    )
    bold, common = effective(config, "bold"), effective(config, "two_hop")
    assert common == config
    assert (bold.scanner.maximum_size_lamports, bold.risk.maximum_size_lamports) == (7, 7)
    assert bold.planner.tip_share_ppm == 0
    assert bold.planner.minimum_profit_lamports == config.planner.minimum_profit_lamports
    assert bold.risk.maximum_open_plans == config.risk.maximum_open_plans
    assert bold.risk.maximum_daily_loss_lamports == 5
    assert configuration.from_dict(configuration.to_dict(config)) == config


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (["strategies.enabled="], "[strategies] enabled: '' is not 1 to 8 names, each once"),
        (["strategies.enabled=two_hop,two_hop"], "is not 1 to 8 names, each once"),
        (["strategies.enabled=two_hop,bold"], "[strategies] enabled: bold has no section [strategy:bold]"),
        (["strategy:bold.number=1"], "[strategy:bold] number: 1 is the schema's own; 16 to 65535 are free"),
        (["strategy:bold.number=2"], "[strategy:bold] number: 2 is the schema's own"),
        (
            ["strategy:bold.number=16", "strategy:meek.number=16"],
            "[strategy:meek] number: 16 is bold's already",
        ),
        (["strategy:Bold.number=16"], "[strategy:Bold]: unknown section"),
        (["strategy:two_hop.kind=three_hop"], "'three_hop' is not one of two_hop"),
        (["strategy:two_hop.minimum_size_lamports=-2"], "-2 is out of range: -1 to"),
        (
            ["strategy:two_hop.maximum_size_lamports=5"],
            "[strategy:two_hop] minimum_size_lamports 10000000 is above maximum_size_lamports 5",
        ),
    ],
)
def test_wrong_strategies_are_told_by_their_key(sets: list[str], said: str) -> None:
    with pytest.raises(configuration.ConfigError) as caught:
        configuration.load(None, sets=sets)
    (error,) = caught.value.errors
    assert said in error
