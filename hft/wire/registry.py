"""What each file identifier means: its codec, the link that carries it, its NATS stream and subject."""

from binascii import hexlify
from collections.abc import Callable, Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from hft.wire.codec import Codec
from hft.wire.enums import ConnectionKind, HealthCheck, KillTrigger, LifecycleEvent, Service, Strategy, Venue
from hft.wire.errors import WireError, WireErrorCode
from hft.wire.layout import View
from hft.wire.records import CODECS
from hft.wire.texts import base58


class Entry(NamedTuple):
    """One record type. ``subject(record)`` is the NATS subject of a decoded record."""

    codec: Codec
    link: str
    stream: str
    subject: Callable[[Any], str]


def _token(enum: type[IntEnum], value: int) -> str:
    """Lower-case name of an enum value; its number, if only a newer schema knows it."""
    try:
        return enum(value).name.lower()
    except ValueError:
        return str(value)


_STRATEGIES: dict[int, str] = {}


def name_strategies(names: Mapping[int, str]) -> None:
    """What a process calls strategies by, beyond the schema's: in subjects, ``metrics.pnl.<name>``."""
    _STRATEGIES.update(names)


def _strategy(number: int) -> str:
    return _STRATEGIES.get(number) or _token(Strategy, number)


_BY_ID: Final[Mapping[str, str]] = {
    "ExecutionPlan": "execution.planned.",
    "PlanRejected": "execution.rejected.",
    "ExecutionResult": "execution.result.",
}

# Mints and pools are base58 keys: two tokens may share a symbol, and a subject must not mix them.
_SUBJECTS: Final[Mapping[str, tuple[tuple[str, ...], Callable[..., str]]]] = {
    "PoolUpdate": (
        ("venue", "pool"),
        lambda venue, pool: f"market.pool.{_token(Venue, venue)}.{base58(pool)}",
    ),
    "Quote": (
        ("base_mint", "quote_mint"),
        lambda base, quote: f"market.quote.{base58(base)}.{base58(quote)}",
    ),
    "SlotUpdate": (("slot",), lambda slot: "market.slot"),
    "TwoHopOpportunity": (
        ("base_mint", "quote_mint"),
        lambda base, quote: f"opportunity.two_hop.{base58(base)}.{base58(quote)}",
    ),
    "TriangularOpportunity": (
        ("base_mint", "mint_b", "mint_c"),
        lambda base, b, c: f"opportunity.triangular.{base58(base)}.{base58(b)}.{base58(c)}",
    ),
    "ExecutionPlan": (("plan_id",), lambda plan_id: f"{_BY_ID['ExecutionPlan']}{plan_id.hex()}"),
    "PlanRejected": (("trace_id",), lambda trace_id: f"{_BY_ID['PlanRejected']}{trace_id.hex()}"),
    "ExecutionResult": (("plan_id",), lambda plan_id: f"{_BY_ID['ExecutionResult']}{plan_id.hex()}"),
    "LatencyMetric": (("service",), lambda service: f"metrics.latency.{_token(Service, service)}"),
    "ThroughputMetric": (("service",), lambda service: f"metrics.throughput.{_token(Service, service)}"),
    "PnlMetric": (("strategy",), lambda strategy: f"metrics.pnl.{_strategy(strategy)}"),
    "KillSwitch": (("trigger",), lambda trigger: f"system.kill.{_token(KillTrigger, trigger)}"),
    "Lifecycle": (("event",), lambda event: f"system.lifecycle.{_token(LifecycleEvent, event)}"),
    "HealthMetric": (("check",), lambda check: f"system.health.{_token(HealthCheck, check)}"),
    "ConnectionHealth": (
        ("kind",),
        lambda kind: f"system.health.connection_{_token(ConnectionKind, kind)}",
    ),
}


def _entry(codec: Codec) -> Entry:
    names, words = _SUBJECTS[codec.name]
    link = codec.layout.link
    return Entry(codec, link, link.upper(), lambda record: words(*(getattr(record, name) for name in names)))


def _subject_reader(codec: Codec) -> Callable[[View], bytes]:
    names, words = _SUBJECTS[codec.name]
    if codec.name in _BY_ID:  # the gating links' own: twice as fast by bytes alone
        prefix, read_id = _BY_ID[codec.name].encode(), codec.fast.reader(names, True)
        return lambda view: prefix + hexlify(read_id(view))
    read = codec.fast.reader(names, False)
    return lambda view: words(*read(view)).encode()


REGISTRY: Final[Mapping[bytes, Entry]] = MappingProxyType(
    {codec.identifier: _entry(codec) for codec in CODECS}
)
"""File identifier → what it means."""


SUBJECT_READERS: Final[Mapping[bytes, tuple[str, Callable[[View], bytes]]]] = MappingProxyType(
    {codec.identifier: (codec.layout.link, _subject_reader(codec)) for codec in CODECS}
)
"""File identifier → its link, and what reads a message's subject alone; WireError if it is not valid."""


def identifier(view: View) -> bytes:
    """The file identifier, bytes 4..8; WireError ``truncated`` if the buffer is shorter."""
    if len(view) < 8:
        raise WireError(WireErrorCode.TRUNCATED, f"{len(view)} bytes hold no root offset and identifier (8)")
    return bytes(view[4:8])


def entry_of(view: View) -> Entry:
    """What the buffer's identifier says it is, unverified; WireError ``unknown_identifier`` if unknown."""
    found = identifier(view)
    entry = REGISTRY.get(found)
    if entry is None:
        known = ", ".join(sorted(key.decode() for key in REGISTRY))
        raise WireError(WireErrorCode.UNKNOWN_IDENTIFIER, f"{found!r}; known are {known}")
    return entry


def codec_of(view: View) -> Codec:
    """Codec of what the identifier says it is, unverified; WireError ``unknown_identifier`` if unknown."""
    return entry_of(view).codec


def codec_named(name: str) -> Codec:
    """Codec of a record type's name, ``PoolUpdate`` …; KeyError with the names there are."""
    for codec in CODECS:
        if codec.name == name:
            return codec
    raise KeyError(f"no record {name!r}; there are {', '.join(codec.name for codec in CODECS)}")
