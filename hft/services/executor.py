"""The executor: plans → gate → signed bytes → one submission → a truthful end. One result for every plan,
always.

The kill latch is read last before the socket write. What the socket does not take at once is taken back, so
that nothing is ever left to be written after a kill. What was submitted is followed until it settles or its
blockhash is dead.

Counters: in_planned = in_plans + in_plan_rejected + dropped_corrupt, and in_plans + recovered_plans =
end_<state> + dropped_duplicate + open_plans; end_<state> = out_executed + held_executed.
"""

from typing import TYPE_CHECKING

from hft import wire
from hft.chain.keys import paper_keypair
from hft.chain.local import ClusterError, LocalCluster
from hft.chain.signers import LocalSigner
from hft.chain.transaction import SignedTransaction
from hft.services import submissions
from hft.services.book import pool_settings
from hft.services.building import Builder
from hft.services.common import SYSTEM_COUNTERS, SystemLink
from hft.services.intents import Intent
from hft.services.outcome import End, refused
from hft.services.pretrade import PreTrade
from hft.services.submissions import Submissions, Work
from hft.wire.enums import ExecutionReason

if TYPE_CHECKING:
    from hft.runtime.context import Context

COUNTERS: tuple[str, ...] = (
    "in_planned",
    "in_plans",
    "in_plan_rejected",
    "dropped_corrupt",
    "dropped_duplicate",
    "open_plans",
    "signed",
    "submitted",
    *submissions.COUNTERS,
    "held_executed",
    "connects",
    "slot",
    "wallet_lamports",
    *SYSTEM_COUNTERS,
)
HISTOGRAMS: tuple[str, ...] = (
    "handoff_planner_executor_ns",
    "stage_executor_ns",
    "tick_to_signed_ns",
    "tick_to_submitted_ns",
    *submissions.HISTOGRAMS,
)

POLL_LIMIT = 8
EVENT_LIMIT = 256
RECONNECT_NS = 50_000_000
FOLLOW_NS = 500_000
"""Longest sleep while something submitted has no end yet: its status comes by another door than plans."""


def build(ctx: "Context") -> "Executor":
    """The executor of a run, attached to its links; connects in ``on_start``."""
    return Executor(ctx)


class Executor:
    """See the module."""

    def __init__(self, ctx: "Context") -> None:
        self._clock = ctx.clock
        self._control = ctx.control
        self._counters = ctx.counters
        signer = LocalSigner.of(paper_keypair(ctx.config.simnet.seed))
        self._wallet = signer.public_key
        self._builder = Builder(ctx.table, signer, pool_settings(ctx.config))
        self.primary = ctx.subscription("planned")
        self._work = Submissions(ctx)
        self._gate = PreTrade(ctx, self._work)
        self._system = SystemLink(ctx)
        self._cluster = LocalCluster(str(ctx.run.socket_path), monotonic_ns=ctx.clock.monotonic_ns)
        self._next_connect_ns = 0
        index = ctx.counters.index
        self._in, self._plans = index("in_planned"), index("in_plans")
        self._rejections, self._corrupt = index("in_plan_rejected"), index("dropped_corrupt")
        self._duplicate = index("dropped_duplicate")
        self._signed, self._submitted = index("signed"), index("submitted")
        histogram = ctx.counters.histogram_index
        self._handoff, self._stage = histogram("handoff_planner_executor_ns"), histogram("stage_executor_ns")
        self._to_signed = histogram("tick_to_signed_ns")
        self._to_submitted = histogram("tick_to_submitted_ns")

    def on_start(self) -> None:
        """Takes up what a predecessor left unfinished, and connects."""
        self._work.start()
        self._builder.refresh()
        self._connect(self._clock.monotonic_ns())

    def do_work(self) -> int:
        """Takes what the cluster says, then plans while results find room."""
        count = self._cluster.poll(self._work.on_event, EVENT_LIMIT)
        if self._work.out.blocked:
            return count + self._work.out.flush()
        return count + self.primary.poll(self._on_planned, POLL_LIMIT)

    def pending(self) -> int:
        """Submissions without an end, and results that found no room yet."""
        return len(self._work.open) + self._work.out.held

    def wait(self, timeout_ns: int) -> None:
        """Sleep until a plan comes; only briefly while a submission is under way."""
        self.primary.wait(min(timeout_ns, FOLLOW_NS) if self._work.open else timeout_ns)

    def on_housekeeping(self, now_ns: int) -> None:
        """Reconnects, follows what is under way, shows gauges."""
        self._system.poll()
        work, counters = self._work, self._counters
        if not self._cluster.connected and now_ns >= self._next_connect_ns:
            self._connect(now_ns)
        # Pools decoded and transactions prepared in between, so that a plan finds them ready.
        self._builder.refresh(work.chain.slot if work.chain is not None else 0)
        try:
            work.follow(now_ns, self._cluster, self._wallet)
        except ClusterError:
            self._cluster.close()
        work.intents.housekeep()
        counters.set(counters.index("open_plans"), len(work.open))
        counters.set(counters.index("held_executed"), work.out.held)
        counters.set(counters.index("slot"), work.chain.slot if work.chain is not None else 0)
        counters.set(counters.index("wallet_lamports"), (work.lamports or 0) + (work.base_token or 0))

    def on_close(self) -> None:
        self._work.close()
        self._cluster.close()

    def _connect(self, now_ns: int) -> None:
        self._next_connect_ns = now_ns + RECONNECT_NS
        try:
            if self._cluster.try_connect():
                self._cluster.follow_slots()
                self._cluster.balances(self._wallet)
                self._counters.add(self._counters.index("connects"))
        except ClusterError:
            self._cluster.close()

    def _on_planned(self, view: memoryview) -> None:
        now_ns = self._clock.monotonic_ns()
        counters = self._counters
        counters.add(self._in)
        try:
            identifier = wire.identifier(view)
            if identifier == wire.plan_rejected.identifier:
                counters.add(self._rejections)
                return
            plan = wire.execution_plan.decode(view)
        except wire.WireError:
            counters.add(self._corrupt)
            return
        counters.add(self._plans)
        counters.record(self._handoff, max(now_ns - plan.plan_published_ns, 0))
        if self._work.intents.knows(plan.plan_id):
            counters.add(self._duplicate)
            return
        self._execute(Work(plan, now_ns), view)

    def _execute(self, work: Work, view: memoryview) -> None:
        """Gate, build, sign, note the intent, look at the latch once more, write."""
        refusal = self._gate.refusal(work.plan)
        if refusal is not None:
            self._work.finish(work, refused(refusal.reason, f"{refusal.observed} against {refusal.limit}"))
            return
        chain = self._work.chain
        if chain is None or not self._cluster.connected:
            connected = self._cluster.connected
            reason = ExecutionReason.NO_BLOCKHASH if connected else ExecutionReason.SETTLEMENT_UNREACHABLE
            self._work.finish(work, refused(reason))
            return
        signed = self._builder.signed(work.plan, chain.blockhash, chain.slot)
        if isinstance(signed, End):
            self._work.finish(work, signed)
            return
        work.signature, work.last_valid_block_height = signed.signature, chain.last_valid_block_height
        work.signed_ns = self._clock.monotonic_ns()
        counters, plan = self._counters, work.plan
        counters.add(self._signed)
        counters.record(self._to_signed, work.signed_ns - plan.received_ns)
        counters.record(self._stage, work.signed_ns - work.exec_received_ns)
        self._submit(work, signed, bytes(view))

    def _submit(self, work: Work, signed: SignedTransaction, message: bytes) -> None:
        plan, counters = work.plan, self._counters
        try:
            self._work.intents.begin(
                Intent(signed.signature, work.last_valid_block_height, plan.plan_id, message)
            )
        except OSError as error:
            self._work.finish(
                work, refused(ExecutionReason.SEND_FAILED, f"intent not on disk: {error.strerror}")
            )
            return
        if self._control.latch:
            self._work.finish(work, refused(ExecutionReason.KILLED))
            return
        try:
            self._cluster.submit(signed.data)
        except ClusterError as error:
            self._work.finish(work, refused(ExecutionReason.SEND_FAILED, str(error)))
            return
        if self._cluster.unsent_bytes:
            # A validator ignores half a transaction; left to be written later it could go out after a kill.
            self._cluster.abandon_unsent()
            self._work.finish(work, refused(ExecutionReason.SEND_FAILED, "the socket took no more"))
            return
        work.submitted_ns = self._clock.monotonic_ns()
        counters.add(self._submitted)
        counters.record(self._to_submitted, work.submitted_ns - plan.received_ns)
        self._work.open[work.signature] = work
        self._gate.submitted(work.submitted_ns)
