"""Token-2022: transfer fees are counted, hooks and other extensions refuse the pool (row 31)."""

from pathlib import Path
from typing import Any

import pytest
from venue_vectors import load_set

from hft.venues import (
    TOKEN_2022_PROGRAM,
    Account,
    Pool,
    PoolError,
    PoolErrorCode,
    QuoteError,
    QuoteErrorCode,
    decode,
    decode_changed,
    encode_mint,
    quote,
    quote_exact_out,
    swap_instruction,
)
from hft.venues.spl import key
from hft.venues.transfer_fee import TransferFee, TransferFeePool, transfer_fee
from perf.made_up import CLOCK, SETTINGS, VARIANTS, accounts_of, pool_of

EPOCH = CLOCK.slot // 432_000
KINDS = ["whirlpool", "raydium_cpmm", "raydium_clmm", "meteora_dlmm", "meteora_damm_v2"]


def mint_account(*extensions: tuple[int, bytes]) -> Account:
    """A Token-2022 mint with extensions of (type, value)."""
    data = encode_mint(9, 10**18) + bytes(83) + b"\1"
    for kind, value in extensions:
        data += kind.to_bytes(2, "little") + len(value).to_bytes(2, "little") + value
    return Account(TOKEN_2022_PROGRAM, data, 10**7)


def fee_value(bps: int, maximum: int, epoch: int = 0, older_bps: int = 0) -> bytes:
    older = (0).to_bytes(8, "little") + maximum.to_bytes(8, "little") + older_bps.to_bytes(2, "little")
    newer = epoch.to_bytes(8, "little") + maximum.to_bytes(8, "little") + bps.to_bytes(2, "little")
    return bytes(72) + older + newer


def market(variant: str, mint: Account) -> tuple[bytes, dict[bytes, Account], Pool]:
    """(pool key, accounts with mint A replaced, the plain pool)."""
    plain = pool_of(variant)
    accounts = accounts_of(variant) | {plain.mint_a: mint}
    if variant == "raydium_cpmm":
        # This venue's pool names its mints' programs itself.
        account = accounts[plain.key]
        data = account.data[:232] + TOKEN_2022_PROGRAM + account.data[264:]
        accounts[plain.key] = account._replace(data=data)
    return plain.key, accounts, plain


@pytest.mark.parametrize("variant", KINDS)
def test_row_31_transfer_fees_are_counted_on_both_sides(variant: str) -> None:
    pubkey, accounts, plain = market(variant, mint_account((1, fee_value(100, 10**12))))
    pool = decode(pubkey, accounts, SETTINGS)
    assert isinstance(pool, TransferFeePool)
    assert pool.venue == plain.venue
    amount = 10**9
    there = quote(pool, pool.mint_a, amount, CLOCK)
    assert there.amount_in_used == amount
    assert there.amount_out == quote(plain, plain.mint_a, amount - amount // 100, CLOCK).amount_out
    back = quote(pool, pool.mint_b, amount, CLOCK)
    gross = quote(plain, plain.mint_b, amount, CLOCK).amount_out
    assert (back.paid, back.amount_out) == (gross, gross - -(-gross // 100))
    assert quote(pool.inner, pool.mint_a, 5 * 10**8, CLOCK).amount_out > 0
    assert isinstance(there.pool_after, TransferFeePool)
    assert decode_changed(pool, accounts, {pubkey}).mint_a == pool.mint_a
    wanted = quote_exact_out(pool, pool.mint_a, 10**6, CLOCK)
    got = quote(pool, pool.mint_b, wanted.amount_in, CLOCK)
    assert got.amount_out >= 10**6
    assert pool.fee_ppm(CLOCK) == plain.fee_ppm(CLOCK) + 10_000
    form, plain_form = pool.screen_form(CLOCK), plain.screen_form(CLOCK)
    assert form.rate_a_to_b == pytest.approx(plain_form.rate_a_to_b * 0.99)
    from solders.pubkey import Pubkey

    instruction = swap_instruction(pool, Pubkey(bytes([1]) * 32), pool.mint_a, amount, 1)
    assert TOKEN_2022_PROGRAM in [bytes(meta.pubkey) for meta in instruction.accounts]


@pytest.mark.parametrize(
    ("kind", "value"),
    [(14, bytes(64)), (12, bytes(32)), (9, b""), (26, bytes(33)), (16, bytes(129)), (999, b"x")],
)
@pytest.mark.parametrize("variant", KINDS)
def test_row_31_hooks_and_unknown_extensions_refuse_the_pool(variant: str, kind: int, value: bytes) -> None:
    pubkey, accounts, _ = market(variant, mint_account((kind, value)))
    with pytest.raises(PoolError, match=rf"extensions \[{kind}\]") as error:
        decode(pubkey, accounts, SETTINGS)
    assert error.value.code is PoolErrorCode.TOKEN_EXTENSION


def test_row_31_harmless_extensions_pass_and_cut_off_ones_do_not() -> None:
    pubkey, accounts, _ = market("whirlpool", mint_account((18, bytes(64)), (19, bytes(100)), (3, bytes(32))))
    assert not isinstance(decode(pubkey, accounts, SETTINGS), TransferFeePool)
    cut = mint_account((1, fee_value(1, 1)))
    pubkey, accounts, _ = market("whirlpool", cut._replace(data=cut.data[:-1]))
    with pytest.raises(PoolError, match="cut off") as error:
        decode(pubkey, accounts, SETTINGS)
    assert error.value.code is PoolErrorCode.WRONG_SIZE


def test_row_31_the_fee_in_force_is_the_epochs() -> None:
    fee = TransferFee(10**6, 50, EPOCH + 1, 2 * 10**6, 200)
    assert fee.withheld(10_000, EPOCH) == 50
    assert fee.withheld(10_000, EPOCH + 1) == 200
    assert fee.withheld(10_001, EPOCH) == 51
    assert fee.withheld(10**12, EPOCH) == 10**6
    for received in (1, 199, 10_000, 123_457, 10**10):
        for epoch in (EPOCH, EPOCH + 1):
            sent = fee.before(received, epoch)
            assert sent - fee.withheld(sent, epoch) >= received
            assert (sent - 1) - fee.withheld(sent - 1, epoch) < received


def test_row_31_a_fee_that_takes_all_gives_no_quote() -> None:
    pubkey, accounts, plain = market("whirlpool", mint_account((1, fee_value(10_000, 1 << 63))))
    pool = decode(pubkey, accounts, SETTINGS)
    for mint in (plain.mint_a, plain.mint_b):
        with pytest.raises(QuoteError) as error:
            quote(pool, mint, 10**6, CLOCK)
        assert error.value.code is QuoteErrorCode.AMOUNT_TOO_SMALL
    pubkey, accounts, _ = market("whirlpool", mint_account((1, fee_value(10_001, 1))))
    with pytest.raises(PoolError) as bad:
        decode(pubkey, accounts, SETTINGS)
    assert bad.value.code is PoolErrorCode.BAD_VALUE


def test_row_31_a_mint_that_gains_a_fee_is_noticed() -> None:
    pubkey, accounts, plain = market("whirlpool", mint_account((18, bytes(64))))
    pool = decode(pubkey, accounts, SETTINGS)
    assert not isinstance(pool, TransferFeePool)
    accounts[plain.mint_a] = mint_account((1, fee_value(100, 10**12)))
    assert isinstance(decode_changed(pool, accounts, {plain.mint_a}), TransferFeePool)


def test_row_31_a_real_pair_with_a_transfer_fee(shared_data: Path) -> None:
    accounts = load_set(shared_data, "meteora_dlmm/token-2022-decode-only")
    pair = next(pubkey for pubkey, account in accounts.items() if len(account.data) == 904)
    mint = next(account for account in accounts.values() if len(account.data) == 535)
    other = bytes(accounts[pair].data[120:152])
    accounts.setdefault(
        other, Account(key("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"), encode_mint(9, 1), 1)
    )
    pool: Any = decode(pair, accounts, SETTINGS)
    assert isinstance(pool, TransferFeePool)
    assert pool.fee_a == TransferFee(5000, 50, 835, 5000, 50)
    assert mint.owner == TOKEN_2022_PROGRAM
    assert transfer_fee(accounts, other) is None
    assert set(KINDS) <= set(VARIANTS)
