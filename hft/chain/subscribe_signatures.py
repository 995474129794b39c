"""Signature subscriptions: the follower hears of what landed as soon as a node does."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import msgspec
from solders.signature import Signature

from hft.chain import rpc_parse
from hft.chain.endpoint import Endpoint, Reach
from hft.chain.follow import Follower
from hft.chain.subscribe_channel import Channel, ChannelError, ChannelErrorCode
from hft.chain.subscribe_session import SESSION_RULE, Session, SessionRule

T = TypeVar("T")


class SignatureSource(Session):
    """One endpoint's WebSocket, subscribed to every signature that ``follower`` has under way.

    Slots are subscribed to as well: without them a dead connection would look like one that has nothing to
    tell. What is missed here the follower's own questions find.
    """

    def __init__(
        self,
        reach: Reach,
        endpoint: Endpoint,
        follower: Follower,
        rule: SessionRule = SESSION_RULE,
        *,
        commitment: str = "confirmed",
    ) -> None:
        super().__init__(reach, endpoint, rule)
        self._follower = follower
        self._commitment = commitment
        self._known: dict[bytes, int] = {}
        self._more = asyncio.Event()
        self.notified = 0
        self.newest_slot = 0

    def watch(self) -> None:
        """The follower has something new under way."""
        self._more.set()

    def hears(self, signature: bytes) -> bool:
        """Whether a subscription to it stands."""
        return self.live and self._known.get(signature, -1) >= 0

    async def set_up(self, channel: Channel) -> None:
        self._known.clear()
        await channel.subscribe("slotSubscribe", [], self._on_slot)
        await self._subscribe(channel)

    async def work(self, channel: Channel) -> None:
        while True:
            await self._more.wait()
            self._more.clear()
            await self._subscribe(channel)

    def on_live(self) -> None:
        """Nothing depends on it."""

    def on_lost(self, reason: str, was_live: bool) -> None:
        """The follower's own questions go on."""

    async def _subscribe(self, channel: Channel) -> None:
        under_way = set(self._follower.signatures())
        for ended in self._known.keys() - under_way:
            number = self._known.pop(ended)
            if channel.stands(number):  # it never fired, and the node would keep it for good
                await self._quietly(channel.unsubscribe("signatureUnsubscribe", number))
        for signature in under_way - self._known.keys():

            def notified(result: msgspec.Raw, received_ns: int, signature: bytes = signature) -> None:
                self._on_signature(signature, result)

            params = [str(Signature.from_bytes(signature)), {"commitment": self._commitment}]
            asked = channel.subscribe("signatureSubscribe", params, notified, once=True)
            told = await self._quietly(asked)
            self._known[signature] = -1 if told is None else told

    async def _quietly(self, asked: Awaitable[T]) -> T | None:
        """The answer, None if the node says no: what it does not tell the follower's questions find."""
        try:
            return await asked
        except ChannelError as error:
            if error.code is not ChannelErrorCode.REFUSED:
                raise
            return None

    def _on_slot(self, result: msgspec.Raw, received_ns: int) -> None:
        told = rpc_parse.fields(rpc_parse.loads(result), "slotNotification")
        self.newest_slot = max(self.newest_slot, rpc_parse.count(told.get("slot"), "slot"))

    def _on_signature(self, signature: bytes, result: msgspec.Raw) -> None:
        slot, value = rpc_parse.with_context(rpc_parse.loads(result), "signatureNotification")
        if isinstance(value, dict):  # else "receivedSignature": it came to a leader, no more
            self.notified += 1
            self._follower.on_notified(signature, slot, value.get("err"), self._commitment)
