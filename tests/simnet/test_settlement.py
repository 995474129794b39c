"""Settlement on real account files: amounts, errors and balances as the real programs gave them."""

import random
from pathlib import Path

import pytest
from simnet_helpers import WALLET, key, row_bank, row_transaction, shipped_bank, vectors
from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.compute_budget import set_compute_unit_price
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import MessageV0, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from hft.chain.svm_envelope import LOOKUP_TABLE_PROGRAM, Refusal
from hft.chain.tips import TIP_ACCOUNTS
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
from hft.simnet.bank import Bank
from hft.simnet.events import Outcome
from hft.simnet.market import SETTINGS
from hft.simnet.settlement import Settlement
from hft.venues import (
    TOKEN_PROGRAM,
    VENUES,
    WRAPPED_SOL,
    Account,
    associated_token_address,
    decode,
    quote,
    swap_instruction,
)

# Meteora's swaps pay a share of the fee to a host account, which settlement does not carry out.
SETTLED = {"whirlpool", "raydium_v4", "raydium_cpmm", "raydium_clmm"}
REGISTERED = {spec.venue.name.lower() for spec in VENUES}


def test_recorded_two_hops_settle_as_the_real_programs_did(shared_data: Path) -> None:
    rows = [row for row in vectors(shared_data, "two_hop") if set(row["dexes"]) <= SETTLED & REGISTERED]
    assert len(rows) >= 13
    too_large: list[tuple[int, TransactionErrorCode, int]] = []
    wallet = bytes(WALLET.pubkey())
    for row in rows:
        bank = row_bank(shared_data, row)
        before = bank.account(wallet).lamports
        held = dict(bank.balances(wallet).tokens)
        try:
            transaction = row_transaction(bank, row)
        except TransactionError as error:
            too_large.append((row["id"], error.code, row["tx_bytes"]))
            continue
        status = Settlement(bank).execute(transaction.data)
        fee = 5000 + -(-row["compute_unit_price"] * row["compute_unit_limit"] // 1_000_000)
        where = f"row {row['id']}: {status}"
        assert status.fee_lamports == fee, where
        if row["ok"]:
            assert status.outcome is Outcome.LANDED_OK, where
            assert status.compute_units == pytest.approx(row["compute_units"], rel=0.5), where
            change = sum(c.after - c.before for c in status.tokens if c.mint == WRAPPED_SOL)
            spent = status.lamports_before - status.lamports_after - fee - row["tip_lamports"]
            rent = 2_039_280 if row["wrap_unwrap"] else 0  # the token's account stays behind
            assert change - spent + rent == row["amount_out"] - row["amount_in"], where
            mid = dict(bank.balances(wallet).tokens).get(key(row["x_mint"]), 0)
            assert mid == row["mid_amount"] - row["leg2_amount_in"], where
        else:
            assert status.outcome is Outcome.LANDED_FAILED, where
            assert (status.error_index, status.error_code) == (row["error_index"], row["error"]), where
            assert before - bank.account(wallet).lamports == fee, where
            assert dict(bank.balances(wallet).tokens) == held, where
    for number, code, size in too_large:
        assert code is TransactionErrorCode.TOO_LARGE, number
        assert size > MAX_TRANSACTION_BYTES - 40, number


def two_hop(bank: Bank, amount_in: int = 10**9, **changes: object) -> TwoHop:
    """There and back over the shipped SOL/USDC pools, at exactly what they pay."""
    usdc = key("EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v")
    found = (p for p in bank.pools.values() if usdc in (p.mint_a, p.mint_b))
    pools = sorted(found, key=lambda p: p.venue)[:2]
    mid = quote(pools[0], WRAPPED_SOL, amount_in, bank.clock).amount_out
    out = quote(pools[1], usdc, mid, bank.clock).amount_out
    order = TwoHop(*pools, WRAPPED_SOL, amount_in, mid, out, 200_000, 777, 1000, TIP_ACCOUNTS[1])
    return order._replace(**changes)


def test_a_two_hop_built_by_the_chain_lands_to_the_lamport() -> None:
    bank = shipped_bank()
    order = two_hop(bank)
    wallet = bytes(WALLET.pubkey())
    before = bank.balances(wallet)
    tip_before = bank.account(order.tip_account).lamports
    status = Settlement(bank).execute(build_two_hop(order, WALLET, bank.blockhash).data)
    assert status.outcome is Outcome.LANDED_OK, status
    assert status.fee_lamports == 5000 + priority_fee_lamports(200_000, 777)
    after = bank.balances(wallet)
    assert after.lamports == before.lamports - status.fee_lamports - 1000
    gained = dict(after.tokens)[WRAPPED_SOL] - dict(before.tokens)[WRAPPED_SOL]
    assert gained == order.minimum_out - order.amount_in
    assert bank.account(order.tip_account).lamports == tip_before + 1000
    assert (status.lamports_before, status.lamports_after) == (before.lamports, after.lamports)
    updates = bank.take_changes()
    assert [update.last_of_batch for update in updates] == [False] * (len(updates) - 1) + [True]
    changed = {update.pubkey for update in updates}
    assert {wallet, order.tip_account, order.pool_1.key, order.pool_1.vault_a} <= changed
    for pool in (order.pool_1, order.pool_2):
        fresh = decode(pool.key, bank.accounts, SETTINGS)
        assert fresh.spot_price(WRAPPED_SOL) == bank.pools[pool.key].spot_price(WRAPPED_SOL)
        assert fresh.spot_price(WRAPPED_SOL) != pool.spot_price(WRAPPED_SOL)


def test_row_17_minimum_out_reverts_all_but_the_fee() -> None:
    bank = shipped_bank()
    order = two_hop(bank)
    wallet = bytes(WALLET.pubkey())
    for change, index, code in (
        ({"minimum_out": order.minimum_out + 1}, SWAP_2_INDEX, 30),
        ({"amount_mid": order.amount_mid + 1}, SWAP_1_INDEX, 6036),
    ):
        before, accounts = bank.balances(wallet), dict(bank.accounts)
        status = Settlement(bank).execute(
            build_two_hop(order._replace(**change), WALLET, bank.blockhash).data
        )
        assert status.outcome is Outcome.LANDED_FAILED, status
        assert (status.error_index, status.error_code) == (index, code)
        after = bank.balances(wallet)
        assert after.lamports == before.lamports - status.fee_lamports
        assert after.tokens == before.tokens
        assert {k for k in accounts if accounts[k] != bank.accounts[k]} == {wallet}


def test_the_same_signature_lands_once() -> None:
    bank = shipped_bank()
    settlement = Settlement(bank)
    data = build_two_hop(two_hop(bank), WALLET, bank.blockhash).data
    assert settlement.execute(data).outcome is Outcome.LANDED_OK
    accounts = dict(bank.accounts)
    again = settlement.execute(data)
    assert (again.outcome, again.error_name) == (Outcome.REJECTED, Refusal.ALREADY_PROCESSED)
    assert accounts == bank.accounts


def test_row_16_a_blockhash_dies_after_its_last_valid_block_height() -> None:
    bank = shipped_bank()
    settlement = Settlement(bank)
    orders = [
        build_two_hop(two_hop(bank, 10**8 + n, minimum_out=1), WALLET, bank.blockhash).data for n in (0, 1)
    ]
    last = bank.slot_update().last_valid_block_height
    while bank.block_height < last:
        bank.next_slot()
    assert settlement.execute(orders[0]).outcome is Outcome.LANDED_OK
    bank.next_slot()
    status = settlement.execute(orders[1])
    assert (status.outcome, status.error_name) == (Outcome.REJECTED, Refusal.BLOCKHASH_NOT_FOUND)
    unknown = build_two_hop(two_hop(bank), WALLET, bytes(32)).data
    assert settlement.execute(unknown).error_name == Refusal.BLOCKHASH_NOT_FOUND


def test_signatures_are_verified() -> None:
    bank = shipped_bank()
    good = bytearray(build_two_hop(two_hop(bank), WALLET, bank.blockhash).data)
    for at in (5, 200, len(good) - 1):
        forged = bytearray(good)
        forged[at] ^= 1
        status = Settlement(bank).execute(bytes(forged))
        assert status.outcome is Outcome.REJECTED
        assert status.error_name in (Refusal.SIGNATURE_FAILURE, Refusal.MALFORMED)
    assert not bank.take_changes()


def test_a_vault_pays_by_swaps_alone() -> None:
    """The venue's authority signs here by leave of the SVM; no other instruction may use that signature."""
    bank = shipped_bank()
    order = two_hop(bank)
    user, pool = WALLET.pubkey(), order.pool_1
    mine = Pubkey(associated_token_address(bytes(user), WRAPPED_SOL))
    for signer in (False, True):
        steal = Instruction(
            Pubkey(TOKEN_PROGRAM),
            b"\x03" + (10**9).to_bytes(8, "little"),
            [
                AccountMeta(Pubkey(pool.vault_a), False, True),
                AccountMeta(mine, False, True),
                AccountMeta(Pubkey(pool.key), signer, False),
            ],
        )
        swap = swap_instruction(pool, user, WRAPPED_SOL, 10**9, 1)
        if signer:
            message = MessageV0.try_compile(user, [swap, steal], [], Hash(bank.blockhash))
            unsigned = VersionedTransaction.populate(
                message, [WALLET.sign_message(to_bytes_versioned(message)), Signature.default()]
            )
            status = Settlement(bank).execute(bytes(unsigned))
            assert (status.outcome, status.error_name) == (Outcome.REJECTED, Refusal.SIGNATURE_FAILURE)
            continue
        for instructions, index in (([swap, steal], 1), ([steal, swap], 0), ([steal], 0)):
            status = Settlement(bank).execute(sign(instructions, WALLET, bank.blockhash).data)
            assert status.outcome is Outcome.LANDED_FAILED, status
            assert (status.error_index, status.error_name) == (index, "MissingRequiredSignature")


def test_a_swap_for_somebody_else_needs_their_signature() -> None:
    bank = shipped_bank()
    pool = two_hop(bank).pool_1
    thief = Keypair.from_seed(bytes(32))
    bank.write({bytes(thief.pubkey()): Account(bytes(32), b"", 10**9)})
    swap = swap_instruction(pool, WALLET.pubkey(), WRAPPED_SOL, 10**9, 1)
    metas = [AccountMeta(m.pubkey, False, m.is_writable) for m in swap.accounts]
    status = Settlement(bank).execute(
        sign([Instruction(swap.program_id, swap.data, metas)], thief, bank.blockhash).data
    )
    assert (status.outcome, status.error_name) == (Outcome.LANDED_FAILED, "MissingRequiredSignature")


def test_too_low_a_compute_limit_fails_as_on_chain() -> None:
    bank = shipped_bank()
    status = Settlement(bank).execute(
        build_two_hop(two_hop(bank, compute_unit_limit=50_000), WALLET, bank.blockhash).data
    )
    assert (status.outcome, status.error_name) == (Outcome.LANDED_FAILED, "ComputationalBudgetExceeded")
    assert status.error_index == SWAP_2_INDEX


def test_row_27_a_wallet_short_of_funds_fails_with_the_reason() -> None:
    bank = shipped_bank()
    wallet = bytes(WALLET.pubkey())
    bank.write({wallet: bank.account(wallet)._replace(lamports=5000)})
    poor = Settlement(bank).execute(build_two_hop(two_hop(bank), WALLET, bank.blockhash).data)
    assert (poor.outcome, poor.error_name) == (Outcome.REJECTED, Refusal.INSUFFICIENT_FUNDS_FOR_FEE)
    bank = shipped_bank()
    order = two_hop(bank, 10**9)._replace(amount_in=3 * 10**12, amount_mid=1, minimum_out=1)
    status = Settlement(bank).execute(build_two_hop(order, WALLET, bank.blockhash).data)
    assert (status.outcome, status.error_index, status.error_code) == (Outcome.LANDED_FAILED, SWAP_1_INDEX, 1)
    swapped = order._replace(pool_1=order.pool_2, pool_2=order.pool_1)
    status = Settlement(bank).execute(build_two_hop(swapped, WALLET, bank.blockhash).data)
    assert (status.error_index, status.error_code, status.error_name) == (
        SWAP_1_INDEX,
        40,
        "InsufficientFunds",
    )


def test_without_a_limit_set_the_fee_follows_the_instructions_as_submitted() -> None:
    bank = shipped_bank()
    pool = two_hop(bank).pool_1
    swap = swap_instruction(pool, WALLET.pubkey(), WRAPPED_SOL, 10**8, 1)
    signed = sign([set_compute_unit_price(1_000_000), swap], WALLET, bank.blockhash)
    status = Settlement(bank).execute(signed.data)
    assert status.outcome is Outcome.LANDED_OK, status
    assert status.fee_lamports == 5000 + 203_000
    assert status.lamports_before - status.lamports_after == status.fee_lamports


def test_lookup_tables_are_read_from_the_accounts(shared_data: Path) -> None:
    bank = shipped_bank()
    order = two_hop(bank)
    keys = [Pubkey(k) for k in (order.pool_1.vault_a, order.pool_1.vault_b, order.pool_2.vault_a)]
    table = Pubkey(b"\x09" * 32)
    data = bytearray(56) + b"".join(bytes(k) for k in keys)
    data[0:4], data[4:12] = (1).to_bytes(4, "little"), b"\xff" * 8
    bank.write({bytes(table): Account(LOOKUP_TABLE_PROGRAM, bytes(data), 10**9)})
    swap = swap_instruction(order.pool_1, WALLET.pubkey(), WRAPPED_SOL, 10**8, 1)
    lookup = AddressLookupTableAccount(table, keys)
    message = MessageV0.try_compile(WALLET.pubkey(), [swap], [lookup], Hash(bank.blockhash))
    assert message.address_table_lookups
    raw = bytes(VersionedTransaction(message, [WALLET]))
    assert Settlement(bank).execute(raw).outcome is Outcome.LANDED_OK
    data[4:12] = bytes(8)
    bank.write({bytes(table): Account(LOOKUP_TABLE_PROGRAM, bytes(data), 10**9)})
    status = Settlement(bank).execute(raw)
    assert (status.outcome, status.error_name) == (Outcome.REJECTED, Refusal.LOOKUP_TABLE_NOT_FOUND)


def test_row_04_random_and_damaged_transactions_are_refused_with_a_reason() -> None:
    bank = shipped_bank()
    settlement = Settlement(bank)
    good = build_two_hop(two_hop(bank), WALLET, bank.blockhash).data
    generator = random.Random(3)
    accounts = dict(bank.accounts)
    cases = [b"", b"\0", b"\xff" * 1232, bytes(1232), bytes(1233), good + b"\0", good[:-1], good * 2]
    for _ in range(300):
        damaged = bytearray(good)
        for _ in range(generator.randrange(1, 6)):
            damaged[generator.randrange(len(damaged))] = generator.randrange(256)
        cases.append(bytes(damaged[: generator.randrange(1, len(damaged) + 1)]))
        cases.append(generator.randbytes(generator.randrange(1, 1300)))
    for raw in cases:
        if raw == good:
            continue
        status = settlement.execute(raw)
        assert status.outcome is Outcome.REJECTED, (raw.hex(), status)
        assert status.error_name in set(Refusal)
    assert accounts == bank.accounts


def test_a_budget_set_twice_is_refused_and_costs_nothing() -> None:
    bank = shipped_bank()
    wallet = bytes(WALLET.pubkey())
    before = bank.account(wallet)
    twice = sign([set_compute_unit_price(1), set_compute_unit_price(2)], WALLET, bank.blockhash)
    status = Settlement(bank).execute(twice.data)
    assert (status.outcome, status.error_name) == (Outcome.REJECTED, "DuplicateInstruction")
    assert status.fee_lamports == 0
    assert bank.account(wallet) == before
    assert not bank.take_changes()
