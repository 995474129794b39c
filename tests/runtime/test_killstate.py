"""The latch on disk: survives, fails closed, and is cleared only by a reason."""

import json
from pathlib import Path

import pytest

from hft.runtime import killstate
from hft.wire.enums import KillTrigger


def test_a_new_folder_runs_and_a_trip_stays_until_resumed(tmp_path: Path) -> None:
    assert not killstate.establish(tmp_path, 1).killed
    assert killstate.trip(tmp_path, KillTrigger.DRAWDOWN, "manager", "10.1% under the peak", 2)
    assert not killstate.trip(tmp_path, KillTrigger.MANUAL, "someone", "later", 3)
    latch = killstate.load(tmp_path)
    assert latch == (True, KillTrigger.DRAWDOWN, "manager", "10.1% under the peak", 2)
    assert killstate.establish(tmp_path, 4) == latch
    assert killstate.resume(tmp_path, "operator", "looked into it", 5) == latch
    assert not killstate.load(tmp_path).killed


def test_row_22_a_reset_is_explicit_and_logged(tmp_path: Path) -> None:
    killstate.trip(tmp_path, KillTrigger.MANUAL, "operator", "test", 1)
    with pytest.raises(ValueError, match="needs a reason"):
        killstate.resume(tmp_path, "operator", "  ", 2)
    killstate.resume(tmp_path, "operator", "all is well", 3)
    lines = [json.loads(line) for line in (tmp_path / killstate.LOG_FILE).read_text().splitlines()]
    assert [(line["state"], line["message"]) for line in lines] == [
        ("killed", "test"),
        ("running", "all is well"),
    ]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"state": "running"}'])
def test_row_22_an_unreadable_latch_is_killed(tmp_path: Path, content: bytes) -> None:
    (tmp_path / killstate.KILL_FILE).write_bytes(content)
    latch = killstate.load(tmp_path)
    assert latch.killed
    assert latch.trigger is KillTrigger.CORRUPT


def test_row_22_every_changed_byte_is_killed(tmp_path: Path) -> None:
    killstate.establish(tmp_path, 1_700_000_000_000_000_000)
    file = tmp_path / killstate.KILL_FILE
    whole = file.read_bytes()
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 0x01
        file.write_bytes(changed)
        if json_or_none(bytes(changed)) != json_or_none(whole):
            assert killstate.load(tmp_path).killed, whole[max(0, place - 10) : place + 10]


def json_or_none(content: bytes) -> object:
    try:
        return json.loads(content)
    except ValueError:
        return None


def test_row_22_a_latch_deleted_from_a_used_folder_is_killed(tmp_path: Path) -> None:
    killstate.establish(tmp_path, 1)
    (tmp_path / killstate.KILL_FILE).unlink()
    assert killstate.load(tmp_path).killed
    assert killstate.establish(tmp_path, 2).killed
    killstate.resume(tmp_path, "operator", "restored", 3)
    assert not killstate.load(tmp_path).killed


def test_a_trip_over_a_corrupt_latch_gives_it_a_reason(tmp_path: Path) -> None:
    (tmp_path / killstate.KILL_FILE).write_bytes(b"{")
    assert killstate.trip(tmp_path, KillTrigger.MANUAL, "operator", "test", 1)
    assert killstate.load(tmp_path).trigger is KillTrigger.MANUAL


def test_texts_fit_the_message_and_stay_whole_characters(tmp_path: Path) -> None:
    assert killstate.clip("a\nb\tc", 10) == "a b c"
    assert killstate.clip("€" * 20, killstate.BY_LIMIT) == "€" * 10
    killstate.trip(tmp_path, KillTrigger.MANUAL, "x" * 500, "€" * 500, 1)
    latch = killstate.load(tmp_path)
    assert len(latch.by.encode()) <= killstate.BY_LIMIT
    assert len(latch.message.encode()) <= killstate.MESSAGE_LIMIT
