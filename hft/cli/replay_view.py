"""The report of a replay for a person; the same figures as JSON come from ``hft.replay.result.as_json``."""

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from hft.cli import panels, text
from hft.cli.grid import Grid, Piece
from hft.replay.engine import Outcome
from hft.replay.result import Checked, unbalanced, updates_per_second
from hft.runtime import report


def render(
    outcome: Outcome, source: str, torn_bytes: int, tape: Checked | None, width: int
) -> RenderableType:
    """The whole report for ``width`` columns."""
    totals = report.totals(outcome.reading)
    parts: list[RenderableType] = [_summary(outcome, source)]
    if tape is not None:
        parts.append(_tape(tape))
    outcomes: list[RenderableType] = [
        panels.bars("rejected plans", totals.rejections, "yellow"),
        panels.bars("executions", totals.executions, "green", panels.END_STATE_STYLES),
    ]
    if totals.rejections or totals.executions:
        parts += [panels.beside(*outcomes)] if width >= 110 else outcomes
    parts += [_latency(outcome), _verdict(outcome, torn_bytes)]
    return Group(*parts)


def _summary(outcome: Outcome, source: str) -> Panel:
    totals = report.totals(outcome.reading)
    grid = Table.grid(padding=(0, 3))
    for style in ("dim", "bold", "dim", "bold"):
        grid.add_column(style=style, justify="right" if style == "bold" else "left")
    pnl = totals.pnl_lamports
    style = "green" if pnl > 0 else "red" if pnl < 0 else ""
    seconds = outcome.took_ns / 1e9
    faster = outcome.captured_ns / max(outcome.took_ns, 1)
    rows: tuple[tuple[str, str, str, str | Text], ...] = (
        ("captured", text.clock(outcome.captured_ns / 1e9), "ledger P&L", _sol(pnl, style)),
        (
            "replayed in",
            f"{seconds:,.1f} s, {outcome.cpu_ns / 1e9:,.1f} s of CPU: {faster:,.1f} x",
            "wallet change",
            _wallet(outcome, pnl),
        ),
        (
            "account versions",
            text.count(outcome.accounts),
            "fees paid",
            _sol(totals.fees_lamports, "", sign=False),
        ),
        (
            "a second",
            text.rate(updates_per_second(outcome)),
            "tips paid",
            _sol(totals.tips_lamports, "", sign=False),
        ),
        ("pool updates", text.count(totals.updates), "plans", text.count(totals.plans)),
        ("opportunities", text.count(totals.opportunities), "win rate", f"{totals.win_rate:.1%}"),
    )
    for row in rows:
        grid.add_row(*row)
    title = f"[bold] replay [/bold] {source}  run {outcome.run.run_id8} "
    return Panel(grid, title=title, title_align="left", border_style="cyan", padding=(0, 1))


def _sol(lamports: int, style: str, *, sign: bool = True) -> Text:
    return Text(f"{text.sol(lamports, sign=sign)} SOL", style=style)


def _wallet(outcome: Outcome, pnl_lamports: int) -> Text:
    same = outcome.wallet_delta_lamports == pnl_lamports
    mark = "  ✓ equal" if same else "  ✗ differs"
    return Text(f"{text.sol(outcome.wallet_delta_lamports)} SOL{mark}", style="green" if same else "bold red")


def _tape(tape: Checked) -> Panel:
    table = Grid("tape", ">lines", "")
    table.add_row("swaps", text.count(tape.swaps), ("✓ each paid what the chain paid, to the unit", "green"))
    table.add_row("liquidity changes", text.count(tape.liquidity_changes), "")
    table.add_row("fee collections", text.count(tape.fee_collections), "")
    table.add_row("new pools", text.count(tape.new_pools), "")
    end: Piece = ("not compared", "dim")
    if tape.differences is not None:
        end = ("✓ as recorded: price, tick, liquidity, protocol fees, all ticks", "green")
    if tape.differences:
        end = (f"✗ differs: {', '.join(tape.differences)}", "bold red")
    table.add_row("end of the day", "", end)
    return panels.framed("recorded day", table)


def _latency(outcome: Outcome) -> Panel:
    table = Grid("", ">samples", ">p50", ">p99", ">p99.9", ">max", f" {panels.SCALE_TITLE}")
    for name, one in outcome.stages.items():
        table.add_row(
            name,
            (text.count(one.samples), "dim"),
            (text.duration(one.p50), "cyan"),
            text.duration(one.p99),
            text.duration(one.p999),
            (text.duration(one.max), "dim"),
            panels.span(one),
        )
    return panels.framed("real time of duty cycles that did work, settlements, batches", table)


def _verdict(outcome: Outcome, torn_bytes: int) -> RenderableType:
    lines: list[Text] = []
    wrong = unbalanced(outcome)
    if not wrong:
        lines.append(Text("  ✓ all counters balance: in = out + rejected + dropped", style="green"))
    for balance in wrong:
        parts = " + ".join(f"{name} {n:,}" for name, n in balance.accounted.items()) or "0"
        lines.append(Text(f"  ✗ {balance.name}: {balance.taken:,} ≠ {parts}", style="bold red"))
    for service, reasons in report.losses(outcome.reading).items():
        told = ", ".join(f"{text.words(reason)} {n:,}" for reason, n in reasons.items())
        lines.append(Text(f"  ! {service} dropped messages: {told}", style="yellow"))
    if torn_bytes:
        lines.append(Text(f"  ! {torn_bytes:,} bytes of an unfinished write were left out", style="yellow"))
    kill = outcome.reading.kill
    if kill.killed:
        lines.append(Text(f"  ✗ killed: {text.words(kill.trigger)}, {kill.message}", style="bold red"))
    return Group(*lines)
