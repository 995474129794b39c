"""Rings and tables between real processes, every record checked by content; short here, long behind `slow`.

Acceptable outcomes: a gating reader sees each record exactly once and in order. An observing one sees an
ascending choice of whole records, and what it saw and what it counts as lost are together all. A table's
reader sees whole records of versions that never fall.
"""

import time
from collections.abc import Callable

import pytest
from ringbuf_support import ended, kill, numbered, record, ring, sequence_of, start, until

from ringbuf import Publication, Ring, Subscription, Table

KEYS = [bytes([i]) * 32 for i in range(6)]


def read_to_the_end(name: str, label: str, gating: bool, how: str, last: int) -> None:
    """Read until record `last` was seen or lost, checking order, content and the count."""
    into = Ring.attach(name).subscribe(label, gating=gating)
    first, newest, seen = into.sequence, -1, 0

    def check(raw: memoryview | bytes) -> None:
        nonlocal newest, seen
        sequence = sequence_of(raw)
        assert sequence > newest, (sequence, newest)
        assert not gating or seen == 0 or sequence == newest + 1, (sequence, newest)
        newest, seen = sequence, seen + 1

    while into.sequence <= last:
        if not read_some(into, how, check):
            into.wait(1_000_000)
    assert newest == last
    assert seen + into.lost == last + 1 - first
    assert not gating or (into.lost == 0 and first == 0)


def read_some(into: Subscription, how: str, check: Callable[[memoryview | bytes], None]) -> int:
    """One duty cycle by one of the three ways to read."""
    if how == "poll":
        return into.poll(check, 16)
    if how == "batch":
        batch = into.take_batch(64)
        for raw in batch:
            check(raw)
        return len(batch)
    raw = into.take()
    if raw is not None:
        check(raw)
    return raw is not None


def publish_all(out: Publication, last: int) -> None:
    """Records of changing sizes by offer and by claim, with aborted claims between."""
    for sequence in range(last + 1):
        raw = record(sequence, 12 + sequence * 13 % 180)
        if sequence % 3 == 0:
            until(lambda raw=raw: out.offer(raw))  # type: ignore[misc]
            continue
        while (view := out.claim(192)) is None:
            time.sleep(0)
        if sequence % 3 == 1:
            view[:] = b"\xff" * 192
            out.abort()
            while (view := out.claim(192)) is None:
                time.sleep(0)
        view[: len(raw)] = raw
        out.commit(len(raw))


def stream(prefix: str, depth: int, last: int) -> None:
    with ring(prefix, depth=depth, mtu=192) as r:
        readers = [("poll", True), ("take", True), ("batch", True), ("poll", False), ("take", False)]
        pids = [
            start(lambda i=i, how=how, gating=gating: read_to_the_end(r.name, f"r{i}", gating, how, last))
            for i, (how, gating) in enumerate(readers)
        ]
        until(lambda: len(r.stats()["subscriptions"]) == len(readers))
        publish_all(r.publication(), last)
        assert [ended(pid) for pid in pids] == [0] * len(pids)


@pytest.mark.parametrize("depth", [1, 4, 1024])
def test_row_02_every_gating_reader_gets_everything_once_and_in_order(prefix: str, depth: int) -> None:
    stream(prefix, depth, {1: 2_000, 4: 10_000}.get(depth, 40_000))


@pytest.mark.slow
@pytest.mark.parametrize("depth", [1, 4, 1024])
def test_row_02_every_gating_reader_gets_everything_for_long(prefix: str, depth: int) -> None:
    stream(prefix, depth, {1: 20_000, 4: 100_000}.get(depth, 1_000_000))


def lap(prefix: str, last: int, mtu: int) -> None:
    with ring(prefix, depth=4, mtu=mtu) as r:
        pids = [
            start(lambda i=i: read_to_the_end(r.name, f"r{i}", False, ("poll", "take", "batch")[i], last))
            for i in range(3)
        ]
        until(lambda: len(r.stats()["subscriptions"]) == 3)
        out = r.publication()
        for sequence in range(last):
            assert out.offer(numbered(sequence, mtu))
        until(lambda: all(s["lag"] == 0 for s in r.stats()["subscriptions"]))
        out.offer(numbered(last, mtu))
        assert [ended(pid) for pid in pids] == [0] * 3
        assert all(s["lost"] for s in r.stats()["subscriptions"])


@pytest.mark.parametrize("mtu", [64, 4000])
def test_row_02_lapped_readers_never_hang_nor_see_a_torn_record(prefix: str, mtu: int) -> None:
    lap(prefix, 60_000, mtu)


@pytest.mark.slow
@pytest.mark.parametrize("mtu", [64, 4000])
def test_row_02_lapped_readers_for_long(prefix: str, mtu: int) -> None:
    lap(prefix, 2_000_000, mtu)


def churn(prefix: str, last: int, deaths: int) -> None:
    """Gating readers are killed and succeeded while records flow; one stays and must miss nothing."""
    with ring(prefix, depth=64, mtu=64) as r:
        steady = start(lambda: read_to_the_end(r.name, "steady", True, "poll", last))
        until(lambda: r.stats()["subscriptions"])

        def mortal() -> None:
            into = Ring.attach(r.name).subscribe("mortal", gating=True)
            while True:
                if not into.poll(sequence_of):
                    into.wait(1_000_000)

        out, pid = r.publication(), start(mortal)
        for sequence in range(last + 1):
            raw = record(sequence, 40)
            if sequence % (last // deaths) == 0:
                kill(pid)
                if sequence // (last // deaths) % 2:
                    out.lift_dead()
                pid = start(mortal)
            until(lambda raw=raw: out.offer(raw))  # type: ignore[misc]
        assert ended(steady) == 0
        kill(pid)
        mortal_stats = next(s for s in r.stats()["subscriptions"] if s["label"] == "mortal")
        assert mortal_stats["cursor"] + 64 >= last


def test_row_02_readers_come_die_and_are_succeeded(prefix: str) -> None:
    churn(prefix, 6_000, 20)


def table_race(prefix: str, puts: int) -> None:
    table = Table.create(f"{prefix}-table", capacity=8, data_bytes=100_000)
    sizes = [12, 100, 165, 1000, 9988, 40_000]

    def read() -> None:
        mine = Table.attach(table.name)
        versions, cursor, told = dict.fromkeys(KEYS, 0), 0, 0
        while min(versions.values()) < puts:
            cursor, keys = mine.changed_since(cursor)
            told += len(keys)
            for key in keys:
                version, raw = mine.get_versioned(key) or (0, b"")
                assert version >= versions[key], (version, versions[key])
                assert sequence_of(raw) == version - 1
                assert len(raw) == sizes[KEYS.index(key)]
                versions[key] = version
            if not keys:
                time.sleep(0)
        assert told

    pids = [start(read) for _ in range(3)]
    for sequence in range(puts):
        for key, size in zip(KEYS, sizes, strict=True):
            table.put(key, numbered(sequence, size))
    assert [ended(pid) for pid in pids] == [0] * 3


def test_table_readers_see_whole_records_of_rising_versions(prefix: str) -> None:
    table_race(prefix, 5_000)


@pytest.mark.slow
def test_table_readers_see_whole_records_for_long(prefix: str) -> None:
    table_race(prefix, 100_000)
