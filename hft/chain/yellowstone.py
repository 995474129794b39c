"""Market data by Yellowstone gRPC (Geyser): like ``hft.chain.subscribe``, with write versions, and taken up
again where it broke off.

Needs the extra ``yellowstone`` (grpcio, protobuf); without it importing this module is an ImportError.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from random import random as random_number
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import grpc
import grpc.aio
from solders.pubkey import Pubkey

from hft.chain.backoff import BackoffRule, delay_ns
from hft.chain.endpoint import Endpoint, EndpointError, EndpointErrorCode, Reach, is_loopback
from hft.chain.generated import geyser_pb2
from hft.chain.loop import end_all
from hft.chain.rpc import MAX_ACCOUNTS, RpcClient
from hft.chain.rpc_faults import RpcFault
from hft.chain.subscribe import AccountFeed
from hft.chain.subscribe_merge import Version
from hft.chain.why import why
from hft.venues import Account

pb: Any = geyser_pb2
METHOD: Final = "/geyser.Geyser/Subscribe"
MAX_MESSAGE_BYTES: Final = 64 << 20
FILTER: Final = "watched"
REPEAT_S: Final = 2.0
"""Nothing says when a filter that was sent anew holds: what it added is asked for once more after so long."""


class GeyserRule(NamedTuple):
    """``silence_ns``: longest time without any message (the server pings every 15 s, slots come far more
    often); ``resume_slots``: how far back a broken stream is taken up again at most, else by a snapshot."""

    silence_ns: int = 5_000_000_000
    snapshot_ns: int = 5_000_000_000
    resume_slots: int = 150
    backoff: BackoffRule = BackoffRule(100_000_000, 10_000_000_000)


GEYSER_RULE: Final = GeyserRule()


def subscription(pubkeys: list[bytes], from_slot: int | None) -> Any:
    """The request: these accounts and every slot, at processed commitment."""
    request = pb.SubscribeRequest(commitment=pb.PROCESSED)
    request.accounts[FILTER].account.extend(str(Pubkey(one)) for one in pubkeys)
    request.slots[FILTER].filter_by_commitment = False
    if from_slot is not None:
        request.from_slot = from_slot
    return request


def version_of(update: Any, source: str, received_ns: int) -> Version | None:
    """An account update as a version; None if its keys are none."""
    told = update.account.account
    if len(told.pubkey) != 32 or len(told.owner) != 32:
        return None
    account = Account(bytes(told.owner), bytes(told.data), told.lamports)
    slot, write_version = update.account.slot, told.write_version
    return Version(bytes(told.pubkey), slot, write_version, account, source, received_ns)


class GeyserSource:
    """One Yellowstone server that feeds an ``AccountFeed``; ``run`` is its task."""

    def __init__(
        self,
        endpoint: Endpoint,
        reach: Reach,
        rpc: RpcClient,
        feed: AccountFeed,
        rule: GeyserRule = GEYSER_RULE,
        *,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        random: Callable[[], float] = random_number,
    ) -> None:
        """``endpoint.url``: http(s)://host:port; its headers (``x-token``) go as metadata. ``rpc``: for
        snapshots. ``EndpointError`` NOT_LOOPBACK."""
        parts = urlsplit(endpoint.url)
        if reach is Reach.LOOPBACK and not is_loopback(parts.hostname or ""):
            raise EndpointError(
                EndpointErrorCode.NOT_LOOPBACK,
                f"endpoint {endpoint.name}: {parts.hostname} is not on this machine; paper mode stays on it",
            )
        # A name would be resolved by gRPC itself, past our check.
        host = "127.0.0.1" if parts.hostname == "localhost" else parts.hostname
        self._target = (
            f"[{host}]:{parts.port or 443}" if ":" in (host or "") else f"{host}:{parts.port or 443}"
        )
        self._secure = parts.scheme == "https"
        self.endpoint = endpoint
        self._rpc = rpc
        self._feed = feed
        self._rule = rule
        self._clock_ns = clock_ns
        self._random = random
        self._resume: int | None = None
        self._wanted: dict[bytes, None] = {}
        self._wanted_slot = 0
        self._asked = asyncio.Event()
        self._moved = asyncio.Event()
        self._stands = asyncio.Event()
        self._parent = 0
        self._outgoing: asyncio.Queue[Any] = asyncio.Queue()
        self._told: set[bytes] = set()
        self._again: dict[bytes, None] = {}
        feed.on_reverted.append(self._want)
        feed.on_watched.append(self._rewatch)
        self.live = False
        self.why = ""
        """What it failed by, in words, until it is live again."""
        self.lost: Counter[str] = Counter()
        self.resumed = 0
        self.snapshots = 0
        self.pings = 0

    async def run(self) -> None:
        """Lives until cancelled."""
        failures = 0
        while True:
            was_live = False
            reason = told = "closed"
            channel = self._channel()
            try:
                await self._life(channel)
            except TimeoutError:
                reason = told = "silent"
            except grpc.aio.AioRpcError as error:
                reason = told = error.code().name.lower()
                if _is_slot_refused(error):
                    self._resume = None  # the server keeps no slot so old
            except RpcFault as fault:
                reason, told = "snapshot", why(fault, self.why)
            finally:
                was_live, self.live = self.live, False
                await channel.close()
            self.lost[reason] += 1
            self.why = told.replace("_", " ")
            if was_live:
                self._feed.source_lost(self.endpoint.name, reason)
            failures = 0 if was_live else failures + 1
            await asyncio.sleep(delay_ns(self._rule.backoff, failures, self._random) / 1e9)

    def _channel(self) -> Any:
        options = [
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.enable_http_proxy", 0),
        ]
        if self._secure:
            return grpc.aio.secure_channel(self._target, grpc.ssl_channel_credentials(), options)
        return grpc.aio.insecure_channel(self._target, options)

    async def _life(self, channel: Any) -> None:
        self._stands = asyncio.Event()
        outgoing = self._outgoing = asyncio.Queue()
        self._told = set(self._feed.watches)
        from_slot = self._from_slot()
        outgoing.put_nowait(subscription(list(self._feed.watches), from_slot))
        call = channel.stream_stream(
            METHOD,
            request_serializer=pb.SubscribeRequest.SerializeToString,
            response_deserializer=pb.SubscribeUpdate.FromString,
        )(_requests(outgoing), metadata=self.endpoint.headers)
        worker = asyncio.create_task(self._work(from_slot))
        try:
            while True:
                async with asyncio.timeout(self._rule.silence_ns / 1e9):
                    update = await call.read()
                if update is grpc.aio.EOF:
                    return
                if worker.done():
                    worker.result()
                self._take(update, outgoing)
        finally:
            call.cancel()
            await end_all(worker, expected=(RpcFault,))

    def _from_slot(self) -> int | None:
        """Where to take the stream up again: the last slot seen, as some of it may have been missed."""
        if self._resume is None or self._feed.slots.newest - self._resume > self._rule.resume_slots:
            return None
        return self._resume

    async def _work(self, from_slot: int | None) -> None:
        """Becomes live: by a snapshot, or once the stream has caught up with the chain. Then asks for what
        forks took back, which the server does not tell again."""
        if from_slot is None:
            # A snapshot taken before the server has the request, or of an older slot, would leave a gap.
            await self._stands.wait()
            slot = await self._snapshot(list(self._feed.watches), self._parent)
            self.snapshots += 1
        else:
            slot = await self._rpc.slot(deadline_ns=self._rpc.now_ns + self._rule.snapshot_ns)
            while self._feed.slots.newest < slot:
                self._moved.clear()
                await self._moved.wait()
            self.resumed += 1
        self.live, self.why = True, ""
        self._feed.source_live(self.endpoint.name, slot)
        if self._told != self._feed.watches.keys():
            self._rewatch()  # the watches changed while it became live
        while True:
            try:
                async with asyncio.timeout(REPEAT_S if self._again else None):
                    await self._asked.wait()
            except TimeoutError:
                self._wanted.update(self._again)
                self._again = {}
            self._asked.clear()
            wanted, self._wanted = [one for one in self._wanted if one in self._feed.watches], {}
            await self._snapshot(wanted, self._wanted_slot)

    async def _snapshot(self, pubkeys: list[bytes], min_slot: int) -> int:
        """Accounts as they are at ``min_slot`` or later, and the slot; what was pushed meanwhile is newer and
        stands."""
        slot = 0
        for first in range(0, len(pubkeys), MAX_ACCOUNTS):
            asked = pubkeys[first : first + MAX_ACCOUNTS]
            told = await self._rpc.accounts(
                asked,
                deadline_ns=self._rpc.now_ns + self._rule.snapshot_ns,
                min_context_slot=min_slot or None,
            )
            slot = told.slot
            received_ns = self._clock_ns()
            for pubkey, account in zip(asked, told.accounts, strict=True):
                name = self.endpoint.name
                self._feed.offer(Version(pubkey, slot, 0, account, name, received_ns, snapshot=True))
        return slot

    def _rewatch(self) -> None:
        """Other accounts are watched: the whole filter is sent anew, and what is new asked for."""
        if not self.live:
            self._resume = None  # what was not watched before is in no stream taken up again
            return
        watches = self._feed.watches
        self._outgoing.put_nowait(subscription(list(watches), None))
        added = tuple(watches.keys() - self._told)
        self._want(added, 0)
        self._again.update(dict.fromkeys(added))
        self._told = set(watches)

    def _want(self, pubkeys: tuple[bytes, ...], slot: int) -> None:
        self._wanted.update(dict.fromkeys(pubkeys))
        self._wanted_slot = slot
        self._asked.set()

    def _take(self, update: Any, outgoing: asyncio.Queue[Any]) -> None:
        received_ns = self._clock_ns()
        kind = update.WhichOneof("update_oneof")
        if kind == "account":
            version = version_of(update, self.endpoint.name, received_ns)
            if version is not None and version.pubkey in self._feed.watches:
                self._feed.offer(version)
        elif kind == "slot":
            told = update.slot
            if told.status in (pb.SLOT_PROCESSED, pb.SLOT_CREATED_BANK) and told.HasField("parent"):
                self._feed.advance(told.slot, told.parent, 0, received_ns)
                self._moved.set()
                self._parent = told.parent
                self._stands.set()
                if self.live:
                    self._resume = told.slot
        elif kind == "ping":
            self.pings += 1
            outgoing.put_nowait(pb.SubscribeRequest(ping=pb.SubscribeRequestPing(id=self.pings)))


def _is_slot_refused(error: grpc.aio.AioRpcError) -> bool:
    """Whether a server says that it can't resume at the slot asked for: out_of_range today; internal from
    older servers; invalid_argument and data_loss from other makes."""
    if error.code() is grpc.StatusCode.INTERNAL:
        details = error.details() or ""
        return "last available" in details or "from_slot is not supported" in details
    return error.code() in (
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.DATA_LOSS,
    )


async def _requests(outgoing: asyncio.Queue[Any]) -> AsyncIterator[Any]:
    while True:
        yield await outgoing.get()
