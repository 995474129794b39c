"""The two-hop transaction: what is in it, and what is refused before anything is signed."""

import struct

import pytest
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from hft.chain.keys import paper_keypair
from hft.chain.tips import MINIMUM_TIP_LAMPORTS, TIP_ACCOUNTS, tip_account
from hft.chain.transaction import (
    MAX_TRANSACTION_BYTES,
    SWAP_1_INDEX,
    SWAP_2_INDEX,
    TransactionError,
    TransactionErrorCode,
    TwoHop,
    build_two_hop,
    priority_fee_lamports,
    sign,
)
from hft.simnet.market import load_market
from hft.venues import WRAPPED_SOL, Pool, Venue, parse_swap

PAYER = paper_keypair(1)
BLOCKHASH = bytes(range(32))


@pytest.fixture(scope="module")
def pools() -> list[Pool]:
    """The shipped SOL/USDC pools: Whirlpool, AMM v4."""
    usdc = bytes(Pubkey.from_string("EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"))
    found = [pool for pool in load_market().pools.values() if usdc in (pool.mint_a, pool.mint_b)]
    return sorted(found, key=lambda pool: pool.venue)[:2]


@pytest.fixture
def order(pools: list[Pool]) -> TwoHop:
    """A right order."""
    return TwoHop(*pools, WRAPPED_SOL, 10**9, 80_000_000, 10**9 + 7000, 200_000, 1500, 1000, TIP_ACCOUNTS[2])


def test_the_transaction_holds_what_the_order_says(order: TwoHop) -> None:
    signed = build_two_hop(order, PAYER, BLOCKHASH)
    assert len(signed.data) <= MAX_TRANSACTION_BYTES
    transaction = VersionedTransaction.from_bytes(signed.data)
    assert transaction.verify_with_results() == [True]
    assert bytes(transaction.signatures[0]) == signed.signature
    message = transaction.message
    assert bytes(message.recent_blockhash) == BLOCKHASH
    keys = [bytes(pubkey) for pubkey in message.account_keys]
    assert keys[0] == bytes(PAYER.pubkey())
    limit, price, *_, tip = message.instructions
    assert bytes(limit.data) == b"\x02" + (200_000).to_bytes(4, "little")
    assert bytes(price.data) == b"\x03" + (1500).to_bytes(8, "little")
    assert bytes(tip.data) == struct.pack("<IQ", 2, 1000)
    assert [keys[index] for index in tip.accounts] == [bytes(PAYER.pubkey()), TIP_ACCOUNTS[2]]
    calls = [
        parse_swap(keys[ix.program_id_index], [keys[at] for at in ix.accounts], bytes(ix.data))
        for ix in message.instructions
    ]
    leg_1, leg_2 = calls[SWAP_1_INDEX], calls[SWAP_2_INDEX]
    assert leg_1 is not None
    assert leg_2 is not None
    assert (leg_1.venue, leg_2.venue) == (Venue.WHIRLPOOL, Venue.RAYDIUM_V4)
    assert (leg_1.amount_in, leg_1.minimum_out) == (order.amount_in, order.amount_mid)
    assert (leg_2.amount_in, leg_2.minimum_out) == (order.amount_mid, order.minimum_out)
    assert leg_1.user_out == leg_2.user_in
    assert leg_1.user_in == leg_2.user_out


def test_row_14_the_same_order_gives_the_identical_signed_bytes(order: TwoHop) -> None:
    assert build_two_hop(order, PAYER, BLOCKHASH) == build_two_hop(order, PAYER, BLOCKHASH)
    assert build_two_hop(order, PAYER, bytes(32)) != build_two_hop(order, PAYER, BLOCKHASH)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"tip_lamports": MINIMUM_TIP_LAMPORTS - 1}, TransactionErrorCode.TIP_TOO_SMALL),
        ({"tip_account": bytes(32)}, TransactionErrorCode.TIP_ACCOUNT),
        ({"compute_unit_limit": 0}, TransactionErrorCode.COMPUTE_UNIT_LIMIT),
        ({"compute_unit_limit": 1_400_001}, TransactionErrorCode.COMPUTE_UNIT_LIMIT),
        ({"compute_unit_price_micro_lamports": -1}, TransactionErrorCode.COMPUTE_UNIT_PRICE),
        ({"amount_in": 0}, TransactionErrorCode.AMOUNT),
        ({"amount_mid": 2**64}, TransactionErrorCode.AMOUNT),
        ({"minimum_out": 0}, TransactionErrorCode.AMOUNT),
        ({"base_mint": bytes(32)}, TransactionErrorCode.POOLS),
    ],
)
def test_row_18_what_would_be_refused_is_refused_locally(
    order: TwoHop, change: dict[str, object], code: TransactionErrorCode
) -> None:
    with pytest.raises(TransactionError) as caught:
        build_two_hop(order._replace(**change), PAYER, BLOCKHASH)
    assert caught.value.code is code
    assert str(caught.value)


def test_row_18_one_pool_twice_and_two_pairs_are_refused(order: TwoHop) -> None:
    other = next(pool for pool in load_market().pools.values() if pool.mint_b != order.pool_1.mint_b)
    for pool_2 in (order.pool_1, other):
        with pytest.raises(TransactionError) as caught:
            build_two_hop(order._replace(pool_2=pool_2), PAYER, BLOCKHASH)
        assert caught.value.code is TransactionErrorCode.POOLS


def test_row_18_too_many_bytes_and_too_many_accounts_are_refused(order: TwoHop) -> None:
    from solders.system_program import TransferParams, transfer

    def transfers(count: int) -> list[object]:
        return [
            transfer(TransferParams(from_pubkey=PAYER.pubkey(), to_pubkey=Pubkey.new_unique(), lamports=1))
            for _ in range(count)
        ]

    for count, code in (
        (30, TransactionErrorCode.TOO_LARGE),
        (63, TransactionErrorCode.TOO_MANY_ACCOUNTS),
    ):
        with pytest.raises(TransactionError) as caught:
            sign(transfers(count), PAYER, BLOCKHASH)  # type: ignore[arg-type]
        assert caught.value.code is code
    with pytest.raises(TransactionError) as caught:
        sign(transfers(1), PAYER, b"short")  # type: ignore[arg-type]
    assert caught.value.code is TransactionErrorCode.BLOCKHASH


def test_the_priority_fee_is_rounded_up_and_pays_the_limit() -> None:
    assert priority_fee_lamports(200_000, 0) == 0
    assert priority_fee_lamports(200_000, 1) == 1
    assert priority_fee_lamports(1_000_000, 7) == 7
    assert priority_fee_lamports(1_000_001, 7) == 8


def test_paper_keys_follow_the_seed_and_tips_take_turns() -> None:
    assert paper_keypair(3).pubkey() == paper_keypair(3).pubkey()
    assert len({str(paper_keypair(seed).pubkey()) for seed in range(20)}) == 20
    for seed in (-1, 2**64):
        with pytest.raises(ValueError, match="market seed"):
            paper_keypair(seed)
    assert {tip_account(sequence) for sequence in range(8)} == set(TIP_ACCOUNTS)
    assert all(Pubkey(key).is_on_curve() is not None for key in TIP_ACCOUNTS)
