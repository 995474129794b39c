"""Two-hop search and sizing: the executed routes of the chain data, and the optimum against brute force."""

import gzip
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "venues"))
from venue_vectors import COMPLETE, SETTINGS, Complete, clock_of, key, load_set

from hft.strategy.two_hop import candidates, size
from hft.venues import Account, ChainClock, Pool, Venue, decode, quote
from hft.venues.encoders import encode
from hft.venues.registry import BY_VENUE
from hft.venues.tokens import SOL_MINT, USDC_MINT

CLOCK = ChainClock(1, 1)


def routes(data: Path) -> Iterator[tuple[dict[str, Any], Pool, Pool]]:
    """The executed two-hop rows of the venues there are, with their pools."""
    sets: dict[str, dict[bytes, Account]] = {}
    with gzip.open(data / "vectors" / "two_hop.jsonl.gz", "rt") as file:
        for line in map(json.loads, file):
            if not all(Venue[dex.upper()] in BY_VENUE for dex in line["dexes"]):
                continue
            names = [*line["sets"], *([line["overrides"]] if line["overrides"] else [])]
            merged: dict[bytes, Account] = Complete() if any(n.startswith(COMPLETE) for n in names) else {}
            for name in names:
                if name not in sets:
                    sets[name] = load_set(data, name if "/" in name else f"two_hop/{name}")
                merged.update(sets[name])
            pool_1, pool_2 = (decode(key(pool), merged, SETTINGS) for pool in line["pools"])
            yield line, pool_1, pool_2


def test_every_executed_route_comes_out_to_the_unit(shared_data: Path) -> None:
    for line, pool_1, pool_2 in routes(shared_data):
        mid = quote(pool_1, SOL_MINT, line["amount_in"], clock_of(line))
        assert mid.amount_out == line["mid_amount"], line["id"]
        out = quote(pool_2, key(line["x_mint"]), mid.amount_out, clock_of(line))
        assert out.amount_out == line["amount_out"], line["id"]


def test_sizing_earns_at_least_what_the_executed_routes_earned(shared_data: Path) -> None:
    found = 0
    for line, pool_1, pool_2 in routes(shared_data):
        earned = line["amount_out"] - line["amount_in"]
        best = size(pool_1, pool_2, SOL_MINT, clock_of(line), minimum_in=1, maximum_in=10**13)
        if earned <= 0:
            continue
        assert best is not None, line["id"]
        assert best.gross_profit >= earned, line["id"]
        assert [
            (c.pool_1, c.pool_2) for c in candidates([pool_1, pool_2], SOL_MINT, clock=clock_of(line))
        ] == [(pool_1, pool_2)]
        found += 1
    assert found


def v4_pool(number: int, sol: int, usdc: int) -> Pool:
    """A made-up AMM v4 SOL/USDC pool."""
    from solders.pubkey import Pubkey

    def name(part: int) -> str:
        return str(Pubkey(bytes([number, part] + [7] * 30)))

    def side(mint: bytes, decimals: int, part: int, amount: int) -> dict[str, Any]:
        return {
            "mint": str(Pubkey(mint)),
            "program": "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA",
            "decimals": decimals,
            "supply": 0,
            "vault": name(part),
            "vault_owner": "5Q544fKrFoe6tsEbD7S8EmxGTJYAKtTVhAW5Q5pge4j1",
            "vault_amount": amount,
        }

    plain = {
        "venue": "raydium_v4",
        "pool": name(0),
        "nonce": 254,
        "swap_fee_numerator": 25,
        "swap_fee_denominator": 10_000,
        "need_take_pnl_a": 0,
        "need_take_pnl_b": 0,
        "pool_open_time": 0,
        **dict.fromkeys(("lp_mint", "open_orders", "market", "market_program", "target_orders"), name(9)),
        "a": side(SOL_MINT, 9, 1, sol),
        "b": side(USDC_MINT, 6, 2, usdc),
    }
    return decode(key(plain["pool"]), encode(plain), SETTINGS)


def profit(pool_1: Pool, pool_2: Pool, amount: int) -> int:
    mid = quote(pool_1, SOL_MINT, amount, CLOCK).amount_out
    return quote(pool_2, USDC_MINT, mid, CLOCK).amount_out - amount


@pytest.mark.parametrize(
    ("pool_1", "pool_2"),
    [
        ((10**6, 10**6), (10**6 + 30_000, 10**6)),
        ((400_000, 30_000), (500_000, 30_000)),
        ((300_000, 900_000), (310_000, 900_000)),
        ((123_456, 654_321), (234_567, 654_321)),
    ],
)
def test_sizing_is_within_a_lamport_of_brute_force(pool_1: tuple[int, int], pool_2: tuple[int, int]) -> None:
    first, second = v4_pool(1, *pool_1), v4_pool(2, *pool_2)
    best = size(first, second, SOL_MINT, CLOCK, minimum_in=500, maximum_in=200_000)
    brute = max(profit(first, second, amount) for amount in range(500, min(pool_1[0], 200_000)))
    assert best is not None
    assert best.gross_profit == profit(first, second, best.amount_in)
    assert best.gross_profit >= brute - 1


def test_limits_bind() -> None:
    first, second = v4_pool(1, 10**12, 10**12), v4_pool(2, 12 * 10**11, 10**12)
    free = size(first, second, SOL_MINT, CLOCK, minimum_in=1000, maximum_in=10**12)
    assert free is not None
    assert abs(free.marginal_1 * free.marginal_2 - 1) < 1e-6
    for limits in ((1000, free.amount_in // 2), (free.amount_in * 3 // 2, 10**12)):
        bound = size(first, second, SOL_MINT, CLOCK, minimum_in=limits[0], maximum_in=limits[1])
        assert bound is not None
        assert limits[0] <= bound.amount_in <= limits[1]
        assert min(abs(bound.amount_in - limit) for limit in limits) < 20
        assert bound.gross_profit < free.gross_profit


def test_a_route_that_cannot_pay_is_none() -> None:
    first, second = v4_pool(1, 10**12, 10**12), v4_pool(2, 10**12, 10**12)
    assert size(first, second, SOL_MINT, CLOCK, minimum_in=1000, maximum_in=10**12) is None
    assert candidates([first, second], SOL_MINT) == []


def test_candidates_keep_to_what_changed() -> None:
    pools = {p.key: p for p in (v4_pool(1, 10**12, 10**12), v4_pool(2, 12 * 10**11, 10**12))}
    first, second = pools.values()
    assert [(c.pool_1, c.pool_2) for c in candidates(pools, SOL_MINT, {second.key})] == [(first, second)]
    assert candidates(pools.values(), SOL_MINT, set()) == []
    assert candidates(pools.values(), bytes(32)) == []


def test_limits_that_are_none_are_refused() -> None:
    first, second = v4_pool(1, 10**12, 10**12), v4_pool(2, 12 * 10**11, 10**12)
    with pytest.raises(ValueError, match="1 <= minimum <= maximum"):
        size(first, second, SOL_MINT, CLOCK, minimum_in=0, maximum_in=1)
