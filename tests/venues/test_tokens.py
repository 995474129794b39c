"""The token list and its pairs."""

import json
from pathlib import Path

import pytest

from hft.venues.tokens import (
    SOL_MINT,
    USDC_MINT,
    USDT_MINT,
    TokenError,
    TokenErrorCode,
    index_tokens,
    load_tokens,
    make_pair,
    pairs,
)


def test_the_shipped_list_holds_fourteen_lsts_and_three_more() -> None:
    tokens = load_tokens()
    assert sum(token.kind == "lst" for token in tokens.values()) == 14
    assert {SOL_MINT, USDC_MINT, USDT_MINT} <= set(tokens)
    assert tokens[USDC_MINT].decimals == 6
    assert tokens[SOL_MINT].decimals == 9


def test_fifteen_pairs_with_sol_and_stable_pairs_as_a_setting() -> None:
    assert len(pairs(disabled=True)) == 15
    assert [pair.quote.symbol for pair in pairs() if pair.quote.symbol == "stSOL"] == []
    stable = pairs(stable_pairs=True)
    assert {(pair.base.symbol, pair.quote.symbol) for pair in stable} >= {("SOL", "USDT"), ("USDC", "USDT")}


def test_row_10_a_pair_of_one_mint_or_of_an_unknown_mint_is_refused() -> None:
    tokens = load_tokens()
    with pytest.raises(TokenError, match="SOL/SOL") as same:
        make_pair(tokens, SOL_MINT, SOL_MINT)
    assert same.value.code is TokenErrorCode.SAME_MINT
    with pytest.raises(TokenError, match="not in the token list") as unknown:
        make_pair(tokens, SOL_MINT, bytes(31) + b"\1")
    assert unknown.value.code is TokenErrorCode.UNKNOWN_MINT


def test_row_10_a_symbol_of_two_mints_or_a_mint_listed_twice_is_refused() -> None:
    tokens = list(load_tokens().values())
    mpsol = next(token for token in tokens if token.symbol == "mpSOL")
    with pytest.raises(TokenError, match="names two mints") as collision:
        index_tokens([*tokens, mpsol._replace(symbol="MPSOL", mint=bytes(32))])
    assert collision.value.code is TokenErrorCode.SYMBOL_COLLISION
    with pytest.raises(TokenError, match="twice"):
        index_tokens([*tokens, mpsol])


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"mint": "nonsense"}, TokenErrorCode.BAD_FIELD),
        ({"decimals": 99}, TokenErrorCode.BAD_FIELD),
        ({"decimals": True}, TokenErrorCode.BAD_FIELD),
        ({"kind": "meme"}, TokenErrorCode.BAD_FIELD),
        ({"colour": "red"}, TokenErrorCode.BAD_FIELD),
    ],
)
def test_a_bad_row_names_its_field(tmp_path: Path, change: dict[str, object], code: TokenErrorCode) -> None:
    row = {
        "symbol": "SOL",
        "mint": "So11111111111111111111111111111111111111112",
        "decimals": 9,
        "kind": "native",
    }
    path = tmp_path / "tokens.json"
    path.write_text(json.dumps([row | change]))
    with pytest.raises(TokenError, match="row 0") as error:
        load_tokens(path)
    assert error.value.code is code


def test_an_unreadable_list_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    path.write_text("{")
    with pytest.raises(TokenError) as error:
        load_tokens(path)
    assert error.value.code is TokenErrorCode.UNREADABLE
