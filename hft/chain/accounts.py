"""Token accounts around a trade: made, wrapped, closed, and every lamport of rent accounted for.

A wSOL account that a transaction opens is closed in the same transaction: its rent and whatever it holds come
back as SOL. Any other token account stays open (leg 2 takes leg 1's *minimum*, so some units may stay in it,
and a program does not close an account that holds any): its rent is named as locked, never lost silently.
"""

from collections.abc import Collection
from typing import Final, NamedTuple

from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM_PROGRAM
from solders.system_program import TransferParams, transfer

from hft.chain.compute import base_fee_lamports, priority_fee_lamports
from hft.venues import TOKEN_PROGRAM, WRAPPED_SOL, associated_token_address
from hft.venues.spl import ASSOCIATED_TOKEN_PROGRAM, TOKEN_ACCOUNT_RENT, rent_exempt

WALLET_RENT_LAMPORTS: Final = rent_exempt(0)
"""What a wallet must keep, or the transaction that leaves it poorer is refused."""

_CREATE_IDEMPOTENT = b"\x01"
_CLOSE_ACCOUNT = b"\x09"
_SYNC_NATIVE = b"\x11"


class TokenAccounts(NamedTuple):
    """Instructions around a trade, and the rent they move.

    ``rent_locked_lamports`` stays in accounts that are open afterwards; ``rent_passing_lamports`` is needed
    meanwhile and comes back by ``cleanup``.
    """

    setup: tuple[Instruction, ...]
    cleanup: tuple[Instruction, ...]
    rent_locked_lamports: int
    rent_passing_lamports: int


NO_TOKEN_ACCOUNTS: Final = TokenAccounts((), (), 0, 0)


class FundsError(Exception):
    """The wallet can't pay for a transaction; the text says what for and how much is missing."""

    def __init__(self, message: str, missing_lamports: int) -> None:
        super().__init__(message)
        self.missing_lamports = missing_lamports


def create_token_account(owner: bytes, mint: bytes, token_program: bytes = TOKEN_PROGRAM) -> Instruction:
    """Makes the owner's associated token account, paid by the owner; does nothing if it is there."""
    account = associated_token_address(owner, mint, token_program)
    return Instruction(
        Pubkey(ASSOCIATED_TOKEN_PROGRAM),
        _CREATE_IDEMPOTENT,
        [
            AccountMeta(Pubkey(owner), True, True),
            AccountMeta(Pubkey(account), False, True),
            AccountMeta(Pubkey(owner), False, False),
            AccountMeta(Pubkey(mint), False, False),
            AccountMeta(SYSTEM_PROGRAM, False, False),
            AccountMeta(Pubkey(token_program), False, False),
        ],
    )


def wrap(owner: bytes, lamports: int) -> tuple[Instruction, Instruction]:
    """Moves SOL into the owner's (existing) wSOL account and has its balance read anew."""
    account = Pubkey(associated_token_address(owner, WRAPPED_SOL))
    moved = transfer(TransferParams(from_pubkey=Pubkey(owner), to_pubkey=account, lamports=lamports))
    sync = Instruction(Pubkey(TOKEN_PROGRAM), _SYNC_NATIVE, [AccountMeta(account, False, True)])
    return moved, sync


def close_token_account(owner: bytes, mint: bytes, token_program: bytes = TOKEN_PROGRAM) -> Instruction:
    """Closes the owner's associated token account: its lamports go to the owner. Only wSOL may hold any."""
    account = associated_token_address(owner, mint, token_program)
    return Instruction(
        Pubkey(token_program),
        _CLOSE_ACCOUNT,
        [
            AccountMeta(Pubkey(account), False, True),
            AccountMeta(Pubkey(owner), False, True),
            AccountMeta(Pubkey(owner), True, False),
        ],
    )


def token_accounts(
    owner: bytes,
    mints: Collection[tuple[bytes, bytes]],
    open_accounts: Collection[bytes],
    *,
    wrap_lamports: int = 0,
    account_rent_lamports: int = TOKEN_ACCOUNT_RENT,
) -> TokenAccounts:
    """What a trade in ``mints`` (mint, token program) needs around it, when the owner's ``open_accounts``
    exist.

    Missing accounts are made. ``wrap_lamports`` of SOL are wrapped before the trade. The wSOL account is
    closed behind it if it was made here or anything was wrapped into it; ``account_rent_lamports`` is the
    rent of one account (Token-2022 accounts with extensions need more: pass their figure).
    """
    setup: list[Instruction] = []
    cleanup: list[Instruction] = []
    locked = passing = 0
    for mint, program in mints:
        missing = associated_token_address(owner, mint, program) not in open_accounts
        wrapped = mint == WRAPPED_SOL and wrap_lamports > 0
        if missing:
            setup.append(create_token_account(owner, mint, program))
        if wrapped:
            setup += wrap(owner, wrap_lamports)
        if mint == WRAPPED_SOL and (missing or wrapped):
            cleanup.append(close_token_account(owner, mint, program))
            passing += account_rent_lamports if missing else 0
        elif missing:
            locked += account_rent_lamports
    return TokenAccounts(tuple(setup), tuple(cleanup), locked, passing)


def needed_lamports(
    *,
    compute_unit_limit: int,
    compute_unit_price_micro_lamports: int,
    tip_lamports: int,
    accounts: TokenAccounts = NO_TOKEN_ACCOUNTS,
    wrap_lamports: int = 0,
    signatures: int = 1,
) -> int:
    """SOL a wallet must hold for a transaction to run: fees, tip, rent of new accounts, what is wrapped, and
    the wallet's own rent."""
    fees = base_fee_lamports(signatures) + priority_fee_lamports(
        compute_unit_limit, compute_unit_price_micro_lamports
    )
    rent = accounts.rent_locked_lamports + accounts.rent_passing_lamports + WALLET_RENT_LAMPORTS
    return fees + tip_lamports + rent + wrap_lamports


def check_funds(wallet_lamports: int, needed: int) -> None:
    """``FundsError`` unless the wallet's SOL covers ``needed`` (see ``needed_lamports``)."""
    if wallet_lamports < needed:
        raise FundsError(
            f"wallet holds {wallet_lamports} lamports: fees, tip, rent and wrapping need {needed}",
            needed - wallet_lamports,
        )
