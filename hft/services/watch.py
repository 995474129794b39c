"""What the manager reads from its peers' pages: heartbeats, market data, slots, the wallet."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from hft.runtime.service import ServiceState
from hft.strategy import kill_rules
from hft.strategy.kill_rules import KillLimits, Trip

if TYPE_CHECKING:
    from hft.runtime.context import Context
    from hft.runtime.settings import Manager as Settings
    from ringbuf import Counters

WATCHED = ("feed", "scanner", "planner", "executor", "auditor")
"""Services without whose heartbeat nothing may be traded."""
UNEXPLAINED_LIMIT_LAMPORTS = 0
UNEXPLAINED_NS = 2_000_000_000
"""Results told out of order, after a broken connection, look for a moment like money that went missing."""
SIGN_BIT = 1 << 63


def kill_limits(settings: "Settings") -> KillLimits:
    """The manager's settings in the units of the rules."""
    return KillLimits(
        error_rate_ppm=settings.error_rate_ppm,
        drawdown_ppm=settings.drawdown_ppm,
        rpc_failure_ppm=settings.rpc_failure_ppm,
        memory_ppm=settings.memory_ppm,
        window_ns=settings.window_s * 1_000_000_000,
        minimum_samples=settings.minimum_samples,
        heartbeat_limit_ns=settings.heartbeat_limit_ms * 1_000_000,
        no_data_limit_ns=settings.no_data_limit_ms * 1_000_000,
        slot_drift_limit=settings.slot_drift_limit,
        unexplained_limit_lamports=UNEXPLAINED_LIMIT_LAMPORTS,
    )


class PeerWatch:
    """The peers' pages against the limits. ``slot``: the newest one either feed or executor knows."""

    def __init__(self, ctx: "Context", limits: KillLimits) -> None:
        self._peers: dict[str, Counters] = {name: ctx.peer_counters(name) for name in WATCHED}
        self._limits = limits
        self._data_since_ns = 0
        self._missing_since_ns = 0
        self.slot = 0

    def restart(self, now_ns: int) -> None:
        """After an approved resume the wait for market data counts anew."""
        self._data_since_ns = now_ns

    def trips(self, now_ns: int) -> Iterator[Trip]:
        """Everything that is wrong now."""
        for name, page in self._peers.items():
            if page.heartbeat_ns and _beats(page):
                yield from _found(kill_rules.heartbeat(name, now_ns - page.heartbeat_ns, self._limits))
        feed, executor = self._peers["feed"], self._peers["executor"]
        if _beats(feed):
            # Before the first update the wait counts from when the feed was first seen running.
            self._data_since_ns = self._data_since_ns or now_ns
            newest_ns = max(_value(feed, "last_update_ns"), self._data_since_ns)
            yield from _found(kill_rules.no_data(now_ns - newest_ns, self._limits))
            if _beats(executor):
                slots = _value(feed, "slot"), _value(executor, "slot")
                self.slot = max(slots)
                yield from _found(kill_rules.slot_drift(*slots, self._limits))
        yield from self._drawdown()
        yield from self._missing_money(now_ns)

    def _drawdown(self) -> Iterator[Trip]:
        """That of all strategies together; the metrics tell each one's."""
        auditor = self._peers["auditor"]
        pnl = _signed(auditor, "pnl_lamports")
        peak = _value(auditor, "wallet_lamports") - pnl + _signed(auditor, "peak_pnl_lamports")
        landed = _value(auditor, "landed_ok") + _value(auditor, "landed_failed")
        yield from _found(
            kill_rules.drawdown(_value(auditor, "drawdown_lamports"), peak, landed, self._limits)
        )

    def _missing_money(self, now_ns: int) -> Iterator[Trip]:
        signed = _signed(self._peers["auditor"], "unexplained_lamports")
        trip = kill_rules.unexplained_balance(signed, self._limits)
        if trip is None:
            self._missing_since_ns = 0
            return
        self._missing_since_ns = self._missing_since_ns or now_ns
        if now_ns - self._missing_since_ns >= UNEXPLAINED_NS:
            yield trip


def _found(trip: Trip | None) -> Iterator[Trip]:
    if trip is not None:
        yield trip


def _beats(page: "Counters") -> bool:
    """Is a heartbeat to be expected of that service? Not before it runs, nor once it drains."""
    return page.state in (ServiceState.RUNNING, ServiceState.HALTED)


def _value(page: "Counters", name: str) -> int:
    return page.value(page.index(name))


def _signed(page: "Counters", name: str) -> int:
    value = _value(page, name)
    return value - 2 * SIGN_BIT if value & SIGN_BIT else value
