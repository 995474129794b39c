"""Pairs are shared out among scanners: each to one, the same on every machine."""

import hashlib

import pytest

from hft.strategy.shard import Shard, parse
from hft.venues import WRAPPED_SOL, tokens


@pytest.mark.parametrize("of", [1, 2, 3, 64])
def test_every_pair_is_in_one_part_whichever_mint_comes_first(of: int) -> None:
    for number in range(200):
        mint = hashlib.sha256(bytes([number])).digest()
        parts = [part for part in range(of) if Shard(part, of).has(WRAPPED_SOL, mint)]
        assert len(parts) == 1
        assert Shard(parts[0], of).has(mint, WRAPPED_SOL)


def test_a_pair_stays_in_its_part_for_good() -> None:
    mints = [hashlib.sha256(bytes([number])).digest() for number in range(16)]
    assert "".join(str(int(Shard(1, 2).has(WRAPPED_SOL, mint))) for mint in mints) == "1010101010111011"


def test_both_halves_of_the_listed_pairs_have_work() -> None:
    listed = [pair for pair in tokens.pairs() if pair.base.mint == WRAPPED_SOL]
    first = sum(Shard(0, 2).has(pair.base.mint, pair.quote.mint) for pair in listed)
    assert 0 < first < len(listed)


@pytest.mark.parametrize("text", ["", "1", "2/2", "1/0", "-1/2", "a/b", "0/65", "0/2/3"])
def test_anything_else_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="such as 0/2"):
        parse(text)


def test_the_form_is_number_of() -> None:
    assert parse("1/2") == Shard(1, 2)
