"""Prepared transactions: the same bytes as a full build, on every pair of venues, and never out of date."""

import copy
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from chain_pools import order_of, pools_by_venue, route_table, table_form, twin
from solders.transaction import VersionedTransaction

from hft.chain.accounts import token_accounts
from hft.chain.keys import paper_keypair
from hft.chain.lookup import TableCache
from hft.chain.signers import LocalSigner
from hft.chain.template import TemplateCache
from hft.chain.tips import TIP_ACCOUNTS
from hft.chain.transaction import (
    MAX_TRANSACTION_BYTES,
    SignedTransaction,
    TransactionError,
    TransactionErrorCode,
    TwoHop,
    build_two_hop,
)
from hft.venues import TOKEN_PROGRAM, WRAPPED_SOL, Pool, Venue

PAYER = paper_keypair(1)
USER = PAYER.pubkey()
BLOCKHASH = bytes(range(32))
PAIRS = [(first, second) for first in list(Venue)[1:] for second in list(Venue)[1:]]


@pytest.fixture(scope="module")
def pools(shared_data: Path) -> dict[Venue, Pool]:
    return pools_by_venue(shared_data)


def route(pools: dict[Venue, Pool], first: Venue, second: Venue) -> TwoHop:
    return order_of(pools[first], twin(pools[second]) if first is second else pools[second])


def plans(order: TwoHop, count: int) -> list[tuple[TwoHop, bytes]]:
    """The route with other figures, tip accounts and blockhashes."""
    dice = random.Random(17)
    return [
        (
            order._replace(
                amount_in=dice.randrange(1, 2**64),
                amount_mid=dice.randrange(1, 2**64),
                minimum_out=dice.randrange(1, 2**64),
                compute_unit_limit=dice.randrange(1, 1_400_001),
                compute_unit_price_micro_lamports=dice.randrange(2**64),
                tip_lamports=dice.randrange(1000, 2**64),
                tip_account=dice.choice(TIP_ACCOUNTS),
            ),
            dice.randbytes(32),
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_a_template_gives_the_bytes_of_a_full_build_within_the_limit(
    pools: dict[Venue, Pool], first: Venue, second: Venue
) -> None:
    order = route(pools, first, second)
    key, account = route_table(order, USER)
    tables = TableCache([key])
    tables.update({key: account}, 90)
    cache = TemplateCache(LocalSigner.of(PAYER), tables)
    forms = (table_form(key, account),)
    for plan, blockhash in plans(order, 25):
        signed = cache.sign(plan, blockhash, 100)
        assert signed == build_two_hop(plan, PAYER, blockhash, tables=forms)
        assert len(signed.data) <= MAX_TRANSACTION_BYTES
    assert VersionedTransaction.from_bytes(signed.data).verify_with_results() == [True]
    assert (len(cache), cache.invalidated) == (1, 0)
    assert cache.built == 1


def outcome(build: Callable[[], SignedTransaction]) -> SignedTransaction | TransactionErrorCode:
    try:
        return build()
    except TransactionError as error:
        return error.code


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_row_18_without_a_table_the_same_bytes_or_the_same_refusal(
    pools: dict[Venue, Pool], first: Venue, second: Venue
) -> None:
    cache = TemplateCache(LocalSigner.of(PAYER))
    for plan, blockhash in plans(route(pools, first, second), 3):
        assert outcome(partial(cache.sign, plan, blockhash)) == outcome(
            partial(build_two_hop, plan, PAYER, blockhash)
        )


@pytest.mark.parametrize("venue", list(Venue)[1:])
def test_wrapping_inside_fits_and_gives_the_bytes_of_a_full_build(
    pools: dict[Venue, Pool], venue: Venue
) -> None:
    order = route(pools, venue, Venue.METEORA_DLMM)
    mints = [(WRAPPED_SOL, TOKEN_PROGRAM), (order.pool_1.other_mint(WRAPPED_SOL), TOKEN_PROGRAM)]
    order = order._replace(accounts=token_accounts(bytes(USER), mints, (), wrap_lamports=order.amount_in))
    key, account = route_table(order, USER)
    tables = TableCache([key])
    tables.update({key: account}, 90)
    signed = TemplateCache(LocalSigner.of(PAYER), tables).sign(order, BLOCKHASH, 91)
    assert signed == build_two_hop(order, PAYER, BLOCKHASH, tables=(table_form(key, account),))
    assert len(signed.data) <= MAX_TRANSACTION_BYTES


def test_a_pool_decoded_anew_keeps_the_template_while_its_accounts_are_the_same(
    pools: dict[Venue, Pool],
) -> None:
    cache = TemplateCache(LocalSigner.of(PAYER))
    order = route(pools, Venue.WHIRLPOOL, Venue.RAYDIUM_V4)
    cache.sign(order, BLOCKHASH)
    again = order._replace(pool_1=copy.copy(order.pool_1), pool_2=copy.copy(order.pool_2))
    assert cache.sign(again, BLOCKHASH) == build_two_hop(order, PAYER, BLOCKHASH)
    assert (cache.built, cache.invalidated) == (1, 0)


@pytest.mark.parametrize("venue", [Venue.WHIRLPOOL, Venue.RAYDIUM_CLMM, Venue.METEORA_DLMM])
def test_a_price_in_another_array_makes_another_message(pools: dict[Venue, Pool], venue: Venue) -> None:
    cache = TemplateCache(LocalSigner.of(PAYER))
    order = route(pools, venue, Venue.RAYDIUM_V4)
    before = cache.sign(order, BLOCKHASH)
    moved: Any = copy.copy(order.pool_1)
    if venue is Venue.WHIRLPOOL:
        moved.tick += 88 * moved.tick_spacing
    else:  # the arrays still to be walked, one fewer each way
        moved.down, moved.up = moved.down[1:], moved.up[1:]
    after = order._replace(pool_1=moved)
    assert cache.sign(after, BLOCKHASH) == build_two_hop(after, PAYER, BLOCKHASH)
    assert cache.sign(after, BLOCKHASH).data != before.data
    assert (cache.built, cache.invalidated) == (2, 1)
    # Back where it was: what was made ready for that is still there.
    assert cache.sign(order, BLOCKHASH) == before
    assert (cache.built, cache.invalidated) == (2, 2)


def test_refreshing_compiles_what_is_missing_a_little_at_a_time(pools: dict[Venue, Pool]) -> None:
    cache = TemplateCache(LocalSigner.of(PAYER))
    order = route(pools, Venue.WHIRLPOOL, Venue.RAYDIUM_V4)
    cache.prepare(order)
    newest: dict[bytes, Pool | None] = {pool.key: pool for pool in (order.pool_1, order.pool_2)}
    assert cache.built == 0
    back = order._replace(pool_1=order.pool_2, pool_2=order.pool_1)
    cache.prepare(back)
    assert [cache.refresh(newest.get) for _ in range(3)] == [1, 1, 0]
    for tip_account in TIP_ACCOUNTS:
        plan = order._replace(tip_account=tip_account)
        assert cache.sign(plan, BLOCKHASH) == build_two_hop(plan, PAYER, BLOCKHASH)
    assert cache.built == 2
    moved: Any = copy.copy(order.pool_1)
    moved.tick += 88 * moved.tick_spacing
    newest[moved.key] = moved
    assert cache.refresh(newest.get, limit=8) == 2
    newest[moved.key] = None  # not usable for now: the route waits
    assert cache.refresh(newest.get) == 0
    after = order._replace(pool_1=moved)
    assert cache.sign(after, BLOCKHASH) == build_two_hop(after, PAYER, BLOCKHASH)
    assert (cache.built, cache.invalidated) == (4, 2)


def test_a_route_that_does_not_fit_is_tried_once_until_it_changes(
    pools: dict[Venue, Pool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hft.chain.transaction.MAX_TRANSACTION_BYTES", 400)
    cache = TemplateCache(LocalSigner.of(PAYER))
    order = route(pools, Venue.WHIRLPOOL, Venue.RAYDIUM_V4)
    cache.prepare(order)
    newest: dict[bytes, Pool | None] = {pool.key: pool for pool in (order.pool_1, order.pool_2)}
    assert [cache.refresh(newest.get) for _ in range(3)] == [0, 0, 0]
    assert [known.refused for known in cache._routes.values()] == [True]
    with pytest.raises(TransactionError) as caught:
        cache.sign(order, BLOCKHASH)
    assert caught.value.code is TransactionErrorCode.TOO_LARGE
    monkeypatch.undo()
    assert cache.sign(order, BLOCKHASH) == build_two_hop(order, PAYER, BLOCKHASH)
    moved: Any = copy.copy(order.pool_1)
    moved.tick += 88 * moved.tick_spacing
    newest[moved.key] = moved
    assert cache.refresh(newest.get) == 1


class Remote:
    """A signer that is not in this process."""

    public_key = bytes(USER)

    def sign(self, message: bytes) -> bytes:
        return bytes(PAYER.sign_message(message))


def test_any_signer_signs_templates_and_full_builds(pools: dict[Venue, Pool]) -> None:
    order = route(pools, Venue.METEORA_DLMM, Venue.RAYDIUM_CPMM)
    expected = build_two_hop(order, PAYER, BLOCKHASH)
    assert TemplateCache(Remote()).sign(order, BLOCKHASH) == expected
    for payer in (Remote(), LocalSigner.of(PAYER)):
        assert build_two_hop(order, payer, BLOCKHASH) == expected


def test_the_oldest_route_makes_room_for_a_new_one(
    pools: dict[Venue, Pool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hft.chain.template.MAX_ROUTES", 3)
    cache = TemplateCache(LocalSigner.of(PAYER))
    for first, second in PAIRS[1:6]:
        cache.sign(route(pools, first, second), BLOCKHASH)
    assert len(cache) == 3
    assert cache.built == 5


def test_row_18_a_table_that_may_no_longer_be_used_is_not_used(pools: dict[Venue, Pool]) -> None:
    order = route(pools, Venue.RAYDIUM_CLMM, Venue.METEORA_DLMM)
    key, account = route_table(order, USER)
    tables = TableCache([key])
    tables.update({key: account}, 90)
    cache = TemplateCache(LocalSigner.of(PAYER), tables)
    assert key in cache.sign(order, BLOCKHASH, 91).data
    _, deactivated = route_table(order, USER, deactivation_slot=95)
    tables.update({key: deactivated}, 96)
    assert cache.sign(order, BLOCKHASH, 97) == build_two_hop(order, PAYER, BLOCKHASH)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"tip_lamports": 999}, TransactionErrorCode.TIP_TOO_SMALL),
        ({"tip_account": bytes(32)}, TransactionErrorCode.TIP_ACCOUNT),
        ({"compute_unit_limit": 1_400_001}, TransactionErrorCode.COMPUTE_UNIT_LIMIT),
        ({"compute_unit_price_micro_lamports": 2**64}, TransactionErrorCode.COMPUTE_UNIT_PRICE),
        ({"minimum_out": 0}, TransactionErrorCode.AMOUNT),
        ({"base_mint": bytes(32)}, TransactionErrorCode.POOLS),
    ],
)
def test_row_18_a_template_refuses_what_a_build_refuses(
    pools: dict[Venue, Pool], change: dict[str, Any], code: TransactionErrorCode
) -> None:
    cache = TemplateCache(LocalSigner.of(PAYER))
    order = route(pools, Venue.WHIRLPOOL, Venue.RAYDIUM_V4)
    for known in (False, True):
        if known:
            cache.sign(order, BLOCKHASH)
        with pytest.raises(TransactionError) as caught:
            cache.sign(order._replace(**change), BLOCKHASH)
        assert caught.value.code is code
    with pytest.raises(TransactionError, match="blockhash of 5 bytes"):
        cache.sign(order, b"short")
