"""What happens on the cluster, as its parts tell each other: accounts, slots, ends of submissions."""

from enum import IntEnum
from typing import NamedTuple

from hft.chain.svm import NO_INDEX

__all__ = [
    "NO_INDEX",
    "AccountUpdate",
    "Balances",
    "Outcome",
    "SettlementStatus",
    "SlotUpdate",
    "TokenChange",
]


class Outcome(IntEnum):
    """What became of a submission: executed, executed but failed (the fee is charged), never executed."""

    LANDED_OK = 1
    LANDED_FAILED = 2
    REJECTED = 3


class AccountUpdate(NamedTuple):
    """An account's newest bytes; no lamports and no data say that it does not exist.

    ``write_version`` grows with every write of the cluster, so (slot, write_version) orders updates;
    ``last_of_batch`` ends the updates that belong to one change, or the snapshot.
    """

    slot: int
    write_version: int
    pubkey: bytes
    owner: bytes
    lamports: int
    data: bytes
    last_of_batch: bool


class SlotUpdate(NamedTuple):
    """A new slot with the blockhash to sign with; a transaction dies once ``block_height`` passes
    ``last_valid_block_height`` of the blockhash it names."""

    slot: int
    block_height: int
    last_valid_block_height: int
    unix_timestamp: int
    blockhash: bytes


class TokenChange(NamedTuple):
    """Amount of one of the fee payer's token accounts (base units) before and after a transaction."""

    mint: bytes
    before: int
    after: int


class SettlementStatus(NamedTuple):
    """What became of one submitted transaction.

    ``error_index`` counts all instructions of the transaction (``NO_INDEX``: none failed, or it was refused
    whole); ``error_code`` is the program's own code (0 if it has none), ``error_name`` says it in words
    ("" if it landed). Balances are the fee payer's: lamports, and each of its token accounts that the
    transaction names.
    """

    signature: bytes
    outcome: Outcome
    slot: int
    error_index: int
    error_code: int
    error_name: str
    fee_lamports: int
    compute_units: int
    lamports_before: int
    lamports_after: int
    tokens: tuple[TokenChange, ...]


class Balances(NamedTuple):
    """What a wallet owns now: lamports, and base units by mint (token accounts of a mint added up)."""

    wallet: bytes
    slot: int
    lamports: int
    tokens: tuple[tuple[bytes, int], ...]
