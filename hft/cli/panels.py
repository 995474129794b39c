"""Pieces that the live view, the status and the report draw with."""

import math
from collections.abc import Mapping

from rich import box
from rich.console import RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from hft.cli import stages, text
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
BAR_CELLS = 12
SCALE_TITLE = "1µs 1ms   1s"
SCALE_LOW_NS, SCALE_HIGH_NS = 1_000, 1_000_000_000
"""Ends of the logarithmic latency scale: 1 µs to 1 s."""


def table(*columns: str) -> Table:
    """A table without rules; a column that begins with ``>`` is set right."""
    made = Table(box=None, expand=True, padding=(0, 1, 0, 0), header_style="dim")
    for column in columns:
        made.add_column(
            column.lstrip(">"), justify="right" if column.startswith(">") else "left", no_wrap=True
        )
    return made


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


def beside(*parts: RenderableType) -> Table:
    """Parts side by side, each as wide as the others."""
    grid = Table.grid(expand=True)
    for _ in parts:
        grid.add_column(ratio=1)
    grid.add_row(*parts)
    return grid


def state(value: ServiceState) -> Text:
    """A service's state with its sign."""
    sign, style = STATE_STYLES[value]
    return Text(f"{sign} {value.name.lower()}", style=style)


def heartbeat(page: ServiceReading) -> Text:
    """Age of a heartbeat; late ones stand out while one is to be expected."""
    if page.heartbeat_age_ns == 0 or not page.state.alive:
        return Text("–", style="dim")
    late = page.heartbeat_age_ns > LATE_HEARTBEAT_NS
    return Text(text.duration(page.heartbeat_age_ns), style="bold red" if late else "")


def latency(figures: Mapping[str, Latency], *, full: bool = False) -> Panel:
    """All stages: p50, p99, max, and a bar from p50 to p99 on a logarithmic scale from 1 µs to 1 s.

    ``full``: with the number of samples and p99.9, for a wide terminal.
    """
    columns = (">samples", ">p50", ">p99", ">p99.9", ">max") if full else (">p50", ">p99", ">max")
    made = table("", *columns, SCALE_TITLE)
    for group, rows in stages.groups(stages.ordered(figures)).items():
        made.add_row(Text(group, style="dim italic"), *[""] * (len(columns) + 1))
        for stage in rows:
            figure = stage.latency
            cells = {
                ">samples": Text(text.count(figure.samples), style="dim"),
                ">p50": Text(text.duration(figure.p50), style="cyan"),
                ">p99": Text(text.duration(figure.p99)),
                ">p99.9": Text(text.duration(figure.p999)),
                ">max": Text(text.duration(figure.max), style="dim"),
            }
            made.add_row(f" {stage.title}", *(cells[column] for column in columns), span(figure))
    if not figures:
        made.add_row(Text("nothing measured yet", style="dim"), *[""] * (len(columns) + 1))
    return framed("latency, from the stamps in the messages", made)


def latency_lines(figures: Mapping[str, Latency]) -> int:
    """Lines that ``latency`` takes."""
    grouped = stages.groups(stages.ordered(figures))
    return 3 + max(1, sum(len(rows) + 1 for rows in grouped.values()))


def span(figure: Latency) -> Text:
    """A line of ``BAR_CELLS`` cells, heavy from p50 to p99."""
    low, high = _cell(figure.p50), _cell(figure.p99)
    line = Text()
    line.append("─" * low, style="bright_black")
    line.append("━" * (high - low + 1), style="cyan")
    line.append("─" * (BAR_CELLS - high - 1), style="bright_black")
    return line


def _cell(ns: int) -> int:
    share = math.log(max(ns, SCALE_LOW_NS) / SCALE_LOW_NS) / math.log(SCALE_HIGH_NS / SCALE_LOW_NS)
    return min(BAR_CELLS - 1, int(share * BAR_CELLS))


def bars(title: str, values: Mapping[str, int], style: str, styles: Mapping[str, str] | None = None) -> Panel:
    """Counts by name, the largest first, each with a bar."""
    made = table("", ">", "")
    made.show_header = False
    largest = max(values.values(), default=0)
    for name, number in sorted(values.items(), key=lambda item: -item[1]):
        colour = (styles or {}).get(name, style)
        made.add_row(text.words(name), text.count(number), Text(text.bar(number / largest, 12), style=colour))
    if not values:
        made.add_row(Text("none", style="dim"), "", "")
    return framed(title, made)


def event_style(event: str) -> str:
    """How a line of news is set: what went wrong stands out."""
    if "KILL" in event or "HALTED" in event or "unexpectedly" in event or "crashed" in event:
        return "bold red"
    return "yellow" if "restart" in event else "dim"
