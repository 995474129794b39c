"""Questions asked from outside the pipeline, at a run's start and end: what the wallet owns, what the streams
stored.

They block for a bounded time and are never called while a duty cycle waits for them.
"""

import asyncio
from collections.abc import Iterable
from pathlib import Path

import nats
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from hft.chain.frames import Balances, Event
from hft.chain.keys import paper_keypair
from hft.chain.local import ClusterClosed, ClusterError, LocalCluster
from hft.runtime.clock import Clock
from hft.runtime.streams import STREAMS, Stream
from hft.venues import WRAPPED_SOL

ANSWER_LIMIT_NS = 5_000_000_000
"""Longest wait for an answer."""

WAIT_NS = 50_000_000


def wallet_lamports(socket_path: Path, seed: int, clock: Clock) -> int | None:
    """SOL and wrapped SOL of the paper wallet on the local cluster now, in lamports; ``None`` without an
    answer."""
    cluster = LocalCluster(str(socket_path), monotonic_ns=clock.monotonic_ns)
    deadline_ns = clock.monotonic_ns() + ANSWER_LIMIT_NS
    answers: list[Balances] = []

    def take(event: Event | ClusterClosed) -> None:
        if isinstance(event, Balances):
            answers.append(event)

    try:
        cluster.connect(deadline_ns)
        cluster.balances(bytes(paper_keypair(seed).pubkey()))
        while not answers and cluster.connected and clock.monotonic_ns() < deadline_ns:
            cluster.wait(WAIT_NS)
            cluster.poll(take)
    except ClusterError:
        return None
    finally:
        cluster.close()
    if not answers:
        return None
    return answers[0].lamports + sum(amount for mint, amount in answers[0].tokens if mint == WRAPPED_SOL)


def stream_sequences(url: str, streams: Iterable[Stream] = STREAMS) -> dict[str, int]:
    """Stream → sequence of the last message it ever stored, 0 where it does not exist or nobody answers."""
    names = [stream.name for stream in streams]
    try:
        return asyncio.run(asyncio.wait_for(_sequences(url, names), ANSWER_LIMIT_NS / 1e9))
    except (NatsError, OSError, TimeoutError):
        return dict.fromkeys(names, 0)


async def _sequences(url: str, names: list[str]) -> dict[str, int]:
    async def quiet(_error: Exception) -> None:
        return None

    client = await nats.connect(url, allow_reconnect=False, connect_timeout=2, error_cb=quiet)
    try:
        js = client.jetstream()
        found: dict[str, int] = {}
        for name in names:
            try:
                found[name] = (await js.stream_info(name)).state.last_seq
            except NotFoundError:
                found[name] = 0
        return found
    finally:
        await client.close()
