"""Figures as people read them."""

from perf.model import Report

UNITS = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns"))


def duration(ns: float) -> str:
    """Three digits and a unit: ``1.13 µs``."""
    for size, unit in UNITS:
        if abs(ns) >= size:
            return f"{digits(ns / size)} {unit}"
    return f"{digits(ns)} ns"


def digits(value: float) -> str:
    """About three digits that say something."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def rate(per_second: float) -> str:
    """``1.25 M/s``."""
    for size, unit in ((1e6, "M/s"), (1e3, "k/s")):
        if per_second >= size:
            return f"{digits(per_second / size)} {unit}"
    return f"{digits(per_second)}/s"


def figure(metric: str, value: float) -> str:
    """A figure of this metric with its unit."""
    if metric.endswith("_per_s"):
        return rate(value)
    if metric.endswith("_ns") or metric.startswith("ns_per") or metric.startswith("cpu_ns"):
        return duration(value)
    if metric.endswith("_ppm"):
        return f"{value / 10_000:.2f} %"
    if metric == "bytes" or metric.endswith("_bytes"):
        return f"{value:,.0f} B"
    return f"{value:,.0f}"


def times(value: float) -> str:
    """``152×``."""
    return f"{digits(value)}×"


HEADINGS = {
    "p50_ns": "p50",
    "p90_ns": "p90",
    "p99_ns": "p99",
    "p99_9_ns": "p99.9",
    "max_ns": "max",
    "rate_per_s": "rate",
    "longest_collection_ns": "longest collection",
    "cpu_ns_per_message": "CPU/message",
    "ns_per_crossing": "a crossing",
    "ns_per_operation": "an operation",
    "bytes": "size",
    "peak_allocated_bytes": "allocated",
    "puts_per_s": "puts",
    "received": "checked",
    "trades": "trades",
    "planned": "planned",
    "executed": "executed",
    "updates": "updates",
    "taken": "taken",
    "told": "told",
    "lost": "lost",
    "unbalanced": "unbalanced",
    "memory_bytes": "memory",
    "drift_ppm": "drift",
    "submissions": "submissions",
    "after_trip": "sent after",
    "last_arrival_ns": "last arrival",
    "share_ppm": "share",
    "last_ppm": "was last",
}
"""Columns, in their order."""


def tabled_cases(report: Report, shape: str) -> list[str]:
    """The cases of a shape's table; what all shapes share is said beneath it, by limits_said()."""
    compared = {ratio.peer for ratio in report.ratios if ratio.shape == shape}
    cases = dict.fromkeys(result.case for result in report.results if result.shape == shape)
    return [case for case in cases if case != "hiccups" and (case != "C cache line" or case in compared)]


def limits_said(report: Report, shape: str) -> str:
    """The physical limit and the machine's own pauses in the same minutes."""
    said = []
    line = report.value(shape, "C cache line", "p50_ns")
    if line is not None:
        said.append(f"a bare cache line in C bounces in {duration(line)} (p50)")
    lost, gaps, longest = (
        report.value(shape, "hiccups", metric) for metric in ("lost_ppm", "gaps_per_s", "max_ns")
    )
    if lost is not None and gaps is not None and longest is not None:
        said.append(
            f"the machine took {lost / 10_000:.1f} % of the time in gaps over 10 µs "
            f"({digits(gaps)}/s, the longest {duration(longest)})"
        )
    return f"In the same minutes {', and '.join(said)}." if said else ""
