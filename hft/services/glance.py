"""A pool's price as its newest bytes have it, read without decoding them: to see whether it is far from all
doubt, before whoever waits for the pool has to. Pure."""

from collections.abc import Callable

from hft.venues import Account, Pool
from hft.venues.raydium_clmm import RaydiumClmmPool
from hft.venues.raydium_clmm_accounts import POOL_CURVE, POOL_CURVE_AT
from hft.venues.raydium_cpmm import RaydiumCpmmPool
from hft.venues.raydium_v4 import RaydiumV4Pool
from hft.venues.spl import TOKEN_ACCOUNT_SIZE
from hft.venues.whirlpool import WhirlpoolPool
from hft.venues.whirlpool_accounts import POOL_FIELDS, POOL_FIELDS_AT

Q64 = 1 << 64
Accounts = Callable[[bytes], Account | None]


def glance(pool: Pool, accounts: Accounts) -> float | None:
    """Base units of b for one of a, before fees; None where the venue's bytes don't show it.

    ``pool``: as it was decoded last. What a constant-product pool owes to others is taken from there, so its
    price may be off by what these fees have changed since.
    """
    if isinstance(pool, WhirlpoolPool | RaydiumClmmPool):
        account = accounts(pool.key)
        if account is None:
            return None
        of_orca = isinstance(pool, WhirlpoolPool)
        layout, at, place = (POOL_FIELDS, POOL_FIELDS_AT, 5) if of_orca else (POOL_CURVE, POOL_CURVE_AT, 2)
        if len(account.data) < at + layout.size:
            return None
        return float((int.from_bytes(layout.unpack_from(account.data, at)[place], "little") / Q64) ** 2)
    if isinstance(pool, RaydiumV4Pool | RaydiumCpmmPool):
        held_a, held_b = _balance(accounts(pool.vault_a)), _balance(accounts(pool.vault_b))
        left_a, left_b = held_a - (pool.amount_a - pool.reserve_a), held_b - (pool.amount_b - pool.reserve_b)
        return left_b / left_a if left_a > 0 and left_b > 0 else None
    return None


def _balance(vault: Account | None) -> int:
    if vault is None or len(vault.data) < TOKEN_ACCOUNT_SIZE:
        return 0
    return int.from_bytes(vault.data[64:72], "little")
