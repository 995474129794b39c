"""Jito's block engine: bundles, their statuses, tip accounts and the tip floor.

A bundle id says that the engine took the bundle, not that it landed: the follower finds that out.
"""

from base64 import b64encode
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, Final, NamedTuple

from hft.chain import rpc_parse
from hft.chain.endpoint import SECOND_NS, Endpoint
from hft.chain.rpc import typed
from hft.chain.rpc_caller import Caller
from hft.chain.rpc_faults import INVALID_PARAMS, FaultKind, RpcFault

BUNDLES: Final = "/api/v1/bundles"
TRANSACTIONS: Final = "/api/v1/transactions"
BUNDLE_STATUSES: Final = "/api/v1/getBundleStatuses"
INFLIGHT_STATUSES: Final = "/api/v1/getInflightBundleStatuses"
TIP_ACCOUNTS: Final = "/api/v1/getTipAccounts"
TIP_FLOOR: Final = "/api/v1/bundles/tip_floor"
MAX_TRANSACTIONS: Final = 5
MAX_STATUSES: Final = 5
MAX_ID: Final = 128


class BundleState(Enum):
    """What the engine says of a bundle. INVALID: it does not know it, or not any more; that is no end."""

    INVALID = "Invalid"
    PENDING = "Pending"
    FAILED = "Failed"
    LANDED = "Landed"


class BundleStatus(NamedTuple):
    """One bundle of the last five minutes; ``landed_slot`` is None unless LANDED."""

    bundle_id: str
    state: BundleState
    landed_slot: int | None


def jito_endpoint(
    name: str, url: str, *, auth: str = "", requests_per_second: int = 1, burst: int = 1
) -> Endpoint:
    """A block engine's address; ``auth``: the uuid for ``x-jito-auth``, if there is one."""
    headers = (("x-jito-auth", auth),) if auth else ()
    return Endpoint(name, url, "", SECOND_NS // requests_per_second, burst, headers)


def already_processed(fault: RpcFault) -> bool:
    """Whether the engine refused because the transaction has landed already."""
    return fault.code == INVALID_PARAMS and "already processed" in fault.message.lower()


class JitoClient(Caller):
    """See the module; one endpoint a region. ``deadline_ns`` is on the client's clock."""

    async def send_bundle(
        self,
        signed: Sequence[bytes],
        *,
        deadline_ns: int,
        guard: Callable[[], bool],
        attempts: int | None = None,
    ) -> tuple[str, str, bool]:
        """Hands over at most five signed transactions: (bundle id, endpoint, whether an attempt before it may
        have handed them over as well). ``guard`` is asked right before each socket write."""
        if not 1 <= len(signed) <= MAX_TRANSACTIONS:
            raise ValueError(f"{len(signed)} transactions: 1 to {MAX_TRANSACTIONS} make a bundle")
        words = [b64encode(one).decode() for one in signed]
        answer = await self.call(
            "sendBundle",
            [words, {"encoding": "base64"}],
            deadline_ns=deadline_ns,
            path=BUNDLES,
            guard=guard,
            attempts=attempts,
        )
        if not isinstance(answer.result, str) or not 0 < len(answer.result) <= MAX_ID:
            raise RpcFault(FaultKind.MALFORMED, answer.endpoint, f"bundle id {str(answer.result)[:80]!r}")
        return answer.result, answer.endpoint, answer.again

    async def send_transaction(
        self, signed: bytes, *, deadline_ns: int, guard: Callable[[], bool], bundle_only: bool = True
    ) -> tuple[bytes, str]:
        """Hands over one transaction, as a bundle of its own if ``bundle_only``: (signature, bundle id)."""
        path = TRANSACTIONS + ("?bundleOnly=true" if bundle_only else "")
        params = [b64encode(signed).decode(), {"encoding": "base64"}]
        answer = await self.call("sendTransaction", params, deadline_ns=deadline_ns, path=path, guard=guard)
        told = typed(answer.endpoint, lambda: rpc_parse.signature(answer.result, "sendTransaction"))
        return told, answer.bundle_id

    async def inflight_statuses(self, bundle_ids: Sequence[str], *, deadline_ns: int) -> list[BundleStatus]:
        """Statuses of at most five bundles, in their order; INVALID for those the engine says nothing of."""
        answer = await self._statuses("getInflightBundleStatuses", INFLIGHT_STATUSES, bundle_ids, deadline_ns)
        return typed(answer.endpoint, lambda: inflight(answer.result, bundle_ids))

    async def landed_statuses(self, bundle_ids: Sequence[str], *, deadline_ns: int) -> list[BundleStatus]:
        """Landed ones of at most five bundles (getBundleStatuses); the others as INVALID."""
        answer = await self._statuses("getBundleStatuses", BUNDLE_STATUSES, bundle_ids, deadline_ns)
        return typed(answer.endpoint, lambda: landed(answer.result, bundle_ids))

    async def tip_accounts(self, *, deadline_ns: int) -> tuple[bytes, ...]:
        """The engine's tip accounts, 32 bytes each."""
        answer = await self.call("getTipAccounts", [], deadline_ns=deadline_ns, path=TIP_ACCOUNTS)

        def read() -> tuple[bytes, ...]:
            told = rpc_parse.items(answer.result, "getTipAccounts")
            if not told:
                raise rpc_parse.ShapeError("getTipAccounts: none; at least one belongs there")
            return tuple(rpc_parse.key(one, "tip account") for one in told)

        return typed(answer.endpoint, read)

    async def tip_floor(self, *, deadline_ns: int) -> Any:
        """The tip floor's JSON, for ``hft.chain.tips.read_tip_floor``; lies on a host of its own on mainnet,
        which is then this client's endpoint."""
        return (await self.get(TIP_FLOOR, deadline_ns=deadline_ns)).result

    async def _statuses(self, method: str, path: str, bundle_ids: Sequence[str], deadline_ns: int) -> Any:
        if len(bundle_ids) > MAX_STATUSES:
            raise ValueError(f"{len(bundle_ids)} bundles: at most {MAX_STATUSES} belong in one request")
        return await self.call(method, [list(bundle_ids)], deadline_ns=deadline_ns, path=path)


def inflight(result: Any, asked: Sequence[str]) -> list[BundleStatus]:
    """The result of getInflightBundleStatuses, in the order asked; ``ShapeError`` if it is none."""
    found: dict[str, BundleStatus] = {}
    for told in _entries(result, "getInflightBundleStatuses"):
        try:
            state = BundleState(told.get("status"))
        except ValueError:
            raise rpc_parse.ShapeError(f"bundle status {str(told.get('status'))[:40]!r}") from None
        slot = told.get("landed_slot")
        name = str(told.get("bundle_id"))
        found[name] = BundleStatus(
            name, state, None if slot is None else rpc_parse.count(slot, "landed_slot")
        )
    return [found.get(one, BundleStatus(one, BundleState.INVALID, None)) for one in asked]


def landed(result: Any, asked: Sequence[str]) -> list[BundleStatus]:
    """The result of getBundleStatuses, in the order asked; its ``err`` is the transactions', whose own status
    tells."""
    found: dict[str, BundleStatus] = {}
    for told in _entries(result, "getBundleStatuses"):
        name = str(told.get("bundle_id"))
        found[name] = BundleStatus(name, BundleState.LANDED, rpc_parse.count(told.get("slot"), "slot"))
    return [found.get(one, BundleStatus(one, BundleState.INVALID, None)) for one in asked]


def _entries(result: Any, method: str) -> list[dict[str, Any]]:
    if result is None:
        return []
    _, value = rpc_parse.with_context(result, method)
    if value is None:
        return []
    return [rpc_parse.fields(one, method) for one in rpc_parse.items(value, method) if one is not None]
