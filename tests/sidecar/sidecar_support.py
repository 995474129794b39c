"""Ways to ask a real nats-server what it holds."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, DeliverPolicy

T = TypeVar("T")


def asked(url: str, question: Callable[[JetStreamContext], Awaitable[T]]) -> T:
    """What a fresh client gets as the answer to ``question``."""

    async def ask() -> T:
        client: Client = await nats.connect(url)
        try:
            return await question(client.jetstream())
        finally:
            await client.close()

    return asyncio.run(ask())


def stored(url: str, stream: str) -> list[Msg]:
    """Every message of a stream, oldest first."""

    async def read(js: JetStreamContext) -> list[Msg]:
        left = (await js.stream_info(stream)).state.messages
        config = ConsumerConfig(deliver_policy=DeliverPolicy.ALL)
        subscription = await js.subscribe(">", stream=stream, ordered_consumer=True, config=config)
        return [await subscription.next_msg(timeout=10) for _ in range(left)]

    return asked(url, read)
