"""Opening the ledger: versions, refusals, secrets, and the spool before it."""

import os
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made_results import expired, failed, result
from postgresql_server import Server
from sqlalchemy import event

from hft.runtime import config as configuration
from hft.runtime.context import Run
from hft.runtime.settings import Auditor, Config
from hft.services.ledger import Booking, Ledger
from hft.services.ledger_place import FILE_NAME, LedgerError, Place, place_of
from hft.services.ledger_reading import profits_of_day, read_rows
from hft.services.spool import FILE_NAME as SPOOL
from hft.services.spool import Spool, Spooled

SECRET = "n0t-t0-be-sh0wn"


def run_in(folder: Path) -> Run:
    return Run(b"r" * 16, folder, "hft", Config(), {}, {})


def open_in(folder: Path) -> None:
    ledger = Ledger(Place(folder / FILE_NAME), run_in(folder))
    try:
        ledger.open()
    finally:
        ledger.close()


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("CREATE TABLE executions (number INTEGER)", "a ledger without a version"),
        ("CREATE TABLE ledger_version (version INTEGER)", "a ledger without a version"),
        (
            "CREATE TABLE ledger_version (version INTEGER); INSERT INTO ledger_version VALUES (7)",
            "a ledger of version 7; this program reads and writes version 1",
        ),
    ],
)
def test_another_version_is_refused_and_left_alone(tmp_path: Path, statement: str, told: str) -> None:
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as other:
        other.executescript(statement)
    before = (tmp_path / FILE_NAME).read_bytes()[100:]
    with pytest.raises(LedgerError, match=told) as caught:
        open_in(tmp_path)
    assert not caught.value.temporary
    assert str(tmp_path / FILE_NAME) in str(caught.value)
    with pytest.raises(LedgerError, match=r"without a version|version 7"):
        profits_of_day(Place(tmp_path / FILE_NAME), 0, "paper")
    assert (tmp_path / FILE_NAME).read_bytes()[100:] == before


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"not a database, and long enough to be read as one" * 100)
    with pytest.raises(LedgerError, match="not a database") as caught:
        open_in(tmp_path)
    assert not caught.value.temporary


def test_a_commit_reaches_the_disk_and_readers_do_not_wait(tmp_path: Path) -> None:
    ledger = Ledger(Place(tmp_path / FILE_NAME), run_in(tmp_path))
    ledger.open()
    with ledger._engine.begin() as connection:
        modes = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")
        ]
        assert modes == ["wal", 2]
        assert profits_of_day(Place(tmp_path / FILE_NAME), 0, "paper") == {}  # beside an open transaction
    ledger.close()


def test_no_statement_of_a_booking_looks_at_the_whole_ledger(tmp_path: Path) -> None:
    """Else each would take longer than the one before."""
    ledger = Ledger(Place(tmp_path / FILE_NAME), run_in(tmp_path))
    ledger.open()
    asked: list[tuple[str, Any]] = []
    event.listen(
        ledger._engine,
        "before_cursor_execute",
        lambda c, cursor, sql, values, ctx, many: asked.append((sql, values)),
    )
    ledger.new([(b"r" * 16, result(number)) for number in range(3)])
    ledger.book([Booking(result(0), 0, 7, b"r" * 16)], 0)
    selects = [(sql, values) for sql, values in asked if sql.startswith("SELECT")]
    assert len(selects) == 2
    with ledger._engine.begin() as connection:
        for sql, values in selects:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values).all()
            assert all("SCAN" not in row[3] for row in plan), plan
    ledger.close()


def dsn_file(folder: Path, text: str, mode: int = 0o600) -> Auditor:
    path = folder / "dsn"
    path.write_text(text)
    path.chmod(mode)
    return Auditor(ledger_dsn_file=str(path))


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o620, 0o601])
def test_row_28_a_dsn_file_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(
        LedgerError, match=f"mode {mode:04o}; a DSN file is its owner's alone: 0600"
    ) as caught:
        place_of(tmp_path, dsn_file(tmp_path, f"postgresql://hft:{SECRET}@db/hft", mode))
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "dsn",
    [f"{SECRET}", f"mysql://hft:{SECRET}@db/hft", f"postgresql://db:{SECRET}/hft", f"postgresql//{SECRET}"],
)
def test_row_28_a_wrong_dsn_is_told_without_showing_it(tmp_path: Path, dsn: str) -> None:
    with pytest.raises(LedgerError, match="the form") as caught:
        place_of(tmp_path, dsn_file(tmp_path, dsn))
    assert SECRET not in str(caught.value)


def test_row_28_a_password_in_the_settings_is_refused_without_showing_it() -> None:
    for dsn in (
        f"postgresql://hft:{SECRET}@db/hft",
        f"postgresql://db/hft?password={SECRET}",
        f"mysql://{SECRET}",
    ):
        with pytest.raises(configuration.ConfigError, match=r"\[service:auditor\] ledger_dsn") as caught:
            configuration.load(None, sets=[f"service:auditor.ledger_dsn={dsn}"])
        assert SECRET not in str(caught.value)
    both = ["service:auditor.ledger_dsn=postgresql://db/hft", "service:auditor.ledger_dsn_file=dsn"]
    with pytest.raises(configuration.ConfigError, match="only one of them"):
        configuration.load(None, sets=both)


def test_row_28_the_password_is_in_no_text(tmp_path: Path, postgresql: Server) -> None:
    settings = dsn_file(tmp_path, postgresql.dsn("no_such_database", SECRET) + "\n")
    place = place_of(tmp_path, settings)
    assert place.url is not None
    assert place.url.password == SECRET
    ledger = Ledger(place, run_in(tmp_path))
    with pytest.raises(LedgerError, match='database "no_such_database" does not exist') as caught:
        ledger.open()
    ledger.close()
    run = replace(run_in(tmp_path), config=replace(Config(), auditor=settings))
    for text in (str(caught.value), str(place), repr(place), run.to_json(), repr(ledger._engine)):
        assert SECRET not in text


def test_nobody_listening_is_told_as_temporary(tmp_path: Path) -> None:
    settings = dsn_file(tmp_path, f"postgresql://hft:{SECRET}@127.0.0.1:1/hft")
    with pytest.raises(LedgerError, match="onnection refused") as caught:
        profits_of_day(place_of(tmp_path, settings), 0, "paper")
    assert caught.value.temporary
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("what", ["trades", "legs", "days"])
def test_both_databases_give_the_same_rows(tmp_path: Path, postgresql: Server, what: str) -> None:
    booked = [Booking(each, 5, 7, b"r" * 16) for each in (result(0), failed(1), expired(2))]
    found = []
    for place in (Place(tmp_path / FILE_NAME), place_of(tmp_path, Auditor(ledger_dsn=postgresql.database()))):
        with pytest.raises(LedgerError, match="there is no ledger"):
            next(read_rows(place, what, 0, 8))
        ledger = Ledger(place, run_in(tmp_path))
        ledger.open()
        ledger.book(booked, 0)
        ledger.close()
        found.append(list(read_rows(place, what, 7, 8)))
        assert list(read_rows(place, what, 8, 9)) == []
    assert found[0] == found[1]
    assert len(found[0]) == {"trades": 3, "legs": 9, "days": 1}[what]
    assert {type(value) for row in found[0] for value in row} <= {int, str, bytes}


ONE = Spooled(b"r" * 16, 17, b"a message")
TWO = Spooled(b"s" * 16, -18, b"")


def test_the_spool_gives_back_what_it_took(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append(ONE)
    spool.append(TWO)
    spool.close()
    assert (tmp_path / SPOOL).stat().st_mode & 0o777 == 0o600
    again = Spool(tmp_path)
    assert (again.load(), again.cut_bytes) == ([ONE, TWO], 0)
    again.append(ONE)
    again.flush()
    again.close()
    last = Spool(tmp_path)
    assert last.load() == [ONE, TWO, ONE]
    last.clear()
    last.close()
    assert Spool(tmp_path).load() == []


@pytest.mark.parametrize("cut", range(1, 50))
def test_row_33_a_torn_tail_of_the_spool_is_cut_and_counted(tmp_path: Path, cut: int) -> None:
    spool = Spool(tmp_path)
    spool.append(ONE)
    spool.append(ONE)
    spool.close()
    whole = (tmp_path / SPOOL).stat().st_size
    os.truncate(tmp_path / SPOOL, whole - cut)
    again = Spool(tmp_path)
    found = again.load()
    left = (whole - cut) // (whole // 2)
    assert (found, again.cut_bytes) == ([ONE] * left, whole - cut - left * (whole // 2))
    again.append(TWO)
    again.close()
    assert Spool(tmp_path).load() == [*[ONE] * left, TWO]


@contextmanager
def disk_of(size: int) -> Iterator[None]:
    """Files of this process can grow no larger."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_row_32_a_disk_that_is_full_leaves_no_half_message(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append(ONE)
    with disk_of((tmp_path / SPOOL).stat().st_size + 5), pytest.raises(OSError, match=r"space|large"):
        spool.append(ONE)
    spool.append(TWO)
    spool.close()
    assert Spool(tmp_path).load() == [ONE, TWO]
