"""The client of the local cluster: a non-blocking Unix-domain socket, polled from duty cycles.

A Unix socket has no address outside this machine: paper mode reaches no other cluster by construction.
"""

import errno
import select
import socket
import time
from collections import deque
from collections.abc import Callable
from enum import IntEnum
from typing import Final, NamedTuple

from hft.chain.frames import (
    MAX_PAYLOAD,
    BalancesRequest,
    ClusterFault,
    Event,
    FrameBuffer,
    FrameError,
    StatusRequest,
    Submit,
    Subscribe,
    request_frame,
)

BUFFER_BYTES: Final = 1 << 20
MAX_UNSENT_BYTES: Final = 64 * 1024
RETRY_NS: Final = 10_000_000
_ABSENT: Final = (errno.ENOENT, errno.ECONNREFUSED, errno.EAGAIN)


class ClusterErrorCode(IntEnum):
    """Why the local cluster could not be used."""

    UNREACHABLE = 1
    NOT_CONNECTED = 2
    BUFFER_FULL = 3
    TOO_LARGE = 4


class ClusterError(Exception):
    """The local cluster could not be used; ``code`` says why, the text names the socket and what would be
    right."""

    def __init__(self, code: ClusterErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class ClusterClosed(NamedTuple):
    """The connection ended; delivered once to the handler of ``poll``. Whether what was submitted landed is
    unknown."""

    reason: str


class LocalCluster:
    """One connection to the local cluster's socket. All methods but ``connect`` and ``wait`` return at
    once."""

    def __init__(self, path: str, *, monotonic_ns: Callable[[], int] = time.monotonic_ns) -> None:
        """``path``: the socket's file. ``monotonic_ns``: the clock by which ``connect`` keeps its
        deadline."""
        self.path = str(path)
        self._monotonic_ns = monotonic_ns
        self._socket: socket.socket | None = None
        self._buffer = FrameBuffer(MAX_PAYLOAD, BUFFER_BYTES)
        self._unsent: deque[memoryview] = deque()
        self._unsent_bytes = 0
        self._partly_sent = False
        self._closed: ClusterClosed | None = None
        self._requests = 0

    @property
    def connected(self) -> bool:
        """Whether the connection stands as far as this side knows."""
        return self._socket is not None

    @property
    def unsent_bytes(self) -> int:
        """Bytes of requests that the kernel has not taken yet."""
        return self._unsent_bytes

    def fileno(self) -> int:
        """The socket's descriptor, or -1."""
        return -1 if self._socket is None else self._socket.fileno()

    def try_connect(self) -> bool:
        """One attempt to connect, without waiting; ``True`` if connected (also if it was already)."""
        if self._socket is not None:
            return True
        attempt = socket.socket(
            socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        )
        try:
            attempt.connect(self.path)
        except OSError as error:
            attempt.close()
            if error.errno in _ABSENT:
                return False
            raise ClusterError(
                ClusterErrorCode.UNREACHABLE,
                f"local cluster at {self.path}: {error}; a Unix socket belongs there",
            ) from error
        self._socket = attempt
        self._buffer = FrameBuffer(MAX_PAYLOAD, BUFFER_BYTES)
        self._closed = None
        return True

    def connect(self, deadline_ns: int | None = None) -> None:
        """Connects, trying until ``deadline_ns`` on the clock given (once if ``None``); for start-up only.

        ``ClusterError`` UNREACHABLE if the cluster does not answer by then.
        """
        while not self.try_connect():
            left = 0 if deadline_ns is None else deadline_ns - self._monotonic_ns()
            if left <= 0:
                raise ClusterError(
                    ClusterErrorCode.UNREACHABLE,
                    f"local cluster at {self.path} does not answer: is simnet running?",
                )
            select.select([], [], [], min(left, RETRY_NS) / 1e9)

    def subscribe_accounts(self) -> None:
        """Asks for all accounts as they are, then for every change, slot and blockhash."""
        self._request(request_frame(Subscribe(accounts=True)))

    def follow_slots(self) -> None:
        """Asks for the current slot with its blockhash and for every one after it, but for no accounts."""
        self._request(request_frame(Subscribe(accounts=False)))

    def submit(self, transaction: bytes) -> None:
        """Hands signed bytes over: written whole if the kernel takes them, else kept and written by ``poll``.

        ``ClusterError``: NOT_CONNECTED, BUFFER_FULL (``MAX_UNSENT_BYTES`` wait already), TOO_LARGE.
        """
        try:
            frame = request_frame(Submit(transaction))
        except FrameError as error:
            raise ClusterError(ClusterErrorCode.TOO_LARGE, str(error)) from error
        self._request(frame)

    def balances(self, wallet: bytes) -> int:
        """Asks what ``wallet`` (32 bytes) owns; returns the request's number, which the ``Balances`` event
        bears."""
        self._requests += 1
        self._request(request_frame(BalancesRequest(self._requests, wallet)))
        return self._requests

    def ask_status(self, signature: bytes) -> None:
        """Asks what became of a transaction by its first signature (64 bytes).

        A ``SettlementStatus`` answers: the one that was told when it was executed or rejected (the newest few
        thousand are kept), else one of outcome UNKNOWN, named Pending or NotFound.
        """
        self._request(request_frame(StatusRequest(signature)))

    def abandon_unsent(self) -> int:
        """Forgets every request that waits to be written, so that nothing more reaches the socket; returns
        how many.

        A request half written can't be taken back: then the connection is closed, and the cluster ignores the
        half.
        """
        count = len(self._unsent)
        partly = self._partly_sent
        self._forget_unsent()
        if partly:
            self._drop("a half-written request was abandoned")
        return count

    def poll(self, handler: Callable[[Event | ClusterClosed], None], limit: int = 256) -> int:
        """Writes what waits, reads what came, and hands at most ``limit`` events to ``handler``; returns how
        many."""
        if self._socket is not None and self._unsent:
            self._flush()
        count = 0
        while count < limit:
            try:
                event = self._buffer.next_event()
            except FrameError as error:
                self._drop(f"the cluster sent a bad frame: {error}")
                self._buffer = FrameBuffer(MAX_PAYLOAD, BUFFER_BYTES)
                break
            if event is None:
                if self._receive():
                    continue
                break
            handler(event)
            count += 1
            if isinstance(event, ClusterFault):
                self._drop(f"the cluster closed the connection: {event.message}")
        if self._closed is not None and count < limit:
            closed, self._closed = self._closed, None
            handler(closed)
            count += 1
        return count

    def wait(self, timeout_ns: int) -> None:
        """Sleeps until something can be read (or written, if requests wait), at most ``timeout_ns``."""
        if self._socket is None:
            select.select([], [], [], timeout_ns / 1e9)
            return
        if self._buffer.has_frame():
            return
        poller = select.poll()
        poller.register(self._socket, select.POLLIN | (select.POLLOUT if self._unsent else 0))
        poller.poll(timeout_ns / 1e6)

    def close(self) -> None:
        """Closes the connection; no event follows."""
        self._forget_unsent()
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._closed = None

    def _request(self, frame: bytes) -> None:
        if self._socket is None:
            raise ClusterError(
                ClusterErrorCode.NOT_CONNECTED,
                f"local cluster at {self.path} is not connected: connect first",
            )
        if self._unsent_bytes + len(frame) > MAX_UNSENT_BYTES:
            raise ClusterError(
                ClusterErrorCode.BUFFER_FULL,
                f"{self._unsent_bytes} bytes wait for the local cluster: at most {MAX_UNSENT_BYTES} may",
            )
        self._unsent.append(memoryview(frame))
        self._unsent_bytes += len(frame)
        self._flush()

    def _flush(self) -> None:
        while self._socket is not None and self._unsent:
            head = self._unsent[0]
            try:
                sent = self._socket.send(head, socket.MSG_NOSIGNAL)
            except BlockingIOError:
                return
            except OSError as error:
                self._drop(f"writing failed: {error}")
                return
            self._unsent_bytes -= sent
            if sent == len(head):
                self._unsent.popleft()
                self._partly_sent = False
            else:
                self._unsent[0] = head[sent:]
                self._partly_sent = True

    def _receive(self) -> bool:
        """Receives once; ``False`` if nothing came."""
        if self._socket is None:
            return False
        try:
            count = self._socket.recv_into(self._buffer.space())
        except BlockingIOError:
            return False
        except OSError as error:
            self._drop(f"reading failed: {error}")
            return False
        if count == 0:
            held = self._buffer.held
            self._drop(
                "the cluster closed the connection" + (f" within a frame ({held} bytes)" if held else "")
            )
            return False
        self._buffer.received(count)
        return True

    def _forget_unsent(self) -> None:
        self._unsent.clear()
        self._unsent_bytes = 0
        self._partly_sent = False

    def _drop(self, reason: str) -> None:
        self._forget_unsent()
        if self._socket is not None:
            self._socket.close()
            self._socket = None
            self._closed = ClusterClosed(reason)
