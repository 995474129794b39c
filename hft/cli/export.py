"""``hft export``: what the ledger holds, as CSV or JSON."""

import csv
import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Final, TextIO

import typer

from hft.cli import options, text
from hft.runtime.exit_codes import ExitCode, HftError
from hft.services.ledger_place import place_of
from hft.services.ledger_reading import EXPORTS, read_rows
from hft.strategy.pnl import daily_profits, sharpe_per_year
from hft.wire import base58
from hft.wire.enums import Venue

SECOND_NS: Final = 1_000_000_000
END_NS: Final = (1 << 63) - 1
SHARPE_DAYS: Final = 30
"""Of fewer days a ratio a year says nothing."""


class Format(Enum):
    """How rows are written."""

    CSV = "csv"
    JSON = "json"


class What(Enum):
    """Which rows: one a plan, one a movement, or one a day."""

    TRADES = "trades"
    LEGS = "legs"
    DAYS = "days"


def export(
    form: Annotated[
        Format, typer.Option("--format", help="csv with a header line, or one JSON array.")
    ] = Format.CSV,
    what: Annotated[
        What,
        typer.Option("--what", help="trades: a row a plan; legs: a row a movement; days: a row a UTC day."),
    ] = What.TRADES,
    start: Annotated[
        str,
        typer.Option(
            "--from", metavar="TIME", help="First moment: 2026-07-01, 2026-07-01T12:30Z or unix seconds."
        ),
    ] = "",
    end: Annotated[str, typer.Option("--to", metavar="TIME", help="First moment no longer exported.")] = "",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Default: stdout.")
    ] = None,
    state_dir: options.StateDir = None,
    config_file: options.ConfigFile = None,
    overlay: options.Overlays = None,
    sets: options.Sets = None,
) -> int:
    """Write what the ledger holds, oldest first.

    The order of columns stays. Times are UTC; a day begins at 00:00. Amounts are whole lamports or base
    units. May run beside the pipeline.
    """
    config = options.load_config(config_file, overlay, sets)
    from_ns, to_ns = moment("--from", start, 0), moment("--to", end, END_NS)
    if from_ns >= to_ns:
        raise HftError(f"--from {start} is not before --to {end}", ExitCode.CONFIG)
    place = place_of(options.state_folder(state_dir, config), config.auditor)
    rows = read_rows(place, what.value, from_ns, to_ns)
    names = ["recorded_utc", *EXPORTS[what.value].names]
    days: dict[str, list[tuple[int, int]]] = {}
    if what is What.DAYS:
        rows = _noted(rows, names, days)
    first = next(rows, None)  # what is wrong with the ledger is told before a file is begun
    with _opened(output) as file:
        count = _WRITERS[form](file, names, _shown(names, first, rows))
    if output is not None:
        typer.echo(f"{text.count(count)} {what.value} → {output}", err=True)
    for mode, booked in days.items():
        profits = daily_profits(booked)
        ratio = sharpe_per_year(profits) if len(profits) >= SHARPE_DAYS else None
        if ratio is not None:
            typer.echo(f"{mode}: Sharpe {ratio:.2f} a year, of {len(profits)} days' profits", err=True)
    return int(ExitCode.OK)


def _noted(
    rows: Iterator[tuple[Any, ...]], names: list[str], days: dict[str, list[tuple[int, int]]]
) -> Iterator[tuple[Any, ...]]:
    """The rows; time and profit of each, by its mode, in ``days``."""
    mode, profit = names.index("mode") - 1, names.index("actual_profit_lamports") - 1
    for row in rows:
        days.setdefault(row[mode], []).append((row[0], row[profit]))
        yield row


def moment(option: str, value: str, default: int) -> int:
    """Unix nanoseconds of ISO 8601 text (UTC where it names no zone) or of seconds; ``HftError`` CONFIG."""
    if not value:
        return default
    if re.fullmatch(r"\d{1,10}(\.\d{1,9})?", value):
        whole, _, part = value.partition(".")
        return int(whole) * SECOND_NS + int(part.ljust(9, "0"))
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        hint = "2026-07-01, 2026-07-01T12:30:00Z, 2026-07-01T12:30+02:00 or unix seconds such as 1782864000"
        raise HftError(f"{option} {value!r} is no time; the form is {hint}", ExitCode.CONFIG) from None
    found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    past = found - datetime(1970, 1, 1, tzinfo=UTC)
    return (past.days * 86_400 + past.seconds) * SECOND_NS + past.microseconds * 1_000


def utc(unix_ns: int) -> str:
    """``2026-07-01T12:30:00.123456789Z``: exact."""
    seconds, rest = divmod(unix_ns, SECOND_NS)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09}Z"


def _venue(number: int) -> str:
    return Venue(number).name.lower() if number in set(Venue) else str(number)


def _signature(value: bytes) -> str:
    return base58(value) if any(value) else ""


_SHOWN: Final[dict[str, Callable[[Any], str]]] = {
    "run_id": bytes.hex,
    "plan_id": bytes.hex,
    "trace_id": bytes.hex,
    "signature": _signature,
    "venue_1": _venue,
    "venue_2": _venue,
}
"""Columns that are bytes or numbers of something: ids in hex, signatures as explorers show them, names."""


def _shown(
    names: list[str], first: tuple[Any, ...] | None, rest: Iterator[tuple[Any, ...]]
) -> Iterator[list[Any]]:
    change = [_SHOWN.get(name) for name in names[1:]]

    def one(row: tuple[Any, ...]) -> list[Any]:
        values = (each if how is None else how(each) for each, how in zip(row, change, strict=True))
        return [utc(row[0]), *values]

    if first is not None:
        yield one(first)
        yield from map(one, rest)


@contextmanager
def _opened(output: Path | None) -> Iterator[TextIO]:
    """Standard output, or a file that is there whole or not at all."""
    if output is None:
        yield sys.stdout
        return
    partial = output.with_name(f".{output.name}.part")
    try:
        with partial.open("w", encoding="utf-8", newline="") as file:
            yield file
        partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)


def _csv(file: TextIO, names: list[str], rows: Iterator[list[Any]]) -> int:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(names)
    count = 0
    for count, row in enumerate(rows, 1):  # noqa: B007
        writer.writerow(row)
    return count


def _json(file: TextIO, names: list[str], rows: Iterator[list[Any]]) -> int:
    count = 0
    for count, row in enumerate(rows, 1):
        file.write("[\n" if count == 1 else ",\n")
        json.dump(dict(zip(names, row, strict=True)), file)
    file.write("\n]\n" if count else "[]\n")
    return count


_WRITERS: Final = {Format.CSV: _csv, Format.JSON: _json}
