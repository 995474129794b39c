"""``hft arb``: every two-hop route through the pools of account files, at its best size, before and after
costs."""

import json
from itertools import permutations
from typing import Annotated, Any, NamedTuple

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hft.cli import accounts as files
from hft.cli import options
from hft.runtime.exit_codes import ExitCode, HftError
from hft.runtime.settings import Config
from hft.strategy import costs, tip
from hft.strategy.two_hop import TwoHop, size
from hft.venues import Pool, QuoteError
from hft.venues.tokens import SOL_MINT

_WIDTH = 150
_FAR_APART_S = 3_600
_ALL = 0


class _Route(NamedTuple):
    """A route and what it earns.

    ``gain_bps``: what a very small trade earns after both fees, in basis points (a float, to see how near a
    route is to paying). ``best`` is None where no size earns anything, ``tip_lamports`` where no tip is worth
    paying, ``net`` (after network costs) where those aren't in the base token.
    """

    pool_1: Pool
    pool_2: Pool
    mid: bytes
    gain_bps: float
    best: TwoHop | None
    fee_lamports: int
    tip_lamports: int | None
    net: int | None
    capped: bool
    apart_s: int


def arb(
    accounts: files.AccountFiles = None,
    base: Annotated[
        str, typer.Option("--base", metavar="SYMBOL", help="Token the routes begin and end in.")
    ] = "SOL",
    maximum: Annotated[
        str,
        typer.Option(
            "--maximum", metavar="N", help="Largest input: base units, or 100SOL; default: settings."
        ),
    ] = "",
    paying: Annotated[
        bool, typer.Option("--paying", help="Only routes that earn something before costs.")
    ] = False,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=0, help="Only the N best routes; 0: all.")
    ] = _ALL,
    at_time: files.AtTime = None,
    at_slot: files.AtSlot = None,
    config_file: options.ConfigFile = None,
    sets: options.Sets = None,
    as_json: files.AsJson = False,
) -> int:
    """Size every two-hop route: best input and its profit.

    To the unit, before and after network costs.
    """
    config = options.load_config(config_file, None, sets)
    loaded = files.load(accounts, at_time, at_slot)
    mints = sorted({mint for pool in loaded.pools.values() for mint in (pool.mint_a, pool.mint_b)})
    base_mint = files.mint_of(loaded, base, mints, "--base")
    most = config.scanner.maximum_size_lamports
    if maximum:
        most = files.amount_of(loaded, maximum, base_mint, "--maximum")
    if most < 1:
        raise HftError(f"--maximum {maximum} must be at least 1 base unit", ExitCode.CONFIG)
    routes = [_route(loaded, *pair, base_mint, most, config) for pair in _pairs(loaded, base_mint)]
    routes.sort(key=_rank)
    shown = [route for route in routes if route.best or not paying]
    shown = shown[:limit] if limit else shown
    if as_json:
        print(json.dumps(_plain(loaded, base_mint, most, len(routes), shown), indent=2))
    else:
        _draw(loaded, base_mint, most, routes, shown)
    return int(ExitCode.OK)


def _pairs(loaded: files.Loaded, base: bytes) -> list[tuple[Pool, Pool]]:
    """Ordered pool pairs base → X → base."""
    pools = [pool for pool in loaded.pools.values() if base in (pool.mint_a, pool.mint_b)]
    return [(one, two) for one, two in permutations(pools, 2) if one.other_mint(base) == two.other_mint(base)]


def _route(
    loaded: files.Loaded, pool_1: Pool, pool_2: Pool, base: bytes, most: int, config: Config
) -> _Route:
    mid = pool_1.other_mint(base)
    try:
        out, back = pool_1.screen_form(loaded.clock), pool_2.screen_form(loaded.clock)
        rate = out.rate_a_to_b if pool_1.mint_a == base else out.rate_b_to_a
        rate *= back.rate_a_to_b if pool_2.mint_a == mid else back.rate_b_to_a
        gain_bps = (rate - 1) * 10_000
        best = size(pool_1, pool_2, base, loaded.clock, minimum_in=1, maximum_in=most)
    except QuoteError:
        gain_bps, best = float("-inf"), None
    times = [loaded.times.get(pool.key) for pool in (pool_1, pool_2)]
    apart = abs(times[0] - times[1]) if times[0] is not None and times[1] is not None else 0
    if best is None:
        return _Route(pool_1, pool_2, mid, gain_bps, None, 0, None, None, False, apart)
    planner = config.planner
    units = costs.compute_unit_limit(
        pool_1.venue, best.quote_1.crossings, pool_2.venue, best.quote_2.crossings
    )
    fees = costs.base_fee() + costs.priority_fee(units, planner.compute_unit_price_micro_lamports)
    policy = tip.TipPolicy(planner.tip_share_ppm, planner.tip_floor_lamports, planner.tip_cap_lamports)
    tipped = tip.price_tip(best.gross_profit, fees, policy)
    net = None
    if base == SOL_MINT:
        least = max(planner.tip_floor_lamports, tip.MINIMUM_TIP_LAMPORTS)
        spent = costs.NetworkCosts(fees, 0, least if tipped is None else tipped)
        net = costs.net_profit(best.gross_profit, spent)
    capped = most - best.amount_in <= most >> 20  # roundings may make a little less the better
    return _Route(pool_1, pool_2, mid, gain_bps, best, fees, tipped, net, capped, apart)


def _rank(route: _Route) -> tuple[int, float]:
    """Those that earn most first, then those that are nearest to earning."""
    if route.best:
        return 0, -(route.best.gross_profit if route.net is None else route.net)
    return 1, -route.gain_bps


def _plain(loaded: files.Loaded, base: bytes, most: int, routes: int, shown: list[_Route]) -> dict[str, Any]:
    return {
        "base_mint": files.text(base),
        "maximum_in": most,
        "slot": loaded.clock.slot,
        "unix_timestamp": loaded.clock.unix_timestamp,
        "clock_source": loaded.clock_source,
        "routes_sized": routes,
        "routes": [_plain_route(loaded, route) for route in shown],
    }


def _plain_route(loaded: files.Loaded, route: _Route) -> dict[str, Any]:
    best = route.best
    return {
        "venue_1": route.pool_1.venue.name.lower(),
        "venue_2": route.pool_2.venue.name.lower(),
        "pool_1": files.text(route.pool_1.key),
        "pool_2": files.text(route.pool_2.key),
        "mid_mint": files.text(route.mid),
        "mid": loaded.symbol(route.mid),
        "gain_bps": round(route.gain_bps, 4) if route.gain_bps > float("-inf") else None,
        "amount_in": best.amount_in if best else 0,
        "amount_mid": best.amount_mid if best else 0,
        "amount_out": best.amount_out if best else 0,
        "gross_profit": best.gross_profit if best else 0,
        "fees_lamports": route.fee_lamports,
        "tip_lamports": route.tip_lamports,
        "net_profit": route.net,
        "capped": route.capped,
        "data_apart_s": route.apart_s,
    }


def _draw(loaded: files.Loaded, base: bytes, most: int, routes: list[_Route], shown: list[_Route]) -> None:
    console = Console(width=None if Console().is_terminal else _WIDTH)
    symbol = loaded.symbol(base)
    table = Table(box=box.SIMPLE_HEAD, header_style="dim", pad_edge=False, show_edge=False)
    for name in ("route", "first pool", "second pool"):
        table.add_column(name, no_wrap=True)
    for name in ("edge bps", f"best size {symbol}", "profit", "fees and tip", "after costs"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for route in shown:
        table.add_row(*_cells(loaded, base, route))
    console.print(table)
    earning = sum(route.best is not None for route in routes)
    after = sum(route.net is not None and route.net > 0 for route in routes)
    limit = f"{loaded.human(most, base)} {symbol}"
    console.print()
    for line in (
        f"{len(routes)} routes, {earning} earn before costs, {after} after them"
        + (f"; the {len(shown)} best are shown" if len(shown) < len(routes) else ""),
        f"edge: what a very small trade earns after both pools' fees; sizes up to {limit}, exactly quoted"
        + ("; * at that limit" if any(route.capped for route in shown) else ""),
        f"clock: {files.clock_line(loaded)}",
    ):
        console.print(Text(line, style="dim"), soft_wrap=True)
    if any(route.best and route.apart_s > _FAR_APART_S for route in shown):
        warning = "† the two pools' accounts are of different times: such a profit is no opportunity"
        console.print(Text(warning, style="yellow"), soft_wrap=True)


def _cells(loaded: files.Loaded, base: bytes, route: _Route) -> list[Text]:
    symbol, best = loaded.symbol(base), route.best
    paid = best is not None and (route.net is None or route.net > 0)
    quiet = "" if paid else "dim"
    places = [
        Text(f"{symbol}→{loaded.symbol(route.mid)}→{symbol}", "bold" if paid else quiet),
        *(
            Text(f"{p.venue.name.lower()} {files.text(p.key)[:4]}…", quiet)
            for p in (route.pool_1, route.pool_2)
        ),
    ]
    edge = f"{route.gain_bps:+,.2f}".replace("-", "−") if route.gain_bps > float("-inf") else "no quote"
    places.append(Text(edge, quiet))
    if best is None:
        return [*places, *[Text("–", "dim")] * 4, Text("")]
    mark = "†" if route.apart_s > _FAR_APART_S else ""
    spent = best.gross_profit - route.net if route.net is not None else None
    return [
        *places,
        Text(loaded.human(best.amount_in, base) + ("*" if route.capped else ""), quiet),
        Text("+" + loaded.human(best.gross_profit, base), quiet),
        Text("–" if spent is None else loaded.human(spent, base), "dim"),
        Text("–") if route.net is None else _net(loaded.human(route.net, base), route.net),
        Text(mark, "yellow"),
    ]


def _net(human: str, net: int) -> Text:
    return Text(f"+{human}", "bold green") if net > 0 else Text(human, "red")
