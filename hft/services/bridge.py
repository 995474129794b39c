"""The bridge: opportunities that scanners on other machines find, into a link of their own.

They come from the stream OPPORTUNITIES, where those machines' sidecars put them; ``hft.runtime.bridge`` is
how. The sidecar does not read the link, else they would go round in circles.
"""

from typing import TYPE_CHECKING

from hft.runtime import bridge, nats_options
from hft.runtime.bridge import Bridge, Ways
from hft.runtime.runner import Log

if TYPE_CHECKING:
    from hft.runtime.context import Context

STREAM = "OPPORTUNITIES"
LINK = "opportunities_remote"

COUNTERS: tuple[str, ...] = bridge.counters_of(LINK)
HISTOGRAMS: tuple[str, ...] = bridge.HISTOGRAMS


def build(ctx: "Context") -> Bridge:
    """The service for its run."""
    own = ctx.config.bridge
    options = nats_options.connect_options(ctx.config.nats, own.url or ctx.run.nats_url)
    ways = Ways(options, STREAM, own.subject, LINK, ctx.run.state_dir)
    log = Log(ctx.name, ctx.clock)
    return Bridge(ways, ctx.written_ring(LINK), ctx.counters, ctx.clock, ctx.run.run_id.hex(), log.line)
