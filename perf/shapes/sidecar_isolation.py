"""What the sidecar costs the hot path: the same three hops with it, without it, and with NATS stopped.

    +---------+ opportunities +---------+  planned  +----------+ executed +---------+
    | scanner |-------------->| planner |==========>| executor |=========>| auditor |
    +---------+               +---------+           +----------+          +---------+
       cpu 0                     cpu 1                 cpu 0                 cpu 1
                         every link, two of them gating: the sidecar, on either cpu

Processes that only hand on, over the pipeline's own rings, with the pipeline's own messages, parked as they
are on two cores; 500/s. Measured at the auditor: from the moment at which an opportunity was due until its
result is there. The sidecar is the real service: it verifies, journals, syncs, publishes to file-backed
streams.
"""

import time
from array import array
from collections.abc import Sequence

import ringbuf
from hft import wire
from hft.runtime.context import Run
from perf.cases import WorkerCase, limits, samples_of
from perf.engine import Case, Outcome, Plan, Shape
from perf.publishing import House, Ours, message
from ringbuf.idle import make_idle

RATE = 500
LEAD_NS = 20_000_000
TOLERANCE = 0.05
HOPS = (
    ("planner", "opportunities", "planned", wire.execution_plan),
    ("executor", "planned", "executed", wire.execution_result),
)


class Hop:
    """A service that hands on: a message of its own for every one that comes."""

    def __init__(self, run_json: str, name: str, source: str, target: str, codec: str) -> None:
        run = Run.from_json(run_json)
        self._rings = [ringbuf.Ring.attach(run.segment("ring", link)) for link in (source, target) if link]
        self._into = self._out = None
        if source:
            self._into = self._rings[0].subscribe(name, gating=source != "opportunities", from_start=True)
        if target:
            self._out = self._rings[-1].publication()
        self._idle = make_idle("park", self._into)
        self._message = message(wire.codec_named(codec), 1) if codec else b""

    def scan(self, n: int, first_ns: int, interval_ns: int) -> int:
        """n opportunities, one an interval; how long that took."""
        assert self._out is not None
        for i in range(n):
            due = first_ns + i * interval_ns
            while (left := due - time.perf_counter_ns()) > 0:
                time.sleep(left / 1e9)
            self._out.offer(self._message)
        return time.perf_counter_ns() - first_ns + interval_ns

    def relay(self, n: int) -> None:
        """Hand n messages on."""
        assert self._into is not None
        assert self._out is not None
        for _ in range(n):
            while self._into.take() is None:
                self._idle.idle(0)
            while not self._out.offer(self._message):
                self._idle.idle(0)

    def sink(self, n: int, first_ns: int, interval_ns: int) -> bytes:
        """Lateness of n messages, ns, an array('q')."""
        assert self._into is not None
        samples = array("q", bytes(8 * n))
        for i in range(n):
            while self._into.take() is None:
                self._idle.idle(0)
            samples[i] = time.perf_counter_ns() - first_ns - i * interval_ns
        return samples.tobytes()

    def close(self) -> None:
        """Let go of the rings."""
        for end in (self._into, self._out, *self._rings):
            if end is not None:
                end.close()


class Path(WorkerCase):
    """The hot path, and what stands beside it."""

    def __init__(self, plan: Plan, label: str, *, sidecar: bool, nats: bool, reference: bool = False) -> None:
        super().__init__(label, group="path", reference=reference)
        self._plan, self._sidecar, self._nats = plan, sidecar, nats

    def start(self) -> None:
        """See WorkerCase."""
        self._house = house = House()
        self.keep(house.close)
        run, cpus = house.run.to_json(), self._plan.cpus
        if self._sidecar:
            self.add("sidecar", None, Ours, run, "executed")
        self.add("auditor", cpus[1], Hop, run, "auditor", "executed", "", "")
        for (name, source, target, codec), cpu in zip(HOPS, (cpus[1], cpus[0]), strict=True):
            self.add(name, cpu, Hop, run, name, source, target, codec.layout.name)
        self.add("scanner", cpus[0], Hop, run, "scanner", "", "opportunities", "TwoHopOpportunity")

    def warm(self, seconds: float) -> None:
        """See WorkerCase."""
        self.ready()
        if not self._nats:
            self._house.server.stop()
        self.count = max(int(RATE * max(seconds, 0.2)), 50)
        self.round()

    def round(self) -> Outcome:
        """One paced run."""
        *beside, auditor, planner, executor, scanner = self.workers
        interval_ns, first_ns = 1_000_000_000 // RATE, time.perf_counter_ns() + LEAD_NS
        for worker in beside:
            worker.begin("accompany", self.count)
        auditor.begin("sink", self.count, first_ns, interval_ns)
        for worker in (planner, executor):
            worker.begin("relay", self.count)
        elapsed_ns = scanner.call("scan", self.count, first_ns, interval_ns)
        for worker in (planner, executor, *beside):
            worker.end()
        samples = samples_of(auditor.end())
        rate = self.count / elapsed_ns * 1e9
        problems = []
        if rate < RATE * (1 - TOLERANCE):
            problems.append(f"sent {rate:,.0f}/s instead of the stated {RATE:,}/s")
        return Outcome({"rate_per_s": rate}, samples, problems)


def cases(plan: Plan) -> Sequence[Case]:
    """Off, on, and on without NATS."""
    return [
        *limits(plan),
        Path(plan, "sidecar off", sidecar=False, nats=True, reference=True),
        Path(plan, "sidecar on", sidecar=True, nats=True),
        Path(plan, "sidecar on, NATS stopped", sidecar=True, nats=False),
    ]


SHAPE = Shape("sidecar_isolation", __doc__, cases)
