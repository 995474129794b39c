"""``hft arb``: every route, sized exactly, before and after costs."""

import json
from pathlib import Path
from typing import Any

import pytest
from solders.pubkey import Pubkey

from hft.cli.main import run
from hft.runtime.exit_codes import ExitCode
from hft.simnet.market import load_market
from hft.venues import ChainClock, quote
from hft.venues.tokens import SOL_MINT

Capture = pytest.CaptureFixture[str]


def shown(capsys: Capture, *arguments: str) -> dict[str, Any]:
    """The command's JSON."""
    assert run(["arb", *arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_every_ordered_pair_of_pools_of_a_pair_is_a_route(capsys: Capture) -> None:
    found = shown(capsys)
    market = load_market()
    pairs = {
        (str(Pubkey(one.key)), str(Pubkey(two.key)))
        for one in market.pools.values()
        for two in market.pools.values()
        if one is not two and {one.mint_a, one.mint_b} == {two.mint_a, two.mint_b}
    }
    assert {(row["pool_1"], row["pool_2"]) for row in found["routes"]} == pairs
    assert found["routes_sized"] == len(pairs)


def test_profit_is_what_the_quotes_give_and_costs_come_off(capsys: Capture) -> None:
    market = load_market()
    clock = ChainClock(market.slot, market.unix_timestamp)
    paying = shown(capsys, "--paying", "--maximum", "20SOL")["routes"]
    assert paying
    for row in paying:
        pool_1, pool_2 = (market.pools[bytes(Pubkey.from_string(row[name]))] for name in ("pool_1", "pool_2"))
        first = quote(pool_1, SOL_MINT, row["amount_in"], clock)
        second = quote(pool_2, pool_1.other_mint(SOL_MINT), first.amount_out, clock)
        assert (row["amount_mid"], row["amount_out"]) == (first.amount_out, second.amount_out)
        assert row["amount_in"] <= 20_000_000_000
        swapped = row["amount_out"] - row["amount_in"]
        rebates = {0, first.rebate, second.rebate, first.rebate + second.rebate}
        assert 0 < swapped <= row["gross_profit"]
        assert row["gross_profit"] - swapped in rebates
        assert row["net_profit"] == row["gross_profit"] - row["fees_lamports"] - row["tip_lamports"]
        assert row["gain_bps"] > 0


def test_the_best_comes_first_and_a_limit_cuts(capsys: Capture) -> None:
    rows = shown(capsys)["routes"]
    gross = [row["gross_profit"] for row in rows]
    assert gross == sorted(gross, reverse=True)
    assert shown(capsys, "--limit", "2")["routes"] == rows[:2]


def test_a_person_sees_routes_and_what_is_left(capsys: Capture) -> None:
    assert run(["arb"]) == 0
    out = capsys.readouterr().out
    for word in (
        "SOL→USDC→SOL",
        "after costs",
        "best size SOL",
        "54 routes, 9 earn before costs",
        "clock: slot",
    ):
        assert word in out


def test_all_venue_pairs_of_the_chain_data(shared_data: Path, capsys: Capture) -> None:
    files = sorted((shared_data / "accounts").glob("*/sol-usdc-2026-07.json.gz"))
    found = shown(capsys, *(part for file in files for part in ("--accounts", str(file))))
    venues = {file.parent.name for file in files}
    pairs = {(row["venue_1"], row["venue_2"]) for row in found["routes"]}
    assert pairs >= {(one, two) for one in venues for two in venues if one != two}
    assert any(row["net_profit"] and row["net_profit"] > 0 for row in found["routes"])


def test_pools_of_different_times_are_marked(shared_data: Path, capsys: Capture) -> None:
    files = [
        shared_data / "accounts" / "whirlpool" / name
        for name in ("sol-usdc-2026-07.json.gz", "lst-2023-03.json.gz")
    ]
    arguments = [part for file in files for part in ("--accounts", str(file))]
    rows = [row for row in shown(capsys, *arguments)["routes"] if row["data_apart_s"] > 3_600]
    assert rows
    assert run(["arb", *arguments]) == 0
    assert "such a profit is no opportunity" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--base", "DOGE"], ExitCode.CONFIG, "--base DOGE must be"),
        (["--maximum", "0"], ExitCode.CONFIG, "--maximum 0 must be at least 1 base unit"),
        (["--maximum", "much"], ExitCode.CONFIG, "--maximum much must be base units"),
        (["--set", "planner.tip=1"], ExitCode.CONFIG, "planner"),
        (["--accounts", "none.json"], ExitCode.MARKET, "none.json"),
    ],
)
def test_what_is_wrong_is_one_clear_line(
    arguments: list[str], code: ExitCode, says: str, capsys: Capture
) -> None:
    assert run(["arb", *arguments]) == code
    said = capsys.readouterr()
    assert says in said.err
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert not said.out
