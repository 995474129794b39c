"""``hft tail STREAM``: the messages of a stream as they arrive, by name."""

import asyncio
import contextlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import nats.errors
import nats.js.errors
import typer
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.api import ConsumerConfig, DeliverPolicy
from rich.console import Console
from rich.text import Text

from hft import wire
from hft.cli import lines, options
from hft.cli.nats_access import Reached, Url, opened, reach
from hft.runtime import state
from hft.runtime.clock import SystemClock
from hft.runtime.exit_codes import ExitCode, HftError
from hft.runtime.streams import BY_NAME, overlap
from hft.wire.show import record_values

PATIENCE_S = 0.5
"""How often it looks whether the run is still there while nothing arrives."""

KIND_WIDTH = 13


def tail(
    stream: Annotated[str, typer.Argument(metavar="STREAM", help=f"One of {', '.join(BY_NAME)}.")],
    count: Annotated[
        int | None,
        typer.Option("--count", metavar="N", min=1, help="End after so many messages; default: follow."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, every field.")] = False,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Begin with the oldest message kept, not with the next.")
    ] = False,
    since: Annotated[
        str,
        typer.Option(
            "--since", metavar="TIME", help="Begin so long ago (90s, 10m, 2h, 1d) or at 2026-01-31T12:00:00Z."
        ),
    ] = "",
    filters: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            metavar="SUBJECT|FIELD=VALUE",
            help="Only these subjects (* and > are wildcards), or messages with this value; may be repeated.",
        ),
    ] = None,
    url: Url = "",
    config: options.ConfigFile = None,
    overlay: options.Overlays = None,
    set_: options.Sets = None,
    state_dir: options.StateDir = None,
) -> int:
    """Show the messages of a stream as they arrive."""
    name = stream.upper()
    if name not in BY_NAME:
        raise HftError(f"no stream {stream!r}; there are {', '.join(BY_NAME)}", ExitCode.CONFIG)
    subject, fields = _parse_filters(name, filters or [])
    begin = _begin(since, SystemClock().unix_ns()) if since else None
    if begin is not None and from_start:
        raise HftError("--since and --from-start: only one can say where to begin", ExitCode.CONFIG)
    there = reach(url, config, overlay, set_, state_dir)
    printer = Printer(name, as_json=as_json, count=count, fields=fields)
    start = ConsumerConfig(deliver_policy=DeliverPolicy.ALL if from_start else DeliverPolicy.NEW)
    if begin is not None:
        start = ConsumerConfig(deliver_policy=DeliverPolicy.BY_START_TIME, opt_start_time=begin)
    # Ctrl-C is how a person ends it.
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(follow(there, printer, subject, start))
    return int(ExitCode.OK)


def _parse_filters(stream: str, filters: list[str]) -> tuple[str, dict[str, str]]:
    """The subject to ask the server for, and the values that a message must have by field."""
    fields = dict(each.split("=", 1) for each in filters if "=" in each)
    known = {f.name for e in wire.REGISTRY.values() if e.stream == stream for f in e.codec.layout.fields}
    for name in fields:
        if name not in known:
            raise HftError(
                f"--filter {name}=…: {stream} has no such field; it has {', '.join(sorted(known))}",
                ExitCode.CONFIG,
            )
    subjects = [each for each in filters if "=" not in each]
    if len(subjects) > 1:
        raise HftError(f"--filter {' '.join(subjects)}: one subject at a time", ExitCode.CONFIG)
    subject = subjects[0] if subjects else ">"
    taken = BY_NAME[stream].subjects
    if not any(overlap(subject, each) for each in taken):
        raise HftError(
            f"--filter {subject}: {stream} has no such subjects, only {', '.join(taken)}", ExitCode.CONFIG
        )
    return subject, fields


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def _begin(since: str, now_unix_ns: int) -> datetime:
    """The moment that ``--since`` names."""
    ago = re.fullmatch(r"(\d{1,6})([smhd])", since)
    if ago:
        seconds = int(ago[1]) * _UNITS[ago[2]]
        return datetime.fromtimestamp(now_unix_ns // 1_000_000_000 - seconds, UTC)
    try:
        moment = datetime.fromisoformat(since)
    except ValueError:
        raise HftError(
            f"--since {since}: neither so long ago (90s, 10m, 2h, 1d) nor a time (2026-01-31T12:00:00Z)",
            ExitCode.CONFIG,
        ) from None
    return moment.astimezone(UTC)


async def follow(there: Reached, printer: "Printer", subject: str, config: ConsumerConfig) -> None:
    """Print until the count is reached or the run has ended; a restart of the server is bridged.

    Raises HftError (NATS) when the server can't be reached at first, or takes no such subject.
    """
    while True:
        try:
            client = await opened(there.options, "hft-tail")
        except HftError:
            if not printer.position:
                raise
        else:
            try:
                await _read(client, printer, subject, config)
            finally:
                await client.close()
        if printer.done:
            return
        if there.folder is not None and state.holder(there.folder) == 0:
            Console(stderr=True, highlight=False).print("[dim]the run has ended[/dim]")
            return
        await asyncio.sleep(PATIENCE_S)
        if printer.position:
            config = ConsumerConfig(
                deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=printer.position + 1
            )


async def _read(client: Client, printer: "Printer", subject: str, config: ConsumerConfig) -> None:
    """Print messages until the count is reached or the connection ends."""
    try:
        subscription: Subscription = await client.jetstream().subscribe(
            subject, stream=printer.stream, ordered_consumer=True, config=config
        )
    except nats.js.errors.NotFoundError as error:
        raise HftError(f"stream {printer.stream} is not there (yet)", ExitCode.NATS) from error
    except nats.js.errors.APIError as error:
        if printer.position:
            return
        raise HftError(f"{printer.stream}: {error.description}", ExitCode.NATS) from error
    while not printer.done and not client.is_closed:
        try:
            printer.show(await subscription.next_msg(timeout=PATIENCE_S))
        except nats.errors.TimeoutError:
            continue
        except nats.errors.Error:
            return


class Printer:
    """Prints the messages of one stream; knows how many, and where in the stream it is."""

    def __init__(
        self, stream: str, *, as_json: bool, count: int | None, fields: Mapping[str, str] | None = None
    ) -> None:
        """``fields``: only messages whose fields, as ``--json`` shows them, have these values."""
        self.stream = stream
        self._fields = fields or {}
        self.position = 0
        self._as_json = as_json
        self._left = count
        self._console = Console(highlight=False)
        # A line is cut at a terminal's edge, to stay one line, and whole everywhere else.
        self._cut = self._console.is_terminal

    @property
    def done(self) -> bool:
        """Have as many been shown as were asked for?"""
        return self._left == 0

    def show(self, message: Msg) -> None:
        """Print one message, also one that is not valid, if it is among those asked for."""
        self.position = message.metadata.sequence.stream
        try:
            codec = wire.codec_of(message.data)
            record = codec.decode(message.data)
        except wire.WireError as error:
            if self._fields:
                return
            self._print(message, "", {"error": str(error)}, lines.Line("corrupt", lines.BAD, str(error)))
        else:
            values = record_values(codec, record)
            if any(str(values.get(name)) != wanted for name, wanted in self._fields.items()):
                return
            self._print(message, codec.name, values, lines.describe(record))
        if self._left is not None:
            self._left -= 1

    def _print(self, message: Msg, name: str, fields: dict[str, Any], line: lines.Line) -> None:
        at = _date(message)
        if self._as_json:
            shown = {
                "stream": self.stream,
                "position": self.position,
                "time": at.isoformat(timespec="microseconds"),
                "subject": message.subject,
                "id": (message.headers or {}).get("Nats-Msg-Id", ""),
                "record": name,
            }
            typer.echo(json.dumps(shown | fields if not name else shown | {"fields": fields}))
            return
        text = Text()
        text.append(at.astimezone().strftime("%H:%M:%S.%f")[:-3], style="dim")
        text.append(f"  {self.position:>7}  ", style="dim")
        text.append(f"{line.kind:<{KIND_WIDTH}}", style=f"bold {line.style}".rstrip())
        text.append(f"  {line.body}")
        if self._cut:
            self._console.print(text, no_wrap=True, overflow="ellipsis")
        else:
            self._console.print(text, soft_wrap=True)


def _date(message: Msg) -> datetime:
    """When the server stored it."""
    stored: datetime = message.metadata.timestamp
    return stored if stored.tzinfo else stored.replace(tzinfo=UTC)
