"""Which pools may be quoted, and if not, why not: what their bytes, their tokens, the forks that lost and the
references say, and what readers were told of it.

Readers decode a pool themselves. So they hear of a change at once where nothing but its bytes could speak
against the pool, and it is judged here when nothing else is to do: newest bytes only.
"""

from collections.abc import Callable, Collection, Iterable, Mapping

from hft.services.announce import DISABLED_REASONS, UNTOUCHED, Announcer, Touch
from hft.services.book import Book, Entry
from hft.services.sanity import Sanity
from hft.venues.tokens import Token
from hft.wire.enums import PoolDisabledReason

NONE, STALE = PoolDisabledReason.NONE, PoolDisabledReason.STALE


class Judge:
    """See the module. ``statuses``: what readers were told last; ``tokens``: those that trade; ``reverted``:
    accounts told of in slots that never were, until they are told again; ``unjudged``: pools announced
    since they were judged, the longest ago first, with when their bytes came (ns)."""

    def __init__(
        self,
        book: Book,
        announcer: Announcer,
        sanity: Sanity,
        needs: Callable[[bytes], Collection[bytes]],
    ) -> None:
        """``needs``: the accounts that a pool rests on."""
        self._book = book
        self._announce = announcer.announce
        self._sanity = sanity
        self._needs = needs
        self.statuses: dict[bytes, PoolDisabledReason] = {}
        self.tokens: Mapping[bytes, Token] = {}
        self.reverted: set[bytes] = set()
        self.unjudged: dict[bytes, int] = {}

    def tell_early(
        self, pools: Iterable[bytes], touched: Mapping[bytes, Touch], odd: Collection[bytes]
    ) -> list[bytes]:
        """Announces those that readers may hear of before they are judged; returns the others: pools that are
        disabled, whose price is not far from doubt, or that rest on an ``odd`` account."""
        statuses, entries, glance = self.statuses, self._book.entries, self._sanity.agrees_at_a_glance
        reverted = self.reverted
        others: list[bytes] = []
        for key in pools:
            entry = entries[key]
            if (
                statuses.get(key) is NONE
                and key not in odd
                and entry.pool is not None
                and not (reverted and self._is_reverted(key))
                and glance(entry.pool, self.tokens)
            ):
                touch = touched.get(key, UNTOUCHED)
                self._announce(entry, touch, NONE)
                self.unjudged.setdefault(key, touch.received_ns)
            else:
                others.append(key)
        return others

    def tell(self, key: bytes, touch: Touch, *, news: bool = True) -> None:
        """Judges a pool and announces it, unless it is disabled as before, or as good as before and no
        ``news``."""
        self.unjudged.pop(key, None)
        entry = self._book.entry(key)
        if entry is None:
            return
        reason = self._reason(entry)
        if self.statuses.get(key) is not reason or (reason is NONE and news):
            self.statuses[key] = reason
            self._announce(entry, touch, reason)

    def tell_late(self, before_ns: int) -> bytes | None:
        """Judges the pool that has waited for it longest, if its bytes came before then; which that was."""
        key, since_ns = next(iter(self.unjudged.items()))
        if since_ns > before_ns:
            return None
        self.tell(key, UNTOUCHED, news=False)
        return key

    def turn_over(self, *, live: bool) -> list[bytes]:
        """The stream is back, or gone: then every pool is stale. Returns those to judge: all, or none."""
        self.unjudged.clear()
        if live:
            # The snapshot vouches for every pool, also for those that did not change.
            self.statuses.clear()
            return list(self._book.entries)
        for key in [key for key, status in self.statuses.items() if status is not STALE]:
            self.statuses[key] = STALE
            self._announce(self._book.entries[key], UNTOUCHED, STALE)
        return []

    def _reason(self, entry: Entry) -> PoolDisabledReason:
        if entry.error is not None or entry.pool is None:
            return DISABLED_REASONS[entry.error] if entry.error else PoolDisabledReason.ACCOUNT_MISSING
        if self._is_reverted(entry.key):
            return PoolDisabledReason.REVERTED
        if entry.pool.mint_a not in self.tokens or entry.pool.mint_b not in self.tokens:
            return PoolDisabledReason.MINT_MISMATCH
        if not self._sanity.agrees(entry.pool, self.tokens):
            return PoolDisabledReason.OFF_REFERENCE
        return NONE

    def _is_reverted(self, pool: bytes) -> bool:
        return bool(self.reverted) and not self.reverted.isdisjoint(self._needs(pool))
