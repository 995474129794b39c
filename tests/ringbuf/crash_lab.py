"""Run by test_crash.py against a core built with crash points: one death by SIGKILL, and what the others see.

Usage: crash_lab.py SCENARIO POINT AFTER… — the child dies when it passes POINT for the (AFTER + 1)-th time.
"""

import os
import select
import signal
import sys
from collections.abc import Callable
from typing import Any

from ringbuf_support import record, sequence_of, start, until

from ringbuf import Control, Publication, Ring, Subscription, Table, _core

SIZE = 200
KEYS = [bytes([i]) * 32 for i in range(5)]


def doomed(work: Callable[[], object], point: int, after: int) -> int:
    """Start work in a child that will die at point."""

    def armed() -> None:
        _core.crash_at(point, after)  # type: ignore[attr-defined]
        work()

    return start(armed)


def gone(pid: int) -> bool:
    """True once the child died by SIGKILL; an AssertionError when it ended otherwise."""
    found, status = os.waitpid(pid, os.WNOHANG)
    if found:
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, status
    return bool(found)


def publish_by_offer(out: Publication, sequence: int) -> bool:
    return out.offer(record(sequence, SIZE))


def publish_by_claim(out: Publication, sequence: int) -> bool:
    view = out.claim(SIZE)
    if view is None:
        return False
    view[:] = record(sequence, SIZE)
    out.commit()
    return True


def publish_by_batch(out: Publication, sequence: int) -> bool:
    """Three at once, or as many as there is room for."""
    return out.sequence > sequence or out.offer_batch([record(sequence + i, SIZE) for i in range(3)]) > 0


def producer(publish: Callable[[Publication, int], bool], point: int, after: int) -> None:
    """Row 1: nobody ever sees a partial record; the successor goes on after the last whole one."""
    ring = Ring.create(f"rbtc{os.getpid():x}-ring", depth=8, mtu=SIZE)
    try:
        gate, watch = ring.subscribe("gate", gating=True), ring.subscribe("watch", gating=False)
        through_gate: list[int] = []
        watched: list[int] = []

        def read() -> None:
            gate.poll(lambda view: through_gate.append(sequence_of(view)))
            watch.poll(lambda view: watched.append(sequence_of(view)))

        def work() -> None:
            out = Ring.attach(ring.name).publication()
            for sequence in range(200):
                until(lambda sequence=sequence: publish(out, sequence))

        pid = doomed(work, point, after)
        until(lambda: (read(), gone(pid))[1])
        read()
        whole = ring.stats()["published"]
        assert whole == after + (point == 6) or publish is publish_by_batch, whole
        assert through_gate == list(range(whole))
        successor = ring.publication()
        assert successor.sequence == whole
        assert ring.stats()["takeovers"] == 1
        assert ring.stats()["skipped"] == (2 <= point <= 5), ring.stats()
        for sequence in range(whole, whole + 30):
            assert publish(successor, sequence)
            read()
        assert through_gate == list(range(whole + 30))
        assert watched == sorted(set(watched))
        assert len(watched) + watch.lost == whole + 30
    finally:
        ring.unlink()


def consumer(lift: bool, parking: bool, point: int, after: int) -> None:
    """A reader dies: a successor of its label goes on where it stopped, or its gate is lifted."""
    ring = Ring.create(f"rbtc{os.getpid():x}-ring", depth=8, mtu=SIZE)
    pipe_out, pipe_in = os.pipe()
    os.set_blocking(pipe_out, False)
    try:
        out, live = ring.publication(), ring.subscribe("live", gating=True)

        def handle(view: memoryview) -> None:
            os.write(pipe_in, sequence_of(view).to_bytes(8, "little"))

        def work() -> None:
            mine = Ring.attach(ring.name).subscribe("doomed", gating=True)
            while True:
                if parking:
                    mine.wait(10_000_000)
                mine.poll(handle, 3)

        pid = doomed(work, point, after)
        until(lambda: len(ring.stats()["subscriptions"]) == 2)
        sent = 0

        def send() -> None:
            nonlocal sent
            sent += publish_by_offer(out, sent)
            live.take()

        until(lambda: (send(), gone(pid))[1])
        raw = os.read(pipe_out, 1 << 16) if select_readable(pipe_out) else b""
        handled = [int.from_bytes(raw[i : i + 8], "little") for i in range(0, len(raw), 8)]
        assert handled == list(range(len(handled)))
        slot = next(s for s in ring.stats()["subscriptions"] if s["label"] == "doomed")
        assert slot["alive"] is False
        assert slot["cursor"] == len(handled) - (point == 8)
        after_death(ring, out, live, slot["cursor"], lift, sent)
    finally:
        ring.unlink()


def after_death(ring: Ring, out: Publication, live: Subscription, cursor: int, lift: bool, sent: int) -> None:
    """The publication is not stalled for ever, and nothing is lost that need not be."""
    while publish_by_offer(out, sent):
        sent += 1
        live.take_batch(99)
    assert ring._segment.load(512) & 0xFFFFFFFF == 0, "the sleeper's flag is cleared by the next commit"
    if lift:
        assert sent == cursor + 8
        assert out.lift_dead() == ["doomed"]
        for sequence in range(sent, sent + 30):
            assert publish_by_offer(out, sequence)
            live.take_batch(99)
        return
    successor = ring.subscribe("doomed", gating=True)
    assert [sequence_of(raw) for raw in successor.take_batch(99)] == list(range(cursor, cursor + 8))
    assert successor.lost == 0
    assert publish_by_offer(out, sent)


def select_readable(descriptor: int) -> bool:
    """Is there anything to read?"""
    return bool(select.select([descriptor], [], [], 0)[0])


def writer(point: int, after: int) -> None:
    """A table's writer dies: every record stays whole, and a successor hides no change."""
    table = Table.create(f"rbtc{os.getpid():x}-table", capacity=5, data_bytes=5 * 300)
    try:
        reader = Table.attach(table.name)

        def work() -> None:
            for sequence in range(200):
                table.put(KEYS[sequence % 4], record(sequence, 40 + sequence), 300)

        def read() -> dict[bytes, int]:
            records = {key: reader.get_versioned(key) for key in KEYS}
            for key, found in records.items():
                if found is not None:
                    assert KEYS[sequence_of(found[1]) % 4] == key
                    assert sequence_of(found[1]) // 4 == found[0] - 1
            return {key: found[0] for key, found in records.items() if found is not None}

        pid = doomed(work, point, after)
        until(lambda: (read(), gone(pid))[1])
        versions = read()
        table.put(KEYS[3], record(3 + 4 * versions.get(KEYS[3], 0), 50), 300)
        _, keys = reader.changed_since(0)
        assert set(keys) == {*versions, KEYS[3]}
        for key in KEYS[:3]:
            table.put(key, record(KEYS.index(key) + 4 * versions.get(key, 0), 60), 300)
        assert len(read()) == 4
        assert table.put(KEYS[4], bytes(300)) == 1, "a half-made entry leaked"
    finally:
        table.unlink()


def tripper(point: int, after: int) -> None:
    """Who trips the latch dies before it tells why: killed all the same, and nobody hangs."""
    control = Control.create(f"rbtc{os.getpid():x}-control", run_id=bytes(16))
    try:
        pid = doomed(lambda: control.trip(7, "manager", "why", 1, 2), point, after)
        until(lambda: gone(pid))
        assert control.killed
        assert control.kill_info().state == "killed"
        assert control.trip(8, "again", "no", 3, 4) is False
        assert control.reset("operator", "looked into it") is True
        assert control.trip(9, "manager", "again", 5, 6) is True
        assert control.kill_info()[:6] == ("killed", 9, "manager", "again", 5, 6)
    finally:
        control.unlink()


SCENARIOS: dict[str, Callable[[int, int], Any]] = {
    "producer_offer": lambda point, after: producer(publish_by_offer, point, after),
    "producer_batch": lambda point, after: producer(publish_by_batch, point, after),
    "producer_claim": lambda point, after: producer(publish_by_claim, point, after),
    "consumer_succeeded": lambda point, after: consumer(False, False, point, after),
    "consumer_lifted": lambda point, after: consumer(True, False, point, after),
    "sleeper_succeeded": lambda point, after: consumer(False, True, point, after),
    "sleeper_lifted": lambda point, after: consumer(True, True, point, after),
    "writer": writer,
    "tripper": tripper,
}

if __name__ == "__main__":
    for passes in sys.argv[3:]:
        SCENARIOS[sys.argv[1]](int(sys.argv[2]), int(passes))
