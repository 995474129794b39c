"""The same chance is acted on once."""

import pytest

from hft.strategy.dedupe import Deduper, Holds, Path, size_bucket

PATH = Path(1, b"1" * 32, b"2" * 32, b"b" * 32, size_bucket(10**9))


def test_row_24_a_repetition_within_the_slots_is_refused_and_passes_after_them() -> None:
    deduper = Deduper(2)
    assert deduper.first(PATH, 100)
    assert not deduper.first(PATH, 100)
    assert not deduper.first(PATH, 101)
    assert not deduper.first(PATH, 7)  # a replay of something older
    assert deduper.first(PATH, 102)
    assert not deduper.first(PATH, 103)


def test_another_way_or_size_or_strategy_is_another_chance() -> None:
    deduper = Deduper(1)
    assert deduper.first(PATH, 1)
    assert deduper.first(PATH._replace(pool_1=PATH.pool_2, pool_2=PATH.pool_1), 1)
    assert deduper.first(PATH._replace(size_bucket=size_bucket(2 * 10**9)), 1)
    assert deduper.first(PATH._replace(strategy=2), 1)


def test_zero_slots_repeat_everything() -> None:
    deduper = Deduper(0)
    assert deduper.first(PATH, 1)
    assert deduper.first(PATH, 1)


def test_memory_is_bounded_and_the_oldest_leave_first() -> None:
    deduper = Deduper(1_000, capacity=3)
    for bucket in range(4):
        assert deduper.first(PATH._replace(size_bucket=bucket), 1)
    assert len(deduper) == 3
    assert not deduper.first(PATH._replace(size_bucket=3), 1)
    assert deduper.first(PATH._replace(size_bucket=0), 1)


def test_limits_are_named() -> None:
    with pytest.raises(ValueError, match="slots -1"):
        Deduper(-1)


@pytest.mark.parametrize(
    ("small", "large", "same"), [(0, 0, True), (1, 2, False), (1000, 1023, True), (1023, 1024, False)]
)
def test_size_buckets(small: int, large: int, same: bool) -> None:
    assert (size_bucket(small) == size_bucket(large)) is same


def test_size_buckets_rise_with_the_size() -> None:
    buckets = [size_bucket(n) for n in range(1, 5_000)]
    assert buckets == sorted(buckets)
    assert len(set(buckets)) <= 4 * 13


def test_a_pool_is_held_until_it_moves_or_the_time_is_up() -> None:
    holds = Holds()
    holds.hold(b"p", 5, 1_000)
    assert holds.held(b"p", 5, 999)
    assert not holds.held(b"p", 6, 999)
    assert not holds.held(b"p", 5, 1_000)
    assert not holds.held(b"q", 5, 0)
    for n in range(2_000):
        holds.hold(n.to_bytes(4, "big"), 1, 10)
    holds.forget_before(11)
    assert holds.held(b"p", 5, 12)
    assert not holds.held((5).to_bytes(4, "big"), 1, 9)  # swept: what is over is forgotten
