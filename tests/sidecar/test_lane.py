"""The lane: what is sent again when, and that nothing is ever left out or doubled."""

import random
import re
from pathlib import Path

import pytest

from hft.runtime import lane
from hft.runtime.journal_format import Rows
from hft.runtime.journal_mark import MarkFile
from hft.runtime.lane import Held, Lane
from hft.runtime.nats_wire import Answer
from hft.runtime.stream_journal import MINIMUM_BYTES, StreamJournal

RUN = bytes(range(16))
INBOX = b"_INBOX.test."
_PUBLISHED = re.compile(
    rb"HPUB (\S+) _INBOX\.test\.(\d+)\.(\d+)\.(\d+) (\d+) (\d+)\r\n"
    rb"NATS/1\.0\r\nNats-Msg-Id: (\S+)\r\n\r\n(.*?)\r\n(?=HPUB |\Z)",
    re.DOTALL,
)

Sent = tuple[int, int, int]
"""Sequence, epoch, ticket."""


def made(folder: Path, *, run: bytes = RUN, conflates: bool = False, window: int = 8) -> Lane:
    journal = StreamJournal(folder, "planned", run, MINIMUM_BYTES, print)
    journal.reserve()
    return Lane(3, journal, MarkFile(folder), conflates=conflates, window=window)


def started(folder: Path, **how: bool | int) -> Lane:
    """A lane at an empty stream."""
    found = made(folder, **how)  # type: ignore[arg-type]
    found.resume(Held(1, 0, ()))
    return found


def write(lane: Lane, numbers: range, subject: bytes = b"s") -> None:
    rows = Rows.of((n, b"%b.%d" % (subject, n % 10), b"p%d" % n) for n in numbers)
    assert lane.journal.ready(rows.size)
    assert lane.journal.append(rows, 1)


def send(lane: Lane, limit: int = 100) -> list[Sent]:
    """What the lane sends now, taken apart again."""
    found: list[Sent] = []
    data, at = lane.next(limit, INBOX), 0
    while at < len(data):
        parts = _PUBLISHED.match(data, at)
        assert parts is not None
        at = parts.end()
        _, number, epoch, ticket, head, total, identity, payload = parts.groups()
        run, name, sequence = identity.decode().split(":")
        assert (int(number), run, name) == (3, RUN.hex(), "planned")
        assert payload == b"p%b" % sequence.encode()
        assert int(total) - int(head) == len(payload)
        assert int(head) == len(b"NATS/1.0\r\nNats-Msg-Id: \r\n\r\n") + len(identity)
        found.append((int(sequence), int(epoch), int(ticket)))
    return found


def answer(lane: Lane, sent: Sent, place: int) -> bool:
    return lane.acknowledge(Answer(3, sent[1], sent[2], 1, place, 0))


def sequences(sent: list[Sent]) -> list[int]:
    return [sequence for sequence, _, _ in sent]


def test_messages_go_in_order_within_the_window(tmp_path: Path) -> None:
    one = started(tmp_path)
    write(one, range(20))
    first = send(one, 3) + send(one)
    assert sequences(first) == list(range(8))
    assert [ticket for _, _, ticket in first] == 3 * [1] + 5 * [2], "one ticket a flight"
    assert send(one) == []
    for place, sent in enumerate(first[:3], 1):
        assert answer(one, sent, place)
    assert sequences(send(one)) == [8, 9, 10]
    assert (one.published, one.flying, one.backlog, one.waiting) == (3, 8, 17, 9)


def test_a_flight_is_in_the_stream_when_every_answer_has_come(tmp_path: Path) -> None:
    one = started(tmp_path)
    write(one, range(5))
    _, epoch, ticket = send(one)[0]
    assert one.acknowledge(Answer(3, epoch, ticket, 4, 7, 1)), "of whichever messages: one is missing"
    assert (one.published, one.flying, one.backlog, one.duplicates) == (0, 5, 5, 0)
    assert one.acknowledge(Answer(3, epoch, ticket, 1, 2, 1))
    assert (one.published, one.flying, one.backlog, one.duplicates) == (5, 0, 0, 2)
    assert one.mark is not None
    assert (one.mark.sequence, one.mark.stream_sequence) == (4, 7)


def test_nothing_is_sent_before_the_stream_has_been_looked_at(tmp_path: Path) -> None:
    one = made(tmp_path)
    write(one, range(3))
    assert send(one) == []
    one.resume(Held(1, 0, ()))
    assert len(send(one)) == 3


def test_answers_in_a_row_count_as_one(tmp_path: Path) -> None:
    one = started(tmp_path, window=100)
    write(one, range(5))
    first = send(one)
    write(one, range(5, 12))
    second = send(one)
    assert one.acknowledge(Answer(3, first[0][1], first[0][2], 5, 20, 1))
    assert (one.published, one.flying, one.backlog, one.duplicates) == (5, 7, 7, 1)
    assert one.mark is not None
    assert (one.mark.sequence, one.mark.stream_sequence) == (4, 20)
    assert not one.acknowledge(Answer(3, first[0][1], first[0][2], 1, 5, 0)), "answered before"
    assert one.flying == 7
    assert not one.acknowledge(Answer(3, first[0][1], second[0][2], 8, 30, 0)), "more than were sent"
    again = send(one)
    assert sequences(again) == list(range(5, 12))
    assert not one.acknowledge(Answer(3, again[0][1], again[0][2] + 1, 1, 30, 0)), "never sent"
    assert sequences(send(one)) == list(range(5, 12))


def test_a_lost_answer_and_a_refusal_send_everything_again_from_there(tmp_path: Path) -> None:
    one = started(tmp_path)
    write(one, range(6))
    sent = send(one, 1) + send(one, 2) + send(one)
    assert answer(one, sent[0], 1)
    assert answer(one, sent[1], 2)
    assert not answer(one, sent[3], 3), "the answer to 2 should have come first"
    again = send(one)
    assert sequences(again) == [1, 2, 3, 4, 5]
    assert not answer(one, sent[3], 4), "of an earlier epoch"
    assert not one.refuse(sent[0][1])
    assert one.refuse(again[0][1])
    assert send(one) == []
    one.resume(Held(1, 1, ()))
    probe = send(one)
    assert sequences(probe) == [1], "alone, until it is taken"
    assert send(one) == []
    assert answer(one, probe[0], 2)
    assert sequences(send(one)) == [2, 3, 4, 5]
    assert (one.repeated, one.refused) == (10, 1)


def test_a_successor_goes_on_behind_the_mark_and_leaves_out_what_the_stream_has(tmp_path: Path) -> None:
    one = started(tmp_path)
    write(one, range(10))
    sent = send(one, 4) + send(one)
    for place, each in enumerate(sent[:4], 1):
        answer(one, each, place)
    one.save()
    answer(one, sent[4], 5)
    # Killed here: the mark is behind the stream, which has 4 too, and 6, but not 5.
    two = made(tmp_path, window=100)
    assert two.mark is not None
    assert (two.mark.sequence, two.mark.stream_sequence) == (3, 4)
    two.resume(Held(1, 7, [(RUN.hex(), 4), (RUN.hex(), 6)]))
    rest = send(two)
    assert [sequence for sequence, _, _ in rest] == [5, 7, 8, 9]
    for place, each in enumerate(rest, 8):
        assert answer(two, each, place)
    assert (two.published, two.found, two.backlog) == (6, 2, 0)


def test_a_stream_that_has_lost_its_end_gets_it_again(tmp_path: Path) -> None:
    one = started(tmp_path)
    write(one, range(8))
    for place, each in enumerate(send(one), 1):
        answer(one, each, place)
    assert one.backlog == 0
    one.rewind()
    one.resume(Held(1, 5, (), (RUN.hex(), 4)))
    assert [sequence for sequence, _, _ in send(one)] == [5, 6, 7]


def test_conflation_sends_the_newest_of_each_subject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane, "CONFLATE_ABOVE", 50)
    one = started(tmp_path, conflates=True, window=1000)
    write(one, range(70))
    sent = send(one)
    assert [sequence for sequence, _, _ in sent] == list(range(40, 50))
    for place, each in enumerate(sent, 1):
        assert answer(one, each, place)
    assert (one.conflated, one.backlog) == (40, 20)
    assert [sequence for sequence, _, _ in send(one)] == list(range(50, 70))


def test_giving_up_the_oldest_moves_the_lane_on(tmp_path: Path) -> None:
    one = started(tmp_path)
    payload = bytes(60_000)
    for number in range(20):
        rows = Rows.of([(number, b"s", payload)])
        assert one.journal.ready(rows.size)
        assert one.journal.append(rows, 1)
    assert one.next(3, INBOX).count(b"HPUB ") == 3
    assert one.abandon_oldest()
    assert one.abandoned == 8
    assert one.backlog == 12
    assert (b":%d\r\n\r\n" % 8) in one.next(1, INBOX)


def test_whatever_happens_the_stream_holds_each_message_once(tmp_path: Path) -> None:
    """A server that loses answers, refuses and dies at random, and a sidecar that is killed at random."""
    dice = random.Random(7)
    stream: list[int] = []
    current = started(tmp_path, window=16)
    written = 0
    while written < 600 or current.backlog:
        if written < 600:
            count = dice.randint(1, 20)
            write(current, range(written, written + count))
            written += count
        for sent in [one for _ in range(3) for one in send(current, dice.randint(1, 8))]:
            event = dice.random()
            if event < 0.02:
                current.refuse(sent[1])
                break
            if sent[0] not in stream:  # the server's own memory of ids
                stream.append(sent[0])
            if event > 0.03:
                answer(current, sent, stream.index(sent[0]) + 1)
        if dice.random() < 0.2:
            current.save()
        if dice.random() < 0.05:
            current.journal._seal()
            current = made(tmp_path, window=16)
        if current.held:
            mark = current.mark
            behind = stream[mark.stream_sequence :] if mark is not None else stream
            current.resume(Held(1, len(stream), [(RUN.hex(), sequence) for sequence in behind]))
    assert sorted(stream) == list(range(written))
    assert len(stream) == len(set(stream))
