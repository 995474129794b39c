"""The feed: newest bytes only, unsound pools apart, silence noticed."""

from collections.abc import Callable

import pytest
from service_support import Cluster, House, settings

from hft import wire
from hft.chain.frames import AccountUpdate
from hft.runtime.clock import ManualClock
from hft.services.book import CLOCK_KEY, TableBook
from hft.simnet.market import Market, load_market
from hft.venues import ABSENT, Account, Venue
from hft.wire.account import unpack
from hft.wire.enums import PoolDisabledReason, PoolStatus
from hft.wire.records.pool_update import PoolUpdate

Make = Callable[..., House]
Serve = Callable[[House], Cluster]


class Fed:
    """A feed on a cluster that the test serves with the shipped market."""

    def __init__(self, run: House, cluster: Cluster) -> None:
        self.run, self.cluster = run, cluster
        self.market: Market = load_market(())
        self.reader = run.reader("market_data")
        self.pool = next(key for key, pool in self.market.pools.items() if pool.venue == Venue.RAYDIUM_V4)
        run.open("feed")
        self.connected()
        self.snapshot(100)
        self.batches = 1
        self.told = self.updates(len(self.market.pools))

    def connected(self) -> None:
        def known() -> bool:
            self.cluster.server.poll()
            return bool(self.cluster.clients)

        self.run.until(known)

    def update(self, key: bytes, account: Account, slot: int, version: int) -> AccountUpdate:
        return AccountUpdate(slot, version, key, account.owner, account.lamports, account.data, False)

    def snapshot(self, slot: int) -> None:
        accounts = self.market.accounts.items()
        self.cluster.accounts(
            *(self.update(key, account, slot, n) for n, (key, account) in enumerate(accounts))
        )

    def send(self, key: bytes, account: Account, slot: int, version: int = 0) -> None:
        before = self.run.count("feed", "in_accounts")
        self.cluster.accounts(self.update(key, account, slot, version))
        self.run.until(lambda: self.run.count("feed", "in_accounts") > before)

    def updates(self, count: int) -> list[PoolUpdate]:
        found: list[PoolUpdate] = []

        def enough() -> bool:
            found.extend(wire.pool_update.decode(message) for message in self.reader.take_batch(64))
            return len(found) >= count

        self.run.until(enough)
        return found


@pytest.fixture
def fed(house: Make, cluster: Serve) -> Fed:
    run = house(settings(feed={"stale_after_ms": 200}), clock=ManualClock())
    return Fed(run, cluster(run))


def test_the_snapshot_announces_each_pool_once_and_fills_the_table(fed: Fed) -> None:
    assert {update.pool for update in fed.told} == set(fed.market.pools)
    assert all(update.status == PoolStatus.ACTIVE for update in fed.told)
    assert len({update.trace_id for update in fed.told}) == len(fed.told)
    assert [update.sequence for update in fed.told] == list(range(len(fed.told)))
    book = TableBook(fed.run.contexts["feed"].table)
    book.refresh()
    for key, pool in fed.market.pools.items():
        entry = book.entry(key)
        assert entry is not None
        assert entry.pool is not None
        assert (entry.pool.mint_a, entry.pool.mint_b) == (pool.mint_a, pool.mint_b)


def test_row_06_an_old_or_out_of_order_write_is_ignored(fed: Fed) -> None:
    vault = fed.market.pools[fed.pool].vault_a
    account = fed.market.accounts[vault]
    fed.send(vault, account._replace(lamports=7), slot=200, version=5)
    (update,) = fed.updates(1)
    assert (update.pool, update.slot, update.write_version, update.accounts_changed) == (fed.pool, 200, 5, 1)
    old = fed.run.count("feed", "dropped_old")
    for slot, version in ((200, 5), (200, 4), (199, 9), (1, 10**6)):
        fed.send(vault, account._replace(lamports=8), slot, version)
    assert fed.run.count("feed", "dropped_old") == old + 4
    assert not fed.reader.take_batch(8)
    record = fed.run.contexts["feed"].table.get(vault)
    assert record is not None
    assert unpack(record).lamports == 7


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda account: ABSENT, PoolDisabledReason.ACCOUNT_MISSING),
        (lambda account: account._replace(owner=bytes(31) + b"\x01"), PoolDisabledReason.WRONG_OWNER),
        (lambda account: account._replace(data=account.data[:100]), PoolDisabledReason.SHORT_DATA),
    ],
)
def test_row_08_a_broken_pool_is_disabled_and_the_others_go_on(
    fed: Fed, change: Callable[[Account], Account], reason: PoolDisabledReason
) -> None:
    sound = fed.market.accounts[fed.pool]
    fed.send(fed.pool, change(sound), slot=300)
    told = [update for update in fed.updates(2) if update.status == PoolStatus.DISABLED]
    assert [(update.pool, update.disabled_reason) for update in told] == [(fed.pool, reason)]
    assert fed.run.count("feed", "pools_disabled") == 1
    other = next(
        pool for key, pool in fed.market.pools.items() if pool.venue == Venue.RAYDIUM_V4 and key != fed.pool
    )
    fed.send(other.vault_a, fed.market.accounts[other.vault_a]._replace(lamports=9), slot=301)
    assert [(update.pool, update.status) for update in fed.updates(1)] == [(other.key, PoolStatus.ACTIVE)]
    fed.send(fed.pool, sound, slot=302)  # and once it is sound again it comes back
    assert [(update.pool, update.status) for update in fed.updates(1)] == [(fed.pool, PoolStatus.ACTIVE)]
    fed.run.cycle()
    assert fed.run.count("feed", "pools_disabled") == 0


def test_unknown_accounts_are_counted_and_stay_out_of_the_table(fed: Fed) -> None:
    before = fed.run.count("feed", "filtered_unknown_account")
    stranger = Account(b"\x07" * 32, b"whatever", 5)
    fed.send(b"\x09" * 32, stranger, slot=300)
    assert fed.run.count("feed", "filtered_unknown_account") == before + 1
    assert fed.run.contexts["feed"].table.get(b"\x09" * 32) is None


def test_a_batch_announces_each_pool_once_at_its_end(fed: Fed) -> None:
    pool = fed.market.pools[fed.pool]
    keys = (pool.vault_a, pool.vault_b, fed.pool)
    accounts = [fed.market.accounts[key]._replace(lamports=99) for key in keys]
    fed.cluster.accounts(
        *(
            fed.update(key, account, 400, n)
            for n, (key, account) in enumerate(zip(keys, accounts, strict=True))
        )
    )
    (update,) = fed.updates(1)
    assert (update.pool, update.accounts_changed, update.write_version) == (fed.pool, 3, 2)


def test_the_chains_clock_goes_through_the_table_and_never_back(fed: Fed) -> None:
    fed.cluster.slot(slot=500, block_height=400, unix_timestamp=1_700_000_000)
    fed.run.until(lambda: fed.run.count("feed", "slot") == 500)
    book = TableBook(fed.run.contexts["feed"].table)
    book.refresh()
    assert book.clock == (500, 1_700_000_000)
    fed.cluster.slot(slot=499, block_height=399, unix_timestamp=1)
    fed.run.until(lambda: fed.run.count("feed", "dropped_old_slot") == 1)
    book.refresh()
    assert book.clock.slot == 500
    assert fed.run.contexts["feed"].table.get(CLOCK_KEY) is not None


def test_row_07_a_silent_stream_disables_all_and_a_snapshot_comes_before_trading(fed: Fed) -> None:
    clock = fed.run.clock
    assert isinstance(clock, ManualClock)
    clock.advance(199_000_000)
    fed.run.cycle()
    assert fed.run.count("feed", "silences") == 0
    clock.advance(2_000_000)
    fed.run.cycle()
    assert fed.run.count("feed", "silences") == 1
    stale = fed.updates(len(fed.market.pools))
    assert {update.disabled_reason for update in stale} == {PoolDisabledReason.STALE}
    assert {update.pool for update in stale} == set(fed.market.pools)
    fed.cluster.clients.clear()
    clock.advance(60_000_000)
    fed.connected()
    assert fed.run.count("feed", "connects") == 2
    fed.cluster.slot(slot=600, block_height=500)
    fed.run.until(lambda: fed.run.count("feed", "slot") == 600)
    assert not fed.reader.take_batch(8)  # a slot is no snapshot
    fed.snapshot(100)  # nothing newer than what is known: it still vouches for every pool
    back = fed.updates(len(fed.market.pools))
    assert {(update.pool, update.status) for update in back} == {
        (key, PoolStatus.ACTIVE) for key in fed.market.pools
    }


def test_row_11_a_wall_clock_that_jumps_an_hour_changes_nothing(fed: Fed) -> None:
    clock = fed.run.clock
    assert isinstance(clock, ManualClock)
    for hours in (1, -2):
        clock.jump_wall(hours * 3_600_000_000_000)
        fed.run.cycle()
    assert fed.run.count("feed", "silences") == 0


def test_a_restarted_feed_puts_nothing_older_over_what_is_there(fed: Fed, cluster: Serve) -> None:
    vault = fed.market.pools[fed.pool].vault_a
    fed.send(vault, fed.market.accounts[vault]._replace(lamports=7), slot=700)
    fed.updates(1)
    fed.run.crash("feed")
    fed.cluster.clients.clear()
    fed.run.open("feed")
    fed.connected()
    before = fed.run.count("feed", "in_accounts")
    fed.snapshot(100)
    fed.run.until(lambda: fed.run.count("feed", "in_accounts") == before + len(fed.market.accounts))
    record = fed.run.contexts["feed"].table.get(vault)
    assert record is not None
    assert unpack(record).lamports == 7
    assert {update.pool for update in fed.updates(len(fed.market.pools))} == set(fed.market.pools)


def test_an_account_that_outgrows_its_place_in_the_table_disables_its_pool(fed: Fed) -> None:
    vault = fed.market.pools[fed.pool].vault_a
    account = fed.market.accounts[vault]
    fed.send(vault, account._replace(data=account.data + bytes(50_000)), slot=800)
    told = [update for update in fed.updates(2) if update.status == PoolStatus.DISABLED]
    assert [(update.pool, update.disabled_reason) for update in told] == [
        (fed.pool, PoolDisabledReason.ACCOUNT_MISSING)
    ]
    assert fed.run.count("feed", "dropped_table_full") == 1
    fed.send(vault, account, slot=801)
    assert [(update.pool, update.status) for update in fed.updates(1)] == [(fed.pool, PoolStatus.ACTIVE)]
