"""The feed's accounts: the newest record of each, written into the account table a batch at a time."""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, cast

from hft.chain.subscribe_merge import Version
from hft.chain.sysvars import SYSVAR_OWNER
from hft.services.book import UNKNOWN, Book
from hft.venues import ABSENT, TOKEN_2022_PROGRAM, TOKEN_PROGRAM, Account
from hft.wire.account import AccountRecord, pack, unpack
from ringbuf import RingError

if TYPE_CHECKING:
    from hft.services.tally import Tally
    from ringbuf import Table

SMALL_OWNERS = frozenset((TOKEN_PROGRAM, TOKEN_2022_PROGRAM, SYSVAR_OWNER))
GROWN_BYTES = 10_368
"""Room for an account that may be made or grow later: the largest tick and bin arrays with their header."""
_record = partial(tuple.__new__, AccountRecord)  # half the time of AccountRecord(...)


class Store:
    """See the module. ``book`` holds the pools that the records make up."""

    def __init__(self, table: "Table", tally: "Tally") -> None:
        self._table = table
        self._tally = tally
        self._pending: list[bytes] = []
        self._reshaped: list[bytes] = []
        self.records: dict[bytes, AccountRecord] = {}
        self.book = Book(self.records.get)

    def take_over(self) -> Iterator[Version]:
        """Reads what an earlier process of this run wrote: each account, so that nothing older is ever put
        over it."""
        for key in self._table.keys():  # noqa: SIM118
            packed = self._table.get(key)
            record = UNKNOWN if packed is None else unpack(packed)
            if record != UNKNOWN:
                self.records[key] = record
                held = Account(record.owner, record.data, record.lamports)
                account = None if held == ABSENT else held
                yield Version(key, record.slot, record.write_version, account, "table", record.received_ns)
        self.book.mark(self.records)

    def put(self, version: Version) -> None:
        """Takes a newer version; it is in the table after ``write``."""
        key, slot, write_version, account, _, received_ns, _ = version
        owner, data, lamports = account or ABSENT
        before = self.records.get(key)
        if before is not None and (len(before[5]) != len(data) or before[2] != owner):
            self._reshaped.append(key)
        self.records[key] = _record((slot, write_version, owner, lamports, received_ns, data))
        self._pending.append(key)

    def write(self) -> list[bytes]:
        """Puts what waits into the table, all of it together; returns the keys written.

        What the table refuses is forgotten here too: its pools are then short of an account, hence disabled.
        """
        pending, self._pending = self._pending, []
        if not pending:
            return []
        records = self.records
        store = self._store
        written = [key for key in pending if store(key, records[key])]
        if len(written) < len(pending):
            for key in set(pending) - set(written):
                del records[key]
            self._tally.refused(len(pending) - len(written))
        self._tally.applied(len(written))
        self.book.mark(pending)
        if written:
            self._tally.set("last_update_ns", records[written[-1]].received_ns)
        return written

    def take_odd(self) -> set[bytes]:
        """The pools that rest on an account which, since the last call, came with another owner or length:
        it may not be there any more."""
        if not self._reshaped:
            return set()
        reshaped, self._reshaped = self._reshaped, []
        return {pool for key in reshaped for pool in self.book.users(key)}

    def forget(self, keys: Iterable[bytes]) -> None:
        """These are followed no longer: nobody may rest on what is known of them."""
        known = [key for key in keys if self.records.pop(key, None) is not None]
        for key in known:
            self._store(key, UNKNOWN)
        self.book.mark(known)

    def account(self, key: bytes) -> Account | None:
        """The newest record of an account, which has all that an ``Account`` has, by the same names; None if
        nothing is known of it."""
        return cast("Account | None", self.records.get(key))

    def _store(self, key: bytes, record: AccountRecord) -> bool:
        packed = pack(*record)
        room = len(packed)
        if room < GROWN_BYTES and record[2] not in SMALL_OWNERS:
            room = GROWN_BYTES
        try:
            self._table.put(key, packed, room)
        except RingError:
            return False
        return True
