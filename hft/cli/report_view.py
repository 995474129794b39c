"""The closing report for a person; the same figures as JSON come from ``hft.runtime.report.as_json``."""

from collections.abc import Mapping

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from hft.cli import panels, text
from hft.cli.grid import Grid
from hft.runtime import intents, topology
from hft.runtime.report import Report, as_json, losses, strategies

WIDE = 110
"""From this width on there is room for three panels side by side and all percentiles."""


def render(report: Report, width: int) -> RenderableType:
    """The whole report for ``width`` columns."""
    outcomes: list[RenderableType] = [
        panels.bars("rejected plans", report.totals.rejections, "yellow"),
        panels.bars("executions", report.totals.executions, "green", panels.END_STATE_STYLES),
        _streams(report.streams),
    ]
    wide = width >= WIDE
    if wide:
        outcomes = [panels.beside(*outcomes)]
    latency = panels.latency(report.reading.latency, full=wide)
    each = panels.strategies(strategies(report.reading), full=wide)
    return Group(_summary(report), each, *outcomes, _links(report), latency, _verdict(report))


def _summary(report: Report) -> Panel:
    figures = report.totals
    grid = Table.grid(padding=(0, 3))
    grid.add_column(style="dim")
    grid.add_column(justify="right", style="bold")
    grid.add_column(style="dim")
    grid.add_column(justify="right", style="bold")
    pnl_style = "green" if report.ledger_pnl_lamports > 0 else "red" if report.ledger_pnl_lamports < 0 else ""
    rows = (
        (
            "duration",
            text.clock(report.duration_s),
            "ledger P&L",
            Text(f"{text.sol(report.ledger_pnl_lamports)} SOL", style=pnl_style),
        ),
        ("updates", text.count(figures.updates), "wallet change", _wallet(report)),
        (
            "opportunities",
            text.count(figures.opportunities),
            "fees paid",
            f"{text.sol(figures.fees_lamports, sign=False)} SOL",
        ),
        (
            "plans",
            text.count(figures.plans),
            "tips paid",
            f"{text.sol(figures.tips_lamports, sign=False)} SOL",
        ),
        ("executed", text.count(figures.executed), "win rate", f"{figures.win_rate:.1%}"),
        ("landed", _landed(report), "plans expected", _expected(report)),
        ("restarts", text.count(report.restarts), "kill latch", _kill(report)),
    )
    for row in rows:
        grid.add_row(*row)
    return Panel(grid, title="[bold] report [/bold]", title_align="left", border_style="cyan", padding=(0, 1))


def _landed(report: Report) -> str:
    ends = report.totals.executions
    return text.count(ends.get("landed_ok", 0) + ends.get("landed_failed", 0))


def _expected(report: Report) -> str:
    """What the plans that landed had promised, all costs taken off."""
    auditor = report.reading.services.get("auditor")
    return f"{text.sol(auditor.signed('expected_pnl_lamports')) if auditor else '0'} SOL"


def _wallet(report: Report) -> Text:
    if report.wallet_delta_lamports is None:
        return Text("unknown: the cluster did not answer", style="yellow")
    same = report.money_agrees
    mark = "  ✓ equal" if same else "  ✗ differs"
    return Text(f"{text.sol(report.wallet_delta_lamports)} SOL{mark}", style="green" if same else "bold red")


def _kill(report: Report) -> Text:
    kill = report.reading.kill
    if not kill.killed:
        return Text("running", style="green")
    return Text(f"killed: {text.words(kill.trigger)}, {kill.message}", style="bold red")


def _streams(counts: Mapping[str, int]) -> Panel:
    table = Grid("stream", ">stored in this run")
    for name, number in counts.items():
        table.add_row(name, (text.count(number), "" if number else "bold yellow"))
    return panels.framed("NATS JetStream", table)


def _links(report: Report) -> Panel:
    table = Grid("link", ">in", ">out", "readers", "dropped, by reason")
    entries = as_json(report)["links"]
    for link in topology.LINKS:
        if link.name not in report.reading.links:
            continue
        found = {
            name.partition(">")[2]: entry
            for name, entry in entries.items()
            if name.partition(">")[0] == link.name
        }
        short = [
            f"{reader} {entry['out']:,}" for reader, entry in found.items() if reader and entry["dropped"]
        ]
        dropped = [
            f"{reader + ': ' if reader else ''}{text.words(reason)} {n:,}"
            for reader, entry in found.items()
            for reason, n in entry["dropped"].items()
        ]
        table.add_row(
            link.name,
            text.count(found[""]["in"]),
            text.count(found[""]["out"]),
            (", ".join(short) or f"the same by {len(found)}", "yellow" if short else "dim"),
            (", ".join(dropped) or "none", "yellow" if dropped else "dim"),
        )
    return panels.framed("links: in = out + dropped, for each reader", table)


def _verdict(report: Report) -> RenderableType:
    """Whether everything balances, in one line; each equation that does not, and all that was dropped, by
    name."""
    held = len(report.balances) - len(report.unbalanced)
    lines: list[Text] = []
    if not report.unbalanced:
        lines.append(Text(f"  ✓ all {held} counters balance: in = out + rejected + dropped", style="green"))
    else:
        headline = f"  ✗ {len(report.unbalanced)} of {len(report.balances)} counters do not balance:"
        lines.append(Text(headline, style="bold red"))
    for balance in report.unbalanced:
        parts = " + ".join(f"{name} {n:,}" for name, n in balance.accounted.items()) or "0"
        lines.append(
            Text(f"    {balance.name}: {balance.taken:,} ≠ {parts} ({balance.missing:+,})", style="red")
        )
    for line in intents.told(report.open_signatures).splitlines():
        lines.append(Text(f"  {line}" if line.startswith(" ") else f"  ! {line}", style="yellow"))
    for service, reasons in losses(report.reading).items():
        told = ", ".join(f"{text.words(reason)} {n:,}" for reason, n in reasons.items())
        lines.append(Text(f"  ! {service} dropped messages: {told}", style="yellow"))
    return Group(*lines)
