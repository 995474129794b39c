"""An opportunity's two legs, quoted on the newest state."""

from typing import NamedTuple

from hft.services.book import Book, Entry
from hft.strategy.pricing import Leg, Offer
from hft.venues import QuoteError, QuoteErrorCode, token_amount
from hft.wire import TwoHopOpportunity


class Quoted(NamedTuple):
    """An opportunity with both legs on the newest state, and the sequence that its plan would have."""

    found: TwoHopOpportunity
    offer: Offer
    leg_1: Leg
    leg_2: Leg
    sequence: int


def quote_legs(
    book: Book, found: TwoHopOpportunity, entry_1: Entry, entry_2: Entry, now_ns: int, sequence: int
) -> Quoted:
    """``found`` on its two pools as the book has them. ``QuoteError`` where a leg can't be had in full."""
    leg_1 = _leg(book, entry_1, found.base_mint, found.amount_in, now_ns)
    leg_2 = _leg(book, entry_2, found.quote_mint, leg_1.quote.amount_out, now_ns)
    slots = max(book.clock.slot - max(entry_1.slot, entry_2.slot), 0)
    offer = Offer(found.amount_in, found.amount_out, now_ns - found.scan_published_ns, slots)
    return Quoted(found, offer, leg_1, leg_2, sequence)


def token_balance(book: Book, key: bytes) -> int | None:
    """What the token account ``key`` holds, in base units; None where it isn't known."""
    record = book.account(key)
    return None if record is None or len(record.data) < 72 else token_amount(record.data)


def _leg(book: Book, entry: Entry, input_mint: bytes, amount_in: int, now_ns: int) -> Leg:
    pool = entry.pool
    assert pool is not None
    quote = pool.quote(input_mint, amount_in, book.clock)
    if quote.amount_in_used != amount_in:
        raise QuoteError(QuoteErrorCode.INSUFFICIENT_LIQUIDITY, "only a part of the input would be taken")
    vault_out = token_balance(book, pool.vaults(input_mint)[1])
    return Leg(pool, input_mint, quote, vault_out, book.data_age_ns(entry, now_ns))
