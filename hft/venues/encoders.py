"""Pools as plain figures, and accounts rebuilt from them: for shipped snapshots and for tests."""

from collections.abc import Iterable, Mapping
from typing import Any

from hft.venues.registry import BY_PROGRAM, BY_VENUE
from hft.venues.spl import encode_mint, encode_token_account, find_account, token_account
from hft.venues.types import Account, PoolError, PoolErrorCode, Venue

__all__ = ["encode", "encode_all", "encode_mint", "encode_token_account", "figures", "token_account"]


def figures(pubkey: bytes, accounts: Mapping[bytes, Account]) -> dict[str, Any]:
    """All that ``decode`` reads of a pool, as a JSON-able dict (keys base58, amounts integers).

    ``encode(figures(key, accounts))`` are accounts that ``decode`` reads exactly as the original ones. What a
    quote never reads (fee growths, positions' rewards, an order book) is not kept. Raises PoolError.
    """
    account = find_account(accounts, pubkey, "pool")
    spec = BY_PROGRAM.get(account.owner)
    if spec is None:
        raise PoolError(PoolErrorCode.UNKNOWN_VENUE, f"owner {account.owner.hex()} is no known venue")
    return spec.figures(pubkey, accounts)


def encode(plain: Mapping[str, Any]) -> dict[bytes, Account]:
    """The accounts of one pool: pool, mints, vaults and the venue's own. Raises PoolError."""
    name = str(plain.get("venue", "")).upper()
    if name not in Venue.__members__ or Venue[name] not in BY_VENUE:
        known = ", ".join(venue.name.lower() for venue in BY_VENUE)
        raise PoolError(PoolErrorCode.UNKNOWN_VENUE, f"venue {name.lower()!r} is none of {known}")
    return BY_VENUE[Venue[name]].encode(plain)


def encode_all(pools: Iterable[Mapping[str, Any]]) -> dict[bytes, Account]:
    """The accounts of several pools; what they share (mints, configs) is there once."""
    accounts: dict[bytes, Account] = {}
    for plain in pools:
        accounts |= encode(plain)
    return accounts
