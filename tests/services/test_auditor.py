"""The auditor and its ledger: every lamport once, in order, for ever."""

import gc
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy
from made_results import START, expired, failed, result
from postgresql_server import Server
from service_support import House, settings
from sqlalchemy.exc import DBAPIError

from hft import wire
from hft.services import auditor, ledger_place, spool
from hft.services.ledger import Booking, Ledger, trade_of
from hft.services.ledger_place import engine_of, place_of
from hft.services.ledger_reading import profits_of_day
from hft.services.money import pnl_message
from hft.strategy.pnl import DAY_NS, Accounts
from hft.wire import ExecutionResult
from hft.wire.enums import EndState, ExecutionReason

Make = Callable[..., House]


def offer(run: House, *found: ExecutionResult) -> None:
    for each in found:
        message = bytearray(wire.execution_result.size)
        wire.execution_result.encode_into(message, *each)
        assert run.writer("executed").offer(bytes(message))


@contextmanager
def locked(run: House) -> Iterator[None]:
    """Another program holds the ledger's file."""
    other = sqlite3.connect(run.run.state_dir / ledger_place.FILE_NAME, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        other.execute("COMMIT")
        other.close()


def rows(run: House, query: str) -> list[tuple[Any, ...]]:
    engine = engine_of(place_of(run.run.state_dir, run.run.config.auditor))
    try:
        with engine.begin() as connection:
            found = connection.execute(sqlalchemy.text(query))
            return [tuple(row) for row in found] if found.returns_rows else []
    finally:
        engine.dispose()


def test_row_30_and_31_every_movement_is_booked_and_adds_up_to_the_profit(books: Make) -> None:
    run = books()
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
    in_lamports = rows(
        run, "SELECT SUM(amount) FROM entries WHERE kind NOT IN ('quote_dust', 'deposit', 'withdrawal')"
    )
    assert in_lamports == [(8_000 - 5_100,)]
    ends = rows(run, "SELECT end_state, reason, actual_profit_lamports FROM executions ORDER BY number")
    assert ends == [
        ("landed_ok", "none", 8_000),
        ("landed_failed", "minimum_out", -5_100),
        ("expired", "none", 0),
    ]


def test_metrics_follow_each_result(books: Make) -> None:
    run = books()
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


def test_row_14_a_result_delivered_twice_is_booked_once(books: Make) -> None:
    run = books()
    run.open("auditor")
    offer(run, result(0), result(0), result(1), result(0))
    offer(run, result(0, plan_id=b"another plan----"))  # the same transaction under another name
    run.until(lambda: run.count("auditor", "in_executed") == 5)
    assert run.count("auditor", "dropped_duplicate") == 3
    assert run.count("auditor", "out_metrics") == 2
    assert run.signed("auditor", "pnl_lamports") == 16_000


def test_row_15_an_unknown_end_is_followed_by_the_known_one(books: Make) -> None:
    run = books()
    run.open("auditor")
    known = result(3)
    unknown = expired(3)._replace(end_state=EndState.UNKNOWN, reason=ExecutionReason.SHUTDOWN)
    offer(run, unknown, known, known, unknown)
    run.until(lambda: run.count("auditor", "in_executed") == 4)
    assert run.count("auditor", "dropped_duplicate") == 2
    assert run.signed("auditor", "pnl_lamports") == 8_000
    query = "SELECT end_state, actual_profit_lamports FROM executions ORDER BY number"
    assert rows(run, query) == [("unknown", 0), ("landed_ok", 8_000)]
    assert rows(run, "SELECT SUM(amount) FROM entries WHERE kind != 'quote_dust'") == [(8_000,)]


def test_row_29_a_restart_takes_up_the_totals_and_a_redelivery_changes_nothing(books: Make) -> None:
    run = books()
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


def test_row_31_an_outside_deposit_is_booked_apart(books: Make) -> None:
    run = books()
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
    assert rows(run, "SELECT amount FROM entries WHERE kind = 'deposit'") == [(777,)]


def test_row_32_a_ledger_that_can_not_be_written_loses_nothing(house: Make) -> None:
    run = house()
    run.open("auditor")
    with locked(run):
        offer(run, *(result(number) for number in range(100)))
        run.until(lambda: run.count("auditor", "ledger_errors") > 0)
        run.until(lambda: run.count("auditor", "in_executed") == 100)
        assert run.services["auditor"].pending() == 100
        assert run.count("auditor", "out_metrics") == 0
    run.until(lambda: run.count("auditor", "out_metrics") == 100)
    assert run.signed("auditor", "pnl_lamports") == 800_000
    assert run.services["auditor"].pending() == 0


def test_corrupt_results_are_counted(books: Make) -> None:
    run = books()
    run.open("auditor")
    for broken in (b"\x00" * 30, b"\xff" * wire.execution_result.size, b"HFER"):
        assert run.writer("executed").offer(broken)
        assert run.writer("planned").offer(broken[:512])
    offer(run, result(0))
    run.until(lambda: run.count("auditor", "out_metrics") == 1)
    assert run.count("auditor", "dropped_corrupt") == 3
    assert run.count("auditor", "in_planned") == 3


def test_nothing_in_the_ledger_can_be_changed(books: Make) -> None:
    run = books()
    run.open("auditor")
    offer(run, result(0))
    run.until(lambda: run.count("auditor", "out_metrics") == 1)
    for table in ("executions", "entries"):
        before = rows(run, f"SELECT * FROM {table}")
        for verb in (f"DELETE FROM {table}", f"UPDATE {table} SET chain = plan_id"):
            with pytest.raises(DBAPIError, match="append-only"):
                rows(run, verb)
        assert rows(run, f"SELECT * FROM {table}") == before != []


@pytest.mark.parametrize("table", ["executions", "entries"])
def test_nothing_can_be_replaced_either(house: Make, table: str) -> None:
    run = house()
    run.open("auditor")
    offer(run, result(0))
    run.until(lambda: run.count("auditor", "out_metrics") == 1)
    with pytest.raises(DBAPIError, match="append-only"):
        rows(run, f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}")


def test_a_replay_of_the_ledger_gives_the_same_totals(books: Make) -> None:
    run = books()
    run.open("auditor")
    offer(run, result(0), failed(1), expired(2), result(3))
    run.until(lambda: run.count("auditor", "out_metrics") == 4)
    live = run.services["auditor"]._accounts
    place = place_of(run.run.state_dir, run.run.config.auditor)
    opened = Ledger(place, run.run)
    assert opened.open() == live
    opened.close()
    other = Ledger(place, replace(run.run, run_id=b"another run-----"))
    assert other.open() == Accounts()  # each run of the cluster has a wallet of its own
    other.close()


def test_row_25_the_days_profit_comes_from_the_ledger(books: Make) -> None:
    run = books()
    place = place_of(run.run.state_dir, run.run.config.auditor)
    assert profits_of_day(place, run.clock.unix_ns(), "paper") == {}
    run.open("auditor")
    offer(run, failed(0))
    run.until(lambda: run.count("auditor", "out_metrics") == 1)
    now_ns = run.clock.unix_ns()
    assert profits_of_day(place, now_ns, "paper") == {1: -5_100}
    assert profits_of_day(place, now_ns, "live") == {}  # paper profits never make room for live losses
    assert profits_of_day(place, now_ns + DAY_NS, "paper") == {}


def test_row_29_results_taken_from_the_ring_and_not_booked_survive_a_crash(house: Make) -> None:
    run = house()
    run.open("auditor")
    with locked(run):
        offer(run, *(result(number) for number in range(10)))
        run.until(lambda: run.count("auditor", "in_executed") == 10)
        run.crash("auditor")
    run.open("auditor")
    run.until(lambda: run.count("auditor", "out_metrics") == 10)
    assert run.signed("auditor", "pnl_lamports") == 80_000
    assert run.count("auditor", "recovered_results") == 10
    run.cycle()
    assert (run.run.state_dir / spool.FILE_NAME).stat().st_size == 0


def test_row_29_what_was_booked_and_not_told_is_told_once(books: Make) -> None:
    run = books()
    place = place_of(run.run.state_dir, run.run.config.auditor)
    accounts = Accounts().book(1, trade_of(result(0)))
    message = pnl_message(b"t" * 16, 0, 1, accounts, 1, 1)
    opened = Ledger(place, run.run)
    opened.open()
    opened.book([Booking(result(0), 0, 1, run.run.run_id, 0, message)], 0)
    opened.close()  # the process ends here
    for _ in range(2):
        run.open("auditor")
        run.cycle()
        assert run.count("auditor", "out_metrics") == 1
        assert run.signed("auditor", "pnl_lamports") == 8_000
        run.crash("auditor")
    assert run.reader("metrics").take_batch(10) == [message]


def test_row_29_what_an_earlier_run_left_is_booked_to_that_run(house: Make) -> None:
    run = house()
    earlier = b"an earlier run--"
    message = bytearray(wire.execution_result.size)
    wire.execution_result.encode_into(message, *result(7))
    left = spool.Spool(run.run.state_dir)
    left.append(spool.Spooled(earlier, 5, bytes(message)))
    left.close()
    run.open("auditor")
    run.until(lambda: run.count("auditor", "booked_results") == 1)
    assert rows(run, "SELECT run_id, recorded_unix_ns FROM executions") == [(earlier, 5)]
    assert run.signed("auditor", "pnl_lamports") == 0
    assert run.count("auditor", "out_metrics") == 0


def test_row_32_a_full_spool_leaves_the_rest_on_the_link(
    house: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditor, "SPOOL_LIMIT", 100)
    run = house()
    run.open("auditor")
    with locked(run):
        offer(run, *(result(number) for number in range(1_024)))
        run.until(lambda: run.count("auditor", "spool_full_cycles") > 0)
        assert run.count("auditor", "in_executed") == 100
        offer(run, *(result(number) for number in range(1_024, 1_124)))
        assert run.writer("executed").claim(8) is None  # the executor waits: no more trades
    run.until(lambda: run.count("auditor", "out_metrics") == 1_124)
    assert run.signed("auditor", "pnl_lamports") == 1_124 * 8_000


def test_row_32_a_database_server_that_goes_away_and_comes_back(house: Make, postgresql: Server) -> None:
    run = house(settings(auditor={"ledger_dsn": postgresql.database()}))
    run.open("auditor")
    offer(run, result(0))
    run.until(lambda: run.count("auditor", "out_metrics") == 1)
    postgresql.stop()
    try:
        offer(run, result(1), result(2))
        run.until(lambda: run.count("auditor", "ledger_errors") > 0)
        run.crash("auditor")
        run.open("auditor")  # a restart while it is away waits too
        offer(run, result(3), result(1))
        run.until(lambda: run.count("auditor", "in_executed") == 5)
        assert run.count("auditor", "booked_results") == 1
    finally:
        postgresql.start()
    run.until(lambda: run.count("auditor", "out_metrics") == 4)
    assert run.signed("auditor", "pnl_lamports") == 4 * 8_000
    assert run.count("auditor", "dropped_duplicate") == 1
    assert rows(run, "SELECT COUNT(*), COUNT(DISTINCT plan_id) FROM executions") == [(4, 4)]


def test_a_booking_leaves_nothing_to_the_garbage_collector(books: Make) -> None:
    run = books()
    run.open("auditor")
    make = (result, failed, expired)

    def book(first: int, count: int) -> None:
        for number in range(first, first + count):
            offer(run, make[number % 3](number))
            run.until(lambda: run.count("auditor", "out_metrics") == number + 1)  # noqa: B023

    book(0, 64)  # what is made once
    gc.collect()
    gc.disable()
    try:
        book(64, 64)
        assert gc.collect() < 64, "less than one a booking: other threads make some of their own"
    finally:
        gc.enable()


def test_amounts_beyond_63_bits(books: Make) -> None:
    """Lamports: there are not so many, the result is corrupt. A token's base units: several rows, exact."""
    run = books()
    run.open("auditor")
    most = (1 << 64) - 1
    offer(run, result(0, quote_token_after=most), result(1, lamports_after=most), failed(2))
    run.until(lambda: run.count("auditor", "in_executed") == 3)
    run.until(lambda: run.count("auditor", "out_metrics") == 2)
    assert run.count("auditor", "dropped_corrupt") == 1
    dust = rows(run, "SELECT leg, amount FROM entries WHERE kind = 'quote_dust' ORDER BY leg")
    assert [leg for leg, _ in dust] == [5, 21, 37]
    assert sum(amount for _, amount in dust) == most
