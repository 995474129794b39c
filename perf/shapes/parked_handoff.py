"""ping_pong with both sides asleep: what a wake-up by the kernel costs.

    +------+  futex   +------+
    | ping |=========>| pong |
    | zzz  |<=========| zzz  |
    +------+          +------+
     cpu 0             cpu 1

Ours parks on the subscription's futex, the others sleep in their receive. All are bound by the kernel's
wake-up: parity with multiprocessing.Pipe is the aim, and no more is claimed.
"""

from collections.abc import Sequence

from perf.cases import PingPong, limits, wanted_peers
from perf.engine import Case, Plan, Shape
from perf.peers import RING, SOCKETPAIR


def cases(plan: Plan) -> Sequence[Case]:
    """Ours parked, and the peers that sleep."""
    return [
        *limits(plan),
        PingPong(RING, plan, label="ringbuf park", parked=True, group="parked", reference=True),
        *(
            PingPong(peer, plan, group="parked")
            for peer in wanted_peers(plan, without=(SOCKETPAIR,))
            if not peer.polled
        ),
    ]


SHAPE = Shape("parked_handoff", __doc__, cases)
