"""``hft capture``: market data into a file, for ``hft replay``."""

import signal
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console
from rich.status import Status

from hft.chain.keys import paper_keypair
from hft.cli import options, text
from hft.replay.recorder import Recorder
from hft.runtime import cpus
from hft.runtime.capture import LIMIT_BYTES
from hft.runtime.clock import SystemClock
from hft.runtime.exit_codes import ExitCode, HftError
from hft.runtime.settings import Config

WAIT_NS = 20_000_000
TICK_NS = 500_000_000
PLAIN_TICK_NS = 5_000_000_000
SENDERS = ("[chain] rpc_urls", "[chain] jito_urls", "[chain] tip_floor_url")
STREAMS = {"[chain] ws_urls": "--ws-url"}
"""Settings for which options stand in."""


def capture(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="A new file.")],
    duration: Annotated[
        float | None,
        typer.Option("--duration", metavar="SECONDS", min=0.1, help="Stop after so long; default: never."),
    ] = None,
    limit_bytes: Annotated[
        int, typer.Option("--limit-bytes", metavar="N", min=4096, help="Stop at this size.")
    ] = LIMIT_BYTES,
    rpc_url: Annotated[
        list[str] | None,
        typer.Option(
            "--rpc-url",
            metavar="URL",
            help="JSON-RPC; may be repeated. Nodes of the world: with --set hft.mode=live and chain.pools.",
        ),
    ] = None,
    ws_url: Annotated[
        list[str] | None, typer.Option("--ws-url", metavar="URL", help="WebSocket; may be repeated.")
    ] = None,
    config_file: options.ConfigFile = None,
    overlays: options.Overlays = None,
    sets: options.Sets = None,
    state_dir: options.StateDir = None,
) -> int:
    """Write what a feed takes into a file, for hft replay.

    Until Ctrl-C, --duration or --limit-bytes. A process of its own beside the pipeline, with the same
    pools, off the hot services' cores: nothing ever waits for it. Without addresses it asks where the
    running instance does.
    """
    config, folder = _where(config_file, overlays, sets, state_dir, rpc_url, ws_url)
    with options.named(dict.fromkeys(SENDERS, "--rpc-url") | STREAMS if rpc_url else {}):
        recorder = Recorder(config, folder, output, SystemClock(), limit_bytes=limit_bytes)
    everywhere = cpus.available()
    stop: list[int] = []

    def ask(number: int, _frame: FrameType | None) -> None:
        stop.append(number)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    show = _Progress(recorder, output, duration)
    try:
        cpus.pin(cpus.place(config).others)  # the hot services' cores are left to them
        with recorder:
            while not stop and not recorder.full:
                recorder.step(WAIT_NS)
                show.tick()
                if duration is not None and recorder.duration_ns >= duration * 1e9:
                    break
    finally:
        show.close()
        cpus.pin(everywhere)
        for number, handler in before.items():
            signal.signal(number, handler)
    if recorder.full:
        show.console.print(f"stopped: {recorder.full}")
    show.console.print(f"{show.line()} → {output}")
    return int(ExitCode.OK)


def _where(
    config_file: Path | None,
    overlays: list[Path] | None,
    sets: list[str] | None,
    state_dir: Path | None,
    rpc_url: list[str] | None,
    ws_url: list[str] | None,
) -> tuple[Config, Path]:
    """The settings to record by: those of the running instance, unless addresses are told."""
    if bool(rpc_url) != bool(ws_url):
        raise HftError("--rpc-url and --ws-url go together: snapshots and changes", ExitCode.CONFIG)
    config = options.load_config(config_file, overlays, sets)
    folder = options.state_folder(state_dir, config)
    if rpc_url and ws_url:
        chain = replace(config.chain, rpc_urls=tuple(rpc_url), ws_urls=tuple(ws_url), yellowstone_url="")
        config = replace(config, chain=chain)
    if config.chain.rpc_urls and config.chain.ws_urls:
        # Nothing is ever signed or sent: whoever has data has all that is needed.
        first, nobody = config.chain.rpc_urls[0], str(paper_keypair(config.simnet.seed).pubkey())
        chain = replace(config.chain, jito_urls=(first,), tip_floor_url=first, signer="vault")
        return replace(config, chain=replace(chain, wallet_address=nobody)), folder
    try:
        return options.running(folder).config, folder
    except HftError as error:
        raise HftError(f"{error}; without one, --rpc-url and --ws-url say where to ask", error.code) from None


class _Progress:
    """One line that moves; plain lines where there is no terminal."""

    def __init__(self, recorder: Recorder, output: Path, duration: float | None) -> None:
        self.console = Console(highlight=False, markup=False, soft_wrap=True)
        self._recorder = recorder
        self._of = "" if duration is None else f" of {text.clock(duration)}"
        self._next_ns = 0
        self._status = (
            Status(f"capturing → {output}", console=self.console) if self.console.is_terminal else None
        )
        if self._status is not None:
            self._status.start()

    def tick(self) -> None:
        """Shows where it is, now and then."""
        now_ns = self._recorder.duration_ns
        if now_ns < self._next_ns:
            return
        self._next_ns = now_ns + (TICK_NS if self._status is not None else PLAIN_TICK_NS)
        if self._status is not None:
            self._status.update(self.line())
        else:
            self.console.print(self.line())

    def line(self) -> str:
        """How much there is by now."""
        recorder, writer = self._recorder, self._recorder.writer
        took = text.clock(recorder.duration_ns / 1e9)
        if writer is None:
            return f"{took}{self._of}  waiting for the chain"
        seconds = max(recorder.duration_ns / 1e9, 1e-9)
        return (
            f"{took}{self._of}  {text.count(writer.accounts)} account versions, "
            f"{text.rate(writer.accounts / seconds)}/s, {text.count(writer.records)} records, "
            f"{text.size(writer.bytes)}"
        )

    def close(self) -> None:
        """Lets go of the terminal."""
        if self._status is not None:
            self._status.stop()
