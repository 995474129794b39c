"""When to trip the kill latch: thresholds with windows and minimum samples, decided purely.

Shares trip strictly above their limit ("error rate >50%"), ages and counts likewise; exactly at the limit
nothing trips. No rate is judged with fewer samples than its minimum, so nothing trips with zero trades.
"""

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from hft.strategy.costs import PPM
from hft.wire.enums import EndState, ExecutionReason, KillTrigger


class KillLimits(NamedTuple):
    """Shares in ppm, times in nanoseconds, slots in slots. A share of 1_000_000 never trips."""

    error_rate_ppm: int
    drawdown_ppm: int
    rpc_failure_ppm: int
    memory_ppm: int
    window_ns: int
    minimum_samples: int
    heartbeat_limit_ns: int
    no_data_limit_ns: int
    slot_drift_limit: int
    unexplained_limit_lamports: int


class Trip(NamedTuple):
    """Why to halt: ``observed`` broke ``limit``, both in the unit of the trigger."""

    trigger: KillTrigger
    observed: int
    limit: int
    message: str


class Window:
    """Outcomes of the last ``window_ns`` nanoseconds, at most ``capacity`` of them, each good or bad."""

    def __init__(self, window_ns: int, capacity: int = 4_096) -> None:
        self._window_ns = window_ns
        self._capacity = capacity
        self._outcomes: deque[tuple[int, bool]] = deque()
        self._bad = 0

    def add(self, now_ns: int, bad: bool) -> None:
        if len(self._outcomes) >= self._capacity:
            self._bad -= self._outcomes.popleft()[1]
        self._outcomes.append((now_ns, bad))
        self._bad += bad

    def rate(self, now_ns: int) -> tuple[int, int]:
        """(bad, all) within (now - window, now]."""
        outcomes = self._outcomes
        while outcomes and outcomes[0][0] <= now_ns - self._window_ns:
            self._bad -= outcomes.popleft()[1]
        return self._bad, len(outcomes)

    def clear(self) -> None:
        """Forget everything: after a resume, old failures must not trip again."""
        self._outcomes.clear()
        self._bad = 0


_SETTLEMENT_REASONS = frozenset(
    (
        ExecutionReason.SETTLEMENT_UNREACHABLE,
        ExecutionReason.NO_BLOCKHASH,
        ExecutionReason.SEND_FAILED,
        ExecutionReason.SEND_TIMEOUT,
        ExecutionReason.STATUS_UNKNOWN,
    )
)
_OUR_OWN_REFUSALS = frozenset(
    (
        ExecutionReason.KILLED,
        ExecutionReason.PLAN_EXPIRED,
        ExecutionReason.SIZE_LIMIT,
        ExecutionReason.RATE_LIMIT,
        ExecutionReason.OPEN_PLANS_LIMIT,
        ExecutionReason.DAILY_LOSS,
        ExecutionReason.TIP_CAP,
        ExecutionReason.FEE_CAP,
        ExecutionReason.WALLET_BALANCE,
        ExecutionReason.HEARTBEAT_LOST,
        ExecutionReason.DUPLICATE_PLAN,
        ExecutionReason.SHUTDOWN,
        ExecutionReason.JOURNAL_FULL,
        ExecutionReason.DRY_RUN,
        ExecutionReason.FORK_REVERTED,
    )
)


def is_execution_sample(end_state: EndState, reason: ExecutionReason) -> bool:
    """Does a result say anything of the error rate? The gate's own refusals don't: they are it working. Nor
    does a bundle that lost its auction: it cost nothing, and of those most searchers have more than trades.
    """
    if reason == ExecutionReason.BUNDLE_FAILED:
        return False
    return not (end_state == EndState.REJECTED and reason in _OUR_OWN_REFUSALS)


def is_error(end_state: EndState) -> bool:
    """Every end but landed-ok is an error."""
    return end_state != EndState.LANDED_OK


def is_settlement_failure(end_state: EndState, reason: ExecutionReason) -> bool:
    """Did the way to the chain fail (as against the trade)?"""
    return end_state in (EndState.UNKNOWN, EndState.EXPIRED) or reason in _SETTLEMENT_REASONS


def _over(part: int, whole: int, limit_ppm: int) -> bool:
    """part / whole > limit, exactly."""
    return part * PPM > limit_ppm * whole


def error_rate(bad: int, total: int, limits: KillLimits) -> Trip | None:
    if total < max(limits.minimum_samples, 1) or not _over(bad, total, limits.error_rate_ppm):
        return None
    message = f"{bad} of {total} executions did not land well"
    return Trip(KillTrigger.ERROR_RATE, bad * PPM // total, limits.error_rate_ppm, message)


def settlement_failures(bad: int, total: int, limits: KillLimits) -> Trip | None:
    if total < max(limits.minimum_samples, 1) or not _over(bad, total, limits.rpc_failure_ppm):
        return None
    message = f"{bad} of {total} submissions failed on the way to the chain"
    return Trip(KillTrigger.RPC_FAILURES, bad * PPM // total, limits.rpc_failure_ppm, message)


def drawdown(
    drawdown_lamports: int, peak_equity_lamports: int, trades: int, limits: KillLimits
) -> Trip | None:
    """Drawdown is measured from the peak of equity: starting wallet (SOL + wSOL) + highest P&L so far."""
    if trades <= 0 or not _over(drawdown_lamports, max(peak_equity_lamports, 0), limits.drawdown_ppm):
        return None
    observed = drawdown_lamports * PPM // peak_equity_lamports if peak_equity_lamports > 0 else PPM
    message = f"equity is {drawdown_lamports} lamports below its peak of {peak_equity_lamports}"
    return Trip(KillTrigger.DRAWDOWN, observed, limits.drawdown_ppm, message)


def memory(samples: Iterable[int], limits: KillLimits) -> Trip | None:
    """``samples``: used memory in ppm over the window. Trips when enough of them, and all, are above."""
    seen = list(samples)
    if len(seen) < max(limits.minimum_samples, 1):
        return None
    lowest = min(seen)
    if lowest <= limits.memory_ppm:
        return None
    return Trip(KillTrigger.MEMORY, lowest, limits.memory_ppm, "memory stayed above its limit for the window")


def heartbeat(service: str, age_ns: int, limits: KillLimits) -> Trip | None:
    if age_ns <= limits.heartbeat_limit_ns:
        return None
    message = f"{service} has not beaten for {age_ns // 1_000_000} ms"
    return Trip(KillTrigger.HEARTBEAT, age_ns, limits.heartbeat_limit_ns, message)


def no_data(age_ns: int, limits: KillLimits) -> Trip | None:
    if age_ns <= limits.no_data_limit_ns:
        return None
    message = f"no market data for {age_ns // 1_000_000} ms"
    return Trip(KillTrigger.NO_DATA, age_ns, limits.no_data_limit_ns, message)


def slot_drift(feed_slot: int, executor_slot: int, limits: KillLimits) -> Trip | None:
    """Both slots as the services see them; 0 means not seen yet and is not judged."""
    if feed_slot == 0 or executor_slot == 0:
        return None
    drift = abs(feed_slot - executor_slot)
    if drift <= limits.slot_drift_limit:
        return None
    message = f"feed is at slot {feed_slot}, executor at {executor_slot}"
    return Trip(KillTrigger.SLOT_DRIFT, drift, limits.slot_drift_limit, message)


def unexplained_balance(unexplained_lamports: int, limits: KillLimits) -> Trip | None:
    """Only money that left without a trade trips; an outside deposit (positive) is booked apart."""
    missing = -unexplained_lamports
    if missing <= limits.unexplained_limit_lamports:
        return None
    message = f"{missing} lamports left the wallet without a trade of ours"
    return Trip(KillTrigger.UNEXPLAINED_BALANCE, missing, limits.unexplained_limit_lamports, message)
