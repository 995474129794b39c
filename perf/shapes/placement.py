"""Where hot services run that get no core of their own: together on one core, so but for the feed, or among
all others on all.

    split                            split_feed                       shared
    +------------------------------+ +------------------------------+ +------------------------------+
    | cpu 1: feed scanner planner  | | cpu 1: scanner planner       | | cpu 0 and 1: feed scanner    |
    |        executor              | |        executor              | |   planner executor, simnet,  |
    +------------------------------+ +------------------------------+ |   sidecar, auditor, manager, |
    | cpu 0: all others            | | cpu 0: feed, all others      | |   nats-server                |
    +------------------------------+ +------------------------------+ +------------------------------+

Whole pipelines in paper mode, one after the other on the same CPUs, a new one each round: the time from
account bytes received to signed bytes, and the hand-off from planner to executor, from the stamps in the
messages. A parked service is woken on its own core by a switch alone; on another, idle one by an interrupt
and a wake-up; but what wakes it goes on meanwhile. Real time as the settings give it (``[cpus] real_time``).
At 1,000 swaps a second the local cluster alone fills most of a core.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from perf.cases import limits
from perf.engine import BUDGET_S, Case, Outcome, Plan, Shape

RATES = (50, 1_000)
PLACEMENTS = ("split", "split_feed", "shared")
SECONDS, QUICK_SECONDS = 20, 5
LIMIT_S = 180

TOLERANT = (
    *("--set", "service:manager.error_rate_ppm=1000000"),
    *("--set", "service:manager.heartbeat_limit_ms=60000"),
)
"""On a busy machine many trades come too late and fail; a halt would end the measurement."""


class Placed:
    """Pipelines of one placement at one rate of swaps."""

    missing = ""

    def __init__(self, placement: str, rate: int, plan: Plan) -> None:
        self.label = f"{placement}, {rate:,} swaps/s"
        self.group = f"{rate} swaps/s"
        self.reference = placement == "split"
        self._seconds = SECONDS if plan.budget_s >= BUDGET_S else QUICK_SECONDS
        self._options = (
            *("--cpus", ",".join(str(cpu) for cpu in sorted(set(plan.cpus)))),
            *("--set", f"cpus.placement={placement}", "--set", f"simnet.swaps_per_second={rate}"),
        )

    def start(self) -> None:
        """Nothing: each round starts its own."""

    def warm(self, seconds: float) -> None:
        """Nothing: the length of a round is given."""

    def round(self) -> Outcome:
        """One run from start to report."""
        with tempfile.TemporaryDirectory(prefix="perf-placement-") as folder:
            report = _run(Path(folder), self._seconds, self._options)
        signed = report["latency_ns"].get("tick_to_signed")
        if signed is None:
            return Outcome({}, problems=[f"no trade in {self._seconds} s"])
        metrics = {"p50_ns": float(signed["p50"]), "p99_ns": float(signed["p99"])}
        for name in ("feed_scanner", "scanner_planner", "planner_executor"):
            handoff = report["latency_ns"].get(f"handoff_{name}")
            if handoff is not None:
                metrics[f"{name}_p50_ns"] = float(handoff["p50"])
        return Outcome(metrics)

    def stop(self) -> None:
        """Nothing is left."""


def _run(folder: Path, seconds: int, options: Sequence[str]) -> dict[str, Any]:
    """The report of a headless run; ``ValueError`` with its last words when there is none."""
    file = folder / "report.json"
    command = [sys.executable, "-m", "hft.cli.main", "start", "--headless", "--duration", str(seconds)]
    command += ["--report", str(file), "--state-dir", str(folder / "state"), *options, *TOLERANT]
    command += ["--set", f"hft.prefix=perf{os.getpid()}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    if not file.exists():
        raise ValueError(
            (done.stderr.strip() or done.stdout.strip())[-300:] or f"exit code {done.returncode}"
        )
    loaded: dict[str, Any] = json.loads(file.read_text())
    return loaded


def cases(plan: Plan) -> Sequence[Case]:
    """Each placement at both rates."""
    return [
        *limits(plan),
        *(Placed(placement, rate, plan) for rate in RATES for placement in PLACEMENTS),
    ]


SHAPE = Shape("placement", __doc__, cases)
