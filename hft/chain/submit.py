"""Submission: signed bytes to the block engine, and where it refuses to RPC; the same bytes on every way.

The intent is on disk before the first write. Whatever comes back, nothing is an end but what the follower
finds on the chain, save one: refused by everybody, with certainty that nobody has the bytes.
"""

import time
from collections import Counter
from collections.abc import Callable
from enum import Enum
from typing import Any, Final, NamedTuple, Protocol

from hft.chain.jito import JitoClient, already_processed
from hft.chain.journal import JournalWriter
from hft.chain.journal_records import Intent, JournalError, Path, Sent
from hft.chain.rpc import RpcClient
from hft.chain.rpc_faults import PREFLIGHT_FAILED, FaultKind, RpcFault

PPM: Final = 1_000_000


class SendState(Enum):
    """What is known right after sending."""

    ACCEPTED = "accepted"
    """Somebody took the bytes."""
    UNKNOWN = "unknown"
    """They were written, and no sure answer came: they may land."""
    REFUSED = "refused"
    """Nobody has them."""
    KILLED = "killed"
    """The kill check forbade the first write: nobody has them."""
    REHEARSED = "rehearsed"
    """A dry run: they were simulated, nobody has them."""

    @property
    def is_out(self) -> bool:
        """Whether the bytes may land."""
        return self in (SendState.ACCEPTED, SendState.UNKNOWN)


class SendOutcome(NamedTuple):
    """How sending went. ``path``: by which way they were taken, or last tried; ``fault``: the last one;
    ``written_ns``: when the first socket write was allowed, 0 if none was; ``again``: an engine may hold a
    second copy, which its word on the first says nothing of."""

    state: SendState
    path: Path | None = None
    bundle_id: str = ""
    endpoint: str = ""
    fault: RpcFault | None = None
    reason: str = ""
    written_ns: int = 0
    again: bool = False


class SendRule(NamedTuple):
    """Limits of one submission.

    ``limit_ns``: longest time from the first write to the last, within the plan's life; ``jito_share_ppm``:
    how much of it the block engine may use up before RPC's turn; ``attempts``: tries on each way.
    """

    limit_ns: int = 400_000_000
    jito_share_ppm: int = 500_000
    attempts: int = 2
    skip_preflight: bool = True


SEND_RULE: Final = SendRule()


class Sender(Protocol):
    """What takes signed bytes: the submitter, or a dry run's rehearsal."""

    outcomes: Counter[str]
    fallbacks: int
    unwritten: int
    """Submissions under way of which nothing was written to a socket yet."""

    def note(self, intent: Intent) -> None:
        """Keeps what is about to be submitted through the death of this process; never waits."""

    async def submit(self, intent: Intent, expires_ns: int) -> SendOutcome:
        """What became of the bytes, at ``expires_ns`` at the latest."""


class Deadlines(NamedTuple):
    """Until when each way may be tried (ns)."""

    jito_ns: int
    last_ns: int


def deadlines(rule: SendRule, now_ns: int, expires_ns: int) -> Deadlines | None:
    """Deadlines that end with the plan's life (``expires_ns``) at the latest; None if that is over."""
    last_ns = min(now_ns + rule.limit_ns, expires_ns)
    if last_ns <= now_ns:
        return None
    return Deadlines(now_ns + (last_ns - now_ns) * rule.jito_share_ppm // PPM, last_ns)


def landed_already(fault: RpcFault) -> bool:
    """Whether a refusal says that the transaction is on the chain already."""
    if already_processed(fault):
        return True
    error = fault.data.get("err") if isinstance(fault.data, dict) else None
    return fault.code == PREFLIGHT_FAILED and error == "AlreadyProcessed"


class _Guard:
    """The kill check of one submission, and when it first let a write pass."""

    __slots__ = ("_clock_ns", "_killed", "_written", "written_ns")

    def __init__(
        self, killed: Callable[[], bool], clock_ns: Callable[[], int], written: Callable[[], None]
    ) -> None:
        self._killed = killed
        self._clock_ns = clock_ns
        self._written = written
        self.written_ns = 0

    def __call__(self) -> bool:
        # Read before the look: a write that was let pass with a later time than a kill's would prove a hole.
        now_ns = self._clock_ns()
        if self._killed():
            return True
        if not self.written_ns:
            self.written_ns = now_ns
            self._written()
        return False


class Submitter:
    """See the module. ``killed`` is asked right before every socket write, on every way and every attempt."""

    def __init__(
        self,
        rpc: RpcClient,
        jito: JitoClient | None,
        journal: JournalWriter,
        killed: Callable[[], bool],
        rule: SendRule = SEND_RULE,
        *,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._rpc = rpc
        self._jito = jito
        self._journal = journal
        self._killed = killed
        self._rule = rule
        self._clock_ns = clock_ns
        self.outcomes: Counter[str] = Counter()
        self.fallbacks = 0
        self.unwritten = 0

    def note(self, intent: Intent) -> None:
        """Hands the intent to the kernel for the journal; what is wrong with it ``submit`` tells."""
        try:
            self._journal.journal.note(intent)
        except (JournalError, ValueError):
            return

    async def submit(self, intent: Intent, expires_ns: int) -> SendOutcome:
        """Journals and sends; returns at the deadline at the latest (plus the disk's time). A plan that was
        signed before and may land, or has landed, is refused here."""
        guard = _Guard(self._killed, self._clock_ns, self._wrote)
        self.unwritten += 1
        try:
            outcome = await self._submit(intent, expires_ns, guard)
        finally:
            if not guard.written_ns:
                self._wrote()
        self.outcomes[outcome.state.value] += 1
        return outcome._replace(written_ns=guard.written_ns)

    def _wrote(self) -> None:
        self.unwritten -= 1

    async def _submit(self, intent: Intent, expires_ns: int, guard: _Guard) -> SendOutcome:
        try:
            await self._journal.begin(intent)
        except (JournalError, ValueError) as error:
            return SendOutcome(SendState.REFUSED, reason=str(error))
        times = deadlines(self._rule, self._clock_ns(), expires_ns)
        if times is None:
            return SendOutcome(SendState.REFUSED, reason="the plan's life ended before it was sent")
        first = None
        if self._jito is not None:
            first = await self._by_jito(self._jito, intent, times.jito_ns, guard)
            if first.state in (SendState.ACCEPTED, SendState.KILLED):
                return self._noted(intent, first)
            self.fallbacks += 1
        outcome = await self._by_rpc(intent, times.last_ns, guard)
        if outcome.state is not SendState.ACCEPTED and first is not None and first.state is SendState.UNKNOWN:
            outcome = outcome._replace(state=SendState.UNKNOWN, path=Path.JITO)
        return self._noted(intent, outcome)

    async def _by_jito(
        self, jito: JitoClient, intent: Intent, deadline_ns: int, guard: _Guard
    ) -> SendOutcome:
        try:
            bundle_id, endpoint, again = await jito.send_bundle(
                [intent.signed],
                deadline_ns=deadline_ns,
                guard=guard,
                attempts=self._rule.attempts,
            )
        except RpcFault as fault:
            return _after(fault, Path.JITO)
        return SendOutcome(SendState.ACCEPTED, Path.JITO, bundle_id, endpoint, again=again)

    async def _by_rpc(self, intent: Intent, deadline_ns: int, guard: _Guard) -> SendOutcome:
        try:
            signature, endpoint = await self._rpc.send_transaction(
                intent.signed,
                deadline_ns=deadline_ns,
                guard=guard,
                skip_preflight=self._rule.skip_preflight,
                attempts=self._rule.attempts,
            )
        except RpcFault as fault:
            return _after(fault, Path.RPC)
        if signature != intent.signature:
            odd = RpcFault(FaultKind.MALFORMED, endpoint, "it names another signature than the one sent")
            return SendOutcome(SendState.UNKNOWN, Path.RPC, "", endpoint, odd, str(odd))
        return SendOutcome(SendState.ACCEPTED, Path.RPC, "", endpoint)

    def _noted(self, intent: Intent, outcome: SendOutcome) -> SendOutcome:
        """The journal knows who took the bytes; that is a help for the next start, not a condition."""
        if outcome.state is SendState.ACCEPTED and outcome.path is not None and not outcome.again:
            try:
                self._journal.journal.sent(Sent(intent.plan_id, outcome.path, outcome.bundle_id))
            except JournalError as error:
                return outcome._replace(reason=str(error))
        return outcome


def _after(fault: RpcFault, path: Path) -> SendOutcome:
    """What a fault says of the bytes."""
    if landed_already(fault):
        state = SendState.ACCEPTED
    elif fault.maybe_done:
        state = SendState.UNKNOWN
    elif fault.kind is FaultKind.KILLED:
        state = SendState.KILLED
    else:
        state = SendState.REFUSED
    return SendOutcome(state, path, "", fault.endpoint, fault, str(fault), again=fault.maybe_done)


def error_of(error: Any) -> tuple[int | None, int | None, str]:
    """A transaction's ``err``: (index of the instruction, custom code, name); (None, None, "") for none.

    ``{"InstructionError": [2, {"Custom": 6001}]}`` → (2, 6001, "Custom"); ``"BlockhashNotFound"`` → (None,
    None, "BlockhashNotFound").
    """
    if error is None:
        return None, None, ""
    if isinstance(error, str):
        return None, None, error[:80]
    if isinstance(error, dict) and len(error) == 1:
        name, inner = next(iter(error.items()))
        if name == "InstructionError" and isinstance(inner, list) and len(inner) == 2:
            index = inner[0] if type(inner[0]) is int else None
            what = inner[1]
            if isinstance(what, dict) and type(what.get("Custom")) is int:
                return index, what["Custom"], "Custom"
            return index, None, str(what if isinstance(what, str) else next(iter(what), ""))[:80]
        return None, None, str(name)[:80]
    return None, None, str(error)[:80]
