"""Results of JSON-RPC methods as typed values. Pure; a result of another shape is a ``ShapeError``."""

import binascii
from functools import lru_cache, partial
from typing import Any, Final, Literal, NamedTuple

import msgspec
import orjson
from solders.hash import Hash, ParseHashError
from solders.pubkey import Pubkey
from solders.signature import Signature

from hft.chain.rpc_faults import is_count
from hft.venues import Account

MAX_ACCOUNT_BYTES: Final = 10 << 20
U64_MAX: Final = 2**64 - 1


class ShapeError(ValueError):
    """A result is not of the shape its method promises; the text says what was expected."""


class LatestBlockhash(NamedTuple):
    """A blockhash (32 bytes), the block height after which it is dead, and the slot of the answer."""

    slot: int
    blockhash: bytes
    last_valid_block_height: int


class SignatureStatus(NamedTuple):
    """What a node knows of a transaction. ``error`` is None if it succeeded; ``commitment``: processed,
    confirmed or finalized."""

    slot: int
    error: Any
    commitment: str


class Statuses(NamedTuple):
    """Answers to as many signatures, in their order; ``slot``: that of the bank that was asked."""

    slot: int
    statuses: tuple[SignatureStatus | None, ...]


class AccountsAt(NamedTuple):
    """Accounts of one bank, in the order asked for; None where there is none."""

    slot: int
    accounts: tuple[Account | None, ...]


class PriorityFee(NamedTuple):
    """Least priority fee (µlamports per compute unit) with which a transaction landed in ``slot``."""

    slot: int
    micro_lamports: int


def count(value: Any, what: str) -> int:
    """A u64, or ``ShapeError`` naming ``what``."""
    if not is_count(value):
        raise ShapeError(f"{what}: {_short(value)}; a u64 belongs there")
    return int(value)


def fields(value: Any, what: str) -> dict[str, Any]:
    """An object, or ``ShapeError`` naming ``what``."""
    if not isinstance(value, dict):
        raise ShapeError(f"{what}: {_short(value)}; an object belongs there")
    return value


def items(value: Any, what: str, length: int | None = None) -> list[Any]:
    """An array (of ``length``), or ``ShapeError`` naming ``what``."""
    if not isinstance(value, list) or (length is not None and len(value) != length):
        many = "" if length is None else f" of {length}"
        raise ShapeError(f"{what}: {_short(value)}; an array{many} belongs there")
    return value


def key(value: Any, what: str) -> bytes:
    """A base58 public key as 32 bytes, or ``ShapeError``."""
    try:
        return _key(value)
    except (TypeError, ValueError) as error:
        raise ShapeError(f"{what}: {_short(value)}; a base58 key of 32 bytes belongs there") from error


@lru_cache(256)
def _key(text: str) -> bytes:
    """The same few owners come with every account."""
    return bytes(Pubkey.from_string(text))


def signature(value: Any, what: str) -> bytes:
    """A base58 signature as 64 bytes, or ``ShapeError``."""
    try:
        return bytes(Signature.from_string(value))
    except (TypeError, ValueError) as error:
        raise ShapeError(f"{what}: {_short(value)}; a base58 signature belongs there") from error


def with_context(value: Any, method: str) -> tuple[int, Any]:
    """Slot and value of a ``{context, value}`` result."""
    whole = fields(value, method)
    context = fields(whole.get("context"), f"{method}.context")
    if "value" not in whole:
        raise ShapeError(f"{method}: no value")
    return count(context.get("slot"), f"{method}.context.slot"), whole["value"]


def latest_blockhash(value: Any) -> LatestBlockhash:
    """The result of getLatestBlockhash."""
    slot, inner = with_context(value, "getLatestBlockhash")
    told = fields(inner, "getLatestBlockhash.value")
    try:
        blockhash = bytes(Hash.from_string(str(told.get("blockhash"))))
    except (ParseHashError, TypeError, ValueError) as error:
        raise ShapeError(f"blockhash: {_short(told.get('blockhash'))}") from error
    return LatestBlockhash(slot, blockhash, count(told.get("lastValidBlockHeight"), "lastValidBlockHeight"))


def signature_statuses(value: Any, asked: int) -> Statuses:
    """The result of getSignatureStatuses for ``asked`` signatures."""
    slot, inner = with_context(value, "getSignatureStatuses")
    told = items(inner, "getSignatureStatuses.value", asked)
    return Statuses(slot, tuple(None if one is None else _status(one) for one in told))


def accounts(value: Any, asked: int) -> AccountsAt:
    """The result of getMultipleAccounts for ``asked`` keys, base64."""
    slot, inner = with_context(value, "getMultipleAccounts")
    told = items(inner, "getMultipleAccounts.value", asked)
    return AccountsAt(slot, tuple(None if one is None else account(one) for one in told))


def keyed_accounts(value: Any) -> tuple[tuple[bytes, Account], ...]:
    """The result of getProgramAccounts, base64."""
    found = []
    for one in items(value, "getProgramAccounts"):
        told = fields(one, "getProgramAccounts")
        found.append((key(told.get("pubkey"), "pubkey"), account(told.get("account"))))
    return tuple(found)


def account(value: Any) -> Account:
    """An account with base64 data, as RPC results and notifications bear it."""
    told = fields(value, "account")
    data = items(told.get("data"), "account.data", 2)
    if data[1] != "base64" or not isinstance(data[0], str):
        raise ShapeError(f"account.data: {_short(data[1])}; base64 belongs there")
    try:
        raw = binascii.a2b_base64(data[0], strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise ShapeError(f"account.data: {error}") from error
    if len(raw) > MAX_ACCOUNT_BYTES:
        raise ShapeError(f"account.data: {len(raw)} bytes; at most {MAX_ACCOUNT_BYTES}")
    return Account(key(told.get("owner"), "account.owner"), raw, count(told.get("lamports"), "lamports"))


class _Context(msgspec.Struct, gc=False):
    slot: int


class _Account(msgspec.Struct, gc=False):
    lamports: int
    data: tuple[bytes, Literal["base64"]]
    owner: str


class AccountResult(msgspec.Struct, gc=False):
    """An account notification's result; ``account_told`` judges it."""

    context: _Context
    value: _Account | None


_read_account = msgspec.json.Decoder(AccountResult).decode
_account = partial(tuple.__new__, Account)  # half the time of Account(...)


def account_notification(result: msgspec.Raw | bytes) -> tuple[int, Account | None]:
    """Slot and account, None if there is none any more, of an account notification's result as JSON with
    base64 data: what ``with_context`` and ``account`` read, in a third of their time."""
    try:
        told = _read_account(result)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ShapeError(f"accountNotification: {error}") from error
    return account_told(told)


def account_told(told: AccountResult) -> tuple[int, Account | None]:
    """The same of a result that was read already."""
    slot, value = told.context.slot, told.value
    if not 0 <= slot <= U64_MAX:
        raise ShapeError(f"accountNotification.context.slot: {slot}; a u64 belongs there")
    if value is None:
        return slot, None
    raw, lamports = value.data[0], value.lamports
    if len(raw) > MAX_ACCOUNT_BYTES:
        raise ShapeError(f"account.data: {len(raw)} bytes; at most {MAX_ACCOUNT_BYTES}")
    if not 0 <= lamports <= U64_MAX:
        raise ShapeError(f"lamports: {lamports}; a u64 belongs there")
    try:
        owner = _key(value.owner)
    except ValueError:
        owner = key(value.owner, "account.owner")  # which says what belongs there
    return slot, _account((owner, raw, lamports))


def loads(result: msgspec.Raw | bytes) -> Any:
    """A notification's result as JSON. ``ShapeError``: it is none."""
    try:
        return orjson.loads(memoryview(result))
    except ValueError as error:
        raise ShapeError(f"no JSON: {error}") from error


def priority_fees(value: Any) -> list[PriorityFee]:
    """The result of getRecentPrioritizationFees."""
    found = []
    for one in items(value, "getRecentPrioritizationFees"):
        told = fields(one, "fee")
        found.append(
            PriorityFee(
                count(told.get("slot"), "slot"), count(told.get("prioritizationFee"), "prioritizationFee")
            )
        )
    return found


def _status(value: Any) -> SignatureStatus:
    told = fields(value, "status")
    commitment = told.get("confirmationStatus")
    if commitment not in ("processed", "confirmed", "finalized"):
        # Old nodes leave it out; without confirmations left to come a transaction is final.
        commitment = "finalized" if told.get("confirmations", 0) is None else "processed"
    return SignatureStatus(count(told.get("slot"), "status.slot"), told.get("err"), commitment)


def _short(value: Any) -> str:
    return repr(value)[:80]
