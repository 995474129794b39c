"""iceoryx2's publish-subscribe: its public Python API, and the raw calls beneath that (what is left when its
Python wrappers are stepped over)."""

import ctypes
import os
from functools import partial
from itertools import count
from typing import Any

from perf.peers.base import Link, Reader, Sender, Transport, module_missing, nothing

BUFFER_SAMPLES = 1024
_numbers = count()


def _link(raw: bool, readers: int, record_bytes: int) -> Link:
    name = f"hft-perf/{os.getpid()}/{next(_numbers)}"
    return Link(
        partial(_sender, raw, name, readers, record_bytes),
        tuple(partial(_reader, raw, name, readers, record_bytes) for _ in range(readers)),
        nothing,
    )


def _record_type(record_bytes: int) -> type[ctypes.Structure]:
    fields = {"_fields_": [("data", ctypes.c_uint8 * record_bytes)]}
    return type(f"Record{record_bytes}", (ctypes.Structure,), fields)


def _open(name: str, readers: int, record_bytes: int) -> tuple[Any, Any, type[ctypes.Structure]]:
    import iceoryx2

    iceoryx2.set_log_level(iceoryx2.LogLevel.Fatal)
    record = _record_type(record_bytes)
    node = iceoryx2.NodeBuilder.new().create(iceoryx2.ServiceType.Ipc)
    service = (
        node.service_builder(iceoryx2.ServiceName.new(name))
        .publish_subscribe(record)
        .max_publishers(1)
        .max_subscribers(readers)
        .subscriber_max_buffer_size(BUFFER_SAMPLES)
        .enable_safe_overflow(False)
        .open_or_create()
    )
    return node, service, record


def _sender(raw: bool, name: str, readers: int, record_bytes: int) -> Sender:
    node, service, record_type = _open(name, readers, record_bytes)
    publisher = service.publisher_builder().create()
    kept = [node, service, publisher]  # iceoryx2 removes a port once its last reference is gone
    copy, from_bytes, send_copy = ctypes.memmove, record_type.from_buffer_copy, publisher.send_copy
    loan = getattr(publisher, "__loan_uninit")

    def send(record: bytes) -> None:
        send_copy(from_bytes(record))

    def send_raw(record: bytes) -> None:
        sample = loan()
        copy(sample.payload_ptr, record, record_bytes)
        getattr(sample, "__assume_init")().send()

    return Sender(send_raw if raw else send, kept.clear, None, publisher)


def _reader(raw: bool, name: str, readers: int, record_bytes: int) -> Reader:
    node, service, _ = _open(name, readers, record_bytes)
    subscriber = service.subscriber_builder().create()
    kept = [node, service, subscriber]
    receive, string_at = subscriber.receive, ctypes.string_at

    def take() -> bytes | None:
        sample = receive()
        return None if sample is None else bytes(sample.payload().contents)

    def take_raw() -> bytes | None:
        sample = receive()
        return None if sample is None else string_at(sample.payload_ptr, record_bytes)

    return Reader(take_raw if raw else take, kept.clear, None, subscriber)


ICEORYX2 = Transport(
    "iceoryx2", "iceoryx2", partial(module_missing, "iceoryx2"), partial(_link, False), polled=True
)
ICEORYX2_RAW = Transport(
    "iceoryx2_raw", "iceoryx2 raw", partial(module_missing, "iceoryx2"), partial(_link, True), polled=True
)
