"""Which accounts are followed: as many pools need them, a while longer, never beyond the limit."""

from hft.services.watchset import HOLD_NS, WatchSet

A, B, C = (bytes([n]) * 32 for n in (1, 2, 3))


def test_an_account_is_followed_as_long_as_any_pool_needs_it_and_a_while_longer() -> None:
    watched = WatchSet(10)
    watched.want(b"p", (A, B), 0)
    watched.want(b"q", (B, C), 0)
    assert watched.take_added() == [A, B, C]
    assert watched.take_added() == []
    watched.want(b"p", (A,), 5)
    watched.want(b"q", (C,), 7)
    assert watched.take_dropped(7 + HOLD_NS - 1) == []
    assert watched.take_dropped(7 + HOLD_NS) == [B]
    assert B not in watched
    assert set(watched.keys()) == {A, C}


def test_what_is_needed_again_in_time_is_not_dropped() -> None:
    watched = WatchSet(10)
    watched.want(b"p", (A, B), 0)
    watched.take_added()
    watched.want(b"p", (A,), 1)
    watched.want(b"p", (A, B), 2)
    assert watched.take_dropped(10 * HOLD_NS) == []
    assert watched.take_added() == []
    assert set(watched.needs(b"p")) == {A, B}


def test_beyond_the_limit_nothing_is_followed_and_it_is_counted() -> None:
    watched = WatchSet(2)
    watched.want(b"p", (A, B, C), 0)
    assert watched.take_added() == [A, B]
    assert watched.refused == 1
    assert len(watched) == 2
