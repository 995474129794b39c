"""The client protocol: every piece that may come, however it is cut, gives the same answers."""

import random
import socket
from collections.abc import Iterator

import pytest

from hft.runtime.nats_wire import Answer, Wire, WireBroken

INBOX = b"_INBOX.abcd."


def message(content: bytes, lane: int, epoch: int, ticket: int) -> bytes:
    return b"MSG %b%d.%d.%d 1 %d\r\n%b\r\n" % (INBOX, lane, epoch, ticket, len(content), content)


def stored(lane: int, epoch: int, ticket: int, place: int, more: bytes = b"") -> bytes:
    return message(b'{"stream":"PLANNED", "seq":%d%b}' % (place, more), lane, epoch, ticket)


@pytest.fixture
def ends() -> Iterator[tuple[Wire, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    yield Wire(ours, INBOX), theirs
    ours.close()
    theirs.close()


def test_answers_with_one_ticket_are_one_and_every_break_begins_another(
    ends: tuple[Wire, socket.socket],
) -> None:
    wire, server = ends
    places = [*range(95, 103), 7, 8]
    server.sendall(
        b"".join(stored(1, 0, 5, place) for place in places)
        + stored(1, 0, 6, 11, b', "duplicate": true')
        + stored(1, 0, 6, 9)
        + stored(1, 0, 5, 12)
        + stored(1, 0, 50, 13)
        + b"".join(stored(2, 0, 9, place) for place in range(40, 43))
        + stored(2, 1, 9, 42)[:-1]
    )
    assert wire.receive() == [
        Answer(1, 0, 5, 10, 102, 0),
        Answer(1, 0, 6, 2, 11, 1),
        Answer(1, 0, 5, 1, 12, 0),
        Answer(1, 0, 50, 1, 13, 0),
        Answer(2, 0, 9, 3, 42, 0),
    ]
    server.sendall(b"\n")
    assert wire.receive() == [Answer(2, 1, 9, 1, 42, 0)]


def test_whatever_else_comes_between_is_understood_wherever_it_is_cut(
    ends: tuple[Wire, socket.socket],
) -> None:
    wire, server = ends
    error = (
        b'{"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"},"stream":"X","seq":0}'
    )
    status = b"NATS/1.0 503\r\n\r\n"
    pieces = [
        stored(0, 0, 1, 1),
        stored(0, 0, 1, 2),
        b"PING\r\n",
        stored(0, 0, 1, 3),
        message(error, 0, 0, 4),
        b"HMSG %b0.0.5 1 %d %d\r\n%b\r\n" % (INBOX, len(status), len(status), status),
        b'INFO {"server_id":"x"}\r\n+OK\r\nPONG\r\n',
        message(b'{"stream":"X","domain":"hub","seq":6}', 0, 0, 6),
        stored(0, 0, 7, 7),
    ]
    data = b"".join(pieces)
    for turn in range(200):
        dice, at, answers = random.Random(turn), 0, []
        while at < len(data):
            step = dice.randint(1, 120)
            server.sendall(data[at : at + step])
            at += step
            answers += wire.receive()
        good = [a.ticket for a in answers if not a.error for _ in range(a.row)]
        assert good == [1, 1, 1, 6, 7], turn
        assert max(a.stream_sequence for a in answers if a.ticket == 1) == 3
        bad = {a.ticket: a.error for a in answers if a.error}
        assert "maximum bytes exceeded" in bad[4]
        assert bad[5] == "no stream takes the subject"
        assert server.recv(100) == b"PONG\r\n"


@pytest.mark.parametrize(
    "data",
    [
        b"-ERR 'Authorization Violation'\r\n",
        b"HTTP/1.1 400 Bad Request\r\n",
        message(b"no JSON", 0, 0, 1),
        message(b"[]", 0, 0, 1),
        b"MSG somebody.elses 1 2\r\n{}\r\n",
    ],
)
def test_what_is_no_answer_ends_the_connection(ends: tuple[Wire, socket.socket], data: bytes) -> None:
    wire, server = ends
    server.sendall(data)
    with pytest.raises(WireBroken):
        wire.receive()


def test_a_closed_connection_is_an_error(ends: tuple[Wire, socket.socket]) -> None:
    wire, server = ends
    server.close()
    with pytest.raises(WireBroken, match="closed"):
        wire.receive()


def test_what_the_socket_does_not_take_is_kept_in_order(ends: tuple[Wire, socket.socket]) -> None:
    wire, server = ends
    data = random.Random(1).randbytes(3 << 20)
    wire.send(data)
    assert wire.unsent > 0
    taken = b""
    while len(taken) < len(data):
        taken += server.recv(1 << 20)
        wire.send(b"")
    assert taken == data
    assert wire.unsent == 0
