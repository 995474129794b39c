"""The kill latch at 1,000 events/s: how long until the last service halts, and what is sent afterwards.

    trip ──> latch ──> feed · planner · executor · auditor · manager · cluster: each shows HALTED
                            │
    1,000 opportunities/s ──┘ of which some pay, are signed and sent ──> settlement.jsonl

Real processes over the local cluster; opportunities come at the stated rate in the scanner's place. Again and
again: trip once something was sent, wait until every service has noted when it first saw the latch
(``runner_halted_ns``), stay halted for a while, reset. Measured from a clock reading right before the trip.

NAME:         the same for this service, and the share of trips in which it was the last.
sent after:   submissions whose look at the latch came after the trip had returned: the executor reads the
              clock, then the latch, then lets a write pass; that time stands in each result. Must be 0.
last arrival: the longest time after a trip at which the cluster, by its own log, still got one, which had
              been let pass before. None but such may stand in the log between a trip and its reset.
"""

import threading
import time
from array import array
from collections.abc import Sequence
from dataclasses import replace

from solders.signature import Signature

from hft import wire
from hft.wire.enums import KillTrigger
from perf.cases import limits
from perf.engine import BUDGET_S, Case, Outcome, Plan, Shape
from perf.processes import Lasting, Processes, configured
from perf.synthetic import Offers, cheap_market
from ringbuf import Subscription

SERVICES = ("simnet", "auditor", "manager", "executor", "planner", "feed")
RATE = 1_000
SWAPS = 50
TRIPS, QUICK_TRIPS = 200, 5
HALTED_S = 0.03
LIMIT_S = 60.0
POLL_S = 0.0002


class Trip:
    """One halt: right before the trip, right after it, right before the reset (ns)."""

    __slots__ = ("after_ns", "before_ns", "reset_ns")

    def __init__(self, before_ns: int, after_ns: int) -> None:
        self.before_ns, self.after_ns, self.reset_ns = before_ns, after_ns, 0


class Halting(Lasting):
    """A pipeline under load that is halted again and again."""

    label = "trip to last service"
    group = "kill"
    reference = True
    missing = ""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._trips = TRIPS if plan.budget_s >= BUDGET_S else QUICK_TRIPS
        self._offers: Offers | None = None
        self._lets: dict[str, int] = {}

    def start(self) -> None:
        """Every service but the scanner."""
        config = configured(
            simnet={"swaps_per_second": SWAPS, "rival_ppm": 0},
            manager={"error_rate_ppm": 1_000_000, "heartbeat_limit_ms": 60_000, "drawdown_ppm": 1_000_000},
        )
        self._pipeline = Processes(config, SERVICES, self._plan.cpus, cheap_market)
        self._pipeline.start()

    def warm(self, seconds: float) -> None:
        """Until there are routes."""
        self._offers = offers = Offers(self.pipeline.run)
        self.pipeline.until("routes between its pools", offers.find, LIMIT_S)

    def round(self) -> Outcome:
        """So many trips; ``WorkerError`` when nothing is traded between two of them."""
        assert self._offers is not None
        pipeline, offers = self.pipeline, self._offers
        stop = threading.Event()
        offered: list[int] = []

        def feed() -> None:
            while not stop.is_set():
                offered.append(offers.offer(RATE, time.monotonic_ns() + 20_000_000))

        reader, feeder = pipeline.reader("executed"), threading.Thread(target=feed)
        begin_ns, known = time.monotonic_ns(), len(pipeline.settlements())
        feeder.start()
        try:
            trips = [self._trip(number, reader) for number in range(self._trips)]
        finally:
            stop.set()
            feeder.join()
        rate = sum(offered) / (time.monotonic_ns() - begin_ns) * 1e9
        pipeline.until("the end of all", lambda: not pipeline.count("executor", "open_plans"), LIMIT_S)
        self._read(reader)
        lost = reader.lost
        reader.close()
        samples = array("q", (max(halted) - trip.before_ns for trip, halted in trips))
        halts = [trip for trip, _ in trips]
        outcome = self._judged(halts, pipeline.settlements()[known:], samples, rate, lost)
        return replace(outcome, parts=parts_of(trips))

    def _trip(self, number: int, reader: Subscription) -> tuple[Trip, list[int]]:
        pipeline = self.pipeline
        control = pipeline.made.control
        sent = pipeline.count("executor", "submitted")
        pipeline.until("a submission", lambda: pipeline.count("executor", "submitted") > sent, LIMIT_S)
        time.sleep(number * 7919 % 10_000 / 1e6)
        before_ns = time.monotonic_ns()
        control.trip(int(KillTrigger.MANUAL), "perf", "measured", before_ns, time.time_ns())
        trip = Trip(before_ns, time.monotonic_ns())
        halted: list[int] = []

        def all_halted() -> bool:
            halted[:] = [pipeline.count(name, "runner_halted_ns") for name in SERVICES]
            return all(halted)

        pipeline.until("every service halted", all_halted, LIMIT_S)
        time.sleep(HALTED_S)
        self._read(reader)
        trip.reset_ns = time.monotonic_ns()
        control.reset("perf", "measured")
        pipeline.until(
            "every service running",
            lambda: not any(pipeline.count(name, "runner_halted_ns") for name in SERVICES),
            LIMIT_S,
        )
        return trip, halted

    def _read(self, reader: Subscription) -> None:
        """When each submission was let pass, by its signature."""
        for message in reader.take_batch(1_000):
            result = wire.execution_result.decode(message)
            self._lets[str(Signature(result.signature))] = result.submitted_ns

    def _judged(
        self,
        trips: Sequence[Trip],
        arrived: Sequence[dict[str, int]],
        samples: "array[int]",
        rate: float,
        lost: int,
    ) -> Outcome:
        after, last_ns, problems = 0, 0, []
        for trip in trips:
            late = [line for line in arrived if trip.after_ns < line["monotonic_ns"] < trip.reset_ns]
            for line in late:
                let_ns = self._lets.get(str(line["signature"]))
                if let_ns is None:
                    problems.append(f"{line['signature']} arrived in a halt and has no result")
                elif let_ns > trip.after_ns:
                    after += 1
            last_ns = max([last_ns, *(line["monotonic_ns"] - trip.before_ns for line in late)])
        if after:
            problems.append(f"{after} submissions after a trip")
        if lost:
            problems.append(f"{lost} results were not seen")
        if not arrived:
            problems.append("nothing was ever submitted")
        if rate < RATE * 0.95:
            problems.append(f"{rate:,.0f} events/s instead of the stated {RATE:,}/s")
        figures = {"rate_per_s": rate, "submissions": float(len(arrived)), "after_trip": float(after)}
        return Outcome({**figures, "last_arrival_ns": float(last_ns)}, samples, problems)

    def stop(self) -> None:
        """All of it."""
        if self._offers is not None:
            self._offers.close()
            self._offers = None
        super().stop()


def parts_of(trips: Sequence[tuple[Trip, list[int]]]) -> dict[str, Outcome]:
    """Each service's own time from a trip to its halt, and how often it was the last (ppm)."""
    parts = {}
    for place, name in enumerate(SERVICES):
        samples = array("q", (halted[place] - trip.before_ns for trip, halted in trips))
        last = sum(halted[place] == max(halted) for _, halted in trips)
        parts[name] = Outcome({"last_ppm": last * 1e6 / len(trips)}, samples)
    return parts


def cases(plan: Plan) -> Sequence[Case]:
    """One."""
    return [*limits(plan), Halting(plan)]


SHAPE = Shape("kill_under_load", __doc__, cases)
