"""What each file identifier means: its codec, the link that carries it, its NATS stream and subject."""

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


# Mints and pools are base58 keys: two tokens may share a symbol, and a subject must not mix them.
_SUBJECTS: Final[Mapping[str, Callable[[Any], str]]] = {
    "PoolUpdate": lambda r: f"market.pool.{_token(Venue, r.venue)}.{base58(r.pool)}",
    "Quote": lambda r: f"market.quote.{base58(r.base_mint)}.{base58(r.quote_mint)}",
    "SlotUpdate": lambda r: "market.slot",
    "TwoHopOpportunity": lambda r: f"opportunity.two_hop.{base58(r.base_mint)}.{base58(r.quote_mint)}",
    "TriangularOpportunity": lambda r: (
        f"opportunity.triangular.{base58(r.base_mint)}.{base58(r.mint_b)}.{base58(r.mint_c)}"
    ),
    "ExecutionPlan": lambda r: f"execution.planned.{r.plan_id.hex()}",
    "PlanRejected": lambda r: f"execution.rejected.{r.trace_id.hex()}",
    "ExecutionResult": lambda r: f"execution.result.{r.plan_id.hex()}",
    "LatencyMetric": lambda r: f"metrics.latency.{_token(Service, r.service)}",
    "ThroughputMetric": lambda r: f"metrics.throughput.{_token(Service, r.service)}",
    "PnlMetric": lambda r: f"metrics.pnl.{_token(Strategy, r.strategy)}",
    "KillSwitch": lambda r: f"system.kill.{_token(KillTrigger, r.trigger)}",
    "Lifecycle": lambda r: f"system.lifecycle.{_token(LifecycleEvent, r.event)}",
    "HealthMetric": lambda r: f"system.health.{_token(HealthCheck, r.check)}",
    "ConnectionHealth": lambda r: f"system.health.connection_{_token(ConnectionKind, r.kind)}",
}

REGISTRY: Final[Mapping[bytes, Entry]] = MappingProxyType(
    {
        codec.identifier: Entry(codec, codec.layout.link, codec.layout.link.upper(), _SUBJECTS[codec.name])
        for codec in CODECS
    }
)
"""File identifier → what it means."""


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
