"""A real capture through the pipeline's own services: one capture, one ledger; and what it refuses."""

import json
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from replay_support import hft, until

from hft import wire
from hft.cli import main
from hft.replay.chain import SOURCE as SETTLEMENT
from hft.replay.engine import Outcome, Replay
from hft.replay.result import as_json, unbalanced
from hft.replay.source import Batch, batches
from hft.runtime import report
from hft.runtime.capture import Capture
from hft.runtime.capture_format import SOURCE as CAPTURE
from hft.runtime.exit_codes import ExitCode, HftError
from hft.runtime.settings import Config
from hft.services.ledger_place import place_of
from hft.services.ledger_reading import read_rows
from hft.venues import ABSENT
from hft.wire.account import unpack
from hft.wire.enums import KillTrigger
from ringbuf import segment_names

FOREVER = 1 << 62
CODECS = {codec.layout.identifier: codec for codec in wire.CODECS}


def ledger(folder: Path) -> list[list[tuple[Any, ...]]]:
    """Every row of both tables."""
    place = place_of(folder, Config().auditor)
    return [list(read_rows(place, what, 0, FOREVER)) for what in ("trades", "legs")]


Told = dict[str, list[tuple[Any, ...]]]
"""Every message of every link, decoded."""


def replayed(file: Path, folder: Path, *, killed: bool = False) -> tuple[Outcome, Told]:
    """The outcome, and all that was said."""
    with Capture(file) as capture, Replay(Config(), capture.header, folder) as replay:
        readers = {
            link: ring.subscribe("test", gating=False, from_start=True)
            for link, ring in replay.segments.rings.items()
        }
        told: Told = {link: [] for link in readers}

        def listen(_: int) -> None:
            for link, reader in readers.items():
                told[link] += map(decoded, reader.take_batch(4_096))

        if killed:
            replay.segments.control.trip(KillTrigger.MANUAL, "test", "by hand", 1, 1)
        outcome = replay.run(batches(capture), pace=listen)
        listen(0)
        for reader in readers.values():
            assert reader.lost == 0
            reader.close()
        check_table(replay)
        return outcome, told


def decoded(message: bytes) -> tuple[Any, ...]:
    """A record's type, and every field of it."""
    codec = CODECS[wire.identifier(message)]
    return codec.name, *codec.decode(message)


def check_table(replay: Replay) -> None:
    """The account table ends with the newest version of everything that was followed."""
    newest = replay.origin.accounts.newest
    table = {name: ctx for name, _, ctx in replay._open}["feed"].table
    compared = 0
    for key, event in newest.items():
        packed = table.get(key)
        if packed is None:
            continue
        record, (owner, data, lamports) = unpack(packed), event.version.account or ABSENT
        assert (record.owner, record.data, record.lamports) == (owner, data, lamports)
        compared += 1
    assert compared > 50


def test_row_29_two_replays_give_the_identical_ledger_and_messages(captured: Path, tmp_path: Path) -> None:
    first, messages = replayed(captured, tmp_path / "first")
    second, again = replayed(captured, tmp_path / "second")
    for link, records in messages.items():  # stamps and ids too: all of it follows from the capture
        for record, other in zip(records, again[link], strict=True):
            assert record == other, link
    totals = report.totals(first.reading)
    assert totals.executed > 0
    assert totals.pnl_lamports == first.wallet_delta_lamports == second.wallet_delta_lamports != 0
    assert totals.opportunities == len(messages["opportunities"]) == len(messages["planned"]) > 0
    assert totals.executed == len(messages["executed"]) == len(messages["metrics"])
    assert totals.updates == len(messages["market_data"])
    assert ledger(tmp_path / "first") == ledger(tmp_path / "second")
    assert unbalanced(first) == unbalanced(second) == ()
    told, retold = (as_json(one, "x", 0, None) for one in (first, second))
    for name in ("took_s", "cpu_s", "account_versions_per_s", "latency_ns"):
        told.pop(name), retold.pop(name)
    assert told == retold
    assert told["kill_state"] == "running"
    # In another process sets of keys have another order: nothing may hang on it. And hft start is as good.
    words = ("start", "--mode", "replay", "--capture", str(captured), "--headless")
    third = hft(*words, "--state-dir", str(tmp_path / "third"), hash_seed=7)
    shown, _ = third.communicate(timeout=90)
    assert third.returncode == 0, shown
    assert "all counters balance" in shown
    assert "✓ equal" in shown
    assert ledger(tmp_path / "third") == ledger(tmp_path / "first")


def test_row_21_a_killed_replay_submits_nothing(captured: Path, tmp_path: Path) -> None:
    outcome, messages = replayed(captured, tmp_path, killed=True)
    totals = report.totals(outcome.reading)
    assert totals.opportunities > 0
    assert dict(totals.rejections) == {"killed": totals.opportunities}
    assert messages["executed"] == []
    assert outcome.wallet_delta_lamports == 0


def test_a_trade_moves_its_pools_until_the_capture_has_a_newer_version(captured: Path) -> None:
    ours: set[bytes] = set()
    with Capture(captured) as capture, Replay(Config(), capture.header) as replay:
        newest, bank = replay.origin.accounts.newest, replay.bank

        def watched() -> Iterator[Batch]:
            for batch in batches(capture):
                yield batch
                for key, event in newest.items():
                    if event.version.source == SETTLEMENT:
                        assert bank.account(key) == event.version.account
                        ours.add(key)

        replay.run(watched())
        ours -= {bank.wallet, bank.purse}
        assert ours
        assert any(newest[key].version.source == CAPTURE for key in ours)


@pytest.mark.parametrize(("method", "end"), [("jito", "expired"), ("rpc", "landed_failed")])
def test_row_30_what_comes_too_late_ends_as_it_would_on_the_chain(
    captured: Path, method: str, end: str
) -> None:
    config = Config()
    late = replace(config.simnet, landing_ms=1_000)
    config = replace(config, simnet=late, chain=replace(config.chain, method=method))
    with Capture(captured) as capture, Replay(config, capture.header) as replay:
        outcome = replay.run(batches(capture))
    totals = report.totals(outcome.reading)
    assert totals.executions[end] > 0
    assert totals.pnl_lamports == outcome.wallet_delta_lamports
    assert unbalanced(outcome) == ()
    failed = totals.executions.get("landed_failed", 0)
    assert failed == 0 or totals.fees_lamports >= failed * 5_000


def test_row_33_a_torn_capture_replays_up_to_its_last_whole_batch(
    captured: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    torn, told = tmp_path / "torn.capture", tmp_path / "report.json"
    torn.write_bytes(captured.read_bytes()[:-5])
    assert main.run(["replay", str(torn), "--report", str(told)]) == ExitCode.OK
    out, err = capfd.readouterr()
    assert "its last write was cut off" in err
    assert "of an unfinished write were left out" in out
    assert json.loads(told.read_text())["torn_bytes"] > 0


def test_row_33_a_corrupt_capture_is_refused_before_anything_is_made(
    captured: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bad = bytearray(captured.read_bytes())
    bad[len(bad) // 2] ^= 0xFF
    file = tmp_path / "bad.capture"
    file.write_bytes(bad)
    assert main.run(["replay", str(file), "--state-dir", str(tmp_path / "s")]) == ExitCode.CAPTURE
    assert "corrupt at byte" in capfd.readouterr().err
    assert not (tmp_path / "s").exists()


def test_row_03_a_capture_of_another_schema_is_refused(
    captured: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("hft.runtime.capture_format.SCHEMA_HASH", 1)
    assert main.run(["replay", str(captured)]) == ExitCode.CAPTURE
    assert "schema hash" in capfd.readouterr().err


def test_a_folder_with_a_ledger_is_refused_and_left_as_it_is(captured: Path, tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite3").write_bytes(b"somebody's")
    with Capture(captured) as capture, pytest.raises(HftError, match="holds a ledger already") as caught:
        Replay(Config(), capture.header, tmp_path)
    assert caught.value.code is ExitCode.STATE_FOLDER
    assert (tmp_path / "ledger.sqlite3").read_bytes() == b"somebody's"


def test_at_1x_it_keeps_the_captures_pace_and_ctrl_c_ends_it_with_a_report(
    captured: Path, tmp_path: Path
) -> None:
    told = tmp_path / "report.json"
    process = hft("replay", str(captured), "--speed", "1x", "--report", str(told))
    assert process.stdout is not None
    assert "replaying" in process.stdout.readline()
    until(lambda: len(segment_names(f"hft-r{process.pid}")) > 5)
    process.send_signal(signal.SIGINT)
    shown, _ = process.communicate(timeout=90)
    assert process.returncode == 0, shown
    assert "ledger P&L" in shown
    found = json.loads(told.read_text())
    assert found["captured_s"] <= found["took_s"], "never ahead of the capture's own pace"
    assert segment_names(f"hft-r{process.pid}") == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--mode", "replay"), "--mode replay needs --capture FILE"),
        (("--mode", "replay", "--capture", "x", "--seed", "1", "--cpus", "0"), "--cpus, --seed: not with"),
        (("--mode", "paper", "--capture", "x"), "--capture goes with --mode replay"),
        (("--mode", "reply"), "'reply' is not one of"),
        (("--mode", "replay", "--capture", "/none"), "/none: can't be read"),
    ],
)
def test_a_start_that_can_not_be_a_replay_says_what_it_wants(
    words: tuple[str, ...], told: str, capfd: pytest.CaptureFixture[str]
) -> None:
    code = main.run(["start", *words])
    assert code == (ExitCode.CAPTURE if "/none" in words else ExitCode.CONFIG)
    assert told in capfd.readouterr().err


def test_what_is_neither_capture_nor_tape_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "x"
    file.write_text("{}")
    assert main.run(["replay", str(file)]) == ExitCode.CAPTURE
    assert "is no capture; a tape needs --accounts" in capfd.readouterr().err
    assert main.run(["replay", str(tmp_path / "none")]) == ExitCode.CAPTURE
