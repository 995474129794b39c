"""A subscription that lives on: connect, set up, work until the connection fails, wait with jitter, again."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from random import random as random_number
from typing import Final, NamedTuple

from hft.chain.backoff import BackoffRule, delay_ns
from hft.chain.endpoint import Endpoint, Reach
from hft.chain.loop import end_all
from hft.chain.rpc_faults import RpcFault
from hft.chain.rpc_parse import ShapeError
from hft.chain.subscribe_channel import Channel, ChannelError, ChannelErrorCode
from hft.chain.why import why


class SessionRule(NamedTuple):
    """``silence_ns``: longest time without any message on an open connection; ``request_ns``: longest wait
    for an answer; ``at_once``: requests under way at a time while setting up."""

    silence_ns: int = 3_000_000_000
    request_ns: int = 5_000_000_000
    at_once: int = 64
    backoff: BackoffRule = BackoffRule(100_000_000, 10_000_000_000)


SESSION_RULE: Final = SessionRule()


class Session(ABC):
    """See the module; ``run`` is its task. Subclasses say what to set up and what to do meanwhile."""

    def __init__(
        self,
        reach: Reach,
        endpoint: Endpoint,
        rule: SessionRule = SESSION_RULE,
        *,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        random: Callable[[], float] = random_number,
    ) -> None:
        """``endpoint``: as ``check_endpoints`` gave it, with a ``ws_url``."""
        self._reach = reach
        self.endpoint = endpoint
        self._rule = rule
        self._clock_ns = clock_ns
        self._random = random
        self.live = False
        self.why = ""
        """What it failed by, in words, until it is live again."""
        self.lost: Counter[str] = Counter()
        self.waits_ns: list[int] = []

    async def run(self) -> None:
        """Lives until cancelled."""
        failures = 0
        while True:
            channel = Channel(
                self._reach,
                self.endpoint,
                silence_ns=self._rule.silence_ns,
                request_ns=self._rule.request_ns,
                clock_ns=self._clock_ns,
            )
            was_live = False
            try:
                await self._life(channel)
            except (ChannelError, RpcFault, ShapeError) as error:
                reason = error.code.name.lower() if isinstance(error, ChannelError) else "snapshot"
                self.lost[reason] += 1
                self.why = why(error, self.why)
                was_live, self.live = self.live, False
                self.on_lost(reason, was_live)
            finally:
                self.live = False
                await channel.close()
            failures = 0 if was_live else failures + 1
            wait_ns = delay_ns(self._rule.backoff, failures, self._random)
            self.waits_ns = [*self.waits_ns[-15:], wait_ns]
            await asyncio.sleep(wait_ns / 1e9)

    @abstractmethod
    async def set_up(self, channel: Channel) -> None:
        """Subscribes, and asks for what must be known before the connection counts as live."""

    @abstractmethod
    async def work(self, channel: Channel) -> None:
        """What to do while it is live; runs until cancelled."""

    @abstractmethod
    def on_live(self) -> None:
        """It is set up."""

    @abstractmethod
    def on_lost(self, reason: str, was_live: bool) -> None:
        """It failed; ``reason`` is short and of a small set."""

    async def _life(self, channel: Channel) -> None:
        await channel.open()
        # The reader comes first: it knows best why, a worker's request merely failed with it.
        tasks = (
            asyncio.create_task(channel.run()),
            asyncio.create_task(self._set_up_and_work(channel)),
        )
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task in done:
                    task.result()
        finally:
            await end_all(*tasks, expected=(ChannelError, RpcFault, ShapeError))
        raise ChannelError(ChannelErrorCode.CLOSED, f"{self.endpoint.name}: nothing left to do")

    async def _set_up_and_work(self, channel: Channel) -> None:
        await self.set_up(channel)
        self.live, self.why = True, ""
        self.on_live()
        await self.work(channel)
