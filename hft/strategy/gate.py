"""The executor's pre-trade gate: the last limits before anything is signed.

No setting can bypass it: settings are lowered to the ceilings written here, never raised above them, and a
limit of zero lets nothing through. A value exactly at a maximum passes; a count or a loss that has reached
its limit refuses the next plan.
"""

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from hft.wire.enums import ExecutionReason

if TYPE_CHECKING:
    from hft.wire import ExecutionPlan

LAMPORTS_PER_SOL = 1_000_000_000
MINUTE_NS = 60_000_000_000


class GateLimits(NamedTuple):
    """Lamports unless the name says otherwise."""

    maximum_size_lamports: int
    maximum_open_plans: int
    maximum_trades_per_minute: int
    maximum_daily_loss_lamports: int
    maximum_tip_lamports: int
    maximum_fee_lamports: int
    minimum_wallet_lamports: int
    manager_heartbeat_limit_ns: int


CEILINGS = GateLimits(
    maximum_size_lamports=1_000 * LAMPORTS_PER_SOL,
    maximum_open_plans=256,
    maximum_trades_per_minute=60_000,
    maximum_daily_loss_lamports=100 * LAMPORTS_PER_SOL,
    maximum_tip_lamports=LAMPORTS_PER_SOL,
    maximum_fee_lamports=LAMPORTS_PER_SOL // 10,
    minimum_wallet_lamports=5_000_000,  # a floor, not a ceiling: fees and rent of two token accounts
    manager_heartbeat_limit_ns=30_000_000_000,
)


class GateState(NamedTuple):
    """What the gate judges a plan against. ``manager_heartbeat_age_ns`` is None if it never beat."""

    killed: bool
    manager_heartbeat_age_ns: int | None
    now_ns: int
    open_plans: int
    trades_last_minute: int
    day_profit_lamports: int
    wallet_lamports: int | None
    base_token_free: int | None
    journal_full: bool = False
    """No room to keep what becomes of another trade."""
    revert_ns: int = 0
    """When the newest loss of a fork was told; 0: never."""
    revert_slot: int = 0
    """The oldest of its slots, which never were."""


class Refusal(NamedTuple):
    """``observed`` against ``limit``, in the unit of the reason (lamports, counts or nanoseconds)."""

    reason: ExecutionReason
    observed: int
    limit: int


def bounded(settings: GateLimits) -> GateLimits:
    """The settings, none of them laxer than the ceilings and none negative."""
    lowered = [max(0, min(setting, ceiling)) for setting, ceiling in zip(settings, CEILINGS, strict=True)]
    limits = GateLimits(*lowered)
    floor = max(settings.minimum_wallet_lamports, CEILINGS.minimum_wallet_lamports)
    return limits._replace(minimum_wallet_lamports=floor)


def check(plan: "ExecutionPlan", limits: GateLimits, state: GateState) -> Refusal | None:
    """The first reason to refuse ``plan``, or None. ``limits`` come from :func:`bounded`.

    An unknown wallet balance refuses: what isn't known can't be spent.
    """
    # Taken apart at once, and judged in one piece: it runs so rarely that every call is a cold one.
    killed, age_ns, now_ns, _, _, _, lamports, free, journal_full, revert_ns, revert_slot = state
    if killed:
        return Refusal(ExecutionReason.KILLED, 1, 0)
    if age_ns is None or age_ns > limits.manager_heartbeat_limit_ns:
        observed = -1 if age_ns is None else age_ns
        return Refusal(ExecutionReason.HEARTBEAT_LOST, observed, limits.manager_heartbeat_limit_ns)
    if journal_full:
        return Refusal(ExecutionReason.JOURNAL_FULL, 1, 0)
    # A plan names its newest slot alone, so one that came of earlier news may rest on any slot up to it.
    if revert_ns and plan.received_ns <= revert_ns and plan.slot >= revert_slot:
        return Refusal(ExecutionReason.FORK_REVERTED, plan.slot, revert_slot)
    if now_ns >= plan.expires_ns:
        return Refusal(ExecutionReason.PLAN_EXPIRED, now_ns, plan.expires_ns)
    amount_in, tip_lamports = plan.amount_in, plan.tip_lamports
    if not 0 < amount_in <= limits.maximum_size_lamports:
        return Refusal(ExecutionReason.SIZE_LIMIT, amount_in, limits.maximum_size_lamports)
    if tip_lamports > limits.maximum_tip_lamports:
        return Refusal(ExecutionReason.TIP_CAP, tip_lamports, limits.maximum_tip_lamports)
    fees = plan.base_fee_lamports + plan.priority_fee_lamports
    if fees > limits.maximum_fee_lamports:
        return Refusal(ExecutionReason.FEE_CAP, fees, limits.maximum_fee_lamports)
    # A plan whose worst permitted outcome loses money guards nothing.
    fees += tip_lamports
    if plan.amount_mid <= 0 or plan.minimum_out < amount_in + fees:
        return Refusal(ExecutionReason.MINIMUM_OUT, plan.minimum_out, amount_in + fees)
    refusal = _check_counts(limits, state)
    if refusal is not None:
        return refusal
    needed = limits.minimum_wallet_lamports + fees
    if lamports is None or lamports < needed:
        return Refusal(ExecutionReason.WALLET_BALANCE, -1 if lamports is None else lamports, needed)
    if free is None or free < amount_in:
        return Refusal(ExecutionReason.WALLET_BALANCE, -1 if free is None else free, amount_in)
    return None


def _check_counts(
    limits: "GateLimits | StrategyLimits", state: "GateState | StrategyState"
) -> Refusal | None:
    """Of a wallet or of one strategy: their counts have the same names and bounds."""
    if state.open_plans >= limits.maximum_open_plans:
        return Refusal(ExecutionReason.OPEN_PLANS_LIMIT, state.open_plans, limits.maximum_open_plans)
    if state.trades_last_minute >= limits.maximum_trades_per_minute:
        observed, limit = state.trades_last_minute, limits.maximum_trades_per_minute
        return Refusal(ExecutionReason.RATE_LIMIT, observed, limit)
    loss = -state.day_profit_lamports
    if loss >= limits.maximum_daily_loss_lamports:
        return Refusal(ExecutionReason.DAILY_LOSS, loss, limits.maximum_daily_loss_lamports)
    return None


class StrategyLimits(NamedTuple):
    """What one strategy may do, within what all may do together. Lamports unless the name says otherwise."""

    maximum_size_lamports: int
    maximum_open_plans: int
    maximum_trades_per_minute: int
    maximum_daily_loss_lamports: int


class StrategyState(NamedTuple):
    """What that strategy has done."""

    open_plans: int
    trades_last_minute: int
    day_profit_lamports: int


def check_strategy(amount_in: int, limits: StrategyLimits, state: StrategyState) -> Refusal | None:
    """The first of its own limits that refuses a strategy's plan, or None; bounds as in :func:`check`."""
    if amount_in > limits.maximum_size_lamports:
        return Refusal(ExecutionReason.SIZE_LIMIT, amount_in, limits.maximum_size_lamports)
    return _check_counts(limits, state)


class TradeWindow:
    """How many trades were begun within the last minute, exact and bounded by ``limit`` entries."""

    def __init__(self, limit: int) -> None:
        self._times: deque[int] = deque(maxlen=max(limit, 1))

    def count(self, now_ns: int) -> int:
        """Trades begun in (now - 60 s, now]."""
        times = self._times
        while times and times[0] <= now_ns - MINUTE_NS:
            times.popleft()
        return len(times)

    def add(self, now_ns: int) -> None:
        self._times.append(now_ns)


class DayProfit:
    """Profit since the last UTC midnight, in lamports, by the wall clock given."""

    DAY_NS = 86_400_000_000_000

    def __init__(self, day: int = 0, profit_lamports: int = 0) -> None:
        self._day = day
        self._profit = profit_lamports

    def add(self, unix_ns: int, profit_lamports: int) -> None:
        self._profit = self.value(unix_ns) + profit_lamports

    def value(self, unix_ns: int) -> int:
        """Today's profit; a clock that goes back does not forget the losses of the later day."""
        day = unix_ns // self.DAY_NS
        if day > self._day:
            self._day, self._profit = day, 0
        return self._profit
