"""The hot path: from account bytes read off the socket to the signed bytes of a trade, handed to the sender.

    +---------+   WebSocket  +------+ market_data +---------+ opportunities +---------+ planned  +----------+
    | cluster |=============>| feed |------------>| scanner |-------------->| planner |=========>| executor |
    +---------+   loopback   +------+             +---------+               +---------+          +----------+
       cpu 0                    cpu 1: all four, parked, as `hft start` places them

The pipeline's own processes; the local cluster with the shipped market, whose pools its order flow moves.
Trades come of that market: each is signed, journalled, sent, landed. Everything is read from the stamps in
the messages: from ``received_ns``, when the first account of the update was read off the socket, to
``signed_ns``, when the executor had handed the signed bytes over; each stage and hand-off between is a share
of that.

1,000 updates/s: so many accounts a second off the socket; a swap on the cluster changes about three.
Each round has a pipeline of its own: one that waits for its turn would go on trading beside the other.
no real time: ``[cpus] real_time = off``; else the later on the way, the higher the priority, where allowed.
simulated: the planner runs each plan's transaction first (``[service:planner] simulate``).
CPU/message: CPU time of a service over all it did, for each update; of the case, of the four together.
"""

import time
from array import array
from collections.abc import Sequence

from hft import wire
from perf.cases import limits
from perf.engine import BUDGET_S, Case, Outcome, Plan, Shape
from perf.processes import Processes, configured

SERVICES = ("simnet", "auditor", "manager", "executor", "planner", "scanner", "feed")
RATES = (1_000,)
ACCOUNTS_A_SWAP = 3
TOLERANCE = 0.1
SECONDS, QUICK_SECONDS = 20.0, 3.0
WARM_TRADES, WARM_LIMIT_S = 10, 60.0
POLL_S = 0.05
STAMPS = (
    "received_ns",
    "feed_published_ns",
    "scan_received_ns",
    "scan_published_ns",
    "plan_received_ns",
    "plan_published_ns",
    "exec_received_ns",
    "signed_ns",
)
PARTS = ("feed", "feed→scanner", "scanner", "scanner→planner", "planner", "planner→executor", "executor")
HOT = ("feed", "scanner", "planner", "executor")


class Trading:
    """A pipeline that trades, at one rate of updates."""

    missing = ""
    _services: Sequence[str] = SERVICES

    def __init__(
        self,
        plan: Plan,
        rate: int,
        reference: bool = False,
        simulate: str = "off",
        real_time: str = "auto",
    ) -> None:
        told = ", simulated" * (simulate == "on") + ", no real time" * (real_time == "off")
        self.label = f"{rate:,} updates/s{told}"
        self.group = f"{rate}" if real_time == "auto" else "no real time"
        self._simulate, self._real_time = simulate, real_time
        self.reference = reference
        self._plan, self._rate = plan, rate
        self._seconds = SECONDS if plan.budget_s >= BUDGET_S else QUICK_SECONDS

    def start(self) -> None:
        """Nothing: each round starts its own."""

    def warm(self, seconds: float) -> None:
        """Nothing: a round has its own warm-up."""

    def round(self) -> Outcome:
        """Some seconds of trades, once it trades."""
        config = configured(
            simnet={"swaps_per_second": self._rate // ACCOUNTS_A_SWAP},
            planner={"simulate": self._simulate},
            cpus={"real_time": self._real_time},
            # Many trades lose against the next swap, and a busy machine is late: neither may end this.
            manager={"error_rate_ppm": 1_000_000, "heartbeat_limit_ms": 60_000, "drawdown_ppm": 1_000_000},
        )
        pipeline = Processes(config, self._services, self._plan.cpus)
        try:
            pipeline.start()
            self._ready(pipeline)
            return self._measured(pipeline)
        finally:
            pipeline.stop()

    def stop(self) -> None:
        """Nothing is left."""

    def _ready(self, pipeline: Processes) -> None:
        """Wait until it trades."""
        pipeline.until(
            "the first trades", lambda: pipeline.count("executor", "signed") >= WARM_TRADES, WARM_LIMIT_S
        )

    def _measured(self, pipeline: Processes) -> Outcome:
        reader = pipeline.reader("executed")
        results: list[wire.ExecutionResult] = []
        before, since_ns = _spent(pipeline), time.monotonic_ns()
        until_ns, limit_ns = since_ns + int(self._seconds * 1e9), since_ns + int(WARM_LIMIT_S * 1e9)
        try:
            while (now_ns := time.monotonic_ns()) < until_ns or (not results and now_ns < limit_ns):
                time.sleep(POLL_S)
                results += [wire.execution_result.decode(one) for one in reader.take_batch(1_000)]
            pipeline.check()
        finally:
            reader.close()
        elapsed_s = (time.monotonic_ns() - since_ns) / 1e9
        updates, *cpu_ns = (now - then for now, then in zip(_spent(pipeline), before, strict=True))
        found = [one for one in results if one.signed_ns]
        problems = [] if found else [f"no trade in {elapsed_s:.0f} s"]
        if reader.lost:
            problems.append(f"{reader.lost} results were not seen")
        if updates / elapsed_s < self._rate * (1 - TOLERANCE):
            problems.append(f"{updates / elapsed_s:,.0f} updates/s instead of the stated {self._rate:,}/s")
        samples = array("q", (one.signed_ns - one.received_ns for one in found))
        each = {name: spent / max(updates, 1) for name, spent in zip(HOT, cpu_ns, strict=True)}
        metrics = {"rate_per_s": updates / elapsed_s, "trades": float(len(found))}
        metrics["cpu_ns_per_message"] = sum(each.values())
        return Outcome(metrics, samples, problems, parts_of(found, each))


def _spent(pipeline: Processes) -> tuple[int, ...]:
    """Updates so far, CPU time of each hot service, ns."""
    return pipeline.count("feed", "in_accounts"), *(pipeline.cpu_ns(name) for name in HOT)


def parts_of(found: Sequence[wire.ExecutionResult], cpu_ns: dict[str, float]) -> dict[str, Outcome]:
    """Each stage and hand-off with its share; ``cpu_ns`` of a service: its CPU time for each update. Then
    the sending, which comes after what is measured."""
    stamps = [[getattr(one, name) for name in STAMPS] for one in found]
    whole = sum(row[-1] - row[0] for row in stamps)
    parts = {}
    for place, part in enumerate(PARTS):
        samples = array("q", (row[place + 1] - row[place] for row in stamps))
        metrics = {"share_ppm": sum(samples) * 1e6 / whole} if whole else {}
        if part in cpu_ns:
            metrics["cpu_ns_per_message"] = cpu_ns[part]
        parts[part] = Outcome(metrics, samples)
    sent = array("q", (one.submitted_ns - one.signed_ns for one in found if one.submitted_ns))
    return {**parts, "then journal and socket": Outcome({}, sent)}


def cases(plan: Plan) -> Sequence[Case]:
    """At the stated rate; the same without real time, and with simulation."""
    found: list[Case] = [*limits(plan)]
    for rate in RATES:
        found += [
            Trading(plan, rate, reference=True),
            Trading(plan, rate, real_time="off"),
            Trading(plan, rate, simulate="on"),
        ]
    return found


SHAPE = Shape("tick_to_trade", __doc__, cases)
