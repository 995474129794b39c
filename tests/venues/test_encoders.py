"""Accounts rebuilt from figures decode to the same pool; the figures survive JSON."""

import json
from typing import Any

import pytest
from venue_vectors import SETTINGS, Pools, key

from hft.venues import PoolError, PoolErrorCode, Venue, decode, required_accounts, venue_of
from hft.venues.encoders import encode, encode_all, figures

SETS = (
    "whirlpool/sol-usdc-2026-07",
    "whirlpool/lst-2023-03",
    "whirlpool/adaptive-fee-synthetic",
    "raydium_v4/sol-usdc-2026-07",
    "raydium_v4/sol-lst-rehomed",
    "raydium_cpmm/sol-usdc-2026-07",
    "raydium_cpmm/creator-fee-synthetic",
    "raydium_clmm/sol-usdc-2026-07",
    "raydium_clmm/sol-lst-rehomed",
    "raydium_clmm/new-features-synthetic",
    "meteora_dlmm/sol-usdc-2026-07",
    "meteora_dlmm/sdk-fixtures",
    "meteora_damm_v2/sol-usdc-2026-07",
    "meteora_damm_v2/fee-modes-2026-07",
    "meteora_damm_v2/rate-limiter-synthetic",
)


def state(pool: Any) -> dict[str, Any]:
    """All slots of a pool; lazily read figures read, raw bytes left out."""
    if pool.venue in (Venue.WHIRLPOOL, Venue.RAYDIUM_CLMM):
        pool.nets = [(tick, pool.nets.at(index)) for index, tick in enumerate(pool.nets.ticks)]
        pool.arrays = {start: array and array.ticks for start, array in pool.arrays.items()}
    if pool.venue is Venue.METEORA_DLMM:
        pool.arrays = {index: data and data[:48] for index, data in pool.arrays.items()}
    names = {name for kind in type(pool).__mro__ for name in getattr(kind, "__slots__", ())}
    return {name: getattr(pool, name) for name in sorted(names) if not name.startswith("_")}


@pytest.mark.parametrize("name", SETS)
def test_rebuilt_accounts_decode_to_the_same_pool(pools: Pools, name: str) -> None:
    accounts = pools.accounts(name)
    found = 0
    for pubkey, account in list(accounts.items()):
        if venue_of(account) is None:
            continue
        plain = json.loads(json.dumps(figures(pubkey, accounts)))
        rebuilt = encode(plain)
        assert state(decode(pubkey, rebuilt, SETTINGS)) == state(decode(pubkey, accounts, SETTINGS))
        assert figures(pubkey, rebuilt) == plain
        assert set(required_accounts(pubkey, rebuilt[pubkey])) == set(required_accounts(pubkey, account))
        assert encode_all([plain, plain]) == rebuilt
        found += 1
    assert found


def test_an_unknown_venue_is_refused() -> None:
    with pytest.raises(PoolError, match="'serum' is none of") as error:
        encode({"venue": "serum"})
    assert error.value.code is PoolErrorCode.UNKNOWN_VENUE
    assert key("11111111111111111111111111111111") == bytes(32)
