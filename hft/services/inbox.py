"""The sidecar's way inwards: commands from outside, and what became of them on the sidecar's page.

The door is a thread of its own (``hft.runtime.command_door``), so that a halt waits for no duty cycle; this
carries its counts over in housekeeping. Where ``[nats] command_senders`` is empty there is no door.
"""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from hft.runtime import nats_options
from hft.runtime.command_door import COUNTS, CommandDoor
from hft.runtime.commands import parse_senders

if TYPE_CHECKING:
    from hft.runtime.context import Context

COUNTERS: tuple[str, ...] = COUNTS
HISTOGRAMS: tuple[str, ...] = ("stage_command_ns",)
"""From a halt's arrival at the socket to the latch."""

KEPT = 1024


class Inbox:
    """Commands from outside, from ``start`` to ``close``."""

    def __init__(self, ctx: "Context", say: Callable[[str], None]) -> None:
        self._counters = ctx.counters
        self._places = {name: ctx.counters.index(name) for name in COUNTERS}
        self._histogram = ctx.counters.histogram_index(HISTOGRAMS[0])
        # The page outlives a crash: this process adds to what its predecessor counted.
        self._told = dict.fromkeys(COUNTERS, 0)
        self._latched_ns: deque[int] = deque(maxlen=KEPT)
        self._door: CommandDoor | None = None
        own = ctx.config.nats
        if own.command_senders:
            self._door = CommandDoor(
                nats_options.connect_options(own, ctx.run.nats_url),
                ctx.control,
                ctx.run.state_dir,
                ctx.clock,
                senders=parse_senders(own.command_senders),
                instance=own.command_instance,
                age_limit_ns=own.command_age_limit_ms * 1_000_000,
                say=say,
                on_latched=self._latched_ns.append,
            )

    def start(self) -> None:
        """Open the door."""
        if self._door is not None:
            self._door.start()

    def show(self) -> None:
        """Bring the page up to date."""
        if self._door is None:
            return
        while self._latched_ns:
            self._counters.record(self._histogram, self._latched_ns.popleft())
        for name, total in self._door.counts().items():
            if name == "commands_connected":
                self._counters.set(self._places[name], total)
            elif total != self._told[name]:
                self._counters.add(self._places[name], total - self._told[name])
                self._told[name] = total

    def close(self) -> None:
        """Close the door; what it counted is on the page."""
        if self._door is not None:
            self._door.close()
            self.show()
