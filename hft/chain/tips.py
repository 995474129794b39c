"""Jito's tip accounts on mainnet, and the rule a tip must keep."""

from typing import Final

from solders.pubkey import Pubkey

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
