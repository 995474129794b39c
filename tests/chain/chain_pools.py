"""One SOL/jitoSOL pool of each venue, and a second of each, so that all 36 ordered pairs are routes."""

import base64
import copy
import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.pubkey import Pubkey

from hft.chain.lookup import encode_table
from hft.chain.tips import TIP_ACCOUNTS
from hft.chain.transaction import TwoHop, two_hop_instructions
from hft.venues import ABSENT, WRAPPED_SOL, Account, DustRule, Pool, Settings, Venue, decode, venue_of

JITOSOL = bytes(Pubkey.from_string("J1toso1uCk3RLmjorhTtrVwY9HJ7X8V9yYac6Y7kGCPn"))
SETTINGS = Settings(dust_rule=DustRule.ROUND_HALF)


class Complete(dict[bytes, Account]):
    """Accounts of which those that are not here don't exist."""

    def get(self, key: bytes, default: Any = None) -> Any:
        return super().get(key, ABSENT)


def load(path: Path) -> dict[bytes, Account]:
    with gzip.open(path) as file:
        rows = json.load(file)["accounts"]
    return Complete(
        (
            bytes(Pubkey.from_string(row["pubkey"])),
            Account(
                bytes(Pubkey.from_string(row["owner"])), base64.b64decode(row["data_base64"]), row["lamports"]
            ),
        )
        for row in rows
    )


def pools_by_venue(data: Path) -> dict[Venue, Pool]:
    """A SOL/jitoSOL pool of each venue."""
    found = {}
    for venue in list(Venue)[1:]:
        name = "lst-2023-03" if venue is Venue.WHIRLPOOL else "sol-lst-rehomed"
        accounts = load(data / "accounts" / venue.name.lower() / f"{name}.json.gz")
        for key, account in accounts.items():
            if venue_of(account) is venue:
                pool = decode(key, accounts, SETTINGS)
                if {pool.mint_a, pool.mint_b} == {WRAPPED_SOL, JITOSOL}:
                    found[venue] = pool
    assert len(found) == 6
    return found


def twin(pool: Pool) -> Pool:
    """A second pool of the venue: the same state at another address, with vaults of its own."""
    other = copy.copy(pool)
    other.key, other.vault_a, other.vault_b = (
        hashlib.sha256(key + b"twin").digest() for key in (pool.key, pool.vault_a, pool.vault_b)
    )
    return other


def order_of(pool_1: Pool, pool_2: Pool, **changes: Any) -> TwoHop:
    order = TwoHop(
        pool_1, pool_2, WRAPPED_SOL, 10**9, 780_000_000, 10**9 + 7000, 200_000, 1500, 1000, TIP_ACCOUNTS[2]
    )
    return order._replace(**changes)


def route_table(order: TwoHop, user: Pubkey, **changes: Any) -> tuple[bytes, Account]:
    """A lookup table with every key of a route that may be in one: no signer, program or tip account."""
    instructions = two_hop_instructions(order, user)
    programs = {bytes(instruction.program_id) for instruction in instructions}
    keys = dict.fromkeys(
        bytes(meta.pubkey)
        for instruction in instructions
        for meta in instruction.accounts
        if not meta.is_signer
    )
    held = [key for key in keys if key not in programs and key not in TIP_ACCOUNTS and key != bytes(user)]
    name = hashlib.sha256(order.pool_1.key + order.pool_2.key).digest()
    owner = bytes(Pubkey.from_string("AddressLookupTab1e1111111111111111111111111"))
    return name, Account(owner, encode_table(held, **changes), 10**7)


def table_form(key: bytes, account: Account) -> AddressLookupTableAccount:
    data = account.data
    return AddressLookupTableAccount(
        Pubkey(key), [Pubkey(data[at : at + 32]) for at in range(56, len(data), 32)]
    )
