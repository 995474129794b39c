"""What a service pays to count, and that an outside reader sees every count.

    +---------+  add, record, beat  +---------------+  read   +--------+
    | service |====================>| Counters page |<--------| reader |
    +---------+                     +---------------+         +--------+
     cpu 0

Operations in a Python loop, the loop included; the totals are checked through a second mapping of the page.
Peers: multiprocessing.Value under its lock, and an HdrHistogram in Python.
"""

from collections.abc import Sequence
from typing import Any

from perf.cases import limits
from perf.engine import Case, Plan, Shape
from perf.micro import Micro, Operation
from perf.peers.ring import new_name
from perf.workers import SPAWN
from ringbuf import Counters

NAMES = tuple(f"counter_{i}" for i in range(16))


def _page() -> tuple[Counters, Counters]:
    name = new_name("counters")
    page = Counters.create(name, counters=NAMES, histograms=("latency_ns",), label="perf")
    return page, Counters.attach(name)


def _operation(statement: str, **extra: Any) -> Operation:
    page, outside = _page()

    def check(done: int) -> str:
        counted = outside.read()["counter_3"] or outside.histogram("latency_ns").count
        return "" if counted in {0, done} else f"{counted} counted instead of {done}"

    def close() -> None:
        outside.close()
        page.unlink()
        page.close()

    names = {"add": page.add, "record": page.record, "beat": page.beat, "outside": outside, **extra}
    return Operation(statement, names, check, close=close)


def add() -> Operation:
    """Add 1 to a counter."""
    return _operation("add(3)")


def record() -> Operation:
    """Record a latency."""
    return _operation("record(0, 12345)")


def beat() -> Operation:
    """Write the heartbeat."""
    return _operation("beat(1234567890123456)")


def read() -> Operation:
    """All 16 counters, from outside."""
    return _operation("outside.read()")


def value_add() -> Operation:
    """multiprocessing.Value, under its lock."""
    value = SPAWN.Value("Q", 0)

    def check(done: int) -> str:
        return "" if value.value == done else f"{value.value} counted instead of {done}"

    return Operation("with lock:\n    value.value += 1", {"value": value, "lock": value.get_lock()}, check)


def hdr_record() -> Operation:
    """hdrhistogram's record_value."""
    from hdrh.histogram import HdrHistogram

    histogram = HdrHistogram(1, 60_000_000_000, 3)

    def check(done: int) -> str:
        return "" if histogram.total_count == done else f"{histogram.total_count} recorded instead of {done}"

    return Operation("record_value(12345)", {"record_value": histogram.record_value}, check)


def cases(plan: Plan) -> Sequence[Case]:
    """Ours and the peers."""
    found: list[Case] = [
        *limits(plan),
        Micro("Counters.add", plan, add, group="add", reference=True),
        Micro("Counters.record", plan, record, group="record", reference=True),
        Micro("Counters.beat", plan, beat, group="beat", reference=True),
        Micro("Counters.read of 16", plan, read, group="read", reference=True),
    ]
    if plan.peers:
        found += [
            Micro("multiprocessing.Value += 1", plan, value_add, group="add"),
            Micro("HdrHistogram.record_value", plan, hdr_record, group="record"),
        ]
    return found


SHAPE = Shape("counters", __doc__, cases)
