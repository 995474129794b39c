"""The tokens that are traded and the pairs they make: keyed by mint, never by symbol."""

import json
from collections.abc import Iterable, Mapping
from enum import IntEnum
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from hft.venues.spl import key


class TokenErrorCode(IntEnum):
    """Why a token list or a pair is refused."""

    UNREADABLE = 1
    BAD_FIELD = 2
    DUPLICATE_MINT = 3
    SYMBOL_COLLISION = 4
    UNKNOWN_MINT = 5
    SAME_MINT = 6


class TokenError(Exception):
    """A token list or pair that must not be traded; ``code`` says why."""

    def __init__(self, code: TokenErrorCode, message: str) -> None:
        super().__init__(f"{code.name.lower()}: {message}")
        self.code = code


class Token(NamedTuple):
    """One token. ``kind`` is native, stable or lst; ``state`` the stake pool or state account of an LST and
    ``state_program`` its owner, where known; tokens with ``enabled`` false make no pairs."""

    symbol: str
    mint: bytes
    decimals: int
    kind: str
    state: bytes | None
    state_program: bytes | None
    enabled: bool


class Pair(NamedTuple):
    """Two tokens that trade against each other, in both directions; SOL is the base where it takes part."""

    base: Token
    quote: Token


SOL_MINT = key("So11111111111111111111111111111111111111112")
USDC_MINT = key("EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v")
USDT_MINT = key("Es9vMFrzaCERmJfrF4H2FYD4KCoNkY11McCe8BenwNYB")

_KINDS = ("native", "stable", "lst")
_FIELDS = {"symbol", "mint", "decimals", "kind", "state", "state_program", "enabled"}


def load_tokens(path: Path | None = None) -> dict[bytes, Token]:
    """The tokens by mint, from ``path`` or the list that ships with the project. Raises TokenError."""
    name = str(path) if path is not None else "tokens.json"
    try:
        text = path.read_text() if path is not None else _shipped()
        rows = json.loads(text)
    except (OSError, ValueError) as error:
        raise TokenError(TokenErrorCode.UNREADABLE, f"{name}: {error}") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise TokenError(TokenErrorCode.UNREADABLE, f"{name}: wants a list of objects")
    return index_tokens([_token(row, f"{name} row {i}") for i, row in enumerate(rows)])


def _shipped() -> str:
    return resources.files("hft.venues").joinpath("tokens.json").read_text()


def _token(row: Mapping[str, Any], where: str) -> Token:
    unknown = set(row) - _FIELDS
    missing = {"symbol", "mint", "decimals", "kind"} - set(row)
    if unknown or missing:
        raise TokenError(
            TokenErrorCode.BAD_FIELD, f"{where}: unknown fields {sorted(unknown)}, missing {sorted(missing)}"
        )
    symbol, decimals, kind = row["symbol"], row["decimals"], row["kind"]
    if not isinstance(symbol, str) or not symbol or kind not in _KINDS:
        raise TokenError(TokenErrorCode.BAD_FIELD, f"{where}: symbol {symbol!r}, kind {kind!r} (of {_KINDS})")
    if not isinstance(decimals, int) or isinstance(decimals, bool) or not 0 <= decimals <= 18:
        raise TokenError(TokenErrorCode.BAD_FIELD, f"{where}: decimals {decimals!r} of {symbol}, want 0..18")
    mint = _key(row["mint"], where, "mint")
    assert mint is not None
    state = _key(row.get("state"), where, "state")
    program = _key(row.get("state_program"), where, "state_program")
    return Token(symbol, mint, decimals, kind, state, program, bool(row.get("enabled", True)))


def _key(text: object, where: str, field: str) -> bytes | None:
    if text is None and field != "mint":
        return None
    try:
        return key(str(text))
    except ValueError:
        raise TokenError(TokenErrorCode.BAD_FIELD, f"{where}: {field} {text!r} is not a base58 key") from None


def index_tokens(tokens: Iterable[Token]) -> dict[bytes, Token]:
    """Tokens by mint. Raises TokenError for a mint listed twice or a symbol (in any case) of two mints."""
    by_mint: dict[bytes, Token] = {}
    by_symbol: dict[str, Token] = {}
    for token in tokens:
        if token.mint in by_mint:
            raise TokenError(TokenErrorCode.DUPLICATE_MINT, f"{token.symbol} is listed twice")
        other = by_symbol.get(token.symbol.lower())
        if other is not None:
            raise TokenError(
                TokenErrorCode.SYMBOL_COLLISION,
                f"symbol {token.symbol} names two mints, {_text(other.mint)} and {_text(token.mint)}",
            )
        by_mint[token.mint] = token
        by_symbol[token.symbol.lower()] = token
    return by_mint


def make_pair(tokens: Mapping[bytes, Token], base_mint: bytes, quote_mint: bytes) -> Pair:
    """The pair of two known mints. Raises TokenError for SOL↔SOL and its like, and for an unknown mint."""
    for mint in (base_mint, quote_mint):
        if mint not in tokens:
            raise TokenError(TokenErrorCode.UNKNOWN_MINT, f"mint {_text(mint)} is not in the token list")
    if base_mint == quote_mint:
        symbol = tokens[base_mint].symbol
        raise TokenError(TokenErrorCode.SAME_MINT, f"pair {symbol}/{symbol} trades a token against itself")
    return Pair(tokens[base_mint], tokens[quote_mint])


def pairs(
    tokens: Mapping[bytes, Token] | None = None, *, stable_pairs: bool = False, disabled: bool = False
) -> tuple[Pair, ...]:
    """SOL against USDC and every LST; with ``stable_pairs`` also SOL/USDT and USDC/USDT.

    Tokens that the list disables are left out unless ``disabled``. Raises TokenError if SOL or
    USDC is missing.
    """
    known = load_tokens() if tokens is None else tokens
    found = [make_pair(known, SOL_MINT, USDC_MINT)]
    found += [
        make_pair(known, SOL_MINT, token.mint)
        for token in known.values()
        if token.kind == "lst" and (token.enabled or disabled)
    ]
    if stable_pairs:
        found += [make_pair(known, SOL_MINT, USDT_MINT), make_pair(known, USDC_MINT, USDT_MINT)]
    return tuple(found)


def _text(mint: bytes) -> str:
    from solders.pubkey import Pubkey

    return str(Pubkey(mint))
