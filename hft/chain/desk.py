"""One instance's whole way of a signed transaction: on disk, out, followed, and read once it landed.

A duty cycle hands in intents and polls the mailbox: what became of the sending, then the one end, with what
the transaction did where it landed. Landings are told in the order in which the chain executed them. An end
is noted on disk only when its taker says that it can't be lost any more (``forget``); until then the next
start finds the intent open, and comes to the same end.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, NamedTuple

from hft.chain.follow import Follower
from hft.chain.follow_state import End
from hft.chain.journal import JournalWriter, Open
from hft.chain.journal_records import Intent, JournalError
from hft.chain.landing import Landing, in_chain_order, read_landing
from hft.chain.mailbox import Mailbox
from hft.chain.reading_calls import ReadingError
from hft.chain.rpc import RpcClient
from hft.chain.rpc_faults import RpcFault
from hft.chain.submit import Sender, SendOutcome
from hft.chain.subscribe_signatures import SignatureSource
from hft.venues import WRAPPED_SOL
from hft.wire.enums import EndState

MAX_EVENTS: Final = 8_192
LEAST_QUESTIONS: Final = 3
"""After a landed transaction, however late it is: time that passed while nobody asked proves nothing."""
_LANDED: Final = (EndState.LANDED_OK, EndState.LANDED_FAILED)


class Submitted(NamedTuple):
    """What is known right after sending."""

    intent: Intent
    outcome: SendOutcome


class Settled(NamedTuple):
    """The end of an intent. ``landing`` is None where nothing landed, and where no node told what the landed
    transaction did (``end.state`` says which)."""

    end: End
    landing: Landing | None


DeskEvent = Submitted | Settled


class ReadTimes(NamedTuple):
    """Time between two questions after a landed transaction, for one question, and for all of them (ns): a
    breaker opens several times meanwhile, a service that drains still ends within its limit."""

    again_ns: int = 100_000_000
    ask_ns: int = 2_000_000_000
    limit_ns: int = 25_000_000_000


class Desk:
    """See the module. ``tasks`` are to be spawned on the loop it was made for; so is everything that
    ``spawn`` is given."""

    def __init__(
        self,
        rpc: RpcClient,
        writer: JournalWriter,
        follower: Follower,
        sender: Sender,
        sources: Sequence[SignatureSource],
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        *,
        times: ReadTimes | None = None,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        wake: Callable[[], None] | None = None,
    ) -> None:
        self._rpc = rpc
        self._writer = writer
        self.follower = follower
        self.sender = sender
        self._sources = sources
        follower.hears = self._hears
        self._spawn = spawn
        self._times = times or ReadTimes()
        self._clock_ns = clock_ns
        self._events: Mailbox[DeskEvent] = Mailbox(MAX_EVENTS, wake)
        self.poll: Callable[[Callable[[DeskEvent], None], int], int] = self._events.poll
        """Hands out events, oldest first; never waits."""
        self._notes = 0
        self.counts: Counter[str] = Counter()

    def tasks(self) -> list[Coroutine[Any, Any, None]]:
        """What has to run beside."""
        return [self.follower.run(), self._settle(), *(source.run() for source in self._sources)]

    @property
    def newest_slot(self) -> int:
        """The newest slot that a subscription told."""
        return max((source.newest_slot for source in self._sources), default=0)

    @property
    def subscriptions_lost(self) -> int:
        """Connections of signature subscriptions that failed."""
        return sum(source.lost.total() for source in self._sources)

    @property
    def unnoted(self) -> int:
        """Ends that the disk has not taken yet."""
        return self._notes

    def submit(self, intent: Intent, expires_ns: int) -> None:
        """Sends and follows; the mailbox tells. From now on the death of the process does not lose it."""
        self.sender.note(intent)
        self._spawn(self._submit(intent, expires_ns))

    def recover(self) -> tuple[Open, ...]:
        """Follows what a predecessor left open; returns it."""
        opened = tuple(self._writer.journal.open.values())
        self.follower.recover(opened)
        return opened

    def forget(self, intent: Intent, state: EndState) -> None:
        """The end is where it can't be lost: the journal may note it."""
        if self._writer.journal.has_grown:
            self._notes += 1
            self._spawn(self._note(intent, state))
            return
        try:
            self._writer.journal.end(intent, state)
        except JournalError:
            self.counts["journal_faults"] += 1

    def _hears(self, signature: bytes) -> bool:
        return any(source.hears(signature) for source in self._sources)

    async def _submit(self, intent: Intent, expires_ns: int) -> None:
        self.follower.expect(intent)
        for source in self._sources:
            source.watch()
        outcome = await self.sender.submit(intent, expires_ns)
        await self._events.put(Submitted(intent, outcome))
        if outcome.state.is_out:
            self.follower.confirm(intent, outcome)
        elif intent.signature in self.follower:
            await self.follower.refuse(intent, outcome)

    async def _note(self, intent: Intent, state: EndState) -> None:
        try:
            await self._writer.end(intent, state)
        except JournalError:
            self.counts["journal_faults"] += 1
        finally:
            self._notes -= 1

    async def _settle(self) -> None:
        """Ends into events, a batch at a time."""
        while True:
            batch = [await self.follower.next_end()]
            self.follower.poll(batch.append)
            if any(end.state in _LANDED for end in batch):
                # What landed before or with them may not be known yet: asked now, it is in this batch.
                await self.follower.ask_landed()
                await self.follower.settle()
                self.follower.poll(batch.append)
            told = await asyncio.gather(*(self._read(end) for end in batch if end.state in _LANDED))
            landings = {id(one.landing): one for one in told if one.landing is not None}
            ordered = in_chain_order([one.landing for one in told if one.landing is not None], WRAPPED_SOL)
            for settled in (
                *(landings[id(landing)] for landing in ordered),
                *(one for one in told if one.landing is None),
                *(Settled(end, None) for end in batch if end.state not in _LANDED),
            ):
                await self._events.put(settled)

    async def _read(self, end: End) -> Settled:
        """What a landed transaction did; asked until a node has it, or the time is over."""
        limit_ns, questions = self._clock_ns() + self._times.limit_ns, 0
        while questions < LEAST_QUESTIONS or self._clock_ns() < limit_ns:
            questions += 1
            try:
                result = await self._rpc.transaction(
                    end.intent.signature,
                    deadline_ns=self._clock_ns() + self._times.ask_ns,
                    encoding="json",
                )
                if result is not None:
                    return Settled(end, read_landing(result))
                self.counts["read_again"] += 1
            except RpcFault:
                self.counts["read_faults"] += 1
            except ReadingError:
                self.counts["read_malformed"] += 1
            await asyncio.sleep(self._times.again_ns / 1e9)
        return Settled(end, None)
