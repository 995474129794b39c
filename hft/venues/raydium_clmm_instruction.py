"""Raydium CLMM's swap instruction: built, and read back."""

from collections.abc import Sequence
from struct import Struct
from typing import TYPE_CHECKING

from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

from hft.venues import spl
from hft.venues.concentrated import MIN_SQRT_PRICE, RAYDIUM_MAX_SQRT_PRICE
from hft.venues.raydium_clmm_accounts import PROGRAM, extension_address, tick_array_address
from hft.venues.types import SwapCall, Venue

if TYPE_CHECKING:
    from hft.venues.raydium_clmm import RaydiumClmmPool

DOWN_LIMIT = MIN_SQRT_PRICE + 1
UP_LIMIT = RAYDIUM_MAX_SQRT_PRICE - 1

_SWAP_V2 = bytes.fromhex("2b04ed0b1ac91e62")
_SWAP_ARGS = Struct("<QQ16s?")


def build_swap(
    pool: "RaydiumClmmPool", user: Pubkey, input_mint: bytes, amount_in: int, minimum_out: int
) -> Instruction:
    """``swap_v2`` with the bitmap extension, if there is one, and the tick arrays in the swap's order."""
    a_to_b = pool.is_a(input_mint)
    sides = [(pool.mint_a, pool.vault_a, pool.program_a), (pool.mint_b, pool.vault_b, pool.program_b)]
    (mint_in, vault_in, program_in), (mint_out, vault_out, program_out) = sides if a_to_b else sides[::-1]
    owner = bytes(user)
    user_in = spl.associated_token_address(owner, mint_in, program_in)
    user_out = spl.associated_token_address(owner, mint_out, program_out)
    writable = (pool.key, user_in, user_out, vault_in, vault_out, pool.observation)
    keys = [AccountMeta(user, True, False), spl.meta(pool.config)]
    keys += [spl.meta(key, writable=True) for key in writable]
    programs = (spl.TOKEN_PROGRAM, spl.TOKEN_2022_PROGRAM, spl.MEMO_PROGRAM, mint_in, mint_out)
    keys += [spl.meta(key) for key in programs]
    if pool.extension:
        keys.append(spl.meta(extension_address(pool.key), writable=True))
    starts = pool.down if a_to_b else pool.up
    keys += [spl.meta(tick_array_address(pool.key, start), writable=True) for start in starts]
    limit = (DOWN_LIMIT if a_to_b else UP_LIMIT).to_bytes(16, "little")
    args = _SWAP_ARGS.pack(amount_in, minimum_out, limit, True)
    return Instruction(Pubkey(PROGRAM), _SWAP_V2 + args, keys)


def parse_swap(keys: Sequence[bytes], data: bytes) -> SwapCall | None:
    """A ``swap_v2`` instruction, exact in; the pool's mints are in rising order of their keys."""
    if len(data) < 8 + _SWAP_ARGS.size or not data.startswith(_SWAP_V2) or len(keys) < 13:
        return None
    amount_in, minimum_out, _, exact_in = _SWAP_ARGS.unpack_from(data, 8)
    if not exact_in:
        return None
    a_to_b = keys[11] < keys[12]
    vault_a, vault_b = (keys[5], keys[6]) if a_to_b else (keys[6], keys[5])
    return SwapCall(
        Venue.RAYDIUM_CLMM,
        keys[2],
        a_to_b,
        amount_in,
        minimum_out,
        keys[0],
        keys[3],
        keys[4],
        vault_a,
        vault_b,
        keys[2],
    )


ERROR_NAMES = {
    6019: "LiquidityInsufficient",
    6022: "TooLittleOutputReceived",
    6026: "TooSmallInputOrOutputAmount",
    6027: "NotEnoughTickArrayAccount",
}
