"""The market a local cluster starts from: accounts of account files, or of the snapshot that ships with the
project.

An account file is ``{"meta": {slot, unix_timestamp, …}, "accounts": [{pubkey, owner, lamports, executable,
data_base64}]}`` as JSON, plain or gzipped; or what ``solana account KEY --output json`` prints, one
account or several after another. Later files win over earlier ones, account by account.
"""

import base64
import binascii
import gzip
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from enum import IntEnum
from importlib import resources
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn

from solders.pubkey import Pubkey

from hft.runtime.exit_codes import ExitCode, HftError
from hft.venues import (
    ABSENT,
    Account,
    DustRule,
    Pool,
    PoolError,
    Settings,
    decode,
    required_accounts,
    venue_of,
)
from hft.venues.encoders import encode
from hft.venues.spl import TOKEN_ACCOUNT_SIZE, TOKEN_PROGRAM, rent_exempt, token_amount

MAX_FILE_BYTES: Final = 256 << 20
MAX_ACCOUNTS: Final = 100_000
MAX_DATA_BYTES: Final = 256 * 1024 - 256
MAX_PRICE_RATIO: Final = 3.0
SNAPSHOT: Final = "snapshot.json"
# The executed swaps at hand are of the 2025-06 binary of AMM v4; the local cluster does as that one does.
SETTINGS: Final = Settings(dust_rule=DustRule.ROUND_HALF)
_NATIVE_AT: Final = 109
_U64: Final = 2**64
_SPACE: Final = re.compile(r"\s*")


class MarketErrorCode(IntEnum):
    """Why a market could not be loaded."""

    UNREADABLE = 1
    TRUNCATED = 2
    NOT_JSON = 3
    WRONG_FORM = 4
    BAD_ACCOUNT = 5
    TOO_LARGE = 6
    NO_POOL = 7
    NO_CLOCK = 8


class MarketError(HftError):
    """A market that could not be loaded; ``reason`` says why, the text names the file, the value, and what
    would be right. ``code`` is the exit code of a process that ends with it."""

    def __init__(self, reason: MarketErrorCode, message: str) -> None:
        super().__init__(message, ExitCode.MARKET)
        self.reason = reason


class Source(NamedTuple):
    """Where accounts came from; ``slot`` and ``unix_timestamp`` are those of its meta, ``None`` if unknown
    there."""

    name: str
    accounts: int
    slot: int | None
    unix_timestamp: int | None


class Market(NamedTuple):
    """What a local cluster starts from.

    Accounts (``ABSENT`` for those a pool asks for that don't exist), pools decoded from them, the newest
    clock of the sources, and a line for each thing mended or left out. ``mixed``: its pools were recorded at
    different moments, so that they agree on no price yet.
    """

    accounts: dict[bytes, Account]
    pools: dict[bytes, Pool]
    slot: int
    unix_timestamp: int
    sources: tuple[Source, ...]
    notes: tuple[str, ...]
    mixed: bool = False


def load_market(files: Sequence[str | Path] = ()) -> Market:
    """The market of ``files`` (account files, or one snapshot), or of the shipped snapshot if there are none.

    ``MarketError``: see ``MarketErrorCode``.
    """
    if not files:
        return market_of_snapshot(_shipped_snapshot())
    documents = [(path, _parse(path, _read(path))) for path in map(Path, files)]
    if len(documents) == 1:
        path, document = documents[0]
        if isinstance(document, dict) and "pools" in document and "accounts" not in document:
            return market_of_snapshot(document, str(path))
    loaded: dict[bytes, Account] = {}
    order: dict[bytes, int] = {}
    sources = []
    for path, document in documents:
        source, accounts = _loaded(path, document)
        sources.append(source)
        for pubkey, account in accounts.items():
            loaded[pubkey] = account
            order[pubkey] = source.slot or 0
    return _market(loaded, order, tuple(sources), [])


def load_file(path: Path) -> tuple[Source, dict[bytes, Account]]:
    """One account file. ``MarketError``: see ``MarketErrorCode``."""
    return _loaded(path, _parse(path, _read(path)))


def _loaded(path: Path, document: object) -> tuple[Source, dict[bytes, Account]]:
    meta, rows = _form(path, document)
    if len(rows) > MAX_ACCOUNTS:
        _fail(MarketErrorCode.TOO_LARGE, f"{path}: {len(rows)} accounts, at most {MAX_ACCOUNTS} are taken")
    accounts = dict(_account(path, number, row) for number, row in enumerate(rows))
    source = Source(
        str(path), len(accounts), _optional(path, meta, "slot"), _optional(path, meta, "unix_timestamp")
    )
    return source, accounts


def _form(path: Path, document: object) -> tuple[Mapping[str, object], Sequence[object]]:
    """Meta and account rows of a document of either form."""
    printed = document if isinstance(document, list) else [document]
    if printed and all(_is_printed(row) for row in printed):
        return {}, [_flat(path, number, row) for number, row in enumerate(printed)]
    if not isinstance(document, dict) or not isinstance(document.get("accounts"), list):
        _fail(
            MarketErrorCode.WRONG_FORM,
            f"{path}: an object with 'meta' and a list 'accounts' belongs there, or what `solana account KEY "
            f"--output json` prints, not {_shape(document)}",
        )
    meta = document.get("meta", {})
    if not isinstance(meta, dict):
        _fail(MarketErrorCode.WRONG_FORM, f"{path}: 'meta' must be an object, not {_shape(meta)}")
    return meta, document["accounts"]


def _is_printed(row: object) -> bool:
    return isinstance(row, dict) and isinstance(row.get("account"), dict)


def _flat(path: Path, number: int, row: Any) -> dict[str, object]:
    """A printed account as a row of an account file."""
    account = row["account"]
    data = account.get("data")
    if not isinstance(data, list) or len(data) != 2 or data[1] != "base64":
        _fail(
            MarketErrorCode.BAD_ACCOUNT,
            f"{path}: account {number}: data must be a list of a text and 'base64', not {_shape(data)}; "
            "print it with --output json",
        )
    return {
        "pubkey": row.get("pubkey"),
        "owner": account.get("owner"),
        "lamports": account.get("lamports"),
        "data_base64": data[0],
    }


def market_of_snapshot(document: Mapping[str, object], name: str = SNAPSHOT) -> Market:
    """The market of a snapshot's decoded figures (see ``scripts/snapshot``), whose accounts the venues'
    encoders rebuild. ``MarketError`` if the figures are no snapshot."""
    pools = document.get("pools")
    if not isinstance(pools, list) or not pools:
        _fail(
            MarketErrorCode.WRONG_FORM,
            f"{name}: a list 'pools' of figures belongs there, not {_shape(pools)}",
        )
    accounts: dict[bytes, Account] = {}
    order: dict[bytes, int] = {}
    sources = []
    for number, entry in enumerate(pools):
        try:
            rebuilt = encode(entry["figures"])
            source = Source(str(entry["source"]), len(rebuilt), entry["slot"], entry["unix_timestamp"])
        except (KeyError, TypeError, ValueError, PoolError) as error:
            _fail(MarketErrorCode.WRONG_FORM, f"{name}: pool {number} is no snapshot entry: {error!r}")
        accounts.update(rebuilt)
        order.update(dict.fromkeys(rebuilt, source.slot or 0))
        sources.append(source)
    return _market(accounts, order, tuple(sources), [])._replace(mixed=True)


def shipped_profile() -> dict[str, object]:
    """The ``flow`` part of the shipped snapshot: figures of the swap tape that order flow is drawn from."""
    flow = _shipped_snapshot().get("flow")
    if not isinstance(flow, dict):
        _fail(MarketErrorCode.WRONG_FORM, f"{SNAPSHOT}: an object 'flow' belongs there, not {_shape(flow)}")
    return flow


def _shipped_snapshot() -> dict[str, object]:
    try:
        text = resources.files("hft.simnet").joinpath(SNAPSHOT).read_text("utf-8")
        document = json.loads(text)
    except (OSError, ValueError) as error:
        _fail(
            MarketErrorCode.UNREADABLE,
            f"the shipped {SNAPSHOT} can't be read: {error}; reinstall the package",
        )
    if not isinstance(document, dict):
        _fail(MarketErrorCode.WRONG_FORM, f"{SNAPSHOT}: an object belongs there, not {_shape(document)}")
    return document


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            _fail(MarketErrorCode.TOO_LARGE, f"{path}: {size} bytes, at most {MAX_FILE_BYTES} are read")
        raw = path.read_bytes()
    except OSError as error:
        _fail(
            MarketErrorCode.UNREADABLE,
            f"{path}: can't be read ({error.strerror}); an account file (JSON, plain or .gz) belongs there",
        )
    if raw[:2] != b"\x1f\x8b":
        if path.suffix == ".gz":
            _fail(MarketErrorCode.NOT_JSON, f"{path}: named .gz but not gzip; unpack or rename it")
        return raw
    try:
        return gzip.decompress(raw)
    except EOFError:
        _fail(
            MarketErrorCode.TRUNCATED, f"{path}: gzip ends early ({len(raw)} bytes are there); copy it again"
        )
    except (OSError, zlib.error) as error:
        _fail(MarketErrorCode.TRUNCATED, f"{path}: damaged gzip ({error}); copy it again")


def _parse(path: Path, text: bytes) -> object:
    try:
        return json.loads(text)
    except UnicodeDecodeError as error:
        _fail(MarketErrorCode.NOT_JSON, f"{path}: not UTF-8 text at byte {error.start}; JSON belongs there")
    except json.JSONDecodeError as error:
        if not text[error.pos :].strip():
            _fail(
                MarketErrorCode.TRUNCATED,
                f"{path}: JSON ends early at line {error.lineno} ({len(text)} bytes are there); copy it "
                "again",
            )
        printed = _one_after_another(text) if error.msg == "Extra data" else None
        if printed is not None:
            return printed
        lines = "; one JSON document is wanted, not one a line" if error.msg == "Extra data" else ""
        _fail(
            MarketErrorCode.NOT_JSON,
            f"{path}: no JSON at line {error.lineno}, column {error.colno}: {error.msg}{lines}",
        )
    except RecursionError:
        _fail(MarketErrorCode.NOT_JSON, f"{path}: JSON nested too deeply; an account file has three levels")


def _one_after_another(text: bytes) -> list[object] | None:
    """Printed accounts that follow one another in a file; ``None`` if it holds anything else."""
    decoder, whole, at = json.JSONDecoder(), text.decode(), 0
    found: list[object] = []
    while (at := _SPACE.match(whole, at).end()) < len(whole):  # type: ignore[union-attr]  # matches always
        try:
            row, at = decoder.raw_decode(whole, at)
        except ValueError:
            return None
        if not _is_printed(row):
            return None
        found.append(row)
    return found


def _account(path: Path, number: int, row: object) -> tuple[bytes, Account]:
    where = f"{path}: account {number}"
    if not isinstance(row, dict):
        _fail(MarketErrorCode.BAD_ACCOUNT, f"{where} must be an object, not {_shape(row)}")
    pubkey = _key(where, row, "pubkey")
    where += f" ({row['pubkey']})"
    owner = _key(where, row, "owner")
    lamports = row.get("lamports")
    if not isinstance(lamports, int) or isinstance(lamports, bool) or not 0 <= lamports < _U64:
        _fail(
            MarketErrorCode.BAD_ACCOUNT,
            f"{where}: lamports must be an integer 0..2^64-1, not {lamports!r:.80}",
        )
    text = row.get("data_base64")
    if not isinstance(text, str):
        _fail(MarketErrorCode.BAD_ACCOUNT, f"{where}: data_base64 must be text, not {_shape(text)}")
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        _fail(MarketErrorCode.BAD_ACCOUNT, f"{where}: data_base64 is not base64: {error}")
    if len(data) > MAX_DATA_BYTES:
        _fail(
            MarketErrorCode.BAD_ACCOUNT,
            f"{where}: {len(data)} bytes of data, at most {MAX_DATA_BYTES} are taken",
        )
    return pubkey, Account(owner, data, lamports)


def _key(where: str, row: Mapping[str, object], field: str) -> bytes:
    text = row.get(field)
    if not isinstance(text, str):
        _fail(MarketErrorCode.BAD_ACCOUNT, f"{where}: {field} must be a base58 key, not {_shape(text)}")
    try:
        return bytes(Pubkey.from_string(text))
    except ValueError:
        _fail(MarketErrorCode.BAD_ACCOUNT, f"{where}: {field} {text!r:.60} is no base58 key of 32 bytes")


def _optional(path: Path, meta: Mapping[str, object], field: str) -> int | None:
    value = meta.get(field)
    if value is not None and (
        not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**62
    ):
        _fail(
            MarketErrorCode.WRONG_FORM,
            f"{path}: meta.{field} must be a non-negative integer, not {value!r:.60}",
        )
    return value


def _market(
    loaded: dict[bytes, Account], order: Mapping[bytes, int], sources: tuple[Source, ...], notes: list[str]
) -> Market:
    names = ", ".join(source.name for source in sources)
    slots = [source.slot for source in sources if source.slot is not None]
    times = [source.unix_timestamp for source in sources if source.unix_timestamp is not None]
    accounts = {pubkey: _mended(account) for pubkey, account in loaded.items()}
    mended = sum(account is not loaded[pubkey] for pubkey, account in accounts.items())
    if mended:
        notes.append(f"{mended} accounts got the lamports a chain demands: their rent, and their wrapped SOL")
    pools = _pools(accounts, notes)
    if not pools:
        why = f" ({'; '.join(notes[:3])})" if notes else ""
        _fail(
            MarketErrorCode.NO_POOL,
            f"{names}: no pool of a known venue is among {len(accounts)} accounts{why}",
        )
    if not slots or not times:
        _fail(
            MarketErrorCode.NO_CLOCK,
            f"{names}: no meta gives slot and unix_timestamp; one set that does is needed",
        )
    for key in _outliers(pools, order, notes):
        del pools[key], accounts[key]
    return Market(accounts, pools, max(slots), max(times), sources, tuple(notes))


def _mended(account: Account) -> Account:
    """The account with the lamports a chain demands: rent, and a wrapped-SOL account's amount besides."""
    needed = rent_exempt(len(account.data))
    is_token = account.owner == TOKEN_PROGRAM and len(account.data) == TOKEN_ACCOUNT_SIZE
    is_native = is_token and account.data[_NATIVE_AT] != 0
    if is_native:
        needed += token_amount(account.data)
    exists = bool(account.data) or account.lamports > 0
    if not exists or account.lamports == needed or (account.lamports > needed and not is_native):
        return account
    return account._replace(lamports=needed)


def _pools(accounts: dict[bytes, Account], notes: list[str]) -> dict[bytes, Pool]:
    """Pools that decode; what they ask for and nobody loaded does not exist on this cluster, and is put in as
    such."""
    pools = {}
    for key, account in list(accounts.items()):
        if venue_of(account) is None:
            continue
        try:
            for wanted in required_accounts(key, account):
                accounts.setdefault(wanted, ABSENT)
            pools[key] = decode(key, accounts, SETTINGS)
        except PoolError as error:
            notes.append(f"pool {Pubkey(key)} is not traded: {error}")
    return pools


def _outliers(pools: Mapping[bytes, Pool], order: Mapping[bytes, int], notes: list[str]) -> list[bytes]:
    """Pools priced so far from the newest pool of their pair that they can't be of one market.

    Sets of different years loaded together hold such pairs (SOL at 20 and at 80 dollars); an arbitrage
    between them would be an artefact.
    """
    newest: dict[frozenset[bytes], bytes] = {}
    for key, pool in pools.items():
        pair = frozenset((pool.mint_a, pool.mint_b))
        if pair not in newest or order[key] > order[newest[pair]]:
            newest[pair] = key
    found = []
    for key, pool in pools.items():
        reference = pools[newest[frozenset((pool.mint_a, pool.mint_b))]]
        ratio = pool.spot_price(pool.mint_a) / reference.spot_price(pool.mint_a)
        if not 1 / MAX_PRICE_RATIO <= ratio <= MAX_PRICE_RATIO:
            notes.append(
                f"pool {Pubkey(key)} is left out: its price is {ratio:.3f} times that of "
                f"{Pubkey(reference.key)}, "
                f"the newest pool of the pair; at most {MAX_PRICE_RATIO} times apart make one market"
            )
            found.append(key)
    return found


def _shape(value: object) -> str:
    if value is None:
        return "nothing"
    return f"{type(value).__name__} {value!r:.60}"


def _fail(code: MarketErrorCode, message: str) -> NoReturn:
    raise MarketError(code, message)
