"""The whole hand-off of an event: encode in one process, decode three fields in the other.

    +--------+  TwoHopOpportunity  +--------+
    | encode |====================>| decode |   t1: three fields are read
    |  t0    |<--------------------| ack    |
    +--------+       8 bytes       +--------+
     cpu 0                          cpu 1

Measured: t1 - t0, one way. t0, taken before the first field is touched, travels in the message
(scan_published_ns); the next event leaves once the last is acknowledged. The three fields, and the number
of each event, are checked. Ours encodes straight into the claimed cell and reads in poll()'s view; the
peers encode to bytes and send those.
"""

import time
from array import array
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from hft import wire
from hft.wire.records import two_hop_opportunity as codec
from perf import events
from perf.cases import WorkerCase, limits, samples_of, wrong_records
from perf.engine import Case, Outcome, Plan, Shape
from perf.peers import ICEORYX2, PIPE, PYZMQ, RING, Reader, Sender, Transport
from perf.peers.base import module_missing
from perf.workers import Stopwatch

FIELDS = ("sequence", *events.READ_NAMES, "scan_published_ns")
"""What is looked at: the three fields of the figure, the event's number and t0."""
SIZE_LIMIT = 1024
BUILDER_BYTES = 320
STATIC = events.VALUES[2:-1]
TRACE_ID = events.VALUES.trace_id
READ = events.fields_of(events.VALUES)


class Form(NamedTuple):
    """How events are written and read."""

    encode: Callable[[int, int], bytes]
    """encode(sequence, t0)"""
    read: Callable[[bytes], tuple[int, tuple[Any, ...], int]]
    """(sequence, the three fields, t0)"""


def msgspec_form() -> Form:
    """MessagePack map; the reader decodes five fields only."""
    import msgspec

    event = events.struct_type()
    pack = msgspec.msgpack.Encoder().encode
    names = ("sequence", "pool_1", "amount_in", "gross_profit_lamports", "scan_published_ns")
    unpack = msgspec.msgpack.Decoder(events.struct_type(names)).decode

    def encode(sequence: int, start_ns: int) -> bytes:
        return bytes(pack(event(TRACE_ID, sequence, *STATIC, start_ns)))

    def read(message: bytes) -> tuple[int, tuple[Any, ...], int]:
        got = unpack(message)
        return got.sequence, (got.pool_1, got.amount_in, got.gross_profit_lamports), got.scan_published_ns

    return Form(encode, read)


def orjson_form() -> Form:
    """JSON by orjson; keys are hex."""
    import orjson

    dumps: Callable[[object], bytes] = orjson.dumps
    loads, key = orjson.loads, events.VALUES.pool_1.hex()

    def encode(sequence: int, start_ns: int) -> bytes:
        return dumps(events.as_json_dict(TRACE_ID, sequence, *STATIC, start_ns))

    def read(message: bytes) -> tuple[int, tuple[Any, ...], int]:
        got = loads(message)
        pool = READ[0] if got["pool_1"] == key else got["pool_1"]
        return (
            got["sequence"],
            (pool, got["amount_in"], got["gross_profit_lamports"]),
            got["scan_published_ns"],
        )

    return Form(encode, read)


def builder_form() -> Form:
    """FlatBuffers as Google's runtime has it."""
    build, access = events.builder_encode(), events.accessor_read(FIELDS)

    def encode(sequence: int, start_ns: int) -> bytes:
        # The Builder's messages differ in length by their alignment; iceoryx2's records have one.
        return build(TRACE_ID, sequence, *STATIC, start_ns).ljust(BUILDER_BYTES, b"\0")

    def read(message: bytes) -> tuple[int, tuple[Any, ...], int]:
        sequence, pool, amount_in, profit, start_ns = access(message)
        return sequence, (pool, amount_in, profit), start_ns

    return Form(encode, read)


class Received(NamedTuple):
    """What the decoding side measured."""

    samples: bytes
    wrong: int
    cpu_ns: int


class Side:
    """Either process; the peers' way."""

    def __init__(
        self,
        make_sender: Callable[[], Sender],
        make_reader: Callable[[], Reader],
        make_form: Callable[[], Form] | None,
    ) -> None:
        self.sender, self.reader = make_sender(), make_reader()
        self._form = make_form() if make_form else None

    def encoding(self, n: int) -> tuple[int, int]:
        """Encode and send n events: (elapsed, CPU time) in ns."""
        assert self._form
        encode, send, take, now = self._form.encode, self.sender.send, self.reader.take, time.perf_counter_ns
        watch, begin = Stopwatch(), now()
        for sequence in range(n):
            send(encode(sequence, now()))
            while take() is None:
                pass
        return now() - begin, watch.cpu_ns()

    def decoding(self, n: int) -> Received:
        """Take, read and acknowledge n events."""
        assert self._form
        read, send, take, now = self._form.read, self.sender.send, self.reader.take, time.perf_counter_ns
        samples, wrong, watch, ack = array("q", bytes(8 * n)), 0, Stopwatch(), bytes(8)
        for sequence in range(n):
            while (message := take()) is None:
                pass
            number, fields, start_ns = read(message)
            samples[sequence] = now() - start_ns
            send(ack)
            if number != sequence or fields != READ:
                wrong += 1
        return Received(samples.tobytes(), wrong, watch.cpu_ns())

    def close(self) -> None:
        """Close both ends."""
        self.sender.close()
        self.reader.close()


class OurSide(Side):
    """Either process; straight into the cell and out of it."""

    def encoding(self, n: int) -> tuple[int, int]:
        """See Side."""
        claim, commit = self.sender.raw.claim, self.sender.raw.commit
        encode, take, now, size = codec.encode_into, self.reader.take, time.perf_counter_ns, codec.size
        watch, begin = Stopwatch(), now()
        for sequence in range(n):
            start_ns = now()
            while (view := claim(size)) is None:
                pass
            encode(view, TRACE_ID, sequence, *STATIC, start_ns)
            commit()
            while take() is None:
                pass
        return now() - begin, watch.cpu_ns()

    def decoding(self, n: int) -> Received:
        """See Side."""
        read = wire.reader(codec, *FIELDS)
        offer, poll, now = self.sender.send, self.reader.raw.poll, time.perf_counter_ns
        samples, wrong, watch, ack = array("q", bytes(8 * n)), 0, Stopwatch(), bytes(8)
        expected = 0

        def handler(view: memoryview) -> None:
            nonlocal expected, wrong
            number, pool, amount_in, profit, start_ns = read(view)
            samples[expected] = now() - start_ns
            offer(ack)
            if number != expected or (pool, amount_in, profit) != READ:
                wrong += 1
            expected += 1

        while expected < n:
            poll(handler)
        return Received(samples.tobytes(), wrong, watch.cpu_ns())


class Handoff(WorkerCase):
    """One transport with one form."""

    def __init__(
        self,
        transport: Transport,
        plan: Plan,
        label: str,
        make_form: Callable[[], Form] | None,
        *,
        module: str = "",
        reference: bool = False,
    ) -> None:
        missing = transport.missing() or (module_missing(module) if module else "")
        super().__init__(label, group="hand-off", reference=reference, missing=missing)
        self._transport, self._plan, self._form = transport, plan, make_form
        self._side = Side if make_form else OurSide

    def start(self) -> None:
        """See WorkerCase."""
        size = BUILDER_BYTES if self._transport is ICEORYX2 else SIZE_LIMIT
        there, back = self._transport.link(1, size), self._transport.link(1, 8)
        self.keep(there.close)
        self.keep(back.close)
        self.add("encode", self._plan.cpus[0], self._side, there.sender, back.readers[0], self._form)
        self.add("decode", self._plan.cpus[1], self._side, back.sender, there.readers[0], self._form)

    def _run(self) -> tuple[tuple[int, int], Received]:
        encoding, decoding = self.workers
        decoding.begin("decoding", self.count)
        sent: tuple[int, int] = encoding.call("encoding", self.count)
        return sent, decoding.end()

    def elapsed_s(self) -> float:
        """See WorkerCase."""
        return self._run()[0][0] / 1e9

    def round(self) -> Outcome:
        """One-way times."""
        (elapsed_ns, cpu_ns), received = self._run()
        metrics = {
            "rate_per_s": self.count / elapsed_ns * 1e9,
            "cpu_ns_per_message": (cpu_ns + received.cpu_ns) / self.count,
            "received": float(self.count - received.wrong),
        }
        return Outcome(metrics, samples_of(received.samples), wrong_records(received.wrong, self.count))


def cases(plan: Plan) -> Sequence[Case]:
    """Ours, and the peers that a reader might build instead."""
    found: list[Case] = [
        *limits(plan),
        Handoff(RING, plan, "ringbuf + hft.wire", None, reference=True),
    ]
    peers = (
        (PIPE, "multiprocessing.Pipe + msgspec", msgspec_form, "msgspec"),
        (PYZMQ, "pyzmq ipc + orjson", orjson_form, "orjson"),
        (ICEORYX2, "iceoryx2 + flatbuffers Builder", builder_form, ""),
    )
    for transport, label, form, module in peers:
        if transport.key in plan.peers:
            found.append(Handoff(transport, plan, label, form, module=module))
    return found


SHAPE = Shape("codec_handoff", __doc__, cases)
