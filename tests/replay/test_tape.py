"""A real day of Whirlpool: 9,466 swaps and 475 liquidity changes, priced to the unit and replayed."""

import gzip
import json
from pathlib import Path

import pytest

from hft.replay.engine import Replay
from hft.replay.result import unbalanced
from hft.replay.tape import Tape
from hft.runtime import report
from hft.runtime.capture import CaptureError
from hft.runtime.settings import Config
from hft.wire.account import unpack

LINES = 400


@pytest.fixture
def tape(shared_data: Path) -> Tape:
    return Tape(tape_of(shared_data), start_of(shared_data))


def tape_of(data: Path) -> Path:
    return data / "tapes" / "whirlpool-swaps-2022-04-06.jsonl.gz"


def start_of(data: Path) -> Path:
    return data / "accounts" / "whirlpool" / "tape-start-2022-04-06.json.gz"


def end_of(data: Path) -> Path:
    return data / "accounts" / "whirlpool" / "tape-end-2022-04-06.json.gz"


def test_the_whole_day_comes_out_to_the_unit_and_ends_as_recorded(tape: Tape, shared_data: Path) -> None:
    newest_ns = 0
    for batch in tape.batches():
        assert batch.taken_ns >= newest_ns
        newest_ns = batch.taken_ns
    tally = tape.tally
    assert tally.swaps == 9_466
    assert (tally.liquidity_changes, tally.fee_collections, tally.new_pools) == (475, 407, 1)
    assert tape.differences(end_of(shared_data)) == []
    assert tape.differences(start_of(shared_data)) != []


def test_the_days_accounts_go_through_the_services(tape: Tape, tmp_path: Path) -> None:
    with Replay(Config(), tape.header, tmp_path) as replay:
        outcome = replay.run(tape.batches(LINES))
        assert unbalanced(outcome) == ()
        assert not outcome.reading.kill.killed
        totals = report.totals(outcome.reading)
        assert totals.updates > LINES
        # Nothing traded by then, so the table holds what the day left, to the byte.
        assert totals.executed == 0
        table = {name: ctx for name, _, ctx in replay._open}["feed"].table
        found = {key: table.get(key) for key in replay.origin.accounts.newest}
        compared = [key for key, packed in found.items() if packed is not None and key in dict(tape.accounts)]
        assert len(compared) > 50
        for key in compared:
            packed = found[key]
            assert packed is not None
            assert unpack(packed).data == tape.accounts[key].data


@pytest.mark.slow
def test_the_whole_day_through_the_services(tape: Tape, tmp_path: Path, shared_data: Path) -> None:
    with Replay(Config(), tape.header, tmp_path) as replay:
        outcome = replay.run(tape.batches())
    assert tape.differences(end_of(shared_data)) == []
    assert unbalanced(outcome) == ()
    assert not outcome.reading.kill.killed
    totals = report.totals(outcome.reading)
    # Two pools of SOL/USDC, the smaller one all but asleep, drifted apart by some basis points.
    assert totals.plans == totals.executed > 100
    assert totals.pnl_lamports == outcome.wallet_delta_lamports > 0


def changed(data: Path, folder: Path, **fields: object) -> Path:
    """The tape's first line, a swap, with some fields changed."""
    with gzip.open(tape_of(data), "rt") as lines:
        row = json.loads(next(lines))
    file = folder / "tape.jsonl"
    file.write_text(json.dumps({**row, **fields}) + "\n")
    return file


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"amount_out": 1}, "line 1 paid 1 for"),
        ({"sqrt_price_post": 1}, "line 1 left sqrt_price 1; here"),
        ({"slot": 1}, "line 1 goes back in time"),
        ({"kind": "burn"}, "line 1 is of kind 'burn'"),
        ({"pool": "no key"}, "line 1 is none of a tape"),
        ({"amount_in": None}, "line 1 is none of a tape"),
    ],
)
def test_a_line_that_is_not_what_happened_is_named(
    shared_data: Path, tmp_path: Path, fields: dict[str, object], text: str
) -> None:
    tape = Tape(changed(shared_data, tmp_path, **fields), start_of(shared_data))
    with pytest.raises(CaptureError, match=text):
        list(tape.batches())


def test_a_file_that_is_no_tape_is_refused(shared_data: Path, tmp_path: Path) -> None:
    file = tmp_path / "cut.jsonl.gz"
    file.write_bytes(tape_of(shared_data).read_bytes()[:1000])
    with pytest.raises(CaptureError, match="can't be read as a tape"):
        list(Tape(file, start_of(shared_data)).batches())
