"""The book: every pool that account bytes make up, decoded when asked for and only as far as they changed.

Shared by feed, scanner, planner and executor. Which accounts a pool rests on is learnt by watching what its
decoder reads, so that a tick array that appears later, or comes into reach as the price moves, marks its
pool changed.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, cast

from hft.chain.sysvars import CLOCK_KEY, CLOCK_LAYOUT
from hft.venues import (
    DEFAULT_SETTINGS,
    Account,
    ChainClock,
    Pool,
    PoolError,
    PoolErrorCode,
    Settings,
    decode,
    decode_changed,
    venue_of,
)
from hft.wire import account as account_record
from hft.wire.account import AccountRecord

if TYPE_CHECKING:
    from hft.runtime.settings import Config
    from ringbuf import Table

UNKNOWN = AccountRecord(0, 0, bytes(32), 0, 0, b"")
"""What the table holds of an account that is followed no longer: nothing may rest on its old bytes."""

Source = Callable[[bytes], AccountRecord | None]


class Entry:
    """One pool as the book has it. ``pool`` is None while its accounts give none; ``error`` then says why."""

    __slots__ = ("changes", "dirty", "error", "key", "pool", "received_ns", "slot", "write_version")

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.pool: Pool | None = None
        self.error: PoolErrorCode | None = None
        self.dirty: set[bytes] = set()
        self.changes = 0
        self.slot = 0
        self.write_version = 0
        self.received_ns = 0


class _Accounts(Mapping[bytes, Account]):
    """What decoders read: accounts fetched from the source once, each reading noted against the pool.

    A decoder gets the record itself: it has all that an ``Account`` has, by the same names.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self.records: dict[bytes, AccountRecord | None] = {}
        self.users: dict[bytes, dict[bytes, None]] = {}
        """Account → the pools that rest on it, in the order in which they came to."""
        self.reader: Entry | None = None
        self.first_read: list[bytes] = []
        """What ``reader`` asked for and had not rested on before."""

    def record(self, key: bytes) -> AccountRecord | None:
        try:
            return self.records[key]
        except KeyError:
            record = self.records[key] = self._source(key)
            return record

    def get(self, key: bytes, default: Account | None = None) -> Account | None:  # type: ignore[override]
        reader = self.reader
        if reader is not None:
            users = self.users.get(key)
            if users is None:
                self.users[key] = {reader.key: None}
                self.first_read.append(key)
            elif reader.key not in users:
                users[reader.key] = None
                self.first_read.append(key)
        try:
            record = self.records[key]
        except KeyError:
            record = self.record(key)
        return default if record is None else cast(Account, record)

    def __getitem__(self, key: bytes) -> Account:
        account = self.get(key)
        if account is None:
            raise KeyError(key)
        return account

    def __contains__(self, key: object) -> bool:
        return isinstance(key, bytes) and self.get(key) is not None

    def __iter__(self) -> Iterator[bytes]:
        return (key for key, record in self.records.items() if record is not None)

    def __len__(self) -> int:
        return sum(record is not None for record in self.records.values())


class Book:
    """Pools over a source of account records. ``mark`` what changed, then ask for ``entry``."""

    def __init__(self, source: Source, settings: Settings = DEFAULT_SETTINGS) -> None:
        self._settings = settings
        self._accounts = _Accounts(source)
        self._seen: set[bytes] = set()
        self._changed: dict[bytes, None] = {}
        self.entries: dict[bytes, Entry] = {}
        self.clock = ChainClock(0, 0)
        self.clock_received_ns = 0

    def mark(self, keys: Iterable[bytes]) -> None:
        """The accounts ``keys`` have new bytes. New pools among them are found; pools they belong to become
        dirty.
        """
        seen, entries, changed = self._seen, self.entries, self._changed
        forget, users = self._accounts.records.pop, self._accounts.users.get
        for key in keys:
            forget(key, None)
            if key not in seen:
                seen.add(key)
                self._discover(key)
            if key == CLOCK_KEY:
                self._read_clock()
            for user in users(key, ()):
                entries[user].dirty.add(key)
                changed[user] = None

    def take_changed(self) -> list[bytes]:
        """Keys of the pools that changed since the last call, each once, in order of change."""
        changed = list(self._changed)
        self._changed.clear()
        return changed

    def entry(self, key: bytes) -> Entry | None:
        """The pool at ``key``, decoded up to the newest bytes marked; None if there is no such pool."""
        entry = self.entries.get(key)
        if entry is not None and entry.dirty:
            self._decode(entry)
        return entry

    def account(self, key: bytes) -> AccountRecord | None:
        """The newest record of any account, pool or not."""
        return self._accounts.record(key)

    def users(self, key: bytes) -> Iterable[bytes]:
        """Keys of the pools that rest on the account ``key``."""
        return self._accounts.users.get(key, ())

    def data_age_ns(self, entry: Entry, now_ns: int) -> int:
        """Age of a pool's data: since its bytes came, or since the stream last vouched for all of them.

        The chain's clock comes in order on the same stream as the accounts, so each tick of it proves every
        account seen until then current; an envelope (a message, a re-publication) proves nothing.
        """
        return max(now_ns - max(entry.received_ns, self.clock_received_ns), 0)

    def ages(self, entry_1: Entry, entry_2: Entry, now_ns: int) -> tuple[int, int]:
        """How old a route's data are: of its older pool in ns, of its newer in slots behind the clock's."""
        age_ns = max(self.data_age_ns(entry_1, now_ns), self.data_age_ns(entry_2, now_ns))
        return age_ns, max(self.clock.slot - max(entry_1.slot, entry_2.slot), 0)

    def _discover(self, key: bytes) -> None:
        record = self._accounts.record(key)
        if record is None or venue_of(Account(record.owner, record.data, record.lamports)) is None:
            return
        entry = self.entries[key] = Entry(key)
        entry.dirty.add(key)
        self._accounts.users.setdefault(key, {})[key] = None
        self._changed[key] = None

    def _decode(self, entry: Entry) -> None:
        accounts = self._accounts
        changed, entry.dirty = entry.dirty, set()
        accounts.reader = entry
        try:
            if entry.pool is None:
                entry.pool = decode(entry.key, accounts, self._settings)
            else:
                entry.pool = decode_changed(entry.pool, accounts, changed)
            entry.error = None
        except PoolError as error:
            entry.pool, entry.error = None, error.code
        finally:
            accounts.reader = None
        entry.changes += 1
        if accounts.first_read:
            # A pool is as new as all it rests on, whenever it is decoded: of these nobody told it yet.
            changed.update(accounts.first_read)
            accounts.first_read.clear()
        for key in changed:
            record = accounts.record(key)
            if record is None:
                continue
            slot, write_version, _, _, received_ns, _ = record
            if slot > entry.slot or (slot == entry.slot and write_version > entry.write_version):
                entry.slot, entry.write_version = slot, write_version
            entry.received_ns = max(entry.received_ns, received_ns)

    def _read_clock(self) -> None:
        record = self._accounts.record(CLOCK_KEY)
        if record is not None and len(record.data) == CLOCK_LAYOUT.size:
            slot, _, _, _, unix_timestamp = CLOCK_LAYOUT.unpack(record.data)
            self.clock = ChainClock(slot, unix_timestamp)
            self.clock_received_ns = record.received_ns


def pool_settings(config: "Config") -> Settings:
    """What ``[venues]`` says of how pools are priced."""
    return Settings(own_host_fee=config.venues.own_host_fee == "on")


class TableBook(Book):
    """The book over the account table in shared memory."""

    def __init__(self, table: "Table", settings: Settings = DEFAULT_SETTINGS) -> None:
        get = table.get
        unpack = account_record.unpack

        def source(key: bytes) -> AccountRecord | None:
            packed = get(key)
            if packed is None:
                return None
            record = unpack(packed)
            return None if record == UNKNOWN else record

        super().__init__(source, settings)
        self._changed_since = table.changed_since
        self._cursor = 0

    def refresh(self) -> int:
        """Takes notice of every account the feed has written since; returns how many changed."""
        self._cursor, keys = self._changed_since(self._cursor)
        if keys:
            self.mark(keys)
        return len(keys)

    def decode_all(self) -> None:
        """Takes notice of what changed and decodes those pools now, so that later questions find them
        ready."""
        self.refresh()
        for key in self.take_changed():
            self.entry(key)
