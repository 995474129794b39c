"""Figures as people read them."""

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
    "cpu_ns_per_message": "CPU/message",
    "ns_per_operation": "an operation",
    "bytes": "size",
    "peak_allocated_bytes": "allocated",
    "lost_ppm": "time lost",
    "gaps_per_s": "gaps > 10 µs",
    "puts_per_s": "puts",
    "received": "checked/round",
}
"""Columns, in their order."""
