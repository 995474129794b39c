"""Pieces that the live view, the status and the report draw with."""

import math
from collections.abc import Callable, Mapping
from datetime import datetime

from rich import box
from rich.console import RenderableType
from rich.panel import Panel
from rich.table import Table

from hft.cli import stages, text
from hft.cli.grid import Grid, Piece
from hft.runtime.killstate import Request
from hft.runtime.monitor import Latency, ServiceReading
from hft.runtime.service import ServiceState

STATE_STYLES: Mapping[ServiceState, tuple[str, str]] = {
    ServiceState.ABSENT: ("○", "dim"),
    ServiceState.STARTING: ("◌", "yellow"),
    ServiceState.RUNNING: ("●", "green"),
    ServiceState.HALTED: ("■", "red"),
    ServiceState.DRAINING: ("◐", "yellow"),
    ServiceState.STOPPED: ("○", "dim"),
    ServiceState.FAILED: ("✗", "bold red"),
}

END_STATE_STYLES: Mapping[str, str] = {
    "landed_ok": "green",
    "landed_failed": "red",
    "expired": "yellow",
    "rejected": "yellow",
    "unknown": "magenta",
}

LATE_HEARTBEAT_NS = 1_000_000_000
FULL_SHARE = 0.8
BAR_CELLS = 12
SCALE_TITLE = "1µs 1ms   1s"
SCALE_LOW_NS, SCALE_HIGH_NS = 1_000, 1_000_000_000
"""Ends of the logarithmic latency scale: 1 µs to 1 s."""


def framed(title: str, content: RenderableType) -> Panel:
    """A quiet frame with a title."""
    return Panel(
        content,
        title=f"[dim]{title}[/dim]",
        title_align="left",
        border_style="bright_black",
        box=box.ROUNDED,
        padding=(0, 1),
    )


def bridge_line(counters: Mapping[str, int], age_ns: Callable[[float], int], link: str) -> str:
    """How a bridge to ``link`` stands, from its counters and the percentiles of its messages' age."""
    dropped = [
        f"{text.words(name.removeprefix('dropped_'))} {n:,}"
        for name, n in counters.items()
        if name.startswith("dropped_") and n
    ]
    done = counters.get(f"out_{link}", 0)
    late = f" · age p50 {text.duration(age_ns(50))}, p99 {text.duration(age_ns(99))}" if done else ""
    return (
        f"bridge {'connected' if counters.get('nats_connected') else 'not connected'} · {done:,} to {link} · "
        f"{counters.get('behind', 0):,} behind{late}"
        + (f" · dropped: {', '.join(dropped)}" if dropped else "")
    )


def request_line(request: Request) -> str:
    """That someone outside asks for a resume, and what it takes."""
    when = datetime.fromtimestamp(request.unix_ns / 1e9).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    asked = f"resume asked for by {request.by} at {when}: {request.message}"
    return f'{asked}; to go on: hft resume --approve "…"'


def beside(*parts: RenderableType) -> Table:
    """Parts side by side, each as wide as the others."""
    grid = Table.grid(expand=True)
    for _ in parts:
        grid.add_column(ratio=1)
    grid.add_row(*parts)
    return grid


def state(value: ServiceState, restarts: int = 0) -> list[Piece]:
    """A service's state with its sign, and how often it was restarted."""
    sign, style = STATE_STYLES[value]
    shown = [(f"{sign} {value.name.lower()}", style)]
    if restarts:
        shown.append((f" ↻{restarts}", "bold yellow"))
    return shown


def heartbeat(page: ServiceReading) -> Piece:
    """Age of a heartbeat; late ones stand out while one is to be expected."""
    if page.heartbeat_age_ns == 0 or not page.state.alive:
        return "–", "dim"
    return text.duration(
        page.heartbeat_age_ns
    ), "bold red" if page.heartbeat_age_ns > LATE_HEARTBEAT_NS else ""


def busy(page: ServiceReading, earlier: ServiceReading, span_ns: int) -> Piece:
    """Share of a span of time spent in duty cycles that did work; full ones stand out."""
    counted = "runner_processing_ns"
    spent_ns = page.counters.get(counted, 0) - earlier.counters.get(counted, 0)
    share = min(1.0, max(0.0, spent_ns / span_ns)) if span_ns > 0 else 0.0
    return f"{share:.0%}", "bold yellow" if share > FULL_SHARE else "" if share >= 0.005 else "dim"


def latency(figures: Mapping[str, Latency], *, full: bool = False, spans: bool = True) -> Panel:
    """All stages: p50, p99, max, and a bar from p50 to p99 on a logarithmic scale from 1 µs to 1 s.

    ``full``: with the number of samples and p99.9, for a wide terminal; ``spans``: with the bar.
    """
    columns = (">samples", ">p50", ">p99", ">p99.9", ">max") if full else (">p50", ">p99", ">max")
    made = Grid("", *columns, *([f" {SCALE_TITLE}"] if spans else []))
    empty = [""] * (len(columns) + spans)
    for group, rows in stages.groups(stages.ordered(figures)).items():
        made.add_row((group, "dim italic"), *empty)
        for stage in rows:
            figure = stage.latency
            cells: dict[str, Piece] = {
                ">samples": (text.count(figure.samples), "dim"),
                ">p50": (text.duration(figure.p50), "cyan"),
                ">p99": (text.duration(figure.p99), ""),
                ">p99.9": (text.duration(figure.p999), ""),
                ">max": (text.duration(figure.max), "dim"),
            }
            made.add_row(
                f" {stage.title}", *(cells[column] for column in columns), *([span(figure)] if spans else [])
            )
    if not figures:
        made.add_row(("nothing measured yet", "dim"), *empty)
    return framed("latency, from the stamps in the messages", made)


def latency_lines(figures: Mapping[str, Latency]) -> int:
    """Lines that ``latency`` takes."""
    grouped = stages.groups(stages.ordered(figures))
    return 3 + max(1, sum(len(rows) + 1 for rows in grouped.values()))


def span(figure: Latency) -> list[Piece]:
    """A line of ``BAR_CELLS`` cells, heavy from p50 to p99."""
    low, high = _cell(figure.p50), _cell(figure.p99)
    return [
        (" " + "─" * low, "bright_black"),
        ("━" * (high - low + 1), "cyan"),
        ("─" * (BAR_CELLS - high - 1), "bright_black"),
    ]


def _cell(ns: int) -> int:
    share = math.log(max(ns, SCALE_LOW_NS) / SCALE_LOW_NS) / math.log(SCALE_HIGH_NS / SCALE_LOW_NS)
    return min(BAR_CELLS - 1, int(share * BAR_CELLS))


def bars(title: str, values: Mapping[str, int], style: str, styles: Mapping[str, str] | None = None) -> Panel:
    """Counts by name, the largest first, each with a bar."""
    made = Grid("", ">", "")
    largest = max(values.values(), default=0)
    for name, number in sorted(values.items(), key=lambda item: -item[1]):
        bar = text.bar(number / largest, BAR_CELLS).ljust(BAR_CELLS)
        made.add_row(text.words(name), text.count(number), (f" {bar}", (styles or {}).get(name, style)))
    if not values:
        made.add_row(("none", "dim"), "", "")
    return framed(title, made)


def strategies(values: Mapping[str, Mapping[str, int]], *, full: bool) -> Panel:
    """What each strategy did and earned: P&L and its greatest fall from the peak in SOL; with ``full`` also
    what it was offered, a landed trade's profit and costs in lamports, and the profits' mean over deviation.
    """
    more = (">opportunities", ">profit/trade", ">costs/trade", ">Sharpe") if full else ()
    table = Grid("strategy", ">plans", ">landed", ">won", ">P&L", ">max drawdown", *more)
    for name, own in values.items():
        pnl, decided = own.get("pnl_lamports", 0), own.get("wins", 0) + own.get("losses", 0)
        extra = ("opportunities", "average_profit_lamports", "average_cost_lamports") if full else ()
        table.add_row(
            [(name, ""), (" halted", "red")] if own.get("halted") else name,
            text.count(own.get("plans", 0)),
            text.count(own.get("landed_ok", 0) + own.get("landed_failed", 0)),
            f"{own['wins'] / decided:.0%}" if decided else "–",
            (text.sol(pnl), "green" if pnl > 0 else "red" if pnl < 0 else ""),
            text.sol(own.get("maximum_drawdown_lamports", 0), sign=False),
            *(text.count(own.get(key, 0)) for key in extra),
            *((_ratio(own.get("sharpe_per_trade_ppm", 0)),) if full else ()),
        )
    return framed("strategies", table)


def _ratio(ppm: int) -> str:
    return f"{ppm / 1e6:.2f}" if ppm else "–"


def event_style(event: str) -> str:
    """How a line of news is set: what went wrong stands out."""
    if "KILL" in event or "HALTED" in event or "unexpectedly" in event or "crashed" in event:
        return "bold red"
    return "yellow" if "restart" in event else "dim"
