"""The measured loops notice every record that is not what it must be."""

from array import array

import pytest

from perf import loops
from perf.records import PERIOD, RECORD_BYTES, records, stamp_of, stamped


def feed(given: list[bytes]):
    """take() over a list, with a None before each record, as a polled transport has."""
    waiting = [each for record in given for each in (None, record)]
    return iter(waiting).__next__


def test_records_differ_and_repeat_after_the_period_only() -> None:
    lines = records()
    assert len(set(lines)) == PERIOD
    assert {len(line) for line in lines} == {RECORD_BYTES}
    assert records(PERIOD + 3)[PERIOD:] == lines[:3]


@pytest.mark.parametrize("depth", [2**power for power in range(1, 20)])
def test_no_loss_of_whole_laps_goes_unseen(depth: int) -> None:
    assert depth % PERIOD != 0
    assert PERIOD % 2 == 1


def changed(lines: list[bytes]) -> list[bytes]:
    return [*lines[:10], b"\0" * RECORD_BYTES, *lines[11:]]


def lost(lines: list[bytes]) -> list[bytes]:
    return [*lines[:10], *lines[11:], lines[0]]


def repeated(lines: list[bytes]) -> list[bytes]:
    return [*lines[:10], lines[9], *lines[10:-1]]


def swapped(lines: list[bytes]) -> list[bytes]:
    return [*lines[:10], lines[11], lines[10], *lines[12:]]


def a_lap_lost(lines: list[bytes]) -> list[bytes]:
    return [*lines[:10], *(lines * 3)[10 + 64 :]][: len(lines)]


@pytest.mark.parametrize("fault", [changed, lost, repeated, swapped, a_lap_lost])
def test_consume_sees_the_fault(fault) -> None:
    lines = records()
    assert loops.consume(feed(lines), len(lines), lines)[1] == 0
    assert loops.consume(feed(fault(lines)), len(lines), lines)[1] > 0
    assert loops.consume(feed(fault(lines)), len(lines), lines, lambda _: None)[1] > 0


@pytest.mark.parametrize("fault", [changed, lost, repeated, swapped, a_lap_lost])
def test_consume_batches_sees_the_fault(fault) -> None:
    def batches(given: list[bytes]):
        return iter([given[i : i + 7] for i in range(0, len(given), 7)] + [[]]).__next__

    lines = records()
    assert loops.consume_batches(batches(lines), len(lines), lines)[1] == 0
    assert loops.consume_batches(batches(fault(lines)), len(lines), lines)[1] > 0


def test_ping_counts_a_reply_that_differs() -> None:
    lines = records(50)
    samples, wrong = loops.ping(lambda _: True, feed(lines), 50, lines)
    assert (len(array("q", samples)), wrong) == (50, 0)
    assert loops.ping(lambda _: True, feed(changed(lines)), 50, lines)[1] == 1


def test_send_is_repeated_while_it_says_full() -> None:
    tries: list[bytes] = []

    def send(record: bytes) -> bool:
        tries.append(record)
        return len(tries) % 3 == 0

    lines = records(5)
    loops.produce(send, 5, lines)
    assert tries == [line for line in lines for _ in range(3)]


def test_produced_batches_are_the_same_stream() -> None:
    sent: list[bytes] = []
    lines = records()
    loops.produce_batches(sent.extend, 640, lines, 64)
    assert sent == (lines * 2)[:640]


def test_a_stamp_is_read_back() -> None:
    assert stamp_of(stamped(7, -5, b"tail")) == (7, -5)
