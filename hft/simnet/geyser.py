"""The local cluster's Yellowstone door: ``geyser.Geyser/Subscribe`` by gRPC on a loopback port.

Serves accounts, slots and block metadata at each commitment, pings, and ``from_slot`` over a bounded history.
Each call has a thread of its own; what the cluster has to say is filtered on the cluster's thread and queued,
so that a slow reader holds up nobody. A fork's loss is told as dead slots: accounts are not told again, as on
a validator. Needs the extra ``yellowstone``.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final

import grpc

from hft.runtime.exit_codes import ExitCode, HftError
from hft.simnet.cluster import Cluster, Listener
from hft.simnet.events import AccountUpdate, SlotUpdate
from hft.simnet.geyser_log import STATUS_OF, AccountNews, BlockNews, GeyserLog, News, SlotNews, pb
from hft.simnet.geyser_stream import Filters, RequestError, Stream, pong
from hft.simnet.ledger import DEPTHS, Commitment

HOST: Final = "127.0.0.1"
MAX_STREAMS: Final = 16
MAX_REQUEST_BYTES: Final = 4 << 20
PING_S: Final = 15.0
STOP_S: Final = 1.0

Soon = Callable[[Callable[[], None]], None]


class GeyserDoor(Listener):
    """See the module. Everything but ``_subscribe`` runs on the cluster's thread."""

    def __init__(self, cluster: Cluster, soon: Soon, *, ping_s: float = PING_S) -> None:
        """``soon`` has a call made on the cluster's thread, from any thread."""
        self._cluster = cluster
        self._bank = cluster.bank
        self._soon = soon
        self._ping_s = ping_s
        self._log = GeyserLog()
        self._streams: list[Stream] = []
        self._transactions = cluster.ledger.count
        self._told = dict.fromkeys(Commitment, cluster.bank.slot - 1)
        self._reverted = False
        self._server: grpc.Server | None = None
        self.port = 0

    @property
    def streams(self) -> int:
        """Subscriptions that stand."""
        return len(self._streams)

    def open(self, port: int) -> int:
        """Listens on a loopback port (0: a free one); returns it. ``HftError`` PORT_TAKEN."""
        server = grpc.server(
            ThreadPoolExecutor(MAX_STREAMS, thread_name_prefix="geyser"),
            maximum_concurrent_rpcs=MAX_STREAMS,
            options=[("grpc.max_receive_message_length", MAX_REQUEST_BYTES), ("grpc.so_reuseport", 0)],
        )
        handler = grpc.stream_stream_rpc_method_handler(
            self._subscribe, request_deserializer=pb.SubscribeRequest.FromString
        )
        service = grpc.method_handlers_generic_handler("geyser.Geyser", {"Subscribe": handler})
        server.add_generic_rpc_handlers((service,))
        try:
            self.port = server.add_insecure_port(f"{HOST}:{port}")
        except RuntimeError as error:
            raise HftError(
                f"gRPC port {port} of {HOST} is in use by another program", ExitCode.PORT_TAKEN
            ) from error
        server.start()
        self._server = server
        self._cluster.listeners.append(self)
        return self.port

    def close(self) -> None:
        """Ends every call."""
        if self._server is None:
            return
        self._cluster.listeners.remove(self)
        for stream in self._streams:
            stream.end("UNAVAILABLE", "the local cluster stops")
        self._server.stop(STOP_S).wait(2 * STOP_S)
        self._server = None

    def on_accounts(self, changes: list[AccountUpdate]) -> None:
        """Tells accounts written; not those that a lost fork gave back."""
        if self._reverted:
            self._reverted = False
            return
        self._tell(self._bank.slot, [AccountNews(update) for update in changes])

    def on_slot(self, update: SlotUpdate) -> None:
        """Tells the block that ended, the slot that begins, and what became confirmed and final by it."""
        self._reverted = False
        block = self._bank.blocks[update.slot]
        self._log.begin(update.slot)
        ended = self._bank.blocks.get(block.parent)
        if ended is not None and ended.slot > self._told[Commitment.PROCESSED]:
            before, self._transactions = self._transactions, self._cluster.ledger.count
            parent_hash = self._bank.block_at(ended.parent).blockhash
            landed = max(self._transactions - before, 0)
            self._tell(ended.slot, [BlockNews(ended, parent_hash, landed)])
        for level in Commitment:
            deep = max(DEPTHS[level], 1)
            self._reach(level, self._bank.block_at(update.slot - deep).slot)
        self._tell(update.slot, [SlotNews(update.slot, block.parent, pb.SLOT_CREATED_BANK)])

    def on_revert(self, slot: int) -> None:
        """What came after ``slot`` is dead."""
        self._reverted = True
        for dead in self._log.dead_after(slot):
            self._tell(dead, [SlotNews(dead, slot, pb.SLOT_DEAD)])
        for level in Commitment:
            self._told[level] = min(self._told[level], slot)
        self._transactions = self._cluster.ledger.count

    def on_cut(self, node: str) -> None:
        """Breaks the streams of a node, or all."""
        for stream in self._streams:
            if node in ("", stream.node):
                stream.end("UNAVAILABLE", "cut on demand")

    def _subscribe(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[bytes]:
        """One call, on a thread of its own. Its ``x-token`` is the node by which faults meet it."""
        metadata = {str(name): value for name, value in context.invocation_metadata()}
        stream = Stream(str(metadata.get("x-token", "")), self._ping_s)
        context.add_callback(lambda: stream.end("CANCELLED", "the client went"))
        reader = threading.Thread(target=self._read, args=(stream, requests), daemon=True)
        reader.start()
        try:
            yield from stream.messages()
        finally:
            self._soon(lambda: self._forget(stream))
        code, details = stream.status
        context.abort(grpc.StatusCode[code], details)

    def _read(self, stream: Stream, requests: Iterator[Any]) -> None:
        with suppress(grpc.RpcError, StopIteration):
            while True:
                request = next(requests)
                self._soon(lambda asked=request: self._take(stream, asked))  # type: ignore[misc]

    def _take(self, stream: Stream, request: Any) -> None:
        """A client's message: a ping, or what it wants from now on."""
        if request.HasField("ping"):
            stream.put([pong(request.ping.id)])
            return
        try:
            filters = Filters(request)
        except RequestError as error:
            stream.end("INVALID_ARGUMENT", str(error))
            return
        if request.HasField("from_slot"):
            wanted, oldest = request.from_slot, self._log.oldest or self._bank.slot + 1
            if wanted < oldest:
                details = f"broadcast from {wanted} is not available, last available: {oldest}"
                stream.end("OUT_OF_RANGE", details)
                return
            told = self._log.since(wanted)
            self._put(stream, filters, [news for slot, news in told if self._due(filters, slot, news)])
        stream.filters = filters
        if stream not in self._streams:
            self._streams.append(stream)

    def _forget(self, stream: Stream) -> None:
        if stream in self._streams:
            self._streams.remove(stream)

    def _reach(self, level: Commitment, slot: int) -> None:
        """Blocks up to ``slot`` are at a commitment now."""
        for past in [past for past in self._bank.blocks if self._told[level] < past <= slot]:
            self._told[level] = past
            for stream in self._streams:
                filters = stream.filters
                if level and filters is not None and filters.level is level:
                    held = [news for news in self._log.of(past) if not isinstance(news, SlotNews)]
                    self._put(stream, filters, held)
            self._tell(past, [SlotNews(past, self._bank.blocks[past].parent, STATUS_OF[level])])

    def _due(self, filters: Filters, slot: int, news: News) -> bool:
        """Whether a subscription is told this already; what became of slots always, all else at its level."""
        at_once = isinstance(news, SlotNews) or filters.level is Commitment.PROCESSED
        return at_once or slot <= self._told[filters.level]

    def _tell(self, slot: int, told: list[News]) -> None:
        for news in told:
            self._log.add(slot, news)
        for stream in self._streams:
            filters = stream.filters
            if filters is not None:
                self._put(stream, filters, [news for news in told if self._due(filters, slot, news)])

    def _put(self, stream: Stream, filters: Filters, told: Sequence[News]) -> None:
        faults = self._cluster.faults
        silent = bool(faults.standing) and faults.find("silent_websocket", stream.node) is not None
        stream.put([text for news in told if (text := filters.written(news)) is not None], silent=silent)
