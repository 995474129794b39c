"""From a plan to signed bytes: what a full build gives, on the newest pools."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from service_support import PATIENT, QUIET, House, caught_up, dislocate, make_plan, settings

from hft import wire
from hft.chain.keys import paper_keypair
from hft.chain.tips import tip_account
from hft.chain.transaction import TwoHop, build_two_hop
from hft.services.book import UNKNOWN, TableBook
from hft.services.building import Builder, PlanBook
from hft.services.outcome import End
from hft.venues import ChainClock, Pool, Quote, QuoteError, Venue, quote
from hft.wire import ExecutionPlan
from hft.wire.account import pack, unpack
from hft.wire.enums import ExecutionReason

Make = Callable[..., House]
BLOCKHASH = bytes(range(32))


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
    fresh = TableBook(run.contexts["executor"].table, builder._book._settings)
    fresh.refresh()
    for key in (plan.pool_1, plan.pool_2):
        entry = fresh.entry(key)
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


def test_a_pool_is_decoded_anew_only_when_its_bytes_speak_of_other_names(
    prepared: tuple[House, ExecutionPlan, Builder],
) -> None:
    run, plan, builder = prepared
    book, table = builder._book, run.contexts["feed"].table
    for key in (plan.pool_1, plan.pool_2):
        (before,) = book.newest(key)
        entry, packed = book.entries[key], table.get(key)
        assert packed is not None
        record = unpack(packed)
        table.put(key, pack(*record._replace(slot=record.slot + 1, lamports=record.lamports + 1)))
        assert book.newest(key) == [before]
        changes = entry.changes
        table.put(
            key, pack(*record._replace(data=record.data[:8] + bytes([record.data[8] ^ 1]) + record.data[9:]))
        )
        book.newest(key)
        assert entry.changes == changes + 1
        for gone in (UNKNOWN, record._replace(owner=bytes(32)), record._replace(data=record.data[:-1])):
            table.put(key, pack(*record))
            assert book.newest(key) != [None]
            table.put(key, pack(*gone))
            end = builder.signed(plan, BLOCKHASH, 1)
            assert isinstance(end, End)
            assert end.reason == ExecutionReason.BUILD_FAILED
        table.put(key, pack(*record))
    assert builder.signed(plan, BLOCKHASH, 1) == full_build(run, plan, builder, BLOCKHASH)


def test_what_swaps_name_is_as_a_whole_decoding_has_it_on_every_venue(house: Make) -> None:
    """Far moves both ways, through arrays of ticks and bins; the book reads no more than names rest on."""
    run = house(settings(simnet={**QUIET, "market": ()}))
    run.open("simnet", "feed", "manager", "executor")
    bank, table = run.services["simnet"]._bank, run.contexts["executor"].table
    run.until(lambda: run.count("feed", "pools") == len(bank.pools))
    book: PlanBook = run.services["executor"].builder._book
    moved = set()
    before = {key: names(book, key) for key in bank.pools}
    for number in range(10):
        for key, pool in list(bank.pools.items()):
            mint = pool.mint_a if number < 5 else pool.mint_b
            push = pushed(pool, mint, bank.clock)
            if push is not None:
                bank.swap(key, mint, push)
        run.services["simnet"]._publish()
        run.until(lambda: caught_up(run))
        fresh = TableBook(table, book._settings)
        fresh.refresh()
        for key, pool in bank.pools.items():
            entry = fresh.entry(key)
            assert entry is not None
            assert entry.pool is not None
            found = names(book, key)
            assert found == tuple(entry.pool.swap_names(mint) for mint in (pool.mint_a, pool.mint_b))
            if found != before[key]:
                moved.add(pool.venue)
    assert moved >= {Venue.WHIRLPOOL, Venue.RAYDIUM_CLMM, Venue.METEORA_DLMM}


def names(book: PlanBook, key: bytes) -> tuple[object, ...]:
    (pool,) = book.newest(key)
    assert pool is not None
    return tuple(pool.swap_names(mint) for mint in (pool.mint_a, pool.mint_b))


def pushed(pool: Pool, mint: bytes, clock: ChainClock) -> Quote | None:
    """A swap of ``mint`` that moves the price by a fifth, or as far as the pool can be quoted."""
    amount, price, push = 1 << 20, pool.spot_price(mint), None
    with suppress(QuoteError):
        while push is None or push.pool_after.spot_price(mint) > price * 0.8:
            push = quote(pool, mint, amount, clock)
            amount = amount * 5 // 4
    return push


def test_a_pool_that_is_not_there_is_a_refusal(prepared: tuple[House, ExecutionPlan, Builder]) -> None:
    _, plan, builder = prepared
    for asked in (plan._replace(pool_1=bytes(32)), plan._replace(base_mint=bytes(32))):
        end = builder.signed(asked, BLOCKHASH, 1)
        assert isinstance(end, End)
        assert end.reason == ExecutionReason.BUILD_FAILED
