"""Two pinned processes throw one 256-byte record back and forth.

    +------+  there   +------+
    | ping |=========>| pong |
    |      |<=========|      |
    +------+   back   +------+
     cpu 0             cpu 1

Measured: the round trip, from just before the record is sent until it is back. One record is under way at a
time; each is compared with what was sent. Ours, iceoryx2 and the socket pair spin, the others sleep in
their receive as their guides do it. "C ring" is the same with a 256-byte ring in plain C, "C cache line" a
single line that bounces: no way of passing anything between these two CPUs is faster.
"""

from collections.abc import Sequence

from perf.cases import NativePair, PingPong, limits, wanted_peers
from perf.engine import Case, Plan, Shape
from perf.peers import RING


def cases(plan: Plan) -> Sequence[Case]:
    """Ours, C and the peers."""
    return [
        *limits(plan, "round trip"),
        PingPong(RING, plan, group="round trip", reference=True),
        NativePair(plan, "ring", "C ring", group="round trip"),
        *(PingPong(peer, plan, group="round trip") for peer in wanted_peers(plan)),
    ]


SHAPE = Shape("ping_pong", __doc__, cases)
