"""The live view: what ``hft start`` shows while it runs."""

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from hft.cli import panels, text
from hft.cli.grid import Grid
from hft.runtime import cpus, topology
from hft.runtime.killstate import Request
from hft.runtime.monitor import Reading
from hft.runtime.report import Totals, totals

RATE_WINDOW_NS = 5_000_000_000
"""Rates are taken over the last five seconds."""

HISTORY = 1200
"""Readings kept for the line of profit."""

EVENTS = 4
"""Lines of news at the foot of the view."""

WIDE = 112
"""From this width on, tables stand side by side."""

SPANS = 126
"""From this width on there is room for the bars of latency beside another table."""

FIXED_LINES = 5 + EVENTS + 1
"""Lines of the headline and the news, which are always there."""


class Facts(NamedTuple):
    """What does not change during a run."""

    run_id: str
    mode: str
    market: str
    cpus: Mapping[str, tuple[int, ...]]
    duration_s: float | None
    nats_url: str


class Live:
    """Collects readings and draws them."""

    def __init__(self) -> None:
        self.facts = Facts("", "paper", "", {}, None, "")
        self.events: deque[str] = deque(maxlen=64)
        self.restarts: Mapping[str, int] = {}
        self.asked: Request | None = None
        """The resume that someone outside asks for."""
        self.hint = "Ctrl-C stops in order · hft kill halts at once · hft tail EXECUTED listens"
        """The view's last line."""
        self._readings: deque[tuple[Reading, Totals]] = deque(maxlen=HISTORY)
        self._window: deque[tuple[Reading, Totals]] = deque()
        self._began_ns = 0

    def began(self, at_ns: int) -> None:
        """The run began at this monotonic time; without it, at the first reading."""
        self._began_ns = at_ns

    def add(self, reading: Reading) -> None:
        """Take a reading in."""
        entry = (reading, totals(reading))
        self._began_ns = self._began_ns or reading.at_ns
        self._readings.append(entry)
        self._window.append(entry)
        while len(self._window) > 2 and reading.at_ns - self._window[1][0].at_ns >= RATE_WINDOW_NS:
            self._window.popleft()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the first reading."""
        return (self._readings[-1][0].at_ns - self._began_ns) / 1e9 if self._readings else 0.0

    def rate(self, now: int, before: int) -> float:
        """What grew from ``before`` to ``now`` over the window, a second."""
        seconds = (self._window[-1][0].at_ns - self._window[0][0].at_ns) / 1e9
        return (now - before) / seconds if seconds > 0 else 0.0

    def render(self, width: int, height: int) -> RenderableType:
        """The whole view for a terminal of ``width`` columns and ``height`` lines.

        Where there is no room for all, the less important blocks are left out.
        """
        if not self._readings:
            return self._news()
        reading, figures = self._readings[-1]
        body: list[RenderableType] = [self._headline(reading, figures, width)]
        room = height - FIXED_LINES
        for lines, block in self._blocks(reading, figures, width, room):
            if lines <= room:
                body.append(block)
                room -= lines
        return Group(*body, self._news())

    def _blocks(
        self, reading: Reading, figures: Totals, width: int, room: int
    ) -> list[tuple[int, RenderableType]]:
        """What stands between headline and news, the most important first, with the lines each takes."""
        outcomes = panels.beside(
            panels.bars("rejected plans", figures.rejections, "yellow"),
            panels.bars("executions", figures.executions, "green", panels.END_STATE_STYLES),
        )
        outcomes_lines = max(1, len(figures.rejections), len(figures.executions)) + 2
        services, services_lines = self._services(reading, wide=width >= SPANS), len(reading.services) + 3
        links, links_lines = self._links(reading), len(reading.links) + 3
        spans = width < WIDE or width >= SPANS
        latency = panels.latency(reading.latency, spans=spans)
        latency_lines = panels.latency_lines(reading.latency)
        if width < WIDE:
            return [
                (services_lines, services),
                (outcomes_lines, outcomes),
                (latency_lines, latency),
                (links_lines, links),
            ]
        both_lines = max(services_lines + links_lines, latency_lines)
        if both_lines + outcomes_lines <= room:
            return [(both_lines, panels.beside(Group(services, links), latency)), (outcomes_lines, outcomes)]
        short = {stage: figure for stage, figure in reading.latency.items() if not stage.startswith("stage_")}
        short_lines = max(services_lines, panels.latency_lines(short))
        return [
            (short_lines, panels.beside(services, panels.latency(short, spans=spans))),
            (outcomes_lines, outcomes),
        ]

    def line(self) -> str:
        """The same in one plain line, for a log or a pipe."""
        reading, figures = self._readings[-1]
        before = self._window[0][1]
        executions = " ".join(f"{name} {n:,}" for name, n in figures.executions.items()) or "none"
        signed = reading.latency.get("tick_to_signed")
        parts = [
            text.clock(self.elapsed_s),
            _state(reading, self.asked),
            f"updates {figures.updates:,} ({text.rate(self.rate(figures.updates, before.updates))}/s)",
            f"opportunities {figures.opportunities:,}",
            f"plans {figures.plans:,}",
            f"rejected {figures.rejected:,}",
            f"executions {executions}",
            f"P&L {text.sol(figures.pnl_lamports)} SOL",
        ]
        if signed is not None:
            parts.append(f"bytes→signed p50 {text.duration(signed.p50)} p99 {text.duration(signed.p99)}")
        return "  ".join(parts)

    def _headline(self, reading: Reading, figures: Totals, width: int) -> Panel:
        before = self._window[0][1]
        pairs = (
            (figures.updates, before.updates),
            (figures.opportunities, before.opportunities),
            (figures.plans, before.plans),
            (figures.rejected, before.rejected),
            (figures.executed, before.executed),
        )
        colour = "green" if figures.pnl_lamports > 0 else "red" if figures.pnl_lamports < 0 else "default"
        profit = text.sparkline(self._profit_line(), max(10, width // 4))
        grid = Grid(
            "updates", "opportunities" if width >= WIDE else "opps", "plans", "rejected", "executed", ">P&L"
        )
        grid.add_row(
            *[(text.count(now), "bold") for now, _ in pairs],
            (f"{text.sol(figures.pnl_lamports)} SOL", f"bold {colour}"),
        )
        grid.add_row(
            *[(f"{text.rate(self.rate(now, then))}/s", "cyan") for now, then in pairs], (profit, colour)
        )
        return Panel(
            grid, title=self._title(reading), title_align="left", border_style=_mood(reading), padding=(0, 1)
        )

    def _title(self, reading: Reading) -> Text:
        facts = self.facts
        title = Text()
        title.append(" hft ", style="bold reverse")
        title.append(f" {facts.mode}  ", style="cyan")
        if reading.kill.killed:
            title.append(
                f"■ HALTED {text.words(reading.kill.trigger)}: {reading.kill.message}  ", style="bold red"
            )
        else:
            title.append("● running  ", style="bold green")
        limit = f" of {text.clock(facts.duration_s)}" if facts.duration_s is not None else ""
        title.append(f"{text.clock(self.elapsed_s)}{limit}  ", style="bold")
        title.append(f"{facts.market}  run {facts.run_id} ", style="dim")
        return title

    def _profit_line(self) -> list[float]:
        step = max(1, len(self._readings) // 200)
        return [float(figures.pnl_lamports) for _, figures in list(self._readings)[::step]]

    def _services(self, reading: Reading, *, wide: bool) -> Panel:
        before = self._window[0][0]
        busy = (">busy",) if wide else ()
        table = Grid("service", "state", ">CPU", *busy, ">heartbeat", ">in/s", ">out/s", ">memory")
        for spec in topology.SERVICES:
            if spec.name not in reading.services:
                continue
            page, earlier = reading.services[spec.name], before.services[spec.name]
            flows = [
                self.rate(sum(page.total(prefix).values()), sum(earlier.total(prefix).values()))
                for prefix in ("in_", "out_")
            ]
            table.add_row(
                (spec.name, "bold" if spec.hot else ""),
                panels.state(page.state, self.restarts.get(spec.name, 0)),
                cpus.format_list(self.facts.cpus.get(spec.name, ())) or "any",
                *([panels.busy(page, earlier, reading.at_ns - before.at_ns)] if wide else []),
                panels.heartbeat(page),
                *(text.rate(flow) for flow in flows),
                text.size(page.counters.get("runner_memory_bytes", 0)),
            )
        return panels.framed("services", table)

    def _links(self, reading: Reading) -> Panel:
        before = self._window[0][0]
        table = Grid("link", ">messages", ">/s", ">lost", ">behind")
        for name, link in reading.links.items():
            lost = sum(reader.lost for reader in link.readers.values())
            behind = max((reader.unread for reader in link.readers.values()), default=0)
            table.add_row(
                name,
                text.count(link.published),
                text.rate(self.rate(link.published, before.links[name].published)),
                (text.count(lost), "bold yellow" if lost else "dim"),
                (text.count(behind), "" if behind else "dim"),
            )
        return panels.framed("links", table)

    def _news(self) -> RenderableType:
        asked = [] if self.asked is None else [_news_line(panels.request_line(self.asked), "bold yellow")]
        events = list(self.events)[len(asked) - EVENTS :]
        lines = [_news_line(event, panels.event_style(event)) for event in events]
        return Group(*asked, *lines, _news_line(self.hint, "dim"))


def _news_line(line: str, style: str) -> Text:
    return Text(f"  {line}", style=style, no_wrap=True, overflow="ellipsis")


def _state(reading: Reading, asked: Request | None) -> str:
    if not reading.kill.killed:
        return "running"
    return "HALTED" if asked is None else "HALTED, resume asked for"


def _mood(reading: Reading) -> str:
    return "red" if reading.kill.killed else "green"
