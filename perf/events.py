"""One TwoHopOpportunity and every way to write and read it: ours, flatc's code, JSON and MessagePack.

JSON can't carry bytes: its ids and keys are hex strings, the shortest text there is in the standard
library. Reading them back into bytes is left out of the JSON figures, in JSON's favour.
"""

import json
from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from importlib import import_module
from typing import Any

from hft import wire
from hft.wire.records import two_hop_opportunity as codec

NAMES: tuple[str, ...] = codec.Record._fields
READ_NAMES = ("pool_1", "amount_in", "gross_profit_lamports")
"""The three fields that an outside reader of opportunities looks at: where, how much, what for."""


def _key(name: str) -> bytes:
    return sha256(name.encode()).digest()


VALUES = wire.TwoHopOpportunity(
    trace_id=_key("trace")[:16],
    sequence=184_467,
    slot=387_212_345,
    strategy=1,
    venue_1=1,
    venue_2=2,
    confidence_ppm=987_654,
    base_mint=_key("base"),
    quote_mint=_key("quote"),
    pool_1=_key("pool 1"),
    pool_2=_key("pool 2"),
    amount_in=12_345_678_901,
    amount_mid=2_345_678_901_234,
    amount_out=12_355_678_901,
    gross_profit_lamports=10_000_000,
    slot_1=387_212_345,
    slot_2=387_212_344,
    received_ns=1_234_567_890_123_456,
    feed_published_ns=1_234_567_890_145_678,
    scan_received_ns=1_234_567_890_167_890,
    scan_published_ns=1_234_567_890_198_765,
)
ARGUMENTS = ", ".join(NAMES)


def fields_of(record: Any) -> tuple[Any, ...]:
    """The three read fields of any object with attributes."""
    return tuple(getattr(record, name) for name in READ_NAMES)


def camel(name: str) -> str:
    """flatc's accessor name."""
    return "".join(part.capitalize() for part in name.split("_"))


def _generated(name: str) -> Any:
    """A module of flatc's; only cases that use them pay for their import."""
    return import_module(f"hft.wire.generated.{name}")


@lru_cache(maxsize=1)
def builder_encode() -> Callable[..., bytes]:
    """encode(*fields) with Google's Builder and flatc's generated code; the builder is reused."""
    import flatbuffers

    generated = _generated("TwoHopOpportunity")
    builder = flatbuffers.Builder(1024)
    start, end = generated.TwoHopOpportunityStart, generated.TwoHopOpportunityEnd
    steps = [(getattr(generated, f"TwoHopOpportunityAdd{camel(name)}"), name) for name in NAMES]
    makers = {16: _generated("Id16").CreateId16, 32: _generated("Key32").CreateKey32}

    def encode(*values: Any) -> bytes:
        builder.Clear()
        start(builder)
        for (add, _), value in zip(steps, values, strict=True):
            add(builder, makers[len(value)](builder, value) if isinstance(value, bytes) else value)
        builder.Finish(end(builder), file_identifier=codec.identifier)
        return bytes(builder.Output())

    return encode


def accessor_read(names: tuple[str, ...]) -> Callable[[bytes], tuple[Any, ...]]:
    """read(message) of these fields with flatc's accessors; byte arrays become bytes."""
    generated = _generated("TwoHopOpportunity")
    get_root = generated.TwoHopOpportunity.GetRootAs
    whole = [
        (getattr(generated.TwoHopOpportunity, camel(name)), isinstance(getattr(VALUES, name), bytes))
        for name in names
    ]

    def read(message: bytes) -> tuple[Any, ...]:
        root = get_root(message)
        return tuple([bytes(get(root).Bytes()) if array else get(root) for get, array in whole])

    return read


def as_json_dict(*values: Any) -> dict[str, Any]:
    """The event as JSON has it."""
    return {
        name: value.hex() if isinstance(value, bytes) else value
        for name, value in zip(NAMES, values, strict=True)
    }


def json_encode(*values: Any) -> bytes:
    """As compact JSON, standard library."""
    return json.dumps(as_json_dict(*values), separators=(",", ":")).encode()


def orjson_encode() -> Callable[..., bytes]:
    """encode(*fields) with orjson."""
    import orjson

    dumps: Callable[[object], bytes] = orjson.dumps

    def encode(*values: Any) -> bytes:
        return dumps(as_json_dict(*values))

    return encode


@lru_cache(maxsize=2)
def struct_type(names: tuple[str, ...] = NAMES) -> Any:
    """A msgspec Struct of these fields: MessagePack's map form, by name, the fastest that msgspec offers."""
    import msgspec

    types = [(name, bytes if isinstance(getattr(VALUES, name), bytes) else int) for name in names]
    return msgspec.defstruct("Opportunity", types, gc=False)


def message() -> bytes:
    """VALUES as hft.wire writes it."""
    buffer = bytearray(codec.size)
    codec.encode_into(buffer, *VALUES)
    return bytes(buffer)
