"""Following: every intent that is out, until it has its one end.

Statuses are asked for in batches, with the history once a blockhash is dead; a signature subscription brings
what landed sooner, and while one stands the questions are few. Ends wait in a bounded mailbox; whoever takes
one out notes it in the journal, once it can't be lost any more.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from hft.chain.follow_state import FOLLOW_RULE, End, Followed, FollowRule, Point, refused
from hft.chain.jito import BundleState, JitoClient
from hft.chain.journal import Open
from hft.chain.journal_records import Intent, Path
from hft.chain.mailbox import Mailbox
from hft.chain.rpc import MAX_STATUSES, RpcClient
from hft.chain.rpc_faults import RpcFault
from hft.chain.rpc_parse import LatestBlockhash, SignatureStatus
from hft.chain.submit import SendOutcome, SendState
from hft.chain.trackers import BLOCKHASH_LIFE

MAX_FOLLOWED: Final = 4_096
BUNDLES_AT_ONCE: Final = 5
_ENDED_BUNDLES: Final = (BundleState.LANDED, BundleState.FAILED)


HEARD_POLLS: Final = 10
"""Turns from one question to the next about what a subscription tells of by itself."""


class FollowTimes:
    """Times between questions (ns): about statuses, about bundles (the engine allows few), and how long one
    question may take."""

    def __init__(
        self, poll_ns: int = 200_000_000, bundle_ns: int = 1_000_000_000, ask_ns: int = 2_000_000_000
    ) -> None:
        self.poll_ns = poll_ns
        self.bundle_ns = bundle_ns
        self.ask_ns = ask_ns


class Follower:
    """See the module. ``run`` is its task; ``watch``, ``refuse`` and ``recover`` feed it, ``poll`` takes the
    ends."""

    def __init__(
        self,
        rpc: RpcClient,
        jito: JitoClient | None,
        rule: FollowRule = FOLLOW_RULE,
        times: FollowTimes | None = None,
        *,
        newest: Callable[[], LatestBlockhash | None] | None = None,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        wake: Callable[[], None] | None = None,
    ) -> None:
        """``newest``: the newest blockhash of the rule's commitment, where somebody asks for it anyway."""
        self._rpc = rpc
        self._newest = newest
        self._jito = jito
        self._rule = rule
        self._times = times or FollowTimes()
        self._clock_ns = clock_ns
        self._followed: dict[bytes, Followed] = {}
        self._ends: Mailbox[End] = Mailbox(MAX_FOLLOWED, wake)
        self._work = asyncio.Event()
        self._bundles_ns = 0
        self.point: Point | None = None
        self.hears: Callable[[bytes], bool] = lambda signature: False
        """Whether a subscription that stands will tell when a signature lands."""
        self.counts: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._followed)

    def __contains__(self, signature: bytes) -> bool:
        return signature in self._followed

    def signatures(self) -> Iterable[bytes]:
        """Signatures under way (64 bytes each), for a subscription."""
        return tuple(self._followed)

    def watch(self, intent: Intent, outcome: SendOutcome) -> None:
        """Follows what is out. ``ValueError`` if it is not, or if too many are."""
        if not outcome.state.is_out:
            raise ValueError(f"plan {intent.plan_id.hex()}: {outcome.state.value} is an end; see refuse")
        engine_only = _engine_only(outcome)
        self._follow(Followed(intent, self._clock_ns(), outcome.bundle_id, engine_only=engine_only))

    def expect(self, intent: Intent) -> None:
        """Follows what is about to be sent, so that no landing is heard of before its intent; then comes
        ``confirm``, or ``refuse``. ``ValueError`` if too many are followed."""
        self._follow(Followed(intent, self._clock_ns()))

    def confirm(self, intent: Intent, outcome: SendOutcome) -> None:
        """What became of the sending of what was expected: it is out."""
        followed = self._followed.get(intent.signature)
        if followed is not None:  # else it has ended already
            followed.bundle_id = outcome.bundle_id
            followed.engine_only = _engine_only(outcome)

    def is_doomed(self, signature: bytes) -> bool:
        """Whether the block engine says that this one, which it alone has, failed: it will hardly land."""
        followed = self._followed.get(signature)
        return followed is not None and followed.failed_height > 0

    async def refuse(self, intent: Intent, outcome: SendOutcome) -> None:
        """The end of what nobody took."""
        await self._finish(refused(intent, outcome))

    def recover(self, opened: Iterable[Open]) -> int:
        """Takes up what a predecessor left open: all of it may have landed, whatever was known of it."""
        taken = 0
        for known in opened:
            bundle_id = next((sent.bundle_id for sent in reversed(known.sent) if sent.bundle_id), "")
            engine_only = bool(known.sent) and all(sent.path is Path.JITO for sent in known.sent)
            self._follow(
                Followed(known.intent, self._clock_ns(), bundle_id, engine_only=engine_only, recovered=True)
            )
            taken += 1
        self.counts["recovered"] += taken
        return taken

    def on_notified(self, signature: bytes, slot: int, error: object, commitment: str) -> None:
        """A signature subscription fired."""
        followed = self._followed.get(signature)
        if followed is not None:
            status = SignatureStatus(slot, error, commitment)
            followed.on_status(status, self._clock_ns(), asked_slot=slot, searched=False, point=None)
            self._work.set()

    def poll(self, handler: Callable[[End], None], limit: int = 256) -> int:
        """Hands out ends, oldest first; never waits."""
        return self._ends.poll(handler, limit)

    async def next_end(self) -> End:
        """The oldest end, when there is one."""
        return await self._ends.get()

    async def run(self) -> None:
        """Follows until cancelled."""
        while True:
            self._work.clear()
            await self.settle()
            if self._followed:
                await self.ask()
                await self.settle()
            try:
                limit_s = self._times.poll_ns / 1e9 if self._followed else None
                async with asyncio.timeout(limit_s):
                    await self._work.wait()
            except TimeoutError:
                continue

    async def ask(self) -> None:
        """One round of questions about what is under way and due."""
        try:
            await self._find_point()
        except RpcFault:
            self.counts["point_faults"] += 1
        now_ns = self._clock_ns()
        await self._ask_about([one for one in self._followed.values() if self._is_due(one, now_ns)])
        now_ns = self._clock_ns()
        if self._jito is not None and now_ns >= self._bundles_ns:
            self._bundles_ns = now_ns + self._times.bundle_ns
            await self._ask_bundles(self._jito)

    async def ask_landed(self) -> None:
        """Asks about everything that may have landed unheard of, due or not."""
        await self._ask_about([one for one in self._followed.values() if not one.failed_height])

    async def settle(self) -> None:
        """Ends whatever has evidence enough."""
        now_ns = self._clock_ns()
        for followed in list(self._followed.values()):
            end = followed.end(self._rule, now_ns)
            if end is not None:
                await self._finish(end)

    def _follow(self, followed: Followed) -> None:
        if len(self._followed) >= MAX_FOLLOWED:
            raise ValueError(f"{MAX_FOLLOWED} transactions are followed already")
        self._followed[followed.intent.signature] = followed
        self._work.set()

    def _is_due(self, followed: Followed, now_ns: int) -> bool:
        poll_ns = self._times.poll_ns
        if self.hears(followed.intent.signature) and not followed.counts_nulls(self.point, self._rule):
            poll_ns = max(poll_ns, min(poll_ns * HEARD_POLLS, self._rule.silence_ns // 4))
        # A turn comes some time after its timer was set: half of one is no reason to miss it.
        return now_ns - followed.status_ns >= poll_ns - self._times.poll_ns // 2

    async def _ask_about(self, asked: Sequence[Followed]) -> None:
        point, now_ns = self.point, self._clock_ns()
        dead = [one for one in asked if point is not None and one.is_past(point)]
        alive = [one for one in asked if point is None or not one.is_past(point)]
        for group, searched in ((alive, False), (dead, True)):
            for one in group:
                one.status_ns = now_ns
            for first in range(0, len(group), MAX_STATUSES):
                await self._ask_statuses(group[first : first + MAX_STATUSES], searched, point)

    async def _find_point(self) -> None:
        """The newest block: a fresh blockhash tells its slot and, by its last valid height, its height.

        A node that stands before what is known already is refused by the slot asked for, and another one is
        asked.
        """
        known = self.point
        latest = self._newest() if self._newest is not None else None
        if latest is None:
            latest, _ = await self._rpc.latest_blockhash(
                deadline_ns=self._clock_ns() + self._times.ask_ns,
                commitment=self._rule.commitment,
                min_context_slot=known.slot if known is not None else None,
            )
        height = latest.last_valid_block_height - BLOCKHASH_LIFE
        fresh = Point(latest.slot, height)
        if any(one.is_past(fresh) for one in self._followed.values()):
            # That somebody is dead isn't taken from one number: the height itself must say so too.
            told = await self._rpc.block_height(
                deadline_ns=self._clock_ns() + self._times.ask_ns,
                commitment=self._rule.commitment,
                min_context_slot=latest.slot,
            )
            height = min(height, told)
        if known is None or (latest.slot >= known.slot and height >= known.height):
            self.point = Point(latest.slot, height)
        else:
            self.counts["stale_points"] += 1

    async def _ask_statuses(self, group: Sequence[Followed], searched: bool, point: Point | None) -> None:
        try:
            told = await self._rpc.signature_statuses(
                [one.intent.signature for one in group],
                deadline_ns=self._clock_ns() + self._times.ask_ns,
                search_history=searched,
            )
        except RpcFault:
            self.counts["status_faults"] += 1
            return
        now_ns = self._clock_ns()
        for followed, status in zip(group, told.statuses, strict=True):
            followed.on_status(
                status,
                now_ns,
                asked_slot=told.slot,
                searched=searched,
                point=point,
                failed_blocks=self._rule.failed_blocks,
            )

    async def _ask_bundles(self, jito: JitoClient) -> None:
        """A few of the bundles that are not known to have ended, those first that were not asked about for
        longest."""
        waiting = [
            one for one in self._followed.values() if one.bundle_id and one.bundle not in _ENDED_BUNDLES
        ]
        asked = sorted(waiting, key=lambda one: one.asked_ns)[:BUNDLES_AT_ONCE]
        if not asked:
            return
        for one in asked:
            one.asked_ns = self._clock_ns()
        try:
            told = await jito.inflight_statuses(
                [one.bundle_id for one in asked], deadline_ns=self._clock_ns() + self._times.ask_ns
            )
        except RpcFault:
            self.counts["bundle_faults"] += 1
            return
        for followed, status in zip(asked, told, strict=True):
            followed.on_bundle(status.state, self.point)
            self.counts[f"bundle_{status.state.value.lower()}"] += 1

    async def _finish(self, end: End) -> None:
        self._followed.pop(end.intent.signature, None)
        self.counts[f"end_{end.state.name.lower()}"] += 1
        await self._ends.put(end)


def _engine_only(outcome: SendOutcome) -> bool:
    """Whether the block engine alone was handed the bytes, and once."""
    return outcome.state is SendState.ACCEPTED and outcome.path is Path.JITO and not outcome.again
