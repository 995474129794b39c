"""The feed: account bytes from the cluster into the account table, what changed into ``market_data``.

Newest only, by (slot, write_version); a batch's accounts are written together and each pool they touch is
announced once, at the end of the batch. A pool whose accounts give no pool is disabled and says why; the
others go on.

Counters: in_accounts = applied_accounts + dropped_old + filtered_unknown_account + dropped_table_full (+
pending).
"""

from typing import TYPE_CHECKING

from hft.chain.frames import AccountUpdate, SlotUpdate
from hft.chain.keys import paper_keypair
from hft.chain.local import ClusterClosed, ClusterError, LocalCluster
from hft.services import announce
from hft.services.announce import UNTOUCHED, Announcer, touches
from hft.services.book import CLOCK_KEY, CLOCK_LAYOUT, Book
from hft.services.common import SYSTEM_COUNTERS, SystemLink
from hft.venues import TOKEN_2022_PROGRAM, TOKEN_PROGRAM, VENUES, PoolErrorCode
from hft.wire.account import AccountRecord, pack, unpack
from ringbuf import RingError

if TYPE_CHECKING:
    from hft.runtime.context import Context

COUNTERS: tuple[str, ...] = (
    "in_accounts",
    "in_slots",
    "applied_accounts",
    "pending_accounts",
    "dropped_old",
    "dropped_old_slot",
    "filtered_unknown_account",
    "dropped_table_full",
    *announce.COUNTERS,
    "pools",
    "pools_disabled",
    "connects",
    "disconnects",
    "silences",
    "slot",
    "last_update_ns",
    *SYSTEM_COUNTERS,
)
HISTOGRAMS: tuple[str, ...] = announce.HISTOGRAMS

SYSVAR_OWNER = bytes.fromhex("06a7d5171875f729c73d93408f216120067ed88c76e08c287fc1946000000000")
KNOWN_OWNERS = frozenset(
    (*(spec.program for spec in VENUES), TOKEN_PROGRAM, TOKEN_2022_PROGRAM, SYSVAR_OWNER)
)
TOKEN_OWNERS = frozenset((TOKEN_PROGRAM, TOKEN_2022_PROGRAM, SYSVAR_OWNER))
GROWN_BYTES = 10_368
"""Room for an account that may be made or grow later: the largest tick and bin arrays with their header."""

POLL_LIMIT = 256
PENDING_LIMIT = 4_096
"""Accounts of one batch that wait for its end; a longer batch is published in parts."""
RECONNECT_NS = 50_000_000


def build(ctx: "Context") -> "Feed":
    """The feed of a run: attaches the table and the link, does not connect yet."""
    return Feed(ctx)


class Feed:
    """See the module. ``wait`` sleeps on the cluster's socket."""

    def __init__(self, ctx: "Context") -> None:
        self._clock = ctx.clock
        self._counters = ctx.counters
        self._table = ctx.table
        self._announcer = Announcer(ctx)
        self._system = SystemLink(ctx)
        self._cluster = LocalCluster(str(ctx.run.socket_path), monotonic_ns=ctx.clock.monotonic_ns)
        self._stale_after_ns = ctx.config.feed.stale_after_ms * 1_000_000
        self._wallet = bytes(paper_keypair(ctx.config.simnet.seed).pubkey())
        self._records: dict[bytes, AccountRecord] = {}
        self._book = Book(self._records.get)
        self._pending: list[bytes] = []
        self._batch_ns = 0
        self._stale = False
        self._last_event_ns = 0
        self._next_connect_ns = 0
        self._slot = 0
        self._last_update_ns = 0
        self._statuses: dict[bytes, PoolErrorCode | None] = {}
        names = ("in_accounts", "in_slots", "applied_accounts", "dropped_old", "filtered_unknown_account")
        index = ctx.counters.index
        self._in, self._slots, self._applied_at, self._old, self._unknown = (index(name) for name in names)
        self._full = index("dropped_table_full")
        self._old_slot = index("dropped_old_slot")

    def on_start(self) -> None:
        """Takes over what an earlier process of this run wrote, so that nothing older is ever put over it."""
        for key in self._table.keys():  # noqa: SIM118
            record = self._table.get(key)
            if record is not None:
                self._records[key] = unpack(record)
        self._book.mark(self._records)
        self._connect(self._clock.monotonic_ns())

    def do_work(self) -> int:
        """Takes what the cluster sent; at most ``POLL_LIMIT`` events."""
        return self._cluster.poll(self._on_event, POLL_LIMIT)

    def wait(self, timeout_ns: int) -> None:
        self._cluster.wait(timeout_ns)

    def on_housekeeping(self, now_ns: int) -> None:
        """Reconnects, watches for silence, shows gauges."""
        self._system.poll()
        counters = self._counters
        if not self._cluster.connected:
            if now_ns >= self._next_connect_ns:
                self._connect(now_ns)
        elif now_ns - self._last_event_ns > self._stale_after_ns:
            counters.add(counters.index("silences"))
            self._cluster.close()
            self._lost_stream(now_ns)
        counters.set(counters.index("slot"), self._slot)
        counters.set(counters.index("last_update_ns"), self._last_update_ns)
        counters.set(counters.index("pending_accounts"), len(self._pending))
        counters.set(counters.index("pools"), len(self._statuses))
        disabled = sum(1 for status in self._statuses.values() if status is not None)
        counters.set(counters.index("pools_disabled"), len(self._statuses) if self._stale else disabled)

    def on_close(self) -> None:
        self._cluster.close()
        self._announcer.close()

    def _connect(self, now_ns: int) -> None:
        self._next_connect_ns = now_ns + RECONNECT_NS
        try:
            if not self._cluster.try_connect():
                return
            self._cluster.subscribe_accounts()
        except ClusterError:
            self._cluster.close()
            return
        self._last_event_ns = now_ns
        self._counters.add(self._counters.index("connects"))

    def _on_event(self, event: object) -> None:
        now_ns = self._last_event_ns = self._clock.monotonic_ns()
        if type(event) is AccountUpdate:
            self._on_account(event, now_ns)
        elif type(event) is SlotUpdate:
            self._on_slot(event, now_ns)
        elif type(event) is ClusterClosed:
            self._lost_stream(now_ns)

    def _on_account(self, update: AccountUpdate, now_ns: int) -> None:
        counters = self._counters
        counters.add(self._in)
        key = update.pubkey
        known = self._records.get(key)
        absent = not update.data and update.lamports == 0  # known not to exist: an empty tick array, say
        if known is None and update.owner not in KNOWN_OWNERS and not absent and key != self._wallet:
            counters.add(self._unknown)
        elif known is not None and (update.slot, update.write_version) <= (known.slot, known.write_version):
            counters.add(self._old)
        else:
            self._records[key] = AccountRecord(
                update.slot, update.write_version, update.owner, update.lamports, now_ns, update.data
            )
            if not self._pending:
                self._batch_ns = now_ns
            self._pending.append(key)
        if update.last_of_batch or len(self._pending) >= PENDING_LIMIT:
            self._end_batch(update.last_of_batch)

    def _on_slot(self, update: SlotUpdate, now_ns: int) -> None:
        """The chain's clock goes through the table too, as the account that a validator keeps it in."""
        self._counters.add(self._slots)
        if update.slot < self._slot:
            self._counters.add(self._old_slot)
            return
        self._slot = update.slot
        data = CLOCK_LAYOUT.pack(update.slot, 0, 0, 0, update.unix_timestamp)
        record = AccountRecord(update.slot, update.block_height, SYSVAR_OWNER, 1, now_ns, data)
        if self._store(CLOCK_KEY, record):
            self._last_update_ns = now_ns

    def _store(self, key: bytes, record: AccountRecord) -> bool:
        try:
            packed = pack(*record)
            room = len(packed) if record.owner in TOKEN_OWNERS else max(len(packed), GROWN_BYTES)
            self._table.put(key, packed, room)
        except RingError:
            self._counters.add(self._full)
            return False
        return True

    def _write_pending(self) -> list[bytes]:
        """Puts what waits into the table, all of it together; returns the keys written.

        What the table refuses is forgotten here too: its pools are then short of an account, hence disabled.
        """
        pending, self._pending = self._pending, []
        records, written = self._records, []
        for key in pending:
            if self._store(key, records[key]):
                written.append(key)
        if len(written) < len(pending):
            for key in set(pending) - set(written):
                del records[key]
        self._counters.add(self._applied_at, len(written))
        self._book.mark(pending)
        if written:
            self._last_update_ns = records[written[-1]].received_ns
        return written

    def _end_batch(self, whole: bool) -> None:
        """Writes the batch, announces each pool it touched, then looks whether they are still sound."""
        touched = touches(self._write_pending(), self._records, self._book)
        changed = self._book.take_changed()
        if self._stale:
            if not whole:
                return
            # The snapshot after a gap vouches for every pool, also for those that did not change.
            self._stale = False
            self._statuses.clear()
            changed = list(self._book.entries)
        entries, statuses, announce = self._book.entries, self._statuses, self._announcer.announce
        received_ns = self._batch_ns or self._clock.monotonic_ns()
        for key in changed:
            if key in statuses and statuses[key] is None:
                announce(entries[key], touched.get(key, UNTOUCHED), received_ns)
        for key in changed:
            entry = self._book.entry(key)
            if entry is not None and (key not in statuses or statuses[key] != entry.error):
                statuses[key] = entry.error
                announce(entry, touched.get(key, UNTOUCHED), received_ns)

    def _lost_stream(self, now_ns: int) -> None:
        """Nothing vouches for the pools any more: all are disabled until the next snapshot is whole."""
        self._counters.add(self._counters.index("disconnects"))
        self._next_connect_ns = now_ns + RECONNECT_NS
        self._write_pending()
        self._batch_ns = 0
        if not self._stale:
            self._stale = True
            for entry in self._book.entries.values():
                self._announcer.announce(entry, UNTOUCHED, now_ns, stale=True)
