"""The administration of a local cluster: faults on demand, and figures.

GET /admin/faults      those that stand, and how often each kind was met
POST /admin/faults     {"kind": …, …}: adds one, or carries an action out
DELETE /admin/faults   takes them away; {"number": N}: that one
GET /admin/state       slot, counts
"""

import json
from typing import Any

from hft.simnet.cluster import Cluster
from hft.simnet.faults import FaultError


def handle(cluster: Cluster, method: str, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
    """(HTTP status, JSON object) of one request."""
    if path == "state" and method == "GET":
        return 200, state(cluster)
    if path != "faults":
        return 404, {"error": f"{path!r:.60}: faults and state are there"}
    if method == "GET":
        return 200, _faults(cluster)
    try:
        asked = json.loads(body) if body else {}
        if not isinstance(asked, dict):
            raise FaultError(f"an object belongs there, not {asked!r:.60}")
        if method == "DELETE":
            number = asked.get("number", 0)
            if not isinstance(number, int):
                raise FaultError(f"number {number!r:.40} must be an integer")
            return 200, {"cleared": cluster.faults.clear(number)}
        if method != "POST":
            return 405, {"error": "GET, POST and DELETE are served"}
        fault = cluster.faults.parse(asked)
        cluster.act(fault)
    except (FaultError, ValueError) as error:
        return 400, {"error": str(error)}
    return 200, fault._asdict()


def _faults(cluster: Cluster) -> dict[str, Any]:
    return {
        "standing": [fault._asdict() for fault in cluster.faults.list()],
        "met": dict(cluster.faults.met),
    }


def state(cluster: Cluster) -> dict[str, Any]:
    """Slot, height and counts."""
    bank = cluster.bank
    return {
        "slot": bank.slot,
        "block_height": bank.block_height,
        "pools": len(bank.pools),
        "accounts": len(bank.accounts),
        "transactions": cluster.ledger.count,
        "outcomes": dict(cluster.outcomes),
        "queued": cluster.queued,
        "updates": cluster.updates,
        "bundles": len(cluster.engine.bundles),
        "bundles_dropped": cluster.engine.dropped,
        "flow": cluster.flow.counts._asdict(),
        "rival": cluster.rival.counts._asdict(),
        "standstills": cluster.standstills,
    }
