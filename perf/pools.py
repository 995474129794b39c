"""Pools to price: of every venue, near a price of 1, dense enough to cross ticks and bins.

Whirlpool comes from the shipped snapshot as well: a real SOL/USDC pool with five full tick arrays.
"""

from typing import Any, NamedTuple

from hft.simnet.market import load_market
from hft.venues import Account, ChainClock, Pool, Venue, decode, quote
from hft.venues.concentrated import raydium_sqrt_price
from hft.venues.encoders import encode
from hft.venues.encoders import figures as figures_of
from hft.venues.meteora_dlmm_accounts import ARRAY_BINS, bin_price
from hft.venues.spl import key
from hft.venues.tokens import SOL_MINT, USDC_MINT
from perf import made_up

CLOCK = made_up.CLOCK
MINT_A, MINT_B = key(made_up.MINT_A), key(made_up.MINT_B)
AMOUNTS = 64
"""Different amounts that a case goes through; a power of two."""


class Priced(NamedTuple):
    """A pool with what it takes to quote it."""

    pool: Pool
    figures: dict[str, Any]
    mint: bytes
    clock: ChainClock


def made(figures: dict[str, Any]) -> Priced:
    """A pool of figures, sold token A."""
    pool = decode(key(figures["pool"]), encode(figures), made_up.SETTINGS)
    return Priced(pool, figures, MINT_A, CLOCK)


def dense_clmm(tick: int = 5) -> dict[str, Any]:
    """A CLMM pool with every tick of its four arrays initialised."""
    figures = made_up.raydium_clmm()
    for start, rows in figures["tick_arrays"]:
        # Liquidity goes up and down by a thousandth: any number of crossings leaves some.
        rows[:] = [
            [at, 10**11 if at // 10 % 2 else -(10**11), 10**11, 0, 0, 0]
            for at in range(start, start + 600, 10)
        ]
    figures["tick"], figures["sqrt_price"] = tick, raydium_sqrt_price(tick) + 999
    return figures


def priced_dlmm() -> dict[str, Any]:
    """A DLMM pair whose bins all have their price stored, as bins that were ever used have."""
    figures = made_up.meteora_dlmm()
    for index, _, rows in figures["bin_arrays"]:
        for row in rows:
            row[3] = bin_price(figures["bin_step"], index * ARRAY_BINS + row[0])
    return figures


def level_v4(number: int, a: int = 10**12, b: int = 10**12) -> dict[str, Any]:
    """An AMM v4 pool at a price of b/a."""
    return made_up.raydium_v4(number, a, b)


def shipped_whirlpool() -> tuple[Priced, dict[bytes, Account]]:
    """The SOL/USDC Whirlpool that ships with the project, and its accounts."""
    market = load_market()
    pool = next(
        each
        for each in market.pools.values()
        if each.venue is Venue.WHIRLPOOL and {each.mint_a, each.mint_b} == {SOL_MINT, USDC_MINT}
    )
    clock = ChainClock(market.slot, market.unix_timestamp)
    return Priced(pool, figures_of(pool.key, market.accounts), pool.mint_a, clock), market.accounts


def amounts(priced: Priced, crossings: int) -> list[int]:
    """Inputs that cross exactly so many ticks or bins; ValueError if there are none."""

    def crossed(amount: int) -> int:
        return quote(priced.pool, priced.mint, amount, priced.clock).crossings

    low, high = 1_000, 1_000
    while crossed(high) < crossings:
        high *= 2
    while high - low > 1 and crossings:
        middle = (low + high) // 2
        low, high = (middle, high) if crossed(middle) < crossings else (low, middle)
    first = high
    step = max(first >> 12, 1)
    while step > 1 and crossed(first + AMOUNTS * step) != crossings:
        step //= 2
    found = [first + 1 + place * step for place in range(AMOUNTS)]
    if {crossed(amount) for amount in found} != {crossings}:
        raise ValueError(f"{priced.pool.venue.name.lower()}: no {AMOUNTS} amounts cross {crossings} levels")
    return found
