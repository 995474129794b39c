"""Faults on demand: what is to go wrong, where, and how often.

A fault meets the requests of one node or of all, of one method or of all, ``times`` times or (0) until it is
cleared. The actions among them (a fork that loses, a blockhash that dies, slots without a block, streams that
break) happen once.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

ACTIONS: Final = ("fork_revert", "expired_blockhash", "skip_slots", "cut_streams")
REQUEST_FAULTS: Final = (
    "latency",
    "rate_limit",
    "server_error",
    "hang",
    "malformed_json",
    "rpc_error",
    "disconnect",
    "lost_answer",
)
STATE_FAULTS: Final = (
    "silent_websocket",
    "lagging_node",
    "dropped_bundle",
    "unbundled_bundle",
    "dropped_transaction",
    "tip_floor_spike",
    "tip_floor_lamports",
    "tip_floor_absent",
)
MAX_FAULTS: Final = 256
MAX_TIMES: Final = 1_000_000
MAX_MS: Final = 600_000
MAX_SLOTS: Final = 300
_TEXTS: Final = ("kind", "node", "method")
_NUMBERS: Final = {
    "times": (0, MAX_TIMES),
    "ms": (0, MAX_MS),
    "slots": (0, MAX_SLOTS),
    "status": (500, 599),
    "code": (-40_000, -1),
}
EXPLAINED: Final[Mapping[str, str]] = {
    "latency": "answers come `ms` later",
    "rate_limit": "HTTP 429",
    "server_error": "HTTP `status` (default 503)",
    "hang": "the request is read and never answered, nor carried out",
    "malformed_json": "the answer is cut in half",
    "rpc_error": "a JSON-RPC error with `code` (default -32005)",
    "disconnect": "the connection ends before an answer",
    "lost_answer": "the request is carried out, its answer never comes",
    "silent_websocket": "subscriptions (WebSocket, gRPC) stay open and say nothing",
    "lagging_node": "the node knows nothing newer than `slots` slots ago",
    "dropped_bundle": "a bundle gets its id and never a place: Invalid",
    "unbundled_bundle": "a bundle's transactions land one by one",
    "dropped_transaction": "a transaction gets its signature back and never lands",
    "tip_floor_spike": "the tip floor is a hundred times what landed",
    "tip_floor_lamports": "the tip floor is told in lamports instead of SOL",
    "tip_floor_absent": "the tip floor is an empty list",
    "fork_revert": "the newest `slots` slots never were",
    "expired_blockhash": "every blockhash given out so far is dead at once",
    "skip_slots": "the next `slots` slots have no block",
    "cut_streams": "every WebSocket and gRPC stream breaks",
}


class FaultError(ValueError):
    """A fault that can't be; the text names the value and what would be right."""


class Fault(NamedTuple):
    """One fault as asked for; empty ``node`` and ``method`` mean all, ``times`` 0 until cleared."""

    number: int
    kind: str
    node: str = ""
    method: str = ""
    times: int = 1
    ms: int = 0
    slots: int = 0
    status: int = 503
    code: int = -32005


class Faults:
    """The faults that stand, and how often each kind was met."""

    def __init__(self) -> None:
        self._standing: dict[int, Fault] = {}
        self._number = 0
        self.met: Counter[str] = Counter()

    def parse(self, asked: Mapping[str, Any]) -> Fault:
        """The fault that a JSON object asks for. ``FaultError`` names what is wrong with it."""
        kind = asked.get("kind")
        if kind not in EXPLAINED:
            raise FaultError(f"kind {kind!r:.60} is none of {', '.join(EXPLAINED)}")
        unknown = set(asked) - set(_TEXTS) - set(_NUMBERS)
        if unknown:
            known = ", ".join((*_TEXTS, *_NUMBERS))
            raise FaultError(f"{', '.join(sorted(unknown))!s:.80}: {known} are known")
        for name in _TEXTS:
            text = asked.get(name, "")
            if not isinstance(text, str) or len(text) > 64:
                raise FaultError(f"{name} {text!r:.80} must be a text of at most 64 letters")
        for name, (low, high) in _NUMBERS.items():
            value = asked.get(name, low)
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise FaultError(f"{name} {value!r:.40} must be an integer {low}..{high}")
        self._number += 1
        return Fault(self._number, **asked)

    def add(self, fault: Fault) -> None:
        """Lets it stand. ``FaultError`` if too many do."""
        if len(self._standing) >= MAX_FAULTS:
            raise FaultError(f"{MAX_FAULTS} faults stand already: clear some")
        self._standing[fault.number] = fault

    def clear(self, number: int = 0) -> int:
        """Takes one fault away, or all (0); returns how many went."""
        before = len(self._standing)
        if number:
            self._standing.pop(number, None)
        else:
            self._standing.clear()
        return before - len(self._standing)

    @property
    def standing(self) -> int:
        """How many faults stand."""
        return len(self._standing)

    def list(self) -> list[Fault]:
        """Those that stand, oldest first."""
        return list(self._standing.values())

    def find(self, kind: str, node: str = "", method: str = "") -> Fault | None:
        """The first standing fault of this kind that meets the node and method; it is not counted."""
        for fault in self._standing.values():
            if fault.kind == kind and fault.node in ("", node) and fault.method in ("", method):
                return fault
        return None

    def take(self, kind: str, node: str = "", method: str = "") -> Fault | None:
        """``find``, counted: one that was to come ``times`` times is gone after the last."""
        if not self._standing:
            return None
        fault = self.find(kind, node, method)
        if fault is None:
            return None
        self.met[kind] += 1
        if fault.times == 1:
            del self._standing[fault.number]
        elif fault.times:
            self._standing[fault.number] = fault._replace(times=fault.times - 1)
        return fault
