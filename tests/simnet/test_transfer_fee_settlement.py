"""Pools of Token-2022 mints that withhold a part of every transfer, settled by the real token program."""

import pytest
from simnet_helpers import WALLET, WALLET_LAMPORTS
from solders.compute_budget import set_compute_unit_limit

from hft.chain.transaction import sign
from hft.simnet.bank import Bank, with_token_amount
from hft.simnet.events import Outcome
from hft.simnet.genesis import genesis_accounts
from hft.simnet.market import SETTINGS, Market
from hft.simnet.settlement import Settlement
from hft.venues import (
    TOKEN_2022_PROGRAM,
    Account,
    Pool,
    associated_token_address,
    decode,
    encode_mint,
    quote,
    swap_instruction,
)
from hft.venues.transfer_fee import TransferFeePool
from perf.made_up import CLOCK, accounts_of, pool_of

KINDS = ["whirlpool", "raydium_cpmm", "raydium_clmm", "meteora_dlmm", "meteora_damm_v2"]
FEE_BPS, FEE_MAXIMUM = 100, 10**12
WITHHELD_AT = 170


def fee_mint() -> Account:
    """A mint that withholds 1 %."""
    one = bytes(8) + FEE_MAXIMUM.to_bytes(8, "little") + FEE_BPS.to_bytes(2, "little")
    value = bytes(72) + one + one
    data = encode_mint(9, 10**18) + bytes(83) + b"\1"
    data += (1).to_bytes(2, "little") + len(value).to_bytes(2, "little") + value
    return Account(TOKEN_2022_PROGRAM, data, 10**8)


def fee_bank(variant: str) -> tuple[Bank, Pool]:
    """A bank with one pool, whose token A withholds."""
    plain = pool_of(variant)
    accounts = dict(accounts_of(variant)) | {plain.mint_a: fee_mint()}
    vault = accounts[plain.vault_a]
    extension = b"\2" + (2).to_bytes(2, "little") + (8).to_bytes(2, "little") + bytes(8)
    accounts[plain.vault_a] = Account(TOKEN_2022_PROGRAM, vault.data[:165] + extension, 10**8)
    if variant == "raydium_cpmm":
        data = accounts[plain.key].data
        accounts[plain.key] = accounts[plain.key]._replace(data=data[:232] + TOKEN_2022_PROGRAM + data[264:])
    pool = decode(plain.key, accounts, SETTINGS)
    market = Market(accounts, {pool.key: pool}, CLOCK.slot, CLOCK.unix_timestamp, (), ())
    return Bank(market, genesis_accounts(market, WALLET.pubkey(), WALLET_LAMPORTS), seed=7, slot_ms=400), pool


@pytest.mark.parametrize("variant", KINDS)
def test_row_31_a_swap_moves_what_the_quote_says_and_the_fee_is_withheld(variant: str) -> None:
    bank, pool = fee_bank(variant)
    assert isinstance(bank.pools[pool.key], TransferFeePool)
    user = bytes(WALLET.pubkey())
    wallet_a = associated_token_address(user, pool.mint_a, pool.program_a)
    wallet_b = associated_token_address(user, pool.mint_b, pool.program_b)
    for wallet in (wallet_a, wallet_b):
        bank.write({wallet: with_token_amount(bank.account(wallet), 10**9)})
    settlement = Settlement(bank)
    for mint in (pool.mint_a, pool.mint_b, pool.mint_a):
        bank.next_slot()
        now = bank.pools[pool.key]
        quoted = quote(now, mint, 10**6, bank.clock)
        before = dict(bank.balances(user).tokens)
        vaults = [bank.account(key).data for key in (pool.vault_a, pool.vault_b)]
        for minimum, landed in ((quoted.amount_out + 1, False), (quoted.amount_out, True)):
            swap = swap_instruction(now, WALLET.pubkey(), mint, 10**6, minimum)
            signed = sign([set_compute_unit_limit(1_400_000), swap], WALLET, bank.blockhash)
            status = settlement.execute(signed.data)
            wanted = Outcome.LANDED_OK if landed else Outcome.LANDED_FAILED
            assert status.outcome is wanted, status
        after = dict(bank.balances(user).tokens)
        other = pool.other_mint(mint)
        assert before[mint] - after[mint] <= quoted.amount_in_used
        gained = after[other] - before[other]
        assert quoted.amount_out <= gained <= quoted.amount_out + quoted.rebate
        assert before[mint] - after[mint] >= quoted.amount_in_used - quoted.rebate
        moved = [
            int.from_bytes(bank.account(key).data[64:72], "little") - int.from_bytes(old[64:72], "little")
            for key, old in zip((pool.vault_a, pool.vault_b), vaults, strict=True)
        ]
        if mint == pool.mint_a:
            assert moved[0] <= 10**6 - 10**6 * FEE_BPS // 10_000
        else:
            assert -moved[0] >= quoted.paid
    withheld = [
        int.from_bytes(bank.account(key).data[WITHHELD_AT : WITHHELD_AT + 8], "little")
        for key in (pool.vault_a, wallet_a)
    ]
    assert withheld[0] == 2 * 10**4
    assert withheld[1] > 0
    assert {change.mint for change in status.tokens} == {pool.mint_a, pool.mint_b}


@pytest.mark.parametrize("variant", KINDS)
def test_row_31_the_order_flow_trades_them_alike(variant: str) -> None:
    bank, pool = fee_bank(variant)
    for mint in (pool.mint_a, pool.mint_b):
        before = bank.pools[pool.key]
        quoted = quote(before, mint, 10**6, bank.clock)
        bank.swap(pool.key, mint, quoted)
        after = decode(pool.key, bank.accounts, SETTINGS)
        assert after.spot_price(mint) == bank.pools[pool.key].spot_price(mint)
        assert after.spot_price(mint) != before.spot_price(mint) or variant.startswith("meteora_dlmm")
