"""``hft schema [RECORD]``: what the messages hold."""

import json
from typing import Annotated

import typer

from hft import wire
from hft.runtime.exit_codes import ExitCode, HftError
from hft.wire.show import schema_json


def schema(
    record: Annotated[
        str | None, typer.Argument(metavar="RECORD", help="Only this record, such as PoolUpdate.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """List the record types with all their fields.

    Size and link of each, type, unit and meaning of every field.
    """
    try:
        codecs = [wire.codec_named(record)] if record else list(wire.CODECS)
    except KeyError as error:
        raise HftError(str(error.args[0]), ExitCode.CONFIG) from None
    if as_json:
        records = [schema_json(codec) for codec in codecs]
        typer.echo(json.dumps({"schema_hash": f"{wire.SCHEMA_HASH:016x}", "records": records}, indent=2))
        return
    typer.echo(f"schema hash {wire.SCHEMA_HASH:016x}")
    for codec in codecs:
        typer.echo("\n" + _table(codec))


def _table(codec: wire.Codec) -> str:
    """One record as an aligned table."""
    shape = schema_json(codec)
    rows = [(field["name"], field["type"], field["unit"], field["about"]) for field in shape["fields"]]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    head = f"{shape['record']}  {shape['identifier']}  {shape['bytes']} bytes  link {shape['link']}"
    lines = [
        "  " + "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]])
        for row in rows
    ]
    return "\n".join([head, f"  {shape['about']}", *lines])
