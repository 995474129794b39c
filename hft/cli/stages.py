"""The latency stages in the order of the data's way, with the words a person reads."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from hft.cli import text
from hft.runtime.monitor import Latency

_FLOW = ("feed", "scanner", "planner", "executor", "auditor", "manager", "sidecar")
_END_TO_END: Mapping[str, str] = {
    "tick_to_signed": "bytes in → signed",
    "tick_to_submitted": "bytes in → submitted",
    "submit_to_settled": "submitted → settled",
    "taken_to_acknowledged": "ring → acknowledged",
}


_BESIDE: Mapping[str, str] = {"ledger_write": "ledger, a batch"}
"""What no trade waits for."""
_CLUSTER: Mapping[str, str] = {"landing": "arrived → executed", "settle": "execution"}


class Stage(NamedTuple):
    """One row: which group it stands in, what it is called, its figures."""

    group: str
    title: str
    latency: Latency


def ordered(latency: Mapping[str, Latency]) -> list[Stage]:
    """All stages: end to end first, then the hand-offs between services, then the services' own work."""
    stages = [
        Stage("end to end", title, latency[name]) for name, title in _END_TO_END.items() if name in latency
    ]
    stages += [
        Stage("hand-off", f"{writer} → {reader}", latency[f"handoff_{writer}_{reader}"])
        for writer in _FLOW
        for reader in _FLOW
        if f"handoff_{writer}_{reader}" in latency
    ]
    stages += [
        Stage("in service", name, latency[f"stage_{name}"]) for name in _FLOW if f"stage_{name}" in latency
    ]
    stages += [
        Stage("in service", title, latency[name]) for name, title in _BESIDE.items() if name in latency
    ]
    stages += [
        Stage("in the cluster", title, latency[name]) for name, title in _CLUSTER.items() if name in latency
    ]
    shown = (
        set(_END_TO_END)
        | set(_CLUSTER)
        | set(_BESIDE)
        | {name for name in latency if name.startswith(("handoff_", "stage_"))}
    )
    stages += [Stage("other", text.words(name), latency[name]) for name in sorted(latency.keys() - shown)]
    return stages


def groups(stages: Iterable[Stage]) -> dict[str, list[Stage]]:
    """The same by group, in order."""
    found: dict[str, list[Stage]] = {}
    for stage in stages:
        found.setdefault(stage.group, []).append(stage)
    return found
