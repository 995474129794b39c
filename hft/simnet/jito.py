"""The block engine's JSON-RPC methods, and its tip figures."""

from datetime import UTC, datetime
from typing import Any, Final

from solders.pubkey import Pubkey
from solders.signature import Signature

from hft.chain.tips import MINIMUM_TIP_LAMPORTS, TIP_ACCOUNTS
from hft.simnet.block_engine import MAX_TRANSACTIONS, Bundle, BundleState
from hft.simnet.cluster import Cluster
from hft.simnet.rpc import INVALID_PARAMS, Method, Params, RpcError, View, config_at, required, sequence
from hft.simnet.rpc_transactions import deliver
from hft.simnet.wire_bytes import decoded

MAX_BUNDLES: Final = 5
INFLIGHT_SLOTS: Final = 750  # five minutes of 400 ms
LAMPORTS_PER_SOL: Final = 1_000_000_000
SPIKE: Final = 100
LAMPORTS: Final = "tip_floor_lamports"
PERCENTILES: Final = (25, 50, 75, 95, 99)
# What landed bundles paid on a day of mainnet, roughly: told until this cluster has landed some of its own.
# The tips of everybody else's bundles: a floor made of this market's few trades alone would be raised by the
# very tips that it raises.
_OTHERS: Final = (
    *(1_000,) * 1_000,
    *(5_000,) * 1_000,
    *(30_000,) * 800,
    *(1_000_000,) * 160,
    *(5_000_000,) * 40,
)

# Paths below /api/v1/ and the methods that are served there; sendBundle's path takes every method.
PATHS: Final[dict[str, tuple[str, ...]]] = {
    "bundles": (
        "sendBundle",
        "getBundleStatuses",
        "getInflightBundleStatuses",
        "getTipAccounts",
    ),
    "getBundleStatuses": ("getBundleStatuses",),
    "getInflightBundleStatuses": ("getInflightBundleStatuses",),
    "getTipAccounts": ("getTipAccounts",),
    "transactions": ("sendTransaction",),
}


def send_bundle(view: View, params: Params) -> str:
    """``sendBundle``: its id, which does not mean that it lands. The default encoding is base58."""
    texts = sequence(required(params, 0), "bundle", MAX_TRANSACTIONS)
    if not texts:
        raise RpcError(INVALID_PARAMS, "bundle must contain at least one transaction")
    encoding = config_at(params, 1).get("encoding", "base58")
    return view.cluster.bundle_now([decoded(text, encoding) for text in texts])


def send_transaction(view: View, params: Params, bundle_only: bool) -> tuple[str, str]:
    """``sendTransaction`` of the block engine: (signature, bundle id); never a preflight."""
    raw = decoded(required(params, 0), config_at(params, 1).get("encoding", "base58"))
    name = view.cluster.bundle_now([raw])
    signature = deliver(view, raw) if not bundle_only else raw[1:65]
    return str(Signature(signature)), name


def get_bundle_statuses(view: View, params: Params) -> Any:
    """``getBundleStatuses``: of bundles that landed; ``null`` for all others."""
    names = sequence(required(params, 0), "bundle ids", MAX_BUNDLES)
    engine = view.cluster.engine
    return {
        "context": {"slot": view.slot()},
        "value": [_landed(view, engine.state_of(str(name))) for name in names],
    }


def _landed(view: View, bundle: Bundle | None) -> dict[str, Any] | None:
    if bundle is None or bundle.slot is None or bundle.slot > view.slot():
        return None
    return {
        "bundle_id": bundle.name,
        "transactions": [str(Signature(one)) for one in bundle.signatures],
        "slot": bundle.slot,
        "confirmation_status": view.cluster.ledger.commitment(bundle.slot, view.slot()).name.lower(),
        "err": {"Ok": None},
    }


def get_inflight_bundle_statuses(view: View, params: Params) -> Any:
    """``getInflightBundleStatuses``: Invalid for ids that nobody knows (any more)."""
    names = sequence(required(params, 0), "bundle ids", MAX_BUNDLES)
    return {
        "context": {"slot": view.slot()},
        "value": [_inflight(view, str(name)) for name in names],
    }


def _inflight(view: View, name: str) -> dict[str, Any]:
    bundle = view.cluster.engine.state_of(name)
    old = bundle is not None and bundle.slot is not None and bundle.slot < view.slot() - INFLIGHT_SLOTS
    if bundle is None or old:
        return {"bundle_id": name, "status": BundleState.INVALID, "landed_slot": None}
    return {"bundle_id": name, "status": bundle.state, "landed_slot": bundle.slot}


def get_tip_accounts(_: View, __: Params) -> list[str]:
    """``getTipAccounts``"""
    return [str(Pubkey(account)) for account in TIP_ACCOUNTS]


def tip_floor(cluster: Cluster, unix_s: int, node: str = "") -> list[dict[str, Any]]:
    """The tip floor: percentiles of tips that landed, here and of everybody else's bundles, in SOL as floats
    (not lamports), or as a fault has it."""
    take = cluster.faults.take
    if take("tip_floor_absent", node):
        return []
    scale = SPIKE if take("tip_floor_spike", node) else LAMPORTS_PER_SOL if take(LAMPORTS, node) else 1
    tips = sorted((*_OTHERS, *cluster.engine.tips))
    found: dict[str, Any] = {"time": datetime.fromtimestamp(unix_s, UTC).isoformat()}
    for share in PERCENTILES:
        sol = max(tips[len(tips) * share // 100], MINIMUM_TIP_LAMPORTS) / LAMPORTS_PER_SOL
        found[f"landed_tips_{share}th_percentile"] = sol * scale
    found["ema_landed_tips_50th_percentile"] = found["landed_tips_50th_percentile"]
    return [found]


METHODS: Final[dict[str, Method]] = {
    "sendBundle": send_bundle,
    "getBundleStatuses": get_bundle_statuses,
    "getInflightBundleStatuses": get_inflight_bundle_statuses,
    "getTipAccounts": get_tip_accounts,
}
