"""Time stamps of another machine: intervals stay, the age is measured, errors make older, never younger."""

from hft import wire
from hft.runtime.bridge_stamps import CLOCK_HEADER, TAKEN_HEADER, Now, restamp, stamps_of
from hft.wire import Codec
from tests.messages import record_bytes

SECOND = 1_000_000_000
NOW = Now(monotonic_ns=50 * SECOND, unix_ns=1_800_000_000 * SECOND)
OTHER_MONOTONIC = 900_000 * SECOND
"""The other machine has been up for ten days."""

CLOCK = {CLOCK_HEADER: str(NOW.unix_ns - OTHER_MONOTONIC)}


def opportunity(published_ns: int) -> bytes:
    return record_bytes(
        wire.two_hop_opportunity,
        7,
        received_ns=published_ns - 900,
        feed_published_ns=published_ns - 700,
        scan_received_ns=published_ns - 600,
        scan_published_ns=published_ns,
    )


def test_intervals_stay_and_the_age_is_that_of_the_newest_stamp() -> None:
    moved = restamp(opportunity(OTHER_MONOTONIC - SECOND), CLOCK, NOW.unix_ns, NOW)
    record = wire.two_hop_opportunity.decode(moved.message)
    assert (moved.age_ns, moved.ahead) == (SECOND, False)
    assert record.scan_published_ns == NOW.monotonic_ns - SECOND
    assert record.scan_published_ns - record.received_ns == 900
    assert record.scan_published_ns - record.feed_published_ns == 700
    before = wire.two_hop_opportunity.decode(opportunity(0))
    same = [name for name in before._fields if not name.endswith("_ns")]
    assert [getattr(record, name) for name in same] == [getattr(before, name) for name in same]


def test_row_11_no_record_is_younger_than_its_place_in_the_stream() -> None:
    """A wall clock that jumped ahead by an hour there, or one that is behind here."""
    fast = {CLOCK_HEADER: str(NOW.unix_ns - OTHER_MONOTONIC + 3600 * SECOND)}
    moved = restamp(opportunity(OTHER_MONOTONIC), fast, NOW.unix_ns - 5 * SECOND, NOW)
    assert (moved.age_ns, moved.ahead) == (5 * SECOND, True)


def test_row_11_a_wall_clock_that_is_behind_makes_older() -> None:
    slow = {CLOCK_HEADER: str(NOW.unix_ns - OTHER_MONOTONIC - 3600 * SECOND)}
    moved = restamp(opportunity(OTHER_MONOTONIC), slow, NOW.unix_ns, NOW)
    assert moved.age_ns == 3600 * SECOND


def test_nothing_is_from_the_future() -> None:
    moved = restamp(opportunity(OTHER_MONOTONIC + SECOND), CLOCK, NOW.unix_ns + SECOND, NOW)
    record = wire.two_hop_opportunity.decode(moved.message)
    assert (moved.age_ns, moved.ahead) == (0, True)
    assert record.scan_published_ns == NOW.monotonic_ns


def test_what_an_earlier_run_journaled_is_as_old_as_that() -> None:
    taken = {TAKEN_HEADER: str(NOW.unix_ns - 60 * SECOND)}
    assert restamp(opportunity(OTHER_MONOTONIC), taken, NOW.unix_ns, NOW).age_ns == 60 * SECOND


def test_without_a_word_of_the_sidecar_the_stream_tells_the_age() -> None:
    for headers in ({}, {CLOCK_HEADER: "soon"}, {CLOCK_HEADER: "9" * 400}):
        assert restamp(opportunity(5), headers, NOW.unix_ns - SECOND, NOW).age_ns == SECOND


def test_a_plan_keeps_its_life_and_a_stamp_that_is_not_there_stays_so() -> None:
    plan = record_bytes(
        wire.execution_plan,
        1,
        received_ns=0,
        feed_published_ns=0,
        scan_received_ns=0,
        scan_published_ns=0,
        plan_received_ns=OTHER_MONOTONIC - 10,
        plan_published_ns=OTHER_MONOTONIC,
        expires_ns=OTHER_MONOTONIC + 2 * SECOND,
    )
    record = wire.execution_plan.decode(restamp(plan, CLOCK, NOW.unix_ns, NOW).message)
    assert record.expires_ns == NOW.monotonic_ns + 2 * SECOND
    assert record.plan_published_ns == NOW.monotonic_ns
    assert record.received_ns == 0


def test_every_stamp_is_known_and_no_duration_or_unix_time_is_one() -> None:
    def names(codec: Codec) -> set[str]:
        return {codec.layout.fields[place].name for place in stamps_of(codec)}

    found = set().union(*(names(codec) for codec in wire.CODECS))
    told = {
        field.name for codec in wire.CODECS for field in codec.layout.fields if field.name.endswith("_ns")
    }
    durations = {"p50_ns", "p99_ns", "p999_ns", "max_ns", "mean_ns", "window_ns", "round_trip_ns"}
    assert told - found == durations | {name for name in told if name.endswith("unix_ns")}
