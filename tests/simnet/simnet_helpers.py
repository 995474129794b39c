"""What the tests of the local cluster share: account files, a wallet, the recorded two hops."""

import gzip
import json
from pathlib import Path
from typing import Any

from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer

from hft.chain.keys import paper_keypair
from hft.chain.tips import TIP_ACCOUNTS
from hft.chain.transaction import SignedTransaction, sign
from hft.simnet.bank import Bank
from hft.simnet.genesis import genesis_accounts
from hft.simnet.market import load_market
from hft.venues import (
    TOKEN_PROGRAM,
    WRAPPED_SOL,
    Account,
    associated_token_address,
    swap_instruction,
)
from hft.venues.spl import ASSOCIATED_TOKEN_PROGRAM

SYSTEM = bytes(32)
WALLET = paper_keypair(7)
WALLET_LAMPORTS = 2_000_000_000_000


def key(text: str) -> bytes:
    """32 bytes of a base58 key."""
    return bytes(Pubkey.from_string(text))


def set_files(data: Path, *names: str) -> list[Path]:
    """Account files of sets by name."""
    return [data / "accounts" / f"{name}.json.gz" for name in names]


def vectors(data: Path, name: str) -> list[dict[str, Any]]:
    """All rows of a vector file."""
    with gzip.open(data / "vectors" / f"{name}.jsonl.gz", "rt") as lines:
        return [json.loads(line) for line in lines]


def shipped_bank(seed: int = 7) -> Bank:
    """A bank over the shipped snapshot with the test wallet in it."""
    market = load_market()
    return Bank(market, genesis_accounts(market, WALLET.pubkey(), WALLET_LAMPORTS), seed=seed, slot_ms=400)


def row_bank(data: Path, row: dict[str, Any]) -> Bank:
    """A bank over a two-hop row's sets and overrides, at the row's clock."""
    names = [*row["sets"], *([row["overrides"]] if row["overrides"] else [])]
    market = load_market(set_files(data, *names))
    market = market._replace(slot=row["slot"], unix_timestamp=row["unix_timestamp"])
    if row["wrap_unwrap"]:
        genesis = {
            bytes(WALLET.pubkey()): Account(SYSTEM, b"", WALLET_LAMPORTS),
            **{tip: Account(SYSTEM, b"", 10**9) for tip in TIP_ACCOUNTS},
        }
    else:
        genesis = genesis_accounts(market, WALLET.pubkey(), WALLET_LAMPORTS)
    return Bank(market, genesis, seed=7, slot_ms=400)


def row_transaction(bank: Bank, row: dict[str, Any]) -> SignedTransaction:
    """The row's transaction, instruction by instruction as its list of programs says."""
    user = WALLET.pubkey()
    pools = [bank.pools[key(text)] for text in row["pools"]]
    mid_mint = key(row["x_mint"])
    legs = [
        swap_instruction(pools[0], user, WRAPPED_SOL, row["amount_in"], row["min_mid"]),
        swap_instruction(pools[1], user, mid_mint, row["leg2_amount_in"], row["min_out"]),
    ]
    tip = transfer(
        TransferParams(from_pubkey=user, to_pubkey=Pubkey(TIP_ACCOUNTS[0]), lamports=row["tip_lamports"])
    )
    budget = [
        set_compute_unit_limit(row["compute_unit_limit"]),
        set_compute_unit_price(row["compute_unit_price"]),
    ]
    if not row["wrap_unwrap"]:
        return sign([*budget, *legs, tip], WALLET, bank.blockhash)
    wsol = Pubkey(associated_token_address(bytes(user), WRAPPED_SOL))
    wrap = transfer(TransferParams(from_pubkey=user, to_pubkey=wsol, lamports=row["amount_in"]))
    token = Pubkey(TOKEN_PROGRAM)
    sync = Instruction(token, b"\x11", [AccountMeta(wsol, False, True)])
    close = Instruction(
        token,
        b"\x09",
        [AccountMeta(wsol, False, True), AccountMeta(user, False, True), AccountMeta(user, True, False)],
    )
    creates = [create_account(mint) for mint in (WRAPPED_SOL, mid_mint)]
    return sign([*budget, *creates, wrap, sync, *legs, close, tip], WALLET, bank.blockhash)


def create_account(mint: bytes) -> Instruction:
    """Creates the wallet's token account for ``mint`` if it is not there."""
    user = WALLET.pubkey()
    account = Pubkey(associated_token_address(bytes(user), mint))
    metas = [
        AccountMeta(user, True, True),
        AccountMeta(account, False, True),
        AccountMeta(user, False, False),
    ]
    metas += [AccountMeta(Pubkey(other), False, False) for other in (mint, SYSTEM, TOKEN_PROGRAM)]
    return Instruction(Pubkey(ASSOCIATED_TOKEN_PROGRAM), b"\x01", metas)
