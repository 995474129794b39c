"""The local cluster's socket and its client, over a real Unix socket: a bad client harms nobody else."""

import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hft.chain.frames import (
    HEADER,
    MAX_REQUEST,
    AccountUpdate,
    Balances,
    BalancesRequest,
    ClusterFault,
    Event,
    Kind,
    Request,
    SlotUpdate,
    Submit,
    Subscribe,
    account_frame,
    balances_frame,
    request_frame,
    slot_frame,
)
from hft.chain.local import (
    MAX_UNSENT_BYTES,
    ClusterClosed,
    ClusterError,
    ClusterErrorCode,
    LocalCluster,
)
from hft.simnet.server import MAX_CLIENTS, MAX_UNREAD_BYTES, Client, DropReason, Server

SLOT = SlotUpdate(7, 7, 157, 1, bytes(32))
DEADLINE_S = 20.0


class Peer:
    """A server stepped by hand, which keeps what it was asked and answers balances."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.requests: list[Request] = []
        self.server = Server(path, self.handle)

    def handle(self, client: Client, request: Request) -> None:
        self.requests.append(request)
        if isinstance(request, BalancesRequest):
            self.server.send(client, balances_frame(Balances(request.request, request.wallet, 7, 5, ())))
        if isinstance(request, Subscribe):
            client.wants_slots, client.wants_accounts = True, request.accounts

    def until(self, condition: Callable[[], bool], step: Callable[[], object] = lambda: None) -> None:
        """Serves, and steps the client, until the condition holds."""
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline, "the condition did not come about"
            self.server.wait(1_000_000)
            self.server.poll()
            step()


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[Peer]:
    """A server on a socket in a folder of its own."""
    peer = Peer(tmp_path / "cluster.sock")
    yield peer
    peer.server.close()


@pytest.fixture
def client(peer: Peer) -> Iterator[LocalCluster]:
    """A connected client."""
    client = LocalCluster(str(peer.path))
    client.connect(time.monotonic_ns() + 10**9)
    yield client
    client.close()


def raw_client(peer: Peer) -> socket.socket:
    """A connection without the client's manners."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(DEADLINE_S)
    connection.connect(str(peer.path))
    return connection


def asks(peer: Peer, client: LocalCluster) -> bool:
    """Whether the client gets an answer: that is, whether the server still serves it."""
    events: list[Event | ClusterClosed] = []
    number = client.balances(bytes(32))
    peer.until(lambda: bool(events), lambda: client.poll(events.append))
    return isinstance(events[-1], Balances) and events[-1].request == number


def test_requests_arrive_and_answers_come_back(peer: Peer, client: LocalCluster) -> None:
    client.submit(b"signed bytes")
    client.follow_slots()
    assert asks(peer, client)
    assert peer.requests[:2] == [Submit(b"signed bytes"), Subscribe(False)]
    events: list[Event | ClusterClosed] = []
    peer.server.broadcast_slot(slot_frame(SLOT))
    peer.server.broadcast_accounts(account_frame(AccountUpdate(1, 1, bytes(32), bytes(32), 1, b"", True)))
    peer.until(lambda: len(events) >= 1, lambda: client.poll(events.append))
    assert events == [SLOT], "who follows slots alone gets no accounts"


def test_large_streams_arrive_whole_and_in_order(peer: Peer, client: LocalCluster) -> None:
    client.subscribe_accounts()
    assert asks(peer, client)
    data = random.Random(1).randbytes(10_000)
    sent = [
        AccountUpdate(1, n, n.to_bytes(32, "little"), bytes(32), n, data[: n * 5], True) for n in range(2000)
    ]
    peer.server.broadcast_accounts(b"".join(account_frame(update) for update in sent))
    assert peer.server.unread_bytes > 0, "more than the kernel takes at once"
    events: list[Event | ClusterClosed] = []
    peer.until(lambda: len(events) >= len(sent), lambda: client.poll(events.append, 7))
    assert events == sent
    peer.until(lambda: peer.server.unread_bytes == 0)


@pytest.mark.parametrize(
    "garbage",
    [
        HEADER.pack(MAX_REQUEST + 1, Kind.SUBMIT),
        HEADER.pack(2**32 - 1, Kind.SUBMIT) + b"x" * 100,
        HEADER.pack(3, Kind.ACCOUNT) + b"abc",
        HEADER.pack(0, 99),
        HEADER.pack(7, Kind.SUBSCRIBE) + b"1234567",
        HEADER.pack(4, Kind.BALANCES_REQUEST) + b"abcd",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
    ids=["oversize", "giant", "server's kind", "unknown kind", "long subscribe", "short request", "http"],
)
def test_garbage_ends_that_connection_alone(peer: Peer, client: LocalCluster, garbage: bytes) -> None:
    bad = raw_client(peer)
    bad.sendall(request_frame(Submit(b"before")) + garbage)
    peer.until(lambda: peer.server.dropped[DropReason.BAD_FRAME] == 1)
    assert peer.requests == [Submit(b"before")], "what came whole before the garbage counts"
    told = b""
    while chunk := bad.recv(4096):
        told += chunk
    assert told[4] == Kind.ERROR
    bad.close()
    assert asks(peer, client)


def test_random_bytes_from_many_clients_harm_nobody_else(peer: Peer, client: LocalCluster) -> None:
    generator = random.Random(9)
    for _ in range(60):
        bad = raw_client(peer)
        bad.sendall(generator.randbytes(generator.randrange(1, 3000)))
        peer.server.poll()
        bad.close()
    peer.until(lambda: peer.server.clients == 1)
    assert asks(peer, client)


def test_a_disconnect_within_a_frame_loses_nothing_for_others(peer: Peer, client: LocalCluster) -> None:
    bad = raw_client(peer)
    frame = request_frame(Submit(b"y" * 500))
    bad.sendall(frame + frame[:100])
    peer.until(lambda: len(peer.requests) == 1)
    bad.close()
    peer.until(lambda: peer.server.dropped[DropReason.BROKEN] == 1)
    assert peer.requests == [Submit(b"y" * 500)]
    assert asks(peer, client)


def test_a_slow_reader_is_dropped_and_counted_while_others_get_everything(
    peer: Peer, client: LocalCluster
) -> None:
    slow = raw_client(peer)
    slow.sendall(request_frame(Subscribe(True)))
    client.subscribe_accounts()
    peer.until(lambda: len(peer.requests) == 2)
    frame = account_frame(AccountUpdate(1, 1, bytes(32), bytes(32), 1, bytes(200_000), True))
    events: list[Event | ClusterClosed] = []
    sent = 0
    while peer.server.dropped[DropReason.SLOW] == 0:
        peer.server.broadcast_accounts(frame)
        sent += 1
        assert sent * len(frame) < 2 * MAX_UNREAD_BYTES
        client.poll(events.append)
        peer.server.poll()
    peer.until(lambda: len(events) >= sent, lambda: client.poll(events.append))
    assert peer.server.clients == 1
    assert asks(peer, client)
    slow.close()


def test_more_clients_than_are_served_are_told_so(peer: Peer) -> None:
    kept = [raw_client(peer) for _ in range(MAX_CLIENTS)]
    peer.until(lambda: peer.server.clients == MAX_CLIENTS)
    extra = LocalCluster(str(peer.path))
    extra.connect()
    events: list[Event | ClusterClosed] = []
    peer.until(lambda: len(events) >= 2, lambda: extra.poll(events.append))
    fault, closed = events
    assert isinstance(fault, ClusterFault)
    assert str(MAX_CLIENTS) in fault.message
    assert isinstance(closed, ClusterClosed)
    assert peer.server.dropped[DropReason.TOO_MANY] == 1
    for connection in kept:
        connection.close()


def test_a_socket_in_use_is_not_taken_and_a_dead_one_is(peer: Peer, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="in use"):
        Server(peer.path, peer.handle)
    dead = tmp_path / "dead.sock"
    leftover = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    leftover.bind(str(dead))
    leftover.close()
    server = Server(dead, peer.handle)
    assert oct(os.stat(dead).st_mode)[-3:] == "600"
    server.close()
    assert not dead.exists()


def test_a_client_without_a_cluster_says_so(tmp_path: Path) -> None:
    client = LocalCluster(str(tmp_path / "nobody.sock"))
    assert client.try_connect() is False
    for call in (lambda: client.connect(time.monotonic_ns() + 30_000_000), client.follow_slots):
        with pytest.raises(ClusterError) as caught:
            call()
        assert caught.value.code in (ClusterErrorCode.UNREACHABLE, ClusterErrorCode.NOT_CONNECTED)
        assert str(tmp_path) in str(caught.value)
    assert client.poll(print) == 0
    (tmp_path / "file").write_text("no socket")
    assert LocalCluster(str(tmp_path / "file")).try_connect() is False


def test_a_cluster_that_comes_late_is_found(tmp_path: Path) -> None:
    path = tmp_path / "late.sock"
    client = LocalCluster(str(path))
    thread = threading.Thread(target=lambda: client.connect(time.monotonic_ns() + 20 * 10**9))
    thread.start()
    late = Peer(path)
    thread.join(DEADLINE_S)
    assert client.connected
    assert asks(late, client)
    client.close()
    late.server.close()


def test_the_end_of_the_cluster_is_told_once_and_reconnecting_works(peer: Peer, client: LocalCluster) -> None:
    client.follow_slots()
    peer.until(lambda: peer.server.clients == 1 and len(peer.requests) == 1)
    peer.server.close()
    events: list[Event | ClusterClosed] = []
    deadline = time.monotonic() + DEADLINE_S
    while not events and time.monotonic() < deadline:
        client.wait(1_000_000)
        client.poll(events.append)
    assert [type(event) for event in events] == [ClusterClosed]
    assert not client.connected
    assert client.poll(events.append) == 0
    peer.server = Server(peer.path, peer.handle)
    assert client.try_connect()
    assert asks(peer, client)


@pytest.mark.parametrize(
    ("sent", "word"),
    [
        (HEADER.pack(2**31, Kind.ACCOUNT), "announces"),
        (HEADER.pack(1, Kind.SLOT) + b"x", "malformed"),
        (slot_frame(SLOT)[:20], "within a frame"),
    ],
)
def test_a_cluster_that_breaks_the_protocol_is_left(tmp_path: Path, sent: bytes, word: str) -> None:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(tmp_path / "bad.sock"))
    listener.listen()
    client = LocalCluster(str(tmp_path / "bad.sock"))
    client.connect()
    other, _ = listener.accept()
    other.sendall(slot_frame(SLOT) + sent)
    other.close()
    events: list[Event | ClusterClosed] = []
    deadline = time.monotonic() + DEADLINE_S
    while len(events) < 2 and time.monotonic() < deadline:
        client.wait(1_000_000)
        client.poll(events.append)
    assert events[0] == SLOT
    assert isinstance(events[1], ClusterClosed)
    assert word in events[1].reason
    listener.close()


def test_row_21_what_waits_unsent_can_be_abandoned_and_never_arrives(
    peer: Peer, client: LocalCluster
) -> None:
    """The kill comes while submissions wait: nothing more is written to the socket."""
    transaction = b"z" * 1232
    submitted, code = 0, None
    while code is None:
        try:
            client.submit(transaction)
            submitted += 1
        except ClusterError as error:
            code = error.code
    assert code is ClusterErrorCode.BUFFER_FULL
    assert MAX_UNSENT_BYTES - 2 * len(transaction) < client.unsent_bytes <= MAX_UNSENT_BYTES
    abandoned = client.abandon_unsent()
    assert abandoned > 0
    assert client.unsent_bytes == 0
    peer.until(lambda: len(peer.requests) == submitted - abandoned, lambda: client.poll(lambda event: None))
    if client.connected:  # else the half-written one took the connection with it
        assert asks(peer, client)
    assert sum(isinstance(request, Submit) for request in peer.requests) == submitted - abandoned


def test_an_oversize_submission_is_refused_with_a_code(peer: Peer, client: LocalCluster) -> None:
    with pytest.raises(ClusterError) as caught:
        client.submit(bytes(MAX_REQUEST + 1))
    assert caught.value.code is ClusterErrorCode.TOO_LARGE
    assert asks(peer, client)
