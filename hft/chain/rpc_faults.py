"""What a JSON-RPC answer means: a result, or a fault with its kind. Pure: bytes in, value or fault out."""

import json
from decimal import Decimal
from enum import IntEnum
from typing import Any, Final

import orjson

MAX_MESSAGE: Final = 300


class FaultKind(IntEnum):
    """Why a call gave no result."""

    TIMEOUT = 1
    CONNECTION = 2
    RATE_LIMITED = 3
    SERVER_ERROR = 4
    MALFORMED = 5
    TOO_LARGE = 6
    UNHEALTHY = 7
    """−32005: the node is behind, by its own word."""
    BEHIND = 8
    """−32016: the node has not reached the slot that was asked for."""
    HTTP_REFUSED = 9
    RPC_ERROR = 10
    """The node understood and says no: asking again gives the same answer."""
    DEADLINE = 11
    """No endpoint could be asked in time."""
    KILLED = 12
    """The guard before the socket write said no; nothing was written."""


RETRIED: Final = frozenset(
    (
        FaultKind.TIMEOUT,
        FaultKind.CONNECTION,
        FaultKind.RATE_LIMITED,
        FaultKind.SERVER_ERROR,
        FaultKind.MALFORMED,
        FaultKind.UNHEALTHY,
        FaultKind.BEHIND,
    )
)
"""Faults of an endpoint, not of the question: another one, or the same one later, may answer."""
AMBIGUOUS: Final = frozenset(
    (
        FaultKind.TIMEOUT,
        FaultKind.CONNECTION,
        FaultKind.SERVER_ERROR,
        FaultKind.MALFORMED,
        FaultKind.TOO_LARGE,
    )
)
"""Faults after which what was written may have been carried out all the same."""

PREFLIGHT_FAILED: Final = -32002
SIGNATURE_FAILED: Final = -32003
NODE_UNHEALTHY: Final = -32005
MIN_CONTEXT_SLOT: Final = -32016
INVALID_PARAMS: Final = -32602
RATE_LIMITED_CODES: Final = frozenset((-32097, -32429, 429))


class RpcFault(Exception):
    """A call gave no result. ``written``: bytes of the request may have reached the server.

    ``code``: the JSON-RPC error's, or the HTTP status, or 0; ``data``: the error's ``data``;
    ``context_slot``: where −32016 says the node stands.
    """

    def __init__(
        self,
        kind: FaultKind,
        endpoint: str,
        message: str,
        *,
        code: int = 0,
        data: Any = None,
        written: bool = True,
        retry_after_ns: int = 0,
    ) -> None:
        super().__init__(f"{endpoint}: {kind.name.lower()}: {message[:MAX_MESSAGE]}")
        self.kind = kind
        self.endpoint = endpoint
        self.message = message[:MAX_MESSAGE]
        self.code = code
        self.data = data
        self.written = written
        self.retry_after_ns = retry_after_ns
        self.maybe_done = self.ambiguous
        """Like ``ambiguous``, over every attempt of a call."""

    @property
    def ambiguous(self) -> bool:
        """Whether what was asked for may have been done nevertheless."""
        return self.written and self.kind in AMBIGUOUS

    @property
    def context_slot(self) -> int | None:
        """The slot the node stands at, if it said so."""
        slot = self.data.get("contextSlot") if isinstance(self.data, dict) else None
        return slot if is_count(slot) else None


def is_count(value: object) -> bool:
    """Whether ``value`` is a whole number of u64 as JSON gives it (``True`` is none)."""
    return type(value) is int and 0 <= value < 1 << 64


def retry_after_ns(header: str | None) -> int:
    """The ``Retry-After`` header in ns, at most a minute; 0 if absent or a date."""
    if header is None or not header.isdecimal() or len(header) > 6:
        return 0
    return min(int(header), 60) * 1_000_000_000


def read_answer(endpoint: str, request_id: int, status: int, body: bytes, retry_after: str | None) -> Any:
    """The result of an answer to request ``request_id``.

    ``RpcFault`` for an HTTP error, for what is no JSON-RPC answer to this request, and for an error in it.
    """
    if status == 429:
        raise RpcFault(
            FaultKind.RATE_LIMITED,
            endpoint,
            "HTTP 429",
            code=429,
            retry_after_ns=retry_after_ns(retry_after),
        )
    if status >= 500:
        raise RpcFault(FaultKind.SERVER_ERROR, endpoint, f"HTTP {status}", code=status)
    try:
        answer = orjson.loads(body)
    except ValueError as reason:
        raise _no_json(endpoint, body, status) from reason
    error = answer.get("error") if isinstance(answer, dict) else None
    if error is not None:
        raise _error_fault(endpoint, error, status, retry_after)
    if status != 200:
        text = body[:MAX_MESSAGE].decode(errors="replace")
        raise RpcFault(FaultKind.HTTP_REFUSED, endpoint, f"HTTP {status}: {text}", code=status)
    if not isinstance(answer, dict) or "result" not in answer:
        raise RpcFault(FaultKind.MALFORMED, endpoint, "an answer without result and error", code=status)
    if answer.get("id") != request_id:
        raise RpcFault(FaultKind.MALFORMED, endpoint, f"an answer to {answer.get('id')!r}, not {request_id}")
    return answer["result"]


def read_json(endpoint: str, body: bytes, status: int = 200) -> Any:
    """``body`` as JSON, numbers with a fraction as ``Decimal``; or ``RpcFault`` MALFORMED (HTTP_REFUSED where
    the status says so already)."""
    try:
        return json.loads(body, parse_float=Decimal, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise _no_json(endpoint, body, status) from error


def _no_json(endpoint: str, body: bytes, status: int) -> RpcFault:
    kind = FaultKind.MALFORMED if status == 200 else FaultKind.HTTP_REFUSED
    text = body[:MAX_MESSAGE].decode(errors="replace")
    return RpcFault(kind, endpoint, f"HTTP {status}, no JSON: {text!r}", code=status)


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")


def _error_fault(endpoint: str, error: Any, status: int, retry_after: str | None) -> RpcFault:
    if not isinstance(error, dict) or type(error.get("code")) is not int:
        text = str(error)
        kind = FaultKind.MALFORMED if status == 200 else FaultKind.HTTP_REFUSED
        return RpcFault(kind, endpoint, text, code=status)
    code, message, data = error["code"], str(error.get("message", "")), error.get("data")
    if code in RATE_LIMITED_CODES:
        kind = FaultKind.RATE_LIMITED
    elif code == NODE_UNHEALTHY:
        kind = FaultKind.UNHEALTHY
    elif code == MIN_CONTEXT_SLOT:
        kind = FaultKind.BEHIND
    else:
        kind = FaultKind.RPC_ERROR
    return RpcFault(
        kind,
        endpoint,
        f"{code} {message}",
        code=code,
        data=data,
        retry_after_ns=retry_after_ns(retry_after),
    )
