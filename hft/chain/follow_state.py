"""What became of a transaction: evidence in, at most one end out. Pure.

Landed is what a status of the wanted commitment says. Expired takes two things together: the block height is
above the last valid one, and a node that has seen that block searched its history and knows nothing of the
signature. A bundle's status by itself is a hint and never an end: an engine that says Invalid may be behind,
one that says Landed may be on a fork that loses. Failed is more: the engine alone had the bytes and did not
forward them; if no node knows the signature some blocks later either (a skipped block's bundle would be known
by then), it is expired before its blockhash is.
"""

from typing import Any, Final, NamedTuple

from hft.chain.jito import BundleState
from hft.chain.journal_records import Intent
from hft.chain.rpc_parse import SignatureStatus
from hft.chain.submit import SendOutcome, SendState, error_of
from hft.wire.enums import EndState, ExecutionReason

RANKS: Final = {"processed": 0, "confirmed": 1, "finalized": 2}
_REFUSED: Final = {
    SendState.KILLED: ExecutionReason.KILLED,
    SendState.REHEARSED: ExecutionReason.DRY_RUN,
}
NULLS_WANTED: Final = 2
"""Answers in a row that must say that nobody knows the signature."""


class Point(NamedTuple):
    """A block of the wanted commitment: its slot and its height."""

    slot: int
    height: int


class FollowRule(NamedTuple):
    """``commitment``: from which a status counts as landed; ``silence_ns``: longest time without any answer
    about a transaction before it is told as unknown; ``failed_blocks``: blocks after which a bundle that the
    engine calls Failed, and that nobody else was handed, is expired (0: only its blockhash's death counts).
    """

    commitment: str = "confirmed"
    silence_ns: int = 120_000_000_000
    failed_blocks: int = 8


FOLLOW_RULE: Final = FollowRule()


class End(NamedTuple):
    """The one end of an intent. ``error_index`` and ``error_code`` where the program gave them; ``detail`` is
    text of at most 80 letters."""

    intent: Intent
    state: EndState
    reason: ExecutionReason
    slot: int = 0
    error_index: int | None = None
    error_code: int | None = None
    detail: str = ""
    bundle_id: str = ""


class Followed:
    """One intent under way and what is known of it."""

    __slots__ = (
        "asked_ns",
        "bundle",
        "bundle_id",
        "engine_only",
        "failed_height",
        "failed_nulls",
        "heard_ns",
        "intent",
        "nulls",
        "processed_slot",
        "recovered",
        "status",
        "status_ns",
    )

    def __init__(
        self,
        intent: Intent,
        now_ns: int,
        bundle_id: str = "",
        *,
        engine_only: bool = False,
        recovered: bool = False,
    ) -> None:
        """``engine_only``: no RPC node was handed the bytes."""
        self.intent = intent
        self.engine_only = engine_only
        self.asked_ns = 0
        self.failed_height = 0
        self.failed_nulls = 0
        self.bundle_id = bundle_id
        self.heard_ns = now_ns
        self.status: SignatureStatus | None = None
        self.bundle: BundleState | None = None
        self.nulls = 0
        self.processed_slot = 0
        self.recovered = recovered
        self.status_ns = 0 if recovered else now_ns
        """When its status was asked for, or it was taken up."""

    def on_status(
        self,
        status: SignatureStatus | None,
        now_ns: int,
        *,
        asked_slot: int,
        searched: bool,
        point: Point | None,
        failed_blocks: int = FOLLOW_RULE.failed_blocks,
    ) -> None:
        """A node's answer. ``asked_slot``: the slot it stood at; ``searched``: with its history; ``point``:
        the newest block known when it was asked.

        A null counts only from a node that has seen that block.
        """
        self.heard_ns = now_ns
        self.status = status
        if status is not None:
            self.nulls = self.failed_nulls = 0
            self.processed_slot = max(self.processed_slot, status.slot)
        elif point is None or asked_slot < point.slot:
            return
        elif searched and self.is_past(point):
            self.nulls += 1
        elif self._is_overdue(point, failed_blocks):
            self.failed_nulls += 1

    def on_bundle(self, state: BundleState, point: Point | None) -> None:
        """What the engine says of its bundle, when the newest block known was ``point``."""
        self.bundle = state
        if state is not BundleState.FAILED:
            self.failed_height = self.failed_nulls = 0
        elif point is not None and self.engine_only and not self.failed_height:
            self.failed_height = point.height

    def is_past(self, point: Point) -> bool:
        """Whether it can no longer land after this block."""
        return point.height > self.intent.last_valid_block_height

    def counts_nulls(self, point: Point | None, rule: FollowRule) -> bool:
        """Whether an answer that nobody knows it would bring its end nearer."""
        return point is not None and (self.is_past(point) or self._is_overdue(point, rule.failed_blocks))

    def _is_overdue(self, point: Point, failed_blocks: int) -> bool:
        return self.failed_height > 0 and point.height > self.failed_height + failed_blocks

    def end(self, rule: FollowRule, now_ns: int) -> End | None:
        """Its end, if the evidence is enough."""
        status = self.status
        if status is not None and RANKS[status.commitment] >= RANKS[rule.commitment]:
            return landed(self.intent, status, self.bundle_id)
        if self.nulls >= NULLS_WANTED:
            return End(
                self.intent,
                EndState.EXPIRED,
                self._why_expired(),
                detail="its blockhash is dead and no history has it",
                bundle_id=self.bundle_id,
            )
        if rule.failed_blocks and self.failed_nulls >= NULLS_WANTED:
            return End(
                self.intent,
                EndState.EXPIRED,
                ExecutionReason.BUNDLE_FAILED,
                detail=f"the engine did not forward it, unknown {rule.failed_blocks} blocks on",
                bundle_id=self.bundle_id,
            )
        if now_ns - self.heard_ns > rule.silence_ns:
            return End(
                self.intent,
                EndState.UNKNOWN,
                ExecutionReason.STATUS_UNKNOWN,
                detail="nobody could be asked",
                bundle_id=self.bundle_id,
            )
        return None

    def _why_expired(self) -> ExecutionReason:
        if self.bundle is BundleState.INVALID:
            return ExecutionReason.BUNDLE_INVALID
        if self.bundle is BundleState.FAILED:
            return ExecutionReason.BUNDLE_FAILED
        return ExecutionReason.BLOCKHASH_EXPIRED


def landed(intent: Intent, status: SignatureStatus, bundle_id: str) -> End:
    """The end of what landed, well or not."""
    if status.error is None:
        return End(intent, EndState.LANDED_OK, ExecutionReason.NONE, status.slot, bundle_id=bundle_id)
    index, code, name = error_of(status.error)
    return End(
        intent,
        EndState.LANDED_FAILED,
        ExecutionReason.PROGRAM_ERROR,
        status.slot,
        index,
        code,
        name,
        bundle_id,
    )


def refused(intent: Intent, outcome: SendOutcome) -> End:
    """The end of what nobody took (``outcome.state.is_out`` is False)."""
    error: Any = None
    if outcome.fault is not None and isinstance(outcome.fault.data, dict):
        error = outcome.fault.data.get("err")
    index, code, name = error_of(error)
    reason = _REFUSED.get(outcome.state, ExecutionReason.SEND_FAILED)
    return End(
        intent, EndState.REJECTED, reason, 0, index, code, (name or outcome.reason)[:80], outcome.bundle_id
    )
