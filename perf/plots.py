"""Plots as inline SVG: figures on a logarithmic scale with every round's dot, and percentile curves."""

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple

WIDTH = 940
LABEL_WIDTH = 250
VALUE_WIDTH = 90
ROW = 24
CURVE_HEIGHT = 380
LEFT, RIGHT, TOP, BOTTOM = 70, 16, 14, 40
LEGEND = 250
SERIES = 12
LAST = 99.99
"""The last percentile on the axis; the maximum is in the table."""
"""Colours that the page defines as --s0 (ours) to --s11."""

Show = Callable[[float], str]


class Row(NamedTuple):
    """A case in a bar plot."""

    label: str
    value: float
    runs: Sequence[float]
    kind: str
    """``ours``, ``limit`` or ``peer``: the colour."""
    note: str = ""


class Series(NamedTuple):
    """A case in a percentile plot."""

    label: str
    points: Sequence[tuple[float, float]]
    kind: str


def decades(low: float, high: float) -> list[float]:
    """Powers of ten that cover low..high; both must be positive."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    return [10.0**power for power in range(first, max(last, first + 1) + 1)]


def bars(rows: Sequence[Row], show: Show, title: str) -> str:
    """One bar a case on a logarithmic scale; dots are the rounds."""
    rows = [row for row in rows if row.value > 0]
    if not rows:
        return ""
    everything = [value for row in rows for value in (row.value, *row.runs) if value > 0]
    ticks = decades(min(everything) * 0.9, max(everything))
    left, right = LABEL_WIDTH, WIDTH - VALUE_WIDTH
    span = math.log10(ticks[-1]) - math.log10(ticks[0])

    def x(value: float) -> float:
        return left + (math.log10(value) - math.log10(ticks[0])) / span * (right - left)

    height = TOP + ROW * len(rows) + BOTTOM
    bottom = TOP + ROW * len(rows)
    parts = [_open(height, title)]
    for tick in ticks:
        parts.append(_line(x(tick), TOP, x(tick), bottom, "grid"))
        parts.append(_text(x(tick), bottom + 18, _round(show(tick)), "tick", "middle"))
    for number, row in enumerate(rows):
        middle = TOP + ROW * number + ROW / 2
        parts.append(_text(left - 10, middle + 4, row.label, f"label {row.kind}", "end"))
        width = max(x(row.value) - left, 1)
        place = f'x="{left}" y="{middle - 7:.1f}" width="{width:.1f}" height="14" rx="2"'
        parts.append(f'<rect class="bar {row.kind}" {place}/>')
        for value in row.runs:
            if value > 0:
                parts.append(f'<circle class="dot" cx="{x(value):.1f}" cy="{middle:.1f}" r="2.4"/>')
        said = f"{show(row.value)}{'  ' + row.note if row.note else ''}"
        end = max(x(value) for value in (row.value, *row.runs) if value > 0)
        parts.append(_text(end + 7, middle + 4, said, f"value {row.kind}", "start"))
    return "\n".join((*parts, "</svg>"))


def curves(series: Sequence[Series], show: Show, title: str) -> str:
    """Latency by percentile: every step to the right has ten times fewer samples above it."""
    series = [each for each in series if each.points]
    if not series:
        return ""
    values = [max(value, 1.0) for each in series for _, value in each.points]
    ticks = decades(min(values), max(values))
    right, bottom = WIDTH - LEGEND, CURVE_HEIGHT - BOTTOM
    span = math.log10(ticks[-1]) - math.log10(ticks[0])

    def x(percentile: float) -> float:
        nines = -math.log10(max(1 - percentile / 100, 1e-4))
        return LEFT + nines / 4 * (right - LEFT)

    def y(value: float) -> float:
        return bottom - (math.log10(max(value, 1.0)) - math.log10(ticks[0])) / span * (bottom - TOP)

    parts = [_open(CURVE_HEIGHT, title)]
    for tick in ticks:
        parts.append(_line(LEFT, y(tick), right, y(tick), "grid"))
        parts.append(_text(LEFT - 8, y(tick) + 4, _round(show(tick)), "tick", "end"))
    for percentile in (0.0, 50.0, 90.0, 99.0, 99.9, 99.99):
        parts.append(_line(x(percentile), TOP, x(percentile), bottom, "grid"))
        said = f"p{percentile:g}" if percentile else "p0"
        parts.append(_text(x(percentile), bottom + 18, said, "tick", "middle"))
    for number, each in enumerate(series):
        colour = f"stroke:var(--s{number % SERIES})"
        path = " ".join(f"{x(q):.1f},{y(value):.1f}" for q, value in each.points if q <= LAST)
        parts.append(f'<polyline class="curve {each.kind}" style="{colour}" points="{path}"/>')
        at = TOP + 10 + number * 20
        parts.append(
            f'<line class="curve {each.kind}" style="{colour}" x1="{right + 18}" x2="{right + 42}" '
            f'y1="{at}" y2="{at}"/>'
        )
        parts.append(_text(right + 50, at + 4, each.label, f"legend {each.kind}", "start"))
    return "\n".join((*parts, "</svg>"))


def _round(said: str) -> str:
    """``1.00 µs`` as ``1 µs``."""
    return said.replace(".00", "").replace(".0", "")


def _open(height: float, title: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" role="img" '
        f'aria-label="{escape(title, quote=True)}">'
    )


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, kind: str, anchor: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
