# Made by scripts/codegen from schemas/*.fbs; do not edit.
"""One codec a record."""

from typing import Final

from hft.wire.codec import Codec
from hft.wire.records import (
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
from hft.wire.records.connection_health import ConnectionHealth
from hft.wire.records.execution_plan import ExecutionPlan
from hft.wire.records.execution_result import ExecutionResult
from hft.wire.records.health_metric import HealthMetric
from hft.wire.records.kill_switch import KillSwitch
from hft.wire.records.latency_metric import LatencyMetric
from hft.wire.records.lifecycle import Lifecycle
from hft.wire.records.plan_rejected import PlanRejected
from hft.wire.records.pnl_metric import PnlMetric
from hft.wire.records.pool_update import PoolUpdate
from hft.wire.records.quote import Quote
from hft.wire.records.slot_update import SlotUpdate
from hft.wire.records.throughput_metric import ThroughputMetric
from hft.wire.records.triangular_opportunity import TriangularOpportunity
from hft.wire.records.two_hop_opportunity import TwoHopOpportunity

SCHEMA_HASH: Final = 0x281C8AB170D6325F
"""Names these schemas (u64): names, types, order, enum values; not comments."""

CODECS: Final[tuple[Codec, ...]] = (
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

__all__ = [
    "CODECS",
    "SCHEMA_HASH",
    "ConnectionHealth",
    "ExecutionPlan",
    "ExecutionResult",
    "HealthMetric",
    "KillSwitch",
    "LatencyMetric",
    "Lifecycle",
    "PlanRejected",
    "PnlMetric",
    "PoolUpdate",
    "Quote",
    "SlotUpdate",
    "ThroughputMetric",
    "TriangularOpportunity",
    "TwoHopOpportunity",
    "connection_health",
    "execution_plan",
    "execution_result",
    "health_metric",
    "kill_switch",
    "latency_metric",
    "lifecycle",
    "plan_rejected",
    "pnl_metric",
    "pool_update",
    "quote",
    "slot_update",
    "throughput_metric",
    "triangular_opportunity",
    "two_hop_opportunity",
]
