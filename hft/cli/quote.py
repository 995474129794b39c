"""``hft quote``: what a pool would pay for an amount, to the unit."""

import json
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from hft.cli import accounts as files
from hft.runtime.exit_codes import ExitCode, HftError
from hft.venues import Pool, Quote, QuoteError

_WIDTH = 120


def quote(
    pool: Annotated[
        str, typer.Option("--pool", metavar="KEY", help="The pool, or its key's first characters.")
    ],
    input_mint: Annotated[str, typer.Option("--in", metavar="MINT|SYMBOL", help="What is paid in.")],
    amount: Annotated[
        str,
        typer.Option("--amount", metavar="N", help="Base units; or whole tokens with the symbol: 1.5SOL."),
    ],
    accounts: files.AccountFiles = None,
    exact_out: Annotated[
        bool, typer.Option("--exact-out", help="--amount is what is to be received, not what is paid in.")
    ] = False,
    at_time: files.AtTime = None,
    at_slot: files.AtSlot = None,
    as_json: files.AsJson = False,
) -> int:
    """Quote one swap exactly as the program would do it."""
    loaded = files.load(accounts, at_time, at_slot)
    found = loaded.find(pool)
    paid = files.mint_of(loaded, input_mint, (found.mint_a, found.mint_b), "--in")
    got = found.other_mint(paid)
    units = files.amount_of(loaded, amount, got if exact_out else paid, "--amount")
    try:
        if exact_out:
            made = found.quote_exact_out(got, units, loaded.clock)
        else:
            made = found.quote(paid, units, loaded.clock)
    except QuoteError as error:
        filled = ""
        if error.filled and not exact_out:
            filled = f"; {error.filled:,} base units could have been swapped"
        raise HftError(
            f"pool {files.text(found.key)} gives no quote: {error}{filled}", ExitCode.FAILURE
        ) from None
    if as_json:
        print(json.dumps(_plain(loaded, found, paid, made), indent=2))
    else:
        _draw(loaded, found, paid, made)
    return int(ExitCode.OK)


def _plain(loaded: files.Loaded, pool: Pool, paid: bytes, made: Quote) -> dict[str, Any]:
    got = pool.other_mint(paid)
    before, after = pool.spot_price(paid), made.pool_after.spot_price(paid)
    return {
        "pool": files.text(pool.key),
        "venue": pool.venue.name.lower(),
        "input_mint": files.text(paid),
        "output_mint": files.text(got),
        "amount_in": made.amount_in,
        "amount_in_used": made.amount_in_used,
        "amount_out": made.amount_out,
        "fee": made.fee,
        "fee_mint": files.text(pool.fee_mint(paid)),
        "fee_ppm": pool.fee_ppm(loaded.clock),
        "rebate": made.rebate,
        "crossings": made.crossings,
        "spot_price_before": before,
        "spot_price_after": after,
        "slot": loaded.clock.slot,
        "unix_timestamp": loaded.clock.unix_timestamp,
        "clock_source": loaded.clock_source,
    }


def _draw(loaded: files.Loaded, pool: Pool, paid: bytes, made: Quote) -> None:
    got, fee_mint = pool.other_mint(paid), pool.fee_mint(paid)
    symbol = loaded.symbol
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    table.add_column("")
    table.add_column("tokens", justify="right")
    table.add_column("")
    table.add_column("base units", justify="right")
    table.add_column("")

    def line(what: str, units: int, mint: bytes, note: str = "", style: str = "") -> None:
        human = Text(loaded.human(units, mint), style)
        table.add_row(Text(what, "dim"), human, symbol(mint), Text(f"{units:,}", style), Text(note, "dim"))

    line("pays", made.amount_in_used, paid)
    if made.amount_in_used != made.amount_in:
        line("asked", made.amount_in, paid, "the rest is not taken: the price is at its end", "yellow")
    line("gets", made.amount_out, got, "", "bold green")
    if made.paid != made.amount_out:
        line("withheld", made.paid - made.amount_out, got, "transfer fee of the mint, already taken off")
    line(
        "fee",
        made.fee,
        fee_mint,
        f"already taken off; {pool.fee_ppm(loaded.clock) / 10_000:.4f} % of a small swap",
    )
    if made.rebate:
        line("comes back", made.rebate, fee_mint, "the share of one's own host or referral account")
    table.add_row()
    scale = 10.0 ** (loaded.decimals(paid) - loaded.decimals(got))
    before, after = (each.spot_price(paid) for each in (pool, made.pool_after))
    achieved = made.amount_out / made.amount_in_used if made.amount_in_used else 0.0
    unit = f"{symbol(got)} for 1 {symbol(paid)}"
    crossed = f"{made.crossings:,} crossed" if made.crossings else "nothing crossed"
    prices = (
        ("price before", before, "before the fee"),
        ("price paid", achieved, f"{_move(achieved, before)} against the price before, fee and impact"),
        ("price after", after, f"{_move(after, before)}, {crossed}"),
    )
    for what, price, note in prices:
        table.add_row(Text(what, "dim"), files.digits(price * scale, 8), unit, "", Text(note, "dim"))
    console = Console(width=None if Console().is_terminal else _WIDTH)
    title = f"{pool.venue.name.lower()}  {symbol(paid)} → {symbol(got)}  {files.text(pool.key)}"
    frame = Panel(
        table, title=Text(title, "dim"), title_align="left", border_style="bright_black", box=box.ROUNDED
    )
    frame.expand = False
    console.print(frame)
    console.print(Text(f"  clock: {files.clock_line(loaded)}", style="dim"))


def _move(price: float, before: float) -> str:
    change = (price / before - 1) * 100
    return f"{change:+.4f} %".replace("-", "−")
