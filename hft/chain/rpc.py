"""The RPC client: the methods this project needs, typed, over several endpoints.

Results of the wrong shape count as a fault of the endpoint (``RpcFault`` MALFORMED).
"""

from base64 import b64encode
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from solders.pubkey import Pubkey
from solders.signature import Signature

from hft.chain import rpc_parse
from hft.chain.base58 import b58encode
from hft.chain.rpc_caller import Caller
from hft.chain.rpc_faults import FaultKind, RpcFault
from hft.chain.rpc_parse import AccountsAt, LatestBlockhash, PriorityFee, Statuses
from hft.venues import Account

MAX_ACCOUNTS: Final = 100
MAX_STATUSES: Final = 256
MAX_FEE_ADDRESSES: Final = 128
PROCESSED, CONFIRMED, FINALIZED = "processed", "confirmed", "finalized"

T = TypeVar("T")


class RpcClient(Caller):
    """See the module. ``deadline_ns`` everywhere is on the client's clock; ``only`` names an endpoint."""

    async def latest_blockhash(
        self,
        *,
        deadline_ns: int,
        commitment: str = CONFIRMED,
        min_context_slot: int | None = None,
        only: str | None = None,
    ) -> tuple[LatestBlockhash, str]:
        """The newest blockhash, and the endpoint that gave it; BEHIND if it has not reached
        ``min_context_slot``."""
        options = _options(commitment, min_context_slot)
        answer = await self.call("getLatestBlockhash", [options], deadline_ns=deadline_ns, only=only)
        return typed(answer.endpoint, lambda: rpc_parse.latest_blockhash(answer.result)), answer.endpoint

    async def block_height(
        self,
        *,
        deadline_ns: int,
        commitment: str = CONFIRMED,
        min_context_slot: int | None = None,
        only: str | None = None,
    ) -> int:
        """Blocks below the newest block of ``commitment``."""
        options = _options(commitment, min_context_slot)
        answer = await self.call("getBlockHeight", [options], deadline_ns=deadline_ns, only=only)
        return typed(answer.endpoint, lambda: rpc_parse.count(answer.result, "getBlockHeight"))

    async def slot(self, *, deadline_ns: int, commitment: str = PROCESSED, only: str | None = None) -> int:
        """The newest slot of ``commitment``."""
        answer = await self.call("getSlot", [{"commitment": commitment}], deadline_ns=deadline_ns, only=only)
        return typed(answer.endpoint, lambda: rpc_parse.count(answer.result, "getSlot"))

    async def signature_statuses(
        self, signatures: Sequence[bytes], *, deadline_ns: int, search_history: bool
    ) -> Statuses:
        """Statuses of at most 256 signatures; ``search_history`` also looks beyond the newest blocks."""
        if len(signatures) > MAX_STATUSES:
            raise ValueError(f"{len(signatures)} signatures: at most {MAX_STATUSES} belong in one request")
        words = [str(Signature.from_bytes(one)) for one in signatures]
        options = {"searchTransactionHistory": search_history}
        answer = await self.call("getSignatureStatuses", [words, options], deadline_ns=deadline_ns)
        return typed(answer.endpoint, lambda: rpc_parse.signature_statuses(answer.result, len(signatures)))

    async def accounts(
        self,
        pubkeys: Sequence[bytes],
        *,
        deadline_ns: int,
        commitment: str = PROCESSED,
        min_context_slot: int | None = None,
        only: str | None = None,
    ) -> AccountsAt:
        """At most 100 accounts of one bank."""
        if len(pubkeys) > MAX_ACCOUNTS:
            raise ValueError(f"{len(pubkeys)} accounts: at most {MAX_ACCOUNTS} belong in one request")
        options = {**_options(commitment, min_context_slot), "encoding": "base64"}
        words = [str(Pubkey(one)) for one in pubkeys]
        answer = await self.call("getMultipleAccounts", [words, options], deadline_ns=deadline_ns, only=only)
        return typed(answer.endpoint, lambda: rpc_parse.accounts(answer.result, len(pubkeys)))

    async def program_accounts(
        self, program: bytes, *, size: int, head: bytes = b"", deadline_ns: int, commitment: str = PROCESSED
    ) -> tuple[tuple[bytes, Account], ...]:
        """Accounts of ``program`` with exactly ``size`` bytes of data that begin with ``head``."""
        filters: list[dict[str, Any]] = [{"dataSize": size}]
        if head:
            filters.append({"memcmp": {"offset": 0, "bytes": b58encode(head)}})
        options = {"encoding": "base64", "commitment": commitment, "filters": filters}
        params = [str(Pubkey(program)), options]
        answer = await self.call("getProgramAccounts", params, deadline_ns=deadline_ns)
        return typed(answer.endpoint, lambda: rpc_parse.keyed_accounts(answer.result))

    async def send_transaction(
        self,
        signed: bytes,
        *,
        deadline_ns: int,
        guard: Callable[[], bool],
        skip_preflight: bool = True,
        min_context_slot: int | None = None,
        attempts: int | None = None,
    ) -> tuple[bytes, str]:
        """Hands signed bytes to one endpoint after the other until one takes them: (signature, endpoint).

        That a node took them does not mean that they landed. ``guard`` is asked right before each socket
        write. The node does not send them again by itself (``maxRetries`` 0): that is the follower's.
        """
        options: dict[str, Any] = {
            "encoding": "base64",
            "skipPreflight": skip_preflight,
            "preflightCommitment": PROCESSED,
            "maxRetries": 0,
        }
        if min_context_slot is not None:
            options["minContextSlot"] = min_context_slot
        answer = await self.call(
            "sendTransaction",
            [b64encode(signed).decode(), options],
            deadline_ns=deadline_ns,
            guard=guard,
            attempts=attempts,
        )
        told = typed(answer.endpoint, lambda: rpc_parse.signature(answer.result, "sendTransaction"))
        return told, answer.endpoint

    async def simulate(
        self, signed: bytes, *, deadline_ns: int, options: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """What simulateTransaction says of the bytes (``value``); ``options`` are put over base64 and
        processed."""
        chosen = {"encoding": "base64", "commitment": PROCESSED, **(options or {})}
        params = [b64encode(signed).decode(), chosen]
        answer = await self.call("simulateTransaction", params, deadline_ns=deadline_ns)

        def read() -> dict[str, Any]:
            _, value = rpc_parse.with_context(answer.result, "simulateTransaction")
            return rpc_parse.fields(value, "simulateTransaction.value")

        return typed(answer.endpoint, read)

    async def transaction(
        self, signature: bytes, *, deadline_ns: int, commitment: str = CONFIRMED, encoding: str = "base64"
    ) -> dict[str, Any] | None:
        """The landed transaction with its meta, None if the node has none; ``encoding`` ``json`` for
        ``hft.chain.reading``."""
        options = {"encoding": encoding, "commitment": commitment, "maxSupportedTransactionVersion": 1}
        params = [str(Signature.from_bytes(signature)), options]
        answer = await self.call("getTransaction", params, deadline_ns=deadline_ns)
        if answer.result is None:
            return None
        return typed(answer.endpoint, lambda: rpc_parse.fields(answer.result, "getTransaction"))

    async def recent_priority_fees(self, writable: Sequence[bytes], *, deadline_ns: int) -> list[PriorityFee]:
        """Least fees that landed with write locks on all of ``writable`` (at most 128), block by block."""
        if len(writable) > MAX_FEE_ADDRESSES:
            raise ValueError(f"{len(writable)} addresses: at most {MAX_FEE_ADDRESSES} in one request")
        words = [str(Pubkey(one)) for one in writable]
        answer = await self.call("getRecentPrioritizationFees", [words], deadline_ns=deadline_ns)
        return typed(answer.endpoint, lambda: rpc_parse.priority_fees(answer.result))


def _options(commitment: str, min_context_slot: int | None) -> dict[str, Any]:
    options: dict[str, Any] = {"commitment": commitment}
    if min_context_slot is not None:
        options["minContextSlot"] = min_context_slot
    return options


def typed(endpoint: str, read: Callable[[], T]) -> T:
    try:
        return read()
    except rpc_parse.ShapeError as error:
        raise RpcFault(FaultKind.MALFORMED, endpoint, str(error)) from error
