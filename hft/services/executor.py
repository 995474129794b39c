"""The executor: plans → gate → signed bytes → journal → block engine or RPC → a truthful end. One result for
every plan, always.

Everything but the wait for disk and network happens in the duty cycle; those are waited for by coroutines on
a loop that the duty cycle steps. The kill latch is read last, right before every socket write. What was
submitted is followed until it has landed or can't any more; after a restart so is whatever had no end yet.

Counters: in_planned = in_plans + in_plan_rejected + dropped_corrupt, and in_plans + recovered_plans =
end_<state> + dropped_duplicate + open_plans; end_<state> = out_executed + held_executed.
"""

from typing import TYPE_CHECKING

from hft import wire
from hft.chain.journal_records import Intent
from hft.chain.rpc_parse import LatestBlockhash
from hft.chain.signers import LocalSigner, Signer
from hft.chain.transaction import SignedTransaction
from hft.services import access, submissions
from hft.services.access import Access
from hft.services.book import pool_settings
from hft.services.building import Builder
from hft.services.chain_access import ChainAccess
from hft.services.common import SYSTEM_COUNTERS, SystemLink
from hft.services.ledger_place import place_of
from hft.services.ledger_reading import profits_of_day
from hft.services.outcome import End, refused
from hft.services.pretrade import PreTrade
from hft.services.remote_signing import RemoteSigning
from hft.services.signing import lock_wallet, open_signer
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
    *submissions.COUNTERS,
    "held_executed",
    "slot",
    "wallet_lamports",
    "journal_cut_bytes",
    *access.COUNTERS,
    *SYSTEM_COUNTERS,
)
STRATEGY_COUNTERS: tuple[str, ...] = ("executed", "halted")
HISTOGRAMS: tuple[str, ...] = (
    "handoff_planner_executor_ns",
    "stage_executor_ns",
    "tick_to_signed_ns",
    *submissions.HISTOGRAMS,
)

POLL_LIMIT = 8
EVENT_LIMIT = 256
SENDING_NS = 200_000
"""Longest sleep while bytes are on their way to disk and socket, beside which a plan may come."""
PREPARE_NS = 500_000_000
"""Between two looks at what could be prepared for plans to come."""
SHOW_NS = 200_000_000


def build(ctx: "Context") -> "Executor":
    """The executor of a run, attached to its links; its wallet is locked, its sockets are open.

    ``HftError`` when the wallet, an address or the journal can't be had.
    """
    return Executor(ctx)


class Executor:
    """See the module."""

    def __init__(
        self, ctx: "Context", chain: ChainAccess | None = None, signer: Signer | None = None
    ) -> None:
        """``chain``: where to send, ``signer``: who signs, if not by the settings."""
        self._ctx = ctx
        self._clock = ctx.clock
        self._counters = ctx.counters
        signer = signer or open_signer(ctx.run)
        self.wallet = signer.public_key
        self._lock = lock_wallet(ctx.run, self.wallet)
        self.access: ChainAccess = chain or Access(ctx, self.wallet)
        self._step, self._poll = self.access.step, self.access.poll
        self.work = Submissions(ctx, self.access.forget, self.access.is_doomed)
        watchers = self.access.watchers
        self.builder = Builder(
            ctx.table, signer, pool_settings(ctx.config), watchers.tables, watchers.tip_accounts
        )
        self.primary = ctx.subscription("planned")
        self._gate = PreTrade(ctx, self.work)
        local = isinstance(signer, LocalSigner)
        self.remote = None if local else RemoteSigning(signer, self.builder, self._gate, self.work)
        self._system = SystemLink(ctx)
        self._next_prepare_ns = self._next_show_ns = 0
        index = ctx.counters.index
        self._in, self._plans = index("in_planned"), index("in_plans")
        self._rejections, self._corrupt = index("in_plan_rejected"), index("dropped_corrupt")
        self._duplicate, self._signed = index("dropped_duplicate"), index("signed")
        self._open, self._held = index("open_plans"), index("held_executed")
        histogram = ctx.counters.histogram_index
        self._handoff, self._stage = histogram("handoff_planner_executor_ns"), histogram("stage_executor_ns")
        self._to_signed = histogram("tick_to_signed_ns")

    def on_start(self) -> None:
        """Takes up what a predecessor left unfinished, and today's profit from the ledger.

        ``HftError`` when the ledger can't be read: what is not known can't be risked on.
        """
        unix_ns, config = self._clock.unix_ns(), self._ctx.config
        place = place_of(self._ctx.run.state_dir, config.auditor)
        self.work.begin_day(profits_of_day(place, unix_ns, config.hft.mode), unix_ns)
        for intent in self.access.recover():
            self.work.recover(intent)
        for intent in self.access.lost():
            self.work.lose(intent, "the local cluster it was sent to is gone")
        self._counters.set(self._counters.index("journal_cut_bytes"), self.access.cut_bytes)
        self.builder.refresh()

    def do_work(self) -> int:
        """Runs what sockets and disk have ready, takes what the desk tells, then plans while results find
        room."""
        self._step()
        work = self.work
        count = self._poll(work.on_event, EVENT_LIMIT)
        if work.out.blocked:
            count += work.out.flush()
            work.note()
            return count
        taken = self.primary.poll(self._on_planned, POLL_LIMIT)
        if self.remote is not None:
            taken += self.remote.poll(self._submit, self.access.watchers.slot)
        if taken:
            self._step()
        return count + taken

    def pending(self) -> int:
        """Submissions without an end, and results that found no room yet."""
        return len(self.work.open) + self.work.out.held

    def wait(self, timeout_ns: int) -> None:
        """Sleeps until a plan comes; briefly while something is under way, on the sockets while it is being
        sent."""
        if self.access.sending or (self.remote is not None and self.remote.under_way):
            self.access.wait(min(timeout_ns, SENDING_NS))
        else:
            self.primary.wait(timeout_ns)

    def on_housekeeping(self, now_ns: int) -> None:
        """Keeps pools and transactions ready, shows gauges."""
        work, watchers = self.work, self.access.watchers
        funds = watchers.funds.get(self.wallet)
        if funds is not None:
            work.on_funds(funds)
        if now_ns >= self._next_prepare_ns:
            self._next_prepare_ns = now_ns + PREPARE_NS
            self.builder.refresh(watchers.slot)
        self._counters.set(self._open, len(work.open))
        self._counters.set(self._held, work.out.held)
        if now_ns >= self._next_show_ns:
            self._next_show_ns = now_ns + SHOW_NS
            self._show()

    def _show(self) -> None:
        self._system.poll()
        self._gate.show_halted()
        work, counters = self.work, self._counters
        counters.set(counters.index("slot"), max(self.access.watchers.slot, self.access.newest_slot))
        counters.set(counters.index("wallet_lamports"), (work.lamports or 0) + (work.base_token or 0))
        self.access.show()
        self.access.bury()

    def on_close(self) -> None:
        self.work.close()
        self._counters.set(self._open, len(self.work.open))
        if self.remote is not None:
            self.remote.close()
        self.access.close()
        self._lock.close()

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
        if not self.work.first(plan.plan_id) or not self.access.may_sign(plan.plan_id):
            counters.add(self._duplicate)
            return
        self._execute(Work(plan, now_ns), view)

    def _execute(self, work: Work, view: memoryview) -> None:
        """Gate, build, sign; then the bytes belong to the desk, which journals them, looks at the latch once
        more and writes."""
        plan = work.plan
        refusal = self._gate.refusal(plan)
        if refusal is not None:
            self.work.finish(work, refused(refusal.reason, f"{refusal.observed} against {refusal.limit}"))
            return
        watchers = self.access.watchers
        latest = watchers.blockhash()
        if latest is None:
            reachable = watchers.reachable
            reason = ExecutionReason.NO_BLOCKHASH if reachable else ExecutionReason.SETTLEMENT_UNREACHABLE
            self.work.finish(work, refused(reason))
            return
        if self.remote is not None:
            self.remote.ask(work, latest, bytes(view), watchers.slot)
            return
        signed = self.builder.signed(plan, latest.blockhash, watchers.slot)
        if isinstance(signed, End):
            self.work.finish(work, signed)
        else:
            self._submit(work, signed, latest, bytes(view))

    def _submit(self, work: Work, signed: SignedTransaction, latest: LatestBlockhash, view: bytes) -> None:
        plan, counters, height = work.plan, self._counters, latest.last_valid_block_height
        intent = Intent(plan.plan_id, signed.signature, height, latest.slot, signed.data, view)
        self.work.begin(work, intent)
        self.access.submit(intent, plan.expires_ns)
        work.signed_ns = self._clock.monotonic_ns()
        counters.add(self._signed)
        counters.record(self._to_signed, work.signed_ns - plan.received_ns)
        counters.record(self._stage, work.signed_ns - work.exec_received_ns)
        self._gate.submitted(plan.strategy, work.signed_ns)
