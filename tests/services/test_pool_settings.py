"""``[venues]`` reaches the pools that services price: with the own host account off, no rebate is counted."""

from dataclasses import replace

import pytest

from hft.runtime.settings import Config, Venues
from hft.services.book import Book, pool_settings
from hft.venues import quote
from hft.wire.account import AccountRecord
from perf.made_up import CLOCK, accounts_of


@pytest.mark.parametrize("variant", ["meteora_dlmm", "meteora_damm_v2"])
@pytest.mark.parametrize("choice", ["on", "off"])
def test_the_own_host_account_is_a_setting(variant: str, choice: str) -> None:
    records = {
        key: AccountRecord(1, 1, account.owner, account.lamports, 0, account.data)
        for key, account in accounts_of(variant).items()
    }
    book = Book(records.get, pool_settings(replace(Config(), venues=Venues(own_host_fee=choice))))
    book.mark(records)
    (entry,) = [found for key in book.entries if (found := book.entry(key))]
    assert entry.pool is not None
    rebate = quote(entry.pool, entry.pool.mint_a, 10**9, CLOCK).rebate
    assert rebate > 0 if choice == "on" else rebate == 0
    assert Config().venues.own_host_fee == "on"
