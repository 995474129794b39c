"""What a transport offers: one-way links from one sender to one or more readers, both made inside workers."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, NamedTuple


class Sender(NamedTuple):
    """The writing end, in a worker."""

    send: Callable[[bytes], object]
    """Hand a record on; False (and only that) says: full, try again."""
    close: Callable[[], object]
    send_batch: Callable[[list[bytes]], object] | None = None
    """Hand all of them on, however long it takes."""
    raw: Any = None
    """The library's own object, for shapes that use more of it."""


class Reader(NamedTuple):
    """The reading end, in a worker."""

    take: Callable[[], bytes | None]
    """The next record; without one a polled transport gives None, any other sleeps until there is one."""
    close: Callable[[], object]
    take_batch: Callable[[], list[bytes]] | None = None
    """Some records, or none, as take()."""
    raw: Any = None


class Link(NamedTuple):
    """One sender, one or more readers. The ends' makers are picklable and run in the workers."""

    sender: Callable[[], Sender]
    readers: tuple[Callable[[], Reader], ...]
    close: Callable[[], object]


class Transport(NamedTuple):
    """One way to carry records."""

    key: str
    """For ``--peers``."""
    label: str
    missing: Callable[[], str]
    """Why it can't be used here; "" when it can."""
    link: Callable[[int, int], Link]
    """link(readers, record bytes)"""
    polled: bool = False
    batches: bool = False
    asynchronous: bool = False
    """Its ends live on an asyncio loop; only perf.peers.nats knows how to drive them."""


def module_missing(name: str) -> str:
    """Why a module can't be imported; "" when it can."""
    return "" if find_spec(name) else f"the Python package {name} is not installed (pip install 'hft[perf]')"


def nothing() -> None:
    """Nothing to close."""
