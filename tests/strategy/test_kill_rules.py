"""Kill rules: strictly above their limit, never on too few samples."""

from collections.abc import Callable

import pytest

from hft.strategy import kill_rules
from hft.strategy.kill_rules import KillLimits, Trip, Window
from hft.wire.enums import EndState, ExecutionReason, KillTrigger

LIMITS = KillLimits(
    error_rate_ppm=500_000,
    drawdown_ppm=100_000,
    rpc_failure_ppm=800_000,
    memory_ppm=900_000,
    window_ns=60_000_000_000,
    minimum_samples=20,
    heartbeat_limit_ns=5_000_000_000,
    no_data_limit_ns=10_000_000_000,
    slot_drift_limit=50,
    unexplained_limit_lamports=0,
)
T = KillTrigger
Call = Callable[[], Trip | None]
CASES: list[tuple[Call, Call, KillTrigger]] = [
    (
        lambda: kill_rules.error_rate(10, 20, LIMITS),
        lambda: kill_rules.error_rate(11, 20, LIMITS),
        T.ERROR_RATE,
    ),
    (
        lambda: kill_rules.error_rate(19, 19, LIMITS),
        lambda: kill_rules.error_rate(20, 20, LIMITS),
        T.ERROR_RATE,
    ),
    (
        lambda: kill_rules.settlement_failures(16, 20, LIMITS),
        lambda: kill_rules.settlement_failures(17, 20, LIMITS),
        T.RPC_FAILURES,
    ),
    (
        lambda: kill_rules.drawdown(1_000, 10_000, 1, LIMITS),
        lambda: kill_rules.drawdown(1_001, 10_000, 1, LIMITS),
        T.DRAWDOWN,
    ),
    (
        lambda: kill_rules.drawdown(9_999, 10_000, 0, LIMITS),
        lambda: kill_rules.drawdown(1, 0, 1, LIMITS),
        T.DRAWDOWN,
    ),
    (
        lambda: kill_rules.memory([900_000] * 20, LIMITS),
        lambda: kill_rules.memory([900_001] * 20, LIMITS),
        T.MEMORY,
    ),
    (
        lambda: kill_rules.memory([999_999] * 19, LIMITS),
        lambda: kill_rules.memory([999_999] * 20, LIMITS),
        T.MEMORY,
    ),
    (
        lambda: kill_rules.heartbeat("feed", 5_000_000_000, LIMITS),
        lambda: kill_rules.heartbeat("feed", 5_000_000_001, LIMITS),
        T.HEARTBEAT,
    ),
    (
        lambda: kill_rules.no_data(10_000_000_000, LIMITS),
        lambda: kill_rules.no_data(10_000_000_001, LIMITS),
        T.NO_DATA,
    ),
    (
        lambda: kill_rules.slot_drift(100, 150, LIMITS),
        lambda: kill_rules.slot_drift(100, 151, LIMITS),
        T.SLOT_DRIFT,
    ),
    (
        lambda: kill_rules.slot_drift(0, 151, LIMITS),
        lambda: kill_rules.slot_drift(151, 100, LIMITS),
        T.SLOT_DRIFT,
    ),
    (
        lambda: kill_rules.unexplained_balance(0, LIMITS),
        lambda: kill_rules.unexplained_balance(-1, LIMITS),
        T.UNEXPLAINED_BALANCE,
    ),
    (
        lambda: kill_rules.unexplained_balance(10**12, LIMITS),  # an outside deposit is no reason to halt
        lambda: kill_rules.unexplained_balance(-(10**12), LIMITS),
        T.UNEXPLAINED_BALANCE,
    ),
]


@pytest.mark.parametrize(("quiet", "trips", "trigger"), CASES)
def test_row_25_at_the_limit_nothing_trips_and_one_beyond_it_does(
    quiet: Call, trips: Call, trigger: KillTrigger
) -> None:
    assert quiet() is None
    trip = trips()
    assert trip is not None
    assert trip.trigger is trigger
    assert trip.observed > trip.limit or trigger is T.UNEXPLAINED_BALANCE
    assert trip.message


def test_row_25_no_rate_trips_without_trades() -> None:
    assert kill_rules.error_rate(0, 0, LIMITS._replace(minimum_samples=0)) is None
    assert kill_rules.settlement_failures(0, 0, LIMITS._replace(minimum_samples=0)) is None
    assert kill_rules.drawdown(0, 0, 0, LIMITS) is None
    assert kill_rules.memory([], LIMITS._replace(minimum_samples=0)) is None


def test_a_window_forgets_what_is_older_than_it_and_keeps_within_its_capacity() -> None:
    window = Window(100, capacity=4)
    for now_ns, bad in ((0, True), (10, False), (20, True)):
        window.add(now_ns, bad)
    assert window.rate(99) == (2, 3)
    assert window.rate(100) == (1, 2)  # the one at 0 is a whole window old
    for now_ns in range(101, 111):
        window.add(now_ns, True)
    assert window.rate(111) == (4, 4)
    window.clear()
    assert window.rate(111) == (0, 0)


E, X = EndState, ExecutionReason


@pytest.mark.parametrize(
    ("state", "reason", "sample", "error", "settlement"),
    [
        (E.LANDED_OK, X.NONE, True, False, False),
        (E.LANDED_FAILED, X.MINIMUM_OUT, True, True, False),
        (E.EXPIRED, X.BLOCKHASH_EXPIRED, True, True, True),
        (E.UNKNOWN, X.STATUS_UNKNOWN, True, True, True),
        (E.REJECTED, X.SEND_FAILED, True, True, True),
        (E.REJECTED, X.SETTLEMENT_UNREACHABLE, True, True, True),
        (E.REJECTED, X.BUILD_FAILED, True, True, False),
        (E.REJECTED, X.KILLED, False, True, False),
        (E.REJECTED, X.RATE_LIMIT, False, True, False),
        (E.REJECTED, X.HEARTBEAT_LOST, False, True, False),
        (E.UNKNOWN, X.SHUTDOWN, True, True, True),
    ],
)
def test_what_counts_as_an_error(state: E, reason: X, sample: bool, error: bool, settlement: bool) -> None:
    assert kill_rules.is_execution_sample(state, reason) is sample
    assert kill_rules.is_error(state) is error
    assert kill_rules.is_settlement_failure(state, reason) is settlement
