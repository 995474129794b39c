"""The executor's side of the pre-trade gate: gathers what the gate judges a plan against."""

from typing import TYPE_CHECKING

from hft.runtime.settings_strategies import effective
from hft.services.strategies import places_of
from hft.services.submissions import Submissions
from hft.strategy import gate
from hft.strategy.gate import GateLimits, GateState, Refusal, StrategyLimits, StrategyState
from hft.wire import ExecutionPlan
from hft.wire.enums import ExecutionReason

if TYPE_CHECKING:
    from hft.runtime.context import Context
    from hft.runtime.settings_limits import Risk


class PreTrade:
    """The gate over one executor's submissions. Also halts when the manager's heartbeat stops, and when
    the sidecar's journal is full."""

    def __init__(self, ctx: "Context", work: Submissions) -> None:
        self._ctx = ctx
        self._clock = ctx.clock
        self._control = ctx.control
        self._work = work
        self._manager = ctx.peer_counters("manager")
        self._sidecar = ctx.peer_counters("sidecar")
        self._journal_full = self._sidecar.index("journal_full")
        self._feed = ctx.peer_counters("feed")
        self._revert_ns, self._revert_slot = map(self._feed.index, ("revert_ns", "revert_slot"))
        config = ctx.config
        risk = config.risk
        self._limits = gate.bounded(
            GateLimits(
                maximum_size_lamports=risk.maximum_size_lamports,
                maximum_open_plans=risk.maximum_open_plans,
                maximum_trades_per_minute=risk.maximum_trades_per_minute,
                maximum_daily_loss_lamports=risk.maximum_daily_loss_lamports,
                maximum_tip_lamports=risk.maximum_tip_lamports,
                maximum_fee_lamports=risk.maximum_fee_lamports,
                minimum_wallet_lamports=risk.minimum_wallet_lamports,
                manager_heartbeat_limit_ns=config.manager.heartbeat_limit_ms * 1_000_000,
            )
        )
        self._trades = gate.TradeWindow(self._limits.maximum_trades_per_minute)
        self._own = {
            config.strategy[name].number: _limits(effective(config, name).risk)
            for name in config.strategies.enabled
        }
        self._halted = places_of(ctx, ("halted",))
        self._own_trades = {
            number: gate.TradeWindow(limits.maximum_trades_per_minute) for number, limits in self._own.items()
        }

    def refusal(self, plan: ExecutionPlan) -> Refusal | None:
        """Why ``plan`` may not be executed now; None if it may."""
        if self._ctx.stop_requested:
            return Refusal(ExecutionReason.SHUTDOWN, 1, 0)
        work, strategy = self._work, plan.strategy
        now_ns, unix_ns = self._clock.monotonic_ns(), self._clock.unix_ns()
        beat_ns, revert_ns = self._manager.heartbeat_ns, self._feed.value(self._revert_ns)
        state = GateState(
            killed=self._control.killed,
            manager_heartbeat_age_ns=now_ns - beat_ns if beat_ns else None,
            now_ns=now_ns,
            open_plans=len(work.open),
            trades_last_minute=self._trades.count(now_ns),
            day_profit_lamports=work.day.value(unix_ns),
            wallet_lamports=work.lamports,
            base_token_free=work.base_token_free,
            journal_full=self._sidecar.value(self._journal_full) > 0,
            revert_ns=revert_ns,
            revert_slot=self._feed.value(self._revert_slot) if revert_ns else 0,
        )
        refusal = gate.check(plan, self._limits, state)
        if refusal is not None:
            return refusal
        # The same by the limits of the plan's strategy; one that is not enabled may do nothing.
        limits = self._own.get(strategy)
        if limits is None:
            return Refusal(ExecutionReason.CORRUPT_PLAN, strategy, 0)
        profit, trades = work.day_of(strategy).value(unix_ns), self._own_trades[strategy].count(now_ns)
        own = StrategyState(work.open_of[strategy], trades, profit)
        return gate.check_strategy(plan.amount_in, limits, own)

    def show_halted(self) -> None:
        """Which strategies have lost what they may today: the scanner offers them nothing more, so that they
        keep nothing from the others.
        """
        unix_ns = self._clock.unix_ns()
        for number, (place,) in self._halted.items():
            loss = -self._work.day_of(number).value(unix_ns)
            self._ctx.counters.set(place, loss >= self._own[number].maximum_daily_loss_lamports)

    def submitted(self, strategy: int, now_ns: int) -> None:
        """One more trade within the minute."""
        self._trades.add(now_ns)
        self._own_trades[strategy].add(now_ns)


def _limits(risk: "Risk") -> StrategyLimits:
    return StrategyLimits(
        risk.maximum_size_lamports,
        risk.maximum_open_plans,
        risk.maximum_trades_per_minute,
        risk.maximum_daily_loss_lamports,
    )
