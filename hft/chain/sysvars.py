"""Accounts that the cluster itself keeps."""

from struct import Struct
from typing import Final

from hft.venues import Account

SYSVAR_OWNER: Final = bytes.fromhex("06a7d5171875f729c73d93408f216120067ed88c76e08c287fc1946000000000")
CLOCK_KEY: Final = bytes.fromhex("06a7d51718c774c928566398691d5eb68b5eb8a39b4b6d5c73555b2100000000")
"""The Clock sysvar, SysvarC1ock11111111111111111111111111111111."""
CLOCK_LAYOUT: Final = Struct("<QqQQq")
"""slot, epoch start (Unix s), epoch, leader-schedule epoch, Unix timestamp (s): the sysvar's own 40 bytes."""
CLOCK_LAMPORTS: Final = 1
"""As LiteSVM has it (mainnet: 1,169,280); nobody can take it."""


def clock_account(slot: int, epoch_start: int, epoch: int, unix_timestamp: int) -> Account:
    """The Clock sysvar as a validator keeps it."""
    data = CLOCK_LAYOUT.pack(slot, epoch_start, epoch, epoch + 1, unix_timestamp)
    return Account(SYSVAR_OWNER, data, CLOCK_LAMPORTS)
