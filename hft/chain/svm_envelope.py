"""A submitted transaction, opened: who signs, what it names, and the refusals a validator makes before
executing.

Legacy and v0, with address lookup tables read from the accounts at hand.
"""

from collections.abc import Callable
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

from solders.message import Message, MessageV0
from solders.pubkey import Pubkey
from solders.transaction import SanitizeError, VersionedTransaction

from hft.chain.transaction import MAX_ACCOUNT_LOCKS, MAX_TRANSACTION_BYTES
from hft.venues import Account
from hft.venues.spl import key

LOOKUP_TABLE_PROGRAM: Final = key("AddressLookupTab1e1111111111111111111111111")
_TABLE_KEYS_AT: Final = 56
_EXTENDED_SLOT_AT: Final = 12
_EXTENDED_START_AT: Final = 20
_ACTIVE: Final = 2**64 - 1


class Refusal(StrEnum):
    """Why a transaction never ran; the names are the chain's where it has one."""

    MALFORMED = "Malformed"
    TOO_LARGE = "TransactionTooLarge"
    SIGNATURE_FAILURE = "SignatureFailure"
    BLOCKHASH_NOT_FOUND = "BlockhashNotFound"
    ALREADY_PROCESSED = "AlreadyProcessed"
    TOO_MANY_ACCOUNT_LOCKS = "TooManyAccountLocks"
    LOOKUP_TABLE_NOT_FOUND = "AddressLookupTableNotFound"
    LOOKUP_INDEX = "InvalidAddressLookupTableIndex"
    INSUFFICIENT_FUNDS_FOR_FEE = "InsufficientFundsForFee"
    OVERLOADED = "Overloaded"
    DROPPED = "Dropped"


class EnvelopeError(Exception):
    """A transaction that never runs; ``refusal`` says why, ``signature`` is its first one (zeros if
    unreadable)."""

    def __init__(self, refusal: Refusal, signature: bytes, message: str) -> None:
        super().__init__(message)
        self.refusal = refusal
        self.signature = signature


class Named(NamedTuple):
    """An account that the transaction names."""

    pubkey: bytes
    signer: bool
    writable: bool


class Call(NamedTuple):
    """One instruction: its program, the accounts it names, its data."""

    program: bytes
    accounts: tuple[Named, ...]
    data: bytes


class Envelope(NamedTuple):
    """A transaction whose form and signatures are right.

    ``accounts`` are the message's own (``static`` of them), then those that lookup tables add: first the
    writable ones, then the others.
    """

    raw: bytes
    transaction: VersionedTransaction
    signatures: tuple[bytes, ...]
    payer: bytes
    blockhash: bytes
    accounts: tuple[Named, ...]
    calls: tuple[Call, ...]
    static: int
    legacy: bool

    @property
    def signature(self) -> bytes:
        """The first signature, by which the chain knows the transaction."""
        return self.signatures[0]


def open_envelope(
    raw: bytes, account: Callable[[bytes], Account], *, slot: int | None = None, verify: bool = True
) -> Envelope:
    """Parses ``raw``, verifies every signature (unless told not to), resolves lookup tables through
    ``account``. Keys that a table was extended by in ``slot`` itself are not usable yet.

    ``EnvelopeError``: MALFORMED, TOO_LARGE, SIGNATURE_FAILURE, TOO_MANY_ACCOUNT_LOCKS,
    LOOKUP_TABLE_NOT_FOUND, LOOKUP_INDEX.
    """
    first = bytes(raw[1:65]) if len(raw) >= 65 and raw[0] == 1 else bytes(64)
    if len(raw) > MAX_TRANSACTION_BYTES:
        raise EnvelopeError(
            Refusal.TOO_LARGE, first, f"{len(raw)} bytes: at most {MAX_TRANSACTION_BYTES} are a transaction"
        )
    try:
        transaction = VersionedTransaction.from_bytes(raw)
        transaction.sanitize()
    except (ValueError, SanitizeError) as error:
        raise EnvelopeError(Refusal.MALFORMED, first, f"no transaction: {error}") from error
    signatures = tuple(bytes(signature) for signature in transaction.signatures)
    if bytes(transaction) != raw:
        raise EnvelopeError(
            Refusal.MALFORMED, signatures[0], f"{len(raw)} bytes hold more than one transaction"
        )
    return _opened(raw, transaction, account, slot, verify)


def _opened(
    raw: bytes,
    transaction: VersionedTransaction,
    account: Callable[[bytes], Account],
    slot: int | None,
    verify: bool,
) -> Envelope:
    signatures = tuple(bytes(signature) for signature in transaction.signatures)
    message = transaction.message
    if not isinstance(message, Message | MessageV0):
        raise EnvelopeError(Refusal.MALFORMED, signatures[0], "legacy and version 0 are taken, not version 1")
    verified = transaction.verify_with_results() if verify else [True]
    if not all(verified) or len(signatures) != message.header.num_required_signatures:
        raise EnvelopeError(
            Refusal.SIGNATURE_FAILURE, signatures[0], f"signature {_first_false(verified)} does not verify"
        )
    head = _head(raw, message)
    accounts = _accounts(head, message, account, signatures[0], slot)
    tabled = len(accounts) > len(message.account_keys)
    calls = []
    for ix in message.instructions:
        indexes = bytes(ix.accounts)
        picked = tuple([accounts[index] for index in indexes]) if tabled else _picked(head, indexes)
        calls.append(Call(accounts[ix.program_id_index].pubkey, picked, bytes(ix.data)))
    return Envelope(
        raw,
        transaction,
        signatures,
        accounts[0].pubkey,
        bytes(message.recent_blockhash),
        accounts,
        tuple(calls),
        len(message.account_keys),
        isinstance(message, Message),
    )


def _first_false(verified: list[bool]) -> int:
    return verified.index(False) if False in verified else len(verified)


def _head(raw: bytes, message: Message | MessageV0) -> bytes:
    """The counts of signers and of accounts that are only read, and the static keys."""
    size = 32 * len(message.account_keys)
    at = raw.index(bytes(message.account_keys[0]), 1 + 64 * message.header.num_required_signatures)
    header = message.header
    counts = header.num_required_signatures, header.num_readonly_signed_accounts
    return bytes((*counts, header.num_readonly_unsigned_accounts)) + raw[at : at + size]


@lru_cache(maxsize=64)
def _static(head: bytes) -> tuple[Named, ...]:
    """The message's own accounts: transactions of one route name the same ones."""
    signers, readonly_signers, readonly_others = head[:3]
    keys = [head[at : at + 32] for at in range(3, len(head), 32)]
    writable_signers, writable_others = signers - readonly_signers, len(keys) - readonly_others
    return tuple(
        [
            _named(
                pubkey, index < signers, index < (writable_signers if index < signers else writable_others)
            )
            for index, pubkey in enumerate(keys)
        ]
    )


@lru_cache(maxsize=1024)
def _named(pubkey: bytes, signer: bool, writable: bool) -> Named:
    """Of the same account the same object, however many routes name it."""
    return Named(pubkey, signer, writable)


@lru_cache(maxsize=256)
def _picked(head: bytes, indexes: bytes) -> tuple[Named, ...]:
    accounts = _static(head)
    return tuple([accounts[index] for index in indexes])


def _accounts(
    head: bytes,
    message: Message | MessageV0,
    account: Callable[[bytes], Account],
    signature: bytes,
    slot: int | None,
) -> tuple[Named, ...]:
    named = list(_static(head))
    lookups = message.address_table_lookups if isinstance(message, MessageV0) else []
    for writable in (True, False):
        for lookup in lookups:
            table = _table(bytes(lookup.account_key), account, signature, slot)
            for index in lookup.writable_indexes if writable else lookup.readonly_indexes:
                if index >= len(table):
                    raise EnvelopeError(
                        Refusal.LOOKUP_INDEX,
                        signature,
                        f"lookup table {lookup.account_key} has {len(table)} keys, index {index} is asked "
                        "for",
                    )
                named.append(Named(table[index], False, writable))
    if len(named) > MAX_ACCOUNT_LOCKS:
        raise EnvelopeError(
            Refusal.TOO_MANY_ACCOUNT_LOCKS,
            signature,
            f"{len(named)} accounts, at most {MAX_ACCOUNT_LOCKS} are locked",
        )
    return tuple(named)


def _table(
    pubkey: bytes, account: Callable[[bytes], Account], signature: bytes, slot: int | None
) -> list[bytes]:
    held = account(pubkey)
    data = held.data
    deactivated = int.from_bytes(data[4:12], "little") != _ACTIVE
    if held.owner != LOOKUP_TABLE_PROGRAM or len(data) < _TABLE_KEYS_AT or deactivated:
        raise EnvelopeError(
            Refusal.LOOKUP_TABLE_NOT_FOUND, signature, f"{Pubkey(pubkey)} is no active address lookup table"
        )
    keys = [bytes(data[at : at + 32]) for at in range(_TABLE_KEYS_AT, len(data) - 31, 32)]
    return keys[: data[_EXTENDED_START_AT]] if extended_slot(data) == slot else keys


def extended_slot(data: bytes) -> int:
    """The slot that a lookup table was extended in last."""
    return int.from_bytes(data[_EXTENDED_SLOT_AT : _EXTENDED_SLOT_AT + 8], "little")
