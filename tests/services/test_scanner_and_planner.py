"""Scanner and planner on a market that the test moves."""

from collections.abc import Callable
from typing import Any

import pytest
from opportunity_support import offer, one_opportunity, refused, with_settings
from service_support import PATIENT, QUIET, House, dislocate, settings
from solders.pubkey import Pubkey

from hft import wire
from hft.venues import WRAPPED_SOL, tokens
from hft.wire.enums import KillTrigger, RejectReason, ValidationFactor

Make = Callable[..., House]


def test_the_scanner_sizes_exactly_and_carries_trace_and_stamps(house: Make) -> None:
    run = house(settings(simnet=QUIET))
    opportunity = one_opportunity(run)
    reader = run.reader("market_data", "update-reader")
    told = [message for message in reader.take_batch(1_000) if wire.identifier(message) == b"HFPU"]
    updates = {update.trace_id: update for update in map(wire.pool_update.decode, told)}
    reader.close()
    update = updates[opportunity.trace_id]
    assert update.pool in (opportunity.pool_1, opportunity.pool_2)
    assert (opportunity.received_ns, opportunity.feed_published_ns) == (
        update.received_ns,
        update.published_ns,
    )
    bank = run.services["simnet"]._bank
    leg_1 = bank.pools[opportunity.pool_1].quote(WRAPPED_SOL, opportunity.amount_in, bank.clock)
    leg_2 = bank.pools[opportunity.pool_2].quote(opportunity.quote_mint, leg_1.amount_out, bank.clock)
    assert (leg_1.amount_out, leg_2.amount_out) == (opportunity.amount_mid, opportunity.amount_out)
    assert opportunity.gross_profit_lamports == opportunity.amount_out - opportunity.amount_in > 0
    assert opportunity.confidence_ppm > 900_000


def test_row_24_the_scanner_says_the_same_thing_once_within_its_slots(house: Make) -> None:
    run = house(settings(simnet={**QUIET, "slot_ms": 60_000}))
    run.open("simnet", "scanner", "feed")
    run.until(lambda: run.count("feed", "pools") > 0 and run.count("feed", "slot") > 0)
    dislocate(run)
    run.until(lambda: run.count("scanner", "out_opportunities") > 0)
    run.shut("feed")
    newest = run.reader("market_data").take_batch(1_000)[-1]
    for again in range(1, 4):
        assert run.writer("market_data").offer(newest)
        run.until(lambda times=again: run.count("scanner", "rejected_duplicate") >= times)
    assert run.count("scanner", "out_opportunities") == 1


def test_corrupt_messages_are_counted(house: Make) -> None:
    run = house(settings(simnet=QUIET))
    for link in ("market_data", "opportunities", "system"):
        for broken in (b"\x00" * 16, b"\xff" * wire.pool_update.size, b"HFPU"):
            assert run.writer(link).offer(broken)
        run.writer(link).close()
    run.open("scanner", "planner")
    run.until(lambda: run.count("planner", "in_market_data") == 3)
    run.cycle()
    assert run.count("scanner", "dropped_corrupt") == 3
    assert run.count("planner", "dropped_corrupt") == 3
    assert run.count("planner", "dropped_market_data_corrupt") == 3
    assert run.count("planner", "dropped_system_corrupt") == 3


def test_the_conservative_profile_finds_nothing_worth_telling(house: Make) -> None:
    run = house(settings(simnet=QUIET, planner={"profile": "conservative"}))
    run.open("simnet", "scanner", "feed")
    run.until(lambda: run.count("feed", "pools") > 0 and run.count("feed", "slot") > 0)
    dislocate(run)
    run.until(lambda: run.count("scanner", "rejected_below_gross") > 0)
    assert run.count("scanner", "out_opportunities") == 0


R, F = RejectReason, ValidationFactor
KEYS: list[tuple[dict[str, dict[str, Any]], F, R]] = [
    ({"planner": {"minimum_profit_lamports": 10**12}}, F.PROFIT, R.BELOW_MINIMUM_PROFIT),
    ({"planner": {"minimum_profit_bps_milli": 10_000_000}}, F.PROFIT, R.BELOW_MINIMUM_BPS),
    ({"planner": {"compute_unit_price_micro_lamports": 10**9 * 10**6}}, F.PROFIT, R.COSTS_EXCEED_PROFIT),
    ({"planner": {"minimum_confidence_ppm": 1_000_001}}, F.CONFIDENCE, R.LOW_CONFIDENCE),
    ({"scanner": {"minimum_size_lamports": 10**14}}, F.AMOUNT, R.BELOW_MINIMUM_AMOUNT),
    ({"risk": {"maximum_size_lamports": 1}}, F.AMOUNT, R.ABOVE_MAXIMUM_AMOUNT),
    ({"planner": {"maximum_slippage_bps": 0}}, F.SLIPPAGE, R.SLIPPAGE),
    ({"planner": {"maximum_risk_score_ppm": 0}}, F.RISK, R.RISK_SCORE),
]


@pytest.mark.parametrize(("sections", "factor", "reason"), KEYS)
def test_every_setting_refuses_with_its_own_code(
    house: Make, sections: dict[str, dict[str, Any]], factor: F, reason: R
) -> None:
    run = house(settings(simnet=QUIET))
    opportunity = one_opportunity(run)
    with_settings(run, **sections)
    run.open("planner")
    run.until(lambda: run.count("planner", "out_planned") == 1)
    (rejection,) = refused(run)
    assert (rejection.factor, rejection.reason) == (factor, reason)
    assert rejection.trace_id == opportunity.trace_id
    assert rejection.opportunity_sequence == opportunity.sequence
    assert run.count("planner", f"rejected_{reason.name.lower()}") == 1


def test_blacklisted_pools_are_refused(house: Make) -> None:
    run = house(settings(simnet=QUIET))
    opportunity = one_opportunity(run)
    with_settings(run, planner={"blacklist": (str(Pubkey(opportunity.pool_2)),)})
    run.open("planner")
    run.until(lambda: run.count("planner", "out_planned") == 1)
    assert refused(run)[0].reason == R.POOL_BLACKLISTED


def test_disabled_pools_are_refused(house: Make) -> None:
    run = house(settings(simnet=QUIET))
    opportunity = one_opportunity(run)
    run.shut("feed")
    run.open("planner")
    run.services["planner"]._disabled.add(opportunity.pool_1)
    run.until(lambda: run.count("planner", "out_planned") == 1)
    assert refused(run)[0].reason == R.POOL_DISABLED


def test_row_21_a_killed_planner_plans_nothing(house: Make) -> None:
    run = house(settings(simnet=QUIET))
    one_opportunity(run)
    run.control.trip(KillTrigger.MANUAL, "test", "by hand", 1, 1)
    run.open("planner")
    run.until(lambda: run.count("planner", "out_planned") == 1)
    assert refused(run)[0].reason == R.KILLED


def test_a_plan_in_the_making_is_refused_when_a_kill_comes(
    house: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = house(settings(simnet=QUIET, planner=PATIENT))
    one_opportunity(run)
    run.open("planner")
    appraisal = run.services["planner"]._appraisal
    judge = appraisal.judge

    def tripped(*given: object) -> object:
        verdict = judge(*given)
        assert verdict[1] is None
        run.control.trip(KillTrigger.MANUAL, "test", "by hand", 1, 1)
        return verdict

    monkeypatch.setattr(appraisal, "judge", tripped)
    run.until(lambda: run.count("planner", "out_planned") == 1)
    assert refused(run)[0].reason == R.KILLED
    assert (run.count("planner", "plans"), run.count("planner", "rejected_killed")) == (0, 1)


def test_old_opportunities_are_refused_and_older_ones_only_counted(house: Make) -> None:
    run = house(settings(simnet=QUIET, planner=PATIENT))
    opportunity = one_opportunity(run)
    now_ns = run.clock.monotonic_ns()
    offer(run, opportunity, scan_published_ns=now_ns - 2_500_000_000)
    offer(run, opportunity, scan_published_ns=now_ns - 4_000_000_001)
    run.open("planner")
    run.until(lambda: run.count("planner", "in_opportunities") == 3)
    assert run.count("planner", "rejected_too_old") == 1
    assert run.count("planner", "dropped_stale") == 1
    assert run.count("planner", "plans") == 1


def test_row_24_a_replayed_opportunity_makes_one_plan_and_a_burst_of_10_000_one_too(house: Make) -> None:
    run = house(settings(simnet=QUIET, planner=PATIENT))
    opportunity = one_opportunity(run)
    run.open("planner")
    run.until(lambda: run.count("planner", "plans") == 1)
    reader = run.segments.rings["planned"].subscribe("executor", gating=True, from_start=True)
    sent = 0
    while sent < 10_000:
        for _ in range(500):
            offer(run, opportunity, amount_in=opportunity.amount_in + sent, slot=opportunity.slot + sent)
            sent += 1
        run.until(lambda: run.services["planner"].primary.lag == 0)
        reader.take_batch(1_000)
    run.until(lambda: run.count("planner", "in_opportunities") == 10_001)
    reader.close()
    assert run.count("planner", "plans") == 1  # its pools are held until they move
    assert run.count("planner", "rejected_duplicate") == 10_000
    counters = run.segments.pages["planner"].read()
    rejected = sum(n for name, n in counters.items() if name.startswith("rejected_"))
    assert counters["in_opportunities"] == counters["plans"] + rejected + counters["dropped_stale"]


def test_a_worse_state_than_the_scanner_saw_is_refused_as_slippage(house: Make) -> None:
    run = house(settings(simnet=QUIET))
    opportunity = one_opportunity(run)
    run.open("planner")
    run.until(lambda: run.count("planner", "plans") == 1)
    run.services["planner"]._holds._holds.clear()
    offer(run, opportunity, amount_out=opportunity.amount_out * 102 // 100, slot=opportunity.slot + 5)
    run.until(lambda: run.count("planner", "out_planned") == 2)
    (rejection,) = refused(run)
    assert (rejection.factor, rejection.reason, rejection.limit) == (F.SLIPPAGE, R.SLIPPAGE, 10_000)
    assert 19_000 < rejection.observed < 20_000


def test_row_09_an_impossible_amount_is_refused_not_crashed(house: Make) -> None:
    run = house(settings(simnet=QUIET))
    opportunity = one_opportunity(run)
    run.open("planner")
    run.until(lambda: run.count("planner", "out_planned") == 1)
    for amount in (0, 1, 2**64 - 1):
        run.services["planner"]._holds._holds.clear()
        offer(run, opportunity, amount_in=amount, slot=opportunity.slot + 10)
    run.until(lambda: run.count("planner", "in_opportunities") == 4)
    reasons = [RejectReason(rejection.reason) for rejection in refused(run)]
    assert len(reasons) == 3
    assert set(reasons) <= {R.QUOTE_FAILED, R.INSUFFICIENT_LIQUIDITY, R.NOT_PROFITABLE, R.DUPLICATE}
    assert run.count("planner", "plans") == 1


def test_the_plan_can_not_lose_and_expires(house: Make) -> None:
    run = house(settings(simnet=QUIET, planner={"plan_life_ms": 1_234}))
    one_opportunity(run)
    run.open("planner")
    run.until(lambda: run.count("planner", "plans") == 1)
    reader = run.reader("planned")
    plan = wire.execution_plan.decode(reader.take_batch(1)[0])
    spent = plan.base_fee_lamports + plan.priority_fee_lamports + plan.tip_lamports
    assert plan.minimum_out == plan.amount_in + spent < plan.expected_out
    assert plan.expected_profit_lamports == plan.expected_out - plan.minimum_out > 0
    assert plan.expires_ns == plan.plan_published_ns + 1_234_000_000
    assert plan.priority_fee_lamports == -(
        -plan.compute_unit_limit * plan.compute_unit_price_micro_lamports // 10**6
    )
    assert plan.tip_lamports >= 1_000
    assert plan.plan_id[:8] == run.run.run_id[:8]


def test_row_10_pools_of_a_token_that_is_not_listed_are_not_traded(
    house: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = tuple(pair for pair in tokens.pairs() if pair.quote.mint != tokens.USDC_MINT)
    monkeypatch.setattr(tokens, "pairs", lambda **_: listed)
    run = house(settings(simnet=QUIET))
    run.open("simnet", "scanner", "feed")
    bank = run.services["simnet"]._bank
    unlisted = [pool for pool in bank.pools.values() if tokens.USDC_MINT in (pool.mint_a, pool.mint_b)]
    assert unlisted
    run.until(lambda: run.count("scanner", "pools_unlisted") == len(unlisted))
    assert set(run.services["scanner"]._screen._places) == set(bank.pools) - {pool.key for pool in unlisted}
