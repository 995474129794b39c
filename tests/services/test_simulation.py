"""The planner with simulation, and at the network's going rates."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opportunity_support import one_opportunity, plans, refused, with_settings
from service_support import PATIENT, QUIET, House, caught_up, dislocate, results, settings
from solders.pubkey import Pubkey

from hft.chain.compute import compute_unit_limit
from hft.chain.keys import paper_keypair
from hft.runtime.exit_codes import ExitCode, HftError
from hft.services.going_rates import GoingRates
from hft.services.plans import policies
from hft.strategy.costs import priority_fee
from hft.venues import ABSENT, associated_token_address
from hft.venues.registry import BY_PROGRAM
from hft.wire import TwoHopOpportunity
from hft.wire.enums import EndState, RejectReason, ValidationFactor
from tests.chain.made_program import elf, spends

Make = Callable[..., House]
ON = {**PATIENT, "simulate": "on"}


def judged(run: House, opportunity: TwoHopOpportunity) -> None:
    """The planner has had its say about the one opportunity."""
    assert opportunity.amount_in > 0
    run.open("planner")
    run.until(lambda: run.count("planner", "out_planned") == 1)
    run.until(lambda: run.count("planner", "simulations") > 0)


def test_a_simulated_plan_is_told_and_lands(house: Make) -> None:
    run = house(settings(simnet=QUIET, planner=ON))
    run.open("simnet", "manager", "auditor", "executor", "planner", "scanner", "feed")
    run.until(lambda: run.count("feed", "pools") > 0 and run.count("feed", "slot") > 0)
    run.until(lambda: run.services["executor"].access.watchers.blockhash() is not None)
    dislocate(run)
    run.until(lambda: run.count("executor", "end_landed_ok") > 0)
    assert results(run)[0].end_state == EndState.LANDED_OK
    planned, failed = run.count("planner", "plans"), run.count("planner", "rejected_simulation_failed")
    run.cycle()
    assert 0 < planned + failed <= run.count("planner", "simulations")
    assert run.count("planner", "simulations") == run.histogram("planner", "simulation_ns").count
    assert run.count("planner", "unit_limits_measured") == 0  # no program was run


def test_a_route_simulated_before_is_patched(house: Make) -> None:
    """Between plans its transaction was made ready; plans of its like land as the first did."""
    run = house(settings(simnet=QUIET, planner=ON))
    run.open("simnet", "manager", "auditor", "executor", "planner", "scanner", "feed")
    run.until(lambda: run.count("feed", "pools") > 0 and run.count("feed", "slot") > 0)
    run.until(lambda: run.services["executor"].access.watchers.blockhash() is not None)
    for landed in range(12):
        dislocate(run)
        run.until(lambda wanted=landed: run.count("executor", "end_landed_ok") > wanted)  # type: ignore[misc]
        run.until(lambda: caught_up(run))
        if run.count("planner", "simulations_patched") > 0:
            break
    assert 0 < run.count("planner", "simulations_patched") < run.count("planner", "simulations")
    assert {result.end_state for result in results(run)} == {EndState.LANDED_OK}


def test_a_plan_whose_simulation_fails_is_refused_with_its_code(house: Make) -> None:
    run = house(settings(simnet=QUIET, planner=ON))
    opportunity = one_opportunity(run)
    wallet = bytes(paper_keypair(run.run.config.simnet.seed).pubkey())
    bank = run.services["simnet"]._bank
    purse = associated_token_address(wallet, opportunity.quote_mint)
    bank.write({purse: ABSENT})
    run.services["simnet"]._publish()
    run.until(lambda: caught_up(run))
    judged(run, opportunity)
    (rejection,) = refused(run)
    assert (rejection.factor, rejection.reason) == (ValidationFactor.RISK, RejectReason.SIMULATION_FAILED)
    assert rejection.limit == 2  # the first swap: nowhere to pay to
    assert run.count("planner", "rejected_simulation_failed") == 1
    assert not plans(run)


def programs(folder: Path, loops: int) -> str:
    """Programs for every venue that take their time, succeed, and pay nobody."""
    for program in BY_PROGRAM:
        (folder / f"{Pubkey(program)}.so").write_bytes(elf(spends(loops)))
    return str(folder)


def test_programs_that_pay_too_little_are_refused_and_units_are_measured(house: Make, tmp_path: Path) -> None:
    folder = tmp_path / "programs"
    folder.mkdir()
    run = house(settings(simnet=QUIET, planner=ON, chain={"programs": programs(folder, 100)}))
    judged(run, one_opportunity(run))
    (rejection,) = refused(run)
    assert (rejection.factor, rejection.reason) == (ValidationFactor.SLIPPAGE, RejectReason.SIMULATION_FAILED)
    assert rejection.observed == rejection.amount_in < rejection.limit
    (limit,) = run.services["planner"]._appraisal._limits.values()
    assert run.count("planner", "simulations") == 2  # with the tables' limit, then with the measured one
    units = 2 * 203 + 3 * 150  # what the programs spend, and the budget's and the tip's instructions
    assert limit == compute_unit_limit(units)


def test_programs_that_need_more_than_the_tables_say_are_measured_anew(house: Make, tmp_path: Path) -> None:
    folder = tmp_path / "programs"
    folder.mkdir()
    run = house(settings(simnet=QUIET, planner=ON, chain={"programs": programs(folder, 150_000)}))
    judged(run, one_opportunity(run))
    assert run.count("planner", "simulations") == 3
    (limit,) = run.services["planner"]._appraisal._limits.values()
    assert limit == compute_unit_limit(2 * 300_003 + 450)


def test_a_folder_without_programs_is_refused_at_the_start(house: Make, tmp_path: Path) -> None:
    run = house(settings(simnet=QUIET, planner=ON, chain={"programs": str(tmp_path / "nowhere")}))
    with pytest.raises(HftError, match=r"\[chain\] programs: .*nowhere") as caught:
        run.open("planner")
    assert caught.value.code is ExitCode.CONFIG


def tell(run: House, **figures: int) -> None:
    """What the executor's watchers were told."""
    page = run.segments.pages["executor"]
    for name, figure in figures.items():
        page.set(page.index(name), figure)


@pytest.mark.parametrize(
    ("told", "price", "least_tip"),
    [
        ({}, 1_000, 1_000),
        ({"priority_fee_micro_lamports": 999, "tip_floor_lamports": 999}, 1_000, 1_000),
        ({"priority_fee_micro_lamports": 30_000, "tip_floor_lamports": 40_000}, 30_000, 40_000),
        ({"priority_fee_micro_lamports": 10**9, "tip_floor_lamports": 10**9}, 50_000, 60_000),
    ],
)
def test_row_19_going_rates_reach_the_plan_within_their_caps(
    house: Make, told: dict[str, int], price: int, least_tip: int
) -> None:
    caps: dict[str, Any] = {"compute_unit_price_cap_micro_lamports": 50_000, "tip_cap_lamports": 60_000}
    run = house(settings(simnet=QUIET, planner={**PATIENT, **caps, "tip_share_ppm": 0}))
    one_opportunity(run)
    tell(run, **told)
    run.open("planner")
    run.services["planner"].on_housekeeping(run.clock.monotonic_ns())
    run.until(lambda: run.count("planner", "out_planned") == 1)
    (plan,) = plans(run)
    assert plan.compute_unit_price_micro_lamports == price
    assert plan.priority_fee_lamports == priority_fee(plan.compute_unit_limit, price)
    assert plan.tip_lamports == least_tip
    assert plan.minimum_out == plan.amount_in + 5_000 + plan.priority_fee_lamports + least_tip


def test_row_19_a_going_rate_beyond_the_profit_means_no_plan(house: Make) -> None:
    run = house(settings(simnet=QUIET, planner={**PATIENT, "tip_cap_lamports": 10**12}))
    one_opportunity(run)
    tell(run, tip_floor_lamports=10**11)
    with_settings(run, planner={**PATIENT, "tip_cap_lamports": 10**12})
    run.open("planner")
    run.services["planner"].on_housekeeping(run.clock.monotonic_ns())
    run.until(lambda: run.count("planner", "out_planned") == 1)
    (rejection,) = refused(run)
    assert rejection.reason == RejectReason.COSTS_EXCEED_PROFIT


def test_rates_follow_what_is_told(house: Make) -> None:
    run = house(settings(simnet=QUIET))
    run.open("simnet", "planner")
    rates = GoingRates(run.contexts["planner"])
    (policy,) = policies(run.run.config).values()
    assert rates.over(policy) == policy
    tell(run, priority_fee_micro_lamports=7_000)
    assert rates.over(policy) == policy
    rates.look()
    assert rates.over(policy).compute_unit_price_micro_lamports == 7_000
    assert rates.over(policy) is rates.over(policy)
