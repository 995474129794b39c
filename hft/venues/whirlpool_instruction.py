"""Whirlpool's swap instructions: built, and read back."""

from collections.abc import Sequence
from struct import Struct
from typing import TYPE_CHECKING

from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

from hft.venues import spl
from hft.venues.concentrated import MIN_SQRT_PRICE
from hft.venues.concentrated import ORCA_MAX_SQRT_PRICE as MAX_SQRT_PRICE
from hft.venues.types import SwapCall, Venue
from hft.venues.whirlpool_accounts import PROGRAM, oracle_address, swap_arrays, tick_array_address

if TYPE_CHECKING:
    from hft.venues.whirlpool import WhirlpoolPool

SWAP_ARRAYS = 3  # a swap instruction names three tick arrays

_SWAP = bytes.fromhex("f8c69e91e17587c8")
_SWAP_V2 = bytes.fromhex("2b04ed0b1ac91e62")
_SWAP_ARGS = Struct("<QQ16s??")


def build_swap(
    pool: "WhirlpoolPool", user: Pubkey, input_mint: bytes, amount_in: int, minimum_out: int
) -> Instruction:
    """``swap``, or ``swap_v2`` where a mint is of Token-2022; user accounts are the associated ones."""
    a_to_b = pool.is_a(input_mint)
    limit = MIN_SQRT_PRICE if a_to_b else MAX_SQRT_PRICE
    args = _SWAP_ARGS.pack(amount_in, minimum_out, limit.to_bytes(16, "little"), True, a_to_b)
    owner = bytes(user)
    user_a = spl.associated_token_address(owner, pool.mint_a, pool.program_a)
    user_b = spl.associated_token_address(owner, pool.mint_b, pool.program_b)
    arrays = [tick_array_address(pool.key, s) for s in swap_arrays(pool.tick, pool.tick_spacing, a_to_b)]
    arrays += [arrays[-1]] * (SWAP_ARRAYS - len(arrays))
    oracle = spl.meta(oracle_address(pool.key), writable=pool.oracle is not None)
    signer = AccountMeta(user, True, False)
    if pool.program_a == pool.program_b == spl.TOKEN_PROGRAM:
        keys = [spl.meta(spl.TOKEN_PROGRAM), signer]
        keys += [
            spl.meta(k, writable=True)
            for k in (pool.key, user_a, pool.vault_a, user_b, pool.vault_b, *arrays)
        ]
        return Instruction(Pubkey(PROGRAM), _SWAP + args, [*keys, oracle])
    keys = [spl.meta(pool.program_a), spl.meta(pool.program_b), spl.meta(spl.MEMO_PROGRAM), signer]
    keys += [spl.meta(pool.key, writable=True), spl.meta(pool.mint_a), spl.meta(pool.mint_b)]
    keys += [spl.meta(k, writable=True) for k in (user_a, pool.vault_a, user_b, pool.vault_b, *arrays)]
    return Instruction(Pubkey(PROGRAM), _SWAP_V2 + args + b"\0", [*keys, oracle])


def parse_swap(keys: Sequence[bytes], data: bytes) -> SwapCall | None:
    """A ``swap`` or ``swap_v2`` instruction, exact in; None for anything else."""
    head = data[:8]
    if len(data) < 8 + _SWAP_ARGS.size:
        return None
    amount, threshold, _, exact_in, a_to_b = _SWAP_ARGS.unpack_from(data, 8)
    if not exact_in:
        return None
    if head == _SWAP and len(keys) >= 11:
        user, pool = keys[1], keys[2]
        user_a, vault_a, user_b, vault_b = keys[3:7]
    elif head == _SWAP_V2 and len(keys) >= 15:
        user, pool = keys[3], keys[4]
        user_a, vault_a, user_b, vault_b = keys[7:11]
    else:
        return None
    user_in, user_out = (user_a, user_b) if a_to_b else (user_b, user_a)
    return SwapCall(
        Venue.WHIRLPOOL, pool, a_to_b, amount, threshold, user, user_in, user_out, vault_a, vault_b, pool
    )


ERROR_NAMES = {
    6022: "InvalidTimestamp",
    6034: "ZeroTradableAmount",
    6036: "AmountOutBelowMinimum",
    6038: "TickArraySequenceInvalidIndex",
}
