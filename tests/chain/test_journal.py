"""The intent journal on a real disk, damaged byte by byte; the wallet's lock between real processes."""

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hft.chain.journal import FILE_NAME, Journal, JournalWriter, Resign
from hft.chain.journal_records import (
    FILE_MAGIC,
    MAX_PAYLOAD,
    Ended,
    Intent,
    JournalError,
    JournalErrorCode,
    Sent,
    record_bytes,
    scan,
)
from hft.chain.journal_records import Path as Way
from hft.chain.lock import WalletLock, WalletLockError, WalletLockErrorCode
from hft.wire.enums import EndState


def intent(number: int, size: int = 40) -> Intent:
    return Intent(
        number.to_bytes(16, "little"), bytes([number]) * 64, 1_000 + number, number, b"x" * size, b"plan"
    )


RECORDS = [
    intent(1),
    Sent(intent(1).plan_id, Way.JITO, "bundle-1"),
    Ended(intent(1).plan_id, EndState.EXPIRED),
]


def test_what_is_written_is_read_again_after_a_restart(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.begin(intent(1))
    journal.sent(Sent(intent(1).plan_id, Way.JITO, "bundle-1"))
    journal.begin(intent(2))
    journal.end(intent(2), EndState.LANDED_OK)
    journal.end(intent(1), EndState.UNKNOWN)
    journal.close()
    journal = Journal(tmp_path)
    assert [known.intent for known in journal.open.values()] == [intent(1)]
    assert journal.open[intent(1).plan_id].sent == (Sent(intent(1).plan_id, Way.JITO, "bundle-1"),)
    assert journal.may_sign(intent(1).plan_id) is Resign.MAY_STILL_LAND
    assert journal.may_sign(intent(2).plan_id) is Resign.ENDED
    assert journal.may_sign(intent(3).plan_id) is Resign.FIRST
    assert journal.cut_bytes == 0
    journal.close()
    with pytest.raises(JournalError):
        journal.begin(intent(3))


@pytest.mark.parametrize(
    ("state", "verdict"),
    [
        (EndState.EXPIRED, Resign.REPLACEMENT),
        (EndState.REJECTED, Resign.REPLACEMENT),
        (EndState.LANDED_OK, Resign.ENDED),
        (EndState.LANDED_FAILED, Resign.ENDED),
        (EndState.UNKNOWN, Resign.MAY_STILL_LAND),
    ],
)
def test_row_15_only_what_is_proven_dead_may_be_signed_again(
    tmp_path: Path, state: EndState, verdict: Resign
) -> None:
    journal = Journal(tmp_path)
    journal.begin(intent(1))
    journal.end(intent(1), state)
    for _ in range(2):
        assert journal.may_sign(intent(1).plan_id) is verdict
        if not verdict.allowed:
            with pytest.raises(ValueError, match="must not be signed again"):
                journal.begin(intent(1))
        journal.close()
        journal = Journal(tmp_path)
    journal.close()


def test_row_33_a_torn_tail_is_cut_wherever_it_was_torn(tmp_path: Path) -> None:
    whole = FILE_MAGIC + b"".join(map(record_bytes, RECORDS))
    ends = [len(FILE_MAGIC)]
    for record in RECORDS:
        ends.append(ends[-1] + len(record_bytes(record)))
    for length in range(len(whole)):
        assert scan(whole[:length]).whole_bytes == max((end for end in ends if end <= length), default=0)
    for length in {*range(0, len(whole), 11), *ends, *(end - 1 for end in ends)} - {len(whole)}:
        (tmp_path / FILE_NAME).write_bytes(whole[:length])
        journal = Journal(tmp_path)
        kept = sum(end <= length for end in ends[1:])
        assert len(scan(whole[:length]).records) == kept
        assert journal.cut_bytes == length - max((end for end in ends if end <= length), default=0)
        assert bool(journal.open) == (kept in (1, 2))
        journal.begin(intent(9))
        journal.close()
        again = Journal(tmp_path)
        assert intent(9).plan_id in again.open
        assert again.cut_bytes == 0
        again.close()


def test_row_33_corruption_in_the_middle_refuses_and_leaves_the_file(tmp_path: Path) -> None:
    whole = bytearray(FILE_MAGIC + b"".join(map(record_bytes, [*RECORDS, intent(2)])))
    last = len(whole) - len(record_bytes(intent(2)))
    path = tmp_path / FILE_NAME
    for at in range(len(FILE_MAGIC), last):
        damaged = bytearray(whole)
        damaged[at] ^= 0x40
        path.write_bytes(damaged)
        with pytest.raises(JournalError) as caught:
            Journal(tmp_path)
        assert caught.value.code is JournalErrorCode.CORRUPT
        assert path.read_bytes() == damaged
    path.write_bytes(b"something else altogether")
    with pytest.raises(JournalError) as caught:
        Journal(tmp_path)
    assert caught.value.code is JournalErrorCode.FOREIGN


def test_the_journal_is_rewritten_when_it_has_grown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hft.chain.journal.SIZE_LIMIT", 4_000)
    monkeypatch.setattr("hft.chain.journal.REMEMBERED", 10)
    journal = Journal(tmp_path)
    journal.begin(intent(200))
    for number in range(1, 100):
        journal.begin(intent(number, 500))
        journal.end(intent(number), EndState.LANDED_OK)
    assert (tmp_path / FILE_NAME).stat().st_size < 6_000
    assert len(journal.ended) == 10
    journal.close()
    journal = Journal(tmp_path)
    assert list(journal.open) == [intent(200).plan_id]
    journal.close()
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600
    with pytest.raises(JournalError) as caught:
        record_bytes(intent(1, MAX_PAYLOAD))
    assert caught.value.code is JournalErrorCode.TOO_LARGE


def test_the_disk_is_waited_for_in_a_thread_that_begins_as_it_is_told_to(tmp_path: Path) -> None:
    begun: list[str] = []
    writer = JournalWriter(Journal(tmp_path), lambda: begun.append(threading.current_thread().name))

    async def write() -> None:
        for number in (1, 2):
            await writer.begin(intent(number))

    asyncio.run(write())
    writer.close()
    assert len(begun) == 1
    assert begun[0].startswith("journal")
    assert threading.current_thread().name != begun[0]


HOLDER = """
import sys
from pathlib import Path
from hft.chain.lock import WalletLock
lock = WalletLock(bytes(range(32)), Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_row_26_a_second_instance_with_one_wallet_refuses_until_the_first_is_dead(tmp_path: Path) -> None:
    wallet = bytes(range(32))
    first = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert first.stdout is not None
        assert first.stdout.readline() == b"held\n"
        with pytest.raises(WalletLockError) as caught:
            WalletLock(wallet, tmp_path)
        assert caught.value.code is WalletLockErrorCode.TAKEN
        assert caught.value.holder == first.pid
        assert str(first.pid) in str(caught.value)
        other = WalletLock(bytes(32), tmp_path)
        other.close()
    finally:
        first.kill()
        first.wait(10)
        assert first.stdin is not None
        first.stdin.close()
        first.stdout.close()
    lock = WalletLock(wallet, tmp_path)
    with pytest.raises(WalletLockError) as caught:
        WalletLock(wallet, tmp_path)
    assert caught.value.holder == os.getpid()
    lock.close()
    WalletLock(wallet, tmp_path).close()


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WalletLockError) as caught:
        WalletLock(bytes(32), tmp_path / "file" / "below")
    assert caught.value.code is WalletLockErrorCode.NO_FOLDER
