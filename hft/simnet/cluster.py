"""The local cluster without its doors: market time, order flow, a rival, submissions, bundles, faults.

Market time runs with the clock from ``start``; slots, swaps and auctions happen at their times on it, in one
order that depends on nothing but the seed. A process that falls too far behind lets market time stand still
rather than rush. Each submission is executed ``landing_ms`` after it came, in the order of arrival.
"""

import hashlib
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import TransferParams, transfer

from hft.chain.keys import paper_keypair
from hft.chain.svm_envelope import Refusal
from hft.chain.transaction import sign
from hft.runtime import settings as setting
from hft.simnet.bank import Bank
from hft.simnet.block_engine import BlockEngine
from hft.simnet.events import NO_INDEX, AccountUpdate, Outcome, SettlementStatus, SlotUpdate
from hft.simnet.faults import ACTIONS, Fault, Faults
from hft.simnet.flow import Flow, profile_of
from hft.simnet.genesis import SYSTEM_PROGRAM, genesis_accounts
from hft.simnet.ledger import Ledger
from hft.simnet.market import Market, shipped_profile
from hft.simnet.programs import load_programs
from hft.simnet.rival import Rival
from hft.simnet.settlement import Executed, Settlement
from hft.venues import Account

EVENTS_AT_ONCE: Final = 32
MAX_QUEUED: Final = 4096
MAX_BEHIND_NS: Final = 1_000_000_000
MILLISECOND_NS: Final = 1_000_000
FAUCET_LAMPORTS: Final = 10**18
_FAUCET: Final = b"hft simnet faucet, public by construction"

Reply = Callable[[Executed, int], None]


class Listener:
    """Somebody who is told what happens, right when it happened; each method may be overridden."""

    def on_accounts(self, changes: list[AccountUpdate]) -> None:
        """Accounts changed."""

    def on_slot(self, update: SlotUpdate) -> None:
        """A slot began."""

    def on_executed(self, executed: Executed) -> None:
        """A transaction came into a block."""

    def on_outcome(self, status: SettlementStatus, size: int, received_ns: int, settle_ns: int) -> None:
        """A submission of ``size`` bytes had its turn (it may have been refused)."""

    def on_revert(self, slot: int) -> None:
        """What came after ``slot`` never was."""

    def on_cut(self, node: str) -> None:
        """Streams to clients of a node ("": of all) are to break."""


class _Submission(NamedTuple):
    """A transaction that waits for its execution."""

    due_ns: int
    received_ns: int
    raw: bytes
    reply: Reply


class Cluster:
    """See the module. One process steps it; times are monotonic nanoseconds."""

    def __init__(
        self,
        settings: setting.Simnet,
        market: Market,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """``monotonic_ns``: the clock that submissions without a time of their own are stamped by.

        ``HftError`` if the folder of programs is none.
        """
        self._monotonic_ns = monotonic_ns
        self.market = market
        self.settings = settings
        self._slot_ns = settings.slot_ms * MILLISECOND_NS
        self._landing_ns = settings.landing_ms * MILLISECOND_NS
        self.wallet = paper_keypair(settings.seed)
        self._faucet = Keypair.from_seed(
            hashlib.sha256(_FAUCET + settings.seed.to_bytes(8, "little")).digest()
        )
        self._airdrops = 0
        genesis = genesis_accounts(market, self.wallet.pubkey(), settings.wallet_lamports)
        genesis[bytes(self._faucet.pubkey())] = Account(SYSTEM_PROGRAM, b"", FAUCET_LAMPORTS)
        self.bank = Bank(market, genesis, seed=settings.seed, slot_ms=settings.slot_ms)
        self.programs = load_programs(self.bank.svm, settings.programs) if settings.programs else frozenset()
        self.settlement = Settlement(self.bank, self.programs)
        self.ledger = Ledger(self.bank)
        self.faults = Faults()
        self.engine = BlockEngine(self.bank, self.settlement, self.faults, self._outcome)
        self.flow = Flow(
            self.bank,
            profile_of(shipped_profile()),
            seed=settings.seed,
            swaps_per_second=settings.swaps_per_second,
        )
        if market.mixed:
            self.flow.open_market()
            self.bank.take_changes()
        self.rival = Rival(
            self.bank,
            self.engine.bid,
            seed=settings.seed,
            share_ppm=settings.rival_ppm,
            reaction_ns=settings.rival_reaction_ms * MILLISECOND_NS,
            tip_ppm=settings.rival_tip_ppm,
        )
        self.listeners: list[Listener] = []
        self._queue: deque[_Submission] = deque()
        self._start_ns = 0
        self._now_ns = 0
        self.slots = 0
        self._skip = 0
        self.standstills = 0
        self.updates = 0
        self.outcomes: Counter[str] = Counter()

    def start(self, now_ns: int) -> None:
        """Market time begins."""
        self._start_ns = now_ns

    @property
    def queued(self) -> int:
        """Submissions that wait for their execution."""
        return len(self._queue)

    def is_queued(self, signature: bytes) -> bool:
        """Whether a transaction with this first signature waits for its execution."""
        return any(submission.raw[1:65] == signature for submission in self._queue)

    def submit(self, raw: bytes, now_ns: int, reply: Reply) -> None:
        """Takes a transaction; ``reply(executed, received_ns)`` tells what became of it."""
        if len(self._queue) >= MAX_QUEUED:
            signature = bytes(raw[1:65]) if len(raw) >= 65 else bytes(64)
            executed = Executed(self.unexecuted(signature, Outcome.REJECTED, Refusal.OVERLOADED), None, None)
            self._outcome(executed, len(raw), now_ns, 0)
            reply(executed, now_ns)
        else:
            self._queue.append(_Submission(now_ns + self._landing_ns, now_ns, raw, reply))

    def submit_now(self, raw: bytes) -> None:
        """``submit`` for a client that follows the transaction by its signature."""
        self.submit(raw, self._monotonic_ns(), lambda _executed, _received_ns: None)

    def bundle_now(self, raws: Sequence[bytes]) -> str:
        """Hands a bundle to the auction; its id. ``BundleError`` if it is refused."""
        now_ns = self._monotonic_ns()
        return self.engine.submit(raws, self.elapsed_ns(now_ns), now_ns)

    def airdrop(self, wallet: bytes, lamports: int) -> str:
        """Sends lamports from the faucet; the transaction's signature."""
        self._airdrops += 1
        give = transfer(
            TransferParams(from_pubkey=self._faucet.pubkey(), to_pubkey=Pubkey(wallet), lamports=lamports)
        )
        # The counter as a price makes every airdrop's signature its own.
        order = [set_compute_unit_limit(1000), set_compute_unit_price(self._airdrops), give]
        signed = sign(order, self._faucet, self.bank.blockhash)
        self.submit_now(signed.data)
        return str(Signature(signed.signature))

    def unexecuted(self, signature: bytes, outcome: Outcome, name: str) -> SettlementStatus:
        """The status of a transaction that did not run."""
        return SettlementStatus(signature, outcome, self.bank.slot, NO_INDEX, 0, name, 0, 0, 0, 0, ())

    def elapsed_ns(self, now_ns: int) -> int:
        """``now_ns`` on the market's time."""
        return now_ns - self._start_ns

    def due_ns(self) -> int:
        """When there is next something to do."""
        due_ns = self._start_ns + self._next_event_ns()
        return min(due_ns, self._queue[0].due_ns) if self._queue else due_ns

    def advance(self, now_ns: int) -> int:
        """Executes what is due, moves the market on; at most ``EVENTS_AT_ONCE`` events. Returns how many."""
        done = 0
        while self._queue and self._queue[0].due_ns <= now_ns:
            submission = self._queue.popleft()
            begin_ns = time.perf_counter_ns()
            executed = self.settlement.run(submission.raw)
            settle_ns = time.perf_counter_ns() - begin_ns
            self._outcome(executed, len(submission.raw), submission.received_ns, settle_ns)
            submission.reply(executed, submission.received_ns)
            done += 1
        elapsed_ns = now_ns - self._start_ns
        for _ in range(EVENTS_AT_ONCE):
            due_ns = self._next_event_ns()
            if due_ns > elapsed_ns:
                break
            if elapsed_ns - due_ns > MAX_BEHIND_NS:
                self._start_ns += elapsed_ns - due_ns
                elapsed_ns = due_ns
                self.standstills += 1
            self._next_event()
            done += 1
        return done

    def act(self, fault: Fault) -> None:
        """Carries out one of ``ACTIONS``; any other fault is left to stand. ``FaultError``: too many do."""
        if fault.kind not in ACTIONS:
            self.faults.add(fault)
        elif fault.kind == "fork_revert":
            self.revert(max(fault.slots, 1))
        elif fault.kind == "skip_slots":
            self._skip += max(fault.slots, 1)
        elif fault.kind == "cut_streams":
            for listener in self.listeners:
                listener.on_cut(fault.node)
        else:
            self._tell_slot(self.bank.expire_blockhashes())
        if fault.kind in ACTIONS:
            self.faults.met[fault.kind] += 1

    def revert(self, slots: int) -> None:
        """The newest ``slots`` turn out to be on a fork that lost."""
        update = self.bank.revert(slots)
        parent = self.bank.blocks[update.slot].parent
        self.ledger.revert_after(parent)
        self.settlement.forget_after(self.bank.blocks[parent].height)
        self.engine.revert_after(parent)
        for listener in self.listeners:
            listener.on_revert(parent)
        self._tell_slot(update)

    def publish(self) -> None:
        """Tells what changed on the bank."""
        changes = self.bank.take_changes()
        if changes:
            self.updates += len(changes)
            for listener in self.listeners:
                listener.on_accounts(changes)

    def _next_event_ns(self) -> int:
        market_ns = min(self.flow.next_ns, self.rival.next_ns, self.engine.next_ns)
        return min((self.slots + 1) * self._slot_ns, market_ns)

    def _next_event(self) -> None:
        """The market's next event: a slot before an auction before the rival before a swap of the same
        time."""
        due_ns = self._next_event_ns()
        if (self.slots + 1) * self._slot_ns <= due_ns:
            self.slots += 1
            skipped, self._skip = self._skip, 0
            self._tell_slot(self.bank.skip_to(self.bank.slot + 1 + skipped))
        elif self.engine.next_ns <= due_ns:
            self.engine.tick(due_ns)
            self.publish()
        elif self.rival.next_ns <= due_ns:
            self.rival.step()
        else:
            self.flow.last_pool = None
            self.flow.step()
            if self.flow.last_pool is not None:
                self.rival.look(self.flow.last_pool, due_ns)
            self.publish()

    def _tell_slot(self, update: SlotUpdate) -> None:
        self.publish()
        for listener in self.listeners:
            listener.on_slot(update)

    def _outcome(self, executed: Executed, size: int, received_ns: int, settle_ns: int) -> None:
        status = executed.status
        rejected = status.outcome is Outcome.REJECTED
        self.outcomes[status.error_name if rejected else status.outcome.name.lower()] += 1
        self.ledger.add(executed)
        self.publish()
        for listener in self.listeners:
            listener.on_outcome(status, size, received_ns, settle_ns)
            if executed.landed:
                listener.on_executed(executed)
