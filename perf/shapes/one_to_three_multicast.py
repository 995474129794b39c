"""One producer, three consumers that each take every record.

                      +------------+
                 +===>| consumer 1 |  cpu 1
    +----------+ |    +------------+
    | producer |=+===>| consumer 2 |  cpu 0
    +----------+ |    +------------+
       cpu 0     +===>| consumer 3 |  cpu 1
                      +------------+

Four processes on two CPUs; ours yields when it has nothing to do. Ours, iceoryx2 and NATS hand a record on
once; to Queue, Pipe, pyzmq and the socket pair the producer writes three times. Measured: records a second
until the last consumer has its last; every consumer checks every record.
"""

from collections.abc import Sequence

from perf.cases import Stream, limits, wanted_peers
from perf.engine import Case, Plan, Shape
from perf.peers import RING

READERS = 3


def cases(plan: Plan) -> Sequence[Case]:
    """Ours and the peers."""
    return [
        *limits(plan),
        Stream(RING, plan, readers=READERS, idle="yield", group="multicast", reference=True),
        *(
            Stream(peer, plan, readers=READERS, idle="yield", group="multicast")
            for peer in wanted_peers(plan)
        ),
    ]


SHAPE = Shape("one_to_three_multicast", __doc__, cases)
