"""One producer, one consumer, as fast as it goes; single records and batches of 64.

    +----------+  256-byte records  +----------+
    | producer |===================>| consumer |
    +----------+                    +----------+
       cpu 0                           cpu 1

Measured: records a second, from the first one's leaving to the last one's arrival. The consumer compares
every record with the one that must come at its place. Batches: ours offers and takes 64 at a time, Queue
and Pipe pickle lists of 64, pyzmq sends multipart messages of 64; a transport without such a call is
skipped there.
"""

from collections.abc import Sequence

from perf.cases import NativePair, Stream, limits, wanted_peers
from perf.engine import Case, Plan, Shape
from perf.peers import RING

BATCH = 64


def cases(plan: Plan) -> Sequence[Case]:
    """Single records, then batches."""
    peers = wanted_peers(plan)
    suffix = f" x{BATCH}"
    return [
        *limits(plan),
        Stream(RING, plan, group="single", reference=True),
        NativePair(plan, "stream", "C ring", group="single"),
        *(Stream(peer, plan, group="single") for peer in peers),
        Stream(RING, plan, batch=BATCH, label=RING.label + suffix, group="batch", reference=True),
        *(
            Stream(peer, plan, batch=BATCH, label=peer.label + suffix, group="batch")
            for peer in peers
            if peer.batches
        ),
    ]


SHAPE = Shape("one_to_one_throughput", __doc__, cases)
