# Made by scripts/codegen from schemas/*.fbs; do not edit.
"""One codec a record."""

from typing import Final

from hft.wire.codec import Codec
from hft.wire.records import (
    execution_plan,
    execution_result,
    kill_switch,
    plan_rejected,
    pnl_metric,
    pool_update,
    two_hop_opportunity,
)
from hft.wire.records.execution_plan import ExecutionPlan
from hft.wire.records.execution_result import ExecutionResult
from hft.wire.records.kill_switch import KillSwitch
from hft.wire.records.plan_rejected import PlanRejected
from hft.wire.records.pnl_metric import PnlMetric
from hft.wire.records.pool_update import PoolUpdate
from hft.wire.records.two_hop_opportunity import TwoHopOpportunity

SCHEMA_HASH: Final = 0x3B02A0B75283E9FF
"""Names these schemas (u64): names, types, order, enum values; not comments."""

CODECS: Final[tuple[Codec, ...]] = (
    execution_plan,
    execution_result,
    kill_switch,
    plan_rejected,
    pnl_metric,
    pool_update,
    two_hop_opportunity,
)

__all__ = [
    "CODECS",
    "SCHEMA_HASH",
    "ExecutionPlan",
    "ExecutionResult",
    "KillSwitch",
    "PlanRejected",
    "PnlMetric",
    "PoolUpdate",
    "TwoHopOpportunity",
    "execution_plan",
    "execution_result",
    "kill_switch",
    "plan_rejected",
    "pnl_metric",
    "pool_update",
    "two_hop_opportunity",
]
