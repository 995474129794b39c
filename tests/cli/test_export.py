"""What comes out of the ledger: every row once, exact, in columns whose order stays."""

import csv
import json
import statistics
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hft.cli.export import moment, utc
from hft.cli.main import application, run
from hft.runtime.context import Run
from hft.runtime.exit_codes import ExitCode, HftError
from hft.runtime.settings import Config
from hft.services.ledger import Booking, Ledger
from hft.services.ledger_place import FILE_NAME, Place, place_of
from hft.services.ledger_reading import ROWS_AT_ONCE, read_rows
from hft.wire import ExecutionResult, base58
from tests.services.made_results import expired, failed, result

RUN = b"the run's id...."
DAY_NS = 86_400 * 10**9
NOON_NS = 1_782_907_200 * 10**9  # 2026-07-01T12:00:00Z
HEADER = (
    "recorded_utc,recorded_unix_ns,run_id,mode,strategy,plan_id,trace_id,signature,slot,end_state,reason,error_code,"
    "error_index,venue_1,venue_2,pool_1,pool_2,base_mint,quote_mint,amount_in,expected_profit_lamports,"
    "actual_profit_lamports,base_fee_lamports,priority_fee_lamports,tip_lamports,rent_lamports,compute_units,"
    "wallet_before_lamports,wallet_after_lamports,detail"
)
Make = Callable[..., Path]


def book(folder: Path, *booked: tuple[ExecutionResult, int]) -> None:
    made = Run(RUN, folder, "hft", Config(), {}, {})
    ledger = Ledger(place_of(folder, made.config.auditor), made)
    ledger.open()
    ledger.book([Booking(each, 0, unix_ns, RUN) for each, unix_ns in booked], 0)
    ledger.close()


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """Three days, one plan each."""
    odd = result(0, amount_in=(1 << 63) - 1, venue_1=3, venue_2=1)
    lost = failed(1)._replace(detail=b'a "quoted", odd\nword')
    book(tmp_path, (odd, NOON_NS), (lost, NOON_NS + DAY_NS + 1), (expired(2), NOON_NS + 2 * DAY_NS))
    return tmp_path


def exported(folder: Path, *arguments: str) -> str:
    done = CliRunner().invoke(application(["export"]), ["export", "--state-dir", str(folder), *arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_csv_has_every_plan_once_and_exact(three: Path) -> None:
    text = exported(three)
    assert text.splitlines()[0] == HEADER
    first, second, third = csv.DictReader(text.splitlines(keepends=True))
    assert first["recorded_utc"] == "2026-07-01T12:00:00.000000000Z"
    assert first["amount_in"] == "9223372036854775807"
    assert (first["venue_1"], first["venue_2"], first["end_state"]) == (
        "raydium_cpmm",
        "whirlpool",
        "landed_ok",
    )
    assert first["run_id"] == RUN.hex()
    assert second["recorded_unix_ns"] == str(NOON_NS + DAY_NS + 1)
    assert (second["actual_profit_lamports"], second["reason"]) == ("-5100", "minimum_out")
    assert second["detail"] == 'a "quoted", odd\nword'
    assert second["signature"] == base58((1).to_bytes(64, "big"))
    assert third["end_state"] == "expired"


def test_json_is_one_array_of_the_same(three: Path) -> None:
    rows = json.loads(exported(three, "--format", "json"))
    assert [list(row) for row in rows] == [HEADER.split(",")] * 3
    assert rows[0]["amount_in"] == (1 << 63) - 1
    assert rows[1]["actual_profit_lamports"] == -5_100
    assert json.loads(exported(three, "--format", "json", "--to", "1")) == []


def test_legs_add_up_to_the_profit_of_their_plan(three: Path) -> None:
    trades = json.loads(exported(three, "--format", "json"))
    legs = json.loads(exported(three, "--what", "legs", "--format", "json"))
    assert ",".join(legs[0]) == (
        "recorded_utc,recorded_unix_ns,run_id,mode,strategy,plan_id,signature,leg,kind,mint,amount"
    )
    for trade in trades:
        moved = [
            leg["amount"]
            for leg in legs
            if leg["plan_id"] == trade["plan_id"] and leg["kind"] != "quote_dust"
        ]
        assert sum(moved) == trade["actual_profit_lamports"]


def test_days_add_up_what_was_booked_on_each(three: Path) -> None:
    trades = json.loads(exported(three, "--format", "json"))
    days = json.loads(exported(three, "--what", "days", "--format", "json"))
    assert [day["recorded_utc"][:19] for day in days] == [f"2026-07-0{n}T00:00:00" for n in (1, 2, 3)]
    assert [(day["trades"], day["landed"]) for day in days] == [(1, 1), (1, 1), (1, 0)]
    for name in ("actual_profit_lamports", "base_fee_lamports", "tip_lamports"):
        assert [day[name] for day in days] == [trade[name] for trade in trades]
    later = json.loads(exported(three, "--what", "days", "--format", "json", "--from", "2026-07-02T11:00"))
    assert [day["recorded_utc"][8:10] for day in later] == ["02", "03"]


def test_of_a_month_the_ratio_a_year_is_told_with_idle_days_as_zero(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    made = [(result(n), NOON_NS + n * 2 * DAY_NS) for n in range(15)]
    book(tmp_path, *made)
    assert run(["export", "--what", "days", "--state-dir", str(tmp_path)]) == 0
    assert "Sharpe" not in capfd.readouterr().err  # 29 days
    folder = tmp_path / "longer"
    folder.mkdir()
    book(folder, *made, (failed(15), NOON_NS + 30 * DAY_NS))
    assert run(["export", "--what", "days", "--state-dir", str(folder)]) == 0
    profits = [made[0][0].actual_profit_lamports, 0] * 15 + [failed(15).actual_profit_lamports]
    ratio = statistics.mean(profits) / statistics.stdev(profits) * 365**0.5
    assert f"paper: Sharpe {ratio:.2f} a year, of 31 days' profits" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "states"),
    [
        (("--from", "2026-07-02"), ["landed_failed", "expired"]),
        (("--to", "2026-07-02"), ["landed_ok"]),
        (("--from", "2026-07-02", "--to", "2026-07-03"), ["landed_failed"]),
        (("--from", "2026-07-01T12:00:00Z", "--to", "2026-07-02T14:00:00+02:00"), ["landed_ok"]),
        (("--from", str(NOON_NS // 10**9), "--to", f"{NOON_NS // 10**9}.000000001"), ["landed_ok"]),
        (("--from", "2027-01-01"), []),
    ],
)
def test_a_span_begins_with_its_first_moment_and_ends_before_its_last(
    three: Path, arguments: tuple[str, ...], states: list[str]
) -> None:
    rows = csv.DictReader(exported(three, *arguments).splitlines(keepends=True))
    assert [row["end_state"] for row in rows] == states


def test_times_are_exact() -> None:
    assert moment("--from", "2026-07-01T12:00:00.000001", 0) == NOON_NS + 1_000
    assert moment("--from", "", 7) == 7
    assert moment("--from", "1782907200.123456789", 0) == NOON_NS + 123_456_789
    assert utc(NOON_NS + 123_456_789) == "2026-07-01T12:00:00.123456789Z"


@pytest.mark.parametrize("value", ["yesterday", "2026-13-01", "12:00", "1e9", "-5", "17829072001782907200"])
def test_no_time_is_named_with_the_forms_that_would_be(value: str) -> None:
    with pytest.raises(HftError, match=f"--to '{value}' is no time; the form is 2026-07-01, ") as caught:
        moment("--to", value, 0)
    assert caught.value.code is ExitCode.CONFIG


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = run(["export", *arguments])
    return code, capsys.readouterr().err


def test_what_can_not_be_exported_is_told(
    three: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = told(capsys, "--state-dir", str(tmp_path / "none"))
    assert code == ExitCode.STATE_FOLDER
    assert "there is no ledger; nothing has been booked with this state folder" in said
    code, said = told(capsys, "--state-dir", str(three), "--from", "2026-07-02", "--to", "2026-07-02")
    assert (code, said) == (ExitCode.CONFIG, "error: --from 2026-07-02 is not before --to 2026-07-02\n")
    code, said = told(capsys, "--state-dir", str(three), "--format", "xml")
    assert code == ExitCode.CONFIG
    assert "'xml' is not one of 'csv', 'json'" in said
    code, said = told(capsys, "--state-dir", str(three), "-o", str(tmp_path / "no" / "folder"))
    assert code == ExitCode.FAILURE
    assert "No such file or directory" in said


def test_a_file_is_there_whole_or_not_at_all(three: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = three / "out.csv"
    out.write_text("what was there")
    (three / FILE_NAME).rename(three / "away")
    assert told(capsys, "--state-dir", str(three), "-o", str(out))[0] == ExitCode.STATE_FOLDER
    assert out.read_text() == "what was there"
    (three / "away").rename(three / FILE_NAME)
    assert told(capsys, "--state-dir", str(three), "-o", str(out)) == (0, f"3 trades → {out}\n")
    assert out.read_text().splitlines()[0] == HEADER
    assert not list(three.glob(".*.part"))


def test_memory_stays_flat_however_much_there_is(tmp_path: Path) -> None:
    count = 10 * ROWS_AT_ONCE
    book(tmp_path, *((expired(number), NOON_NS) for number in range(count)))
    tracemalloc.start()
    try:
        rows = read_rows(Place(tmp_path / FILE_NAME), "trades", 0, 2 * NOON_NS)
        next(rows)
        begun = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        assert sum(1 for _ in rows) == count - 1
        grown = tracemalloc.get_traced_memory()[1] - begun
    finally:
        tracemalloc.stop()
    assert grown < 2 << 20  # all rows at once take six times that
