"""The feed on a local cluster's own WebSocket and JSON-RPC: newest bytes only, unsound pools apart, silence
and forks noticed."""

import socket
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from service_support import QUIET, House, settings
from solders.pubkey import Pubkey

from hft import wire
from hft.chain.sysvars import CLOCK_KEY
from hft.runtime.clock import SystemClock
from hft.runtime.config import ConfigError
from hft.runtime.exit_codes import ExitCode, HftError
from hft.services.book import TableBook
from hft.services.pools import named_pools
from hft.simnet.faults import Fault
from hft.venues import ABSENT, Account, Venue
from hft.venues.tokens import USDC_MINT, load_tokens
from hft.wire.account import AccountRecord, unpack
from hft.wire.enums import PoolDisabledReason, PoolStatus
from hft.wire.records.pool_update import PoolUpdate

Make = Callable[..., House]
CALM = settings(simnet=QUIET, feed={"stale_after_ms": 60_000, "start_wait_ms": 0})
HASTY = settings(simnet=QUIET, feed={"stale_after_ms": 400, "start_wait_ms": 0})
"""Silence is noticed soon: for tests of silence alone, as a machine may be busy elsewhere for that long."""


class JumpingClock(SystemClock):
    """The machine's clocks, the date moved by hand."""

    __slots__ = ("moved_ns",)

    def __init__(self) -> None:
        self.moved_ns = 0

    def unix_ns(self) -> int:  # type: ignore[override]
        return SystemClock.unix_ns() + self.moved_ns


class Fed:
    """A feed that knows the whole market of a quiet local cluster, whose accounts the test writes."""

    def __init__(self, run: House) -> None:
        self.run = run
        self.reader = run.reader("market_data")
        self.others: list[bytes] = []
        run.open("simnet", "feed")
        self.bank = run.services["simnet"]._bank
        self.cluster = run.services["simnet"]._cluster
        self.pool = next(key for key, pool in self.bank.pools.items() if pool.venue == Venue.RAYDIUM_V4)
        self.told = self.updates(len(self.bank.pools))

    def write(self, accounts: dict[bytes, Account]) -> None:
        """One batch of accounts on the cluster, told to whoever subscribed."""
        self.bank.write(accounts)
        self.cluster.publish()

    def lamports(self, key: bytes, lamports: int) -> None:
        self.write({key: self.bank.accounts[key]._replace(lamports=lamports)})

    def fault(self, kind: str, **more: Any) -> None:
        self.cluster.act(Fault(1, kind, **more))

    def updates(self, count: int) -> list[PoolUpdate]:
        """The next pool updates, at least so many."""
        found: list[PoolUpdate] = []

        def enough() -> bool:
            for message in self.reader.take_batch(64):
                if wire.identifier(message) == b"HFPU":
                    found.append(wire.pool_update.decode(message))
                else:
                    self.others.append(message)
            return len(found) >= count

        self.run.until(enough)
        return found

    def held(self, key: bytes) -> AccountRecord | None:
        packed = self.run.contexts["feed"].table.get(key)
        return None if packed is None else unpack(packed)

    def count(self, name: str) -> int:
        return self.run.count("feed", name)


@pytest.fixture
def fed(house: Make) -> Fed:
    return Fed(house(CALM))


def test_the_snapshot_announces_each_pool_once_and_fills_the_table(fed: Fed) -> None:
    assert {update.pool for update in fed.told} == set(fed.bank.pools)
    assert all(update.status == PoolStatus.ACTIVE for update in fed.told)
    assert len({update.trace_id for update in fed.told}) == len(fed.told)
    book = TableBook(fed.run.contexts["feed"].table)
    book.refresh()
    for key, pool in fed.bank.pools.items():
        entry = book.entry(key)
        assert entry is not None
        assert entry.pool is not None
        assert (entry.pool.mint_a, entry.pool.mint_b) == (pool.mint_a, pool.mint_b)
        assert fed.held(pool.vault_a) is not None
        assert fed.held(pool.vault_b) is not None
    wallet = fed.run.services["feed"]._wallet
    assert unpack(fed.run.contexts["feed"].table.get(wallet) or b"").lamports > 0


def test_a_write_comes_with_the_time_it_was_read_and_each_pool_once(fed: Fed) -> None:
    pool = fed.bank.pools[fed.pool]
    before_ns = fed.run.clock.monotonic_ns()
    keys = (pool.vault_a, pool.vault_b, fed.pool)
    fed.write({key: fed.bank.accounts[key]._replace(lamports=99) for key in keys})
    (update,) = fed.updates(1)
    assert (update.pool, update.accounts_changed, update.status) == (fed.pool, 3, PoolStatus.ACTIVE)
    assert before_ns < update.received_ns <= update.published_ns
    assert update.slot <= fed.bank.slot
    record = fed.held(pool.vault_b)
    assert record is not None
    assert (record.lamports, record.received_ns) == (99, update.received_ns)


def test_row_06_what_a_lagging_node_tells_is_ignored(house: Make) -> None:
    config = settings(simnet=QUIET)
    run = house(config)
    run.open("simnet")
    base = f"127.0.0.1:{run.services['simnet']._doors.port}/node/"
    urls = {"rpc_urls": (f"http://{base}a", f"http://{base}b"), "ws_urls": (f"ws://{base}a", f"ws://{base}b")}
    object.__setattr__(run.run, "config", replace(config, chain=replace(config.chain, **urls)))
    run.services["simnet"]._cluster.act(Fault(1, "lagging_node", node="b", slots=6, times=0))
    reader = run.reader("market_data")
    run.open("feed")
    run.until(lambda: run.count("feed", "connects") == 2)
    bank, cluster = run.services["simnet"]._bank, run.services["simnet"]._cluster
    vault = next(pool for pool in bank.pools.values() if pool.venue == Venue.RAYDIUM_V4).vault_a
    for lamports in (7, 8, 9):
        slot = bank.slot
        bank.write({vault: bank.accounts[vault]._replace(lamports=lamports)})
        cluster.publish()
        run.until(lambda slot=slot: bank.slot > slot + 1)
    old = run.count("feed", "dropped_old")
    run.until(lambda: run.count("feed", "dropped_old") >= old + 3)
    packed = run.contexts["feed"].table.get(vault)
    assert packed is not None
    assert unpack(packed).lamports == 9
    slots: dict[bytes, int] = {}
    for message in reader.take_batch(1_000):
        if wire.identifier(message) == b"HFPU":
            update = wire.pool_update.decode(message)
            assert update.slot >= slots.get(update.pool, 0)
            slots[update.pool] = update.slot


@pytest.mark.parametrize("notify", ["write", "slot"])
def test_row_06_a_fork_that_loses_disables_its_pools_until_their_state_is_back(
    house: Make, notify: str
) -> None:
    fed = Fed(house(settings(simnet={**QUIET, "notify": notify})))
    vault = fed.bank.pools[fed.pool].vault_a
    true = fed.bank.accounts[vault].lamports
    slot = fed.bank.slot
    fed.run.until(lambda: fed.count("slot") > slot + 3)  # what the snapshot told stands
    fed.lamports(vault, 7)
    (update,) = fed.updates(1)
    assert update.pool == fed.pool
    fed.fault("fork_revert", slots=fed.bank.slot - slot - 2)
    told = fed.updates(1)
    if told[0].status == PoolStatus.DISABLED:
        told += fed.updates(2 - len(told))
        assert told[0].disabled_reason == PoolDisabledReason.REVERTED
    else:
        assert notify == "write"  # the state of the fork that won was told before the fork itself
    assert (told[-1].pool, told[-1].status) == (fed.pool, PoolStatus.ACTIVE)
    record = fed.held(vault)
    assert record is not None
    assert record.lamports == true
    fed.run.until(lambda: fed.count("reverts") >= 1)
    assert not fed.run.services["feed"]._judge.reverted
    assert slot < fed.count("revert_slot") <= update.slot
    assert update.received_ns < fed.count("revert_ns") <= fed.run.clock.monotonic_ns()


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
    sound = fed.bank.accounts[fed.pool]
    fed.write({fed.pool: change(sound)})
    told = fed.updates(
        1
    )  # no word before that it changed: what is not there or of another kind is judged first
    assert [(update.pool, update.disabled_reason) for update in told] == [(fed.pool, reason)]
    fed.run.cycle()
    assert fed.count("pools_disabled") == 1
    other = next(
        pool for key, pool in fed.bank.pools.items() if pool.venue == Venue.RAYDIUM_V4 and key != fed.pool
    )
    fed.lamports(other.vault_a, 9)
    assert [(update.pool, update.status) for update in fed.updates(1)] == [(other.key, PoolStatus.ACTIVE)]
    fed.write({fed.pool: sound})  # and once it is sound again it comes back
    assert [(update.pool, update.status) for update in fed.updates(1)] == [(fed.pool, PoolStatus.ACTIVE)]
    fed.run.cycle()
    assert fed.count("pools_disabled") == 0


def test_the_chains_clock_goes_through_the_table_and_slots_are_told(fed: Fed) -> None:
    slot = fed.bank.slot
    fed.run.until(lambda: fed.count("slot") > slot + 2)
    book = TableBook(fed.run.contexts["feed"].table)
    book.refresh()
    assert book.clock.slot > slot
    assert abs(book.clock.unix_timestamp - fed.bank.clock.unix_timestamp) <= 1
    assert fed.held(CLOCK_KEY) is not None
    fed.lamports(fed.bank.pools[fed.pool].vault_a, 5)
    fed.updates(1)
    slots = [wire.slot_update.decode(message) for message in fed.others]
    assert slots
    assert all(later.slot > earlier.slot for earlier, later in pairwise(slots))
    assert all(update.parent_slot < update.slot for update in slots)


def test_row_07_a_silent_stream_disables_all_and_a_snapshot_comes_before_trading(house: Make) -> None:
    fed = Fed(house(HASTY))
    vault = fed.bank.pools[fed.pool].vault_a
    fed.fault("silent_websocket", times=0)
    stale = fed.updates(len(fed.bank.pools))
    assert {update.disabled_reason for update in stale} == {PoolDisabledReason.STALE}
    assert {update.pool for update in stale} == set(fed.bank.pools)
    assert fed.count("silences") >= 1
    fed.lamports(vault, 11)  # nobody hears of it
    fed.run.until(lambda: fed.count("silences") >= 2)  # snapshots, then silence again: still no trading
    fed.cluster.faults.clear()
    back = fed.updates(len(fed.bank.pools))
    active = [update for update in back if update.status == PoolStatus.ACTIVE]
    assert {update.pool for update in active} >= set(fed.bank.pools)
    record = fed.held(vault)
    assert record is not None
    assert record.lamports == 11


def test_row_11_a_wall_clock_that_jumps_an_hour_changes_nothing(house: Make) -> None:
    clock = JumpingClock()
    fed = Fed(house(CALM, clock=clock))
    vault = fed.bank.pools[fed.pool].vault_a
    received_ns = 0
    for hours in (1, -2, 5):
        clock.moved_ns += hours * 3_600_000_000_000
        fed.lamports(vault, 10 + hours)
        (update,) = fed.updates(1)
        assert received_ns < update.received_ns <= update.published_ns <= clock.monotonic_ns()
        received_ns = update.received_ns
    assert (fed.count("silences"), fed.count("disconnects")) == (0, 0)


def test_a_restarted_feed_puts_nothing_older_over_what_is_there(house: Make) -> None:
    slow = replace(CALM, simnet=replace(CALM.simnet, slot_ms=1_000))  # the node is a minute late
    fed = Fed(house(slow))
    vault = fed.bank.pools[fed.pool].vault_a
    fed.lamports(vault, 7)
    fed.updates(1)
    fed.run.services["feed"]._sources.close()
    fed.run.crash("feed")
    fed.fault("lagging_node", slots=60, times=0)
    fed.run.open("feed")
    fed.run.until(lambda: fed.count("connects") == 2)
    record = fed.held(vault)
    assert record is not None
    assert record.lamports == 7
    fed.run.until(lambda: fed.count("dropped_old") > 0)  # shown by the next housekeeping


def test_an_account_that_outgrows_its_place_in_the_table_disables_its_pool(fed: Fed) -> None:
    vault = fed.bank.pools[fed.pool].vault_a
    account = fed.bank.accounts[vault]
    fed.write({vault: account._replace(data=account.data + bytes(50_000))})
    told = [update for update in fed.updates(1) if update.status == PoolStatus.DISABLED]
    assert [(update.pool, update.disabled_reason) for update in told] == [
        (fed.pool, PoolDisabledReason.ACCOUNT_MISSING)
    ]
    fed.run.cycle()
    assert fed.count("dropped_table_full") == 1
    fed.write({vault: account})
    assert [(update.pool, update.status) for update in fed.updates(1)] == [(fed.pool, PoolStatus.ACTIVE)]


def test_counters_balance(fed: Fed) -> None:
    for n in range(20):
        fed.lamports(fed.bank.pools[fed.pool].vault_a, 100 + n)
        fed.updates(1)
    fed.run.shut("feed")
    places = ("dropped_old", "duplicate_accounts", "dropped_dead_fork", "coalesced_accounts")
    places += ("unwatched_accounts", "dropped_table_full", "pending_accounts", "applied_accounts")
    assert fed.count("in_accounts") == sum(fed.count(name) for name in places) > 20


@pytest.fixture
def quiet(house: Make) -> House:
    """A run with nothing but its local cluster."""
    run = house(settings(simnet=QUIET))
    run.open("simnet")
    return run


def choose(run: House, *pools: str) -> None:
    """Sets the pools to watch."""
    config = run.run.config
    chosen = replace(config, chain=replace(config.chain, pools=pools))
    object.__setattr__(run.run, "config", chosen)


def refused(run: House, *pools: str) -> str:
    """What a feed says that is told to watch these pools."""
    choose(run, *pools)

    def begin() -> None:
        run.open("feed")
        run.until(lambda: run.count("feed", "pools") > 0)

    with pytest.raises(HftError) as caught:
        begin()
    run.services.setdefault("feed", None)
    run.crash("feed")
    assert caught.value.code is ExitCode.CONFIG
    return str(caught.value)


def test_row_10_pools_that_can_not_be_right_are_refused_with_the_reason(quiet: House) -> None:
    mint = str(Pubkey(USDC_MINT))
    text = refused(quiet, mint)
    assert mint in text
    assert "no pool of a known venue" in text
    text = refused(quiet, "nonsense", mint, mint)
    assert "'nonsense' is no base58 key" in text
    assert "named twice" in text


def test_row_10_a_pool_of_an_unlisted_mint_is_refused_by_name(
    quiet: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = load_tokens()
    del listed[USDC_MINT]
    monkeypatch.setattr("hft.services.sources.load_tokens", lambda: listed)
    pools = quiet.services["simnet"]._bank.pools.values()
    pool = next(pool for pool in pools if USDC_MINT in (pool.mint_a, pool.mint_b))
    text = refused(quiet, str(Pubkey(pool.key)))
    assert f"{Pubkey(pool.key)} trades {Pubkey(USDC_MINT)}, not in the token list" in text


def test_named_pools_alone_are_watched(quiet: House) -> None:
    key = next(iter(quiet.services["simnet"]._bank.pools))
    choose(quiet, str(Pubkey(key)))
    quiet.open("feed")
    quiet.until(lambda: quiet.count("feed", "pools") > 0)
    assert set(quiet.services["feed"]._judge.statuses) == {key}


def test_live_mode_without_pools_names_the_key(house: Make) -> None:
    config = settings(hft={"mode": "live"})
    with pytest.raises(ConfigError, match=r"\[chain\] pools: live mode needs at least one"):
        named_pools(config)


def test_yellowstone_feeds_beside_the_websocket_and_alone_when_that_is_silent(house: Make) -> None:
    pytest.importorskip("grpc")
    config = settings(simnet={**QUIET, "grpc_port": 0}, feed={"stale_after_ms": 400, "start_wait_ms": 0})
    run = house(config)
    run.open("simnet")
    port = run.services["simnet"]._doors.grpc_port
    node = f"127.0.0.1:{run.services['simnet']._doors.port}/node/a"
    urls = {"rpc_urls": (f"http://{node}",), "ws_urls": (f"ws://{node}",)}
    chain = replace(config.chain, yellowstone_url=f"http://127.0.0.1:{port}", **urls)
    object.__setattr__(run.run, "config", replace(config, chain=chain))
    run.open("feed")
    run.until(lambda: run.count("feed", "connects") == 2)
    bank, cluster = run.services["simnet"]._bank, run.services["simnet"]._cluster
    cluster.act(Fault(1, "silent_websocket", node="a", times=0))
    run.until(lambda: run.count("feed", "silences") >= 1)
    vault = next(iter(bank.pools.values())).vault_a
    bank.write({vault: bank.accounts[vault]._replace(lamports=4_321)})
    cluster.publish()

    def held() -> bool:
        packed = run.contexts["feed"].table.get(vault)
        return packed is not None and unpack(packed).lamports == 4_321

    run.until(held)
    assert unpack(run.contexts["feed"].table.get(vault) or b"").write_version > 0


def test_a_yellowstone_server_outside_is_refused_by_its_key(quiet: House) -> None:
    config = quiet.run.config
    chosen = replace(config, chain=replace(config.chain, yellowstone_url="https://grpc.example.org:443"))
    object.__setattr__(quiet.run, "config", chosen)
    assert "[chain] yellowstone_url" in refused(quiet)


def test_a_node_that_tells_nothing_is_told_of_once_a_change_by_its_host_alone(
    house: Make, capfd: pytest.CaptureFixture[str]
) -> None:
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place, chain = f"127.0.0.1:{port}", f"127.0.0.1:{port}/node/secret-path"
    http = f"http://{chain}"
    nodes = {"rpc_urls": (http,), "ws_urls": (f"ws://{chain}",), "jito_urls": (http,), "tip_floor_url": http}
    feed = {"stale_after_ms": 60_000, "start_wait_ms": 0}
    run = house(settings(simnet={**QUIET, "port": port}, feed=feed, chain=nodes))
    told: list[str] = []

    def said(text: str) -> bool:
        lines = capfd.readouterr().err.splitlines()
        told.extend(line.partition(" feed: ")[2] for line in lines if " feed: node0 " in line)
        return text in told

    run.open("feed")
    run.until(lambda: run.count("feed", "survey_failures") >= 3)
    assert said(f"node0 at {place}: JSON-RPC: nobody listens there")
    assert len(told) == 1, told
    run.open("simnet")
    run.until(lambda: run.count("feed", "connects") == 1)
    run.until(lambda: said(f"node0 at {place}: answers again"))
    run.shut("simnet")
    failures = run.count("feed", "connection_failures")
    run.until(lambda: run.count("feed", "connection_failures") >= failures + 4)
    assert said(f"node0 at {place}: nobody listens there")
    assert told.count(f"node0 at {place}: nobody listens there") == 1, told
    assert "secret-path" not in "".join(told)
