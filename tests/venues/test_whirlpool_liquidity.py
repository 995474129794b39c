"""Changes of a position's liquidity on account bytes; whole days of them are in tests/replay."""

from pathlib import Path

import pytest
from venue_vectors import key, load_set

from hft.venues import ABSENT, Account, PoolError, PoolErrorCode, decode
from hft.venues.encoders import figures
from hft.venues.whirlpool_liquidity import moved_liquidity

POOL = key("65shmpuYmxx5p7ggNCZbyrGLCXVqbBR1ZD5aAocRBUNG")
SPACING = 128


@pytest.fixture
def accounts(shared_data: Path) -> dict[bytes, Account]:
    return load_set(shared_data, "whirlpool/tape-start-2022-04-06")


def taken(accounts: dict[bytes, Account], changed: dict[bytes, bytes]) -> dict[bytes, Account]:
    return type(accounts)(
        {**accounts, **{key: accounts[key]._replace(data=data) for key, data in changed.items()}}
    )


def test_what_comes_around_the_price_and_goes_again_leaves_all_as_it_was(
    accounts: dict[bytes, Account],
) -> None:
    tick = figures(POOL, accounts)["tick"] // SPACING * SPACING
    around = (tick - 2 * SPACING, tick + 2 * SPACING)
    more = taken(accounts, moved_liquidity(POOL, accounts, *around, 10**12))
    before, after = figures(POOL, accounts), figures(POOL, more)
    assert after["liquidity"] == before["liquidity"] + 10**12
    assert after["tick_arrays"] != before["tick_arrays"]
    decode(POOL, more)
    again = taken(more, moved_liquidity(POOL, more, *around, -(10**12)))
    assert dict(again) == dict(accounts)


def test_beside_the_price_only_the_ticks_change(accounts: dict[bytes, Account]) -> None:
    tick = figures(POOL, accounts)["tick"] // SPACING * SPACING
    changed = moved_liquidity(POOL, accounts, tick + 2 * SPACING, tick + 4 * SPACING, 7)
    assert POOL not in changed
    assert 1 <= len(changed) <= 2


def test_what_cannot_be_is_refused(accounts: dict[bytes, Account]) -> None:
    tick = figures(POOL, accounts)["tick"] // SPACING * SPACING
    with pytest.raises(PoolError, match="would hold liquidity -") as caught:
        moved_liquidity(POOL, accounts, tick - SPACING, tick + SPACING, -(10**30))
    assert caught.value.code is PoolErrorCode.BAD_VALUE
    far = 400_000 // SPACING * SPACING
    with pytest.raises(PoolError, match="0 bytes, wants a fixed one"):
        moved_liquidity(POOL, accounts, far, far + SPACING, 1)
    accounts[POOL] = ABSENT
    with pytest.raises(PoolError):
        moved_liquidity(POOL, accounts, tick, tick + SPACING, 1)
