"""Accounts, token amounts and transactions as the RPC's JSON writes them."""

import base64
from typing import Any, Final

import zstandard
from solders.hash import Hash
from solders.message import Message, MessageV0
from solders.pubkey import Pubkey
from solders.signature import Signature

from hft.chain.base58 import b58encode
from hft.simnet.details import TokenBalance
from hft.simnet.ledger import Record
from hft.simnet.rpc import INVALID_PARAMS, INVALID_REQUEST, UNSUPPORTED_VERSION, Config, RpcError, integer
from hft.venues import Account
from hft.venues.spl import MINT_SIZE, TOKEN_2022_PROGRAM, TOKEN_ACCOUNT_SIZE, TOKEN_PROGRAM

MAX_BASE58_BYTES: Final = 128
RENT_EPOCH: Final = 2**64 - 1
_TOKENS: Final = {TOKEN_PROGRAM: "spl-token", TOKEN_2022_PROGRAM: "spl-token-2022"}
_ZSTD: Final = zstandard.ZstdCompressor()  # level 3, as validators compress
_STATES: Final = ("uninitialized", "initialized", "frozen")


def exists(account: Account) -> bool:
    """Whether there is such an account."""
    return account.lamports > 0 or bool(account.data)


def account_json(account: Account, config: Config, decimals: int = 0) -> dict[str, Any] | None:
    """The account, ``None`` if it does not exist; the default encoding is the legacy base58 text."""
    if not exists(account):
        return None
    return {
        "data": data_json(account, config, decimals),
        "executable": False,
        "lamports": account.lamports,
        "owner": str(Pubkey(account.owner)),
        "rentEpoch": RENT_EPOCH,
        "space": len(account.data),
    }


def data_json(account: Account, config: Config, decimals: int = 0) -> Any:
    """The account's data in the encoding asked for, cut to the slice asked for."""
    encoding = config.get("encoding", "binary")
    data = _sliced(account.data, config.get("dataSlice"))
    if encoding == "base64":
        return [base64.b64encode(data).decode(), "base64"]
    if encoding == "base64+zstd":
        return [base64.b64encode(_ZSTD.compress(data)).decode(), "base64+zstd"]
    if encoding in ("binary", "base58"):
        if len(data) > MAX_BASE58_BYTES:
            raise RpcError(
                INVALID_REQUEST,
                "Encoded binary (base 58) data should be less than 128 bytes, please use Base64 encoding.",
            )
        return b58encode(data) if encoding == "binary" else [b58encode(data), "base58"]
    if encoding == "jsonParsed":
        return _parsed(account, decimals) or [base64.b64encode(data).decode(), "base64"]
    raise RpcError(
        INVALID_PARAMS,
        f"Invalid params: encoding {encoding!r:.40}; base64, base64+zstd, base58 and jsonParsed are served.",
    )


def amount_json(amount: int, decimals: int) -> dict[str, Any]:
    """A token amount."""
    text = f"{amount:0{decimals + 1}d}"
    whole, part = (text[:-decimals], text[-decimals:].rstrip("0")) if decimals else (text, "")
    written = f"{whole}.{part}" if part else whole
    return {
        "amount": str(amount),
        "decimals": decimals,
        "uiAmount": amount / 10**decimals,
        "uiAmountString": written,
    }


def transaction_json(record: Record, config: Config) -> dict[str, Any]:
    """A transaction of a block, with its meta, as ``getTransaction`` and ``getBlock`` give it.

    RpcError UNSUPPORTED_VERSION for version 0 unless ``maxSupportedTransactionVersion`` allows it.
    """
    envelope = record.envelope
    most = config.get("maxSupportedTransactionVersion")
    if not envelope.legacy and (most is None or integer(most, "maxSupportedTransactionVersion") < 0):
        raise RpcError(
            UNSUPPORTED_VERSION,
            "Transaction version (0) is not supported by the requesting client. Please try the request again "
            'with the following configuration parameter: "maxSupportedTransactionVersion": 0',
        )
    encoding = config.get("encoding", "json")
    if encoding == "base64":
        body: Any = [base64.b64encode(envelope.raw).decode(), "base64"]
    elif encoding in ("base58", "binary"):
        body = b58encode(envelope.raw) if encoding == "binary" else [b58encode(envelope.raw), "base58"]
    elif encoding in ("json", "jsonParsed"):
        body = _body(record)
    else:
        raise RpcError(INVALID_PARAMS, f"Invalid params: encoding {encoding!r:.40}.")
    found = {"transaction": body, "meta": meta_json(record)}
    if most is not None:
        found["version"] = "legacy" if envelope.legacy else 0
    return found


def meta_json(record: Record) -> dict[str, Any]:
    """What a transaction did."""
    envelope, details = record.envelope, record.details
    error = details.error
    loaded = envelope.accounts[envelope.static :]
    return {
        "err": error,
        "status": {"Ok": None} if error is None else {"Err": error},
        "fee": record.fee_lamports,
        "computeUnitsConsumed": details.units,
        "costUnits": details.units + 720 * len(envelope.signatures),
        "preBalances": list(details.lamports_before),
        "postBalances": list(details.lamports_after),
        "preTokenBalances": [_token_balance(one) for one in details.tokens_before],
        "postTokenBalances": [_token_balance(one) for one in details.tokens_after],
        "innerInstructions": details.inner(envelope),
        "logMessages": details.logs(envelope),
        "rewards": [],
        "loadedAddresses": {
            "writable": [str(Pubkey(named.pubkey)) for named in loaded if named.writable],
            "readonly": [str(Pubkey(named.pubkey)) for named in loaded if not named.writable],
        },
    }


def _token_balance(one: TokenBalance) -> dict[str, Any]:
    return {
        "accountIndex": one.place,
        "mint": str(Pubkey(one.mint)),
        "owner": str(Pubkey(one.owner)),
        "programId": str(Pubkey(one.program)),
        "uiTokenAmount": amount_json(one.amount, one.decimals),
    }


def _body(record: Record) -> dict[str, Any]:
    envelope = record.envelope
    message = envelope.transaction.message
    header = message.header
    found: dict[str, Any] = {
        "accountKeys": [str(one) for one in message.account_keys],
        "header": {
            "numRequiredSignatures": header.num_required_signatures,
            "numReadonlySignedAccounts": header.num_readonly_signed_accounts,
            "numReadonlyUnsignedAccounts": header.num_readonly_unsigned_accounts,
        },
        "instructions": [
            {
                "programIdIndex": one.program_id_index,
                "accounts": list(one.accounts),
                "data": b58encode(bytes(one.data)),
                "stackHeight": 1,
            }
            for one in message.instructions
        ],
        "recentBlockhash": str(Hash(envelope.blockhash)),
    }
    if isinstance(message, MessageV0) and not isinstance(message, Message):
        found["addressTableLookups"] = [
            {
                "accountKey": str(lookup.account_key),
                "writableIndexes": list(lookup.writable_indexes),
                "readonlyIndexes": list(lookup.readonly_indexes),
            }
            for lookup in message.address_table_lookups
        ]
    return {"signatures": [str(Signature(one)) for one in envelope.signatures], "message": found}


def _sliced(data: bytes, asked: Any) -> bytes:
    if asked is None:
        return data
    if not isinstance(asked, dict):
        raise RpcError(INVALID_PARAMS, f"Invalid params: dataSlice {asked!r:.40} is no object.")
    offset, length = integer(asked.get("offset"), "offset"), integer(asked.get("length"), "length")
    return data[offset : offset + length]


def _parsed(account: Account, decimals: int) -> dict[str, Any] | None:
    program, data = _TOKENS.get(account.owner), account.data
    if program is None:
        return None
    if len(data) == MINT_SIZE:
        info: dict[str, Any] = {
            "decimals": data[44],
            "freezeAuthority": str(Pubkey(data[50:82])) if data[46] else None,
            "isInitialized": bool(data[45]),
            "mintAuthority": str(Pubkey(data[4:36])) if data[0] else None,
            "supply": str(int.from_bytes(data[36:44], "little")),
        }
        return {"program": program, "parsed": {"type": "mint", "info": info}, "space": len(data)}
    if len(data) < TOKEN_ACCOUNT_SIZE:
        return None
    info = {
        "isNative": bool(data[109]),
        "mint": str(Pubkey(data[0:32])),
        "owner": str(Pubkey(data[32:64])),
        "state": _STATES[min(data[108], 2)],
        "tokenAmount": amount_json(int.from_bytes(data[64:72], "little"), decimals),
    }
    if data[109]:
        info["rentExemptReserve"] = amount_json(int.from_bytes(data[113:121], "little"), 9)
    return {"program": program, "parsed": {"type": "account", "info": info}, "space": len(data)}
