"""Capture files: what is written is what is read, a torn tail is cut, anything worse is refused by name."""

import os
from pathlib import Path
from zlib import crc32

import pytest

from hft.chain.subscribe import (
    AccountChanged,
    AccountUnusable,
    FeedEvent,
    Reverted,
    SlotSeen,
    SourceLive,
    SourceLost,
)
from hft.chain.subscribe_merge import Unusable, Version
from hft.runtime import capture_format as layout
from hft.runtime.capture import Capture, CaptureError, CaptureWriter
from hft.runtime.capture_format import Header, Surveyed
from hft.runtime.exit_codes import ExitCode
from hft.venues import Account

HEADER = Header(bytes(range(16)), 5_000, 1_790_000_000_000_000_000, 400_000_000, 1_790_000_000)
POOL, VAULT = bytes([1]) * 32, bytes([2]) * 32


def changed(key: bytes, slot: int, data: bytes | None, write_version: int = 0) -> AccountChanged:
    account = None if data is None else Account(bytes([9]) * 32, data, 2_039_280)
    return AccountChanged(Version(key, slot, write_version, account, layout.SOURCE, 4_990))


BATCHES: list[list[layout.Happening]] = [
    [Surveyed({POOL: (VAULT, bytes([3]) * 32)}, (bytes([4]) * 32,), 7)],
    [changed(POOL, 400_000_000, bytes(9_988)), changed(VAULT, 400_000_000, b"short", 12)],
    [SourceLive("node0", 400_000_000, True), SlotSeen(400_000_001, 400_000_000, 399_999_969, 5_100)],
    [Reverted(frozenset((400_000_001, 399_999_999)), (VAULT, POOL)), changed(VAULT, 400_000_002, None)],
    [AccountUnusable(changed(POOL, 400_000_003, b"").version, Unusable.TOO_SHORT)],
    [SourceLost("node0", "silent", True)],
]


def write(file: Path, batches: list[list[layout.Happening]] = BATCHES, **limits: int) -> CaptureWriter:
    writer = CaptureWriter(file, HEADER, **limits)
    for place, events in enumerate(batches):
        writer.put(events, 5_000 + 100 * place)
    writer.close()
    return writer


def read(file: Path) -> list[list[FeedEvent | Surveyed]]:
    found: list[list[FeedEvent | Surveyed]] = [[]]
    with Capture(file) as capture:
        for record in capture:
            found[-1].append(record.event)
            if record.last:
                found.append([])
    return found[:-1]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "day.capture"
    write(path)
    return path


def test_what_is_written_is_read_back(file: Path) -> None:
    assert read(file) == BATCHES
    with Capture(file) as capture:
        assert capture.header == HEADER
        assert (capture.records, capture.torn_bytes) == (9, 0)
        assert capture.duration_ns == 500
        assert [record.taken_ns for record in capture][-1] == 5_500
    assert file.stat().st_size < 9_988  # a tick array of zeros takes no room


def test_row_33_a_tail_torn_at_any_byte_is_cut_at_the_last_whole_record(file: Path) -> None:
    data = file.read_bytes()
    with Capture(file) as capture:
        ends = [record.end for record in capture]
    assert ends[-1] == len(data)
    for cut in range(ends[-2] + 1, ends[-1]):
        file.write_bytes(data[:cut])
        with Capture(file) as capture:
            assert capture.records == 8
            assert capture.torn_bytes == cut - ends[-2]
            assert [record.event for record in capture][-1] == BATCHES[4][0]
    # Blocks that the file system had given out and never filled read as zeros.
    file.write_bytes(data[: ends[-2]] + bytes(4_096))
    with Capture(file) as capture:
        assert (capture.records, capture.torn_bytes) == (8, 4_096)


def test_row_33_corruption_in_the_middle_is_refused_with_its_place(file: Path) -> None:
    data = file.read_bytes()
    with Capture(file) as capture:
        ends = [record.end for record in capture]
    begins = [layout.HEADER.size, *ends[:-1]]
    for place, (begin, end) in enumerate(zip(begins, ends, strict=True)):
        for at in (begin, begin + 4, begin + 9, begin + 16, end - 1):
            bad = bytearray(data)
            bad[at] ^= 0x40
            file.write_bytes(bad)
            if place == len(ends) - 1:
                assert Capture(file).torn_bytes == end - begin
                continue
            with pytest.raises(CaptureError, match=rf"corrupt at byte {begin:,} of") as caught:
                Capture(file)
            assert caught.value.code is ExitCode.CAPTURE


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (0, "no capture's magic"),
        (8, "layout version 5; this program reads 1"),
        (20, "the header's checksum is wrong"),
    ],
)
def test_a_file_that_is_none_of_ours_is_refused(file: Path, at: int, text: str) -> None:
    data = bytearray(file.read_bytes())
    data[at] ^= 4
    file.write_bytes(data)
    with pytest.raises(CaptureError, match=text):
        Capture(file)


def test_row_03_another_schema_hash_is_refused_with_both_named(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = layout.SCHEMA_HASH
    monkeypatch.setattr(layout, "SCHEMA_HASH", 0xBEEF)
    with pytest.raises(CaptureError, match=f"schema hash {theirs:016x}, .* {0xBEEF:016x}") as caught:
        Capture(file)
    assert caught.value.code is ExitCode.CAPTURE


def test_an_empty_file_and_a_missing_one_are_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    with pytest.raises(CaptureError, match="0 bytes hold no header"):
        Capture(empty)
    with pytest.raises(CaptureError, match="No such file"):
        Capture(tmp_path / "none")


def test_a_capture_ends_at_its_limit_with_whole_batches(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole").bytes
    writer = write(tmp_path / "part", limit_bytes=whole - 1)
    assert "limit" in writer.full
    assert read(tmp_path / "part") == BATCHES[:-1]
    assert writer.records == 8
    assert not writer.put(BATCHES[0], 9_999)


def test_a_full_disk_ends_it_and_what_stands_there_is_whole(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    target = tmp_path / "full"
    writer = CaptureWriter(target, HEADER)
    os.dup2(os.open(full, os.O_WRONLY), writer._out)
    writer.put(BATCHES[1], 5_000)
    writer.close()
    assert "No space left" in writer.full
    assert not writer.put(BATCHES[2], 6_000)


def test_an_existing_file_is_never_written_over(file: Path) -> None:
    before = file.read_bytes()
    with pytest.raises(CaptureError, match="a capture is a new file"):
        CaptureWriter(file, HEADER)
    assert file.read_bytes() == before


def test_time_never_goes_back(tmp_path: Path) -> None:
    writer = CaptureWriter(tmp_path / "back", HEADER)
    writer.put(BATCHES[0], 6_000)
    with pytest.raises(ValueError, match="before"):
        writer.put(BATCHES[1], 5_999)
    writer.close()


def test_a_record_with_a_right_checksum_and_no_sense_is_named(file: Path, tmp_path: Path) -> None:
    data = file.read_bytes()
    with Capture(file) as capture:
        begin = next(iter(capture)).end
    end = next(record.end for record in Capture(file) if record.end > begin)
    body = bytearray(data[begin + 8 : end])
    body[4] = 99  # a kind that nobody knows
    odd = data[:begin] + data[begin : begin + 4] + crc32(body).to_bytes(4, "little") + body + data[end:]
    (tmp_path / "odd").write_bytes(odd)
    with Capture(tmp_path / "odd") as capture, pytest.raises(CaptureError, match=f"byte {begin:,}: a record"):
        list(capture)
