"""When the collector runs: in idle moments, and as a whole often enough that no cycle stays for good."""

import gc
from collections.abc import Iterator

import pytest

from hft.runtime import garbage
from hft.runtime.clock import ManualClock
from hft.runtime.garbage import WHOLE_EVERY_NS, WHOLE_PAUSE, Collector


class Knot:
    """A cycle with itself; ``alive`` counts those that were not collected."""

    alive = 0

    def __init__(self) -> None:
        self.itself = self
        Knot.alive += 1

    def __del__(self) -> None:
        Knot.alive -= 1


@pytest.fixture(autouse=True)
def _held() -> Iterator[None]:
    gc.collect()
    gc.disable()
    Knot.alive = 0
    yield
    gc.enable()


def test_the_young_are_collected_at_an_idle_moment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    # Far more than what else this process makes meanwhile, as its other threads do.
    limit = 20_000
    monkeypatch.setattr(garbage, "YOUNG_LIMIT", limit)
    collector = Collector(ManualClock().monotonic_ns)
    assert not collector.tidy(0, idle_now=True)
    knots = [Knot() for _ in range(2 * limit)]
    knots.clear()
    assert not collector.tidy(0, idle_now=False)
    assert Knot.alive == 2 * limit
    assert collector.tidy(0, idle_now=True)
    assert Knot.alive == 0


def test_under_load_a_limit_forces_a_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "FORCED_LIMIT", 100)
    collector = Collector(ManualClock().monotonic_ns)
    knots = [Knot() for _ in range(200)]
    knots.clear()
    assert collector.tidy(0, idle_now=False)
    assert Knot.alive == 0


def test_a_cycle_that_outlived_a_collection_is_found_by_the_next_whole_one() -> None:
    clock = ManualClock()
    collector = Collector(clock.monotonic_ns)
    knots = [Knot() for _ in range(10)]
    gc.collect(0)
    gc.collect(1)  # they are among the oldest now
    knots.clear()
    gc.collect(1)
    assert Knot.alive == 10
    clock.advance(WHOLE_EVERY_NS)
    assert not collector.tidy(clock.monotonic_ns(), idle_now=False)
    assert collector.tidy(clock.monotonic_ns(), idle_now=True)
    assert Knot.alive == 0
    assert not collector.tidy(clock.monotonic_ns(), idle_now=True)


def test_the_longer_a_whole_collection_takes_the_rarer_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, took_ns = ManualClock(), 5_000_000
    collector = Collector(clock.monotonic_ns)
    monkeypatch.setattr(gc, "collect", lambda *_: clock.advance(took_ns))
    clock.advance(WHOLE_EVERY_NS)
    assert collector.tidy(clock.monotonic_ns(), idle_now=True)
    clock.advance(WHOLE_PAUSE * took_ns - 1)
    assert not collector.tidy(clock.monotonic_ns(), idle_now=True)
    clock.advance(1)
    assert collector.tidy(clock.monotonic_ns(), idle_now=True)
