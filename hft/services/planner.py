"""The planner: opportunities → ``planned``, as a plan or as a rejection with its code.

Re-quotes on the newest table state; prices, validates and simulates it (see ``appraisal``). A pool that a
plan was just made on is held until its state has moved or the plan's life is over, so that one dislocation is
not bought twice.

Counters: in_opportunities + in_opportunities_remote = plans + rejected_<reason> + dropped_stale +
dropped_corrupt, and out_planned + messages held = plans + sum of rejected_<reason>.
"""

from typing import TYPE_CHECKING

from solders.pubkey import Pubkey

from hft import wire
from hft.runtime.wallet import wallet_address
from hft.services import appraisal, opportunities
from hft.services.announce import is_other_news
from hft.services.appraisal import Appraisal
from hft.services.book import Entry, TableBook, pool_settings
from hft.services.common import SYSTEM_COUNTERS, Outbox, SystemLink
from hft.services.plans import Stamps, plan_fields, policies, rejection_fields
from hft.services.quoting import Quoted, quote_legs
from hft.services.strategies import places_of
from hft.strategy import validation
from hft.strategy.dedupe import Deduper, Holds, Path, size_bucket
from hft.strategy.pricing import Priced
from hft.strategy.validation import Rejection
from hft.venues import QuoteError, QuoteErrorCode
from hft.wire import TwoHopOpportunity
from hft.wire.enums import PoolStatus, RejectReason, ValidationFactor

if TYPE_CHECKING:
    from hft.runtime.context import Context

REJECTIONS: tuple[str, ...] = tuple(
    f"rejected_{reason.name.lower()}" for reason in RejectReason if reason != RejectReason.NONE
)
COUNTERS: tuple[str, ...] = (
    *opportunities.COUNTERS,
    "dropped_stale",
    "dropped_corrupt",
    "plans",
    *REJECTIONS,
    "out_planned",
    "blocked_planned",
    "held_planned",
    "in_market_data",
    "lost_market_data",
    "dropped_market_data_corrupt",
    "slot",
    *appraisal.COUNTERS,
    *SYSTEM_COUNTERS,
)
STRATEGY_COUNTERS: tuple[str, ...] = ("in_opportunities", "plans", "rejected")
HISTOGRAMS = ("handoff_scanner_planner_ns", "stage_planner_ns", *appraisal.HISTOGRAMS)

_KILLED = Rejection(ValidationFactor.RISK, RejectReason.KILLED, 1, 0)
POLL_LIMIT = 16
UPDATE_LIMIT = 256
_LIQUIDITY_CODES = frozenset((QuoteErrorCode.INSUFFICIENT_LIQUIDITY, QuoteErrorCode.ARRAYS_EXHAUSTED))


def build(ctx: "Context") -> "Planner":
    """The planner of a run, attached to its links."""
    return Planner(ctx)


class Planner:
    """See the module."""

    def __init__(self, ctx: "Context") -> None:
        settings = ctx.config.planner
        self._clock = ctx.clock
        self._control = ctx.control
        self._counters = ctx.counters
        self._book = TableBook(ctx.table, pool_settings(ctx.config))
        self._opportunities = opportunities.Opportunities(ctx)
        self.primary, self.wait = self._opportunities.first, self._opportunities.wait
        self._market = ctx.subscription("market_data")
        self._out = Outbox(ctx, "planned")
        self._system = SystemLink(ctx)
        self._policies = policies(ctx.config)
        self._places = places_of(ctx, STRATEGY_COUNTERS)
        self._age_limit_ns = settings.opportunity_age_limit_ms * 1_000_000
        self._plan_life_ns = settings.plan_life_ms * 1_000_000
        self._blacklist = frozenset(bytes(Pubkey.from_string(key)) for key in settings.blacklist)
        self._plan_head = ctx.run.run_id[:8]
        self._appraisal = Appraisal(ctx, self._book, wallet_address(ctx.run))
        self._deduper = Deduper(1)
        self._disabled: set[bytes] = set()
        self._holds = Holds()
        index = ctx.counters.index
        self._stale, self._corrupt = index("dropped_stale"), index("dropped_corrupt")
        self._plans, self._in_updates = index("plans"), index("in_market_data")
        self._bad_update = index("dropped_market_data_corrupt")
        self._read_status = wire.reader(wire.pool_update, "status", "pool")
        self._rejected = dict(zip(list(RejectReason)[1:], map(index, REJECTIONS), strict=True))
        self._handoff, self._stage = map(ctx.counters.histogram_index, HISTOGRAMS[:2])

    def on_start(self) -> None:
        """Decodes the pools that are in the table already."""
        self._book.decode_all()

    def do_work(self) -> int:
        """Takes opportunities while plans find room."""
        if self._out.blocked:
            return self._out.flush()
        count = self._opportunities.poll(self._on_opportunity, POLL_LIMIT)
        return count + self._market.poll(self._on_update, UPDATE_LIMIT)

    def pending(self) -> int:
        return self._out.held

    def on_housekeeping(self, now_ns: int) -> None:
        self._system.poll()
        # What changed is noticed in between; of the pools only those that an opportunity names are decoded.
        self._book.refresh()
        self._appraisal.refresh()
        counters = self._counters
        self._opportunities.show()
        counters.set(counters.index("lost_market_data"), self._market.lost)
        counters.set(counters.index("held_planned"), self._out.held)
        counters.set(counters.index("slot"), self._book.clock.slot)
        self._holds.forget_before(now_ns)

    def on_close(self) -> None:
        self._out.flush()
        self._out.close()

    def _on_update(self, view: memoryview) -> None:
        """What the table doesn't hold: whether the feed vouches for a pool. Its bytes come from the table."""
        self._counters.add(self._in_updates)
        try:
            status, pool = self._read_status(view)
        except wire.WireError:
            self._counters.add(self._bad_update, not is_other_news(view))
            return
        if status == PoolStatus.ACTIVE:
            self._disabled.discard(pool)
        else:
            self._disabled.add(pool)

    def _on_opportunity(self, view: memoryview) -> None:
        now_ns = self._clock.monotonic_ns()
        try:
            found = wire.two_hop_opportunity.decode(view)
        except wire.WireError:
            self._counters.add(self._corrupt)
            return
        age_ns = now_ns - found.scan_published_ns
        if age_ns >= 2 * self._age_limit_ns:
            self._counters.add(self._stale)  # not even worth a rejection on a link that never drops
            return
        places = self._places.get(found.strategy)
        if places is None:  # nobody's here: without its limits there is no plan
            self._counters.add(self._corrupt)
            return
        taken, planned, refused = places
        self._counters.add(taken)
        self._counters.record(self._handoff, max(age_ns, 0))
        rejection = self._refuse_early(found, age_ns) or self._plan(found, now_ns)
        self._counters.add(planned if rejection is None else refused)
        if rejection is not None:
            self._reject(found, rejection, now_ns)

    def _refuse_early(self, found: TwoHopOpportunity, age_ns: int) -> Rejection | None:
        """What needs no quote: the kill, age, blacklist, and what was planned or seen already."""
        if self._control.latch:
            return _KILLED
        rejection = validation.check_age(age_ns, self._policies[found.strategy].limits)
        if rejection is not None:
            return rejection
        if found.pool_1 in self._blacklist or found.pool_2 in self._blacklist:
            return Rejection(ValidationFactor.RISK, RejectReason.POOL_BLACKLISTED, 1, 0)
        path = Path(found.strategy, found.pool_1, found.pool_2, found.base_mint, size_bucket(found.amount_in))
        if not self._deduper.first(path, found.slot):
            return Rejection(ValidationFactor.RISK, RejectReason.DUPLICATE, found.slot, found.slot)
        return None

    def _plan(self, found: TwoHopOpportunity, received_ns: int) -> Rejection | None:
        """Quotes both legs on the newest state, prices, validates; publishes if nothing refuses."""
        book = self._book
        book.refresh()
        entry_1, entry_2 = book.entry(found.pool_1), book.entry(found.pool_2)
        if entry_1 is None or entry_2 is None or not self._usable(entry_1) or not self._usable(entry_2):
            return Rejection(ValidationFactor.RISK, RejectReason.POOL_DISABLED, 1, 0)
        holds = self._holds
        if holds.held(entry_1.key, entry_1.changes, received_ns) or holds.held(
            entry_2.key, entry_2.changes, received_ns
        ):
            return Rejection(ValidationFactor.RISK, RejectReason.DUPLICATE, 1, 0)
        try:
            quoted = quote_legs(book, found, entry_1, entry_2, received_ns, self._out.sequence)
        except QuoteError as error:
            thin = error.code in _LIQUIDITY_CODES
            reason = RejectReason.INSUFFICIENT_LIQUIDITY if thin else RejectReason.QUOTE_FAILED
            return Rejection(ValidationFactor.AMOUNT, reason, int(error.code), 0)
        priced, rejection = self._appraisal.judge(quoted, self._policies[found.strategy])
        if rejection is None and self._control.latch:  # set in the meantime
            rejection = _KILLED
        if rejection is None:
            until_ns = self._clock.monotonic_ns() + self._plan_life_ns
            self._holds.hold(entry_1.key, entry_1.changes, until_ns)
            self._holds.hold(entry_2.key, entry_2.changes, until_ns)
            self._publish(quoted, priced, max(entry_1.slot, entry_2.slot), received_ns)
        return rejection

    def _usable(self, entry: Entry) -> bool:
        return entry.pool is not None and entry.key not in self._disabled

    def _publish(self, quoted: Quoted, priced: Priced, slot: int, received_ns: int) -> None:
        now_ns = self._clock.monotonic_ns()
        found, quote_1, quote_2 = quoted.found, quoted.leg_1.quote, quoted.leg_2.quote
        stamps = Stamps(quoted.sequence, slot, received_ns, now_ns)
        until_ns = now_ns + self._plan_life_ns
        fields = plan_fields(found, quote_1, quote_2, priced, stamps, self._plan_head, until_ns)
        self._out.put(wire.execution_plan, *fields)
        self._counters.add(self._plans)
        self._counters.record(self._stage, now_ns - received_ns)

    def _reject(self, found: TwoHopOpportunity, rejection: Rejection, received_ns: int) -> None:
        stamps = Stamps(self._out.sequence, found.slot, received_ns, self._clock.monotonic_ns())
        self._out.put(wire.plan_rejected, *rejection_fields(found, rejection, stamps))
        self._counters.add(self._rejected[rejection.reason])
