"""The executor: plans → gate → signed bytes → one submission → a truthful end. One result for every plan, always.

The kill latch is read last before the socket write. What the socket does not take at once is taken back, so that
nothing is ever left to be written after a kill. What was submitted is followed until it settles or its blockhash
is dead.

Counters: in_planned = in_plans + in_plan_rejected + dropped_corrupt, and
in_plans + recovered_plans = end_<state> + dropped_duplicate + open_plans; end_<state> = out_executed + held_executed.
"""

from typing import TYPE_CHECKING, NamedTuple

from hft import wire
from hft.chain.frames import Balances, SettlementStatus, SlotUpdate
from hft.chain.keys import paper_keypair
from hft.chain.local import ClusterClosed, ClusterError, LocalCluster
from hft.chain.tips import tip_account
from hft.chain.transaction import SignedTransaction, TransactionError, TwoHop, build_two_hop
from hft.services.book import TableBook
from hft.services.common import SYSTEM_COUNTERS, Outbox, SystemLink
from hft.services.intents import Intent, Intents
from hft.services.ledger import profit_of_day
from hft.services.outcome import BUILD_REASONS, End, refused, settled
from hft.strategy import gate
from hft.strategy.gate import GateLimits, GateState, PlanFigures
from hft.venues import WRAPPED_SOL, PoolError, QuoteError
from hft.wire import ExecutionPlan
from hft.wire.enums import EndState, ExecutionReason

if TYPE_CHECKING:
    from hft.runtime.context import Context

ENDS: tuple[str, ...] = tuple(f"end_{state.name.lower()}" for state in EndState)
REFUSALS: tuple[str, ...] = tuple(f"reason_{reason.name.lower()}" for reason in ExecutionReason)
COUNTERS: tuple[str, ...] = (
    "in_planned",
    "in_plans",
    "in_plan_rejected",
    "recovered_plans",
    "dropped_corrupt",
    "dropped_duplicate",
    "dropped_status",
    "open_plans",
    "signed",
    "submitted",
    *ENDS,
    *REFUSALS,
    "out_executed",
    "blocked_executed",
    "held_executed",
    "connects",
    "disconnects",
    "slot",
    "wallet_lamports",
    "intents_cut_bytes",
    *SYSTEM_COUNTERS,
)
HISTOGRAMS: tuple[str, ...] = (
    "handoff_planner_executor_ns",
    "stage_executor_ns",
    "tick_to_signed_ns",
    "tick_to_submitted_ns",
    "submit_to_settled_ns",
)

POLL_LIMIT = 8
EVENT_LIMIT = 256
RECONNECT_NS = 50_000_000
SILENCE_LIMIT_NS = 120_000_000_000
"""Nothing heard of a submission, nor of any block, for so long: unknown. Far beyond a blockhash's life."""


class _Open:
    """A submission under way. ``gap``: the connection broke since, so that its status may have been missed."""

    __slots__ = ("exec_received_ns", "gap", "last_valid_block_height", "plan", "signature", "signed_ns", "submitted_ns")

    def __init__(self, plan: ExecutionPlan, exec_received_ns: int) -> None:
        self.plan = plan
        self.exec_received_ns = exec_received_ns
        self.signature = bytes(64)
        self.signed_ns = 0
        self.submitted_ns = 0
        self.last_valid_block_height = 0
        self.gap = False


class _Chain(NamedTuple):
    """The newest block as the executor knows it."""

    slot: int
    block_height: int
    last_valid_block_height: int
    blockhash: bytes


def build(ctx: "Context") -> "Executor":
    """The executor of a run, attached to its links; connects in ``on_start``."""
    return Executor(ctx)


class Executor:
    """See the module."""

    def __init__(self, ctx: "Context") -> None:
        self._ctx = ctx
        self._clock = ctx.clock
        self._control = ctx.control
        self._counters = ctx.counters
        self._payer = paper_keypair(ctx.config.simnet.seed)
        self._book = TableBook(ctx.table)
        self.primary = ctx.subscription("planned")
        self._out = Outbox(ctx, "executed")
        self._system = SystemLink(ctx)
        self._cluster = LocalCluster(str(ctx.run.socket_path), monotonic_ns=ctx.clock.monotonic_ns)
        self._manager = ctx.peer_counters("manager")
        self._intents = Intents(ctx.run.state_dir)
        risk = ctx.config.risk
        self._limits = gate.bounded(
            GateLimits(
                risk.maximum_size_lamports,
                risk.maximum_open_plans,
                risk.maximum_trades_per_minute,
                risk.maximum_daily_loss_lamports,
                risk.maximum_tip_lamports,
                risk.maximum_fee_lamports,
                risk.minimum_wallet_lamports,
                ctx.config.manager.heartbeat_limit_ms * 1_000_000,
            )
        )
        self._trades = gate.TradeWindow(self._limits.maximum_trades_per_minute)
        self._day = gate.DayProfit()
        self._open: dict[bytes, _Open] = {}
        self._chain: _Chain | None = None
        self._lamports: int | None = None
        self._base_token: int | None = None
        self._next_connect_ns = 0
        index = ctx.counters.index
        self._in, self._plans, self._rejections = index("in_planned"), index("in_plans"), index("in_plan_rejected")
        self._corrupt, self._duplicate = index("dropped_corrupt"), index("dropped_duplicate")
        self._signed, self._submitted, self._stray = index("signed"), index("submitted"), index("dropped_status")
        self._ends = [index(name) for name in ENDS]
        self._reasons = [index(name) for name in REFUSALS]
        histogram = ctx.counters.histogram_index
        self._handoff, self._stage = histogram("handoff_planner_executor_ns"), histogram("stage_executor_ns")
        self._to_signed, self._to_submitted = histogram("tick_to_signed_ns"), histogram("tick_to_submitted_ns")
        self._to_settled = histogram("submit_to_settled_ns")

    def on_start(self) -> None:
        """Takes up what a predecessor left unfinished, today's profit from the ledger, and connects."""
        now_ns, unix_ns = self._clock.monotonic_ns(), self._clock.unix_ns()
        self._day = gate.DayProfit(unix_ns // gate.DayProfit.DAY_NS, profit_of_day(self._ctx.run.state_dir, unix_ns))
        for intent in self._intents.load():
            self._recover(intent, now_ns)
        self._counters.set(self._counters.index("intents_cut_bytes"), self._intents.cut_bytes)
        self._book.refresh()
        self._connect(now_ns)

    def do_work(self) -> int:
        """Takes what the cluster says, then plans while results find room."""
        count = self._cluster.poll(self._on_event, EVENT_LIMIT)
        if self._out.blocked:
            return count + self._out.flush()
        return count + self.primary.poll(self._on_planned, POLL_LIMIT)

    def pending(self) -> int:
        """Submissions without an end, and results that found no room yet."""
        return len(self._open) + self._out.held

    def on_housekeeping(self, now_ns: int) -> None:
        self._system.poll()
        if not self._cluster.connected and now_ns >= self._next_connect_ns:
            self._connect(now_ns)
        self._book.refresh()
        self._expire(now_ns)
        self._intents.housekeep()
        counters, chain = self._counters, self._chain
        counters.set(counters.index("open_plans"), len(self._open))
        counters.set(counters.index("held_executed"), self._out.held)
        counters.set(counters.index("slot"), chain.slot if chain is not None else 0)
        counters.set(counters.index("wallet_lamports"), (self._lamports or 0) + (self._base_token or 0))

    def on_close(self) -> None:
        """Whatever has no end by now may still land: it is told as unknown."""
        for work in list(self._open.values()):
            self._finish(work, End(EndState.UNKNOWN, ExecutionReason.SHUTDOWN))
        self._out.flush()
        self._intents.close()
        self._cluster.close()
        self._out.close()

    def _connect(self, now_ns: int) -> None:
        self._next_connect_ns = now_ns + RECONNECT_NS
        try:
            if self._cluster.try_connect():
                self._cluster.follow_slots()
                self._cluster.balances(bytes(self._payer.pubkey()))
                self._counters.add(self._counters.index("connects"))
        except ClusterError:
            self._cluster.close()

    def _recover(self, intent: Intent, now_ns: int) -> None:
        try:
            plan = wire.execution_plan.decode(intent.plan)
        except wire.WireError:
            self._counters.add(self._corrupt)
            self._intents.end(intent.plan_id)
            return
        work = _Open(plan, now_ns)
        work.signature, work.last_valid_block_height = intent.signature, intent.last_valid_block_height
        work.gap, work.submitted_ns = True, now_ns
        self._open[intent.signature] = work
        self._counters.add(self._counters.index("recovered_plans"))

    def _on_event(self, event: object) -> None:
        if type(event) is SettlementStatus:
            work = self._open.get(event.signature)
            if work is None:
                self._counters.add(self._stray)
            else:
                self._settle(work, event)
        elif type(event) is SlotUpdate:
            chain = _Chain(event.slot, event.block_height, event.last_valid_block_height, event.blockhash)
            if self._chain is None or chain.block_height >= self._chain.block_height:
                self._chain = chain
        elif type(event) is Balances:
            if not self._open:  # with submissions under way their own statuses are newer
                self._lamports = event.lamports
                self._base_token = dict(event.tokens).get(WRAPPED_SOL, 0)
        elif type(event) is ClusterClosed:
            self._counters.add(self._counters.index("disconnects"))
            self._next_connect_ns = self._clock.monotonic_ns() + RECONNECT_NS
            self._chain = None
            for work in self._open.values():
                work.gap = True

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
        if self._intents.knows(plan.plan_id):
            counters.add(self._duplicate)
            return
        self._execute(_Open(plan, now_ns), view)

    def _execute(self, work: _Open, view: memoryview) -> None:
        """Gate, build, sign, note the intent, look at the latch once more, write."""
        refusal = self._gate(work.plan)
        if refusal is not None:
            self._finish(work, refused(refusal.reason, f"{refusal.observed} against {refusal.limit}"))
            return
        chain = self._chain
        if chain is None or not self._cluster.connected:
            connected = self._cluster.connected
            reason = ExecutionReason.NO_BLOCKHASH if connected else ExecutionReason.SETTLEMENT_UNREACHABLE
            self._finish(work, refused(reason))
            return
        signed = self._build(work, chain)
        if signed is None:
            return
        work.signature, work.last_valid_block_height = signed.signature, chain.last_valid_block_height
        work.signed_ns = self._clock.monotonic_ns()
        counters, plan = self._counters, work.plan
        counters.add(self._signed)
        counters.record(self._to_signed, work.signed_ns - plan.received_ns)
        counters.record(self._stage, work.signed_ns - work.exec_received_ns)
        self._submit(work, signed, bytes(view))

    def _submit(self, work: _Open, signed: SignedTransaction, message: bytes) -> None:
        plan, counters = work.plan, self._counters
        try:
            self._intents.begin(Intent(signed.signature, work.last_valid_block_height, plan.plan_id, message))
        except OSError as error:
            self._finish(work, refused(ExecutionReason.SEND_FAILED, f"intent not on disk: {error.strerror}"))
            return
        if self._control.killed:
            self._finish(work, refused(ExecutionReason.KILLED))
            return
        try:
            self._cluster.submit(signed.data)
        except ClusterError as error:
            self._finish(work, refused(ExecutionReason.SEND_FAILED, str(error)))
            return
        if self._cluster.unsent_bytes:
            # A validator ignores half a transaction; left to be written later it could go out after a kill.
            self._cluster.abandon_unsent()
            self._finish(work, refused(ExecutionReason.SEND_FAILED, "the socket took no more"))
            return
        work.submitted_ns = self._clock.monotonic_ns()
        counters.add(self._submitted)
        counters.record(self._to_submitted, work.submitted_ns - plan.received_ns)
        self._open[work.signature] = work
        self._trades.add(work.submitted_ns)

    def _gate(self, plan: ExecutionPlan) -> gate.Refusal | None:
        now_ns = self._clock.monotonic_ns()
        if self._ctx.stop_requested:
            return gate.Refusal(ExecutionReason.SHUTDOWN, 1, 0)
        beat_ns = self._manager.heartbeat_ns
        in_flight = sum(work.plan.amount_in for work in self._open.values())
        state = GateState(
            killed=self._control.killed,
            manager_heartbeat_age_ns=now_ns - beat_ns if beat_ns else None,
            now_ns=now_ns,
            open_plans=len(self._open),
            trades_last_minute=self._trades.count(now_ns),
            day_profit_lamports=self._day.value(self._clock.unix_ns()),
            wallet_lamports=self._lamports,
            base_token_free=None if self._base_token is None else self._base_token - in_flight,
        )
        figures = PlanFigures(
            plan.expires_ns,
            plan.amount_in,
            plan.amount_mid,
            plan.minimum_out,
            plan.base_fee_lamports,
            plan.priority_fee_lamports,
            plan.tip_lamports,
        )
        return gate.check(figures, self._limits, state)

    def _build(self, work: _Open, chain: _Chain) -> SignedTransaction | None:
        plan = work.plan
        self._book.refresh()
        pool_1, pool_2 = self._book.entry(plan.pool_1), self._book.entry(plan.pool_2)
        if pool_1 is None or pool_2 is None or pool_1.pool is None or pool_2.pool is None:
            self._finish(work, refused(ExecutionReason.BUILD_FAILED, "a pool of the plan is not usable"))
            return None
        order = TwoHop(
            pool_1.pool,
            pool_2.pool,
            plan.base_mint,
            plan.amount_in,
            plan.amount_mid,
            plan.minimum_out,
            plan.compute_unit_limit,
            plan.compute_unit_price_micro_lamports,
            plan.tip_lamports,
            tip_account(plan.sequence),
        )
        try:
            return build_two_hop(order, self._payer, chain.blockhash)
        except TransactionError as error:
            reason = BUILD_REASONS.get(error.code, ExecutionReason.BUILD_FAILED)
            self._finish(work, refused(reason, str(error)))
        except (QuoteError, PoolError) as error:
            self._finish(work, refused(ExecutionReason.BUILD_FAILED, str(error)))
        return None

    def _settle(self, work: _Open, status: SettlementStatus) -> None:
        end = settled(work.plan, status)
        if end.state in (EndState.LANDED_OK, EndState.LANDED_FAILED):
            self._lamports, self._base_token = end.after.lamports, end.after.base_token
            self._day.add(self._clock.unix_ns(), end.profit_lamports)
        self._finish(work, end)

    def _expire(self, now_ns: int) -> None:
        """Ends what can no longer land, and what nothing is heard of any more."""
        height = self._chain.block_height if self._chain is not None else 0
        for work in list(self._open.values()):
            if height > work.last_valid_block_height:
                if work.gap:
                    self._finish(work, End(EndState.UNKNOWN, ExecutionReason.STATUS_UNKNOWN))
                else:
                    self._finish(work, End(EndState.EXPIRED, ExecutionReason.BLOCKHASH_EXPIRED))
            elif now_ns - work.submitted_ns > SILENCE_LIMIT_NS:
                self._finish(work, End(EndState.UNKNOWN, ExecutionReason.SETTLEMENT_UNREACHABLE))

    def _finish(self, work: _Open, end: End) -> None:
        """The one result of a plan."""
        settled_ns = self._clock.monotonic_ns()
        self._open.pop(work.signature, None)
        plan, counters = work.plan, self._counters
        counters.add(self._ends[end.state])
        counters.add(self._reasons[end.reason])
        if work.submitted_ns and end.state != EndState.UNKNOWN:
            counters.record(self._to_settled, settled_ns - work.submitted_ns)
        self._out.put(
            wire.execution_result,
            plan.trace_id,
            plan.plan_id,
            self._out.sequence,
            end.slot,
            plan.strategy,
            end.state,
            end.reason,
            end.error_code,
            end.error_index,
            plan.method,
            plan.venue_1,
            plan.venue_2,
            work.signature,
            plan.base_mint,
            plan.quote_mint,
            plan.pool_1,
            plan.pool_2,
            plan.amount_in,
            plan.expected_profit_lamports,
            end.profit_lamports,
            end.base_fee_lamports,
            end.priority_fee_lamports,
            end.tip_lamports,
            end.rent_lamports,
            end.compute_units,
            end.before.lamports,
            end.after.lamports,
            end.before.base_token,
            end.after.base_token,
            end.before.quote_token,
            end.after.quote_token,
            wire.fit_text(end.detail, 64),
            plan.received_ns,
            plan.feed_published_ns,
            plan.scan_received_ns,
            plan.scan_published_ns,
            plan.plan_received_ns,
            plan.plan_published_ns,
            work.exec_received_ns,
            work.signed_ns,
            work.submitted_ns,
            settled_ns,
        )
        self._intents.end(plan.plan_id)
