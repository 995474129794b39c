"""A report as one HTML page that needs nothing but itself."""

import time
from functools import partial
from html import escape
from pathlib import Path
from textwrap import dedent
from typing import Any

from perf.goals import verdicts
from perf.model import Report, Result
from perf.plots import Row, Series, bars, curves
from perf.text import HEADINGS, duration, figure, limits_said, tabled_cases, times

STYLE = Path(__file__).with_name("page.css")
MAIN_METRICS = ("p50_ns", "rate_per_s", "ns_per_operation", "bytes")
"""The metrics that are plotted as bars, and whose ratio is told."""
WORDS = {
    "p50_ns": "p50, lower is better",
    "rate_per_s": "rate, higher is better",
    "ns_per_operation": "time of an operation, lower is better",
    "bytes": "size, lower is better",
}
CURVE_LIMIT = 12
LIMITS = frozenset({"hiccups", "C cache line", "C ring"})


def page(report: Report) -> str:
    """The whole page."""
    from perf.catalogue import SHAPES

    shapes = list(dict.fromkeys(result.shape for result in report.results))
    links = " ".join(f'<a href="#{escape(shape)}">{escape(shape)}</a>' for shape in shapes)
    body = [
        "<h1>What the rings cost</h1>",
        _machine(report),
        f"<nav>{links}</nav>" if len(shapes) > 1 else "",
        _troubles(report),
        _goals(report),
        *(_shape(report, shape, SHAPES[shape].doc if shape in SHAPES else "") for shape in shapes),
        _skipped(report),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>perf</title><style>\n{STYLE.read_text()}</style></head><body><main>\n"
        + "\n".join(filter(None, body))
        + "\n</main></body></html>\n"
    )


def _machine(report: Report) -> str:
    host = report.host
    started = host.get("started_unix")
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(started)) if started else "?"
    load = ", ".join(f"{load:.1f}" for load in host.get("load_average", []))
    facts = {
        "CPU": f"{host.get('cpu_model', '?')}, {host.get('cpus', '?')} CPUs",
        "pinned to": ", ".join(f"cpu {cpu}" for cpu in host.get("pinning", [])),
        "thread siblings": host.get("thread_siblings", "?"),
        "governor": host.get("governor", "?"),
        "virtual machine": "yes" if host.get("hypervisor") else "no",
        "kernel": host.get("kernel", "?"),
        "Python": host.get("python", "?"),
        "load at start": load or "?",
        "rounds": f"{host.get('rounds', '?')}{' (quick: a smoke test)' if host.get('quick') else ''}",
        "started": when,
    }
    cells = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(str(value))}</dd></div>" for name, value in facts.items()
    )
    packages = ", ".join(f"{name} {number}" for name, number in host.get("packages", {}).items())
    return f'<dl class="facts">{cells}</dl><p class="small">Peers: {escape(packages or "none")}</p>'


def _troubles(report: Report) -> str:
    lost = [r.value for r in report.results if (r.case, r.metric) == ("hiccups", "lost_ppm")]
    found = []
    if lost and max(lost) > 50_000:
        found.append(
            f"<p>The machine was busy with other work: up to {max(lost) / 10_000:.0f} % of the time of a "
            "process that only reads the clock was lost to gaps over 10 µs. Compare inside a shape, and do "
            "not read the tails.</p>"
        )
    if report.errors:
        items = "".join(f"<li>{escape(error)}</li>" for error in report.errors)
        found.append(f"<p>Errors of this run:</p><ul>{items}</ul>")
    return f'<section class="trouble">{"".join(found)}</section>' if found else ""


def _goals(report: Report) -> str:
    rows = []
    for goal, measured, met in verdicts(report):
        sign = "≥" if goal.at_least else "≤"
        share = measured / goal.bound if goal.at_least else goal.bound / max(measured, 1e-9)
        word = "met" if met else "missed"
        filled = min(share, 2.0) * 50
        rows.append(
            f"<tr><td>{escape(goal.shape)}</td><td>{escape(goal.text)}</td>"
            f"<td>{sign} {escape(_figure(goal, goal.bound))}</td>"
            f'<td class="strong">{escape(_figure(goal, measured))}</td>'
            f'<td><div class="meter"><i class="{word}" style="width:{filled:.0f}%"></i><b></b></div></td>'
            f'<td class="{word}">{word}</td></tr>'
        )
    if not rows:
        return ""
    return (
        "<section><h2>Figures and aims</h2><p class='small'>The mark in the middle of a bar is the aim; a "
        "bar that passes it is better. Ratios: the median over the rounds of ours against the peer's of the "
        "same round.</p><div class='wide'><table><thead><tr><th>shape</th><th>figure</th><th>aim</th>"
        "<th>measured</th><th></th><th></th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div></section>"
    )


def _figure(goal: Any, value: float) -> str:
    return times(value) if goal.ratio else figure(goal.metric, value)


def _kind(report: Report, shape: str, case: str) -> str:
    if case in LIMITS:
        return "limit"
    ours = {ratio.ours for ratio in report.ratios if ratio.shape == shape}
    own = case in ours or case.startswith(
        ("ringbuf", "hft.wire", "Table.", "Counters.", "spinning", "parked")
    )
    return "ours" if own or case == "kill check" else "peer"


def _shape(report: Report, shape: str, doc: str) -> str:
    results = [result for result in report.results if result.shape == shape]
    cases = tabled_cases(report, shape)
    plots: list[str] = []
    for metric in MAIN_METRICS:
        rows = [
            Row(r.case, r.value, r.runs, _kind(report, shape, r.case), _note(report, shape, r.case, metric))
            for r in results
            if r.metric == metric
            and r.case in cases
            and (metric != "rate_per_s" or not _has_p50(results, r.case))
        ]
        if rows:
            plot = bars(rows, partial(figure, metric), f"{shape}: {WORDS[metric]}")
            plots.append(f"<h3>{WORDS[metric]}; a dot a round</h3><div class='wide'>{plot}</div>")
    series = [
        Series(curve.case, curve.points, _kind(report, shape, curve.case))
        for curve in report.curves
        if curve.shape == shape
    ]
    if any(each.kind != "limit" for each in series):
        series.sort(key=lambda each: ("ours", "limit", "peer").index(each.kind))
        plot = curves(series[:CURVE_LIMIT], duration, f"{shape}: latency by percentile")
        plots.append(f"<h3>latency by percentile, all rounds</h3><div class='wide'>{plot}</div>")
    return (
        f'<section id="{escape(shape)}"><h2>{escape(shape)}</h2>{_doc(doc)}{"".join(plots)}'
        f"{_table(report, shape)}</section>"
    )


def _doc(doc: str) -> str:
    """A shape's docstring: indented paragraphs are drawings."""
    parts = []
    for paragraph in filter(None, doc.strip().split("\n\n")):
        drawn = paragraph.startswith("    ") or ":  " in paragraph
        tag = "pre" if drawn else "p"
        parts.append(f"<{tag}>{escape(dedent(paragraph) if drawn else paragraph)}</{tag}>")
    return "".join(parts)


def _has_p50(results: list[Result], case: str) -> bool:
    return any(r.case == case and r.metric == "p50_ns" for r in results)


def _note(report: Report, shape: str, case: str, metric: str) -> str:
    for ratio in report.ratios:
        if (ratio.shape, ratio.peer, ratio.metric) == (shape, case, metric):
            return f"({times(ratio.times)})"
    return ""


def _table(report: Report, shape: str) -> str:
    results = [result for result in report.results if result.shape == shape]
    cases = tabled_cases(report, shape)
    metrics = [m for m in HEADINGS if any(r.metric == m and r.case in cases for r in results)]
    head = "".join(f"<th>{escape(HEADINGS[metric])}</th>" for metric in metrics)
    rows = []
    for case in cases:
        values = {result.metric: result.value for result in results if result.case == case}
        cells = "".join(
            f"<td>{escape(figure(metric, values[metric])) if metric in values else ''}</td>"
            for metric in metrics
        )
        lead = next(filter(None, (_note(report, shape, case, m).strip("()") for m in MAIN_METRICS)), "")
        rows.append(
            f'<tr class="{_kind(report, shape, case)}"><td>{escape(case)}</td>{cells}'
            f'<td class="strong">{lead}</td></tr>'
        )
    return (
        f"<div class='wide'><table class='figures'><thead><tr><th>case</th>{head}<th>ours is better</th></tr>"
        f"</thead><tbody>{''.join(rows)}</tbody></table></div>"
        f"<p class='small'>{escape(limits_said(report, shape))}</p>"
    )


def _skipped(report: Report) -> str:
    if not report.skipped:
        return ""
    items = "".join(
        f"<li>{escape(s['shape'])}: {escape(s['case'])}: {escape(s['why'])}</li>" for s in report.skipped
    )
    return f"<section><h2>Skipped</h2><ul>{items}</ul></section>"
