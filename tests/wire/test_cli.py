"""``hft inspect`` and ``hft schema``."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner
from wire_support import every_record, ours, plain_values

from hft import wire
from hft.cli.inspect import inspect
from hft.cli.schema import schema
from hft.runtime.exit_codes import ExitCode, HftError
from hft.runtime.journal_format import Rows
from hft.runtime.stream_journal import MINIMUM_BYTES, StreamJournal
from hft.wire import Codec

app = typer.Typer()
app.command()(inspect)
app.command()(schema)


def run(*arguments: str, stdin: bytes | None = None) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, arguments, input=stdin)
    if isinstance(done.exception, HftError):  # as the program's own entry tells it
        return int(done.exception.code), done.stdout, str(done.exception)
    return done.exit_code, done.stdout, done.stderr


@every_record
def test_inspect_shows_every_field_by_name_with_its_unit(codec: Codec, tmp_path: Path) -> None:
    file = tmp_path / "message"
    file.write_bytes(ours(codec, plain_values(codec)))
    code, out, _ = run("inspect", str(file))
    assert code == 0
    shown = json.loads(out)
    assert (shown["record"], shown["identifier"]) == (codec.name, codec.identifier.decode())
    assert (shown["bytes"], shown["link"]) == (codec.size, codec.layout.link)
    assert list(shown["fields"]) == list(codec.Record._fields)
    for field in codec.layout.fields:
        assert shown["fields"][field.name].get("unit", "") == field.unit


def test_inspect_shows_values_as_a_person_reads_them() -> None:
    cell = bytearray(wire.kill_switch.size)
    trace = bytes(range(16))
    wire.kill_switch.encode_into(cell, trace, 2**64 - 1, 5, 2, 3, -7, 8, b"ann", "zu groß".encode(), 9, 10)
    code, out, _ = run("inspect", "-", stdin=bytes(cell))
    fields = json.loads(out)["fields"]
    assert code == 0
    assert fields["trace_id"] == {"value": trace.hex(), "type": "id16"}
    assert fields["sequence"] == {"value": 2**64 - 1, "type": "u64", "unit": "messages"}
    assert fields["trigger"] == {"value": "drawdown", "type": "KillTrigger"}
    assert fields["message"] == {"value": "zu groß", "type": "text128"}
    assert fields["unix_ns"] == {"value": 10, "type": "i64", "unit": "ns, unix"}
    code, out, _ = run("inspect", "--plain", "-", stdin=bytes(cell))
    assert json.loads(out)["observed"] == -7


def segment(folder: Path) -> Path:
    """A segment of a journal as the sidecar writes it: two rejections, and what is no message."""
    journal = StreamJournal(folder, "planned", bytes(range(16)), MINIMUM_BYTES, print)
    codec = wire.plan_rejected
    payloads = [ours(codec, plain_values(codec)), ours(codec, plain_values(codec)), b"no message"]
    rows = Rows.of((7 + place, b"execution.rejected.x", payload) for place, payload in enumerate(payloads))
    assert journal.ready(rows.size)
    assert journal.append(rows, 1_700_000_000_123_456_789)
    journal.close()
    (path,) = folder.glob("*.journal")
    return path


def test_inspect_shows_the_records_of_a_journals_segment_with_their_sequences(tmp_path: Path) -> None:
    path = segment(tmp_path)
    code, out, _ = run("inspect", str(path))
    head, *lines = out.splitlines()
    assert code == 0
    assert head == f"segment 1 of planned, run {bytes(range(16)).hex()}, 0 of it in earlier segments"
    assert [line.split()[1:3] for line in lines] == [["7", "rejected"], ["8", "rejected"], ["9", "corrupt"]]
    code, out, _ = run("inspect", "--json", "-", stdin=path.read_bytes())
    first, _, last = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert (first["sequence"], first["record"], first["unix_ns"]) == (
        7,
        "PlanRejected",
        1_700_000_000_123_456_789,
    )
    assert list(first["fields"]) == list(wire.plan_rejected.Record._fields)
    assert (last["sequence"], last["record"], "error" in last) == (9, "", True)


def test_inspect_tells_where_a_segment_is_damaged_after_what_is_whole(tmp_path: Path) -> None:
    path = segment(tmp_path)
    data = bytearray(path.read_bytes())
    data[data.rfind(b"no message")] ^= 1
    path.write_bytes(data)
    code, out, told = run("inspect", "--json", str(path))
    assert [json.loads(line)["sequence"] for line in out.splitlines()] == [7, 8]
    assert code == ExitCode.FAILURE
    assert "a record that is not whole, or whose checksum is wrong" in told
    code, out, told = run("inspect", "-", stdin=bytes(data[:40]))
    assert (code, out) == (ExitCode.FAILURE, "")
    assert "40 bytes hold no header" in told


def test_inspect_shows_an_enum_value_of_a_newer_schema_as_its_number() -> None:
    cell = bytearray(wire.kill_switch.size)
    wire.kill_switch.encode_into(cell, bytes(16), 0, 0, 2, 200, 0, 0, b"", b"", 0, 0)
    assert json.loads(run("inspect", "--plain", "-", stdin=bytes(cell))[1])["trigger"] == 200


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "truncated"),
        (b"\0" * 64, "unknown_identifier"),
        (b"\x2d\0\0\0HFPU" + b"\xff" * 40, "bad_root"),
        (b"\x24\0\0\0HFPU" + b"\xff" * 70_000, "oversize"),
    ],
)
def test_row_04_inspect_refuses_what_is_no_message(content: bytes, complaint: str, tmp_path: Path) -> None:
    file = tmp_path / "message"
    file.write_bytes(content)
    code, out, err = run("inspect", str(file))
    assert (code, out) == (ExitCode.FAILURE, "")
    assert complaint in err


def test_inspect_names_a_file_that_is_not_there(tmp_path: Path) -> None:
    code, _, err = run("inspect", str(tmp_path / "none"))
    assert code == ExitCode.FAILURE
    assert "none" in err


def test_schema_lists_every_record_size_field_and_unit() -> None:
    code, out, _ = run("schema")
    assert code == 0
    assert f"{wire.SCHEMA_HASH:016x}" in out
    for codec in wire.CODECS:
        assert f"{codec.name}  {codec.identifier.decode()}  {codec.size} bytes" in out
        for field in codec.layout.fields:
            assert field.doc in out
            assert field.unit in out


def test_schema_of_one_record_as_json() -> None:
    code, out, _ = run("schema", "--json", "ExecutionPlan")
    assert code == 0
    (record,) = json.loads(out)["records"]
    assert record["bytes"] == wire.execution_plan.size
    by_name = {field["name"]: field for field in record["fields"]}
    assert list(by_name) == list(wire.ExecutionPlan._fields)
    assert by_name["tip_lamports"]["unit"] == "lamports"
    assert by_name["method"]["type"] == "Method"


def test_schema_names_the_records_when_asked_for_another() -> None:
    code, _, err = run("schema", "Trade")
    assert code == ExitCode.CONFIG
    assert "PoolUpdate" in err
