"""``hft bridge``: a link of the running instance fed from a stream of other machines."""

import signal
import threading
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console

import ringbuf
from hft import wire
from hft.cli import options, panels
from hft.cli.nats_access import Url
from hft.runtime import bridge, topology
from hft.runtime.bridge import Bridge, Ways
from hft.runtime.clock import SystemClock
from hft.runtime.context import Run
from hft.runtime.exit_codes import ExitCode, HftError
from hft.runtime.nats_options import connect_options
from hft.runtime.streams import BY_NAME

HOUSEKEEPING_NS = 10_000_000
TELL_NS = 1_000_000_000


def run(
    from_: Annotated[str, typer.Option("--from", metavar="STREAM", help=f"One of {', '.join(BY_NAME)}.")],
    to: Annotated[str, typer.Option("--to", metavar="LINK", help="A link whose writer does not run here.")],
    subject: Annotated[
        str, typer.Option("--filter", metavar="SUBJECT", help="Only these subjects (* and > are wildcards).")
    ] = "",
    url: Url = "",
    config: options.ConfigFile = None,
    overlay: options.Overlays = None,
    set_: options.Sets = None,
    state_dir: options.StateDir = None,
) -> int:
    """Feed a link from a stream, in place of its writer.

    A link of the running instance. In order, each message once, also over restarts; messages of this
    instance itself are left out. Into a link with gating readers nothing is dropped. For opportunities
    there is [service:bridge] enabled = on.
    """
    stream = from_.upper()
    if stream not in BY_NAME:
        raise HftError(f"no stream {from_!r}; there are {', '.join(BY_NAME)}", ExitCode.CONFIG)
    every = [entry.name for entry in topology.LINKS]
    if to not in every:
        raise HftError(f"no link {to!r}; there are {', '.join(every)}", ExitCode.CONFIG)
    loaded = options.with_url(url, config, overlay, set_)
    instance = options.running(options.state_folder(state_dir, loaded))
    there = [entry.name for entry in topology.links(instance.config.optional)]
    if to not in there:
        raise HftError(f"no link {to!r} in this run; there are {', '.join(there)}", ExitCode.CONFIG)
    if topology.link(to).records != stream.lower():
        raise HftError(f"messages of {stream} don't belong on link {to}", ExitCode.CONFIG)
    reached = connect_options(loaded.nats if url else instance.config.nats, url or instance.nats_url)
    _serve(Ways(reached, stream, subject, to, instance.state_dir), instance)
    return int(ExitCode.OK)


def _serve(ways: Ways, instance: Run) -> None:
    """Bring messages over until SIGINT or SIGTERM."""
    clock, console, stop = SystemClock(), Console(stderr=True, highlight=False), threading.Event()

    def asked(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, asked)
    ring = ringbuf.Ring.attach(instance.segment("ring", ways.link), schema_hash=wire.SCHEMA_HASH)
    page = _page(instance, ways.link)
    try:
        made = Bridge(ways, ring, page, clock, instance.run_id.hex(), console.print)
        try:
            made.on_start()
            _cycle(made, page, clock, console, stop, ways.link)
        finally:
            made.on_close()
    finally:
        page.close()
        page.unlink()
        ring.close()


def _page(instance: Run, link: str) -> ringbuf.Counters:
    """A page of its own beside the run's; one that a killed bridge left is taken over."""
    name = instance.segment("counters", f"bridge_{link}")
    if name in ringbuf.segment_names(instance.prefix):
        left = ringbuf.Counters.attach(name)
        owner = left.owner
        if owner.pid and owner.alive:
            left.close()
            raise HftError(f"process {owner.pid} brings messages to {link}", ExitCode.ALREADY_RUNNING)
        left.own()
        return left
    made = ringbuf.Counters.create(
        name, counters=bridge.counters_of(link), histograms=bridge.HISTOGRAMS, label=f"bridge_{link}"
    )
    made.own()
    return made


def _cycle(
    made: Bridge,
    page: ringbuf.Counters,
    clock: SystemClock,
    console: Console,
    stop: threading.Event,
    link: str,
) -> None:
    housekeeping_ns, tell_ns, told = 0, 0, ""
    while not stop.is_set():
        if not made.do_work():
            made.wait(HOUSEKEEPING_NS)
        now_ns = clock.monotonic_ns()
        if now_ns >= housekeeping_ns:
            housekeeping_ns = now_ns + HOUSEKEEPING_NS
            made.on_housekeeping(now_ns)
        if now_ns >= tell_ns:
            tell_ns = now_ns + TELL_NS
            line = panels.bridge_line(page.read(), page.histogram(bridge.HISTOGRAMS[0]).percentile, link)
            if line != told:
                told = line
                console.print(line)
