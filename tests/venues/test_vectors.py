"""Every executed swap of the chain data: amount out or the same refusal, and the state after, to the unit."""

from pathlib import Path
from typing import Any

import pytest
from venue_vectors import Pools, clock_of, difference, key, lines

from hft.venues import ABSENT, Account, Venue, decode_changed, quote, store
from hft.venues.registry import BY_VENUE
from hft.venues.spl import encode_token_account

# file of vectors, its folder of account sets, the number of lines it has
FILES = (
    ("whirlpool", "whirlpool", 1051),
    ("raydium_v4", "raydium_v4", 544),
    ("raydium_cpmm", "raydium_cpmm", 544),
    ("raydium_cpmm_creator_fee", "raydium_cpmm", 420),
    ("raydium_clmm", "raydium_clmm", 612),
    ("raydium_clmm_new_features", "raydium_clmm", 450),
    ("meteora_dlmm", "meteora_dlmm", 788),
    ("meteora_damm_v2", "meteora_damm_v2", 948),
)


@pytest.mark.parametrize(("name", "folder", "count"), FILES, ids=[row[0] for row in FILES])
def test_every_executed_swap_is_quoted_to_the_unit(
    shared_data: Path, pools: Pools, name: str, folder: str, count: int
) -> None:
    wrong = []
    total = 0
    for total, line in enumerate(lines(shared_data, name), 1):
        differs = difference(pools.pool(f"{folder}/{line['set']}", line["pool"]), line)
        if differs is not None:
            wrong.append(f"{name} line {total}: {differs}")
    assert not wrong, "\n".join(wrong[:5])
    assert total == count


def test_every_step_of_the_sequences_carries_its_state(shared_data: Path, pools: Pools) -> None:
    """State goes from swap to swap through account bytes: store, patch the vaults, decode what changed."""
    steps = 0
    for number, walk in enumerate(lines(shared_data, "sequences")):
        if Venue[walk["dex"].upper()] not in BY_VENUE:
            continue
        name = f"{walk['dex']}/{walk['set']}"
        accounts = type(pools.accounts(name))(pools.accounts(name))
        pool = pools.pool(name, walk["pool"])
        for line in walk["steps"]:
            differs = difference(pool, line)
            assert differs is None, f"sequence {number} at {line['amount_in']}: {differs}"
            steps += 1
            if "error" in line:
                continue
            mint = key(line["input_mint"])
            after = quote(pool, mint, line["amount_in"], clock_of(line))
            vault_in, vault_out = pool.vaults(mint)
            patched = store(after.pool_after, accounts)
            for vault, move in ((vault_in, after.amount_in_used), (vault_out, -after.amount_out)):
                old = accounts[vault]
                amount = int.from_bytes(old.data[64:72], "little") + move
                patched[vault] = old.data[:64] + amount.to_bytes(8, "little") + old.data[72:]
            for pubkey, data in patched.items():
                accounts[pubkey] = accounts[pubkey]._replace(data=data)
            pool = decode_changed(pool, accounts, patched)
    assert steps > 0


def test_creator_fees_divide_as_the_programs_calculator_does(shared_data: Path, pools: Pools) -> None:
    for line in lines(shared_data, "raydium_cpmm_creator_fee"):
        if "error" in line:
            continue
        pool: Any = pools.pool(f"raydium_cpmm/{line['set']}", line["pool"])
        after: Any = quote(pool, key(line["input_mint"]), line["amount_in"], clock_of(line)).pool_after
        moved = {
            name: getattr(after, f"{name}_a")
            + getattr(after, f"{name}_b")
            - getattr(pool, f"{name}_a")
            - getattr(pool, f"{name}_b")
            for name in ("protocol_fee", "fund_fee", "creator_fee")
        }
        assert moved == {name: line[name] for name in moved}, line


def test_encoded_token_account_is_what_the_chain_stores(pools: Pools) -> None:
    found = 0
    for pubkey, account in pools.accounts("raydium_v4/sol-usdc-2026-07").items():
        if len(account.data) != 165:
            continue
        data = account.data
        rebuilt = encode_token_account(data[:32], data[32:64], int.from_bytes(data[64:72], "little"))
        assert rebuilt == data, pubkey.hex()
        found += 1
    assert found == 2


def test_an_absent_account_is_one_without_lamports() -> None:
    assert Account(bytes(32), b"", 0) == ABSENT
