"""From the trip of the kill latch until another process has seen it, and what looking at it costs.

    +---------+  Control: killed  +---------+
    | tripper |------------------>| watcher |   looks at the latch in every turn of its loop,
    +---------+                   +---------+   or sleeps on a ring that carries the news
     cpu 0                         cpu 1

kill check:             ``if control.latch`` in a Python loop, the loop included.
kill check, property:   the same with ``control.killed``.
spinning:               the watcher does nothing but look.
parked:                 the watcher sleeps on the subscription to which the tripper publishes the news
afterwards. parked on another ring: nothing wakes it; it looks after each nap of 1 ms at most, as a parked
service does. Peers: multiprocessing.Event, asked or waited for. Measured from a clock reading right before
the call that trips to one right after the look that saw it: both readings (about 40 ns each) are included.
"""

import time
from array import array
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.synchronize import Event
from typing import Any, Protocol

from perf.cases import WorkerCase, limits, samples_of
from perf.engine import Case, Outcome, Plan, Shape
from perf.micro import Micro, Operation
from perf.peers.ring import new_name
from perf.workers import SPAWN, Stopwatch
from ringbuf import Control, Ring

SETTLE_NS = 30_000
PARK_SETTLE_NS = 300_000
NAP_NS = 1_000_000
NEWS = bytes(256)
RUN_ID = bytes(16)
CHECK = "if control.latch: raise SystemExit"
CHECK_PROPERTY = "if control.killed: raise SystemExit"


class Latch(Protocol):
    """What can be tripped, watched and reset."""

    def trip(self) -> int:
        """Trip, and tell whoever sleeps; the time right before, ns."""

    def is_tripped(self) -> bool:
        """Look."""

    def reset(self) -> None:
        """Let it run again."""

    def sleep(self) -> None:
        """Sleep until it may have been tripped."""

    def close(self) -> None:
        """Let go."""


class KillLatch:
    """Ours."""

    def __init__(self, control: str, ring: str, publishes: bool, subscribes: bool) -> None:
        self._control = Control.attach(control)
        self._ring = Ring.attach(ring)
        self._publication = self._ring.publication() if publishes else None
        self._subscription = self._ring.subscribe("watcher", gating=True) if subscribes else None

    def trip(self) -> int:
        """See Latch."""
        trip, now = self._control.trip, time.perf_counter_ns
        start = now()
        trip(1, "perf", "measured", start, 0)
        if self._publication is not None:
            self._publication.offer(NEWS)
        return start

    def is_tripped(self) -> bool:
        """See Latch."""
        return self._control.killed

    def reset(self) -> None:
        """See Latch."""
        self._control.reset("perf", "measured")

    def sleep(self) -> None:
        """See Latch."""
        assert self._subscription
        self._subscription.wait(NAP_NS)
        self._subscription.take()  # late news of the last trip must not keep the next sleep from being one

    def watch(self) -> int:
        """Spin until tripped; when it was seen, ns."""
        latch, now = self._control.latch, time.perf_counter_ns
        while not latch:
            pass
        return now()

    def close(self) -> None:
        """See Latch."""
        for end in (self._publication, self._subscription, self._control):
            if end is not None:
                end.close()


class EventLatch:
    """multiprocessing.Event."""

    def __init__(self, event: Event) -> None:
        self._event = event
        self.is_tripped = event.is_set

    def trip(self) -> int:
        """See Latch."""
        trip = self._event.set
        start = time.perf_counter_ns()
        trip()
        return start

    def reset(self) -> None:
        """See Latch."""
        self._event.clear()

    def sleep(self) -> None:
        """See Latch."""
        self._event.wait(1.0)

    def watch(self) -> int:
        """Spin until set; when it was seen, ns."""
        is_set, now = self._event.is_set, time.perf_counter_ns
        while not is_set():
            pass
        return now()

    def close(self) -> None:
        """Nothing to let go of."""


def _itself(kept: object) -> object:
    return kept


class Party:
    """Tripper or watcher."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._latch = make()

    def trips(self, n: int, settle_ns: int) -> tuple[bytes, int]:
        """Trip n times, each after the watcher's reset: (when, as array('q') bytes; CPU time)."""
        latch, now, watch = self._latch, time.perf_counter_ns, Stopwatch()
        trip = latch.trip
        when = array("q", bytes(8 * n))
        for i in range(n):
            while latch.is_tripped():
                pass
            due = now() + settle_ns + (i * 7919) % settle_ns  # of many lengths: not in step with any nap
            while now() < due:
                pass
            when[i] = trip()
        return when.tobytes(), watch.cpu_ns()

    def sees(self, n: int, parked: bool) -> tuple[bytes, int]:
        """See n trips and reset each: (when, as array('q') bytes; CPU time)."""
        latch, watch = self._latch, Stopwatch()
        when = array("q", bytes(8 * n))
        for i in range(n):
            while parked and not latch.is_tripped():
                latch.sleep()
            when[i] = latch.watch()
            latch.reset()
        return when.tobytes(), watch.cpu_ns()

    def close(self) -> None:
        """Let go."""
        self._latch.close()


class Propagation(WorkerCase):
    """One way to watch."""

    limit = 5_000

    def __init__(
        self,
        label: str,
        plan: Plan,
        *,
        parked: bool = False,
        news: bool = False,
        peer: bool = False,
        group: str,
        reference: bool = False,
    ) -> None:
        super().__init__(label, group=group, reference=reference)
        self._plan, self._parked, self._news, self._peer = plan, parked, news, peer

    def start(self) -> None:
        """See WorkerCase."""
        makers: list[Callable[[], Latch]]
        if self._peer:
            event = SPAWN.Event()
            self.keep(partial(_itself, event))  # a worker that starts later than we return still opens it
            makers = [partial(EventLatch, event), partial(EventLatch, event)]
        else:
            control = Control.create(new_name("control"), run_id=RUN_ID)
            ring = Ring.create(new_name("ring"), depth=64, mtu=len(NEWS))
            for segment in (control, ring):
                self.keep(segment.close)
                self.keep(segment.unlink)
            names = (control.name, ring.name)
            makers = [
                partial(KillLatch, *names, self._news, False),
                partial(KillLatch, *names, False, self._parked),
            ]
        self.add("tripper", self._plan.cpus[0], Party, makers[0])
        self.add("watcher", self._plan.cpus[1], Party, makers[1])

    def _run(self) -> tuple["array[int]", int]:
        tripper, watcher = self.workers
        watcher.begin("sees", self.count, self._parked)
        tripped, cpu_ns = tripper.call("trips", self.count, PARK_SETTLE_NS if self._parked else SETTLE_NS)
        seen, watcher_cpu_ns = watcher.end()
        pairs = zip(samples_of(tripped), samples_of(seen), strict=True)
        return array("q", (at - since for since, at in pairs)), cpu_ns + watcher_cpu_ns

    def elapsed_s(self) -> float:
        """See WorkerCase."""
        start = time.monotonic()
        self._run()
        return time.monotonic() - start

    def round(self) -> Outcome:
        """Trip to sight."""
        samples, cpu_ns = self._run()
        early = sum(sample < 0 for sample in samples)
        problems = [f"{early} trips seen before they happened"] if early else []
        return Outcome({"cpu_ns_per_message": cpu_ns / self.count}, samples, problems)


def check_ours(statement: str) -> Operation:
    """The look that every duty cycle takes."""
    control = Control.create(new_name("control"), run_id=RUN_ID)

    def close() -> None:
        control.unlink()
        control.close()

    return Operation(statement, {"control": control}, close=close)


def check_event() -> Operation:
    """The same with multiprocessing.Event."""
    event = SPAWN.Event()
    return Operation("if event.is_set(): raise SystemExit", {"event": event})


def cases(plan: Plan) -> Sequence[Case]:
    """The check, and the ways to watch."""
    found: list[Case] = [
        *limits(plan),
        Micro("kill check", plan, partial(check_ours, CHECK), group="check", reference=True),
        Micro("kill check, property", plan, partial(check_ours, CHECK_PROPERTY), group="property"),
        Propagation("spinning", plan, group="spinning", reference=True),
        Propagation("parked", plan, parked=True, news=True, group="parked", reference=True),
        Propagation("parked on another ring", plan, parked=True, group="parked elsewhere"),
    ]
    if plan.peers:
        found += [
            Micro("multiprocessing.Event check", plan, check_event, group="check"),
            Propagation("multiprocessing.Event spinning", plan, peer=True, group="spinning"),
            Propagation("multiprocessing.Event parked", plan, peer=True, parked=True, group="parked"),
        ]
    return found


SHAPE = Shape("kill_propagation", __doc__, cases)
