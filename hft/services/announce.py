"""The feed's word on pools: one PoolUpdate for each pool that changed, or that became usable or unusable."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from hft import wire
from hft.services.book import Book, Entry
from hft.services.common import Drops
from hft.venues import PoolErrorCode, Venue
from hft.wire.account import AccountRecord
from hft.wire.enums import PoolDisabledReason, PoolStatus, SlotStatus

if TYPE_CHECKING:
    from hft.runtime.context import Context
    from hft.services.references import Reference

COUNTERS: tuple[str, ...] = ("out_market_data", "dropped_market_data_no_room", "announced_disabled")
HISTOGRAMS: tuple[str, ...] = ("stage_feed_ns",)

NO_KEY = bytes(32)
DISABLED_REASONS: dict[PoolErrorCode, PoolDisabledReason] = {
    PoolErrorCode.UNKNOWN_VENUE: PoolDisabledReason.WRONG_OWNER,
    PoolErrorCode.ACCOUNT_MISSING: PoolDisabledReason.ACCOUNT_MISSING,
    PoolErrorCode.WRONG_OWNER: PoolDisabledReason.WRONG_OWNER,
    PoolErrorCode.WRONG_SIZE: PoolDisabledReason.SHORT_DATA,
    PoolErrorCode.WRONG_DISCRIMINATOR: PoolDisabledReason.WRONG_DISCRIMINATOR,
    PoolErrorCode.BAD_VALUE: PoolDisabledReason.BAD_STATE,
    PoolErrorCode.MINT_MISMATCH: PoolDisabledReason.MINT_MISMATCH,
    PoolErrorCode.POOL_MISMATCH: PoolDisabledReason.VAULT_MISMATCH,
    PoolErrorCode.UNSUPPORTED: PoolDisabledReason.UNSUPPORTED,
    PoolErrorCode.TOKEN_EXTENSION: PoolDisabledReason.UNSUPPORTED,
    PoolErrorCode.ZERO_LIQUIDITY: PoolDisabledReason.NO_LIQUIDITY,
}


OTHER_NEWS = frozenset((wire.slot_update.identifier, wire.quote.identifier))


def is_other_news(view: memoryview) -> bool:
    """Is this message of ``market_data`` none of a pool, yet one of those that belong there?"""
    return bytes(view[4:8]) in OTHER_NEWS


class Touch(NamedTuple):
    """What a batch did to one pool: its newest write, how many accounts, when the first of them was read from
    the socket."""

    slot: int
    write_version: int
    accounts: int
    received_ns: int


UNTOUCHED = Touch(0, 0, 0, 0)
_touch = partial(tuple.__new__, Touch)  # half the time of Touch(...)


def touches(
    written: Sequence[bytes], records: Mapping[bytes, AccountRecord], book: Book
) -> dict[bytes, Touch]:
    """What the accounts ``written`` together did to each pool that rests on one of them."""
    touched: dict[bytes, Touch] = {}
    users = book.users
    for key in written:
        slot, write_version, _, _, received_ns, _ = records[key]
        for pool in users(key):
            known = touched.get(pool)
            if known is None:
                touched[pool] = _touch((slot, write_version, 1, received_ns))
                continue
            newest, since_ns = max(known[:2], (slot, write_version)), min(known[3], received_ns)
            touched[pool] = _touch((*newest, known[2] + 1, since_ns))
    return touched


class Announcer:
    """Writes ``market_data``; the sequence of an update is also its trace id, behind eight bytes of the
    run's.
    """

    def __init__(self, ctx: "Context") -> None:
        self._clock = ctx.clock
        self._counters = ctx.counters
        self._out = Drops(ctx, "market_data")
        self._trace_head = ctx.run.run_id[:8]
        self._disabled = ctx.counters.index("announced_disabled")
        self._stage = ctx.counters.histogram_index("stage_feed_ns")

    def announce(self, entry: Entry, touch: Touch, reason: PoolDisabledReason) -> None:
        """Say that ``entry`` changed; ``reason``: why it may not be quoted, NONE if it may."""
        pool = entry.pool
        active = reason is PoolDisabledReason.NONE
        if not active:
            self._counters.add(self._disabled)
        sequence = self._out.sequence
        now_ns = self._clock.monotonic_ns()
        received_ns = touch.received_ns or now_ns
        self._out.put(
            wire.pool_update,
            self._trace_head + sequence.to_bytes(8, "little"),
            sequence,
            *max((touch.slot, touch.write_version), (entry.slot, entry.write_version)),
            pool.venue if pool is not None else Venue.UNKNOWN,
            PoolStatus.ACTIVE if active else PoolStatus.DISABLED,
            reason,
            min(touch.accounts, 0xFFFF),
            entry.key,
            pool.mint_a if pool is not None else NO_KEY,
            pool.mint_b if pool is not None else NO_KEY,
            received_ns,
            now_ns,
        )
        self._counters.record(self._stage, now_ns - received_ns)

    def slot(self, slot: int, parent: int, unix_timestamp: int, received_ns: int) -> None:
        """Say that the chain moved on. Block height and blockhash are the executor's to know: zero."""
        sequence = self._out.sequence
        self._out.put(
            wire.slot_update,
            self._trace_head + sequence.to_bytes(8, "little"),
            sequence,
            slot,
            parent,
            SlotStatus.PROCESSED,
            0,
            0,
            NO_KEY,
            unix_timestamp,
            received_ns,
            self._clock.monotonic_ns(),
        )

    def reference(self, told: "Reference") -> None:
        """Say what a price from outside is."""
        source, slot, uncertainty_ppm, *rest, source_unix_ns, received_ns = told
        sequence = self._out.sequence
        self._out.put(
            wire.quote,
            self._trace_head + sequence.to_bytes(8, "little"),
            sequence,
            slot,
            source,
            Venue.UNKNOWN,
            uncertainty_ppm,
            *rest,
            source_unix_ns,
            received_ns,
            self._clock.monotonic_ns(),
        )

    def close(self) -> None:
        self._out.close()
