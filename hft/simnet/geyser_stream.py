"""One Yellowstone subscription: what it asks for, and its queue between the cluster and its thread."""

import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from solders.pubkey import Pubkey

from hft.simnet.geyser_log import STATUS_OF, AccountNews, BlockNews, News, pb
from hft.simnet.ledger import Commitment

MAX_UNREAD_BYTES: Final = 64 << 20
MAX_KEYS: Final = 10_000
MAX_SLICES: Final = 16
MAX_NAME: Final = 128
NOT_SERVED: Final = ("transactions", "blocks", "entry", "transactions_status")
_PING: Final = bytes(pb.SubscribeUpdate(ping=pb.SubscribeUpdatePing()).SerializeToString())


class RequestError(ValueError):
    """A request that can't be served; the text says what would be right."""


class _Accounts(NamedTuple):
    name: str
    keys: frozenset[bytes]
    owners: frozenset[bytes]


class _Slots(NamedTuple):
    name: str
    by_commitment: bool
    between: bool


class Filters:
    """What one request asks for. Fields of a filter are all to hold, of a list one is enough; an empty filter
    lets everything pass."""

    def __init__(self, request: Any) -> None:
        """``request``: a SubscribeRequest. ``RequestError`` names what is not served."""
        for name in NOT_SERVED:
            if len(getattr(request, name)):
                raise RequestError(f"{name}: accounts, slots and blocks_meta are served here")
        if any(len(one.filters) for one in request.accounts.values()):
            raise RequestError("accounts.filters: account and owner are served here")
        if request.commitment not in (0, 1, 2):
            raise RequestError(f"commitment {request.commitment}: 0, 1 or 2 are known")
        self.level = Commitment(request.commitment)
        names = [*request.accounts, *request.slots, *request.blocks_meta]
        if any(len(name) > MAX_NAME for name in names):
            raise RequestError(f"a filter's name has at most {MAX_NAME} letters")
        self._accounts = [
            _Accounts(name, _keys(one.account), _keys(one.owner)) for name, one in request.accounts.items()
        ]
        self._slots = [
            _Slots(name, one.filter_by_commitment, one.interslot_updates)
            for name, one in request.slots.items()
        ]
        self._blocks = list(request.blocks_meta)
        self._slices = [(one.offset, one.length) for one in request.accounts_data_slice]
        if len(self._slices) > MAX_SLICES:
            raise RequestError(f"accounts_data_slice: at most {MAX_SLICES}")

    def written(self, news: News) -> bytes | None:
        """The message as this subscription is sent it; ``None`` if no filter lets it pass."""
        if isinstance(news, AccountNews):
            told = news.update
            names = [
                one.name
                for one in self._accounts
                if (not one.keys or told.pubkey in one.keys) and (not one.owners or told.owner in one.owners)
            ]
            return _prefix(names) + news.body(self._cut(told.data)) if names else None
        if isinstance(news, BlockNews):
            return _prefix(self._blocks) + news.body() if self._blocks else None
        own = news.status == STATUS_OF[self.level]
        ends = news.status in STATUS_OF.values()
        names = [one.name for one in self._slots if (own or not one.by_commitment) and (ends or one.between)]
        return _prefix(names) + news.body() if names else None

    def _cut(self, data: bytes) -> bytes:
        if not self._slices:
            return data
        return b"".join(data[offset : offset + length] for offset, length in self._slices)


class Stream:
    """A subscription between two threads: the cluster's puts, the call's own takes."""

    def __init__(self, node: str, ping_s: float) -> None:
        """``node``: the name by which faults meet it; ``ping_s``: seconds between the server's pings."""
        self.node = node
        self.filters: Filters | None = None
        self._ping_s = ping_s
        self._news: deque[bytes] = deque()
        self._unread = 0
        self._silent = False
        self._changed = threading.Condition()
        self._end: tuple[str, str] | None = None

    def put(self, messages: list[bytes], *, silent: bool = False) -> None:
        """Queues messages; a stream that leaves too much unread ends. ``silent``: they wait, in their order,
        until a later call is not."""
        with self._changed:
            self._silent = silent
            self._news.extend(messages)
            self._unread += sum(map(len, messages))
            if self._unread > MAX_UNREAD_BYTES:
                self._news.clear()
                self._end = self._end or ("RESOURCE_EXHAUSTED", f"{MAX_UNREAD_BYTES} bytes are unread")
            self._changed.notify()

    def end(self, code: str, details: str) -> None:
        """Ends the call, once what is queued is sent, with a gRPC status (by name)."""
        with self._changed:
            self._end = self._end or (code, details)
            self._changed.notify()

    def messages(self) -> Iterator[bytes]:
        """What is to be sent, as it comes, pings among it; ends with the stream."""
        ping_at = time.monotonic() + self._ping_s
        while True:
            with self._changed:
                while self._idle() and time.monotonic() < ping_at:
                    self._changed.wait(ping_at - time.monotonic())
                if self._silent and self._end is None:
                    ping_at = time.monotonic() + self._ping_s
                    continue
                batch, self._news = self._news, deque()
                self._unread = 0
                ended = self._end is not None
            yield from batch
            if ended:
                return
            if time.monotonic() >= ping_at:
                ping_at = time.monotonic() + self._ping_s
                yield _PING

    def _idle(self) -> bool:
        return self._end is None and (self._silent or not self._news)

    @property
    def status(self) -> tuple[str, str]:
        """The gRPC status it ended with."""
        return self._end or ("OK", "")


def pong(number: int) -> bytes:
    """The answer to a client's ping."""
    return bytes(pb.SubscribeUpdate(pong=pb.SubscribeUpdatePong(id=number)).SerializeToString())


def _prefix(names: list[str]) -> bytes:
    # A message's fields may come in any order: names first, then the body that all streams share.
    return bytes(pb.SubscribeUpdate(filters=names).SerializeToString())


def _keys(texts: Any) -> frozenset[bytes]:
    if len(texts) > MAX_KEYS:
        raise RequestError(f"{len(texts)} keys in a filter: at most {MAX_KEYS}")
    try:
        return frozenset(bytes(Pubkey.from_string(text)) for text in texts)
    except ValueError as error:
        raise RequestError(f"a filter's key is no base58 key of 32 bytes: {error}") from error
