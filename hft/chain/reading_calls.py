"""A ``getTransaction`` result made plain: keys, balances, and every call in the order it ran.

Both encodings come out the same: ``jsonParsed`` (instructions of well-known programs already taken apart) and
``json`` (account indexes and base58 data, which are taken apart here).
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from solders.pubkey import Pubkey

from hft.chain.base58 import b58decode
from hft.chain.reading_events import LEAF_PROGRAMS, Event, event_of_data, event_of_parsed


class ReadingErrorCode(StrEnum):
    """Why a result can't be read."""

    MALFORMED = "malformed"
    ENCODING = "encoding"


class ReadingError(ValueError):
    """A ``getTransaction`` result that is none; the text says what is missing or wrong."""

    def __init__(self, code: ReadingErrorCode, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class Call(NamedTuple):
    """One instruction as it ran. ``top`` is the top-level instruction it belongs to, ``height`` its depth
    (from 1). ``data`` is empty where ``jsonParsed`` took it apart; ``event`` is None where it moves nothing.
    """

    top: int
    height: int
    program: bytes
    accounts: tuple[bytes, ...]
    data: bytes
    event: Event | None


class TokenBalance(NamedTuple):
    """A token account before or after. ``owner`` is empty where the node did not say."""

    account: bytes
    mint: bytes
    owner: bytes
    program: bytes
    amount: int


class Raw(NamedTuple):
    """What the result says, uninterpreted. ``error`` is the chain's own form (None = it succeeded)."""

    signatures: tuple[str, ...]
    slot: int
    block_time: int | None
    version: int | None
    error: Any
    fee_lamports: int
    compute_units: int
    keys: tuple[bytes, ...]
    lamports_before: tuple[int, ...]
    lamports_after: tuple[int, ...]
    tokens_before: tuple[TokenBalance, ...]
    tokens_after: tuple[TokenBalance, ...]
    calls: tuple[Call, ...]


def parse_result(result: Mapping[str, Any]) -> Raw:
    """``result`` of getTransaction (``json`` or ``jsonParsed``). ``ReadingError`` for anything else."""
    try:
        return _parse(result)
    except ReadingError:
        raise
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise ReadingError(
            ReadingErrorCode.MALFORMED, f"no getTransaction result: {type(error).__name__} {error}"
        ) from None


def _parse(result: Mapping[str, Any]) -> Raw:
    transaction, meta = result["transaction"], result["meta"]
    if not isinstance(transaction, Mapping):
        raise ReadingError(
            ReadingErrorCode.ENCODING, "transaction is not taken apart: ask for json or jsonParsed"
        )
    if meta is None:
        raise ReadingError(ReadingErrorCode.MALFORMED, "the node kept no meta of this transaction")
    message = transaction["message"]
    known: dict[str, bytes] = {}

    def key(text: str) -> bytes:
        found = known.get(text)
        if found is None:
            found = known[text] = bytes(Pubkey.from_string(text))
        return found

    keys = _keys(message["accountKeys"], meta.get("loadedAddresses"), key)
    before, after = tuple(meta["preBalances"]), tuple(meta["postBalances"])
    if not len(keys) == len(before) == len(after):
        raise ReadingError(
            ReadingErrorCode.MALFORMED, f"{len(keys)} keys, {len(before)} and {len(after)} balances"
        )
    version = result.get("version")
    return Raw(
        tuple(transaction["signatures"]),
        int(result["slot"]),
        result.get("blockTime"),
        version if isinstance(version, int) else None,
        meta["err"],
        int(meta["fee"]),
        int(meta.get("computeUnitsConsumed") or 0),
        keys,
        before,
        after,
        _tokens(meta.get("preTokenBalances"), keys, key),
        _tokens(meta.get("postTokenBalances"), keys, key),
        tuple(_calls(message["instructions"], meta.get("innerInstructions") or (), keys, key)),
    )


def _keys(static: Sequence[Any], loaded: Mapping[str, Any] | None, key: Any) -> tuple[bytes, ...]:
    """All keys in the order of the balances. ``jsonParsed`` lists loaded ones among the static."""
    if static and isinstance(static[0], Mapping):
        return tuple(key(entry["pubkey"]) for entry in static)
    more = [*loaded["writable"], *loaded["readonly"]] if loaded else []
    return tuple(key(text) for text in [*static, *more])


def _tokens(listed: Any, keys: tuple[bytes, ...], key: Any) -> tuple[TokenBalance, ...]:
    return tuple(
        TokenBalance(
            keys[entry["accountIndex"]],
            key(entry["mint"]),
            key(entry["owner"]) if entry.get("owner") else b"",
            key(entry["programId"]) if entry.get("programId") else b"",
            int(entry["uiTokenAmount"]["amount"]),
        )
        for entry in listed or ()
    )


def _calls(top_level: Sequence[Any], inner: Sequence[Any], keys: tuple[bytes, ...], key: Any) -> list[Call]:
    below = {group["index"]: group["instructions"] for group in inner}
    calls: list[Call] = []
    for top, instruction in enumerate(top_level):
        parent = _call(instruction, top, 1, keys, key)
        calls.append(parent)
        inside = False  # an old node tells no depth: a token transfer belongs to the program called before it
        for child in below.get(top, ()):
            height = child.get("stackHeight")
            call = _call(child, top, height or 2, keys, key)
            if height is None:
                leaf = call.program in LEAF_PROGRAMS or call.program == parent.program
                inside = inside or not leaf
                call = call._replace(height=3 if leaf and inside else 2)
            calls.append(call)
    return calls


def _call(instruction: Mapping[str, Any], top: int, height: int, keys: tuple[bytes, ...], key: Any) -> Call:
    if "programIdIndex" in instruction:
        program = keys[instruction["programIdIndex"]]
        accounts = tuple(keys[index] for index in instruction["accounts"])
        data = b58decode(instruction["data"])
        return Call(top, height, program, accounts, data, event_of_data(program, accounts, data))
    program = key(instruction["programId"])
    parsed = instruction.get("parsed")
    if parsed is not None:
        event = event_of_parsed(program, parsed, key) if isinstance(parsed, Mapping) else None
        return Call(top, height, program, (), b"", event)
    accounts = tuple(key(account) for account in instruction["accounts"])
    data = b58decode(instruction["data"])
    return Call(top, height, program, accounts, data, event_of_data(program, accounts, data))
