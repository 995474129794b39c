"""From a plan to signed bytes: what a full build gives, on the newest pools, and fast."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from service_support import PATIENT, QUIET, House, caught_up, dislocate, make_plan, settings

from hft import wire
from hft.chain.keys import paper_keypair
from hft.chain.tips import tip_account
from hft.chain.transaction import TwoHop, build_two_hop
from hft.services.building import Builder
from hft.services.outcome import End
from hft.venues import Pool
from hft.wire import ExecutionPlan
from hft.wire.enums import ExecutionReason

Make = Callable[..., House]
BLOCKHASH = bytes(range(32))
P50_LIMIT_NS = 60_000


@pytest.fixture
def prepared(house: Make) -> tuple[House, ExecutionPlan, Builder]:
    """A real plan, and the executor's builder with every route prepared."""
    run = house(settings(simnet=QUIET, planner=PATIENT))
    plan = wire.execution_plan.decode(make_plan(run))
    run.open("manager", "executor")
    builder: Builder = run.services["executor"].builder
    built = -1
    while builder._templates.built != built:
        built = builder._templates.built
        for _ in range(len(builder._templates) + 1):
            builder.refresh(1)
    return run, plan, builder


def full_build(run: House, plan: ExecutionPlan, builder: Builder, blockhash: bytes) -> Any:
    pools: list[Pool] = []
    for entry in builder._book.newest(plan.pool_1, plan.pool_2):
        assert entry is not None
        assert entry.pool is not None
        pools.append(entry.pool)
    order = TwoHop(
        *pools,
        plan.base_mint,
        plan.amount_in,
        plan.amount_mid,
        plan.minimum_out,
        plan.compute_unit_limit,
        plan.compute_unit_price_micro_lamports,
        plan.tip_lamports,
        tip_account(plan.sequence),
    )
    return build_two_hop(order, paper_keypair(run.run.config.simnet.seed), blockhash)


def test_every_plan_finds_its_transaction_prepared(prepared: tuple[House, ExecutionPlan, Builder]) -> None:
    run, plan, builder = prepared
    built = builder._templates.built
    routes = builder._templates._routes.values()
    assert built == sum(not route.refused for route in routes) > 0
    for sequence in range(8):
        asked = plan._replace(sequence=sequence)
        assert builder.signed(asked, BLOCKHASH, 1) == full_build(run, asked, builder, BLOCKHASH)
    assert builder._templates.built == built


def test_a_pool_that_moved_is_built_as_it_is_now(prepared: tuple[House, ExecutionPlan, Builder]) -> None:
    run, plan, builder = prepared
    before = builder.signed(plan, BLOCKHASH, 1)
    invalidated = builder._templates.invalidated
    for _ in range(6):  # far enough to come into another tick array
        moved = dislocate(run, share=0.01)
        run.until(lambda: caught_up(run))
        builder.refresh(1)
        assert builder.signed(plan, BLOCKHASH, 1) == full_build(run, plan, builder, BLOCKHASH)
    assert builder._templates.invalidated > invalidated
    assert moved in (plan.pool_1, plan.pool_2)
    assert builder.signed(plan, BLOCKHASH, 1) != before


def test_a_pool_that_is_not_there_is_a_refusal(prepared: tuple[House, ExecutionPlan, Builder]) -> None:
    _, plan, builder = prepared
    for asked in (plan._replace(pool_1=bytes(32)), plan._replace(base_mint=bytes(32))):
        end = builder.signed(asked, BLOCKHASH, 1)
        assert isinstance(end, End)
        assert end.reason == ExecutionReason.BUILD_FAILED


def test_from_plan_to_signed_bytes_takes_60_us_at_most(
    prepared: tuple[House, ExecutionPlan, Builder],
) -> None:
    """The best median of several batches: other work on the machine must not decide."""
    _, plan, builder = prepared
    medians = []
    for _ in range(20):
        taken = []
        for number in range(100):
            asked = plan._replace(sequence=number, amount_in=plan.amount_in + number)
            start = time.perf_counter_ns()
            builder.signed(asked, BLOCKHASH, 1)
            taken.append(time.perf_counter_ns() - start)
        medians.append(sorted(taken)[50])
    assert min(medians) <= P50_LIMIT_NS, sorted(medians)
