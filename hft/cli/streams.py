"""``hft streams``: makes the six streams, compares them with their table, tells what they hold."""

import asyncio
import json
from typing import Annotated

import typer
from rich.console import Console

from hft.cli import options, text
from hft.cli.grid import Grid
from hft.cli.nats_access import Reached, Url, asked, reach
from hft.runtime import streams as table
from hft.runtime.clock import SystemClock
from hft.runtime.exit_codes import ExitCode
from hft.runtime.streams import Difference, Ensured, Holding, Stream

NAME = "hft-streams"

Json = Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")]

streams = typer.Typer(
    help="The six NATS streams: init, verify, info.", no_args_is_help=True, rich_markup_mode=None
)


@streams.command()
def init(
    apply: Annotated[
        bool, typer.Option("--apply", help="Change what differs; without it, differences are only told.")
    ] = False,
    as_json: Json = False,
    url: Url = "",
    config: options.ConfigFile = None,
    overlay: options.Overlays = None,
    set_: options.Sets = None,
    state_dir: options.StateDir = None,
) -> int:
    """Make the streams that are missing.

    Tells what differs in the others. Safe to repeat. Exit code 13 while a stream is not as the table says.
    """
    there = reach(url, config, overlay, set_, state_dir)
    wanted = table.table(there.config.nats)
    done = asyncio.run(
        asked(there.options, NAME, lambda client: table.ensure(client.jetstream(), wanted, apply=apply))
    )
    return _tell(there, wanted, done, as_json=as_json, hint="" if apply else "change it with --apply")


@streams.command()
def verify(
    as_json: Json = False,
    url: Url = "",
    config: options.ConfigFile = None,
    overlay: options.Overlays = None,
    set_: options.Sets = None,
    state_dir: options.StateDir = None,
) -> int:
    """Compare the streams with the table, and change nothing. Exit code 13 when they differ."""
    there = reach(url, config, overlay, set_, state_dir)
    wanted = table.table(there.config.nats)
    found = asyncio.run(asked(there.options, NAME, lambda client: table.verify(client.jetstream(), wanted)))
    return _tell(there, wanted, found, as_json=as_json, hint="hft streams init --apply changes it")


@streams.command()
def info(
    as_json: Json = False,
    url: Url = "",
    config: options.ConfigFile = None,
    overlay: options.Overlays = None,
    set_: options.Sets = None,
    state_dir: options.StateDir = None,
) -> int:
    """Show what the streams hold. Exit code 13 when one is missing."""
    there = reach(url, config, overlay, set_, state_dir)
    held = asyncio.run(asked(there.options, NAME, table.holdings))
    missing = [stream.name for stream in table.STREAMS if stream.name not in {each.name for each in held}]
    if as_json:
        typer.echo(json.dumps({"streams": [each._asdict() for each in held], "missing": missing}))
    else:
        console = Console(highlight=False)
        console.print(_holdings(held, SystemClock().unix_ns()))
        for name in missing:
            console.print(f"[red]{name} is missing[/red]: hft streams init makes it")
    return int(ExitCode.STREAMS if missing else ExitCode.OK)


def _tell(there: Reached, wanted: tuple[Stream, ...], done: Ensured, *, as_json: bool, hint: str) -> int:
    code = ExitCode.OK if done.agrees else ExitCode.STREAMS
    if as_json:
        values = {
            "url": there.options.urls,
            "created": done.created,
            "changed": done.changed,
            "missing": done.missing,
            "differences": [difference._asdict() for difference in done.differences],
            "agrees": done.agrees,
        }
        typer.echo(json.dumps(values))
        return int(code)
    console = Console(highlight=False, soft_wrap=True)
    grid = Grid("stream", "state", "storage", ">age", ">bytes", ">servers", "when full")
    for stream in wanted:
        grid.add_row(
            stream.name,
            _state(stream.name, done),
            stream.storage,
            _age(stream.maximum_age_s),
            text.size(stream.maximum_bytes),
            str(stream.replicas),
            "refuses" if stream.discard == "new" else "drops the oldest",
        )
    console.print(grid)
    for difference in done.differences:
        console.print(_line(difference, hint), markup=False)
    return int(code)


def _state(name: str, done: Ensured) -> tuple[str, str]:
    if name in done.missing:
        return ("missing", "red")
    if name in done.created:
        return ("created", "green")
    if name in done.changed:
        return ("changed", "green")
    if any(difference.stream == name for difference in done.differences):
        return ("differs", "yellow")
    return ("as it should be", "")


def _line(difference: Difference, hint: str) -> str:
    return str(difference) if difference.reason or not hint else f"{difference}; {hint}"


def _holdings(held: tuple[Holding, ...], now_ns: int) -> Grid:
    grid = Grid(
        "stream", ">messages", ">bytes", ">full", ">oldest", ">newest", ">position", ">readers", "servers"
    )
    for each in held:
        servers = ", ".join((each.leader, *each.replicas)) if each.replicas else "1"
        grid.add_row(
            each.name,
            text.count(each.messages),
            text.size(each.bytes),
            f"{100 * each.bytes / each.maximum_bytes:.0f}%" if each.maximum_bytes > 0 else "",
            _age((now_ns - each.first_unix_ns) // 1_000_000_000) if each.messages else "–",
            _age((now_ns - each.last_unix_ns) // 1_000_000_000) if each.messages else "–",
            text.count(each.last_sequence),
            str(each.consumers),
            f"{servers}, {each.lag:,} behind" if each.lag else servers,
        )
    return grid


def _age(seconds: int) -> str:
    """``60 s``, ``5 min``, ``24 h``, ``7 d``."""
    for length, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * length or (seconds >= length and seconds % length == 0):
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
