"""Fair values of liquid-staking tokens, and the start-up check of mints against stake pools."""

from pathlib import Path

import pytest
from venue_vectors import key, load_set

from hft.venues import Account, encode_mint
from hft.venues.lst import (
    INFINITY,
    MARINADE,
    SPL_STAKE_POOLS,
    FairValueError,
    FairValueErrorCode,
    check_tokens,
    fair_value,
)
from hft.venues.spl import TOKEN_PROGRAM
from hft.venues.tokens import Token, load_tokens

TOKENS = {token.symbol: token for token in load_tokens().values()}


@pytest.mark.parametrize(
    ("name", "symbol", "epoch", "total", "supply", "text"),
    [
        ("infinity-jitosol-2026-08", "JitoSOL", 1010, 9941724329055518, 7685820823100462, "1.293514975"),
        ("infinity-jitosol-2026-08", "JupSOL", 1010, 5198643961635735, 4327682473722636, "1.201253556"),
        ("stake-pools-2025-06", "bSOL", 802, 1144546482246437, 934784722219576, "1.224395794"),
        ("stake-pools-2025-06", "mSOL", None, 4926946979289234, 3823619544832744, "1.288555758"),
        ("marinade-2026-03", "mSOL", None, 4578928761554965, 3564176058141121, "1.284708916"),
    ],
)
def test_fair_value_of_recorded_pools(
    shared_data: Path, name: str, symbol: str, epoch: int | None, total: int, supply: int, text: str
) -> None:
    value = fair_value(TOKENS[symbol], load_set(shared_data, f"lst/{name}"), epoch)
    assert (value.total_lamports, value.supply, value.epoch) == (total, supply, epoch)
    assert f"{value.total_lamports / value.supply:.9f}" == text
    assert value.lamports(supply) == total
    assert value.tokens(value.lamports(10**9)) in (10**9, 10**9 - 1)


def test_infinity_counts_what_is_withheld(shared_data: Path) -> None:
    accounts = load_set(shared_data, "lst/infinity-jitosol-2026-08")
    with pytest.raises(FairValueError) as error:
        fair_value(TOKENS["INF"], accounts)
    assert error.value.code is FairValueErrorCode.STATE_MISSING
    accounts[TOKENS["INF"].mint] = Account(TOKEN_PROGRAM, encode_mint(9, 10**15), 1)
    value = fair_value(TOKENS["INF"], accounts)
    assert value.total_lamports == 2036401784433701 - 453131663554 - 11162311094


def test_infinity_of_the_edited_fixture_is_right_arithmetic(shared_data: Path) -> None:
    value = fair_value(TOKENS["INF"], load_set(shared_data, "lst/inf-and-pools-2026-03"))
    assert (value.total_lamports, value.supply) == (111440393290220 - 999999999 - 69, 50_000 * 10**9)
    assert value.lamports(10**9) == 2_228_787_865


def stake_pool(mint: bytes, total: int, supply: int, epoch: int) -> bytes:
    data = bytearray(611)
    data[0] = 1
    data[162:194] = mint
    for at, value in ((258, total), (266, supply), (274, epoch)):
        data[at : at + 8] = value.to_bytes(8, "little")
    return bytes(data)


def market(token: Token, data: bytes) -> dict[bytes, Account]:
    assert token.state is not None
    assert token.state_program is not None
    return {token.state: Account(token.state_program, data, 1)}


@pytest.mark.parametrize(
    ("total", "supply", "epoch", "code"),
    [
        (10, 0, 900, FairValueErrorCode.ZERO_SUPPLY),
        (10, 10, 899, FairValueErrorCode.STALE_EPOCH),
        (10, 10, 0, FairValueErrorCode.STALE_EPOCH),
    ],
)
def test_row_09_zero_supply_and_a_stale_epoch_give_no_value(
    total: int, supply: int, epoch: int, code: FairValueErrorCode
) -> None:
    token = TOKENS["JitoSOL"]
    with pytest.raises(FairValueError) as error:
        fair_value(token, market(token, stake_pool(token.mint, total, supply, epoch)), 900)
    assert error.value.code is code


def test_row_09_a_value_beyond_64_bits_is_refused() -> None:
    token = TOKENS["JitoSOL"]
    value = fair_value(token, market(token, stake_pool(token.mint, (1 << 64) - 1, 1, 900)), 900)
    assert value.lamports(1) == (1 << 64) - 1
    with pytest.raises(FairValueError) as error:
        value.lamports(2)
    assert error.value.code is FairValueErrorCode.OVERFLOW
    worthless = fair_value(token, market(token, stake_pool(token.mint, 0, 1, 900)), 900)
    with pytest.raises(FairValueError) as error:
        worthless.tokens(1)
    assert error.value.code is FairValueErrorCode.ZERO_SUPPLY


@pytest.mark.parametrize(
    ("symbol", "data", "code"),
    [
        ("JitoSOL", bytes(281), FairValueErrorCode.WRONG_LAYOUT),
        ("JitoSOL", b"\2" + bytes(610), FairValueErrorCode.WRONG_LAYOUT),
        ("mSOL", bytes(2616), FairValueErrorCode.WRONG_LAYOUT),
        ("mSOL", bytes(100), FairValueErrorCode.WRONG_LAYOUT),
        ("INF", bytes(240), FairValueErrorCode.WRONG_LAYOUT),
        ("INF", bytes(200), FairValueErrorCode.WRONG_LAYOUT),
    ],
)
def test_row_09_another_layout_is_refused(symbol: str, data: bytes, code: FairValueErrorCode) -> None:
    with pytest.raises(FairValueError) as error:
        fair_value(TOKENS[symbol], market(TOKENS[symbol], data))
    assert error.value.code is code


def test_row_10_start_up_check_disables_the_token_whose_pool_is_of_another_mint() -> None:
    good, bad = TOKENS["JitoSOL"], TOKENS["bSOL"]
    accounts = market(good, stake_pool(good.mint, 10, 10, 1)) | market(bad, stake_pool(good.mint, 10, 10, 1))
    tokens, problems = check_tokens({good.mint: good, bad.mint: bad}, accounts)
    assert list(tokens) == [good.mint]
    assert [(problem.token, problem.code) for problem in problems] == [(bad, FairValueErrorCode.WRONG_MINT)]
    assert "bSOL" in problems[0].message


def test_row_10_start_up_check_wants_the_right_program_and_decimals() -> None:
    token = TOKENS["JitoSOL"]
    assert token.state is not None
    data = stake_pool(token.mint, 10, 10, 1)
    wrong_owner = {token.state: Account(SPL_STAKE_POOLS[1], data, 1)}
    wrong_decimals = market(token, data) | {token.mint: Account(TOKEN_PROGRAM, encode_mint(6, 1), 1)}
    no_mint = market(token, data) | {token.mint: Account(MARINADE, encode_mint(9, 1), 1)}
    for accounts, code in (
        (wrong_owner, FairValueErrorCode.WRONG_PROGRAM),
        (wrong_decimals, FairValueErrorCode.WRONG_MINT),
        (no_mint, FairValueErrorCode.WRONG_MINT),
        ({}, FairValueErrorCode.STATE_MISSING),
    ):
        tokens, problems = check_tokens({token.mint: token}, accounts)
        assert not tokens
        assert [problem.code for problem in problems] == [code]
    assert check_tokens({token.mint: token}, {}, missing_is_wrong=False) == ({token.mint: token}, [])


def test_a_token_without_a_listed_state_has_no_fair_value_but_passes_the_check() -> None:
    token = TOKENS["BGSOL"]
    with pytest.raises(FairValueError) as error:
        fair_value(token, {})
    assert error.value.code is FairValueErrorCode.STATE_MISSING
    assert check_tokens({token.mint: token}, {}) == ({token.mint: token}, [])


def test_a_state_of_an_unknown_staking_program_is_refused() -> None:
    token = TOKENS["sSOL"]
    assert token.state is not None
    with pytest.raises(FairValueError, match="no known staking program"):
        fair_value(token, {token.state: Account(INFINITY[:31] + b"\0", bytes(700), 1)})
    assert key("11111111111111111111111111111111") == bytes(32)
