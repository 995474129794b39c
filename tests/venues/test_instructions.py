"""Swap instructions: bytes and accounts, and the size of the transaction the vectors' runs had."""

from itertools import islice
from pathlib import Path

import pytest
from solders.compute_budget import set_compute_unit_limit
from solders.hash import Hash
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction
from venue_vectors import SETTINGS, Pools, clock_of, key, lines

from hft.venues import (
    Account,
    Pool,
    PoolError,
    PoolErrorCode,
    QuoteError,
    associated_token_address,
    decode,
    minimum_out_error,
    names_in,
    parse_swap,
    swap_instruction,
)
from hft.venues.registry import VENUES
from hft.venues.whirlpool_accounts import array_start

USER = Pubkey(bytes(range(1, 33)))

PLAIN = {
    "whirlpool": "swap",
    "raydium_v4": "swap_base_in",
    "raydium_cpmm": "swap_base_input",
    "raydium_clmm": "swap_v2",
    "meteora_dlmm": "swap",
    "meteora_damm_v2": "swap",
}


def transaction_size(instruction: object) -> int:
    message = MessageV0.try_compile(
        USER, [set_compute_unit_limit(1_400_000), instruction], [], Hash.default()
    )
    return len(bytes(VersionedTransaction.populate(message, [Signature.default()])))


@pytest.mark.parametrize("name", sorted(PLAIN))
def test_instruction_round_trip_and_transaction_size(shared_data: Path, pools: Pools, name: str) -> None:
    checked = 0
    for line in lines(shared_data, name):
        if line["instruction"] != PLAIN[name] or checked >= 200:
            continue
        pool = pools.pool(f"{name}/{line['set']}", line["pool"])
        mint = key(line["input_mint"])
        instruction = swap_instruction(pool, USER, mint, line["amount_in"], 7)
        # We name the arrays that exist, the vectors those of the set: 33 bytes each (key and its index).
        more = sum(meta.is_writable for meta in instruction.accounts[15:]) - len(line.get("arrays", []))
        expected = line["tx_bytes"] + (33 * more if name == "meteora_dlmm" else 0)
        assert transaction_size(instruction) == expected, line
        call = parse_swap(
            bytes(instruction.program_id),
            [bytes(meta.pubkey) for meta in instruction.accounts],
            instruction.data,
        )
        assert call is not None
        call = call.directed(pool, mint)
        assert (call.venue, call.pool, call.amount_in, call.minimum_out) == (
            pool.venue,
            pool.key,
            line["amount_in"],
            7,
        )
        assert (call.vault_in, call.vault_out) == pool.vaults(mint)
        assert call.user == bytes(USER)
        programs = (pool.program_a, pool.program_b) if pool.is_a(mint) else (pool.program_b, pool.program_a)
        assert call.user_in == associated_token_address(call.user, mint, programs[0])
        assert call.user_out == associated_token_address(call.user, pool.other_mint(mint), programs[1])
        vaults = [pools.accounts(f"{name}/{line['set']}")[vault] for vault in (call.vault_a, call.vault_b)]
        assert [vault.data[32:64] for vault in vaults] == [call.vault_authority] * 2
        checked += 1
    assert checked == 200


def test_whirlpool_names_the_tick_arrays_the_program_expects(shared_data: Path, pools: Pools) -> None:
    from hft.venues.whirlpool_accounts import tick_array_address

    for line in lines(shared_data, "whirlpool"):
        pool = pools.pool(f"whirlpool/{line['set']}", line["pool"])
        instruction = swap_instruction(pool, USER, key(line["input_mint"]), 1, 0)
        named = [bytes(meta.pubkey) for meta in instruction.accounts[7:10]]
        assert named == [tick_array_address(pool.key, start) for start in line["arrays"]]


@pytest.mark.parametrize("name", sorted(PLAIN))
def test_instructions_are_equal_exactly_while_what_they_name_is(
    shared_data: Path, pools: Pools, name: str
) -> None:
    """A transaction is prepared once for what it names: a name too few would send it to the wrong arrays."""
    seen: dict[tuple[bytes, bytes], list[tuple[object, object]]] = {}
    for line in islice(lines(shared_data, name), 300):
        before = pools.pool(f"{name}/{line['set']}", line["pool"])
        mint = key(line["input_mint"])
        try:
            after = before.quote(mint, line["amount_in"], clock_of(line)).pool_after
        except QuoteError:
            continue
        for pool in (before, after):
            for side in (pool.mint_a, pool.mint_b):
                told = (pool.swap_names(side), swap_instruction(pool, USER, side, 1, 1))
                seen.setdefault((pool.key, side), []).append(told)
    assert len(seen) >= 2
    for told in seen.values():
        for names, instruction in told[1:]:
            assert (names == told[0][0]) == (instruction == told[0][1])


def sound_or_none(pubkey: bytes, accounts: dict[bytes, Account]) -> Pool | None:
    """The pool, or None if only figures of it are refused."""
    try:
        return decode(pubkey, accounts, SETTINGS)
    except PoolError as error:
        if error.code not in (PoolErrorCode.BAD_VALUE, PoolErrorCode.ZERO_LIQUIDITY):
            raise
        return None


@pytest.mark.parametrize("name", sorted(PLAIN))
def test_what_tells_the_names_differs_with_every_byte_that_could_change_them(
    shared_data: Path, pools: Pools, name: str
) -> None:
    """Each byte of a pool's account flipped: while what tells is the same, the pool decodes and its
    instructions are the same, or only its figures are refused."""
    line = next(lines(shared_data, name))
    place, pubkey = f"{name}/{line['set']}", key(line["pool"])
    before, accounts = pools.pool(place, line["pool"]), pools.accounts(place)
    account, tell = accounts[pubkey], names_in(before.venue)
    told, same = tell(account.data), 0
    for at in range(len(account.data)):
        for bit in (0x01, 0x80):
            data = bytearray(account.data)
            data[at] ^= bit
            if tell(bytes(data)) != told:
                continue
            same += 1
            pool = sound_or_none(pubkey, {**accounts, pubkey: account._replace(data=bytes(data))})
            if pool is None:
                continue
            for mint in (before.mint_a, before.mint_b):
                assert pool.swap_names(mint) == before.swap_names(mint), at
                assert swap_instruction(pool, USER, mint, 1, 1) == swap_instruction(
                    before, USER, mint, 1, 1
                ), at
    assert same > 80


def test_array_start_rounds_down() -> None:
    assert [array_start(tick, 64) for tick in (-1, 0, 5631, 5632)] == [-5632, 0, 0, 5632]


def test_minimum_out_errors_are_named() -> None:
    for spec in VENUES:
        assert minimum_out_error(spec.venue) in spec.error_names


def test_foreign_instructions_are_no_swaps() -> None:
    assert parse_swap(bytes(32), [], b"") is None
    for spec in VENUES:
        assert parse_swap(spec.program, [], b"") is None
        assert parse_swap(spec.program, [bytes(32)] * 20, bytes(40)) is None
