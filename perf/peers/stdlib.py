"""What Python ships: multiprocessing.Queue, multiprocessing.Pipe and a socket pair that is spun on."""

import socket
from collections.abc import Sequence
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.queues import Queue
from typing import Any

from perf.peers.base import Link, Reader, Sender, Transport
from perf.workers import SPAWN


def _queue_link(readers: int, _record_bytes: int) -> Link:
    queues: list[Queue[Any]] = [SPAWN.Queue() for _ in range(readers)]

    def close() -> None:
        for queue in queues:
            queue.close()
            queue.join_thread()

    return Link(
        partial(_queue_sender, queues), tuple(partial(_queue_reader, queue) for queue in queues), close
    )


def _queue_sender(queues: list["Queue[Any]"]) -> Sender:
    def close() -> None:
        for queue in queues:
            queue.close()
            queue.cancel_join_thread()

    if len(queues) == 1:
        return Sender(queues[0].put, close, queues[0].put)

    def send(record: bytes) -> None:
        for queue in queues:
            queue.put(record)

    return Sender(send, close)


def _queue_reader(queue: "Queue[Any]") -> Reader:
    return Reader(queue.get, queue.close, queue.get)


def _pipe_link(readers: int, _record_bytes: int) -> Link:
    pipes = [SPAWN.Pipe(duplex=False) for _ in range(readers)]

    def close() -> None:
        for ends in pipes:
            for end in ends:
                end.close()

    return Link(
        partial(_pipe_sender, [out for _, out in pipes]),
        tuple(partial(_pipe_reader, into) for into, _ in pipes),
        close,
    )


def _pipe_sender(pipes: "list[Connection[Any, Any]]") -> Sender:
    def close() -> None:
        for pipe in pipes:
            pipe.close()

    if len(pipes) == 1:
        return Sender(pipes[0].send_bytes, close, pipes[0].send)

    def send(record: bytes) -> None:
        for pipe in pipes:
            pipe.send_bytes(record)

    return Sender(send, close)


def _pipe_reader(pipe: "Connection[Any, Any]") -> Reader:
    return Reader(pipe.recv_bytes, pipe.close, pipe.recv)


def _socket_link(readers: int, record_bytes: int) -> Link:
    pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(readers)]
    for pair in pairs:
        for end in pair:
            end.setblocking(False)

    def close() -> None:
        for pair in pairs:
            for end in pair:
                end.close()

    return Link(
        partial(_socket_sender, [out for out, _ in pairs]),
        tuple(partial(_socket_reader, into, record_bytes) for _, into in pairs),
        close,
    )


def _socket_sender(sockets: Sequence[socket.socket]) -> Sender:
    def close() -> None:
        for end in sockets:
            end.close()

    def send(record: bytes) -> None:
        for end in sockets:
            while True:
                try:
                    end.send(record)
                    break
                except BlockingIOError:
                    continue

    def send_one(record: bytes) -> object:
        try:
            return sockets[0].send(record)
        except BlockingIOError:
            return False

    return Sender(send_one if len(sockets) == 1 else send, close)


def _socket_reader(end: socket.socket, record_bytes: int) -> Reader:
    receive = end.recv

    def take() -> bytes | None:
        try:
            return receive(record_bytes)
        except BlockingIOError:
            return None

    return Reader(take, end.close)


QUEUE = Transport("queue", "multiprocessing.Queue", str, _queue_link, batches=True)
PIPE = Transport("pipe", "multiprocessing.Pipe", str, _pipe_link, batches=True)
SOCKETPAIR = Transport("socketpair", "socketpair spin", str, _socket_link, polled=True)
