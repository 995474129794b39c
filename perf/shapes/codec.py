"""One event, a TwoHopOpportunity of 312 bytes, written and read by one process; the forms are in
``perf.events``.

    fields ──encode──> [ cell, 312 bytes ] ──decode──> fields

codec_encode:        21 field values -> bytes ready to be sent (ours: into a claimed ring cell).
codec_decode:        bytes -> all 21 fields.
codec_read_3_fields: bytes -> pool_1, amount_in and gross_profit_lamports (msgspec: a Struct of these three).
codec_size:          bytes on the wire.
"""

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from hft import wire
from hft.wire.records import two_hop_opportunity as codec
from perf import events
from perf.cases import limits
from perf.engine import Case, Plan, Shape
from perf.micro import Fact, Micro, Operation
from perf.peers.base import module_missing
from perf.peers.ring import new_name
from ringbuf import Ring

CALL = f"encode({events.ARGUMENTS})"


def _values() -> dict[str, Any]:
    return dict(events.VALUES._asdict())


def _ring() -> tuple[Ring, Any]:
    ring = Ring.create(new_name("ring"), depth=1024, mtu=512)
    return ring, ring.publication()


def _close_ring(ring: Ring, publication: Any) -> None:
    publication.close()
    ring.unlink()
    ring.close()


def encode_ours() -> Operation:
    """Into a cell that is claimed once and stays so."""
    ring, publication = _ring()
    view = publication.claim(codec.size)

    def check(_: int) -> str:
        return "" if codec.decode(bytes(view)) == events.VALUES else "the cell holds another event"

    def close() -> None:
        publication.abort()
        _close_ring(ring, publication)

    names = {"encode": codec.encode_into, "view": view, **_values()}
    return Operation(f"encode(view, {events.ARGUMENTS})", names, check, {"bytes": codec.size}, close)


def encode_ours_published() -> Operation:
    """With claim and commit around it."""
    ring, publication = _ring()
    names = {
        "encode": codec.encode_into,
        "claim": publication.claim,
        "commit": publication.commit,
        **_values(),
    }

    def check(done: int) -> str:
        return "" if publication.sequence == done else f"{publication.sequence} published instead of {done}"

    statement = f"encode(claim({codec.size}), {events.ARGUMENTS}); commit()"
    return Operation(statement, names, check, {"bytes": codec.size}, partial(_close_ring, ring, publication))


def _encoder(encode: Callable[..., bytes]) -> Operation:
    return Operation(CALL, {"encode": encode, **_values()}, facts={"bytes": len(encode(*events.VALUES))})


def encode_builder() -> Operation:
    """Google's Builder; what it made must decode to the same values."""
    encode = events.builder_encode()

    def check(_: int) -> str:
        return (
            "" if codec.decode(encode(*events.VALUES)) == events.VALUES else "the Builder wrote another event"
        )

    return _encoder(encode)._replace(check=check)


def _inline(display: str, dumps: str, names: dict[str, Any], size: int) -> Operation:
    return Operation(dumps.format(display), {**names, **_values()}, facts={"bytes": size})


def _json_display() -> str:
    parts = [
        f"{name!r}: {name}.hex()" if isinstance(value, bytes) else f"{name!r}: {name}"
        for name, value in events.VALUES._asdict().items()
    ]
    return "{" + ", ".join(parts) + "}"


def encode_json() -> Operation:
    """json.dumps of a dict display, default settings."""
    statement = f"dumps({_json_display()}).encode()"
    return Operation(statement, {"dumps": json.dumps, **_values()})


def encode_orjson() -> Operation:
    """orjson.dumps of a dict display."""
    import orjson

    return Operation(f"dumps({_json_display()})", {"dumps": orjson.dumps, **_values()})


def encode_msgspec() -> Operation:
    """A Struct made from the values and encoded as a MessagePack map."""
    import msgspec

    names = {"encode": msgspec.msgpack.Encoder().encode, "Event": events.struct_type(), **_values()}
    return Operation(f"encode(Event({events.ARGUMENTS}))", names)


def encode_msgspec_ready() -> Operation:
    """A Struct that exists already, into a reused buffer: nobody's real case, and msgspec's best."""
    import msgspec

    names = {
        "encode_into": msgspec.msgpack.Encoder().encode_into,
        "buffer": bytearray(1024),
        "event": events.struct_type()(*events.VALUES),
    }
    return Operation("encode_into(event, buffer)", names)


def _msgpack() -> bytes:
    import msgspec

    return bytes(msgspec.msgpack.encode(events.struct_type()(*events.VALUES)))


def _reading(read: Callable[[Any], Any], given: Any, wanted: tuple[Any, ...] | None = None) -> Operation:
    def check(_: int) -> str:
        return "" if wanted is None or tuple(read(given)) == wanted else "other values were read"

    return Operation("read(given)", {"read": read, "given": given}, check)


def _whole() -> tuple[Any, ...]:
    return tuple(events.VALUES)


def decode_ours() -> Operation:
    """From the view that poll() would hand out."""
    return _reading(codec.decode, memoryview(events.message()), _whole())


def decode_accessors() -> Operation:
    """flatc's accessors, every field."""
    return _reading(events.accessor_read(events.NAMES), events.message(), _whole())


def decode_msgspec() -> Operation:
    """Into a Struct."""
    import msgspec

    return _reading(msgspec.msgpack.Decoder(events.struct_type()).decode, _msgpack())


def decode_json() -> Operation:
    """Into a dict; keys stay hex."""
    return _reading(json.loads, events.json_encode(*events.VALUES))


def decode_orjson() -> Operation:
    """Into a dict; keys stay hex."""
    import orjson

    return _reading(orjson.loads, events.json_encode(*events.VALUES))


def read_ours() -> Operation:
    """hft.wire.reader made once."""
    read = wire.reader(codec, *events.READ_NAMES)
    return _reading(read, memoryview(events.message()), events.fields_of(events.VALUES))


def read_accessors() -> Operation:
    """flatc's accessors, three fields."""
    return _reading(
        events.accessor_read(events.READ_NAMES), events.message(), events.fields_of(events.VALUES)
    )


def read_msgspec() -> Operation:
    """Into a Struct of three fields; msgspec steps over the others."""
    import msgspec

    return _reading(msgspec.msgpack.Decoder(events.struct_type(events.READ_NAMES)).decode, _msgpack())


def read_json(module: str) -> Operation:
    """The whole dict, then three look-ups."""
    loads = __import__(module).loads
    statement = "d = loads(given); " + "; ".join(f"d[{name!r}]" for name in events.READ_NAMES)
    return Operation(statement, {"loads": loads, "given": events.json_encode(*events.VALUES)})


OURS = "hft.wire"
MSGSPEC = partial(module_missing, "msgspec")
ORJSON = partial(module_missing, "orjson")


def _operations(
    plan: Plan, group: str, ours: Callable[[], Operation], peers: Sequence[tuple[str, str, Any]]
) -> list[Case]:
    found: list[Case] = [*limits(plan), Micro(OURS, plan, ours, group=group, reference=True)]
    if plan.peers:
        found += [
            Micro(label, plan, make, group=group, missing=module_missing(module) if module else "")
            for label, module, make in peers
        ]
    return found


def encode_cases(plan: Plan) -> Sequence[Case]:
    """codec_encode."""
    peers = (
        ("flatbuffers Builder", "", encode_builder),
        ("json", "", encode_json),
        ("msgspec msgpack map", "msgspec", encode_msgspec),
        ("msgspec msgpack map, ready Struct", "msgspec", encode_msgspec_ready),
        ("orjson", "orjson", encode_orjson),
    )
    published = Micro("hft.wire claim+encode+commit", plan, encode_ours_published, group="published")
    return [*_operations(plan, "encode", encode_ours, peers), published]


def decode_cases(plan: Plan) -> Sequence[Case]:
    """codec_decode."""
    peers = (
        ("generated accessors", "", decode_accessors),
        ("json", "", decode_json),
        ("msgspec msgpack map", "msgspec", decode_msgspec),
        ("orjson", "orjson", decode_orjson),
    )
    return _operations(plan, "decode", decode_ours, peers)


def read_cases(plan: Plan) -> Sequence[Case]:
    """codec_read_3_fields."""
    peers = (
        ("generated accessors", "", read_accessors),
        ("json", "", partial(read_json, "json")),
        ("msgspec msgpack map", "msgspec", read_msgspec),
        ("orjson", "orjson", partial(read_json, "orjson")),
    )
    return _operations(plan, "read", read_ours, peers)


def size_cases(plan: Plan) -> Sequence[Case]:
    """codec_size: json with its usual separators, and as compact as it goes."""
    values = events.VALUES
    found: list[Case] = [Fact(OURS, {"bytes": len(events.message())}, group="size", reference=True)]
    if not plan.peers:
        return found
    found += [
        Fact("flatbuffers Builder", {"bytes": len(events.builder_encode()(*values))}, group="size"),
        Fact("json", {"bytes": len(json.dumps(events.as_json_dict(*values)))}, group="size"),
        Fact("json compact", {"bytes": len(events.json_encode(*values))}, group="size"),
    ]
    missing = MSGSPEC()
    size = 0 if missing else len(_msgpack())
    return [*found, Fact("msgspec msgpack map", {"bytes": size}, group="size", missing=missing)]


ENCODE = Shape("codec_encode", f"From 21 field values to bytes ready to be sent.\n\n{__doc__}", encode_cases)
DECODE = Shape("codec_decode", f"From bytes to all 21 field values.\n\n{__doc__}", decode_cases)
READ_3_FIELDS = Shape("codec_read_3_fields", f"From bytes to three field values.\n\n{__doc__}", read_cases)
SIZE = Shape("codec_size", f"Bytes on the wire.\n\n{__doc__}", size_cases)
