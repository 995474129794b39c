"""``hft inspect FILE|-``: one captured message as JSON."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from hft import wire
from hft.runtime.exit_codes import ExitCode
from hft.wire.show import message_json, record_values


def inspect(
    source: Annotated[str, typer.Argument(metavar="FILE|-", help="A file with one message, or - for stdin.")],
    plain: Annotated[bool, typer.Option("--plain", help="Only the fields: name and value.")] = False,
) -> None:
    """Print a message as JSON, by name and with units. Exit code 1 if it is no valid message."""
    try:
        message = _read(source)
        if plain:
            codec = wire.codec_of(message)
            shown = record_values(codec, codec.decode(message))
        else:
            shown = message_json(message)
    except (OSError, wire.WireError) as error:
        typer.echo(f"inspect {source}: {error}", err=True)
        raise typer.Exit(ExitCode.FAILURE) from None
    typer.echo(json.dumps(shown, indent=2, ensure_ascii=False))


def _read(source: str) -> bytes:
    """At most one byte more than a message may have, so that an endless source ends as an oversize one."""
    limit = wire.MAXIMUM_BYTES + 1
    if source == "-":
        return sys.stdin.buffer.read(limit)
    with Path(source).open("rb") as file:
        return file.read(limit)
