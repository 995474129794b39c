"""Runs a shape: starts its cases, warms them up, runs them in turn for several rounds, and sums up."""

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from perf.histogram import Distribution
from perf.model import RATIO_METRICS, Curve, Report, percentiles, ratio, summarised
from perf.workers import WorkerError

DEFAULT_ROUNDS = 7
QUICK_ROUNDS = 3
BUDGET_S, QUICK_BUDGET_S = 60.0, 4.0


@dataclass(frozen=True)
class Plan:
    """How to run."""

    cpus: tuple[int, int]
    rounds: int = DEFAULT_ROUNDS
    peers: frozenset[str] = frozenset()
    """Keys of the peers wanted."""
    library: str = ""
    """The compiled native.c; "" for none."""
    library_missing: str = "not built"
    budget_s: float = BUDGET_S
    """Seconds that a shape may measure, start and warm-up apart."""
    seconds: float = 0.0
    """Length of a round, for shapes that can be of any; 0: as they like."""


@dataclass
class Outcome:
    """One round of one case."""

    metrics: dict[str, float]
    samples: "array[int] | None" = None
    problems: list[str] = field(default_factory=list)
    parts: dict[str, "Outcome"] = field(default_factory=dict)
    """What the samples are made up of, or what comes beside them: each a row of its own."""


class Case(Protocol):
    """One contender of a shape."""

    label: str
    group: str
    """Ratios are taken against the group's reference."""
    reference: bool
    """Ours, that the others are compared with."""
    missing: str
    """Why it can't run here; "" when it can."""

    def start(self) -> None:
        """Begin to start its workers."""

    def warm(self, seconds: float) -> None:
        """Wait until it is ready, run it in and choose what a round of so many seconds is."""

    def round(self) -> Outcome:
        """Measure once."""

    def stop(self) -> None:
        """End its workers, free its memory. Idempotent."""


@dataclass(frozen=True)
class Shape:
    """A pattern of processes and links."""

    name: str
    doc: str
    cases: Callable[[Plan], Sequence[Case]]


Progress = Callable[[str, float], None]
"""progress(what is going on, share done 0..1)"""

LIMIT_SECONDS = 0.12
"""A round of the C limit and of the hiccup meter."""


def run(shape: Shape, plan: Plan, report: Report, progress: Progress) -> None:
    """Run one shape into a report. What can't run is named in report.skipped, what went wrong in .errors."""
    cases = []
    for case in shape.cases(plan):
        if case.missing:
            report.skipped.append({"shape": shape.name, "case": case.label, "why": case.missing})
        else:
            cases.append(case)
    rounds: dict[str, list[dict[str, float]]] = {case.label: [] for case in cases}
    curves = {case.label: Distribution() for case in cases}
    try:
        for number, case in enumerate(cases):
            progress(f"starting {case.label}", 0.1 * number / len(cases))
            case.start()
        seconds = min(plan.budget_s / (plan.rounds * max(len(cases), 1)), 0.6)
        for number, case in enumerate(list(cases)):
            progress(f"warming up {case.label}", 0.1 + 0.1 * number / len(cases))
            _guarded(case, cases, report, shape, partial(case.warm, seconds))
        for turn in range(plan.rounds):
            for number, case in enumerate(list(cases)):
                done = (turn + number / len(cases)) / plan.rounds
                progress(f"round {turn + 1}/{plan.rounds} {case.label}", 0.2 + 0.8 * done)
                outcome = _guarded(case, cases, report, shape, case.round)
                if outcome is not None:
                    _collect(outcome, case, rounds, curves, report, shape)
    finally:
        for case in cases:
            case.stop()
    _sum_up(shape, cases, rounds, curves, report)


def _guarded(
    case: Case, cases: list[Case], report: Report, shape: Shape, step: Callable[[], Outcome | None]
) -> Outcome | None:
    """Run a step of a case; a case that fails is told of, ended and left out from then on."""
    try:
        return step()
    except (WorkerError, OSError, ValueError) as error:
        report.errors.append(f"{shape.name}: {case.label} failed: {error}")
        case.stop()
        cases.remove(case)
        return None


def _collect(
    outcome: Outcome,
    case: Case,
    rounds: dict[str, list[dict[str, float]]],
    curves: dict[str, Distribution],
    report: Report,
    shape: Shape,
) -> None:
    metrics = dict(outcome.metrics)
    if outcome.samples:
        metrics = {**percentiles(outcome.samples), **metrics}
        curves[case.label].add(outcome.samples)
    rounds[case.label].append(metrics)
    for part, row in outcome.parts.items():
        figures = {**percentiles(row.samples), **row.metrics} if row.samples else row.metrics
        rounds.setdefault(f"{case.label}: {part}", []).append(figures)
    report.errors.extend(f"{shape.name}: {case.label}: {problem}" for problem in outcome.problems)


def _sum_up(
    shape: Shape,
    cases: Sequence[Case],
    rounds: dict[str, list[dict[str, float]]],
    curves: dict[str, Distribution],
    report: Report,
) -> None:
    for case in cases:
        report.results.extend(summarised(shape.name, case.label, rounds[case.label]))
        if curves[case.label].count:
            curve = curves[case.label]
            report.curves.append(Curve(shape.name, case.label, curve.count, curve.points()))
        for label in [label for label in rounds if label.startswith(f"{case.label}: ")]:
            report.results.extend(summarised(shape.name, label, rounds[label]))
    for ours in (case for case in cases if case.reference):
        for peer in cases:
            if peer is ours or peer.group != ours.group:
                continue
            for metric in RATIO_METRICS:
                found = ratio(
                    shape.name, metric, (ours.label, rounds[ours.label]), (peer.label, rounds[peer.label])
                )
                if found:
                    report.ratios.append(found)
