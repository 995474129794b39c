"""Pools beside what their tokens' stake pools say: a pool off by more than the limit is out of trading."""

import struct
from typing import Any

import pytest

from hft.chain.sysvars import CLOCK_KEY, clock_account
from hft.services.sanity import Sanity
from hft.simnet.market import load_market
from hft.venues import WRAPPED_SOL, Account, Pool, Venue
from hft.venues.tokens import Token, load_tokens

TOKENS = load_tokens()
EPOCH = 900


def stake_pool(token: Token, lamports: int, supply: int, epoch: int = EPOCH) -> Account:
    """An SPL stake pool's account with these figures."""
    data = bytearray(611)
    data[0] = 1
    data[162:194] = token.mint
    data[258:282] = struct.pack("<QQQ", lamports, supply, epoch)
    assert token.state_program is not None
    return Account(token.state_program, bytes(data), 1)


@pytest.fixture(scope="module")
def pool() -> Pool:
    """A pool of SOL and an LST whose stake pool is an SPL one."""
    return next(pool for pool in load_market(()).pools.values() if is_lst(pool))


def is_lst(pool: Pool) -> bool:
    if WRAPPED_SOL not in (pool.mint_a, pool.mint_b):
        return False
    token = TOKENS[pool.other_mint(WRAPPED_SOL)]
    return token.kind == "lst" and token.symbol in ("JitoSOL", "bSOL", "JupSOL")


def agrees(pool: Pool, limit_bps: int = 500, strict: bool = False, **figures: Any) -> bool:
    token = TOKENS[pool.other_mint(WRAPPED_SOL)]
    assert token.state is not None
    accounts = {CLOCK_KEY: clock_account(EPOCH * 432_000, 0, EPOCH, 0)}
    if figures:
        accounts[token.state] = stake_pool(token, **figures)
    return Sanity(accounts.get, limit_bps, strict=strict).agrees(pool, TOKENS)


def worth(pool: Pool, share_bps: int = 10_000) -> dict[str, int]:
    """Figures by which the token is worth that share of the pool's price."""
    price = pool.spot_price(pool.other_mint(WRAPPED_SOL))
    return {"lamports": int(price * 10**15 * share_bps / 10_000), "supply": 10**15}


def test_a_pool_near_its_tokens_worth_agrees_and_one_far_from_it_does_not(pool: Pool) -> None:
    assert agrees(pool, **worth(pool))
    assert agrees(pool, **worth(pool, 10_450))
    assert not agrees(pool, **worth(pool, 10_600))
    assert not agrees(pool, **worth(pool, 9_400))
    assert agrees(pool, limit_bps=0, **worth(pool, 5_000))


def test_row_09_zero_supply_or_a_stale_epoch_is_no_reference_to_trade_on(pool: Pool) -> None:
    assert not agrees(pool, lamports=10**15, supply=0)
    assert not agrees(pool, lamports=0, supply=10**15)
    stale = {**worth(pool), "epoch": EPOCH - 1}
    assert not agrees(pool, strict=True, **stale)
    assert agrees(pool, strict=False, **stale)
    assert agrees(pool, strict=True, **worth(pool))


def test_an_unknown_stake_pool_speaks_against_its_token_in_live_mode_only(pool: Pool) -> None:
    assert agrees(pool)
    assert not agrees(pool, strict=True)


def test_a_glance_at_the_newest_bytes_shows_the_decoded_price_and_trusts_half_the_limit() -> None:
    market, seen = load_market(()), set()
    for pool in market.pools.values():
        price = pool.glance(market.accounts)
        assert (price is None) == (pool.venue in (Venue.METEORA_DLMM, Venue.METEORA_DAMM_V2))
        if price is not None:
            seen.add(pool.venue)
            assert price == pytest.approx(pool.spot_price(pool.mint_a), rel=1e-12)
        assert pool.glance({}) is None
        cut = {key: account._replace(data=account.data[:64]) for key, account in market.accounts.items()}
        assert pool.glance(cut) is None
    assert len(seen) == 4


@pytest.mark.parametrize(
    ("share_bps", "clear"), [(10_000, True), (10_240, True), (9_770, True), (10_270, False), (5_000, False)]
)
def test_what_is_not_far_from_doubt_at_a_glance_is_to_be_judged(share_bps: int, clear: bool) -> None:
    market = load_market(())
    pools = [pool for pool in market.pools.values() if pool.glance(market.accounts)]
    pool = next(pool for pool in pools if is_lst(pool))
    token = TOKENS[pool.other_mint(WRAPPED_SOL)]
    assert token.state is not None
    clock = {CLOCK_KEY: clock_account(EPOCH * 432_000, 0, EPOCH, 0)}
    known = {**market.accounts, **clock, token.state: stake_pool(token, **worth(pool, share_bps))}
    sanity = Sanity(known.get, 500, strict=False)
    sanity.agrees(pool, TOKENS)
    assert sanity.agrees_at_a_glance(pool, TOKENS) is clear
    del known[token.state]
    assert sanity.agrees_at_a_glance(pool, TOKENS)
    strict = Sanity(known.get, 500, strict=True)
    strict.agrees(pool, TOKENS)
    assert not strict.agrees_at_a_glance(pool, TOKENS)
