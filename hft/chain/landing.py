"""What a landed transaction did to the wallet that paid for it: its reading, balances before and after."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from hft.chain.reading import Reading, read_transaction
from hft.chain.reading_calls import TokenBalance, parse_result


class Held(NamedTuple):
    """A wallet at one moment: lamports, and tokens in base units by mint, all its accounts together."""

    lamports: int
    tokens: Mapping[bytes, int]


class Landing(NamedTuple):
    """One landed transaction, as the chain tells it."""

    reading: Reading
    before: Held
    after: Held

    @property
    def rent_lamports(self) -> int:
        """Rent that stays in accounts that are open now; negative if more came back."""
        return self.reading.rent_locked_lamports - self.reading.rent_returned_lamports


def read_landing(result: Mapping[str, Any]) -> Landing:
    """Reads the ``result`` of getTransaction (encoding ``json``) for its fee payer; ``ReadingError``."""
    raw = parse_result(result)
    wallet = raw.keys[0]
    return Landing(
        read_transaction(result, (wallet,)),
        Held(raw.lamports_before[0], _tokens(raw.tokens_before, wallet)),
        Held(raw.lamports_after[0], _tokens(raw.tokens_after, wallet)),
    )


def in_chain_order(landings: Iterable[Landing], wrapped: bytes) -> list[Landing]:
    """Landings of one wallet in the order in which the chain executed them: by slot, and within a slot each
    before whose balance (SOL and ``wrapped``) is what the one in front of it left."""
    left = sorted(landings, key=lambda one: one.reading.slot)
    ordered: list[Landing] = []
    while left:
        same = [one for one in left if one.reading.slot == left[0].reading.slot]
        ends = {_worth(one.after, wrapped) for one in same}
        last = _worth(ordered[-1].after, wrapped) if ordered else None
        follows = [one for one in same if _worth(one.before, wrapped) == last]
        # Without a predecessor among the known: the one that none of this slot led to.
        first = [one for one in same if _worth(one.before, wrapped) not in ends]
        chosen = (follows or first or same)[0]
        left.remove(chosen)
        ordered.append(chosen)
    return ordered


def _tokens(balances: Iterable[TokenBalance], owner: bytes) -> dict[bytes, int]:
    held: dict[bytes, int] = {}
    for balance in balances:
        if balance.owner == owner:
            held[balance.mint] = held.get(balance.mint, 0) + balance.amount
    return held


def _worth(held: Held, wrapped: bytes) -> tuple[int, int]:
    return held.lamports, held.tokens.get(wrapped, 0)
