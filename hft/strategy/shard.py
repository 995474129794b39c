"""Which pairs are whose where several scanners share the market out."""

import hashlib
import re
from collections.abc import Iterable
from typing import NamedTuple

from hft.venues.tokens import Pair

PARTS_LIMIT = 64


class Shard(NamedTuple):
    """Part ``number`` (from 0) of ``of`` (1 to 64)."""

    number: int = 0
    of: int = 1

    def has(self, mint_a: bytes, mint_b: bytes) -> bool:
        """Is this pair (two mints, 32 bytes each, in either order) in this part? For good, on any machine:
        by the first 8 bytes, big-endian, of the SHA-256 of both mints, the smaller one first, modulo ``of``.
        """
        digest = hashlib.sha256(min(mint_a, mint_b) + max(mint_a, mint_b)).digest()
        return int.from_bytes(digest[:8], "big") % self.of == self.number


def parse(text: str) -> Shard:
    """``0/2``: the first of two. ``ValueError`` says what would be right."""
    found = re.fullmatch(r"(\d{1,2})/(\d{1,2})", text)
    if found is None or not int(found[1]) < int(found[2]) <= PARTS_LIMIT:
        raise ValueError(f"{text!r} is not NUMBER/OF with 0 <= NUMBER < OF <= {PARTS_LIMIT}, such as 0/2")
    return Shard(int(found[1]), int(found[2]))


def own_mids(pairs: Iterable[Pair], base_mint: bytes, text: str) -> set[bytes]:
    """The other mint of each pair of ``base_mint`` that is in the part ``text``; ``ValueError`` as above."""
    own = parse(text)
    return {
        pair.quote.mint
        for pair in pairs
        if pair.base.mint == base_mint and own.has(base_mint, pair.quote.mint)
    }
