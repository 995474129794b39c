"""500 opportunities/s for minutes: nothing lost, memory flat, every counter balanced.

    +--------+ opportunities +---------+ planned  +----------+ executed +---------+ metrics +---------+
    | offers |-------------->| planner |=========>| executor |=========>| auditor |-------->| manager |
    +--------+    500/s      +---------+          +----------+          +---------+         +---------+
                  feed, sidecar with its nats-server, event_logger and the local cluster beside them

Real processes; the offers come in the scanner's place, of real routes, and the planner decides. The market is
the shipped one at next to no fee, so that more pays. At the end all are drained in order, as `hft stop` does.

planned:  plans and rejections. executed: results. lost: messages of these two links that any gating reader
          did not get. unbalanced: equations of counters (in = out + rejected + dropped by reason) that do not
          hold; `hft start` reports by the same. All are 0 or an error.
drift:    memory that a process shares with nobody, its mean over the last tenth against that over the first
          tenth after the warm-up, of the service that grew most. An error above 2 % where a round is long
          enough to tell: `python -m perf run load --rounds 1 --seconds 600`.
"""

import time
from collections.abc import Sequence
from statistics import mean

from hft.runtime import topology
from hft.runtime.monitor import Reading
from hft.runtime.report import balances
from perf.cases import limits
from perf.engine import BUDGET_S, Case, Outcome, Plan, Shape
from perf.processes import Processes, configured
from perf.synthetic import Offers, cheap_market

SERVICES = tuple(spec.name for spec in topology.services("paper") if spec.name != "scanner")
RATE = 500
SWAPS = 50
SECONDS, QUICK_SECONDS = 60.0, 3.0
WARM_SHARE = 0.2
TELLING_S = 300.0
DRIFT_PPM = 20_000
TOLERANCE = 0.05
STEP_S = 0.5
LIMIT_S = 30.0
NEVER_LOST = ("planned", "executed")


class Load:
    """One run a round, from start to drained."""

    label = f"{RATE} opportunities/s"
    group = "load"
    reference = True
    missing = ""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._seconds = plan.seconds or (SECONDS if plan.budget_s >= BUDGET_S else QUICK_SECONDS)

    def start(self) -> None:
        """Nothing: each round starts its own."""

    def warm(self, seconds: float) -> None:
        """Nothing: a round has its own warm-up."""

    def round(self) -> Outcome:
        """Load, drain, sum up."""
        config = configured(
            simnet={"swaps_per_second": SWAPS, "rival_ppm": 0},
            # Many trades lose against the next swap, and a busy machine is late: neither may end this.
            manager={"error_rate_ppm": 1_000_000, "heartbeat_limit_ms": 60_000, "drawdown_ppm": 1_000_000},
        )
        pipeline = Processes(config, SERVICES, self._plan.cpus, cheap_market)
        try:
            pipeline.start()
            offers = Offers(pipeline.run)
            try:
                pipeline.until("routes between its pools", offers.find, LIMIT_S)
                rate, memory = self._offered(pipeline, offers)
            finally:
                offers.close()
            undrained = pipeline.drain()
            return self._judged(pipeline.reading(), rate, memory, undrained)
        finally:
            pipeline.stop()

    def _offered(self, pipeline: Processes, offers: Offers) -> tuple[float, dict[str, list[int]]]:
        """Offers a second, and what each service's own memory was, step by step, after the warm-up."""
        memory: dict[str, list[int]] = {name: [] for name in SERVICES}
        begin_ns = time.monotonic_ns()
        until_ns, offered = begin_ns + int(self._seconds * 1e9), 0
        while (now_ns := time.monotonic_ns()) < until_ns:
            offered += offers.offer(RATE, min(now_ns + int(STEP_S * 1e9), until_ns))
            pipeline.check()
            if now_ns - begin_ns > (until_ns - begin_ns) * WARM_SHARE:
                for name, seen in memory.items():
                    seen.append(pipeline.own_bytes(name))
        return offered / (time.monotonic_ns() - begin_ns) * 1e9, memory

    def _judged(
        self, reading: Reading, rate: float, memory: dict[str, list[int]], undrained: list[str]
    ) -> Outcome:
        drifts = {name: drift_ppm(seen) for name, seen in memory.items()}
        wrong = [one for one in balances(reading) if not one.holds]
        lost = sum(lost_of(reading, link) for link in NEVER_LOST)
        problems = [f"{one.name}: {one.missing} of {one.taken} unaccounted for" for one in wrong]
        problems += [f"{name} did not drain" for name in undrained]
        if lost:
            problems.append(f"{lost} messages lost on {' and '.join(NEVER_LOST)}")
        if rate < RATE * (1 - TOLERANCE):
            problems.append(f"{rate:,.0f} opportunities/s instead of the stated {RATE:,}/s")
        if self._seconds >= TELLING_S:
            problems += [
                f"{name}'s memory drifted by {ppm / 10_000:.1f} %"
                for name, ppm in drifts.items()
                if ppm > DRIFT_PPM
            ]
        figures = {"rate_per_s": rate, "lost": float(lost), "unbalanced": float(len(wrong))}
        figures |= {link: float(reading.links[link].published) for link in NEVER_LOST}
        parts = {
            name: Outcome({"memory_bytes": float(seen[-1]), "drift_ppm": drifts[name]})
            for name, seen in memory.items()
            if seen
        }
        return Outcome({**figures, "drift_ppm": max(drifts.values())}, None, problems, parts)

    def stop(self) -> None:
        """Nothing is left."""


def drift_ppm(seen: Sequence[int]) -> float:
    """Mean of the last tenth against that of the first, in millionths; 0 of nothing."""
    tenth = max(len(seen) // 10, 1)
    return (mean(seen[-tenth:]) / mean(seen[:tenth]) - 1) * 1e6 if seen else 0.0


def lost_of(reading: Reading, link: str) -> int:
    """Messages of a link that a gating reader lost or left."""
    readers = reading.links[link].readers
    return sum(readers[name].lost + readers[name].unread for name in topology.link(link).gating)


def cases(plan: Plan) -> Sequence[Case]:
    """One."""
    return [*limits(plan), Load(plan)]


SHAPE = Shape("load", __doc__, cases)
