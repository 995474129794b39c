"""What a quoted opportunity is worth, and whether it may be planned.

It is priced at the going rates, validated and, where the settings ask for it, simulated: the very message
that the executor would sign, on the newest table state.

Where every swap ran in its venue's own program the simulation measures the compute units: the limit is then
those and a margin, kept for the route and its crossings, instead of the venues' tables.
"""

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from solders.pubkey import Pubkey

from hft.chain.compute import MAX_COMPUTE_UNITS, compute_unit_limit
from hft.chain.lookup import TableCache
from hft.chain.svm_envelope import EnvelopeError
from hft.chain.svm_programs import ProgramError
from hft.chain.svm_simulator import Simulated, Simulator
from hft.chain.svm_verdicts import OUT_OF_UNITS
from hft.chain.template import Templates
from hft.chain.tips import TipAccounts
from hft.chain.transaction import TransactionError, TwoHop
from hft.runtime.exit_codes import ExitCode, HftError
from hft.services.book import TableBook
from hft.services.going_rates import GoingRates
from hft.services.plans import minimum_out
from hft.services.quoting import Quoted, token_balance
from hft.strategy.pricing import Policy, Priced, Wallet, price
from hft.strategy.validation import Rejection, validate
from hft.venues import WRAPPED_SOL, Account, Pool, PoolError, Quote, QuoteError, associated_token_address
from hft.wire.enums import RejectReason, ValidationFactor

if TYPE_CHECKING:
    from hft.runtime.context import Context

COUNTERS: tuple[str, ...] = (
    "simulations",
    "simulations_patched",
    "simulation_accounts_written",
    "unit_limits_measured",
)
HISTOGRAMS: tuple[str, ...] = ("simulation_ns",)
ROUNDS: Final = 3
"""Simulations of one opportunity: with the limit kept, after measuring anew, and of the plan that follows."""
LIMITS_KEPT: Final = 1_024
_Route = tuple[bytes, bytes, bytes, int, int]


class Appraisal:
    """See the module. ``refresh`` in housekeeping, ``judge`` for each opportunity."""

    def __init__(self, ctx: "Context", book: TableBook, wallet: bytes) -> None:
        """``HftError`` CONFIG if ``[chain] programs`` is no folder of programs."""
        self._clock = ctx.clock
        self._counters = ctx.counters
        self._book = book
        self._rates = GoingRates(ctx)
        self._tips = TipAccounts()
        self._wallet = wallet
        tables = [bytes(Pubkey.from_string(key)) for key in ctx.config.chain.lookup_tables]
        self._table_keys = tables
        self._tables = TableCache(tables)
        self._templates = Templates(wallet, self._tables if tables else None)
        self._purse = associated_token_address(wallet, WRAPPED_SOL)
        self._simulator = _simulator(ctx, book) if ctx.config.planner.simulate == "on" else None
        self._limits: OrderedDict[_Route, int] = OrderedDict()
        self._took = ctx.counters.histogram_index(HISTOGRAMS[0])

    def refresh(self) -> None:
        """Takes the going rates; keeps messages ready for the pools as they are now."""
        self._rates.look()
        if self._simulator is None:
            return
        slot, account = self._book.clock.slot, self._book.account
        held = {key: record for key in self._table_keys if (record := account(key)) is not None}
        accounts = {key: Account(one.owner, one.data, one.lamports) for key, one in held.items()}
        self._tables.update(accounts, slot)
        self._templates.refresh(self._pool, slot, limit=1, examine=8)
        counters, simulator = self._counters, self._simulator
        simulator.prepare(self._book.clock)
        simulator.follow()
        counters.set(counters.index("simulations"), simulator.runs)
        counters.set(counters.index("simulations_patched"), simulator.patched)
        counters.set(counters.index("simulation_accounts_written"), simulator.written)
        counters.set(counters.index("unit_limits_measured"), len(self._limits))

    def judge(self, quoted: Quoted, policy: Policy) -> tuple[Priced, Rejection | None]:
        """The opportunity priced, and why it must not be planned, if it must not."""
        found, rated = quoted.found, self._rates.over(policy)
        quotes = quoted.leg_1.quote, quoted.leg_2.quote
        route = (found.pool_1, found.pool_2, found.base_mint, quotes[0].crossings, quotes[1].crossings)
        limit = self._limits.get(route)
        for _ in range(ROUNDS):
            priced = self._priced(quoted, rated, limit)
            rejection = validate(priced.candidate, rated.limits)
            if rejection is not None or self._simulator is None:
                return priced, rejection
            order = self._order(quoted, priced)
            done = self._run(order, quotes)
            if done is None:
                return priced, failed(0, 0)
            if done.name in OUT_OF_UNITS and priced.compute_unit_limit < MAX_COMPUTE_UNITS:
                measured = self._run(order._replace(compute_unit_limit=MAX_COMPUTE_UNITS), quotes)
                if measured is None or not (measured.ok and measured.measured):
                    return priced, failed(done.code, done.failed_at)
                limit = self._keep(route, measured.units)
                continue
            if not done.ok:
                return priced, failed(done.code, done.failed_at)
            if done.measured:
                known, limit = limit, self._keep(route, done.units)
                if known is None and limit != priced.compute_unit_limit:
                    continue
            return priced, paid_enough(found.amount_in + done.received, order.minimum_out)
        return priced, failed(0, 0)

    def _priced(self, quoted: Quoted, rated: Policy, limit: int | None) -> Priced:
        payer = self._book.account(self._wallet)
        wallet = Wallet(token_balance(self._book, self._purse), None if payer is None else payer.lamports)
        return price(quoted.offer, quoted.leg_1, quoted.leg_2, self._book.clock, wallet, rated, limit)

    def _order(self, quoted: Quoted, priced: Priced) -> TwoHop:
        """What the executor will build of this plan."""
        return TwoHop(
            quoted.leg_1.pool,
            quoted.leg_2.pool,
            quoted.found.base_mint,
            quoted.found.amount_in,
            quoted.leg_1.quote.amount_out,
            minimum_out(quoted.found, priced),
            priced.compute_unit_limit,
            priced.compute_unit_price_micro_lamports,
            priced.candidate.costs.tip_lamports,
            self._tips.account(quoted.sequence),
        )

    def _run(self, order: TwoHop, quotes: tuple[Quote, Quote]) -> Simulated | None:
        """What the order's transaction would do now; None if there is no such transaction."""
        assert self._simulator is not None
        begin_ns, clock = self._clock.monotonic_ns(), self._book.clock
        try:
            template = self._templates.template(order, clock.slot)
            return self._simulator.run_two_hop(template, order, quotes, clock, self._purse)
        except (TransactionError, EnvelopeError, QuoteError, PoolError):
            return None
        finally:
            self._counters.record(self._took, self._clock.monotonic_ns() - begin_ns)

    def _keep(self, route: _Route, units: int) -> int:
        """The limit for units measured; kept for the route."""
        limit = self._limits[route] = compute_unit_limit(max(units, 1))
        self._limits.move_to_end(route)
        while len(self._limits) > LIMITS_KEPT:
            self._limits.popitem(last=False)
        return limit

    def _pool(self, key: bytes) -> Pool | None:
        """As it was decoded last: what changed since is decoded for the opportunity that names it."""
        entry = self._book.entries.get(key)
        return None if entry is None else entry.pool


def failed(code: int, at: int) -> Rejection:
    """A transaction that would fail: ``code`` is the program's, ``at`` the instruction."""
    return Rejection(ValidationFactor.RISK, RejectReason.SIMULATION_FAILED, code, at)


def paid_enough(out: int, least: int) -> Rejection | None:
    """A transaction that would go through, but pay less than it must."""
    if out >= least:
        return None
    return Rejection(ValidationFactor.SLIPPAGE, RejectReason.SIMULATION_FAILED, out, least)


def _simulator(ctx: "Context", book: TableBook) -> Simulator:
    try:
        return Simulator(book.account, ctx.config.chain.programs)
    except ProgramError as error:
        raise HftError(f"[chain] programs: {error}", ExitCode.CONFIG) from error
