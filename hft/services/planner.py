"""The planner: opportunities → ``planned``, as a plan or as a rejection with its code.

Re-quotes on the newest table state, prices the tip, scores, validates. A pool that a plan was just made on is held
until its state has moved or the plan's life is over, so that one dislocation is not bought twice.

Counters: in_opportunities = plans + rejected_<reason> + dropped_stale + dropped_corrupt, and
out_planned + messages held = plans + sum of rejected_<reason>.
"""

from typing import TYPE_CHECKING, NamedTuple

from hft import wire
from hft.chain.keys import paper_keypair
from hft.services.book import Entry, TableBook
from hft.services.common import SYSTEM_COUNTERS, Outbox, SystemLink
from hft.strategy import costs, risk, tip, validation
from hft.strategy.dedupe import Deduper, Path, size_bucket
from hft.strategy.validation import Candidate, Rejection
from hft.venues import WRAPPED_SOL, Quote, QuoteError, QuoteErrorCode, associated_token_address, token_amount
from hft.wire import TwoHopOpportunity
from hft.wire.enums import Method, RejectReason, ValidationFactor

if TYPE_CHECKING:
    from hft.runtime.context import Context

REJECTIONS: tuple[str, ...] = tuple(
    f"rejected_{reason.name.lower()}" for reason in RejectReason if reason != RejectReason.NONE
)
COUNTERS: tuple[str, ...] = (
    "in_opportunities",
    "lost_opportunities",
    "dropped_stale",
    "dropped_corrupt",
    "plans",
    *REJECTIONS,
    "out_planned",
    "blocked_planned",
    "held_planned",
    "in_market_data",
    "lost_market_data",
    "slot",
    *SYSTEM_COUNTERS,
)
HISTOGRAMS: tuple[str, ...] = ("handoff_scanner_planner_ns", "stage_planner_ns")

POLL_LIMIT = 16
UPDATE_LIMIT = 256
LIQUIDITY_SHARE_PPM = 500_000
"""A leg may take at most half of its pool's output vault."""
SUSPICIOUS_BPS_MILLI = 500_000
"""A return of 5% is as good as it gets before it is more likely an error than a trade."""
_LIQUIDITY_CODES = frozenset((QuoteErrorCode.INSUFFICIENT_LIQUIDITY, QuoteErrorCode.ARRAYS_EXHAUSTED))


class _Priced(NamedTuple):
    """A re-quoted opportunity with its costs."""

    leg_1: Quote
    leg_2: Quote
    candidate: Candidate
    unit_limit: int


def build(ctx: "Context") -> "Planner":
    """The planner of a run, attached to its links."""
    return Planner(ctx)


class Planner:
    """See the module."""

    def __init__(self, ctx: "Context") -> None:
        settings, scanner = ctx.config.planner, ctx.config.scanner
        self._clock = ctx.clock
        self._control = ctx.control
        self._counters = ctx.counters
        self._book = TableBook(ctx.table)
        self.primary = ctx.subscription("opportunities")
        self._market = ctx.subscription("market_data")
        self._out = Outbox(ctx, "planned")
        self._system = SystemLink(ctx)
        self._limits = validation.with_profile(
            validation.Limits(
                minimum_profit_lamports=settings.minimum_profit_lamports,
                minimum_profit_bps_milli=settings.minimum_profit_bps_milli,
                minimum_confidence_ppm=settings.minimum_confidence_ppm,
                data_age_limit_ns=settings.data_age_limit_ms * 1_000_000,
                slot_age_limit=settings.slot_age_limit,
                opportunity_age_limit_ns=settings.opportunity_age_limit_ms * 1_000_000,
                minimum_amount=scanner.minimum_size_lamports,
                maximum_amount=min(scanner.maximum_size_lamports, ctx.config.risk.maximum_size_lamports),
                liquidity_share_ppm=LIQUIDITY_SHARE_PPM,
                maximum_slippage_ppm=settings.maximum_slippage_bps * 100,
                maximum_risk_score_ppm=settings.maximum_risk_score_ppm,
            ),
            settings.profile,
        )
        self._risk_limits = risk.RiskLimits(
            age_limit_ns=self._limits.opportunity_age_limit_ns,
            slippage_limit_ppm=self._limits.maximum_slippage_ppm,
            minimum_profit_lamports=self._limits.minimum_profit_lamports,
            suspicious_bps_milli=SUSPICIOUS_BPS_MILLI,
        )
        self._tips = tip.TipPolicy(
            settings.tip_share_ppm, settings.tip_floor_lamports, settings.tip_cap_lamports
        )
        self._unit_price = settings.compute_unit_price_micro_lamports
        self._plan_life_ns = settings.plan_life_ms * 1_000_000
        self._blacklist = frozenset(_keys(settings.blacklist))
        self._plan_head = ctx.run.run_id[:8]
        wallet = bytes(paper_keypair(ctx.config.simnet.seed).pubkey())
        self._wallet = wallet
        self._wallet_base = associated_token_address(wallet, WRAPPED_SOL)
        self._deduper = Deduper(1)
        self._held_pools: dict[bytes, tuple[int, int]] = {}
        index = ctx.counters.index
        self._in, self._stale, self._corrupt = (
            index("in_opportunities"),
            index("dropped_stale"),
            index("dropped_corrupt"),
        )
        self._plans, self._in_updates = index("plans"), index("in_market_data")
        self._rejected = {
            reason: index(name) for reason, name in zip(list(RejectReason)[1:], REJECTIONS, strict=True)
        }
        self._handoff = ctx.counters.histogram_index("handoff_scanner_planner_ns")
        self._stage = ctx.counters.histogram_index("stage_planner_ns")

    def on_start(self) -> None:
        """Decodes the pools that are in the table already."""
        self._book.refresh()
        for key in self._book.take_changed():
            self._book.entry(key)

    def do_work(self) -> int:
        """Takes opportunities while plans find room; between them keeps the pools decoded."""
        if self._out.blocked:
            return self._out.flush()
        count = self.primary.poll(self._on_opportunity, POLL_LIMIT)
        if count == 0:
            count = self._market.poll(self._on_update, UPDATE_LIMIT)
            if count:
                self._book.refresh()
                for key in self._book.take_changed():
                    self._book.entry(key)
        return count

    def pending(self) -> int:
        return self._out.held

    def on_housekeeping(self, now_ns: int) -> None:
        self._system.poll()
        counters = self._counters
        counters.set(counters.index("lost_opportunities"), self.primary.lost)
        counters.set(counters.index("lost_market_data"), self._market.lost)
        counters.set(counters.index("held_planned"), self._out.held)
        counters.set(counters.index("slot"), self._book.clock.slot)
        if len(self._held_pools) > 1_024:
            self._held_pools = {key: hold for key, hold in self._held_pools.items() if now_ns < hold[1]}

    def on_close(self) -> None:
        self._out.flush()

    def _on_update(self, view: memoryview) -> None:
        """Only the sign that the table moved: the bytes are there, and the book sees them all."""
        self._counters.add(self._in_updates)

    def _on_opportunity(self, view: memoryview) -> None:
        now_ns = self._clock.monotonic_ns()
        self._counters.add(self._in)
        try:
            found = wire.two_hop_opportunity.decode(view)
        except wire.WireError:
            self._counters.add(self._corrupt)
            return
        age_ns = now_ns - found.scan_published_ns
        if age_ns >= 2 * self._limits.opportunity_age_limit_ns:
            self._counters.add(
                self._stale
            )  # a backlog: not even worth a rejection on a link that never drops
            return
        self._counters.record(self._handoff, max(age_ns, 0))
        rejection = self._refuse_early(found, age_ns) or self._plan(found, age_ns, now_ns)
        if rejection is not None:
            self._reject(found, rejection, now_ns)

    def _refuse_early(self, found: TwoHopOpportunity, age_ns: int) -> Rejection | None:
        """What needs no quote: the kill, age, blacklist, and what was planned or seen already."""
        if self._control.killed:
            return Rejection(ValidationFactor.RISK, RejectReason.KILLED, 1, 0)
        rejection = validation.check_age(age_ns, self._limits)
        if rejection is not None:
            return rejection
        if found.pool_1 in self._blacklist or found.pool_2 in self._blacklist:
            return Rejection(ValidationFactor.RISK, RejectReason.POOL_BLACKLISTED, 1, 0)
        path = Path(found.strategy, found.pool_1, found.pool_2, found.base_mint, size_bucket(found.amount_in))
        if not self._deduper.first(path, found.slot):
            return Rejection(ValidationFactor.RISK, RejectReason.DUPLICATE, found.slot, found.slot)
        return None

    def _plan(self, found: TwoHopOpportunity, age_ns: int, received_ns: int) -> Rejection | None:
        self._book.refresh()
        entry_1, entry_2 = self._book.entry(found.pool_1), self._book.entry(found.pool_2)
        if entry_1 is None or entry_2 is None or entry_1.pool is None or entry_2.pool is None:
            return Rejection(ValidationFactor.RISK, RejectReason.POOL_DISABLED, 1, 0)
        if self._is_held(entry_1, received_ns) or self._is_held(entry_2, received_ns):
            return Rejection(ValidationFactor.RISK, RejectReason.DUPLICATE, 1, 0)
        try:
            leg_1 = entry_1.pool.quote(found.base_mint, found.amount_in, self._book.clock)
            leg_2 = entry_2.pool.quote(found.quote_mint, leg_1.amount_out, self._book.clock)
        except QuoteError as error:
            thin = error.code in _LIQUIDITY_CODES
            reason = RejectReason.INSUFFICIENT_LIQUIDITY if thin else RejectReason.QUOTE_FAILED
            return Rejection(ValidationFactor.AMOUNT, reason, int(error.code), 0)
        priced = self._price(found, entry_1, entry_2, leg_1, leg_2, age_ns)
        rejection = validation.validate(priced.candidate, self._limits)
        if rejection is None:
            self._publish(found, entry_1, entry_2, priced, received_ns)
        return rejection

    def _price(
        self,
        found: TwoHopOpportunity,
        entry_1: Entry,
        entry_2: Entry,
        leg_1: Quote,
        leg_2: Quote,
        age_ns: int,
    ) -> _Priced:
        """Costs, tip, confidence, slippage and score of the newest quotes."""
        book = self._book
        gross = leg_2.amount_out - found.amount_in
        unit_limit = costs.compute_unit_limit(found.venue_1, leg_1.crossings, found.venue_2, leg_2.crossings)
        fees = costs.NetworkCosts(costs.base_fee(), costs.priority_fee(unit_limit, self._unit_price), 0)
        tip_lamports = tip.price_tip(gross, fees.fees_lamports, self._tips)
        if tip_lamports is None:
            tip_lamports = max(self._tips.floor_lamports, tip.MINIMUM_TIP_LAMPORTS)
        spent = fees._replace(tip_lamports=tip_lamports)
        now_ns = self._clock.monotonic_ns()
        data_age_ns = max(book.data_age_ns(entry_1, now_ns), book.data_age_ns(entry_2, now_ns))
        slots = max(book.clock.slot - max(entry_1.slot, entry_2.slot), 0)
        sure_ppm = risk.confidence(
            data_age_ns, slots, self._limits.data_age_limit_ns, self._limits.slot_age_limit
        )
        slippage_ppm = max(found.amount_out - leg_2.amount_out, 0) * costs.PPM // max(found.amount_out, 1)
        impact_ppm = max(
            self._impact(entry_1, found.base_mint, leg_1), self._impact(entry_2, found.quote_mint, leg_2)
        )
        net = gross - spent.total_lamports
        score = risk.risk_score(
            age_ns,
            net,
            costs.profit_bps_milli(net, found.amount_in),
            sure_ppm,
            max(slippage_ppm, impact_ppm),
            self._risk_limits,
        )
        candidate = Candidate(
            amount_in=found.amount_in,
            gross_profit_lamports=gross,
            costs=spent,
            confidence_ppm=sure_ppm,
            data_age_ns=data_age_ns,
            data_age_slots=slots,
            opportunity_age_ns=age_ns,
            liquidity_taken_ppm=max(
                self._taken(entry_1, found.base_mint, leg_1), self._taken(entry_2, found.quote_mint, leg_2)
            ),
            wallet_base=self._token_balance(self._wallet_base),
            wallet_lamports=self._lamports(self._wallet),
            slippage_ppm=slippage_ppm,
            price_impact_ppm=impact_ppm,
            risk_score_ppm=score.score_ppm,
            pool_disabled=False,
            pool_blacklisted=False,
        )
        return _Priced(leg_1, leg_2, candidate, unit_limit)

    def _impact(self, entry: Entry, input_mint: bytes, leg: Quote) -> int:
        """How much worse than the marginal price after fees a leg trades, in ppm; a ratio, no amount of money."""
        pool = entry.pool
        if pool is None or leg.amount_in_used <= 0:
            return costs.PPM
        marginal = pool.spot_price(input_mint) * (1 - pool.fee_ppm(self._book.clock) / costs.PPM)
        if marginal <= 0:
            return costs.PPM
        return max(int((1 - leg.amount_out / (leg.amount_in_used * marginal)) * costs.PPM), 0)

    def _taken(self, entry: Entry, input_mint: bytes, leg: Quote) -> int:
        """Share of the output vault that a leg takes, in ppm; 0 where the vault's balance is not known."""
        if entry.pool is None:
            return costs.PPM
        balance = self._token_balance(entry.pool.vaults(input_mint)[1])
        return leg.amount_out * costs.PPM // balance if balance else 0

    def _token_balance(self, key: bytes) -> int | None:
        record = self._book.account(key)
        return None if record is None or len(record.data) < 72 else token_amount(record.data)

    def _lamports(self, key: bytes) -> int | None:
        record = self._book.account(key)
        return None if record is None else record.lamports

    def _is_held(self, entry: Entry, now_ns: int) -> bool:
        hold = self._held_pools.get(entry.key)
        return hold is not None and entry.changes == hold[0] and now_ns < hold[1]

    def _publish(
        self, found: TwoHopOpportunity, entry_1: Entry, entry_2: Entry, priced: _Priced, received_ns: int
    ) -> None:
        spent = priced.candidate.costs
        expected_out = priced.leg_2.amount_out
        sequence = self._out.sequence
        now_ns = self._clock.monotonic_ns()
        expires_ns = now_ns + self._plan_life_ns
        self._held_pools[entry_1.key] = (entry_1.changes, expires_ns)
        self._held_pools[entry_2.key] = (entry_2.changes, expires_ns)
        self._out.put(
            wire.execution_plan,
            found.trace_id,
            self._plan_head + sequence.to_bytes(8, "little"),
            sequence,
            max(entry_1.slot, entry_2.slot),
            found.sequence,
            found.strategy,
            Method.LOCAL,
            found.venue_1,
            found.venue_2,
            priced.candidate.risk_score_ppm,
            priced.candidate.confidence_ppm,
            found.base_mint,
            found.quote_mint,
            found.pool_1,
            found.pool_2,
            found.amount_in,
            priced.leg_1.amount_out,
            found.amount_in + spent.total_lamports,  # the least that is no loss: below it the chain reverts
            expected_out,
            expected_out - found.amount_in - spent.total_lamports,
            spent.base_fee_lamports,
            spent.priority_fee_lamports,
            spent.tip_lamports,
            priced.unit_limit,
            self._unit_price,
            expires_ns,
            found.received_ns,
            found.feed_published_ns,
            found.scan_received_ns,
            found.scan_published_ns,
            received_ns,
            now_ns,
        )
        self._counters.add(self._plans)
        self._counters.record(self._stage, now_ns - received_ns)

    def _reject(self, found: TwoHopOpportunity, rejection: Rejection, received_ns: int) -> None:
        now_ns = self._clock.monotonic_ns()
        self._counters.add(self._rejected[rejection.reason])
        self._out.put(
            wire.plan_rejected,
            found.trace_id,
            self._out.sequence,
            found.slot,
            found.sequence,
            found.strategy,
            rejection.factor,
            rejection.reason,
            found.base_mint,
            found.quote_mint,
            found.pool_1,
            found.pool_2,
            found.amount_in,
            rejection.observed,
            rejection.limit,
            found.received_ns,
            found.feed_published_ns,
            found.scan_received_ns,
            found.scan_published_ns,
            received_ns,
            now_ns,
        )
