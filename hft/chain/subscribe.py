"""Market data by WebSocket: accounts of several endpoints as one stream of newest versions.

Each endpoint is subscribed to first and asked for a snapshot then, so that nothing falls between. An endpoint
that goes silent is given up and connected to again, with jitter, and counts for nothing before its next
snapshot. Slots that a fork took back are told, and their accounts asked for again.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from random import random as random_number
from typing import Final, NamedTuple

import msgspec
from solders.pubkey import Pubkey

from hft.chain import rpc_parse
from hft.chain.endpoint import Endpoint, Reach
from hft.chain.mailbox import NewestBox
from hft.chain.rpc import MAX_ACCOUNTS, PROCESSED, RpcClient
from hft.chain.rpc_parse import AccountResult, account_told
from hft.chain.subscribe_channel import Channel
from hft.chain.subscribe_merge import NEW, Merger, Unusable, Verdict, Version, Watch, unusable
from hft.chain.subscribe_session import SESSION_RULE, Session, SessionRule
from hft.chain.trackers import SlotTracker

CONTROLS_KEPT: Final = 1_024
MAX_WATCHES: Final = 10_000
COUNTED: Final = {verdict: f"versions_{verdict.value}" for verdict in Verdict}


class AccountChanged(NamedTuple):
    """A newer version of an account that may be used (``account`` is None for an optional one that is
    absent)."""

    version: Version


class AccountUnusable(NamedTuple):
    """A newer version that can't be used: whatever reads this account is disabled until a good one comes."""

    version: Version
    reason: Unusable


class SlotSeen(NamedTuple):
    """A newer slot."""

    slot: int
    parent: int
    root: int
    received_ns: int


class Reverted(NamedTuple):
    """These slots never were: what was decided on ``pubkeys`` since is void. Their state follows."""

    slots: frozenset[int]
    pubkeys: tuple[bytes, ...]


class SourceLive(NamedTuple):
    """A source is up, its snapshot was told before this. ``first``: no other was, data is fresh again."""

    source: str
    slot: int
    first: bool


class SourceLost(NamedTuple):
    """A source is down. ``last``: no other is up, what is known grows stale."""

    source: str
    reason: str
    last: bool


# Half the time of calling the classes.
_changed = partial(tuple.__new__, AccountChanged)
_version = partial(tuple.__new__, Version)
FeedEvent = AccountChanged | AccountUnusable | SlotSeen | Reverted | SourceLive | SourceLost


class AccountFeed:
    """The stream that all sources feed. ``poll`` never waits; accounts that wait to be polled are replaced by
    their newer versions."""

    def __init__(self, watches: Sequence[Watch], wake: Callable[[], None] | None = None) -> None:
        """``watches``: at most 10,000, each account once."""
        self.watches: dict[bytes, Watch] = {}
        self._any: set[bytes] = set()
        """Accounts that are watched whatever they are."""
        self.on_watched: list[Callable[[], None]] = []
        self.watch(watches)
        self._box: NewestBox[FeedEvent] = NewestBox(CONTROLS_KEPT, wake)
        self._merger = Merger()
        self._live: set[str] = set()
        self.slots = SlotTracker()
        self._told_slot = 0
        self.counts: Counter[str] = Counter()
        """``versions_`` new, old, duplicate, dead, unwatched: what came. Of the new ones ``coalesced`` gave
        way to newer ones, ``removed`` are watched no longer; the others were polled or wait."""
        self.on_reverted: list[Callable[[tuple[bytes, ...], int], None]] = []

    @property
    def live(self) -> bool:
        """Whether any source is up: if not, nothing may be planned on what is known."""
        return bool(self._live)

    def poll(self, handler: Callable[[FeedEvent], None], limit: int = 256) -> int:
        """Hands out at most ``limit`` events."""
        return self._box.poll(handler, limit)

    def watch(self, watches: Sequence[Watch]) -> None:
        """Accounts to follow besides; each source subscribes, then asks for a snapshot. ``ValueError`` if one
        is watched already, or that makes more than ``MAX_WATCHES``."""
        added = {watch.pubkey: watch for watch in watches}
        total = len(self.watches) + len(watches)
        if len(added) < len(watches) or added.keys() & self.watches.keys() or total > MAX_WATCHES:
            raise ValueError(f"{total} watches: each account once, at most {MAX_WATCHES}")
        self.watches.update(added)
        self._any.update(key for key, watch in added.items() if watch == Watch(key, optional=True))
        for tell in self.on_watched:
            tell()

    def unwatch(self, pubkeys: Iterable[bytes]) -> None:
        """Accounts to follow no longer; nothing is told of them from now on, and nothing of them is kept."""
        for pubkey in pubkeys:
            if self.watches.pop(pubkey, None) is not None:
                self._any.discard(pubkey)
                self._merger.forget(pubkey)
                self.counts["removed"] += self._box.remove(pubkey)
        for tell in self.on_watched:
            tell()

    def knows(self, version: Version) -> None:
        """The reader has this version already: nothing older is to be told."""
        self._merger.offer(version)

    @property
    def waiting(self) -> int:
        """Events that wait to be polled."""
        return len(self._box)

    def offer(self, version: Version) -> Verdict:
        """Takes what a source tells of an account."""
        pubkey, slot, _, account, _, _, _ = version
        counts = self.counts
        watch = self.watches.get(pubkey)
        if watch is None:
            counts["versions_unwatched"] += 1
            return Verdict.OLD
        if account is not None and not account[2]:
            # How a notification says that there is none; a snapshot says null.
            account, version = None, version._replace(account=None)
        verdict = self._merger.offer(version)
        if slot > self._told_slot:
            self._told_slot = slot
            self.slots.told(slot)
        if verdict is not NEW:
            counts[COUNTED[verdict]] += 1
            return verdict
        counts["versions_new"] += 1
        reason = None if pubkey in self._any else unusable(watch, account)
        if reason is None:
            replaced = self._box.put(pubkey, _changed((version,)))
        else:
            counts[f"unusable_{reason.name.lower()}"] += 1
            replaced = self._box.put(pubkey, AccountUnusable(version, reason))
        if replaced:
            counts["coalesced"] += 1
        return verdict

    def advance(self, slot: int, parent: int, root: int, received_ns: int) -> None:
        """Takes a source's slot message."""
        news = self.slots.advance(slot, parent, root)
        if news.dead:
            lost = tuple(self._merger.revert(news.dead))
            self.counts["reverts"] += 1
            self._box.append(Reverted(news.dead, lost))
            for tell in self.on_reverted:
                tell(lost, parent)
        if news.is_new:
            self.counts["slots"] += 1
            self._box.put("slot", SlotSeen(slot, parent, root, received_ns))

    def source_live(self, source: str, slot: int) -> None:
        """A source has told its snapshot, which is of ``slot``."""
        first = not self._live
        self._live.add(source)
        self._box.append(SourceLive(source, slot, first))

    def source_lost(self, source: str, reason: str) -> None:
        """A source that was live is not any more."""
        self._live.discard(source)
        self._box.append(SourceLost(source, reason, not self._live))


class AccountSource(Session):
    """One endpoint's WebSocket, with snapshots over its RPC."""

    def __init__(
        self,
        reach: Reach,
        endpoint: Endpoint,
        rpc: RpcClient,
        feed: AccountFeed,
        rule: SessionRule = SESSION_RULE,
        *,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        random: Callable[[], float] = random_number,
    ) -> None:
        """``rpc``: has an endpoint of the same name if snapshots are to come from the same node."""
        super().__init__(reach, endpoint, rule, clock_ns=clock_ns, random=random)
        self._rpc = rpc
        self._feed = feed
        names = [state.endpoint.name for state in rpc.states]
        self._name = endpoint.name
        self._only = endpoint.name if endpoint.name in names else None
        self._parent = 0
        self._snapshot_slot = 0
        self._wanted: dict[bytes, None] = {}
        self._wanted_slot = 0
        self._asked = asyncio.Event()
        self._subscribed: dict[bytes, int] = {}
        feed.on_reverted.append(self._want)
        feed.on_watched.append(self._asked.set)

    async def set_up(self, channel: Channel) -> None:
        """Slots, every account, then the snapshot."""
        await channel.subscribe("slotSubscribe", [], self._on_slot)
        self._subscribed.clear()
        self._wanted.clear()
        await self._follow(channel)

    async def work(self, channel: Channel) -> None:
        """Asks again for accounts that a fork took back; follows what is watched."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            await self._follow(channel)
            wanted, self._wanted = list(self._wanted), {}
            if wanted:
                await self._snapshot(wanted, self._wanted_slot)

    async def _follow(self, channel: Channel) -> None:
        """Subscribes to what is watched and asks for it then, so that nothing falls between; ends what is
        not watched any more."""
        limit = asyncio.Semaphore(self._rule.at_once)
        options = {"encoding": "base64", "commitment": PROCESSED}

        async def subscribe(pubkey: bytes) -> None:
            async with limit:
                self._subscribed[pubkey] = await channel.subscribe(
                    "accountSubscribe",
                    [str(Pubkey(pubkey)), options],
                    partial(self._on_account, pubkey),
                    account=partial(self._on_told, pubkey),
                )

        async def unsubscribe(number: int) -> None:
            async with limit:
                await channel.unsubscribe("accountUnsubscribe", number)

        added = [pubkey for pubkey in self._feed.watches if pubkey not in self._subscribed]
        dropped = [pubkey for pubkey in self._subscribed if pubkey not in self._feed.watches]
        await asyncio.gather(
            *(subscribe(pubkey) for pubkey in added),
            *(unsubscribe(self._subscribed.pop(pubkey)) for pubkey in dropped),
        )
        await self._snapshot(added, self._parent)

    def on_live(self) -> None:
        self._feed.source_live(self.endpoint.name, self._snapshot_slot)

    def on_lost(self, reason: str, was_live: bool) -> None:
        if was_live:
            self._feed.source_lost(self.endpoint.name, reason)

    async def _snapshot(self, pubkeys: Sequence[bytes], min_slot: int) -> None:
        for first in range(0, len(pubkeys), MAX_ACCOUNTS):
            asked = pubkeys[first : first + MAX_ACCOUNTS]
            told = await self._rpc.accounts(
                asked,
                deadline_ns=self._rpc.now_ns + self._rule.request_ns,
                min_context_slot=min_slot or None,
                only=self._only,
            )
            received_ns = self._clock_ns()
            self._snapshot_slot = told.slot
            for pubkey, account in zip(asked, told.accounts, strict=True):
                self._feed.offer(
                    Version(pubkey, told.slot, 0, account, self.endpoint.name, received_ns, snapshot=True)
                )

    def _want(self, pubkeys: tuple[bytes, ...], slot: int) -> None:
        if pubkeys and self.live:
            self._wanted.update(dict.fromkeys(pubkeys))
            self._wanted_slot = slot
            self._asked.set()

    def _on_slot(self, result: msgspec.Raw, received_ns: int) -> None:
        told = rpc_parse.fields(rpc_parse.loads(result), "slotNotification")
        slot, parent, root = (
            rpc_parse.count(told.get(name), f"slotNotification.{name}") for name in ("slot", "parent", "root")
        )
        self._parent = parent
        self._feed.advance(slot, parent, root, received_ns)

    def _on_account(self, pubkey: bytes, result: msgspec.Raw, received_ns: int) -> None:
        slot, account = rpc_parse.account_notification(result)
        self._feed.offer(Version(pubkey, slot, 0, account, self.endpoint.name, received_ns))

    def _on_told(self, pubkey: bytes, result: AccountResult, received_ns: int) -> None:
        slot, account = account_told(result)
        self._feed.offer(_version((pubkey, slot, 0, account, self._name, received_ns, False)))
