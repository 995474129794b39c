"""What a wallet must hold before a live run begins; of the chain itself: tests/e2e/test_live.py."""

from dataclasses import replace

import pytest

from hft.chain.accounts import needed_lamports
from hft.runtime.host import Level
from hft.runtime.settings import Config
from hft.services.funds import COMPUTE_UNITS, judge
from hft.simnet.market import load_market
from hft.venues import ABSENT, WRAPPED_SOL, Account, associated_token_address, token_account

CONFIG = replace(Config(), hft=replace(Config().hft, mode="live"))
WALLET, OTHER = bytes([7] * 32), bytes([8] * 32)
POOL = next(pool for pool in load_market().pools.values() if WRAPPED_SOL in (pool.mint_a, pool.mint_b))
TOKEN = POOL.mint_a if POOL.mint_b == WRAPPED_SOL else POOL.mint_b
SOL = associated_token_address(WALLET, WRAPPED_SOL)
NEEDED = CONFIG.risk.minimum_wallet_lamports + needed_lamports(
    compute_unit_limit=COMPUTE_UNITS,
    compute_unit_price_micro_lamports=CONFIG.planner.compute_unit_price_micro_lamports,
    tip_lamports=CONFIG.planner.tip_floor_lamports,
)
LEAST = CONFIG.scanner.minimum_size_lamports


def sound() -> dict[bytes, Account]:
    """Everything that a trade on the pool takes, and no lamport more."""
    return {
        WALLET: Account(bytes(32), b"", NEEDED),
        SOL: token_account(WRAPPED_SOL, WALLET, LEAST),
        associated_token_address(WALLET, TOKEN): token_account(TOKEN, WALLET, 0),
    }


def frozen(account: Account) -> Account:
    return account._replace(data=account.data[:108] + b"\x02" + account.data[109:])


def test_row_27_a_wallet_that_holds_just_enough_may_trade() -> None:
    (told,) = judge(CONFIG, WALLET, sound(), [POOL])
    assert told.level is Level.OK
    assert f"{NEEDED} lamports for fees, {LEAST} to trade with" in told.found


@pytest.mark.parametrize(
    ("changed", "says", "advice"),
    [
        ({WALLET: Account(bytes(32), b"", NEEDED - 1)}, f"need {NEEDED}", "1 lamports or more"),
        ({WALLET: ABSENT}, "wallet holds 0 lamports", f"{NEEDED} lamports or more"),
        (
            {SOL: token_account(WRAPPED_SOL, WALLET, LEAST - 1)},
            f"the smallest trade takes {LEAST}",
            "wrap some SOL",
        ),
        ({SOL: token_account(WRAPPED_SOL, OTHER, LEAST)}, "belongs to", "another wallet"),
        ({SOL: frozen(token_account(WRAPPED_SOL, WALLET, LEAST))}, "is frozen", "[chain] pools"),
    ],
)
def test_row_27_a_wallet_that_lacks_anything_is_told_what_and_how_much(
    changed: dict[bytes, Account], says: str, advice: str
) -> None:
    (told,) = judge(CONFIG, WALLET, {**sound(), **changed}, [POOL])
    assert told.level is Level.FAIL
    assert says in told.found
    assert advice in told.advice


def test_row_27_every_missing_account_is_told_at_once() -> None:
    told = judge(CONFIG, WALLET, dict.fromkeys(sound(), ABSENT), [POOL])
    assert [one.level for one in told] == [Level.FAIL] * 4
    missing = [one for one in told if "has no token account" in one.found]
    assert len(missing) == 2
    assert all("spl-token create-account" in one.advice for one in missing)
