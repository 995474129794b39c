"""``jsonParsed`` results turned into ``json`` ones, and small results made by hand."""

import copy
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from solders.pubkey import Pubkey

from hft.chain.base58 import b58encode

SYSTEM = "11111111111111111111111111111111"
TOKEN = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"
TOKEN_2022 = "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb"
SYSVAR = "SysvarRent111111111111111111111111111111111"


def as_json(parsed: Mapping[str, Any]) -> dict[str, Any]:
    """The same transaction as a node answers with encoding ``json``: indexes and base58 data."""
    result = copy.deepcopy(dict(parsed))
    message, meta = result["transaction"]["message"], result["meta"]
    listed = message["accountKeys"]
    static = [entry for entry in listed if entry.get("source") != "lookupTable"]
    loaded = [entry for entry in listed if entry.get("source") == "lookupTable"]
    writable = [entry["pubkey"] for entry in loaded if entry["writable"]]
    readonly = [entry["pubkey"] for entry in loaded if not entry["writable"]]
    keys = [entry["pubkey"] for entry in static] + writable + readonly
    assert keys == [entry["pubkey"] for entry in listed]
    message["accountKeys"] = [entry["pubkey"] for entry in static]
    meta["loadedAddresses"] = {"writable": writable, "readonly": readonly}
    message["instructions"] = [_instruction(each, keys) for each in message["instructions"]]
    for group in meta["innerInstructions"]:
        group["instructions"] = [_instruction(each, keys) for each in group["instructions"]]
    return result


def _instruction(instruction: Mapping[str, Any], keys: list[str]) -> dict[str, Any]:
    accounts, data = _raw(instruction)
    for account in (instruction["programId"], *accounts):
        if account not in keys:  # programs and sysvars that only the parsed form names
            keys.append(account)
    return {
        "programIdIndex": keys.index(instruction["programId"]),
        "accounts": [keys.index(account) for account in accounts],
        "data": data,
        "stackHeight": instruction.get("stackHeight"),
    }


def _raw(instruction: Mapping[str, Any]) -> tuple[Sequence[str], str]:
    parsed = instruction.get("parsed")
    if parsed is None:
        return instruction["accounts"], instruction["data"]
    if isinstance(parsed, str):
        return (), b58encode(parsed.encode())
    accounts, data = _FORMS[parsed["type"]](parsed["info"])
    return accounts, b58encode(data)


def _u64(value: Any) -> bytes:
    return struct.pack("<Q", int(value))


def _key(text: str) -> bytes:
    return bytes(Pubkey.from_string(text))


_FORMS: dict[str, Any] = {
    "advanceNonce": lambda i: ([i["nonceAccount"], i["nonceAuthority"]], b"\x04\0\0\0"),
    "createAccount": lambda i: (
        [i["source"], i["newAccount"]],
        b"\0\0\0\0" + _u64(i["lamports"]) + _u64(i["space"]) + _key(i["owner"]),
    ),
    "createAccountWithSeed": lambda i: (
        [i["source"], i["newAccount"]],
        b"\x03\0\0\0"
        + _key(i["base"])
        + _u64(len(i["seed"]))
        + i["seed"].encode()
        + _u64(i["lamports"])
        + _u64(i["space"])
        + _key(i["owner"]),
    ),
    "create": lambda i: ([i["source"], i["account"], i["wallet"], i["mint"]], b""),
    "createIdempotent": lambda i: ([i["source"], i["account"], i["wallet"], i["mint"]], b"\x01"),
    "getAccountDataSize": lambda i: ([i["mint"]], b"\x15"),
    "initializeImmutableOwner": lambda i: ([i["account"]], b"\x16"),
    "initializeAccount": lambda i: ([i["account"], i["mint"], i["owner"], SYSVAR], b"\x01"),
    "initializeAccount3": lambda i: ([i["account"], i["mint"]], b"\x12" + _key(i["owner"])),
    "syncNative": lambda i: ([i["account"]], b"\x11"),
    "closeAccount": lambda i: ([i["account"], i["destination"], i["owner"]], b"\x09"),
    "burn": lambda i: ([i["account"], i["mint"], i["authority"]], b"\x08" + _u64(i["amount"])),
    "transferChecked": lambda i: (
        [i["source"], i["mint"], i["destination"], i["authority"]],
        b"\x0c" + _u64(i["tokenAmount"]["amount"]) + bytes([i["tokenAmount"]["decimals"]]),
    ),
    "transfer": lambda i: (
        ([i["source"], i["destination"]], b"\x02\0\0\0" + _u64(i["lamports"]))
        if "lamports" in i
        else ([i["source"], i["destination"], i["authority"]], b"\x03" + _u64(i["amount"]))
    ),
}


def made(
    balances: Mapping[str, tuple[int, int]],
    tokens: Mapping[str, tuple[str, str, int | None, int | None]],
    instructions: Sequence[tuple[str, str, Mapping[str, Any]]],
    *,
    fee: int = 5000,
    error: Any = None,
    token_program: str = TOKEN,
) -> dict[str, Any]:
    """A result by hand: ``balances`` key → lamports before and after (the first pays the fee), ``tokens``
    account → (mint, owner, before, after; None where it is not), ``instructions`` (program, kind, info).
    """
    keys = [*balances, *(account for account in tokens if account not in balances)]

    def listed(side: int) -> list[dict[str, Any]]:
        return [
            {
                "accountIndex": keys.index(account),
                "mint": entry[0],
                "owner": entry[1],
                "programId": token_program,
                "uiTokenAmount": {"amount": str(entry[side]), "decimals": 6},
            }
            for account, entry in tokens.items()
            if entry[side] is not None
        ]

    return {
        "slot": 7,
        "blockTime": 1,
        "version": 0,
        "transaction": {
            "signatures": ["made"],
            "message": {
                "accountKeys": [{"pubkey": key} for key in keys],
                "instructions": [
                    {"programId": program, "parsed": {"type": kind, "info": info}, "stackHeight": 1}
                    for program, kind, info in instructions
                ],
            },
        },
        "meta": {
            "err": error,
            "fee": fee,
            "computeUnitsConsumed": 300,
            "innerInstructions": [],
            "preBalances": [balances.get(key, (2_039_280, 2_039_280))[0] for key in keys],
            "postBalances": [balances.get(key, (2_039_280, 2_039_280))[1] for key in keys],
            "preTokenBalances": listed(2),
            "postTokenBalances": listed(3),
        },
    }
