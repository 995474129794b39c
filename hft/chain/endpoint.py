"""Where the chain is reached: endpoints by name, and the one place that opens sockets to them.

Paper mode opens its sessions with ``Reach.LOOPBACK``: addresses outside 127.0.0.0/8 and ::1 are refused when
the endpoints are given, and again by the socket factory after names are resolved, so that no name, redirect
or proxy leads out of this machine.
"""

import asyncio
import socket
from collections.abc import Iterable
from enum import Enum, IntEnum
from ipaddress import ip_address
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import aiohttp

SECOND_NS: Final = 1_000_000_000
KEEPALIVE_S: Final = 60.0
MAX_CONNECTIONS: Final = 64
EYEBALLS_S: Final = 0.25
"""After so long the next of a host's addresses is tried besides (RFC 8305)."""
_SCHEMES: Final = ("http", "https")
_WS_SCHEMES: Final = ("ws", "wss")


class Reach(Enum):
    """How far sockets may go."""

    LOOPBACK = "loopback"
    ANYWHERE = "anywhere"


class EndpointErrorCode(IntEnum):
    """Why an endpoint is refused."""

    BAD_URL = 1
    NOT_LOOPBACK = 2
    NONE_GIVEN = 3
    DOUBLE_NAME = 4


class EndpointError(Exception):
    """An endpoint is refused; ``code`` says why. The text names host and endpoint, never a URL's path or
    query, which may hold a key."""

    def __init__(self, code: EndpointErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class Endpoint(NamedTuple):
    """One server. ``interval_ns``: time from which it allows one more request; ``burst``: requests at once.

    ``headers`` go with every request (``x-jito-auth``, ``x-api-key``, ``x-token``). ``repr`` shows the name
    and the host alone.
    """

    name: str
    url: str
    ws_url: str = ""
    interval_ns: int = 100_000_000
    burst: int = 40
    headers: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        return f"Endpoint({self.name} at {host_of(self.url or self.ws_url)})"


def host_of(url: str) -> str:
    """Host and port of a URL, without user, path and query."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "a malformed address"
    return host if port is None else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether ``host`` is a loopback address, or ``localhost`` (which the socket factory checks again)."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def check_endpoints(endpoints: Iterable[Endpoint], reach: Reach) -> tuple[Endpoint, ...]:
    """The endpoints, if all of them may be used.

    ``EndpointError``: NONE_GIVEN, DOUBLE_NAME, BAD_URL (http, https; ws, wss), NOT_LOOPBACK.
    """
    checked = tuple(endpoints)
    if not checked:
        raise EndpointError(EndpointErrorCode.NONE_GIVEN, "no endpoint is given: at least one is needed")
    names = [endpoint.name for endpoint in checked]
    for endpoint in checked:
        if names.count(endpoint.name) > 1:
            raise EndpointError(
                EndpointErrorCode.DOUBLE_NAME, f"endpoint {endpoint.name}: each needs a name of its own"
            )
        for url, schemes in ((endpoint.url, _SCHEMES), (endpoint.ws_url, _WS_SCHEMES)):
            if url:
                check_url(url, schemes, reach, endpoint.name)
    return checked


def check_url(url: str, schemes: tuple[str, ...], reach: Reach, name: str) -> None:
    """``EndpointError`` BAD_URL or NOT_LOOPBACK if ``url`` must not be used."""
    try:
        parts = urlsplit(url)
        host, scheme = parts.hostname or "", parts.scheme
        _ = parts.port
    except ValueError:
        host = scheme = ""
    if not host or scheme not in schemes:
        raise EndpointError(
            EndpointErrorCode.BAD_URL,
            f"endpoint {name}: {' or '.join(schemes)}://host[:port]/… belongs there",
        )
    if reach is Reach.LOOPBACK and not is_loopback(host):
        raise EndpointError(
            EndpointErrorCode.NOT_LOOPBACK,
            f"endpoint {name}: {host} is not on this machine; paper mode takes 127.0.0.0/8 and ::1 only",
        )


async def loopback_socket(host: str, port: int) -> socket.socket:
    """A socket connected to this machine. ``EndpointError`` NOT_LOOPBACK if the name means another machine;
    ``OSError`` if nobody listens."""
    loop = asyncio.get_running_loop()
    failure: OSError | None = None
    for family, kind, protocol, _, place in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        made = _loopback_socket((family, kind, protocol, "", place))
        try:
            await loop.sock_connect(made, place)
        except OSError as error:
            made.close()
            failure = error
        except BaseException:
            made.close()
            raise
        else:
            return made
    raise failure or OSError(f"{host} has no address")


def open_session(reach: Reach, *, max_connections: int = MAX_CONNECTIONS) -> aiohttp.ClientSession:
    """A session whose sockets stay within ``reach``; to be called within a running loop and closed by the
    caller.

    No proxies of the environment, no cookies, no time-outs of its own: each request brings its deadline.
    """
    connector = aiohttp.TCPConnector(
        limit=max_connections,
        keepalive_timeout=KEEPALIVE_S,
        socket_factory=_loopback_socket if reach is Reach.LOOPBACK else _socket,
    )
    return aiohttp.ClientSession(
        connector=connector,
        trust_env=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
    )


def _socket(address: tuple[Any, ...]) -> socket.socket:
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setblocking(False)
    return made


def _loopback_socket(address: tuple[Any, ...]) -> socket.socket:
    host = str(address[4][0])
    if not is_loopback(host):
        raise EndpointError(
            EndpointErrorCode.NOT_LOOPBACK, f"{host} is not on this machine; paper mode never leaves it"
        )
    return _socket(address)
