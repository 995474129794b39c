"""Ours: a ringbuf ring a link, every reader gating, records copied in by ``offer`` and out by ``take``."""

import os
from functools import partial
from itertools import count

from perf.peers.base import Link, Reader, Sender, Transport
from ringbuf import Ring, segment_name

DEPTH = 1024
PREFIX = "perf"
_RUN_ID = os.urandom(16)
_numbers = count()


def new_name(kind: str) -> str:
    """A segment name of this run, used once."""
    return segment_name(PREFIX, _RUN_ID, kind, f"p{os.getpid()}-{next(_numbers)}")


def link(readers: int = 1, record_bytes: int = 256, depth: int = DEPTH) -> Link:
    """A ring of ``depth`` cells."""
    ring = Ring.create(new_name("ring"), depth=depth, mtu=record_bytes, max_subscriptions=max(readers, 1))

    def close() -> None:
        ring.unlink()
        ring.close()

    return Link(
        partial(_sender, ring.name),
        tuple(partial(_reader, ring.name, f"reader-{i}") for i in range(readers)),
        close,
    )


def _sender(name: str) -> Sender:
    publication = Ring.attach(name).publication()
    offer_batch = publication.offer_batch

    def send_batch(records: list[bytes]) -> None:
        done = offer_batch(records)
        while done < len(records):
            done += offer_batch(records[done:])

    return Sender(publication.offer, publication.close, send_batch, publication)


def _reader(name: str, label: str) -> Reader:
    subscription = Ring.attach(name).subscribe(label, gating=True, from_start=True)
    return Reader(subscription.take, subscription.close, partial(subscription.take_batch, 64), subscription)


RING = Transport("ringbuf", "ringbuf", str, link, polled=True, batches=True)
