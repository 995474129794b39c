"""The two ways to show a run as it goes: a picture that moves, and plain lines where there is no terminal."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from rich import live as rich_live
from rich.console import Console

from hft.cli import panels
from hft.cli.live import Live
from hft.runtime import killstate
from hft.runtime.context import Run
from hft.runtime.killstate import Request
from hft.runtime.monitor import Reading
from hft.runtime.settings import Config

LIVE_TICK_S = 0.5
PLAIN_TICK_S = 5.0
PLAIN_WIDTH = 120
"""Columns of what is drawn where there is no terminal to fit it to."""


class View:
    """Plain lines: for logs, pipes and CI."""

    tick_s = PLAIN_TICK_S

    def __init__(self, console: Console) -> None:
        self.console = console
        self.live = Live()

    def shown(self) -> AbstractContextManager[object]:
        """Open while the run lasts."""
        return nullcontext()

    def tell(self, line: str) -> None:
        """Take one line of news."""
        self._print(line)

    def tick(self, run: Run, restarts: Mapping[str, int], reading: Reading) -> None:
        """Take a reading."""
        self.live.facts = self.live.facts._replace(run_id=run.run_id8, cpus=run.cpus, nats_url=run.nats_url)
        self.live.restarts = restarts
        self.live.add(reading)
        self.heed(killstate.requested(run.state_dir) if reading.kill.killed else None)
        self.draw()

    def heed(self, asked: Request | None) -> None:
        """Take the resume that someone outside asks for; a new one is told once."""
        if asked is not None and asked != self.live.asked:
            self._print(panels.request_line(asked))
        self.live.asked = asked

    def draw(self) -> None:
        """Show what is new."""
        self._print(self.live.line())

    def _print(self, line: str) -> None:
        self.console.file.write(line + "\n")
        self.console.file.flush()


class LiveView(View):
    """The picture that moves."""

    tick_s = LIVE_TICK_S

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._display = rich_live.Live(
            console=console, auto_refresh=False, screen=False, vertical_overflow="crop"
        )

    def shown(self) -> AbstractContextManager[object]:
        return self._display

    def tell(self, line: str) -> None:
        self.live.events.append(line)
        self.draw()

    def heed(self, asked: Request | None) -> None:
        self.live.asked = asked

    def draw(self) -> None:
        self._display.update(self.live.render(self.console.width, self.console.height), refresh=True)


def make(*, plain: bool) -> View:
    """The view for this terminal; plain lines where there is none or ``plain`` asks for them."""
    terminal = Console()
    if terminal.is_terminal and not plain:
        return LiveView(terminal)
    return View(terminal if terminal.is_terminal else Console(width=PLAIN_WIDTH))


def market_name(config: Config) -> str:
    """The market of a run's local cluster in a few words."""
    names = [Path(file).name.removesuffix(".json.gz") for file in config.simnet.market]
    return f"market {' + '.join(names)}" if names else "shipped market"
