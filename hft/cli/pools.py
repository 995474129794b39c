"""``hft pools``: the pools of account files: price, fee and how much they can take."""

import json
import time
from typing import Annotated, Any, NamedTuple

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hft.cli import accounts as files
from hft.runtime.exit_codes import ExitCode
from hft.strategy.depth import Depth, depth
from hft.venues import Pool, QuoteError

_WIDTH = 150
_REFUSALS_SHOWN = 5
_MOVES = (0.001, 0.01)


class _Row(NamedTuple):
    """A pool, its figures, and its depth in base tokens: for each move, the price down and up."""

    pool: Pool
    base: bytes
    quote: bytes
    price: float
    fee_ppm: int
    depths: list[tuple[Depth | None, Depth | None]]
    age_s: int | None
    refusal: str


def pools(
    accounts: files.AccountFiles = None,
    venue: Annotated[str, typer.Option("--venue", metavar="NAME", help="Only this venue's pools.")] = "",
    at_time: files.AtTime = None,
    at_slot: files.AtSlot = None,
    as_json: files.AsJson = False,
) -> int:
    """List pools of account files: price, fee, depth."""
    loaded = files.load(accounts, at_time, at_slot)
    chosen = files.of_venue(loaded, venue)
    now = int(time.time())
    rows = [_row(loaded, pool, now) for pool in chosen]
    rows.sort(key=lambda row: (_pair(loaded, row), row.pool.venue, row.pool.key))
    if as_json:
        print(json.dumps(_plain(loaded, rows), indent=2))
    else:
        _draw(loaded, rows)
    return int(ExitCode.OK)


def _row(loaded: files.Loaded, pool: Pool, now: int) -> _Row:
    base, quote = loaded.pair(pool)
    depths: list[tuple[Depth | None, Depth | None]] = []
    fee_ppm, refusal = 0, ""
    try:
        fee_ppm = pool.fee_ppm(loaded.clock)
        for move in _MOVES:
            sold = depth(pool, base, loaded.clock, 1 - move)
            depths.append((sold, depth(pool, quote, loaded.clock, 1 / (1 + move))))
    except QuoteError as error:
        refusal = str(error)
    moment = loaded.times.get(pool.key)
    age = None if moment is None else max(0, now - moment)
    return _Row(pool, base, quote, loaded.price(pool, base), fee_ppm, depths, age, refusal)


def _pair(loaded: files.Loaded, row: _Row) -> str:
    return f"{loaded.symbol(row.base)}/{loaded.symbol(row.quote)}"


def _plain(loaded: files.Loaded, rows: list[_Row]) -> dict[str, Any]:
    return {
        "slot": loaded.clock.slot,
        "unix_timestamp": loaded.clock.unix_timestamp,
        "clock_source": loaded.clock_source,
        "pools": [_plain_row(loaded, row) for row in rows],
        "refused": [
            {"pool": files.text(pubkey), "code": error.code.name.lower(), "why": str(error)}
            for pubkey, error in loaded.refused.items()
        ],
    }


def _plain_row(loaded: files.Loaded, row: _Row) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "pool": files.text(row.pool.key),
        "venue": row.pool.venue.name.lower(),
        "base": loaded.symbol(row.base),
        "quote": loaded.symbol(row.quote),
        "base_mint": files.text(row.base),
        "quote_mint": files.text(row.quote),
        "price": row.price,
        "fee_ppm": row.fee_ppm,
        "age_s": row.age_s,
        "refusal": row.refusal or None,
        "depth": [],
    }
    for move, (down, up) in zip(_MOVES, row.depths, strict=False):
        shown["depth"].append(
            {
                "move": move,
                "down_base_in": down and down.amount_in,
                "down_quote_out": down and down.amount_out,
                "down_whole": down and down.whole,
                "up_quote_in": up and up.amount_in,
                "up_base_out": up and up.amount_out,
                "up_whole": up and up.whole,
            }
        )
    return shown


def _draw(loaded: files.Loaded, rows: list[_Row]) -> None:
    console = Console(width=None if Console().is_terminal else _WIDTH)
    table = Table(box=box.SIMPLE_HEAD, header_style="dim", pad_edge=False, show_edge=False)
    table.add_column("venue", no_wrap=True)
    table.add_column("pool", no_wrap=True)
    table.add_column("pair", no_wrap=True)
    table.add_column("price", justify="right", no_wrap=True)
    table.add_column("fee %", justify="right", no_wrap=True)
    for name in ("−0.1 %", "+0.1 %", "−1 %", "+1 %"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("of", no_wrap=True)
    table.add_column("age", justify="right", no_wrap=True)
    last = ""
    for row in rows:
        pair = _pair(loaded, row)
        if last and pair != last:
            table.add_section()
        venue, key = row.pool.venue.name.lower(), files.text(row.pool.key)[:8] + "…"
        depths = [
            cell for down, up in row.depths for cell in (_down(loaded, row, down), _up(loaded, row, up))
        ]
        depths += [Text("–", "dim")] * (4 - len(depths))
        table.add_row(
            venue,
            Text(key, "dim"),
            Text("" if pair == last else pair, "bold"),
            files.digits(row.price, 7),
            f"{row.fee_ppm / 10_000:.4f}",
            *depths,
            Text(loaded.symbol(row.base), "dim"),
            Text(_age(row.age_s), "dim"),
        )
        last = pair
    console.print(table)
    console.print(
        Text(
            "\ndepth: base tokens that can be sold (−) or bought (+) until the price has moved so far, "
            "exactly quoted; ≥ where what is known of the liquidity ends before",
            style="dim",
        ),
        soft_wrap=True,
    )
    console.print(Text(f"clock: {files.clock_line(loaded)}; {len(rows)} pools", style="dim"), soft_wrap=True)
    _refusals(console, loaded, rows)


def _refusals(console: Console, loaded: files.Loaded, rows: list[_Row]) -> None:
    said = [f"no quote from {files.text(row.pool.key)}: {row.refusal}" for row in rows if row.refusal]
    said += [f"can't be read: {files.text(key)}: {error}" for key, error in loaded.refused.items()]
    for line in said[:_REFUSALS_SHOWN]:
        console.print(Text(line, style="yellow"), soft_wrap=True)
    if len(said) > _REFUSALS_SHOWN:
        console.print(Text(f"and {len(said) - _REFUSALS_SHOWN} more; --json has them all", style="yellow"))


def _down(loaded: files.Loaded, row: _Row, found: Depth | None) -> Text:
    return _depth(loaded, row.base, found and found.amount_in, found)


def _up(loaded: files.Loaded, row: _Row, found: Depth | None) -> Text:
    return _depth(loaded, row.base, found and found.amount_out, found)


def _depth(loaded: files.Loaded, base: bytes, units: int | None, found: Depth | None) -> Text:
    if units is None or found is None:
        return Text("closed", "dim")
    tokens = files.digits(units / 10 ** loaded.decimals(base), 4) if units else "0"
    return Text(tokens) if found.whole else Text(f"≥ {tokens}", "yellow")


def _age(seconds: int | None) -> str:
    if seconds is None:
        return "–"
    for unit, name in ((31_557_600, "y"), (86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds / unit:.1f} {name}" if unit > 86_400 else f"{seconds // unit} {name}"
    return f"{seconds} s"
