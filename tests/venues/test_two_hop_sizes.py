"""Two swaps in one v0 transaction with a lookup table: all 36 pairs of venues fit into 1232 bytes."""

import pytest
from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from hft.venues import Settings, swap_instruction
from perf.made_up import pool_of

VENUES = ("whirlpool", "raydium_v4", "raydium_cpmm", "raydium_clmm", "meteora_dlmm", "meteora_damm_v2")
USER = Pubkey(bytes([200]) * 32)
TIP = Pubkey(bytes([201]) * 32)
OWN = Settings(own_host_fee=True)


@pytest.mark.parametrize("second", VENUES)
@pytest.mark.parametrize("first", VENUES)
def test_two_hops_with_a_lookup_table_fit(first: str, second: str) -> None:
    pool_1, pool_2 = pool_of(first, OWN), pool_of(second, OWN)
    instructions = [
        set_compute_unit_limit(1_400_000),
        set_compute_unit_price(10_000),
        swap_instruction(pool_1, USER, pool_1.mint_a, 10**9, 1),
        swap_instruction(pool_2, USER, pool_2.mint_b, 10**9, 1),
        transfer(TransferParams(from_pubkey=USER, to_pubkey=TIP, lamports=1000)),
    ]
    # What stays the same from trade to trade: a signer and programs can't be in a table, a tip account
    # mustn't.
    programs = {instruction.program_id for instruction in instructions}
    named = {meta.pubkey for instruction in instructions[2:4] for meta in instruction.accounts}
    table = AddressLookupTableAccount(Pubkey(bytes([202]) * 32), sorted(named - programs - {USER, TIP}))
    message = MessageV0.try_compile(USER, instructions, [table], Hash.default())
    size = len(bytes(VersionedTransaction.populate(message, [Signature.default()])))
    assert size <= 1232
    assert len(named | programs) + 2 <= 64
