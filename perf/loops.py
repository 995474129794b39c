"""The measured loops. They are the same for every transport; only asyncio's differ (perf.peers.nats)."""

import time
from array import array
from collections.abc import Callable
from itertools import cycle, islice

Idle = Callable[[int], object]


def ping(
    send: Callable[[bytes], object], take: Callable[[], bytes | None], n: int, lines: list[bytes]
) -> tuple[bytes, int]:
    """Send n records, each after the last one's return: (round trips in ns, as an array('q'); wrong ones)."""
    samples, wrong, now = array("q", bytes(8 * n)), 0, time.perf_counter_ns
    for i, record in enumerate(islice(cycle(lines), n)):
        start = now()
        while send(record) is False:
            pass
        while (got := take()) is None:
            pass
        samples[i] = now() - start
        if got != record:
            wrong += 1
    return samples.tobytes(), wrong


def pong(send: Callable[[bytes], object], take: Callable[[], bytes | None], n: int) -> None:
    """Send n records back as they come."""
    for _ in range(n):
        while (got := take()) is None:
            pass
        while send(got) is False:
            pass


def ping_parked(
    send: Callable[[bytes], object],
    take: Callable[[], bytes | None],
    wait: Callable[[int], bool],
    n: int,
    lines: list[bytes],
) -> tuple[bytes, int]:
    """ping() that sleeps in ``wait`` while nothing is there."""
    samples, wrong, now = array("q", bytes(8 * n)), 0, time.perf_counter_ns
    for i, record in enumerate(islice(cycle(lines), n)):
        start = now()
        send(record)
        while (got := take()) is None:
            wait(1_000_000_000)
        samples[i] = now() - start
        if got != record:
            wrong += 1
    return samples.tobytes(), wrong


def pong_parked(
    send: Callable[[bytes], object], take: Callable[[], bytes | None], wait: Callable[[int], bool], n: int
) -> None:
    """pong() that sleeps in ``wait`` while nothing is there."""
    for _ in range(n):
        while (got := take()) is None:
            wait(1_000_000_000)
        send(got)


def produce(send: Callable[[bytes], object], n: int, lines: list[bytes], idle: Idle | None = None) -> int:
    """Send n records as fast as they are taken; when it began, ns."""
    start = time.perf_counter_ns()
    if idle is None:
        for record in islice(cycle(lines), n):
            while send(record) is False:
                pass
    else:
        for record in islice(cycle(lines), n):
            while send(record) is False:
                idle(0)
    return start


def consume(
    take: Callable[[], bytes | None], n: int, lines: list[bytes], idle: Idle | None = None
) -> tuple[int, int]:
    """Take n records and compare each with what must come: (when it ended in ns, wrong ones)."""
    wrong = 0
    if idle is None:
        for record in islice(cycle(lines), n):
            while (got := take()) is None:
                pass
            if got != record:
                wrong += 1
    else:
        for record in islice(cycle(lines), n):
            while (got := take()) is None:
                idle(0)
            if got != record:
                wrong += 1
    return time.perf_counter_ns(), wrong


def produce_batches(
    send_batch: Callable[[list[bytes]], object], n: int, lines: list[bytes], size: int
) -> int:
    """produce() in batches; n is a multiple of size."""
    source = cycle(lines)
    batches = [list(islice(source, size)) for _ in range(len(lines))]  # whole period: len(lines) is prime
    start = time.perf_counter_ns()
    for batch in islice(cycle(batches), n // size):
        send_batch(batch)
    return start


def consume_batches(take_batch: Callable[[], list[bytes]], n: int, lines: list[bytes]) -> tuple[int, int]:
    """consume() in whatever batches come."""
    wrong, done, source = 0, 0, cycle(lines)
    while done < n:
        got = take_batch()
        if got:
            done += len(got)
            wanted = list(islice(source, len(got)))
            if got != wanted:
                wrong += sum(a != b for a, b in zip(got, wanted, strict=True))
    return time.perf_counter_ns(), wrong + (done != n)
