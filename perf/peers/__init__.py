"""Ways to carry records between processes: ours, the peers', and plain C as the limit (``perf.native``)."""

from perf.peers.base import Link, Reader, Sender, Transport
from perf.peers.iceoryx import ICEORYX2, ICEORYX2_RAW
from perf.peers.nats import NATS
from perf.peers.ring import RING
from perf.peers.stdlib import PIPE, QUEUE, SOCKETPAIR
from perf.peers.zeromq import PYZMQ

PEERS: tuple[Transport, ...] = (QUEUE, PIPE, PYZMQ, ICEORYX2, ICEORYX2_RAW, NATS, SOCKETPAIR)
PEER_KEYS = tuple(peer.key for peer in PEERS)

__all__ = [
    "ICEORYX2",
    "ICEORYX2_RAW",
    "NATS",
    "PEERS",
    "PEER_KEYS",
    "PIPE",
    "PYZMQ",
    "QUEUE",
    "RING",
    "SOCKETPAIR",
    "Link",
    "Reader",
    "Sender",
    "Transport",
]
