"""``[risk]`` and ``[venues]``."""

from dataclasses import dataclass

from hft.runtime.settings_fields import LAMPORTS_PER_SOL, MAXIMUM_U64, choice, number


@dataclass(frozen=True)
class Risk:
    """``[risk]``: the executor's last gate; no other setting can pass it by."""

    maximum_size_lamports: int = number(100 * LAMPORTS_PER_SOL, 1, MAXIMUM_U64, "Largest trade.")
    maximum_open_plans: int = number(64, 1, 100_000, "Most submissions whose end is not known yet.")
    maximum_trades_per_minute: int = number(60_000, 1, 10_000_000, "Most submissions in any minute.")
    maximum_daily_loss_lamports: int = number(
        LAMPORTS_PER_SOL, 1, MAXIMUM_U64, "Loss since midnight UTC at which nothing more is sent."
    )
    maximum_tip_lamports: int = number(10_000_000, 1_000, MAXIMUM_U64, "Largest tip of one trade.")
    maximum_fee_lamports: int = number(
        1_000_000, 5_000, MAXIMUM_U64, "Largest base and priority fee of one trade."
    )
    minimum_wallet_lamports: int = number(
        LAMPORTS_PER_SOL // 10, 0, MAXIMUM_U64, "SOL that stays in the wallet for fees and rent."
    )
    accept_defaults: str = choice(
        "off", ("off", "on"), "on: live mode may run with limits of this section left at their defaults."
    )


@dataclass(frozen=True)
class Venues:
    """``[venues]``: choices that a pool's accounts don't tell."""

    own_host_fee: str = choice(
        "on", ("on", "off"), "on: name the wallet's own account as DLMM host and DAMM v2 referrer."
    )
