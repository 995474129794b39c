"""The auditor and its ledger: every lamport once, in order, for ever."""

import sqlite3
from collections.abc import Callable
from typing import Any

import pytest
from service_support import House

from hft import wire
from hft.services import ledger
from hft.services.ledger import Ledger, profit_of_day
from hft.strategy.pnl import Totals
from hft.wire import ExecutionResult
from hft.wire.enums import EndState, ExecutionReason

Make = Callable[..., House]
START = 200 * 10**9


def result(number: int, **changes: Any) -> ExecutionResult:
    """One landed trade: 8,000 lamports of profit after 5,100 of fees and a tip of 2,000."""
    values: dict[str, Any] = {}
    for field in wire.execution_result.layout.fields:
        values[field.name] = bytes(field.bytes) if field.code.endswith("s") else 0
    before = START + 8_000 * number
    values |= {
        "plan_id": number.to_bytes(16, "big"),
        "signature": number.to_bytes(64, "big"),
        "trace_id": b"t" * 16,
        "sequence": number,
        "slot": 100 + number,
        "strategy": 1,
        "end_state": EndState.LANDED_OK,
        "expected_profit_lamports": 9_000,
        "actual_profit_lamports": 8_000,
        "base_fee_lamports": 5_000,
        "priority_fee_lamports": 100,
        "tip_lamports": 2_000,
        "lamports_before": before - 10**9,
        "lamports_after": before - 10**9 - 7_100,
        "base_token_before": 10**9,
        "base_token_after": 10**9 + 15_100,
        "quote_token_after": 3,
    }
    return ExecutionResult(**(values | changes))


def failed(number: int) -> ExecutionResult:
    """A trade that landed and failed: its fees are gone, its tip was rolled back."""
    sound = result(number)
    return sound._replace(
        end_state=EndState.LANDED_FAILED,
        reason=ExecutionReason.MINIMUM_OUT,
        actual_profit_lamports=-5_100,
        tip_lamports=0,
        lamports_after=sound.lamports_before - 5_100,
        base_token_after=sound.base_token_before,
        quote_token_after=0,
    )


def expired(number: int) -> ExecutionResult:
    """A trade that never landed."""
    nothing = dict.fromkeys(
        name for name in ExecutionResult._fields if "lamports" in name or "_token_" in name
    )
    return result(number)._replace(**dict.fromkeys(nothing, 0), end_state=EndState.EXPIRED, slot=0)


def offer(run: House, *found: ExecutionResult) -> None:
    for each in found:
        message = bytearray(wire.execution_result.size)
        wire.execution_result.encode_into(message, *each)
        assert run.writer("executed").offer(bytes(message))


def rows(run: House, query: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(run.run.state_dir / ledger.FILE_NAME) as connection:
        return connection.execute(query).fetchall()


def test_row_30_and_31_every_movement_is_booked_and_adds_up_to_the_profit(house: Make) -> None:
    run = house()
    run.open("auditor")
    offer(run, result(0), failed(1), expired(2))
    run.until(lambda: run.count("auditor", "out_metrics") == 3)
    assert run.signed("auditor", "pnl_lamports") == 8_000 - 5_100
    assert run.count("auditor", "fees_lamports") == 10_200
    assert run.count("auditor", "tips_lamports") == 2_000
    assert run.count("auditor", "drawdown_lamports") == 5_100
    legs = rows(run, "SELECT kind, amount FROM entries ORDER BY plan_id, leg")
    assert legs == [
        ("swaps", 15_100),
        ("base_fee", -5_000),
        ("priority_fee", -100),
        ("tip", -2_000),
        ("quote_dust", 3),
        ("base_fee", -5_000),
        ("priority_fee", -100),
    ]
    in_lamports = rows(run, "SELECT SUM(amount) FROM entries WHERE kind NOT IN ('quote_dust', 'unexplained')")
    assert in_lamports == [(8_000 - 5_100,)]
    ends = rows(run, "SELECT end_state, reason, actual_profit_lamports FROM executions ORDER BY number")
    assert ends == [
        ("landed_ok", "none", 8_000),
        ("landed_failed", "minimum_out", -5_100),
        ("expired", "none", 0),
    ]


def test_metrics_follow_each_result(house: Make) -> None:
    run = house()
    run.open("auditor")
    offer(run, result(0), failed(1))
    run.until(lambda: run.count("auditor", "out_metrics") == 2)
    first, second = (wire.pnl_metric.decode(m) for m in run.reader("metrics").take_batch(10))
    assert (first.trades, first.wins, first.pnl_lamports, first.win_rate_ppm) == (1, 1, 8_000, 1_000_000)
    assert (second.trades, second.losses, second.pnl_lamports, second.peak_pnl_lamports) == (
        2,
        1,
        2_900,
        8_000,
    )
    assert second.drawdown_lamports == 5_100
    assert second.wallet_lamports == START + 8_000 - 5_100
    assert second.expected_pnl_lamports == 18_000
    assert second.trace_id == b"t" * 16


def test_row_14_a_result_delivered_twice_is_booked_once(house: Make) -> None:
    run = house()
    run.open("auditor")
    offer(run, result(0), result(0), result(1), result(0))
    offer(run, result(0, plan_id=b"another plan----"))  # the same transaction under another name
    run.until(lambda: run.count("auditor", "in_executed") == 5)
    assert run.count("auditor", "dropped_duplicate") == 3
    assert run.count("auditor", "out_metrics") == 2
    assert run.signed("auditor", "pnl_lamports") == 16_000


def test_row_29_a_restart_takes_up_the_totals_and_a_redelivery_changes_nothing(house: Make) -> None:
    run = house()
    run.open("auditor")
    offer(run, result(0), failed(1))
    run.until(lambda: run.count("auditor", "out_metrics") == 2)
    run.crash("auditor")
    offer(run, failed(1), result(2))
    run.open("auditor")
    assert run.signed("auditor", "pnl_lamports") == 2_900
    run.until(lambda: run.count("auditor", "out_metrics") == 3)
    assert run.signed("auditor", "pnl_lamports") == 10_900
    assert run.count("auditor", "trades") == 3
    assert run.count("auditor", "dropped_duplicate") == 1


def test_row_31_an_outside_deposit_is_booked_apart(house: Make) -> None:
    run = house()
    run.open("auditor")
    later = result(1)
    offer(
        run,
        result(0),
        later._replace(
            lamports_before=later.lamports_before + 777, lamports_after=later.lamports_after + 777
        ),
    )
    run.until(lambda: run.count("auditor", "out_metrics") == 2)
    assert run.signed("auditor", "unexplained_lamports") == 777
    assert run.signed("auditor", "pnl_lamports") == 16_000
    assert rows(run, "SELECT amount FROM entries WHERE kind = 'unexplained'") == [(777,)]


def test_row_32_a_ledger_that_can_not_be_written_loses_nothing(house: Make) -> None:
    run = house()
    run.open("auditor")
    other = sqlite3.connect(run.run.state_dir / ledger.FILE_NAME, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    offer(run, *(result(number) for number in range(100)))
    run.until(lambda: run.count("auditor", "ledger_errors") > 0)
    run.cycle()
    assert run.services["auditor"].pending() == 64  # bounded: the rest waits on the link
    assert run.count("auditor", "out_metrics") == 0
    other.execute("COMMIT")
    other.close()
    run.until(lambda: run.count("auditor", "out_metrics") == 100)
    assert run.signed("auditor", "pnl_lamports") == 800_000
    assert run.services["auditor"].pending() == 0


def test_corrupt_results_are_counted(house: Make) -> None:
    run = house()
    run.open("auditor")
    for broken in (b"\x00" * 30, b"\xff" * wire.execution_result.size, b"HFER"):
        assert run.writer("executed").offer(broken)
        assert run.writer("planned").offer(broken[:512])
    offer(run, result(0))
    run.until(lambda: run.count("auditor", "out_metrics") == 1)
    assert run.count("auditor", "dropped_corrupt") == 3
    assert run.count("auditor", "in_planned") == 3


@pytest.mark.parametrize("table", ["executions", "entries"])
@pytest.mark.parametrize("verb", ["DELETE FROM {0}", "UPDATE {0} SET plan_id = x'00'"])
def test_nothing_in_the_ledger_can_be_changed(house: Make, table: str, verb: str) -> None:
    run = house()
    run.open("auditor")
    offer(run, result(0))
    run.until(lambda: run.count("auditor", "out_metrics") == 1)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        rows(run, verb.format(table))


def test_a_replay_of_the_ledger_gives_the_same_totals(house: Make) -> None:
    run = house()
    run.open("auditor")
    offer(run, result(0), failed(1), expired(2), result(3))
    run.until(lambda: run.count("auditor", "out_metrics") == 4)
    live = run.services["auditor"]._totals
    opened = Ledger(run.run.state_dir, run.run.run_id)
    assert opened.totals() == live
    opened.close()
    other = Ledger(run.run.state_dir, b"another run-----")
    assert other.totals() == Totals()  # each run of the cluster has a wallet of its own
    other.close()


def test_row_25_the_days_profit_comes_from_the_ledger(house: Make) -> None:
    run = house()
    assert profit_of_day(run.run.state_dir, run.clock.unix_ns()) == 0
    run.open("auditor")
    offer(run, failed(0))
    run.until(lambda: run.count("auditor", "out_metrics") == 1)
    now_ns = run.clock.unix_ns()
    assert profit_of_day(run.run.state_dir, now_ns) == -5_100
    assert profit_of_day(run.run.state_dir, now_ns + ledger.DAY_NS) == 0
