"""The journal's files: what a crash or a disk leaves, what is refused, what is deleted when."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hft.runtime import journal_format
from hft.runtime.exit_codes import ExitCode
from hft.runtime.journal_format import Rows
from hft.runtime.journal_mark import Mark, MarkFile
from hft.runtime.journal_reader import Reader
from hft.runtime.stream_journal import MINIMUM_BYTES, JournalError, Position, StreamJournal

RUN, OTHER_RUN = bytes(range(16)), bytes(range(1, 17))
PAYLOAD = 1000
SEGMENT_RECORDS = 500


class Lines(list[str]):
    """What the journal has said."""


@pytest.fixture
def said() -> Lines:
    return Lines()


def opened(folder: Path, said: Lines, run: bytes = RUN, limit: int = MINIMUM_BYTES) -> StreamJournal:
    return StreamJournal(folder, "planned", run, limit, said.append)


Record = tuple[int, bytes, bytes]


def record(number: int, size: int = PAYLOAD) -> Record:
    return number, b"a.%d" % number, number.to_bytes(4, "little") * (size // 4)


def write(journal: StreamJournal, numbers: range, size: int = PAYLOAD, batch: int = 50) -> int:
    """Write these until there is no room; how many were written."""
    for first in range(numbers.start, numbers.stop, batch):
        rows = Rows.of(record(number, size) for number in range(first, min(first + batch, numbers.stop)))
        if not journal.ready(rows.size):
            return first - numbers.start
        assert journal.append(rows, 10 + first)
    return len(numbers)


def content(journal: StreamJournal, position: Position | None = None) -> list[int]:
    """Sequences from a position on."""
    reader = Reader(journal, position or journal.begin)
    found: list[int] = []
    while (taken := reader.take(64)) is not None:
        found += taken.rows.sequences
        for sequence, subject, payload in taken.rows:
            assert payload[:4] == sequence.to_bytes(4, "little")
            assert subject == b"a.%d" % sequence
    reader.close()
    return found


def test_what_is_written_is_read_over_segments_and_reopenings(tmp_path: Path, said: Lines) -> None:
    journal = opened(tmp_path, said)
    assert write(journal, range(1200)) == 1200
    assert len(journal.segments) == 3
    assert content(journal) == list(range(1200))
    journal.close()
    again = opened(tmp_path, said)
    assert (again.last_sequence, again.run_count, again.end.place) == (1199, 1200, 1200)
    assert write(again, range(1200, 1300)) == 100
    assert content(again) == list(range(1300))
    assert content(again, again.position_after(RUN, 700)) == list(range(701, 1300))
    again.close()
    assert said == []


def test_another_run_begins_a_segment_of_its_own(tmp_path: Path, said: Lines) -> None:
    first = opened(tmp_path, said)
    write(first, range(100))
    first.close()
    second = opened(tmp_path, said, OTHER_RUN)
    assert (second.last_sequence, second.run_count) == (-1, 0)
    write(second, range(10), batch=10)
    assert content(second) == [*range(100), *range(10)]
    assert [segment.header.run for segment in second.segments] == [RUN, OTHER_RUN]
    assert (second.last_sequence, second.run_count) == (9, 10)
    second.close()


@pytest.mark.parametrize("how", ["cut off", "zeros from there", "noise from there"])
def test_row_33_a_tail_torn_at_every_byte_of_the_last_record_is_cut_with_an_alert(
    tmp_path: Path, said: Lines, how: str
) -> None:
    journal = opened(tmp_path / "whole", said)
    write(journal, range(5), size=40, batch=1)
    end, last = journal.end.offset, Rows.of([record(4, 40)]).size
    path = journal.segments[0].path
    journal.close()
    whole = path.read_bytes()[:end]
    for at in range(end - last, end):
        folder = tmp_path / f"{at}"
        folder.mkdir()
        rest = {
            "cut off": b"",
            "zeros from there": bytes(end - at + 64),
            "noise from there": b"\xa5" * (end - at),
        }
        (folder / path.name).write_bytes(whole[:at] + rest[how])
        lines = Lines()
        torn = opened(folder, lines)
        whole_already = how == "zeros from there" and not whole[at:].strip(b"\0")
        assert content(torn) == list(range(5 if whole_already else 4)), at
        clean = at == end - last and how != "noise from there"
        assert [line.startswith("ALERT") for line in lines] == ([] if clean or whole_already else [True]), at
        write(torn, range(5, 6), size=40, batch=1)
        assert content(torn)[-1] == 5
        torn.close()


def test_row_33_damage_in_the_middle_refuses_to_open_naming_file_and_offset(
    tmp_path: Path, said: Lines
) -> None:
    journal = opened(tmp_path, said)
    write(journal, range(5), size=40, batch=1)
    size, path = Rows.of([record(0, 40)]).size, journal.segments[0].path
    journal.close()
    whole = path.read_bytes()
    begin = journal_format.HEADER.size
    for at in range(begin, begin + 4 * size):
        broken = bytearray(whole)
        broken[at] ^= 0x10
        path.write_bytes(broken)
        with pytest.raises(JournalError) as error:
            opened(tmp_path, said)
        offset = begin + (at - begin) // size * size
        assert f"{path}, offset {offset}:" in str(error.value)
        assert error.value.code is ExitCode.STATE_FOLDER
    assert said == []


def test_row_33_damage_at_the_end_of_a_finished_segment_is_no_torn_tail(tmp_path: Path, said: Lines) -> None:
    journal = opened(tmp_path, said)
    write(journal, range(1200))
    first = journal.segments[0].path
    journal.close()
    whole = first.read_bytes()
    first.write_bytes(whole[:-1])
    with pytest.raises(JournalError, match="Nothing is started on a damaged journal"):
        opened(tmp_path, said)
    first.write_bytes(b"\0" + whole[1:])
    with pytest.raises(JournalError, match="no journal's magic"):
        opened(tmp_path, said)


def test_row_33_a_missing_segment_and_another_links_are_refused(tmp_path: Path, said: Lines) -> None:
    journal = opened(tmp_path, said)
    write(journal, range(1200))
    paths = [segment.path for segment in journal.segments]
    journal.close()
    with pytest.raises(JournalError, match="is of link planned, not of executed"):
        StreamJournal(tmp_path, "executed", RUN, MINIMUM_BYTES, said.append)
    paths[1].unlink()
    with pytest.raises(JournalError, match=f"{paths[1].name} is missing"):
        opened(tmp_path, said)


def test_damage_after_it_was_opened_is_found_when_it_is_read(tmp_path: Path, said: Lines) -> None:
    journal = opened(tmp_path, said)
    write(journal, range(100))
    journal.close()
    journal = opened(tmp_path, said)
    reader = Reader(journal, journal.begin)
    with journal.segments[0].path.open("r+b") as file:
        file.seek(journal.end.offset - 1)
        file.write(b"\xff")
    with pytest.raises(JournalError, match=r"offset \d+: not what was written there"):
        reader.take(200)


def test_the_limit_holds_what_is_unpublished_and_lets_go_of_what_is_published(
    tmp_path: Path, said: Lines
) -> None:
    journal = opened(tmp_path, said)
    journal.reserve()
    written = write(journal, range(100_000))
    assert 3_000 < written <= 8 * SEGMENT_RECORDS, "eight segments of 512 KiB"
    assert journal.low
    assert journal.disk_bytes <= MINIMUM_BYTES
    assert content(journal) == list(range(written))
    journal.keep_from(journal.segments[2].begin)
    assert write(journal, range(written, 100_000)) == 2 * SEGMENT_RECORDS
    assert content(journal) == list(range(2 * SEGMENT_RECORDS, written + 2 * SEGMENT_RECORDS))
    journal.keep_from(journal.end)
    journal.expire(2**62)
    assert len(journal.segments) == 1, "the newest segment stays"
    journal.close()
    assert not (tmp_path / "spare").exists()


def test_discarding_deletes_the_oldest_segment_whether_published_or_not(tmp_path: Path, said: Lines) -> None:
    journal = opened(tmp_path, said)
    write(journal, range(1200))
    begin = journal.segments[1].begin
    assert journal.discard_oldest() == begin
    assert content(journal)[0] == begin.place
    assert journal.discard_oldest() is not None
    assert journal.discard_oldest() is None


def test_row_32_a_full_disk_shows_before_anything_is_written_half(
    small_disk: Callable[[str], Path], said: Lines
) -> None:
    disk = small_disk("2m")
    journal = opened(disk / "journal", said)
    assert journal.reserve()
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(512 << 10))
    written = write(journal, range(100_000))
    assert 900 < written <= 3 * SEGMENT_RECORDS, "two or three segments of 512 KiB"
    assert journal.low
    assert not journal.reserve()
    ballast.unlink()
    assert journal.reserve()
    assert write(journal, range(written, written + 100)) == 100
    assert content(journal) == list(range(written + 100))
    journal.close()
    again = opened(disk / "journal", said)
    assert content(again) == list(range(written + 100))
    again.close()


def test_the_mark_survives_a_write_that_did_not_finish(tmp_path: Path) -> None:
    marks = MarkFile(tmp_path)
    assert marks.mark is None
    first, second = Mark(1, 96, RUN, 5, 7, 1), Mark(2, 200, RUN, 6, 8, 1)
    marks.write(first)
    marks.write(second, durable=True)
    marks.close()
    data = bytearray(marks.path.read_bytes())
    assert MarkFile(tmp_path).mark == second
    for at in range(len(data)):
        broken = bytearray(data)
        broken[at] ^= 0x40
        marks.path.write_bytes(broken)
        assert MarkFile(tmp_path).mark in (first, second), at
    os.truncate(marks.path, 0)
    assert MarkFile(tmp_path).mark is None
