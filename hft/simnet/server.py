"""The local cluster's socket: several clients, each with bounded buffers, none of them able to
hold up another.

A client that breaks the protocol, reads too slowly or asks too much is dropped, with a counted reason.
"""

import errno
import select
import socket
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Final

from hft.chain.frames import (
    MAX_REQUEST,
    ClusterFault,
    FrameBuffer,
    FrameError,
    Request,
    fault_frame,
)

MAX_CLIENTS: Final = 32
MAX_UNREAD_BYTES: Final = 32 << 20  # a snapshot of all sets has about 5 MiB
REQUESTS_AT_ONCE: Final = 64
BACKLOG: Final = 64
_CHUNKS_AT_ONCE: Final = 64
_SEND_BUFFER_BYTES: Final = 4 << 20


class DropReason(StrEnum):
    """Why a client was dropped."""

    SLOW = "slow"
    BAD_FRAME = "bad_frame"
    TOO_MANY = "too_many"
    BROKEN = "broken"


class Client:
    """One connection, and what it wants to be told."""

    def __init__(self, connection: socket.socket) -> None:
        """``connection``: non-blocking."""
        self.connection = connection
        self.wants_slots = False
        self.wants_accounts = False
        self.incoming = FrameBuffer(MAX_REQUEST, 16 * MAX_REQUEST)
        self.outgoing: deque[memoryview] = deque()
        self.unread = 0
        self.blocked = False


class Server:
    """Serves a Unix stream socket. ``handler(client, request)`` is called from ``poll`` for every request."""

    def __init__(self, path: Path, handler: Callable[[Client, Request], None]) -> None:
        """Listens on ``path``; a socket file that nobody serves any more is replaced.

        ``OSError`` EADDRINUSE if another cluster serves it, or as the system gives it.
        """
        self._path = path
        self._handler = handler
        self.dropped: Counter[DropReason] = Counter()
        self.closed = 0
        self._clients: dict[int, Client] = {}
        self._poll = select.epoll()
        self._listener = _listen(path)
        self._poll.register(self._listener, select.EPOLLIN)

    @property
    def clients(self) -> int:
        """Connections that stand."""
        return len(self._clients)

    @property
    def unread_bytes(self) -> int:
        """Bytes that clients have not taken yet."""
        return sum(client.unread for client in self._clients.values())

    def fileno(self) -> int:
        """A descriptor that is readable when ``poll`` has something to do."""
        return self._poll.fileno()

    def poll(self) -> int:
        """Accepts, reads and writes what is ready; returns how many requests were handled."""
        return self._serve(0.0)

    def wait(self, timeout_ns: int) -> None:
        """Sleeps until a client needs something, at most ``timeout_ns``; ``poll`` then does it."""
        self._poll.poll(timeout_ns / 1e9, 1)

    def send(self, client: Client, data: bytes) -> None:
        """Sends whole frames to one client; one that has too much unread already is dropped."""
        if client.connection.fileno() < 0:
            return
        if client.unread + len(data) > MAX_UNREAD_BYTES:
            self._drop(client, DropReason.SLOW, f"{client.unread} bytes are unread")
            return
        waiting = bool(client.outgoing)
        client.outgoing.append(memoryview(data))
        client.unread += len(data)
        if not waiting:
            self._flush(client)

    def broadcast_slot(self, data: bytes) -> None:
        """Sends whole frames to every client that wants slots."""
        for client in list(self._clients.values()):
            if client.wants_slots:
                self.send(client, data)

    def broadcast_accounts(self, data: bytes) -> None:
        """Sends whole frames to every client that wants accounts."""
        for client in list(self._clients.values()):
            if client.wants_accounts:
                self.send(client, data)

    def close(self) -> None:
        """Closes everything and takes the socket file away."""
        for client in list(self._clients.values()):
            self._forget(client)
        self._poll.close()
        self._listener.close()
        self._path.unlink(missing_ok=True)

    def _serve(self, timeout: float) -> int:
        handled = 0
        for descriptor, events in self._poll.poll(timeout):
            client = self._clients.get(descriptor)
            if client is None:
                if descriptor == self._listener.fileno():
                    self._accept()
                continue
            if events & select.EPOLLOUT:
                self._flush(client)
            if events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
                handled += self._read(client)
        return handled

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        client = Client(connection)
        self._clients[connection.fileno()] = client
        self._poll.register(connection, select.EPOLLIN)
        if len(self._clients) > MAX_CLIENTS:
            self._drop(client, DropReason.TOO_MANY, f"{MAX_CLIENTS} clients are served at once")

    def _read(self, client: Client) -> int:
        """Reads once and handles what came; the rest waits for the next poll, so that clients take turns."""
        try:
            count = client.connection.recv_into(client.incoming.space())
        except BlockingIOError:
            return 0
        except OSError:
            self._drop(client, DropReason.BROKEN, "")
            return 0
        if count == 0:
            if client.incoming.held:
                self._drop(client, DropReason.BROKEN, "")
            else:
                self.closed += 1
                self._forget(client)
            return 0
        client.incoming.received(count)
        handled = 0
        try:
            while client.connection.fileno() >= 0:
                request = client.incoming.next_request()
                if request is None:
                    break
                self._handler(client, request)
                handled += 1
        except FrameError as error:
            self._drop(client, DropReason.BAD_FRAME, str(error))
        return handled

    def _flush(self, client: Client) -> None:
        while client.outgoing:
            chunks: Sequence[memoryview] = [
                client.outgoing[n] for n in range(min(len(client.outgoing), _CHUNKS_AT_ONCE))
            ]
            try:
                sent = client.connection.sendmsg(chunks, (), socket.MSG_NOSIGNAL)
            except BlockingIOError:
                self._watch_writes(client, True)
                return
            except OSError:
                self._drop(client, DropReason.BROKEN, "")
                return
            client.unread -= sent
            while sent:
                head = client.outgoing.popleft()
                if sent < len(head):
                    client.outgoing.appendleft(head[sent:])
                    break
                sent -= len(head)
        self._watch_writes(client, False)

    def _watch_writes(self, client: Client, blocked: bool) -> None:
        if client.blocked != blocked:
            client.blocked = blocked
            self._poll.modify(client.connection, select.EPOLLIN | (select.EPOLLOUT if blocked else 0))

    def _drop(self, client: Client, reason: DropReason, why: str) -> None:
        """Ends the connection; if nothing else waits to be written, the client is told why."""
        self.dropped[reason] += 1
        if why and not client.outgoing:
            with suppress(OSError):
                client.connection.send(fault_frame(ClusterFault(list(DropReason).index(reason), why)))
        self._forget(client)

    def _forget(self, client: Client) -> None:
        descriptor = client.connection.fileno()
        if descriptor in self._clients:
            del self._clients[descriptor]
            self._poll.unregister(descriptor)
        client.wants_slots = client.wants_accounts = False
        client.outgoing.clear()
        client.unread = 0
        client.connection.close()


def _listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        try:
            listener.bind(str(path))
        except OSError as error:
            if error.errno != errno.EADDRINUSE or _is_served(path):
                raise
            path.unlink()
            listener.bind(str(path))
        path.chmod(0o600)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _is_served(path: Path) -> bool:
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        probe.connect(str(path))
    except OSError as error:
        return error.errno == errno.EAGAIN
    else:
        return True
    finally:
        probe.close()
