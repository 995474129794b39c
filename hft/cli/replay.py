"""``hft replay``: a capture, or a recorded day of swaps, through the pipeline's own services."""

import json
import signal
import time
from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from types import FrameType
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.status import Status

from hft.cli import options, replay_view, text
from hft.cli.views import PLAIN_WIDTH
from hft.replay.engine import Outcome, Replay
from hft.replay.pace import Pace
from hft.replay.result import Checked, as_json
from hft.replay.source import Batch, batches
from hft.replay.tape import Tape
from hft.runtime.capture import Capture
from hft.runtime.capture_format import MAGIC, Header
from hft.runtime.exit_codes import ExitCode, HftError
from hft.runtime.settings import Config

TICK_NS: Final = 500_000_000
PLAIN_TICK_NS: Final = 5_000_000_000


class Speed(Enum):
    """How fast."""

    MAX = "max"
    REAL = "1x"


def replay(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What hft capture wrote, or a tape.")],
    speed: Annotated[
        Speed, typer.Option("--speed", help="max: as fast as it can; 1x: as it was captured.")
    ] = Speed.MAX,
    accounts: Annotated[
        list[Path] | None,
        typer.Option("--accounts", metavar="FILE", help="For a tape: the accounts it begins with."),
    ] = None,
    expect: Annotated[
        Path | None, typer.Option("--expect", metavar="FILE", help="For a tape: the accounts it ends with.")
    ] = None,
    report_file: Annotated[
        Path | None, typer.Option("--report", metavar="FILE", help="Write the report there as JSON.")
    ] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Plain lines of how far it is.")] = False,
    config_file: options.ConfigFile = None,
    overlays: options.Overlays = None,
    sets: options.Sets = None,
    state_dir: Annotated[
        Path | None,
        typer.Option("--state-dir", metavar="DIR", help="Keep the ledger there; default: it is not kept."),
    ] = None,
) -> int:
    """Run a capture through the pipeline's own services.

    One capture, one ledger. One process, real rings, the capture's time. Trades settle as on the local
    cluster, on the capture's newest accounts; what a trade does to a pool lasts until the capture has a
    newer version of it (a price taker). Ends with a report of profit and latency. Ctrl-C ends it early.
    """
    config = options.load_config(config_file, overlays, sets)
    options.check_report_file(report_file)
    if _is_capture(file):
        if accounts or expect is not None:
            raise HftError("--accounts and --expect go with a tape; this is a capture", ExitCode.CONFIG)
        with Capture(file) as capture:
            if capture.torn_bytes:
                typer.echo(
                    f"{file}: its last write was cut off; {capture.torn_bytes:,} bytes after byte "
                    f"{capture.end:,} are left out",
                    err=True,
                )
            told = _Told(config, state_dir, speed, capture.header, capture.end_ns, plain)
            outcome = told.run(batches(capture))
            return _report(outcome, file, capture.torn_bytes, None, report_file)
    if not accounts or len(accounts) != 1:
        raise HftError(
            f"{file} is no capture; a tape needs --accounts FILE, the one file it begins with",
            ExitCode.CAPTURE,
        )
    tape = Tape(file, accounts[0])
    outcome = _Told(config, state_dir, speed, tape.header, 0, plain).run(tape.batches())
    differences = None if expect is None else tuple(tape.differences(expect))
    sums = tape.tally
    checked = Checked(sums.swaps, sums.liquidity_changes, sums.fee_collections, sums.new_pools, differences)
    return _report(outcome, file, 0, checked, report_file)


def _is_capture(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            return opened.read(len(MAGIC)) == MAGIC
    except OSError as error:
        raise HftError(f"{file}: can't be read: {error.strerror}", ExitCode.CAPTURE) from error


def _report(
    outcome: Outcome, file: Path, torn_bytes: int, tape: Checked | None, report_file: Path | None
) -> int:
    terminal = Console()
    console = terminal if terminal.is_terminal else Console(width=PLAIN_WIDTH)
    console.print(replay_view.render(outcome, str(file), torn_bytes, tape, console.width))
    if report_file is not None:
        values = as_json(outcome, str(file), torn_bytes, tape)
        report_file.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    return int(ExitCode.FAILURE if tape is not None and tape.differences else ExitCode.OK)


class _Told:
    """One replay, and a line that tells how far it is."""

    def __init__(
        self,
        config: Config,
        state_dir: Path | None,
        speed: Speed,
        header: Header,
        end_ns: int,
        plain: bool,
    ) -> None:
        self._replay = Replay(config, header, None if state_dir is None else state_dir.absolute())
        self._start_ns = header.start_ns
        self._length_ns = max(end_ns - header.start_ns, 0)
        self._stop: list[int] = []
        self._pace = Pace(header.start_ns, lambda: bool(self._stop)) if speed is Speed.REAL else None
        self._next_ns = 0
        console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
        self._console = console
        lively = console.is_terminal and not plain
        self._status = Status("replaying", console=console) if lively else None

    def run(self, taken: Iterable[Batch]) -> Outcome:
        """To the end, or to Ctrl-C."""

        def ask(number: int, _frame: FrameType | None) -> None:
            self._stop.append(number)

        before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
        if self._status is not None:
            self._status.start()
        try:
            with self._replay as replay:
                return replay.run(taken, pace=self._pace, goes_on=self._goes_on)
        finally:
            if self._status is not None:
                self._status.stop()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _goes_on(self, taken_ns: int) -> bool:
        now_ns = time.monotonic_ns()
        if now_ns >= self._next_ns:
            self._next_ns = now_ns + (TICK_NS if self._status is not None else PLAIN_TICK_NS)
            self._show(taken_ns)
        return not self._stop

    def _show(self, taken_ns: int) -> None:
        past_ns = taken_ns - self._start_ns
        of = f" of {text.clock(self._length_ns / 1e9)}" if self._length_ns else ""
        line = f"replaying  {text.clock(past_ns / 1e9)}{of}"
        if self._status is not None:
            self._status.update(line)
        else:
            self._console.print(line)
