"""Pools beside what their tokens' stake pools say: a pool off by more than the limit is out of trading."""

import struct
from typing import Any

import pytest

from hft.chain.sysvars import CLOCK_KEY, clock_account
from hft.services.sanity import Sanity
from hft.simnet.market import load_market
from hft.venues import WRAPPED_SOL, Account, Pool
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
    for pool in load_market(()).pools.values():
        if WRAPPED_SOL in (pool.mint_a, pool.mint_b):
            token = TOKENS[pool.other_mint(WRAPPED_SOL)]
            if token.kind == "lst" and token.symbol in ("JitoSOL", "bSOL", "JupSOL"):
                return pool
    raise AssertionError("the shipped market has no such pool")


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
