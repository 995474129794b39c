"""Counters and histograms: exact where they promise it, within 3 % elsewhere, readable while written."""

import math

import hypothesis.strategies as st
import pytest
from hypothesis import example, given, settings
from ringbuf_support import ended, kill, start, until

from ringbuf import Closed, Counters, InvalidArgument

MINUTES_NS = 60 * 60 * 1_000_000_000


@pytest.fixture
def page(prefix: str) -> Counters:
    return Counters.create(
        f"{prefix}-counters", counters=["in", "out"], histograms=["a_ns", "b_ns"], label="feed"
    )


def test_names_counters_heartbeat_and_state_cross_over(page: Counters) -> None:
    reader = Counters.attach(page.name)
    out = page.index("out")
    page.add(out)
    page.add(out, 5)
    page.add(out, n=2)
    page.set(page.index("in"), 2**64 - 1)
    page.beat(12345)
    page.set_state(3)
    assert reader.read() == {"in": 2**64 - 1, "out": 8}
    assert (reader.heartbeat_ns, reader.state, reader.label, reader.pid) == (12345, 3, "feed", 0)
    assert (reader.counter_names, reader.histogram_names) == (("in", "out"), ("a_ns", "b_ns"))
    page.own()
    assert reader.owner.alive


def test_the_owner_dies(page: Counters) -> None:
    pid = start(lambda: (page.own(), until(lambda: False)))
    until(lambda: page.pid == pid)
    assert page.owner.alive
    kill(pid)
    assert not page.owner.alive


@settings(max_examples=300, deadline=None)
@given(st.integers(0, MINUTES_NS))
@example(0)
@example(63)
@example(64)
@example(2**42 - 1)
def test_a_recorded_value_is_known_to_three_per_cent(value: int) -> None:
    page = shared_page()
    before = page.histogram("h")
    page.record(0, value)
    alone = page.histogram("h").since(before)
    ((middle, count),) = alone.buckets
    assert count == 1
    assert abs(middle - value) <= value * 0.03
    assert middle == value or value >= 64


_shared: list[Counters] = []


def shared_page() -> Counters:
    """One page for all examples."""
    if not _shared:
        _shared.append(Counters.create(f"rbth{id(_shared):x}-counters", counters=[], histograms=["h"]))
        _shared[0].unlink()
    return _shared[0]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 10**10), min_size=1, max_size=300), st.floats(0, 100))
def test_percentiles_against_a_sorted_list(values: list[int], q: float) -> None:
    page = Counters.create(f"rbth{id(values):x}-counters", counters=[], histograms=["h"])
    try:
        for value in values:
            page.record(0, value)
        histogram = page.histogram("h")
        exact = sorted(values)[max(math.ceil(len(values) * q / 100), 1) - 1]
        assert abs(histogram.percentile(q) - exact) <= exact * 0.03 + 1e-9
        assert (histogram.count, histogram.sum, histogram.max) == (len(values), sum(values), max(values))
        assert histogram.mean == pytest.approx(sum(values) / len(values))
    finally:
        page.unlink()
        page.close()


def test_what_lies_beyond_the_range_is_counted_at_the_top(page: Counters) -> None:
    page.record(0, 2**50)
    page.record(0, -5)
    histogram = page.histogram("a_ns")
    assert histogram.count == 2
    assert histogram.max == 2**50
    assert histogram.percentile(0) == 0


def test_an_empty_histogram_has_figures_too(page: Counters) -> None:
    histogram = page.histogram("b_ns")
    assert (histogram.count, histogram.percentile(99), histogram.mean, histogram.max) == (0, 0, 0.0, 0)


def test_readable_from_outside_while_written(page: Counters) -> None:
    """Counters and bucket counts only ever grow, and at the end none is missing."""
    total = 60_000

    def write() -> None:
        mine = Counters.attach(page.name)
        mine.own()
        for value in range(total):
            mine.add(0)
            mine.record(1, value)

    pid = start(write)
    last_count = last_in = reads = 0
    while last_count < total:
        now_in, histogram = page.read()["in"], page.histogram("b_ns")
        assert now_in >= last_in
        assert histogram.count >= last_count
        last_in, last_count, reads = now_in, histogram.count, reads + 1
    assert ended(pid) == 0
    assert reads > 1
    assert page.histogram("b_ns").percentile(50) == pytest.approx(total / 2, rel=0.03)


def test_bad_input_names_the_value(page: Counters, prefix: str) -> None:
    for index in (2, -1, 2**70):
        with pytest.raises(IndexError, match=f"counter {index}; there are 2"):
            page.add(index)
        with pytest.raises(IndexError, match=f"histogram {index}; there are 2"):
            page.record(index, 1)
    for value in (-1, 2**64):
        with pytest.raises(ValueError, match=f"is {value}"):
            page.set(0, value)
    with pytest.raises(InvalidArgument, match="has no 'nothing'"):
        page.index("nothing")
    with pytest.raises(InvalidArgument, match="has no histogram 'in'"):
        page.histogram("in")
    with pytest.raises(InvalidArgument, match=r"percentile 101 must lie in 0\.\.100"):
        page.histogram("a_ns").percentile(101)
    for names in (["x" * 57], [""], ["a", "a"]):
        with pytest.raises(InvalidArgument, match="counter"):
            Counters.create(f"{prefix}-bad", counters=names, histograms=[])
    with pytest.raises(InvalidArgument, match="over 64 bytes"):
        Counters.create(f"{prefix}-bad", counters=[], histograms=[], label="x" * 65)
    page.close()
    with pytest.raises(Closed):
        page.add(0)
