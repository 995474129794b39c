"""The pre-trade gate: what nothing may pass by."""

import pytest

from hft.strategy.gate import (
    CEILINGS,
    MINUTE_NS,
    DayProfit,
    GateLimits,
    GateState,
    StrategyLimits,
    StrategyState,
    TradeWindow,
    bounded,
    check,
    check_strategy,
)
from hft.wire import ExecutionPlan
from hft.wire.enums import ExecutionReason as R

LIMITS = GateLimits(
    maximum_size_lamports=10_000_000_000,
    maximum_open_plans=3,
    maximum_trades_per_minute=10,
    maximum_daily_loss_lamports=1_000_000,
    maximum_tip_lamports=50_000,
    maximum_fee_lamports=6_000,
    minimum_wallet_lamports=100_000_000,
    manager_heartbeat_limit_ns=5_000_000_000,
)
PLAN = ExecutionPlan._make([0] * len(ExecutionPlan._fields))._replace(
    expires_ns=2_000,
    amount_in=1_000_000_000,
    amount_mid=900,
    minimum_out=1_000_010_000,
    base_fee_lamports=5_000,
    priority_fee_lamports=500,
    tip_lamports=4_500,
)
STATE = GateState(
    killed=False,
    manager_heartbeat_age_ns=1_000,
    now_ns=1_000,
    open_plans=0,
    trades_last_minute=0,
    day_profit_lamports=0,
    wallet_lamports=1_000_000_000,
    base_token_free=5_000_000_000,
)


def test_a_plan_within_all_limits_passes() -> None:
    assert check(PLAN, LIMITS, STATE) is None


PLAN_CASES = [
    ("expires_ns", 1_001, 1_000, R.PLAN_EXPIRED),
    ("amount_in", 1_000_000_000, 1_000_000_001, R.MINIMUM_OUT),  # what may be lost if the minimum is just met
    ("amount_in", 1, 0, R.SIZE_LIMIT),
    ("amount_mid", 1, 0, R.MINIMUM_OUT),
    ("minimum_out", 1_000_010_000, 1_000_009_999, R.MINIMUM_OUT),
    ("priority_fee_lamports", 500, 1_001, R.FEE_CAP),
    ("tip_lamports", 4_500, 50_001, R.TIP_CAP),
]


@pytest.mark.parametrize(("field", "passes", "refused", "reason"), PLAN_CASES)
def test_limits_of_the_plan(field: str, passes: int, refused: int, reason: R) -> None:
    assert check(PLAN._replace(**{field: passes}), LIMITS, STATE) is None
    refusal = check(PLAN._replace(**{field: refused}), LIMITS, STATE)
    assert refusal is not None
    assert refusal.reason is reason


@pytest.mark.parametrize(
    ("received_ns", "slot", "void"),
    [(700, 50, True), (700, 49, False), (700, 99, True), (701, 50, False)],
)
def test_row_06_a_plan_is_void_if_it_came_of_news_before_the_revert_and_may_rest_on_a_slot_of_it(
    received_ns: int, slot: int, void: bool
) -> None:
    reverted = STATE._replace(revert_ns=700, revert_slot=50)
    refusal = check(PLAN._replace(received_ns=received_ns, slot=slot), LIMITS, reverted)
    assert refusal == ((R.FORK_REVERTED, slot, 50) if void else None)


def test_row_06_no_fork_was_ever_lost_and_nothing_is_void() -> None:
    assert check(PLAN._replace(received_ns=5, slot=99), LIMITS, STATE) is None


def test_row_25_size_exactly_at_the_limit_passes_and_one_above_is_refused() -> None:
    rich = STATE._replace(base_token_free=10**12)
    at = PLAN._replace(amount_in=10_000_000_000, minimum_out=10_000_010_000)
    assert check(at, LIMITS, rich) is None
    above = at._replace(amount_in=10_000_000_001, minimum_out=10**12)
    assert check(above, LIMITS, rich) == (R.SIZE_LIMIT, 10_000_000_001, 10_000_000_000)


STATE_CASES = [
    ("killed", False, True, R.KILLED),
    ("manager_heartbeat_age_ns", 5_000_000_000, 5_000_000_001, R.HEARTBEAT_LOST),
    ("manager_heartbeat_age_ns", 0, None, R.HEARTBEAT_LOST),
    ("journal_full", False, True, R.JOURNAL_FULL),
    ("now_ns", 1_999, 2_000, R.PLAN_EXPIRED),
    ("open_plans", 2, 3, R.OPEN_PLANS_LIMIT),
    ("trades_last_minute", 9, 10, R.RATE_LIMIT),
    ("day_profit_lamports", -999_999, -1_000_000, R.DAILY_LOSS),
    ("wallet_lamports", 100_010_000, 100_009_999, R.WALLET_BALANCE),
    ("wallet_lamports", 100_010_000, None, R.WALLET_BALANCE),
    ("base_token_free", 1_000_000_000, 999_999_999, R.WALLET_BALANCE),
    ("base_token_free", 1_000_000_000, None, R.WALLET_BALANCE),
]


@pytest.mark.parametrize(("field", "passes", "refused", "reason"), STATE_CASES)
def test_row_25_and_27_limits_of_the_state(field: str, passes: int, refused: int | None, reason: R) -> None:
    assert check(PLAN, LIMITS, STATE._replace(**{field: passes})) is None
    refusal = check(PLAN, LIMITS, STATE._replace(**{field: refused}))
    assert refusal is not None
    assert refusal.reason is reason


def test_the_kill_comes_before_everything_else() -> None:
    state = STATE._replace(killed=True, manager_heartbeat_age_ns=None, wallet_lamports=None, open_plans=99)
    refusal = check(PLAN._replace(amount_in=0), LIMITS, state)
    assert refusal is not None
    assert refusal.reason is R.KILLED


def test_no_setting_bypasses_the_ceilings() -> None:
    huge = GateLimits(*[2**63] * 8)._replace(minimum_wallet_lamports=0)
    limits = bounded(huge)
    assert limits == CEILINGS
    assert bounded(LIMITS) == LIMITS
    nothing = bounded(GateLimits(*[-1] * 8))
    assert set(nothing._replace(minimum_wallet_lamports=0)) == {0}
    assert nothing.minimum_wallet_lamports == CEILINGS.minimum_wallet_lamports
    refusal = check(PLAN, nothing, STATE._replace(manager_heartbeat_age_ns=0))
    assert refusal is not None  # zero lets nothing through; it does not mean "no limit"


def test_row_24_a_burst_of_10_000_meets_the_throttle() -> None:
    window = TradeWindow(10)
    sent = 0
    for n in range(10_000):
        now_ns = n * 1_000
        if (
            check(
                PLAN._replace(expires_ns=10**12),
                LIMITS,
                STATE._replace(trades_last_minute=window.count(now_ns)),
            )
            is None
        ):
            window.add(now_ns)
            sent += 1
    assert sent == 10
    assert window.count(MINUTE_NS - 1) == 10
    assert window.count(MINUTE_NS) == 9  # the first has just left the minute


def test_the_day_begins_at_utc_midnight_and_a_clock_that_goes_back_forgets_nothing() -> None:
    day = DayProfit.DAY_NS
    profit = DayProfit(3, -500)
    profit.add(3 * day + 5, -100)
    assert profit.value(4 * day - 1) == -600
    assert profit.value(2 * day) == -600
    assert profit.value(4 * day) == 0
    profit.add(4 * day + 1, 40)
    assert profit.value(4 * day + 2) == 40


OWN = StrategyLimits(1_000, 3, 5, 700)
IDLE = StrategyState(0, 0, 0)


@pytest.mark.parametrize(
    ("amount", "changes", "reason"),
    [
        (1_000, {}, None),
        (1_001, {}, R.SIZE_LIMIT),
        (1, {"open_plans": 2}, None),
        (1, {"open_plans": 3}, R.OPEN_PLANS_LIMIT),
        (1, {"trades_last_minute": 4}, None),
        (1, {"trades_last_minute": 5}, R.RATE_LIMIT),
        (1, {"day_profit_lamports": -699}, None),
        (1, {"day_profit_lamports": -700}, R.DAILY_LOSS),
        (1, {"day_profit_lamports": -701}, R.DAILY_LOSS),
    ],
)
def test_row_25_a_strategys_own_limits_below_at_and_above(
    amount: int, changes: dict[str, int], reason: R | None
) -> None:
    found = check_strategy(amount, OWN, IDLE._replace(**changes))
    assert (None if found is None else found.reason) == reason
