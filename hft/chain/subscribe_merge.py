"""Which of several sources' account versions is the newest. Pure.

Versions are ordered by (slot, write version). A WebSocket gives no write version; then, within one slot, a
source is believed in its own order, and what another source says is new only if nobody has said it in that
slot. So a source that is late may step back within a slot for a moment; all end at that slot's last version.
A slot that turned out to be on a fork that lost counts for nothing.
"""

from collections import OrderedDict
from enum import Enum, IntEnum
from typing import Final, NamedTuple

from hft.venues import Account

DEAD_SLOTS_KEPT: Final = 1_024
TOUCHED_SLOTS_KEPT: Final = 512
_SEEN_LIMIT: Final = 64


class Verdict(Enum):
    """What to do with a version."""

    NEW = "new"
    OLD = "old"
    DUPLICATE = "duplicate"
    DEAD = "dead"
    """Of a slot on a fork that lost."""


NEW: Final = Verdict.NEW


class Unusable(IntEnum):
    """Why an account can't be used as it is."""

    ABSENT = 1
    WRONG_OWNER = 2
    TOO_SHORT = 3


class Watch(NamedTuple):
    """An account to follow. ``owner``: the program it must belong to (None: any); ``minimum_bytes``: the
    least data it must have; ``optional``: may be absent without being unusable."""

    pubkey: bytes
    owner: bytes | None = None
    minimum_bytes: int = 0
    optional: bool = False


class Version(NamedTuple):
    """One account as one source told it. ``write_version`` 0: not known. ``snapshot``: asked for, not
    pushed."""

    pubkey: bytes
    slot: int
    write_version: int
    account: Account | None
    source: str
    received_ns: int
    snapshot: bool = False


def unusable(watch: Watch, account: Account | None) -> Unusable | None:
    """Why this account is none that ``watch`` wants; None if it is one."""
    if account is None:
        return None if watch.optional else Unusable.ABSENT
    if watch.owner is not None and account.owner != watch.owner:
        return Unusable.WRONG_OWNER
    if len(account.data) < watch.minimum_bytes:
        return Unusable.TOO_SHORT
    return None


class _Newest:
    """The newest version of one account, and what was said in its slot."""

    __slots__ = ("digest", "seen", "slot", "source", "write_version")

    def __init__(self, version: Version, digest: int) -> None:
        self.slot = version.slot
        self.write_version = version.write_version
        self.source = version.source
        self.digest = digest
        self.seen = {digest}


class Merger:
    """See the module."""

    def __init__(self) -> None:
        self._newest: dict[bytes, _Newest] = {}
        self._dead: OrderedDict[int, None] = OrderedDict()
        self._touched: OrderedDict[int, set[bytes]] = OrderedDict()
        self._last_slot, self._last_touched = -1, set[bytes]()
        """The slot that something was told of last, and its accounts."""

    def slot_of(self, pubkey: bytes) -> int | None:
        """Slot of the newest version."""
        newest = self._newest.get(pubkey)
        return None if newest is None else newest.slot

    def offer(self, version: Version) -> Verdict:
        """Takes a version if it is the newest."""
        pubkey, slot, write_version, account, source, _, snapshot = version
        if slot in self._dead:
            return Verdict.DEAD
        digest = hash(account)
        newest = self._newest.get(pubkey)
        if newest is None:
            self._newest[pubkey] = _Newest(version, digest)
        else:
            if slot == newest.slot:
                if write_version or snapshot or digest == newest.digest or source != newest.source:
                    verdict = _compare(newest, version, digest)
                    if verdict is not NEW:
                        return verdict
                if len(newest.seen) >= _SEEN_LIMIT:
                    newest.seen.clear()
            elif slot < newest.slot:
                return Verdict.OLD
            else:
                newest.slot = slot
                newest.seen.clear()
            newest.write_version = write_version
            newest.source = source
            newest.digest = digest
            newest.seen.add(digest)
        if slot != self._last_slot:
            self._last_slot, self._last_touched = slot, self._touched_in(slot)
        self._last_touched.add(pubkey)
        return NEW

    def _touched_in(self, slot: int) -> set[bytes]:
        touched = self._touched.get(slot)
        if touched is None:
            touched = self._touched[slot] = set()
            if len(self._touched) > TOUCHED_SLOTS_KEPT:
                self._touched.popitem(last=False)
        return touched

    def forget(self, pubkey: bytes) -> None:
        """Nothing is known of the account any more."""
        self._newest.pop(pubkey, None)

    def revert(self, dead_slots: frozenset[int]) -> list[bytes]:
        """These slots never were: forgets what was told in them; returns the accounts it was told of, also
        those of which something newer was told since."""
        self._last_slot = -1
        for slot in dead_slots:
            self._dead[slot] = None
        while len(self._dead) > DEAD_SLOTS_KEPT:
            self._dead.popitem(last=False)
        lost: dict[bytes, None] = {}
        for slot in sorted(dead_slots & self._touched.keys()):
            lost.update(dict.fromkeys(self._touched.pop(slot)))
        for pubkey in lost:
            newest = self._newest.get(pubkey)
            if newest is not None and newest.slot in dead_slots:
                del self._newest[pubkey]
        return list(lost)


def _compare(newest: _Newest, version: Version, digest: int) -> Verdict:
    """What a version of the very slot of the newest one is."""
    if version.write_version and newest.write_version:
        if version.write_version == newest.write_version:
            return Verdict.DUPLICATE
        return NEW if version.write_version > newest.write_version else Verdict.OLD
    if digest == newest.digest:
        return Verdict.DUPLICATE
    if version.snapshot:
        # What was pushed in this slot is as new or newer, and what changes later will be pushed too.
        return Verdict.OLD
    if version.source == newest.source or digest not in newest.seen:
        return NEW
    return Verdict.DUPLICATE
