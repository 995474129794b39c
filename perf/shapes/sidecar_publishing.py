"""From a ring through the journal into a file-backed stream, until the server has acknowledged it.

    +--------+  ring   +---------+  socket  +-------------+
    | source |========>| sidecar |=========>| nats-server |
    +--------+ planned +----+----+<---------+-------------+
      cpu 0          journal on disk  acks     either cpu
                          cpu 1

sidecar_throughput: PlanRejected messages as fast as it goes (304 bytes: no record has 256, this is the next
larger one of a link that may lose nothing); from the first one's leaving to the last one's acknowledgement,
and the CPU time of the publishing process alone, its threads included.
sidecar_latency: 1,000/s, from the moment each message was due to its acknowledgement.

Ours is the whole service: each message verified, given its subject, written to a journal that is synced every
20 ms, read back and published with its id. The peers, nats-py's publish_async (4,000 pending) and its awaited
publish, send the same messages to the same subjects from memory, with ids, and keep nothing.
"""

import time
from collections.abc import Sequence

from perf.cases import WorkerCase, limits, samples_of, wrong_records
from perf.engine import Case, Outcome, Plan, Shape
from perf.publishing import House, Ours, Peer, Published, Source

RATE = 1_000
LEAD_NS = 20_000_000
TOLERANCE = 0.05


class Publishing(WorkerCase):
    """One way to publish; ``kind``: empty for ours."""

    limit = 200_000

    def __init__(self, plan: Plan, kind: str, *, paced: bool) -> None:
        label = f"nats-py {kind}" if kind else "sidecar"
        super().__init__(label, group="publish", reference=not kind)
        self._plan, self._kind, self._paced = plan, kind, paced

    def start(self) -> None:
        """See WorkerCase."""
        house = House()
        self.keep(house.close)
        if self._kind:
            self.add("publisher", self._plan.cpus[1], Peer, house.server.url, self._kind)
            return
        run = house.run.to_json()
        self.add("publisher", self._plan.cpus[1], Ours, run)
        self.add("source", self._plan.cpus[0], Source, run)

    def warm(self, seconds: float) -> None:
        """See WorkerCase."""
        if not self._paced:
            super().warm(seconds)
            return
        self.ready()
        self.count = max(int(RATE * max(seconds, 0.2)), 100)
        self.round()

    def elapsed_s(self) -> float:
        """See WorkerCase."""
        return self._fast()[1]

    def round(self) -> Outcome:
        """As fast as it goes, or at the stated rate."""
        if self._paced:
            return self._at_rate()
        published, elapsed_s = self._fast()
        metrics = {
            "rate_per_s": self.count / elapsed_s,
            "cpu_ns_per_message": published.cpu_ns / self.count,
            "received": float(self.count - published.wrong),
        }
        return Outcome(metrics, None, wrong_records(published.wrong, self.count))

    def _fast(self) -> tuple[Published, float]:
        begin_ns = time.perf_counter_ns()
        self.workers[0].begin("publish", self.count)
        if not self._kind:
            begin_ns = self.workers[1].call("send", self.count)
        published: Published = self.workers[0].end()
        return published, (published.at_ns - begin_ns) / 1e9

    def _at_rate(self) -> Outcome:
        interval_ns = 1_000_000_000 // RATE
        first_ns = time.perf_counter_ns() + LEAD_NS
        self.workers[0].begin("follow", self.count, first_ns, interval_ns)
        elapsed_ns = 0
        if not self._kind:
            elapsed_ns = self.workers[1].call("pace", self.count, first_ns, interval_ns)
        published: Published = self.workers[0].end()
        elapsed_ns = elapsed_ns or published.at_ns - first_ns + interval_ns
        rate = self.count / elapsed_ns * 1e9
        metrics = {"rate_per_s": rate, "cpu_ns_per_message": published.cpu_ns / self.count}
        problems = wrong_records(published.wrong, self.count)
        if rate < RATE * (1 - TOLERANCE):
            problems.append(f"sent {rate:,.0f}/s instead of the stated {RATE:,}/s")
        return Outcome(metrics, samples_of(published.samples), problems)


def _cases(plan: Plan, *, paced: bool) -> Sequence[Case]:
    kinds = [""]
    if "nats" in plan.peers:
        kinds += ["publish_async"] if paced else ["publish_async", "publish awaited"]
    return [*limits(plan), *(Publishing(plan, kind, paced=paced) for kind in kinds)]


def throughput(plan: Plan) -> Sequence[Case]:
    """As fast as it goes."""
    return _cases(plan, paced=False)


def latency(plan: Plan) -> Sequence[Case]:
    """At a stated rate."""
    return _cases(plan, paced=True)


THROUGHPUT = Shape("sidecar_throughput", __doc__, throughput)
LATENCY = Shape("sidecar_latency", __doc__, latency)
