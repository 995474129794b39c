"""What the sidecar costs the hot path: whole pipelines without it, with it, and with it and no NATS.

    +---------+    +----------------------------------+    +---------+    +-------------+
    | cluster |===>| feed, scanner, planner, executor |===>| sidecar |===>| nats-server |
    +---------+    +----------------------------------+    +---------+    +-------------+
       cpu 0             cpu 1, as `hft start` places them    cpu 0           cpu 0

tick_to_trade with one service more: the same processes, market, rate and stamps, from an account's bytes read
off the socket to the signed bytes of a trade. The sidecar is the real one: it verifies, journals and syncs
every link's messages, two links' as a gate, and publishes them to file-backed streams. ``NATS stopped``: it
is there while the pipeline starts, and is then ended: the journal grows and the sidecar tries to connect.

Each round has a pipeline of its own, one after the other: no case runs beside another one's turn. There are
about seven trades a second, so that a p99 wants rounds of some length: `--seconds 60`.
"""

from collections.abc import Sequence

from perf.cases import limits
from perf.engine import Case, Plan, Shape
from perf.processes import Processes
from perf.shapes.tick_to_trade import SERVICES, Trading

RATE = 1_000
LIMIT_S = 30.0
LEAST_SECONDS = 10.0


class Beside(Trading):
    """A pipeline that trades, and the sidecar beside it or not."""

    def __init__(self, plan: Plan, label: str, *, sidecar: bool, nats: bool = True) -> None:
        super().__init__(plan, RATE, reference=not sidecar)
        self.label, self.group = label, "path"
        self._seconds = plan.seconds or max(self._seconds, LEAST_SECONDS)
        self._services = ("sidecar", *SERVICES) if sidecar else SERVICES
        self._nats = nats

    def _ready(self, pipeline: Processes) -> None:
        super()._ready(pipeline)
        if "sidecar" not in self._services:
            return
        pipeline.until("messages are published", lambda: pipeline.count("sidecar", "out_executed"), LIMIT_S)
        if not self._nats:
            pipeline.stop_nats()
            pipeline.until(
                "the sidecar is alone", lambda: not pipeline.count("sidecar", "nats_connected"), LIMIT_S
            )


def cases(plan: Plan) -> Sequence[Case]:
    """Off, on, and on without NATS."""
    return [
        *limits(plan),
        Beside(plan, "sidecar off", sidecar=False),
        Beside(plan, "sidecar on", sidecar=True),
        Beside(plan, "sidecar on, NATS stopped", sidecar=True, nats=False),
    ]


SHAPE = Shape("sidecar_isolation", __doc__, cases)
