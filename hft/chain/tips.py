"""Jito's tip accounts, the tips that land, and the rules a tip must keep.

What a tip is worth decides ``hft.strategy.tip``; here the landed tips become lamports for its floor.
"""

from collections.abc import Sequence
from decimal import ROUND_CEILING, Decimal
from typing import Any, Final, NamedTuple

from solders.pubkey import Pubkey

from hft.strategy.tip import TipPolicy

LAMPORTS_PER_SOL: Final = 1_000_000_000

MINIMUM_TIP_LAMPORTS: Final = 1000

TIP_ACCOUNTS: Final[tuple[bytes, ...]] = tuple(
    bytes(Pubkey.from_string(key))
    for key in (
        "96gYZGLnJYVFmbjzopPSU6QiEV5fGqZNyN9nmNhvrZU5",
        "HFqU5x63VTqvQss8hp11i4wVV8bD44PvwucfZ2bU7gRe",
        "Cw8CFyM9FkoMi7K7Crf6HNQqf4uEMzpKw6QNghXLvLkY",
        "ADaUMid9yfUytqMBgopwjb2DTLSokTSzL1zt6iGPaS49",
        "DfXygSm4jCyNCybVYYK6DwvWqjKee8pbDmJGcLWNDXjh",
        "ADuUkR4vqLUMWXxW9gh6D6L8pMSawimctcNZ5pGwDcEt",
        "DttWaMuVvTiduZRnguLF7jNxTgiMBZ1hyAumKUiL2KRL",
        "3AVi9Tg9Uo68tJfuvoKvqKNWKkC5wPdSSdeBnizKZ6jT",
    )
)


def tip_account(sequence: int) -> bytes:
    """The tip account for the ``sequence``-th plan: they take turns, so that plans don't contend for one
    write lock."""
    return TIP_ACCOUNTS[sequence % len(TIP_ACCOUNTS)]


class TipAccounts:
    """The tip accounts to pay: mainnet's until the engine has told its own; they take turns."""

    __slots__ = ("_accounts",)

    def __init__(self, accounts: Sequence[bytes] = TIP_ACCOUNTS) -> None:
        self._accounts = tuple(accounts)

    @property
    def accounts(self) -> tuple[bytes, ...]:
        """Every account in use."""
        return self._accounts

    def replace(self, told: Sequence[bytes]) -> bool:
        """Takes what getTipAccounts told; keeps what it has, returning False, if that is empty or has an
        account that can't be one (not 32 bytes, or twice)."""
        fresh = tuple(told)
        if not fresh or len(set(fresh)) < len(fresh) or any(len(one) != 32 for one in fresh):
            return False
        self._accounts = fresh
        return True

    def account(self, sequence: int) -> bytes:
        """The account for the ``sequence``-th plan."""
        return self._accounts[sequence % len(self._accounts)]


class TipFloor(NamedTuple):
    """Tips that landed lately, in lamports, by percentile (25, 50, 75, 95, 99), and the moving average of the
    50th."""

    landed: dict[int, int]
    average_50: int


PERCENTILES: Final = (25, 50, 75, 95, 99)
MAX_PLAUSIBLE_SOL: Final = 10
"""A landed percentile above this is no tip in SOL: somebody sent lamports."""


def read_tip_floor(told: Any) -> TipFloor | None:
    """The tip floor's JSON (``[{landed_tips_50th_percentile: 0.00001, …}]``, SOL as numbers) in lamports.

    None if it is of another shape, has no percentile, or one that can't be a tip in SOL: the policy then goes
    by its own floor. Absent percentiles are left out; a fraction of a lamport counts as a whole one.
    """
    entry = told[0] if isinstance(told, list) and told else told
    if not isinstance(entry, dict):
        return None
    landed: dict[int, int] = {}
    for percentile in PERCENTILES:
        value = entry.get(f"landed_tips_{percentile}th_percentile")
        if value is None:
            continue
        lamports = _lamports(value)
        if lamports is None:
            return None
        landed[percentile] = lamports
    average = _lamports(entry.get("ema_landed_tips_50th_percentile", 0))
    if not landed or average is None:
        return None
    return TipFloor(landed, average)


def tip_policy(
    share_ppm: int, floor_lamports: int, cap_lamports: int, percentile: int, floor: TipFloor | None
) -> TipPolicy:
    """The policy that ``price_tip`` takes: its floor is the higher of the setting and the landed tip of
    ``percentile``, if known, but never above the cap."""
    landed = floor.landed.get(percentile, 0) if floor is not None else 0
    return TipPolicy(share_ppm, min(max(floor_lamports, landed), cap_lamports), cap_lamports)


def _lamports(value: Any) -> int | None:
    """SOL as a JSON number to lamports, rounded up; None if it is none or not plausible."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    exact = Decimal(str(value)) if isinstance(value, float) else Decimal(value)
    if not exact.is_finite() or not 0 <= exact <= MAX_PLAUSIBLE_SOL:
        return None
    return int((exact * LAMPORTS_PER_SOL).to_integral_value(rounding=ROUND_CEILING))
