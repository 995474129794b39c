"""The pure part of publishing: what is sent, what an answer means."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hft.runtime.lane import Lane, Message


def message(sequence: int, subject: str = "s") -> Message:
    return Message(sequence, subject, b"%d" % sequence, 0)


def lane_with(count: int, *, strict: bool = False, window: int = 100, group: int = 4) -> Lane:
    lane = Lane("planned", strict=strict, window=window, group=group)
    for sequence in range(count):
        lane.offer(message(sequence))
    return lane


def send_all(lane: Lane) -> list[tuple[int, bool]]:
    sent = []
    while (item := lane.next()) is not None:
        sent.append((item[0].sequence, item[1]))
    return sent


def test_strict_lane_asks_each_time() -> None:
    assert send_all(lane_with(3, strict=True)) == [(0, True), (1, True), (2, True)]


def test_group_lane_asks_each_time_until_the_streams_position_is_known_then_once_a_group() -> None:
    lane = lane_with(2)
    assert send_all(lane) == [(0, True), (1, True)]
    assert lane.acknowledge(0, 0, 10, duplicate=False) == message(0)
    assert lane.acknowledge(0, 1, 11, duplicate=False) == message(1)
    for sequence in range(2, 12):
        lane.offer(message(sequence))
    asked = [sequence for sequence, ask in send_all(lane) if ask]
    assert asked == [5, 9, 11]  # two groups of four, and the last that waits
    assert lane.acknowledge(0, 5, 15, duplicate=False) == message(5)
    assert (lane.acknowledged, lane.flying) == (6, 6)


def test_window_bounds_what_flies_and_its_last_message_asks() -> None:
    lane = lane_with(10, window=4, group=100)
    assert send_all(lane)[-1] == (3, True)
    assert (lane.flying, lane.waiting, lane.backlog) == (4, 6, 10)


@pytest.mark.parametrize(
    ("position", "duplicate", "why"),
    [
        (13, False, "the stream advanced by less than the group: one of it was not stored"),
        (14, True, "a duplicate tells nothing of the rest of its group"),
    ],
)
def test_group_that_fell_short_is_sent_again_with_an_answer_each(
    position: int, duplicate: bool, why: str
) -> None:
    lane = lane_with(1)
    send_all(lane)
    lane.acknowledge(0, 0, 10, duplicate=False)
    for sequence in range(1, 5):
        lane.offer(message(sequence))
    assert send_all(lane) == [(1, False), (2, False), (3, False), (4, True)]
    assert lane.acknowledge(0, 4, position, duplicate=duplicate) is None, why
    assert send_all(lane) == [(1, True), (2, True), (3, True), (4, True)]
    assert lane.repeated == 4


def test_missing_answer_before_another_rewinds() -> None:
    lane = lane_with(3, strict=True)
    send_all(lane)
    assert lane.acknowledge(0, 1, 2, duplicate=False) is None
    assert (lane.waiting, lane.flying, lane.epoch) == (3, 0, 1)


def test_answers_to_an_earlier_epoch_say_nothing() -> None:
    lane = lane_with(2, strict=True)
    send_all(lane)
    assert lane.rewind() == 2
    send_all(lane)
    assert lane.acknowledge(0, 1, 2, duplicate=False) is None
    assert not lane.refuse(0)
    assert lane.acknowledge(1, 0, 1, duplicate=True) == message(0)
    assert (lane.acknowledged, lane.duplicates, lane.flying) == (1, 1, 1)


def test_refusal_holds_the_lane_with_everything_kept_in_order() -> None:
    lane = lane_with(3, strict=True)
    send_all(lane)
    assert lane.refuse(0)
    assert lane.next() is None
    assert (lane.backlog, lane.refused) == (3, 1)
    lane.held = False
    assert send_all(lane) == [(0, True)], "one at a time until one is taken"
    assert lane.acknowledge(1, 0, 1, duplicate=False) == message(0)
    assert send_all(lane) == [(1, True), (2, True)]


def test_position_is_unknown_after_a_rewind_since_a_stream_in_memory_starts_anew() -> None:
    lane = lane_with(1)
    send_all(lane)
    lane.acknowledge(0, 0, 5000, duplicate=False)
    lane.rewind()
    for sequence in range(1, 9):
        lane.offer(message(sequence))
    assert send_all(lane)[0] == (1, True)
    assert lane.acknowledge(1, 1, 1, duplicate=False) == message(1)


def test_conflation_keeps_the_newest_of_each_subject_in_order() -> None:
    lane = Lane("market_data", strict=False)
    for sequence, subject in enumerate("abacab"):
        lane.offer(message(sequence, subject))
    assert lane.conflate() == 3
    assert [sequence for sequence, _ in send_all(lane)] == [3, 4, 5]
    assert lane.conflated == 3


@pytest.mark.parametrize(("window", "group"), [(0, 1), (1, 0)])
def test_nonsense_limits_are_refused(window: int, group: int) -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        Lane("x", strict=True, window=window, group=group)


class Stream:
    """JetStream as its documentation has it: an id is stored once, in the order of arrival, and numbered."""

    def __init__(self) -> None:
        self.stored: list[int] = []
        self.offset = 0

    def publish(self, sequence: int) -> tuple[int, bool]:
        """Position in the stream, and whether the id had been stored before."""
        if sequence in self.stored:
            return self.offset + self.stored.index(sequence) + 1, True
        self.stored.append(sequence)
        return self.offset + len(self.stored), False


EVENTS = st.sampled_from(
    ["send", "send", "send", "answer", "answer", "swallow", "cut", "refuse", "lose answer"]
)


@settings(max_examples=300, deadline=None)
@given(
    events=st.lists(EVENTS, max_size=120),
    strict=st.booleans(),
    window=st.integers(1, 12),
    group=st.integers(1, 6),
)
def test_every_message_is_stored_once_whatever_happens(
    events: list[str], strict: bool, window: int, group: int
) -> None:
    """Messages swallowed by the server, answers lost, connections cut: in the end, each is there once."""
    total = 40
    lane = lane_with(total, strict=strict, window=window, group=group)
    stream = Stream()
    answers: list[tuple[int, int, int, bool]] = []

    def apply(event: str) -> None:
        if event in ("send", "swallow"):
            sent = lane.next()
            if sent is not None and event == "send":
                position, duplicate = stream.publish(sent[0].sequence)
                if sent[1]:
                    answers.append((lane.epoch, sent[0].sequence, position, duplicate))
        elif event in ("answer", "lose answer"):
            if answers:
                epoch, sequence, position, duplicate = answers.pop(0)
                if event == "answer":
                    lane.acknowledge(epoch, sequence, position, duplicate=duplicate)
        elif event == "refuse":
            lane.refuse(lane.epoch)
            lane.held = False
        else:
            answers.clear()
            lane.rewind()

    for event in events:
        apply(event)
    for _ in range(20 * total):
        if not lane.backlog:
            break
        for event in ["send"] * window + ["answer"] * window:
            apply(event)
        if not answers:
            lane.rewind()  # what the watch does when no answer comes
    assert lane.backlog == 0
    assert sorted(stream.stored) == list(range(total))
    assert lane.acknowledged == total
