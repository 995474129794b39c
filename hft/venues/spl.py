"""SPL token accounts and mints: the few fields a swap needs, read and written; associated token addresses."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from solders.instruction import AccountMeta
from solders.pubkey import Pubkey

from hft.venues.types import ABSENT, Account, Pool, PoolError, PoolErrorCode


def key(text: str) -> bytes:
    """32 bytes of a base58 key."""
    return bytes(Pubkey.from_string(text))


TOKEN_PROGRAM = key("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA")
TOKEN_2022_PROGRAM = key("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb")
ASSOCIATED_TOKEN_PROGRAM = key("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL")
MEMO_PROGRAM = key("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr")
WRAPPED_SOL = key("So11111111111111111111111111111111111111112")

TOKEN_ACCOUNT_SIZE = 165
MINT_SIZE = 82
TOKEN_ACCOUNT_RENT = 2_039_280

# Token-2022: after byte 165 an account-type byte, then (u16 type, u16 length, value) entries.
_EXTENSIONS_AT = 166
_HARMLESS_EXTENSIONS = {
    3,  # mint close authority
    4,  # confidential transfers (plain ones stay plain)
    6,  # default account state (new accounts may be frozen; amounts don't change)
    10,  # interest-bearing: shown amounts only
    18,  # metadata pointer
    19,  # token metadata
    20,  # group pointer
    21,  # token group
    22,  # group member pointer
    23,  # token group member
    25,  # scaled amounts: shown amounts only
}
TRANSFER_FEE_CONFIG = 1


def rent_exempt(size: int) -> int:
    """Lamports that keep an account of ``size`` bytes alive."""
    return (size + 128) * 6960


@lru_cache(maxsize=65_536)
def find_address(program: bytes, *seeds: bytes) -> bytes:
    """The program-derived address of ``seeds`` (found once, then remembered: the search costs some 15 µs)."""
    return bytes(Pubkey.find_program_address(seeds, Pubkey(program))[0])


def associated_token_address(owner: bytes, mint: bytes, token_program: bytes = TOKEN_PROGRAM) -> bytes:
    """The associated token account of ``owner`` for ``mint``."""
    return find_address(ASSOCIATED_TOKEN_PROGRAM, bytes(owner), bytes(token_program), bytes(mint))


def token_amount(data: bytes) -> int:
    """Balance of a token account's data (at least 72 bytes)."""
    return int.from_bytes(data[64:72], "little")


def encode_token_account(mint: bytes, owner: bytes, amount: int) -> bytes:
    """165 bytes of an initialised SPL token account; wrapped SOL is marked native."""
    data = bytearray(TOKEN_ACCOUNT_SIZE)
    data[0:32] = mint
    data[32:64] = owner
    data[64:72] = amount.to_bytes(8, "little")
    data[108] = 1
    if mint == WRAPPED_SOL:
        data[109:113] = (1).to_bytes(4, "little")
        data[113:121] = TOKEN_ACCOUNT_RENT.to_bytes(8, "little")
    return bytes(data)


def token_account(mint: bytes, owner: bytes, amount: int, program: bytes = TOKEN_PROGRAM) -> Account:
    """A whole token account; one of wrapped SOL holds its amount as lamports too."""
    lamports = TOKEN_ACCOUNT_RENT + (amount if mint == WRAPPED_SOL else 0)
    return Account(program, encode_token_account(mint, owner, amount), lamports)


def encode_mint(decimals: int, supply: int) -> bytes:
    """82 bytes of an initialised mint without authorities."""
    data = bytearray(MINT_SIZE)
    data[36:44] = supply.to_bytes(8, "little")
    data[44] = decimals
    data[45] = 1
    return bytes(data)


def find_account(accounts: Mapping[bytes, Account], pubkey: bytes, what: str) -> Account:
    """The account, or PoolError ACCOUNT_MISSING (not in the mapping, or known not to exist)."""
    account = accounts.get(pubkey)
    if account is None or (not account.data and account.lamports == 0):
        raise PoolError(PoolErrorCode.ACCOUNT_MISSING, f"{what} {Pubkey(pubkey)} is not among the accounts")
    return account


def check_account(
    what: str, pubkey: bytes, account: Account, owner: bytes, size: int, discriminator: bytes = b""
) -> None:
    """PoolError unless owner, size and leading bytes are those of the venue's ``what``."""
    if account.owner != owner:
        raise PoolError(
            PoolErrorCode.WRONG_OWNER,
            f"{what} {Pubkey(pubkey)} is owned by {Pubkey(account.owner)}, not {Pubkey(owner)}",
        )
    data = account.data
    if len(data) != size:
        raise PoolError(
            PoolErrorCode.WRONG_SIZE, f"{what} {Pubkey(pubkey)} has {len(data)} bytes, wants {size}"
        )
    if not data.startswith(discriminator):
        raise PoolError(
            PoolErrorCode.WRONG_DISCRIMINATOR,
            f"{what} {Pubkey(pubkey)} starts with {data[:8].hex()}, wants {discriminator.hex()}",
        )


def check_pool_key(what: str, pubkey: bytes, found: bytes, pool: bytes) -> None:
    """PoolError unless the account ``what`` belongs to ``pool``."""
    if found != pool:
        raise PoolError(
            PoolErrorCode.POOL_MISMATCH,
            f"{what} {Pubkey(pubkey)} belongs to pool {Pubkey(found)}, not to {Pubkey(pool)}",
        )


def meta(pubkey: bytes, *, writable: bool = False) -> AccountMeta:
    """An instruction's account that does not sign."""
    return AccountMeta(Pubkey(pubkey), False, writable)


def exists(account: Account | None) -> bool:
    """True for an account that is known and exists on chain."""
    return account is not None and account is not ABSENT and bool(account.data)


def held_price(
    accounts: Mapping[bytes, Account], vault_a: bytes, vault_b: bytes, owed_a: int, owed_b: int
) -> float | None:
    """Base units of B for one of A in two vaults, less what is owed to others; None where a vault is missing,
    too short or holds no more than that."""
    held_a, held_b = accounts.get(vault_a), accounts.get(vault_b)
    if held_a is None or held_b is None or min(len(held_a.data), len(held_b.data)) < TOKEN_ACCOUNT_SIZE:
        return None
    left_a, left_b = token_amount(held_a.data) - owed_a, token_amount(held_b.data) - owed_b
    return left_b / left_a if left_a > 0 and left_b > 0 else None


def vault_amount(accounts: Mapping[bytes, Account], vault: bytes, mint: bytes) -> int:
    """Balance of a pool's vault, whose mint must be the pool's. Raises PoolError."""
    account = find_account(accounts, vault, "vault")
    data = account.data
    if account.owner not in (TOKEN_PROGRAM, TOKEN_2022_PROGRAM):
        raise PoolError(
            PoolErrorCode.WRONG_OWNER,
            f"vault {Pubkey(vault)} is owned by {Pubkey(account.owner)}, not a token program",
        )
    if len(data) < TOKEN_ACCOUNT_SIZE:
        raise PoolError(
            PoolErrorCode.WRONG_SIZE, f"vault {Pubkey(vault)} has {len(data)} bytes, wants 165 or more"
        )
    if data[0:32] != mint:
        raise PoolError(
            PoolErrorCode.MINT_MISMATCH,
            f"vault {Pubkey(vault)} holds {Pubkey(data[0:32])}, the pool names {Pubkey(mint)}",
        )
    return int.from_bytes(data[64:72], "little")


def mint_program(accounts: Mapping[bytes, Account], mint: bytes) -> bytes:
    """The token program of a mint without extensions that make its transfers unsure. Raises PoolError."""
    account = find_account(accounts, mint, "mint")
    owner, data = account.owner, account.data
    if owner not in (TOKEN_PROGRAM, TOKEN_2022_PROGRAM):
        raise PoolError(
            PoolErrorCode.WRONG_OWNER, f"mint {Pubkey(mint)} is owned by {Pubkey(owner)}, not a token program"
        )
    if len(data) < MINT_SIZE or (owner == TOKEN_PROGRAM and len(data) != MINT_SIZE):
        raise PoolError(
            PoolErrorCode.WRONG_SIZE, f"mint {Pubkey(mint)} has {len(data)} bytes, wants {MINT_SIZE}"
        )
    if owner == TOKEN_2022_PROGRAM:
        # Transfer fees are counted (see ``transfer_fee``); what else may change a transfer refuses the pool.
        unknown = mint_extensions(mint, data).keys() - _HARMLESS_EXTENSIONS - {TRANSFER_FEE_CONFIG}
        if unknown:
            raise PoolError(
                PoolErrorCode.TOKEN_EXTENSION,
                f"mint {Pubkey(mint)} has Token-2022 extensions {sorted(unknown)}, "
                "which may change or block transfers",
            )
    return owner


def read_programs(pool: Pool, accounts: Mapping[bytes, Account]) -> None:
    """Take over the token programs of a pool's two mints. Raises PoolError."""
    pool.program_a = mint_program(accounts, pool.mint_a)
    pool.program_b = mint_program(accounts, pool.mint_b)


def mint_extensions(mint: bytes, data: bytes) -> dict[int, bytes]:
    """The extensions of a Token-2022 mint by type. Raises PoolError if they are cut off."""
    found = {}
    at = _EXTENSIONS_AT
    while at + 4 <= len(data):
        kind = int.from_bytes(data[at : at + 2], "little")
        length = int.from_bytes(data[at + 2 : at + 4], "little")
        if kind == 0:
            break
        if at + 4 + length > len(data):
            raise PoolError(
                PoolErrorCode.WRONG_SIZE,
                f"mint {Pubkey(mint)}: extension {kind} of {length} bytes at {at} is cut off",
            )
        found[kind] = data[at + 4 : at + 4 + length]
        at += 4 + length
    return found


def token_figures(accounts: Mapping[bytes, Account], mint: bytes, vault: bytes) -> dict[str, object]:
    """Plain figures of one side of a pool: mint with decimals, supply and program, vault with
    owner and amount.
    """
    mint_data = find_account(accounts, mint, "mint").data
    amount = vault_amount(accounts, vault, mint)
    return {
        "mint": str(Pubkey(mint)),
        "program": str(Pubkey(mint_program(accounts, mint))),
        "decimals": mint_data[44],
        "supply": int.from_bytes(mint_data[36:44], "little"),
        "vault": str(Pubkey(vault)),
        "vault_owner": str(Pubkey(accounts[vault].data[32:64])),
        "vault_amount": amount,
    }


def token_accounts(figures: Mapping[str, Any]) -> dict[bytes, Account]:
    """The mint and vault accounts of ``token_figures``; extensions of Token-2022 mints are not rebuilt."""
    program, mint = key(figures["program"]), key(figures["mint"])
    mint_data = encode_mint(figures["decimals"], figures["supply"])
    return {
        mint: Account(program, mint_data, rent_exempt(MINT_SIZE)),
        key(figures["vault"]): token_account(
            mint, key(figures["vault_owner"]), figures["vault_amount"], program
        ),
    }
