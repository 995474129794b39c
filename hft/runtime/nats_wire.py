"""NATS's client protocol on a socket of our own: connect, publish in bulk, take answers in bulk.

nats-py costs 79 us a message, most of it a task switch and an object for each; here a burst of messages is
one buffer and a burst of answers one regular expression. It speaks of publishing only: all else, streams and
consumers, is nats-py's.
"""

import contextlib
import json
import re
import select
import socket
import ssl
from typing import Any, Final, NamedTuple

from hft.runtime.nats_address import Server
from hft.runtime.nats_options import ConnectOptions

CONNECT_TIMEOUT_S: Final = 2.0
READ_BYTES: Final = 256 << 10
LINE_LIMIT: Final = 64 << 10

_PROTOCOL = re.compile(rb"(PING|PONG|\+OK|-ERR [^\r]*|INFO [^\r]*)\r\n")
_MESSAGE = re.compile(rb"MSG (\S+) \S+ (?:\S+ )?(\d+)\r\n")
_WITH_HEADERS = re.compile(rb"HMSG (\S+) \S+ (?:\S+ )?(\d+) (\d+)\r\n")
_STATUS = re.compile(rb"NATS/1\.0 (\d+)([^\r]*)")


class WireBroken(Exception):
    """The connection can't be had, or has ended; the text says why."""


class Answer(NamedTuple):
    """What the server says to ``row`` messages of one ticket.

    stream_sequence: the furthest of their places. ``error``: the server's words, empty if all are stored.
    """

    lane: int
    epoch: int
    ticket: int
    row: int
    stream_sequence: int
    duplicates: int
    error: str = ""


class Wire:
    """One connection, never blocking once it is made. ``inbox``: the beginning of every answer's subject."""

    def __init__(self, connection: socket.socket, inbox: bytes) -> None:
        self.inbox = inbox
        self.received = 0
        """Bytes that have come so far."""
        self._socket = connection
        self._out = b""
        self._in = b""
        # What JetStream says when all is well; whatever else comes is looked at piece by piece.
        self._stored = re.compile(
            rb"MSG %b(\d+\.\d+\.\d+) 1 \d+\r\n"
            rb'\{"stream":"[A-Za-z0-9_-]+", ?"seq":(\d+)(, ?"duplicate": ?true)?\}\r\n' % re.escape(inbox)
        )

    @property
    def unsent(self) -> int:
        """Bytes that the socket has not taken yet."""
        return len(self._out)

    def fileno(self) -> int:
        """For a poll."""
        return self._socket.fileno()

    def send(self, data: bytes) -> None:
        """Hand over what is left and ``data``, as far as the socket takes it. Raises WireBroken."""
        self._out = self._out + data if self._out else data
        while self._out:
            try:
                done = self._socket.send(self._out)
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                return
            except OSError as error:
                raise WireBroken(str(error)) from error
            self._out = self._out[done:]

    def receive(self) -> list[Answer]:
        """Every answer that has come, in order. Raises WireBroken."""
        while True:
            try:
                data = self._socket.recv(READ_BYTES)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                break
            except OSError as error:
                raise WireBroken(str(error)) from error
            if not data:
                raise WireBroken("the server has closed the connection")
            self._in += data
            self.received += len(data)
            if len(data) < READ_BYTES and not isinstance(self._socket, ssl.SSLSocket):
                break
        return self._parse() if self._in else []

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def _parse(self) -> list[Answer]:
        """Whole pieces of what has come; the rest waits for more."""
        data, at = self._in, 0
        found: list[Answer] = []
        while at < len(data):
            one = self._stored.match(data, at)
            end = self._other(data, at, found) if one is None else self._row(data, one, found)
            if end == at:
                break
            at = end
        self._in = data[at:]
        if len(self._in) > LINE_LIMIT + READ_BYTES:
            raise WireBroken(f"not the protocol of NATS: {self._in[:40]!r}")
        return found

    def _row(self, data: bytes, first: re.Match[bytes], found: list[Answer]) -> int:
        """Successes that have one ticket, from ``first`` on; where they end."""
        subject = data[first.start() : first.end(1) + 1]
        last = data.rfind(subject)
        whole = data.find(b"}\r\n", last)
        end = (whole if whole >= 0 else data.rfind(b"}\r\n", 0, last)) + 3
        count = data.count(b"\r\n", first.start(), end) // 2
        # What is nothing but successes with places in a row is what the first one says it must be: written
        # anew and compared.
        place = int(first[2])
        pieces = data[first.start() : first.start(2)], data[first.end(2) : first.end()]
        same = b"%d".join(pieces) * count % tuple(range(place, place + count))
        if not first[3] and data.startswith(same, first.start()):
            found.append(_answer_to(first[1], count, place + count - 1, 0))
            return first.start() + len(same)
        places: list[int] = []
        duplicates, end = 0, first.start()
        one: re.Match[bytes] | None = first
        while one is not None and one[1] == first[1]:
            places.append(int(one[2]))
            duplicates += bool(one[3])
            end = one.end()
            one = self._stored.match(data, end)
        found.append(_answer_to(first[1], len(places), max(places), duplicates))
        return end

    def _other(self, data: bytes, at: int, found: list[Answer]) -> int:
        """One piece of the protocol that is not a plain success; where it ends, ``at`` if it is not whole."""
        if (line := _PROTOCOL.match(data, at)) is not None:
            if line[1] == b"PING":
                self.send(b"PONG\r\n")
            elif line[1].startswith(b"-ERR"):
                raise WireBroken(line[1].decode(errors="replace"))
            return line.end()
        head = _MESSAGE.match(data, at) or _WITH_HEADERS.match(data, at)
        if head is None:
            if data.find(b"\r\n", at) >= 0:
                raise WireBroken(f"not the protocol of NATS: {data[at : at + 40]!r}")
            return at
        end = head.end() + int(head.groups()[-1]) + 2
        if end > len(data):
            return at
        with_headers = len(head.groups()) == 3
        content = data[head.end() : end - 2]
        found.append(self._answer(head[1], content, with_headers=with_headers))
        return end

    def _answer(self, subject: bytes, content: bytes, *, with_headers: bool) -> Answer:
        """An answer in any form, errors above all."""
        try:
            lane, epoch, ticket = (int(part) for part in subject.removeprefix(self.inbox).split(b"."))
        except ValueError as error:
            raise WireBroken(f"an answer to {subject!r}, which nobody asked for") from error
        if with_headers:
            status = _STATUS.match(content)
            no_stream = status is not None and status[1] == b"503"
            what = "no stream takes the subject" if no_stream else content[:80].decode(errors="replace")
            return Answer(lane, epoch, ticket, 1, 0, 0, what)
        try:
            said: dict[str, Any] = json.loads(content)
            if "error" in said:
                return Answer(lane, epoch, ticket, 1, 0, 0, json.dumps(said["error"]))
            return Answer(lane, epoch, ticket, 1, int(said["seq"]), bool(said.get("duplicate")))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise WireBroken(f"an answer that is none: {content[:80]!r}") from error


def _answer_to(ticket: bytes, row: int, stream_sequence: int, duplicates: int) -> Answer:
    lane, epoch, number = ticket.split(b".")
    return Answer(int(lane), int(epoch), int(number), row, stream_sequence, duplicates)


def connect(options: ConnectOptions, name: str, inbox: bytes) -> Wire:
    """A connection to the first server that can be reached, subscribed to ``inbox``. Blocks for seconds.

    Raises WireBroken with the reason of each server.
    """
    reasons: list[str] = []
    for server in options.servers:
        try:
            return _connect(server, options, name, inbox)
        except (OSError, ValueError, WireBroken) as error:
            reasons.append(f"{server.url}: {error}")
    raise WireBroken("; ".join(reasons))


def _connect(server: Server, options: ConnectOptions, name: str, inbox: bytes) -> Wire:
    raw = socket.create_connection((server.host, server.port), CONNECT_TIMEOUT_S)
    try:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        information: dict[str, Any] = json.loads(_line(raw).removeprefix(b"INFO "))
        connection: socket.socket = raw
        if options.tls is not None:
            if not information.get("tls_required"):
                raise WireBroken("the server does not speak TLS, and the address demands it")
            connection = options.tls.wrap_socket(raw, server_hostname=server.host)
        said = {
            "verbose": False,
            "pedantic": False,
            "name": name,
            "lang": "python",
            "version": "hft",
            "protocol": 1,
            "headers": True,
            "no_responders": True,
        }
        if options.identity is not None:
            said |= options.identity.login(information.get("nonce", ""))
        hello = b"CONNECT %b\r\nSUB %b> 1\r\nPING\r\n" % (json.dumps(said).encode(), inbox)
        connection.sendall(hello)
        while (line := _line(connection)) != b"PONG":
            if line.startswith(b"-ERR"):
                raise WireBroken(line.decode(errors="replace"))
        connection.setblocking(False)
        return Wire(connection, inbox)
    except BaseException:
        with contextlib.suppress(OSError):
            raw.close()
        raise


def _line(connection: socket.socket) -> bytes:
    """One line, byte by byte: what follows it may belong to TLS."""
    line = b""
    while not line.endswith(b"\r\n"):
        byte = connection.recv(1)
        if not byte or len(line) > LINE_LIMIT:
            raise WireBroken("the server does not speak as NATS does")
        line += byte
    return line[:-2]


def wait(wire: Wire | None, wake: int, timeout_ms: float) -> None:
    """Sleep until the connection or ``wake`` (a descriptor) has something, or the time has passed."""
    poll = select.poll()
    poll.register(wake, select.POLLIN)
    if wire is not None:
        poll.register(wire.fileno(), select.POLLIN | (select.POLLOUT if wire.unsent else 0))
    poll.poll(timeout_ms)
