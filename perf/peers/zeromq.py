"""pyzmq over ipc: a PUSH socket to one PULL socket a reader, blocking, as its guide does it."""

import shutil
import tempfile
from functools import partial
from importlib import import_module
from typing import Any

from perf.peers.base import Link, Reader, Sender, Transport, module_missing

HIGH_WATER = 1024


def _link(readers: int, _record_bytes: int) -> Link:
    folder = tempfile.mkdtemp(prefix="perf-zmq-")
    addresses = [f"ipc://{folder}/{i}" for i in range(readers)]
    return Link(
        partial(_sender, addresses),
        tuple(partial(_reader, address) for address in addresses),
        partial(shutil.rmtree, folder, ignore_errors=True),
    )


def _sender(addresses: list[str]) -> Sender:
    zmq: Any = import_module("zmq")

    context = zmq.Context()
    sockets = []
    for address in addresses:
        sockets.append(context.socket(zmq.PUSH))
        sockets[-1].setsockopt(zmq.SNDHWM, HIGH_WATER)
        sockets[-1].bind(address)

    def close() -> None:
        context.destroy(linger=0)

    if len(sockets) == 1:
        return Sender(sockets[0].send, close, sockets[0].send_multipart, sockets[0])

    def send(record: bytes) -> None:
        for socket in sockets:
            socket.send(record)

    return Sender(send, close)


def _reader(address: str) -> Reader:
    zmq: Any = import_module("zmq")

    context = zmq.Context()
    socket = context.socket(zmq.PULL)
    socket.setsockopt(zmq.RCVHWM, HIGH_WATER)
    socket.connect(address)

    def close() -> None:
        context.destroy(linger=0)

    return Reader(socket.recv, close, socket.recv_multipart, socket)


PYZMQ = Transport("pyzmq", "pyzmq ipc", partial(module_missing, "zmq"), _link, batches=True)
