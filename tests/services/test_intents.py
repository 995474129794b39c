"""The executor's intents on disk."""

from pathlib import Path

import pytest

from hft.services import intents
from hft.services.intents import Intent, Intents


def intent(number: int) -> Intent:
    return Intent(number.to_bytes(64, "big"), 100 + number, number.to_bytes(16, "big"), b"plan" * 50)


def opened(folder: Path) -> tuple[Intents, list[Intent]]:
    found = Intents(folder)
    return found, found.load()


def test_an_intent_without_an_end_is_found_again_and_one_with_an_end_is_remembered(tmp_path: Path) -> None:
    first, nothing = opened(tmp_path)
    assert nothing == []
    for number in range(3):
        first.begin(intent(number))
    first.end(intent(1).plan_id)
    first.close()
    second, found = opened(tmp_path)
    assert found == [intent(0), intent(2)]
    assert all(second.knows(intent(number).plan_id) for number in range(3))
    assert not second.knows(intent(3).plan_id)
    second.end(intent(0).plan_id)
    second.end(intent(2).plan_id)
    second.close()
    third, left = opened(tmp_path)
    assert left == []
    assert third.knows(intent(2).plan_id)
    third.close()


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_row_33_a_torn_tail_is_cut_at_the_last_whole_record(tmp_path: Path, cut: int) -> None:
    first, _ = opened(tmp_path)
    first.begin(intent(0))
    first.begin(intent(1))
    first.close()
    file = tmp_path / intents.FILE_NAME
    file.write_bytes(file.read_bytes()[:-cut])
    second, found = opened(tmp_path)
    assert found == [intent(0)]
    assert second.cut_bytes == 297 - cut
    second.begin(intent(2))
    second.close()
    assert opened(tmp_path)[1] == [intent(0), intent(2)]


def test_row_33_a_flipped_bit_ends_what_is_believed(tmp_path: Path) -> None:
    first, _ = opened(tmp_path)
    for number in range(3):
        first.begin(intent(number))
    first.close()
    file = tmp_path / intents.FILE_NAME
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    second, found = opened(tmp_path)
    assert found == [intent(0)]
    assert second.cut_bytes > 0


def test_the_file_stays_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intents, "SIZE_LIMIT", 10_000)
    monkeypatch.setattr(intents, "REMEMBERED", 8)
    kept, _ = opened(tmp_path)
    kept.begin(intent(0))
    for number in range(1, 200):
        kept.begin(intent(number))
        kept.end(intent(number).plan_id)
        kept.housekeep()
    assert (tmp_path / intents.FILE_NAME).stat().st_size < 11_000
    kept.close()
    assert opened(tmp_path)[1] == [intent(0)]
    assert (tmp_path / intents.FILE_NAME).stat().st_mode & 0o777 == 0o600
