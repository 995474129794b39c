"""``hft inspect FILE|-``: one captured message as JSON, or the records of a journal's segment by name."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer

from hft import wire
from hft.cli import lines
from hft.runtime import journal_format
from hft.runtime.exit_codes import ExitCode, HftError
from hft.runtime.journal_format import HEADER, MAGIC, Entry
from hft.runtime.stream_journal import SEGMENT_LIMIT
from hft.wire.show import message_json, record_values

KIND_WIDTH = 13


def inspect(
    source: Annotated[
        str,
        typer.Argument(metavar="FILE|-", help="A file with one message or a journal's segment; - for stdin."),
    ],
    plain: Annotated[
        bool, typer.Option("--plain", help="Of a message only the fields: name, value.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Of a segment one JSON object a line, every field.")
    ] = False,
) -> None:
    """Print a message, or a journal segment's records, by name.

    A message as JSON with units; records with their sequences. Exit code 1 if it is no valid message, or the
    segment is damaged.
    """
    try:
        data = _read(source)
        if data.startswith(MAGIC):
            damage = _show_segment(data, as_json=as_json)
        else:
            damage = ""
            _show_message(data, plain=plain)
    except OSError as error:
        damage = error.strerror or str(error)
    except wire.WireError as error:
        damage = str(error)
    if damage:
        raise HftError(f"{source}: {damage}", ExitCode.FAILURE)


def _show_message(message: bytes, *, plain: bool) -> None:
    if plain:
        codec = wire.codec_of(message)
        shown = record_values(codec, codec.decode(message))
    else:
        shown = message_json(message)
    typer.echo(json.dumps(shown, indent=2, ensure_ascii=False))


def _show_segment(data: bytes, *, as_json: bool) -> str:
    """Its header and records, as far as they are whole; what is wrong with it, empty if nothing is."""
    header = journal_format.decode_header(data)
    if isinstance(header, str):
        return header
    if not as_json:
        before = f"{header.before:,} of it in earlier segments"
        typer.echo(f"segment {header.number} of {header.link}, run {header.run.hex()}, {before}")
    at = HEADER.size
    while (entry := journal_format.entry_at(data, at)) is not None:
        _show_entry(entry, as_json=as_json)
        at = entry.end
    scan = journal_format.scan(data, at)
    return f"offset {scan.end}: {scan.damage}" if scan.damage else ""


def _show_entry(entry: Entry, *, as_json: bool) -> None:
    at = datetime.fromtimestamp(entry.unix_ns / 1e9, UTC)
    name, fields = "", {}
    try:
        codec = wire.codec_of(entry.payload)
        record = codec.decode(entry.payload)
        line = lines.describe(record)
        name, fields = codec.name, record_values(codec, record)
    except wire.WireError as error:
        line = lines.Line("corrupt", lines.BAD, str(error))
    if not as_json:
        clock = at.astimezone().strftime("%H:%M:%S.%f")[:-3]
        typer.echo(f"{clock}  {entry.sequence:>7}  {line.kind:<{KIND_WIDTH}}  {line.body}")
        return
    shown: dict[str, Any] = {
        "sequence": entry.sequence,
        "unix_ns": entry.unix_ns,
        "subject": entry.subject.decode(errors="replace"),
        "record": name,
    }
    typer.echo(json.dumps(shown | ({"fields": fields} if name else {"error": line.body})))


def _read(source: str) -> bytes:
    """A segment, or at most one byte more than a message may have: an endless source ends as an oversize
    one."""
    if source == "-":
        return _bounded(sys.stdin.buffer)
    with Path(source).open("rb") as file:
        return _bounded(file)


def _bounded(file: BinaryIO) -> bytes:
    head = file.read(len(MAGIC))
    return head + file.read((SEGMENT_LIMIT if head == MAGIC else wire.MAXIMUM_BYTES + 1) - len(head))
