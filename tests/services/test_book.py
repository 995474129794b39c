"""The book: a pool, and how new its data are, is the same whenever it is decoded."""

import random
from collections.abc import Callable, Iterator

import pytest

from hft.services.book import Book, Entry
from hft.simnet.market import load_market
from hft.venues import Account
from hft.wire.account import AccountRecord

Change = tuple[bytes, AccountRecord]


def changes(seed: int) -> Iterator[Change]:
    """The shipped market's accounts in any order, each once, then some again; each later than the last."""
    market = load_market()
    dice = random.Random(seed)
    keys = list(market.accounts)
    dice.shuffle(keys)
    for number, key in enumerate(keys + dice.choices(keys, k=len(keys))):
        account: Account = market.accounts[key]
        owner, data, lamports = account.owner, account.data, account.lamports
        yield key, AccountRecord(1_000 + number // 3, number, owner, lamports, 10**9 + number, data)


def taken(seed: int, ready: Callable[[int], bool]) -> dict[bytes, Entry]:
    """The entries at the end, decoded whenever ``ready`` (of the number of changes so far) says so."""
    records: dict[bytes, AccountRecord] = {}
    book = Book(records.get)
    for number, (key, record) in enumerate(changes(seed)):
        records[key] = record
        book.mark((key,))
        if ready(number):
            for pool in book.take_changed():
                book.entry(pool)
    for pool in list(book.entries):
        book.entry(pool)
    check_newest(book, records)
    return book.entries


def check_newest(book: Book, records: dict[bytes, AccountRecord]) -> None:
    """Each pool is as new as the newest of the accounts that it rests on."""
    for pool, entry in book.entries.items():
        rests_on = [record for key, record in records.items() if pool in book.users(key)]
        newest = max((record.slot, record.write_version) for record in rests_on)
        assert (entry.slot, entry.write_version) == newest
        assert entry.received_ns == max(record.received_ns for record in rests_on)


@pytest.mark.parametrize("seed", range(3))
def test_a_pools_age_does_not_hang_on_when_it_was_decoded(seed: int) -> None:
    dice = random.Random(seed)
    at_once = taken(seed, lambda _: True)
    now_and_then = taken(seed, lambda _: dice.random() < 0.02)
    in_the_end = taken(seed, lambda _: False)
    assert at_once.keys() == now_and_then.keys() == in_the_end.keys()
    assert sum(entry.pool is not None for entry in at_once.values()) > 5
    for key, entry in at_once.items():
        for other in (now_and_then[key], in_the_end[key]):
            assert (other.slot, other.write_version) == (entry.slot, entry.write_version)
            assert other.received_ns == entry.received_ns
            assert (other.pool is None, other.error) == (entry.pool is None, entry.error)
