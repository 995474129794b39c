"""A dry run's place where a sender would be: signed bytes are simulated, and nothing here can send them."""

from collections import Counter
from typing import Final

from hft.chain.journal_records import Intent
from hft.chain.rpc import RpcClient
from hft.chain.rpc_faults import RpcFault
from hft.chain.submit import SendOutcome, SendState, error_of

LIMIT_NS: Final = 2_000_000_000


class Rehearsal:
    """Simulates: the outcome is always REHEARSED, nobody has the bytes; its reason tells what would have
    been."""

    unwritten = 0

    def __init__(self, rpc: RpcClient) -> None:
        self._rpc = rpc
        self.outcomes: Counter[str] = Counter()
        self.fallbacks = 0

    def note(self, intent: Intent) -> None:
        """Nothing: what can't land needs no journal."""

    async def submit(self, intent: Intent, expires_ns: int) -> SendOutcome:
        """Simulates the signed bytes on the newest state of an RPC node."""
        deadline_ns = min(self._rpc.now_ns + LIMIT_NS, expires_ns)
        try:
            told = await self._rpc.simulate(intent.signed, deadline_ns=deadline_ns)
        except RpcFault as fault:
            self.outcomes["unanswered"] += 1
            return SendOutcome(SendState.REHEARSED, fault=fault, reason=f"dry run, not simulated: {fault}")
        index, code, name = error_of(told.get("err"))
        if name:
            self.outcomes["failed"] += 1
            where = "" if index is None else f" at {index}"
            which = "" if code is None else f" {code}"
            return SendOutcome(SendState.REHEARSED, reason=f"dry run: {name}{which}{where}")
        self.outcomes["succeeded"] += 1
        return SendOutcome(SendState.REHEARSED, reason=f"dry run: ok, {told.get('unitsConsumed')} units")
