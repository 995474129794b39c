"""Pricing of a re-quoted opportunity, on the shipped pools."""

import pytest

from hft.simnet.market import Market, load_market
from hft.strategy import risk, tip
from hft.strategy.costs import PPM
from hft.strategy.pricing import Leg, Offer, Policy, Wallet, price, price_impact_ppm, taken_ppm
from hft.strategy.validation import Limits
from hft.venues import WRAPPED_SOL, ChainClock

LIMITS = Limits(1_000, 1, 500_000, 5 * 10**9, 25, 2 * 10**9, 1, 10**12, 500_000, 10_000, 700_000)
POLICY = Policy(
    LIMITS,
    risk.RiskLimits(2 * 10**9, 10_000, 1_000, 500_000),
    tip.TipPolicy(300_000, 1_000, 5_000_000),
    1_000,
)
WALLET = Wallet(10**12, 10**12)


@pytest.fixture(scope="module")
def market() -> Market:
    return load_market(())


def legs(market: Market, amount: int, age_ns: int = 0) -> tuple[Leg, Leg, ChainClock]:
    """Through one pool and back through another of the same pair."""
    clock = ChainClock(market.slot, market.unix_timestamp)
    pools = [pool for pool in market.pools.values() if WRAPPED_SOL in (pool.mint_a, pool.mint_b)]
    first = pools[0]
    mid = first.other_mint(WRAPPED_SOL)
    second = next(pool for pool in pools[1:] if mid in (pool.mint_a, pool.mint_b))
    quote_1 = first.quote(WRAPPED_SOL, amount, clock)
    quote_2 = second.quote(mid, quote_1.amount_out, clock)
    return (
        Leg(first, WRAPPED_SOL, quote_1, None, age_ns),
        Leg(second, mid, quote_2, 10**12, age_ns // 2),
        clock,
    )


def test_costs_tip_and_profit_of_the_newest_quotes(market: Market) -> None:
    leg_1, leg_2, clock = legs(market, 10**9)
    out = leg_2.quote.amount_out
    paying = leg_2._replace(quote=leg_2.quote)
    offer = Offer(amount_in=out - 1_000_000, amount_out=out, age_ns=5, age_slots=0)
    priced = price(offer, leg_1, paying, clock, WALLET, POLICY)
    found = priced.candidate
    assert found.gross_profit_lamports == 1_000_000
    assert found.costs.base_fee_lamports == 5_000
    assert found.costs.priority_fee_lamports == -(-priced.compute_unit_limit * 1_000 // 10**6)
    assert found.costs.tip_lamports == (1_000_000 - found.costs.fees_lamports) * 300_000 // PPM
    assert found.slippage_ppm == 0
    assert found.confidence_ppm == PPM


def test_where_no_tip_is_worth_it_the_least_one_is_assumed(market: Market) -> None:
    leg_1, leg_2, clock = legs(market, 10**9)
    offer = Offer(leg_2.quote.amount_out - 10, leg_2.quote.amount_out, 0, 0)
    found = price(offer, leg_1, leg_2, clock, WALLET, POLICY).candidate
    assert (found.gross_profit_lamports, found.costs.tip_lamports) == (10, 1_000)


def test_slippage_is_what_the_newest_quote_fell_short(market: Market) -> None:
    leg_1, leg_2, clock = legs(market, 10**9)
    out = leg_2.quote.amount_out
    for promised, ppm in ((out, 0), (out - 5, 0), (out * 2, 500_000), (out + out // 99, 10_000)):
        found = price(Offer(10**9, promised, 0, 0), leg_1, leg_2, clock, WALLET, POLICY).candidate
        assert abs(found.slippage_ppm - ppm) <= 1


def test_the_older_of_both_pools_gives_the_age(market: Market) -> None:
    leg_1, leg_2, clock = legs(market, 10**9, age_ns=2_500_000_000)
    found = price(Offer(10**9, 1, 0, 5), leg_1, leg_2, clock, WALLET, POLICY).candidate
    assert (found.data_age_ns, found.confidence_ppm) == (2_500_000_000, 500_000)


def test_impact_grows_with_the_size_and_is_nothing_for_a_small_one(market: Market) -> None:
    impacts = [
        price_impact_ppm(legs(market, amount)[0], legs(market, amount)[2])
        for amount in (10**9, 10**11, 10**12)
    ]
    assert impacts == sorted(impacts)
    assert impacts[0] <= 5
    assert impacts[2] > 100


def test_the_share_of_the_vault(market: Market) -> None:
    leg_1, leg_2, _ = legs(market, 10**9)
    assert taken_ppm(leg_1) == 0  # not known
    assert taken_ppm(leg_2) == leg_2.quote.amount_out * PPM // 10**12
    assert taken_ppm(leg_2._replace(vault_out=0)) == PPM
