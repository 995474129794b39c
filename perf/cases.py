"""The kinds of cases that shapes are made of."""

import math
import os
import tempfile
from array import array
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from perf.actors import Court, Ends, HiccupMeter, Moved, Pinged
from perf.engine import LIMIT_SECONDS, Case, Outcome, Plan
from perf.native import load
from perf.peers import PEERS, Link, Transport
from perf.workers import Worker

WARM_MESSAGES = 64
WARM_SECONDS = 0.03
WARM_TRIALS = 7
LEAST_MESSAGES = 200
HICCUP_NS = 10_000
ROUND_LIMIT = 20_000
"""Messages of one latency round: more samples than that say nothing new."""


class WorkerCase:
    """A case with workers: started together, ended together."""

    def __init__(self, label: str, *, group: str = "", reference: bool = False, missing: str = "") -> None:
        self.label = label
        self.group = group
        self.reference = reference
        self.missing = missing
        self.workers: list[Worker] = []
        self.count = WARM_MESSAGES
        """Messages of a round."""
        self._closers: list[Callable[[], object]] = []

    def add(self, name: str, cpu: int | None, make: Callable[..., Any], *arguments: Any) -> None:
        """Start a worker."""
        self.workers.append(Worker(f"{self.label}: {name}", cpu, make, *arguments))

    def keep(self, close: Callable[[], object]) -> None:
        """Have this called at the end, last first."""
        self._closers.append(close)

    def start(self) -> None:
        """Overridden: adds the workers."""
        raise AssertionError(f"{self.label}: start() is missing")

    def round(self) -> Outcome:
        """Overridden: measures."""
        raise AssertionError(f"{self.label}: round() is missing")

    def elapsed_s(self) -> float:
        """Run self.count messages; how long that took."""
        raise AssertionError(f"{self.label}: elapsed_s() is missing")

    def ready(self) -> None:
        """Wait until every worker has built its actor."""
        for worker in self.workers:
            worker.end()

    def warm(self, seconds: float) -> None:
        """Wait for the workers, then find how many messages a round of so many seconds has."""
        self.ready()
        best_s = math.inf  # a message; the best of some trials, as another process may hold any of them up
        for _ in range(WARM_TRIALS):
            elapsed = self.elapsed_s()
            best_s = min(best_s, elapsed / self.count)
            if elapsed < min(WARM_SECONDS, seconds):
                self.count = self.rounded(min(self.limit, self.count * 4))
        self.count = self.rounded(min(self.limit, max(LEAST_MESSAGES, int(seconds / best_s))))

    limit = ROUND_LIMIT

    def rounded(self, count: int) -> int:
        """The next possible number of messages."""
        return count

    def stop(self) -> None:
        """End the workers, then free what they shared. Idempotent."""
        for worker in self.workers:
            worker.stop()
        self.workers.clear()
        while self._closers:
            with suppress(OSError):
                self._closers.pop()()


def samples_of(raw: bytes) -> "array[int]":
    """An array('q') from its bytes."""
    samples = array("q")
    samples.frombytes(raw)
    return samples


def wrong_records(wrong: int, count: int) -> list[str]:
    """The problem, if there is one, that records came changed, twice, not at all or out of order."""
    return [f"{wrong} of {count} records were not what was sent at their place"] if wrong else []


class PingPong(WorkerCase):
    """Two pinned processes, a link each way."""

    def __init__(
        self,
        transport: Transport,
        plan: Plan,
        *,
        label: str = "",
        parked: bool = False,
        group: str = "",
        reference: bool = False,
    ) -> None:
        super().__init__(
            label or transport.label, group=group, reference=reference, missing=transport.missing()
        )
        self._transport, self._cpus, self._suffix = transport, plan.cpus, "_parked" * parked

    def start(self) -> None:
        """See WorkerCase."""
        there, back = self._transport.link(1, 256), self._transport.link(1, 256)
        self.keep(there.close)
        self.keep(back.close)
        asynchronous = self._transport.asynchronous
        self.add("ping", self._cpus[0], Ends, there.sender, back.readers[0], asynchronous)
        self.add("pong", self._cpus[1], Ends, back.sender, there.readers[0], asynchronous)

    def _run(self) -> tuple[Pinged, int]:
        ping, pong = self.workers
        pong.begin(f"pong{self._suffix}", self.count)
        pinged: Pinged = ping.call(f"ping{self._suffix}", self.count)
        return pinged, pong.end()

    def elapsed_s(self) -> float:
        """See WorkerCase."""
        return self._run()[0].elapsed_ns / 1e9

    def round(self) -> Outcome:
        """Round trips."""
        pinged, pong_cpu_ns = self._run()
        return pinged_outcome(pinged, pong_cpu_ns, self.count)


def pinged_outcome(pinged: Pinged, pong_cpu_ns: int, count: int) -> Outcome:
    """A round of round trips."""
    metrics = {
        "rate_per_s": count / pinged.elapsed_ns * 1e9,
        "cpu_ns_per_message": (pinged.cpu_ns + pong_cpu_ns) / (2 * count),
        "received": float(count - pinged.wrong),
    }
    return Outcome(metrics, samples_of(pinged.samples), wrong_records(pinged.wrong, count))


class Stream(WorkerCase):
    """One producer, one or more consumers that each take every record; as fast as it goes."""

    limit = 2_000_000

    def __init__(
        self,
        transport: Transport,
        plan: Plan,
        *,
        readers: int = 1,
        batch: int = 0,
        idle: str = "",
        label: str = "",
        group: str = "",
        reference: bool = False,
    ) -> None:
        missing = transport.missing()
        if batch and not missing and not transport.batches:
            missing = "has no call for a batch"
        super().__init__(label or transport.label, group=group, reference=reference, missing=missing)
        self._transport, self._cpus = transport, plan.cpus
        self._readers, self._batch, self._idle = readers, batch, idle

    def start(self) -> None:
        """See WorkerCase."""
        link: Link = self._transport.link(self._readers, 256)
        self.keep(link.close)
        how = (self._transport.asynchronous, self._idle)
        self.add("producer", self._cpus[0], Ends, link.sender, None, *how)
        for i, reader in enumerate(link.readers):
            self.add(f"consumer {i + 1}", self._cpus[(i + 1) % 2], Ends, None, reader, *how)

    def rounded(self, count: int) -> int:
        """Whole batches."""
        return max(count // self._batch, 1) * self._batch if self._batch else count

    def _run(self) -> tuple[Moved, list[Moved]]:
        producer, *consumers = self.workers
        for consumer in consumers:
            consumer.begin("consume", self.count, self._batch)
        producer.begin("produce", self.count, self._batch)
        ends: list[Moved] = [consumer.end() for consumer in consumers]
        start: Moved = producer.end()
        return start, ends

    def elapsed_s(self) -> float:
        """See WorkerCase."""
        start, ends = self._run()
        return (max(end.at_ns for end in ends) - start.at_ns) / 1e9

    def round(self) -> Outcome:
        """The rate from the first record's leaving to the last one's arrival everywhere."""
        start, ends = self._run()
        elapsed_ns = max(end.at_ns for end in ends) - start.at_ns
        wrong = sum(end.wrong for end in ends)
        metrics = {
            "rate_per_s": self.count / elapsed_ns * 1e9,
            "cpu_ns_per_message": (start.cpu_ns + sum(end.cpu_ns for end in ends)) / self.count,
            "received": float(self.count * len(ends) - wrong),
        }
        return Outcome(metrics, None, wrong_records(wrong, self.count * len(ends)))


class NativePair(WorkerCase):
    """Two pinned processes in plain C: "line", "ring" or "stream"."""

    def __init__(self, plan: Plan, kind: str, label: str, *, group: str = "limit") -> None:
        super().__init__(label, group=group, missing="" if plan.library else plan.library_missing)
        self._plan, self._kind = plan, kind
        # Few enough that two spinning processes that share the machine are done within their time slices.
        self.limit = 1_000_000 if kind == "stream" else 5_000

    def start(self) -> None:
        """See WorkerCase."""
        library = self._plan.library
        handle, path = tempfile.mkstemp(prefix="perf-court-", dir="/dev/shm")
        os.ftruncate(handle, load(library).court_bytes())
        os.close(handle)
        self.keep(partial(Path(path).unlink, missing_ok=True))
        for name, cpu in zip(("left", "right"), self._plan.cpus, strict=True):
            self.add(name, cpu, Court, library, path)

    def warm(self, seconds: float) -> None:
        """See WorkerCase; the limit gets a short turn."""
        super().warm(seconds if self._kind == "stream" else min(seconds, LIMIT_SECONDS))

    def elapsed_s(self) -> float:
        """See WorkerCase."""
        if self._kind == "stream":
            start, end = self._stream()
            return (end.at_ns - start.at_ns) / 1e9
        return self._ping()[0].elapsed_ns / 1e9

    def _stream(self) -> tuple[Moved, Moved]:
        left, right = self.workers
        right.begin("consume", self.count)
        return left.call("produce", self.count), right.end()

    def _ping(self) -> tuple[Pinged, int]:
        left, right = self.workers
        right.begin("pong", self._kind, self.count)
        return left.call("ping", self._kind, self.count), right.end()

    def round(self) -> Outcome:
        """Round trips or a rate."""
        if self._kind != "stream":
            return pinged_outcome(*self._ping(), self.count)
        start, end = self._stream()
        metrics = {
            "rate_per_s": self.count / (end.at_ns - start.at_ns) * 1e9,
            "cpu_ns_per_message": (start.cpu_ns + end.cpu_ns) / self.count,
            "received": float(self.count - end.wrong),
        }
        return Outcome(metrics, None, wrong_records(end.wrong, self.count))


class Hiccups(WorkerCase):
    """The time that the machine takes from two pinned processes that only read the clock."""

    def __init__(self, plan: Plan) -> None:
        super().__init__("hiccups", group="limit")
        self._plan = plan
        self._ns = 50_000_000

    def start(self) -> None:
        """See WorkerCase."""
        for cpu in sorted(set(self._plan.cpus)):
            self.add(f"cpu {cpu}", cpu, HiccupMeter, self._plan.library)

    def warm(self, seconds: float) -> None:
        """See WorkerCase."""
        self.ready()
        self._ns = int(min(seconds, LIMIT_SECONDS) * 1e9)

    def round(self) -> Outcome:
        """Gaps of HICCUP_NS and more."""
        for worker in self.workers:
            worker.begin("measure", self._ns, HICCUP_NS)
        gaps: list[int] = []
        for worker in self.workers:
            gaps += worker.end()
        watched_ns = self._ns * len(self.workers)
        return Outcome(
            {
                "lost_ppm": min(sum(gaps) / watched_ns, 1.0) * 1e6,
                "gaps_per_s": len(gaps) / watched_ns * 1e9,
                "max_ns": float(max(gaps, default=0)),
            }
        )


def limits(plan: Plan, line_group: str = "limit") -> list[Case]:
    """What every shape's figures stand beside: the hiccup meter and the raw C ping-pong."""
    return [Hiccups(plan), NativePair(plan, "line", "C cache line", group=line_group)]


def wanted_peers(plan: Plan, *, without: Sequence[Transport] = ()) -> list[Transport]:
    """The peers that this run asks for."""
    return [peer for peer in PEERS if peer.key in plan.peers and peer not in without]
