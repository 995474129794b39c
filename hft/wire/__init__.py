"""Messages between services: FlatBuffers of constant layout, written by one packed store into a ring's cell.

Per record there is a codec, a module: ``wire.pool_update.encode_into(view, *fields) -> int``,
``.decode(view)``, ``.verify(view)``, ``.read_slot(view)`` …, ``.size``, ``.identifier``, ``.Record``.
Reading takes any valid message of its type, also of another writer, a newer or an older schema: ours is read
in one step, others through flatc's accessors after full verification; whatever else the bytes are, it raises
:class:`WireError` and nothing else.

Enum fields are plain ints; their types are in :mod:`hft.wire.enums`. Byte fields are ``bytes`` of exactly
their length; text fields may be shorter and are padded with zeros (:func:`text`, :func:`fit_text`).
"""

from collections.abc import Callable
from typing import Any

from hft.wire import account, enums
from hft.wire.codec import Codec
from hft.wire.errors import WireError, WireErrorCode
from hft.wire.layout import MAXIMUM_BYTES, Field, Layout, View
from hft.wire.records import (
    CODECS,
    SCHEMA_HASH,
    ConnectionHealth,
    ExecutionPlan,
    ExecutionResult,
    HealthMetric,
    KillSwitch,
    LatencyMetric,
    Lifecycle,
    PlanRejected,
    PnlMetric,
    PoolUpdate,
    Quote,
    SlotUpdate,
    ThroughputMetric,
    TriangularOpportunity,
    TwoHopOpportunity,
    connection_health,
    execution_plan,
    execution_result,
    health_metric,
    kill_switch,
    latency_metric,
    lifecycle,
    plan_rejected,
    pnl_metric,
    pool_update,
    quote,
    slot_update,
    throughput_metric,
    triangular_opportunity,
    two_hop_opportunity,
)
from hft.wire.registry import REGISTRY, SUBJECT_READERS, Entry, codec_named, codec_of, entry_of, identifier
from hft.wire.texts import base58, fit_text, text

__all__ = [
    "CODECS",
    "MAXIMUM_BYTES",
    "REGISTRY",
    "SCHEMA_HASH",
    "SUBJECT_READERS",
    "Codec",
    "ConnectionHealth",
    "Entry",
    "ExecutionPlan",
    "ExecutionResult",
    "Field",
    "HealthMetric",
    "KillSwitch",
    "LatencyMetric",
    "Layout",
    "Lifecycle",
    "PlanRejected",
    "PnlMetric",
    "PoolUpdate",
    "Quote",
    "SlotUpdate",
    "ThroughputMetric",
    "TriangularOpportunity",
    "TwoHopOpportunity",
    "View",
    "WireError",
    "WireErrorCode",
    "account",
    "base58",
    "codec_named",
    "codec_of",
    "connection_health",
    "entry_of",
    "enums",
    "execution_plan",
    "execution_result",
    "fit_text",
    "health_metric",
    "identifier",
    "kill_switch",
    "latency_metric",
    "lifecycle",
    "plan_rejected",
    "pnl_metric",
    "pool_update",
    "quote",
    "reader",
    "slot_update",
    "text",
    "throughput_metric",
    "triangular_opportunity",
    "two_hop_opportunity",
]


def reader(codec: Codec, *names: str) -> Callable[[View], tuple[Any, ...]]:
    """A function that reads these fields of a message at once, for the hot path; made once, at start-up.

    The values come in the order of the names. KeyError with the names there are, if one is of no field.
    """
    for name in names:
        codec.layout.position(name)
    return codec.fast.reader(names, False)
