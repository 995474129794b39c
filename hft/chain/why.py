"""Why a server can't be reached, in words for a log: never a URL, whose path or query may hold a key, nor
what a server's answer says."""

import socket
import ssl
from typing import Final

import aiohttp
from picows.common import WSInvalidStatusError

from hft.chain.rpc_faults import FaultKind, RpcFault
from hft.chain.rpc_parse import ShapeError
from hft.chain.subscribe_channel import ChannelError, ChannelErrorCode

NOT_IN_TIME: Final = "no answer in time"
_ENDS: Final = {
    ChannelErrorCode.CLOSED: "the connection ended",
    ChannelErrorCode.SILENT: "open, but nothing comes",
    ChannelErrorCode.MALFORMED: "what it says makes no sense",
    ChannelErrorCode.REFUSED: "it takes no such subscription",
    ChannelErrorCode.TIMEOUT: "a request was not answered in time",
}
_FAULTS: Final = {
    FaultKind.TIMEOUT: NOT_IN_TIME,
    FaultKind.DEADLINE: NOT_IN_TIME,
    FaultKind.MALFORMED: "its answer makes no sense",
    FaultKind.TOO_LARGE: "its answer is too large",
    FaultKind.UNHEALTHY: "it is behind, by its own word",
    FaultKind.BEHIND: "it has not reached the slot that was asked for",
}


def why(error: BaseException, before: str = "") -> str:
    """Of an error of ``Channel`` or ``RpcClient``, or of what they read. ``before``: what was told of the
    one before, which stands where nobody was asked again."""
    cause = error.__cause__
    if isinstance(error, ShapeError):
        return _FAULTS[FaultKind.MALFORMED]
    if isinstance(error, RpcFault):
        if before and error.kind is FaultKind.DEADLINE:
            return before
        return f"JSON-RPC: {_fault(error, cause)}"
    if isinstance(error, ChannelError) and error.code in _ENDS:
        return _ENDS[error.code]
    return _unconnected(error if cause is None else cause)


def _fault(fault: RpcFault, cause: BaseException | None) -> str:
    if fault.kind in _FAULTS:
        return _FAULTS[fault.kind]
    if fault.kind is FaultKind.CONNECTION and cause is not None:
        return _unconnected(cause)
    return f"error {fault.code}" if fault.kind is FaultKind.RPC_ERROR else _http(fault.code)


def _http(status: int) -> str:
    hint = " (is the key right?)" if status in (401, 403) else ""
    return f"HTTP {status}{hint}"


def _unconnected(error: BaseException) -> str:
    """Most of these are each other's kinds: the special ones first."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return _unconnected(error.certificate_error)
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted: {error.verify_message}"
        case aiohttp.ClientConnectorError():
            return _unconnected(error.os_error)
        case WSInvalidStatusError() if error.response is not None:
            return _http(int(error.response.status))
        case TimeoutError():
            return NOT_IN_TIME
        case ConnectionRefusedError():
            return "nobody listens there"
        case socket.gaierror():
            return f"its name is not found: {error.strerror}"
        case ssl.SSLError():
            return f"no TLS there: {error.reason or 'unreadable'}"
        case OSError() if error.strerror:
            return error.strerror
        case _:
            return f"the connection failed: {type(error).__name__}"
