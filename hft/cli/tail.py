"""``hft tail STREAM``: the messages of a stream as they arrive, by name."""

import asyncio
import contextlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import nats
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
from hft.runtime import state
from hft.runtime.context import Run
from hft.runtime.exit_codes import ExitCode, HftError
from hft.runtime.streams import BY_NAME, overlap
from hft.wire.show import record_values

PATIENCE_S = 0.5
"""How often it looks whether the run is still there while nothing arrives."""

KIND_WIDTH = 13


def tail(
    stream: Annotated[str, typer.Argument(metavar="STREAM", help=f"One of {', '.join(BY_NAME)}.")],
    count: Annotated[
        int | None, typer.Option("--count", min=1, help="End after so many messages; default: follow.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, every field.")] = False,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Begin with the oldest message kept, not with the next.")
    ] = False,
    subject: Annotated[
        str | None,
        typer.Option("--filter", metavar="SUBJECT", help="Only these subjects; * and > are wildcards."),
    ] = None,
    state_dir: options.StateDir = None,
) -> int:
    """Show the messages of a stream as they arrive."""
    name = stream.upper()
    if name not in BY_NAME:
        raise HftError(f"no stream {stream!r}; there are {', '.join(BY_NAME)}", ExitCode.CONFIG)
    if subject is not None and not any(overlap(subject, taken) for taken in BY_NAME[name].subjects):
        raise HftError(
            f"--filter {subject}: {name} has no such subjects, only {', '.join(BY_NAME[name].subjects)}",
            ExitCode.CONFIG,
        )
    folder = options.state_folder(state_dir)
    run = options.running(folder)
    printer = Printer(name, as_json=as_json, count=count)
    # Ctrl-C is how a person ends it.
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(follow(folder, run, printer, subject or ">", from_start=from_start))
    return int(ExitCode.OK)


async def follow(folder: Path, run: Run, printer: "Printer", subject: str, *, from_start: bool) -> None:
    """Print until the count is reached or the run has ended; a restart of the server is bridged.

    Raises HftError (NATS) when the server can't be reached at first, or takes no such subject.
    """
    config = ConsumerConfig(deliver_policy=DeliverPolicy.ALL if from_start else DeliverPolicy.NEW)
    while True:
        try:
            client = await _connect(run)
        except (OSError, nats.errors.Error) as error:
            if not printer.position:
                raise HftError(f"NATS at {run.nats_url} can't be reached: {error}", ExitCode.NATS) from error
        else:
            try:
                await _read(client, printer, subject, config)
            finally:
                await client.close()
        if printer.done:
            return
        if state.holder(folder) == 0:
            Console(stderr=True, highlight=False).print("[dim]the run has ended[/dim]")
            return
        await asyncio.sleep(PATIENCE_S)
        if printer.position:
            config = ConsumerConfig(
                deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=printer.position + 1
            )


async def _connect(run: Run) -> Client:
    async def quiet(_: Exception) -> None:
        """What goes wrong shows in what is awaited."""

    return await nats.connect(
        run.nats_url,
        name="hft-tail",
        allow_reconnect=False,
        max_reconnect_attempts=1,
        reconnect_time_wait=0,
        error_cb=quiet,
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

    def __init__(self, stream: str, *, as_json: bool, count: int | None) -> None:
        self.stream = stream
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
        """Print one message, also one that is not valid."""
        self.position = message.metadata.sequence.stream
        try:
            codec = wire.codec_of(message.data)
            record = codec.decode(message.data)
        except wire.WireError as error:
            self._print(message, "", {"error": str(error)}, lines.Line("corrupt", lines.BAD, str(error)))
        else:
            self._print(message, codec.name, record_values(codec, record), lines.describe(record))
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
