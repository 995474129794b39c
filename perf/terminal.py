"""Progress while a run goes on, and its result as tables."""

from typing import Any

from rich.console import Console
from rich.table import Table

from perf.goals import verdicts
from perf.model import Report
from perf.text import HEADINGS, figure, limits_said, tabled_cases, times


def show(report: Report, console: Console) -> None:
    """All tables."""
    console.print(machine(report.host), highlight=False)
    for shape in dict.fromkeys(result.shape for result in report.results):
        console.print(shape_table(report, shape))
    found = verdicts(report)
    if found:
        console.print(goal_table(report))
    for skipped in report.skipped:
        console.print(f"skipped: {skipped['shape']} {skipped['case']}: {skipped['why']}", highlight=False)
    for error in report.errors:
        console.print(f"[bold red]error:[/] {error}", highlight=False)


def machine(host: dict[str, Any]) -> str:
    """What the figures are of, in a line."""
    parts = (
        f"[bold]{host.get('cpu_model', '?')}[/]",
        f"{host.get('cpus', '?')} CPUs, pinned to {host.get('pinning', '?')}",
        f"governor {host.get('governor', '?')}",
        f"kernel {host.get('kernel', '?')}",
        f"Python {host.get('python', '?')}",
        f"load {', '.join(f'{load:.1f}' for load in host.get('load_average', []))}",
    )
    return ", ".join(parts)


def shape_table(report: Report, shape: str) -> Table:
    """One row a case, one column a metric, and how many times better ours was."""
    results = [result for result in report.results if result.shape == shape]
    cases = tabled_cases(report, shape)
    metrics = [m for m in HEADINGS if any(r.metric == m and r.case in cases for r in results)]
    table = Table(title=shape, title_justify="left", title_style="bold")
    table.add_column("case")
    for metric in metrics:
        table.add_column(HEADINGS[metric], justify="right", no_wrap=True)
    table.add_column("ours is better", justify="right", no_wrap=True)
    table.caption, table.caption_justify = limits_said(report, shape), "left"
    for case in cases:
        values = {result.metric: result.value for result in results if result.case == case}
        row = [figure(metric, values[metric]) if metric in values else "" for metric in metrics]
        table.add_row(case, *row, lead(report, shape, case))
    return table


def lead(report: Report, shape: str, case: str) -> str:
    """The ratio of the case's main metric, if it has one."""
    for metric in ("p50_ns", "rate_per_s", "ns_per_operation", "bytes"):
        for ratio in report.ratios:
            if (ratio.shape, ratio.peer, ratio.metric) == (shape, case, metric):
                return times(ratio.times)
    return ""


def goal_table(report: Report) -> Table:
    """Aims and figures."""
    table = Table(title="figures and aims", title_justify="left", title_style="bold")
    for heading in ("shape", "figure"):
        table.add_column(heading)
    for heading in ("aim", "measured", ""):
        table.add_column(heading, justify="right", no_wrap=True)
    for goal, measured, met in verdicts(report):
        sign = "≥" if goal.at_least else "≤"
        table.add_row(
            goal.shape,
            goal.text,
            f"{sign} {goal.shown(goal.bound)}",
            goal.shown(measured),
            "[green]met[/]" if met else "[red]missed[/]",
        )
    return table


def markdown(report: Report) -> str:
    """The host in a line, then aims and figures, for a document."""
    host = report.host
    lines = [
        f"{host['cpu_model']}, {host['cpus']} CPUs, kernel {host['kernel']}, Python {host['python']}; "
        f"medians of {host['rounds']} interleaved rounds.",
        "",
        "| shape | figure | aim | measured | |",
        "|---|---|---:|---:|---|",
    ]
    for goal, measured, met in verdicts(report):
        sign = "≥" if goal.at_least else "≤"
        lines.append(
            f"| {goal.shape} | {goal.text} | {sign} {goal.shown(goal.bound)} | {goal.shown(measured)} "
            f"| {'met' if met else 'missed'} |"
        )
    return "\n".join(lines)
