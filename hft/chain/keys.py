"""The paper wallet's key: made from the market's seed, hence public and worthless by construction.

Nothing here reads a key file: paper mode has no way to a key that owns anything.
"""

import hashlib
from typing import Final

from solders.keypair import Keypair

_DOMAIN: Final = b"hft paper wallet, public by construction"
MAX_SEED: Final = 2**64 - 1


def paper_keypair(seed: int) -> Keypair:
    """The paper wallet of the market with ``seed`` (0..2^64-1): Ed25519 seed = SHA-256(domain, seed as u64
    LE).

    ``ValueError`` if the seed is out of range.
    """
    if not 0 <= seed <= MAX_SEED:
        raise ValueError(f"market seed {seed}: 0 to {MAX_SEED} belongs here")
    return Keypair.from_seed(hashlib.sha256(_DOMAIN + seed.to_bytes(8, "little")).digest())
