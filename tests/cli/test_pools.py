"""``hft pools``: prices, fees and depth of account files, and what can't be read."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from solders.pubkey import Pubkey

from hft.cli.main import expand_lists, run
from hft.runtime.exit_codes import ExitCode
from hft.simnet.market import load_market
from hft.venues import ChainClock, quote

Capture = pytest.CaptureFixture[str]


def shown(capsys: Capture, *arguments: str) -> dict[str, Any]:
    """The command's JSON."""
    assert run(["pools", *arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_every_pool_of_the_shipped_market(capsys: Capture) -> None:
    market = load_market()
    rows = shown(capsys)["pools"]
    assert {row["pool"] for row in rows} == {str(Pubkey(key)) for key in market.pools}
    assert all(row["base"] == "SOL" and row["price"] > 0 and row["age_s"] > 0 for row in rows)


def test_depth_is_where_the_price_has_moved_that_far(capsys: Capture) -> None:
    """The quoted amounts are exact, leave the price within the move, and a little more does not."""
    market = load_market()
    clock = ChainClock(market.slot, market.unix_timestamp)
    for row in shown(capsys)["pools"]:
        pool = market.pools[bytes(Pubkey.from_string(row["pool"]))]
        base, other = (bytes(Pubkey.from_string(row[name])) for name in ("base_mint", "quote_mint"))
        assert [entry["move"] for entry in row["depth"]] == [0.001, 0.01]
        for entry in row["depth"]:
            down = (base, entry["down_base_in"], entry["down_quote_out"], 1 - entry["move"])
            up = (other, entry["up_quote_in"], entry["up_base_out"], 1 / (1 + entry["move"]))
            for mint, amount_in, amount_out, ratio in (down, up):
                made = quote(pool, mint, amount_in, clock)
                floor = pool.spot_price(mint) * ratio
                assert made.amount_out == amount_out
                assert made.pool_after.spot_price(mint) >= floor
                beyond = quote(pool, mint, amount_in + (amount_in >> 11) + 1, clock)
                assert beyond.pool_after.spot_price(mint) < floor


def test_a_person_sees_pairs_prices_and_depth(capsys: Capture) -> None:
    assert run(["pools", "--venue", "whirlpool"]) == 0
    out = capsys.readouterr().out
    for word in ("SOL/USDC", "SOL/mSOL", "whirlpool", "−0.1 %", "+1 %", "clock: slot", "3 pools"):
        assert word in out
    assert "raydium" not in out


def test_all_six_venues_of_the_chain_data(shared_data: Path, capsys: Capture) -> None:
    files = sorted((shared_data / "accounts").glob("*/sol-usdc-2026-07.json.gz"))
    found = shown(capsys, *(part for file in files for part in ("--accounts", str(file))))
    assert {row["venue"] for row in found["pools"]} == {file.parent.name for file in files}
    assert len(files) == 6
    assert all(70 < row["price"] < 90 for row in found["pools"])
    assert all(row["refusal"] is None for row in found["pools"])


def test_what_cannot_be_read_is_named_and_the_rest_is_shown(
    shared_data: Path, tmp_path: Path, capsys: Capture
) -> None:
    good = shared_data / "accounts" / "whirlpool" / "sol-usdc-2026-07.json.gz"
    bad = shared_data / "accounts" / "meteora_dlmm" / "token-2022-decode-only.json.gz"
    document = json.loads(gzip.decompress(bad.read_bytes()))
    alone = tmp_path / "alone.json"
    alone.write_text(json.dumps({"accounts": [document["accounts"][0]]}))
    arguments = expand_lists(["pools", "--accounts", str(good), str(bad)])
    assert run(arguments) == 0
    out = capsys.readouterr().out
    assert "SOL/USDC" in out
    found = shown(capsys, *arguments[1:])
    assert len(found["pools"]) + len(found["refused"]) == 2
    assert all(set(row) == {"pool", "code", "why"} for row in found["refused"])


def test_no_pool_and_wrong_venue_are_one_clear_line(tmp_path: Path, capsys: Capture) -> None:
    assert run(["pools", "--venue", "openbook"]) == ExitCode.CONFIG
    said = capsys.readouterr().err
    assert "--venue openbook is none of whirlpool, raydium_v4" in said
    assert said.count("\n") == 1
    empty = tmp_path / "empty.json"
    empty.write_text('{"accounts": []}')
    assert run(["pools", "--accounts", str(empty)]) == ExitCode.MARKET
    assert capsys.readouterr().err.count("\n") == 1
