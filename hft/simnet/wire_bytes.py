"""Transactions as clients write them into JSON: base64 or the older base58."""

import base64
import binascii
from typing import Any, Final

from hft.chain.base58 import b58decode
from hft.chain.transaction import MAX_TRANSACTION_BYTES
from hft.simnet.rpc import INVALID_PARAMS, RpcError

MAX_TEXT: Final = {"base64": 1644, "base58": 1683}


def decoded(value: Any, encoding: Any) -> bytes:
    """The bytes. RpcError INVALID_PARAMS if the text is too long or none of the encoding."""
    if encoding not in MAX_TEXT:
        raise RpcError(INVALID_PARAMS, f"unsupported encoding: {encoding!r:.40}. Supported: base58, base64")
    if not isinstance(value, str):
        raise RpcError(INVALID_PARAMS, f"invalid type: {value!r:.40}, expected a string")
    most = MAX_TEXT[encoding]
    if len(value) > most:
        raise RpcError(
            INVALID_PARAMS,
            f"{encoding} encoded solana_transaction::versioned::VersionedTransaction too large: {len(value)} "
            f"bytes (max: encoded/raw {most}/{MAX_TRANSACTION_BYTES})",
        )
    try:
        return base64.b64decode(value, validate=True) if encoding == "base64" else b58decode(value)
    except (binascii.Error, ValueError) as error:
        raise RpcError(INVALID_PARAMS, f"invalid {encoding} encoding: {error}") from error
