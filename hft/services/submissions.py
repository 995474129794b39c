"""What the executor has under way: each submission from its signature to its one result.

Also what the cluster tells beside: the newest block, and the wallet as the newest transaction left it.
"""

from typing import TYPE_CHECKING, NamedTuple

from hft import wire
from hft.chain.frames import Balances, Outcome, SettlementStatus, SlotUpdate
from hft.chain.local import ClusterClosed, LocalCluster
from hft.runtime.exit_codes import ExitCode, HftError
from hft.services.common import Outbox
from hft.services.intents import Intent, Intents
from hft.services.ledger_place import place_of
from hft.services.ledger_reading import profit_of_day
from hft.services.outcome import End, Signing, result_fields, settled
from hft.strategy.gate import DayProfit
from hft.venues import WRAPPED_SOL
from hft.wire import ExecutionPlan
from hft.wire.enums import EndState, ExecutionReason

if TYPE_CHECKING:
    from hft.runtime.context import Context

ENDS: tuple[str, ...] = tuple(f"end_{state.name.lower()}" for state in EndState)
REASONS: tuple[str, ...] = tuple(f"reason_{reason.name.lower()}" for reason in ExecutionReason)
COUNTERS: tuple[str, ...] = (
    *ENDS,
    *REASONS,
    "recovered_plans",
    "recovered_corrupt",
    "dropped_status",
    "disconnects",
    "intents_cut_bytes",
    "out_executed",
    "blocked_executed",
)
HISTOGRAMS: tuple[str, ...] = ("submit_to_settled_ns",)

SILENCE_LIMIT_NS = 120_000_000_000
"""Nothing heard of a submission, nor of any block, for so long: unknown. Far beyond a blockhash's life."""
NOT_FOUND = "NotFound"
"""The cluster's word for a signature it has no record of and that doesn't wait either."""
ASK_NS = 100_000_000
"""Time between two questions after the same signature."""
ANSWER_LIMIT_NS = 2_000_000_000
"""Longest wait for an answer once the blockhash is dead."""


class Work:
    """A submission under way. ``gap``: the connection broke since, its status may have been missed and is
    asked for; ``dead_ns``: since when its blockhash is dead.
    """

    __slots__ = (
        "asked_ns",
        "dead_ns",
        "exec_received_ns",
        "gap",
        "last_valid_block_height",
        "plan",
        "signature",
        "signed_ns",
        "submitted_ns",
    )

    def __init__(self, plan: ExecutionPlan, exec_received_ns: int) -> None:
        self.plan = plan
        self.exec_received_ns = exec_received_ns
        self.signature = bytes(64)
        self.signed_ns = 0
        self.submitted_ns = 0
        self.last_valid_block_height = 0
        self.gap = False
        self.asked_ns = 0
        self.dead_ns = 0


class Chain(NamedTuple):
    """The newest block as the executor knows it."""

    slot: int
    block_height: int
    last_valid_block_height: int
    blockhash: bytes


class Submissions:
    """See the module. ``chain`` is None while no block is known, the wallet's figures while nobody told
    them.
    """

    def __init__(self, ctx: "Context") -> None:
        self._clock = ctx.clock
        self._counters = ctx.counters
        self._folder = ctx.run.state_dir
        self._config = ctx.config
        self.out = Outbox(ctx, "executed")
        self.intents = Intents(ctx.run.state_dir)
        self.open: dict[bytes, Work] = {}
        self.chain: Chain | None = None
        self.lamports: int | None = None
        self.base_token: int | None = None
        self.day = DayProfit()
        self._resync = False
        index = ctx.counters.index
        self._stray = index("dropped_status")
        self._ends = [index(name) for name in ENDS]
        self._reasons = [index(name) for name in REASONS]
        self._to_settled = ctx.counters.histogram_index("submit_to_settled_ns")

    def start(self) -> None:
        """Takes up what a predecessor left unfinished, and today's profit from the ledger.

        ``HftError`` when either can't be read: what is not known can't be risked on.
        """
        now_ns, unix_ns = self._clock.monotonic_ns(), self._clock.unix_ns()
        try:
            place = place_of(self._folder, self._config.auditor)
            profit = profit_of_day(place, unix_ns, self._config.hft.mode)
            intents = self.intents.load()
        except OSError as error:
            raise HftError(f"{self._folder}: {error}", ExitCode.STATE_FOLDER) from error
        self.day = DayProfit(unix_ns // DayProfit.DAY_NS, profit)
        for intent in intents:
            self._recover(intent, now_ns)
        self._counters.set(self._counters.index("intents_cut_bytes"), self.intents.cut_bytes)

    @property
    def base_token_free(self) -> int | None:
        """Base units that no submission under way may take."""
        if self.base_token is None:
            return None
        return self.base_token - sum(work.plan.amount_in for work in self.open.values())

    def close(self) -> None:
        """Whatever has no end by now may still land: it is told as unknown."""
        for work in list(self.open.values()):
            self.finish(work, End(EndState.UNKNOWN, ExecutionReason.SHUTDOWN))
        self.out.flush()
        self.out.close()
        self.intents.close()

    def on_event(self, event: object) -> None:
        if type(event) is SettlementStatus:
            work = self.open.get(event.signature)
            if work is None:
                self._counters.add(self._stray)
            elif event.outcome == Outcome.UNKNOWN:
                self._on_unknown(work, event)
            else:
                self._settle(work, event)
        elif type(event) is SlotUpdate:
            chain = Chain(event.slot, event.block_height, event.last_valid_block_height, event.blockhash)
            if self.chain is None or chain.block_height >= self.chain.block_height:
                self.chain = chain
        elif type(event) is Balances:
            if self.lamports is None or not self.open:  # else the statuses under way are newer
                self.lamports = event.lamports
                self.base_token = dict(event.tokens).get(WRAPPED_SOL, 0)
        elif type(event) is ClusterClosed:
            self._counters.add(self._counters.index("disconnects"))
            self.chain = None
            for work in self.open.values():
                work.gap = self._resync = True

    def follow(self, now_ns: int, cluster: LocalCluster, wallet: bytes) -> None:
        """Asks what became of submissions whose status may be lost, oldest first; ends what nobody can tell
        of.

        A blockhash's death alone proves nothing: the cluster must also say that it never saw the
        transaction.
        """
        height = self.chain.block_height if self.chain is not None else 0
        for work in list(self.open.values()):
            dead = height > work.last_valid_block_height
            if dead and not work.dead_ns:
                work.dead_ns = now_ns
            if work.dead_ns and now_ns - work.dead_ns > ANSWER_LIMIT_NS:
                self.finish(work, End(EndState.UNKNOWN, ExecutionReason.STATUS_UNKNOWN))
            elif now_ns - work.submitted_ns > SILENCE_LIMIT_NS:
                self.finish(work, End(EndState.UNKNOWN, ExecutionReason.SETTLEMENT_UNREACHABLE))
            elif (dead or work.gap) and cluster.connected and now_ns - work.asked_ns >= ASK_NS:
                work.asked_ns = now_ns
                cluster.ask_status(work.signature)
        if self._resync and not self.open and cluster.connected:
            self._resync = False
            cluster.balances(wallet)

    def finish(self, work: Work, end: End) -> None:
        """The one result of a plan."""
        settled_ns = self._clock.monotonic_ns()
        self.open.pop(work.signature, None)
        plan, counters = work.plan, self._counters
        counters.add(self._ends[end.state])
        counters.add(self._reasons[end.reason])
        if work.submitted_ns and end.state != EndState.UNKNOWN:
            counters.record(self._to_settled, settled_ns - work.submitted_ns)
        signing = Signing(work.signature, work.exec_received_ns, work.signed_ns, work.submitted_ns)
        self.out.put(wire.execution_result, *result_fields(plan, end, signing, self.out.sequence, settled_ns))
        self.intents.end(plan.plan_id)

    def _recover(self, intent: Intent, now_ns: int) -> None:
        try:
            plan = wire.execution_plan.decode(intent.plan)
        except wire.WireError:
            self._counters.add(self._counters.index("recovered_corrupt"))
            self.intents.end(intent.plan_id)
            return
        work = Work(plan, now_ns)
        work.signature, work.last_valid_block_height = intent.signature, intent.last_valid_block_height
        work.gap = self._resync = True
        work.submitted_ns = now_ns
        self.open[intent.signature] = work
        self._counters.add(self._counters.index("recovered_plans"))

    def _on_unknown(self, work: Work, status: SettlementStatus) -> None:
        """The cluster knows no end of it: that is one only when it was never seen and can't land any more."""
        if work.dead_ns and status.error_name == NOT_FOUND:
            self.finish(work, End(EndState.EXPIRED, ExecutionReason.BLOCKHASH_EXPIRED))

    def _settle(self, work: Work, status: SettlementStatus) -> None:
        end = settled(work.plan, status)
        if end.state in (EndState.LANDED_OK, EndState.LANDED_FAILED):
            self.lamports, self.base_token = end.after.lamports, end.after.base_token
            self.day.add(self._clock.unix_ns(), end.profit_lamports)
        self.finish(work, end)
