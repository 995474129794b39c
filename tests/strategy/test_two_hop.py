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

from hft.strategy.screen import Screen, candidates
from hft.strategy.two_hop import size
from hft.venues import Account, ChainClock, Pool, QuoteError, Venue, decode, quote
from hft.venues.concentrated import orca_sqrt_price, raydium_sqrt_price
from hft.venues.encoders import encode
from hft.venues.registry import BY_VENUE
from hft.venues.tokens import SOL_MINT, USDC_MINT
from perf.made_up import CLOCK as MADE_UP_CLOCK
from perf.made_up import SETTINGS as MADE_UP
from perf.made_up import VARIANTS, pool_of, raydium_v4

CLOCK = ChainClock(1, 1)
SCALE = 3 * 10**7


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


@pytest.mark.parametrize("sol", [1_001, 1_003, 1_010, 1_050, 1_200, 1_700])
def test_a_profit_far_above_its_roundings_gives_no_more_than_them(sol: int) -> None:
    first, second = v4_pool(1, 997 * 10**9, 31 * 10**9), v4_pool(2, sol * 10**9 + 4 * 10**9, 31 * 10**9)
    best = size(first, second, SOL_MINT, CLOCK, minimum_in=500, maximum_in=10**12)
    assert best is not None
    near = range(best.amount_in - 2_000, best.amount_in + 2_000)
    most = max(profit(first, second, amount) for amount in near)
    roundings = 4 + 2 / best.marginal_1
    assert best.gross_profit >= max(most - roundings, most * 0.999)


def small(variant: str, shift: int) -> Pool:
    """A made-up pool made small enough for a scan of every amount, its price moved by about ``shift`` bp."""
    figures = VARIANTS[variant]()
    if variant.startswith("meteora_dlmm"):
        for _, _, rows in figures["bin_arrays"]:
            for row in rows:
                row[1], row[2] = row[1] // 10**7, row[2] // 10**7
    elif variant.startswith("meteora_damm_v2"):
        figures["liquidity"] //= SCALE
        figures["sqrt_price"] += figures["sqrt_price"] * shift // 20_000
        figures["amounts"] = [170_000, 170_000]
    else:
        figures["liquidity"] //= SCALE
        for row in figures["tick_arrays"]:
            for tick in row[-1]:
                tick[1], tick[2] = tick[1] // SCALE, tick[2] // SCALE
        root = raydium_sqrt_price if "clmm" in variant else orca_sqrt_price
        figures["tick"], figures["sqrt_price"] = shift, root(shift) + 77
    return decode(key(figures["pool"]), encode(figures), MADE_UP)


@pytest.mark.parametrize("second", ["raydium_clmm", "meteora_damm_v2-fee-in-b", "whirlpool"])
@pytest.mark.parametrize("first", ["whirlpool", "meteora_dlmm", "whirlpool-adaptive", "raydium_clmm-orders"])
@pytest.mark.parametrize("base_is_a", [True, False])
def test_sizing_is_within_a_unit_of_brute_force_over_ticks_and_bins(
    first: str, second: str, base_is_a: bool
) -> None:
    pool_1, pool_2 = small(first, 0), small(second, -180 if base_is_a else 180)
    base = pool_1.mint_a if base_is_a else pool_1.mint_b
    mid = pool_1.other_mint(base)

    def earned(amount: int) -> int | None:
        try:
            out = quote(pool_1, base, amount, MADE_UP_CLOCK).amount_out
            return quote(pool_2, mid, out, MADE_UP_CLOCK).amount_out - amount
        except QuoteError:
            return None

    brute = max(profit for amount in range(20, 20_000) if (profit := earned(amount)) is not None)
    best = size(pool_1, pool_2, base, MADE_UP_CLOCK, minimum_in=20, maximum_in=20_000)
    assert brute >= 0
    if brute == 0:
        assert best is None
        return
    assert best is not None
    assert best.gross_profit == earned(best.amount_in)
    assert best.gross_profit >= brute - 1


def test_the_screen_agrees_with_the_candidates_and_follows_changes() -> None:
    pools = [v4_pool(i, 10**12, 10**11 + i * 10**9) for i in range(1, 7)]
    screen = Screen(SOL_MINT)
    for pool in pools:
        screen.update(pool)
    expected = candidates(pools, SOL_MINT)
    assert [tuple(c[:2]) for c in screen.candidates()] == [tuple(c[:2]) for c in expected]
    assert expected
    only = {pools[0].key}
    assert [tuple(c[:2]) for c in screen.candidates(only)] == [
        tuple(c[:2]) for c in candidates(pools, SOL_MINT, only)
    ]
    screen.remove(pools[5].key)
    assert [tuple(c[:2]) for c in screen.candidates()] == [
        tuple(c[:2]) for c in candidates(pools[:5], SOL_MINT)
    ]
    moved = quote(pools[0], SOL_MINT, 10**10, CLOCK).pool_after
    screen.update(moved)
    assert [tuple(c[:2]) for c in screen.candidates()] == [
        tuple(c[:2]) for c in candidates([moved, *pools[1:5]], SOL_MINT)
    ]
    screen.remove(bytes(32))


def test_the_routes_of_changed_pools_are_those_of_the_whole_pass() -> None:
    pools = [v4_pool(i, 10**12, 10**11 + (i * i * 7 % 23) * 10**9) for i in range(1, 61)]
    screen = Screen(SOL_MINT)
    for pool in pools:
        screen.update(pool)
    every = screen.candidates()
    for count in (1, 2, 6, 7, 30, 60):  # few are looked at one by one, many in one pass
        changed = {pool.key for pool in pools[:count]}
        theirs = [c for c in every if c.pool_1.key in changed or c.pool_2.key in changed]
        assert screen.candidates(changed) == theirs
        assert screen.candidates([*changed, bytes(32)]) == theirs
        assert theirs


def test_with_a_clock_the_fees_are_those_of_now() -> None:
    dlmm = pool_of("meteora_dlmm").copy()
    most = dlmm.rules.max_volatility
    now = MADE_UP_CLOCK.unix_timestamp
    dlmm.volatility = dlmm.volatility._replace(accumulator=most, reference=most, last_update=now)
    lowest, dear = (dlmm.rates(clock)[0] for clock in (None, MADE_UP_CLOCK))
    assert lowest > dear * 1.001
    base = 10**12  # in between, the way back makes up for the lowest fee, but not for the fee of now
    back = decode(
        key(raydium_v4()["pool"]),
        encode(raydium_v4(a=base, b=round(base * 0.9975 * (lowest * dear) ** 0.5))),
        MADE_UP,
    )
    screen = Screen(dlmm.mint_a)
    for pool in (dlmm, back):
        screen.update(pool)
    assert [tuple(c[:2]) for c in screen.candidates({dlmm.key})] == [(dlmm, back)]
    assert screen.candidates({dlmm.key}, MADE_UP_CLOCK) == []
    later = MADE_UP_CLOCK._replace(unix_timestamp=now + 100_000)
    assert [tuple(c[:2]) for c in screen.candidates({dlmm.key}, later)] == [(dlmm, back)]
    assert size(dlmm, back, dlmm.mint_a, MADE_UP_CLOCK, minimum_in=1000, maximum_in=10**11) is None


def test_the_screen_grows_with_pairs_and_pools() -> None:
    screen = Screen(SOL_MINT)
    for number in range(1, 21):
        screen.update(v4_pool(number, 10**12, 10**11 + (number % 2) * 10**10))
    assert len(screen.candidates()) == 100
    assert all(c.pool_1.key != c.pool_2.key and c.gain > 1 for c in screen.candidates())
    screen.update(pool_of("whirlpool"))
    assert len(screen.candidates()) == 100


def test_a_rebate_in_the_base_token_is_profit() -> None:
    figures = VARIANTS["meteora_dlmm"]()
    own = decode(key(figures["pool"]), encode(figures), MADE_UP._replace(own_host_fee=True))
    other = decode(key(raydium_v4()["pool"]), encode(raydium_v4(a=10**12, b=9 * 10**11)), MADE_UP)
    base = own.mint_a
    with_host = size(own, other, base, MADE_UP_CLOCK, minimum_in=1000, maximum_in=10**11)
    without = size(pool_of("meteora_dlmm"), other, base, MADE_UP_CLOCK, minimum_in=1000, maximum_in=10**11)
    assert with_host is not None
    assert without is not None
    assert with_host.quote_1.rebate > 0
    assert with_host.gross_profit == with_host.amount_out - with_host.amount_in + with_host.quote_1.rebate
    assert with_host.gross_profit > without.gross_profit


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
