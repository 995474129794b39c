"""What the executor has under way: each plan from its signature to its one result, and the wallet as the
newest landing or the newest question left it.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from hft import wire
from hft.chain.base58 import b58encode
from hft.chain.desk import DeskEvent, Settled, Submitted
from hft.chain.journal_records import Intent
from hft.chain.watchers import Funds
from hft.runtime.runner import Log
from hft.services.common import Outbox
from hft.services.outcome import End, Signing, method_of, refused, result_fields, settled
from hft.services.strategies import places_of
from hft.strategy.gate import DayProfit
from hft.wire import ExecutionPlan
from hft.wire.enums import EndState, ExecutionReason, Method

if TYPE_CHECKING:
    from hft.runtime.context import Context

ENDS: tuple[str, ...] = tuple(f"end_{state.name.lower()}" for state in EndState)
REASONS: tuple[str, ...] = tuple(f"reason_{reason.name.lower()}" for reason in ExecutionReason)
COUNTERS: tuple[str, ...] = (
    *ENDS,
    *REASONS,
    "submitted",
    "recovered_plans",
    "recovered_corrupt",
    "dropped_event",
    "out_executed",
    "blocked_executed",
)
HISTOGRAMS: tuple[str, ...] = ("tick_to_submitted_ns", "submit_to_settled_ns")

REMEMBERED: Final = 1_024
"""Plan ids kept to recognise a plan that is delivered again, besides those in the journal."""
Forget = Callable[[Intent, EndState], None]


class Work:
    """A plan under way."""

    __slots__ = ("exec_received_ns", "intent", "method", "plan", "signed_ns", "submitted_ns")

    def __init__(self, plan: ExecutionPlan, exec_received_ns: int) -> None:
        self.plan = plan
        self.exec_received_ns = exec_received_ns
        self.intent: Intent | None = None
        self.signed_ns = 0
        self.submitted_ns = 0
        self.method = Method.UNKNOWN


class Submissions:
    """See the module. The wallet's figures are None while nobody told them.

    ``forget(intent, state)`` is called once a result is on its link and can't be lost.
    """

    def __init__(self, ctx: "Context", forget: Forget, is_doomed: Callable[[bytes], bool]) -> None:
        """``is_doomed``: whether a signature under way will hardly land; what it would take is free then."""
        self._clock = ctx.clock
        self._counters = ctx.counters
        self._forget = forget
        self._is_doomed = is_doomed
        self._log = Log("executor", ctx.clock)
        self.out = Outbox(ctx, "executed")
        self.open: dict[bytes, Work] = {}
        """By signature; by plan id while that is not there yet."""
        self.lamports: int | None = None
        self.base_token: int | None = None
        self.day = DayProfit()
        self.days: dict[int, DayProfit] = {}
        self.open_of: Counter[int] = Counter()
        self._executed = {number: place for number, (place,) in places_of(ctx, ("executed",)).items()}
        self._slot = 0
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self._ended: deque[tuple[Intent, EndState]] = deque()
        index = ctx.counters.index
        self._stray, self._submitted = index("dropped_event"), index("submitted")
        self._ends = [index(name) for name in ENDS]
        self._reasons = [index(name) for name in REASONS]
        histogram = ctx.counters.histogram_index
        self._to_submitted = histogram("tick_to_submitted_ns")
        self._to_settled = histogram("submit_to_settled_ns")

    def begin_day(self, profits: Mapping[int, int], unix_ns: int) -> None:
        """Strategy → what it earned today before this process, in lamports."""
        day = unix_ns // DayProfit.DAY_NS
        self.day = DayProfit(day, sum(profits.values()))
        self.days = {strategy: DayProfit(day, profit) for strategy, profit in profits.items()}

    def day_of(self, strategy: int) -> DayProfit:
        """Today's profit of one strategy."""
        day = self.days.get(strategy)
        if day is None:
            day = self.days[strategy] = DayProfit()
        return day

    @property
    def base_token_free(self) -> int | None:
        """Base units that no submission under way may take."""
        if self.base_token is None:
            return None
        free, is_doomed = self.base_token, self._is_doomed
        for signature, work in self.open.items():
            if not is_doomed(signature):
                free -= work.plan.amount_in
        return free

    def first(self, plan_id: bytes) -> bool:
        """Whether this plan comes for the first time; remembers it."""
        if plan_id in self._seen:
            return False
        self._seen[plan_id] = None
        while len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return True

    def begin(self, work: Work, intent: Intent) -> None:
        """The plan is signed, and on its way."""
        work.intent = intent
        self.open[intent.signature] = work
        self.open_of[work.plan.strategy] += 1

    def hold(self, work: Work) -> None:
        """The plan's signature is asked for: it counts as open, and its size as taken."""
        self.open[work.plan.plan_id] = work
        self.open_of[work.plan.strategy] += 1

    def release(self, work: Work) -> None:
        """Its signature is there, or will never be."""
        del self.open[work.plan.plan_id]
        self.open_of[work.plan.strategy] -= 1

    def recover(self, intent: Intent) -> Work | None:
        """Takes up what a predecessor left; None if its plan can't be read."""
        try:
            plan = wire.execution_plan.decode(intent.context)
        except wire.WireError:
            # Without its plan it has no result; it is followed all the same, so that its end is noted.
            self._counters.add(self._counters.index("recovered_corrupt"))
            return None
        work = Work(plan, self._clock.monotonic_ns())
        self.first(intent.plan_id)
        self.begin(work, intent)
        self._counters.add(self._counters.index("recovered_plans"))
        return work

    def lose(self, intent: Intent, detail: str) -> None:
        """``recover`` of one that nobody can take any more: its end is told at once."""
        work = self.recover(intent)
        if work is not None:
            self.finish(work, End(EndState.EXPIRED, ExecutionReason.BLOCKHASH_EXPIRED, detail=detail))

    def on_funds(self, funds: Funds) -> None:
        """What the wallet holds, as a node says; older than the newest landing it says nothing."""
        if funds.slot >= self._slot:
            self._slot, self.lamports, self.base_token = funds

    def on_event(self, event: DeskEvent) -> None:
        """What became of a submission."""
        intent = event.intent if isinstance(event, Submitted) else event.end.intent
        work = self.open.get(intent.signature)
        if work is None:
            self._counters.add(self._stray)
            if isinstance(event, Settled):
                self._ended.append((intent, event.end.state))
                self.note()
        elif isinstance(event, Submitted):
            outcome = event.outcome
            work.method = method_of(outcome.path)
            if outcome.written_ns:
                work.submitted_ns = outcome.written_ns
                self._counters.add(self._submitted)
                self._counters.record(self._to_submitted, max(outcome.written_ns - work.plan.received_ns, 0))
        else:
            self._settle(work, event)

    def finish(self, work: Work, end: End) -> None:
        """The one result of a plan."""
        settled_ns = self._clock.monotonic_ns()
        plan, counters, intent = work.plan, self._counters, work.intent
        counters.add(self._ends[end.state])
        counters.add(self._reasons[end.reason])
        if plan.strategy in self._executed:
            counters.add(self._executed[plan.strategy])
        if work.submitted_ns and end.state != EndState.UNKNOWN:
            counters.record(self._to_settled, max(settled_ns - work.submitted_ns, 0))
        signature = bytes(64) if intent is None else intent.signature
        signing = Signing(signature, work.method, work.exec_received_ns, work.signed_ns, work.submitted_ns)
        self.out.put(wire.execution_result, *result_fields(plan, end, signing, self.out.sequence, settled_ns))
        if intent is not None:
            if self.open.pop(intent.signature, None) is not None:
                self.open_of[plan.strategy] -= 1
            self._ended.append((intent, end.state))
        self.note()

    def note(self) -> None:
        """Lets the journal know of ends whose results are on the link: only there they can't be lost."""
        while self._ended and not self.out.blocked:
            self._forget(*self._ended.popleft())

    def close(self) -> None:
        """Whatever has no end by now may still land: it is told as unknown, and stays open on disk."""
        for work in list(self.open.values()):
            if work.intent is None:
                self.release(work)
                self.finish(work, refused(ExecutionReason.SHUTDOWN, "not signed yet"))
                continue
            self._log.line(f"no end yet; the next start resolves it: {b58encode(work.intent.signature)}")
            self.finish(work, End(EndState.UNKNOWN, ExecutionReason.SHUTDOWN))
        self.out.flush()
        self.note()
        self.out.close()

    def _settle(self, work: Work, event: Settled) -> None:
        end = settled(work.plan, event)
        if end.state in (EndState.LANDED_OK, EndState.LANDED_FAILED):
            if end.slot >= self._slot:
                self._slot = end.slot
                self.lamports, self.base_token = end.after.lamports, end.after.base_token
            unix_ns = self._clock.unix_ns()
            self.day.add(unix_ns, end.profit_lamports)
            self.day_of(work.plan.strategy).add(unix_ns, end.profit_lamports)
        self.finish(work, end)
