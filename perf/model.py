"""What a run yields: the JSON form, and the arithmetic from samples to figures to ratios."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

PERCENTILES: tuple[tuple[str, float], ...] = (
    ("p50_ns", 50.0),
    ("p90_ns", 90.0),
    ("p99_ns", 99.0),
    ("p99_9_ns", 99.9),
    ("max_ns", 100.0),
)
HIGHER_IS_BETTER = frozenset({"rate_per_s"})
"""Every other metric is better when it is lower."""
RATIO_METRICS = ("p50_ns", "p99_ns", "rate_per_s", "ns_per_operation", "bytes", "cpu_ns_per_message")


class ReportError(Exception):
    """A report file that can't be read; the message says what is wrong with it."""


@dataclass
class Result:
    """One figure of a case: ``value`` is the median of ``runs``, one a round (of ``max_ns`` the greatest)."""

    shape: str
    case: str
    metric: str
    value: float
    runs: list[float]


@dataclass
class Ratio:
    """How many times better ours was than the peer: the median over the rounds in which both ran."""

    shape: str
    metric: str
    peer: str
    times: float
    ours: str
    runs: list[float]


@dataclass
class Curve:
    """A case's whole distribution over all rounds, from an HdrHistogram: (percentile, ns)."""

    shape: str
    case: str
    samples: int
    points: list[tuple[float, float]]


@dataclass
class Report:
    """A run."""

    host: dict[str, Any]
    results: list[Result] = field(default_factory=list)
    ratios: list[Ratio] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)
    """shape, case and why."""
    errors: list[str] = field(default_factory=list)
    """A stated rate that was not met, a record lost, repeated, changed or out of order."""

    def value(self, shape: str, case: str, metric: str) -> float | None:
        """One figure."""
        found = (r.value for r in self.results if (r.shape, r.case, r.metric) == (shape, case, metric))
        return next(found, None)

    def save(self, path: Path) -> None:
        """Write the JSON form."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> "Report":
        """Read the JSON form; ReportError."""
        try:
            raw = json.loads(path.read_text())
            return cls(
                raw["host"],
                [Result(**each) for each in raw["results"]],
                [Ratio(**each) for each in raw["ratios"]],
                [
                    Curve(each["shape"], each["case"], each["samples"], [(q, ns) for q, ns in each["points"]])
                    for each in raw.get("curves", [])
                ],
                raw.get("skipped", []),
                raw.get("errors", []),
            )
        except OSError as error:
            raise ReportError(f"{path}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise ReportError(f"{path} is no report of `python -m perf run --json`: {error!r}") from error


def percentile(ordered: Sequence[int], q: float) -> int:
    """The value that q per cent of an ascending, non-empty sequence do not exceed."""
    return ordered[max(0, math.ceil(len(ordered) * q / 100) - 1)]


def percentiles(samples: Iterable[int]) -> dict[str, float]:
    """PERCENTILES of some samples."""
    ordered = sorted(samples)
    return {name: float(percentile(ordered, q)) for name, q in PERCENTILES}


def summarised(shape: str, case: str, rounds: Sequence[dict[str, float]]) -> list[Result]:
    """Figures over the rounds of one case."""
    names = list(dict.fromkeys(name for each in rounds for name in each))
    results = []
    for name in names:
        runs = [each[name] for each in rounds if name in each]
        results.append(Result(shape, case, name, max(runs) if name == "max_ns" else median(runs), runs))
    return results


def ratio(
    shape: str,
    metric: str,
    ours: tuple[str, Sequence[dict[str, float]]],
    peer: tuple[str, Sequence[dict[str, float]]],
) -> Ratio | None:
    """How many times better ours was; None when they have no such metric in one round."""
    times = []
    for mine, other in zip(ours[1], peer[1], strict=False):
        a, b = mine.get(metric), other.get(metric)
        if a and b:
            times.append(a / b if metric in HIGHER_IS_BETTER else b / a)
    return Ratio(shape, metric, peer[0], median(times), ours[0], times) if times else None
