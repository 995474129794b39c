"""At 1x no batch comes before its time and a late one is not waited for, whatever the machine's speed."""

from pathlib import Path

from hft.replay.engine import Replay
from hft.replay.pace import LONGEST_NAP_NS, Pace
from hft.replay.source import batches
from hft.runtime.capture import Capture
from hft.runtime.settings import Config

START_NS = 5_000_000_000


class Hand:
    """A clock that only moves when somebody sleeps, or is told to."""

    def __init__(self) -> None:
        self.now_ns = 77
        self.naps: list[float] = []
        self.ended = False

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now_ns += round(seconds * 1e9)

    def pace(self, start_ns: int = START_NS) -> Pace:
        return Pace(start_ns, lambda: self.ended, lambda: self.now_ns, self.sleep)


def test_each_batch_waits_as_long_as_it_took_when_it_was_captured() -> None:
    hand = Hand()
    pace = hand.pace()
    for after_ns in (0, 1_500, 700_000_000, 700_000_000, 3_000_000_000):
        pace(START_NS + after_ns)
        assert hand.now_ns == 77 + after_ns
    assert max(hand.naps) <= LONGEST_NAP_NS / 1e9, "else a Ctrl-C would be answered late"


def test_a_late_batch_is_not_waited_for_and_the_next_keeps_its_own_time() -> None:
    hand = Hand()
    pace = hand.pace()
    pace(START_NS)
    hand.now_ns += 900_000_000
    pace(START_NS + 500_000_000)
    assert hand.naps == []
    pace(START_NS + 1_000_000_000)
    assert hand.now_ns == 77 + 1_000_000_000


def test_an_end_that_was_asked_for_ends_the_wait() -> None:
    hand = Hand()
    pace = hand.pace()

    def sleep_then_end(seconds: float) -> None:
        hand.sleep(seconds)
        hand.ended = True

    pace._sleep_s = sleep_then_end
    pace(START_NS + 60_000_000_000)
    assert len(hand.naps) == 1
    assert hand.now_ns == 77 + LONGEST_NAP_NS


def test_a_replay_at_its_captures_pace_is_never_ahead_of_it(captured: Path) -> None:
    hand = Hand()
    with Capture(captured) as capture, Replay(Config(), capture.header) as replay:
        pace, waited = hand.pace(capture.header.start_ns), 0

        def watched(taken_ns: int) -> None:
            nonlocal waited
            pace(taken_ns)
            assert hand.now_ns - 77 == taken_ns - capture.header.start_ns
            waited += 1

        outcome = replay.run(batches(capture), pace=watched)
    assert waited == outcome.batches > 10
    assert hand.now_ns - 77 == outcome.captured_ns
