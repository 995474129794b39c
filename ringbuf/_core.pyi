"""The C core. A ``memory`` argument is the writable buffer of a whole, sealed segment (see layout.py)."""

from collections.abc import Callable, Sequence
from typing import Self

from typing_extensions import Buffer

HISTOGRAM_BYTES: int

class Publication:
    """The writing end of a ring. One live one; not for two threads."""

    def __new__(cls, memory: Buffer) -> Self: ...
    def claim(self, length: int, /) -> memoryview | None:
        """A writable view of length bytes (1 to mtu) in the next cell, or None while a gating subscription
        is a full lap behind. Dead after commit or abort: its use raises ValueError."""
    def commit(self, length: int | None = None) -> None:
        """Publish what was claimed, or only its first length bytes."""
    def abort(self) -> None:
        """Give the claim back; nobody sees it."""
    def offer(self, record: Buffer, /) -> bool:
        """Copy record in and publish it; False while full."""
    def offer_batch(self, records: Sequence[Buffer], /) -> int:
        """Publish as many of records, in order, as the ring has room for, at once; how many. None when one of
        them cannot be carried (RecordTooLong)."""
    def release(self) -> None:
        """Let go of the memory."""
    @property
    def sequence(self) -> int:
        """The sequence that the next record will have; the first is 0."""
    @property
    def depth(self) -> int: ...
    @property
    def mtu(self) -> int: ...

class Subscription:
    """A reading end of a ring. Not for two threads."""

    def __new__(
        cls, memory: Buffer, index: int, gating: bool, resume: bool, held: bool, from_start: bool, /
    ) -> Self: ...
    def poll(self, handler: Callable[[memoryview], object], /, limit: int = 64) -> int:
        """Call handler with a read-only view of each waiting record, at most limit; how many it saw.

        The view and its slices are dead once the handler returns: their use raises ValueError. A record
        counts as read even when its handler raises. ViewExpired when a slice or an export (as numpy's) of it
        was kept."""
    def take(self) -> bytes | None:
        """The next record, copied."""
    def take_batch(self, limit: int, /) -> list[bytes]:
        """Up to limit records, copied."""
    def spin(self, timeout_ns: int) -> bool:
        """Busy-wait until a record waits; False when the time is up. Signals are honoured within 1 ms."""
    def wait(self, timeout_ns: int) -> bool:
        """Sleep until a record waits; False when the time is up. Signals are honoured at once."""
    def release(self) -> None:
        """Let go of the memory."""
    @property
    def sequence(self) -> int:
        """The next sequence to be read."""
    @property
    def lost(self) -> int:
        """Records that were overwritten before they were read."""
    @property
    def lag(self) -> int:
        """Records published and not yet read."""

class Table:
    """Newest records by 32-byte key."""

    def __new__(cls, memory: Buffer, /) -> Self: ...
    def put(self, key: bytes, record: Buffer, /, record_capacity: int | None = None) -> int:
        """Write key's record; its version. For the one writer."""
    def get(self, key: bytes, /) -> bytes | None:
        """The newest whole record; None without any."""
    def get_versioned(self, key: bytes, /) -> tuple[int, bytes] | None:
        """The newest whole record with its version (1, 2, …); None without any."""
    def keys(self) -> list[bytes]:
        """Keys that have a record, in the order of their first."""
    def changed_since(self, cursor: int, /) -> tuple[int, list[bytes]]:
        """The cursor for the next call, and the keys put since the given one (0: ever), each once."""
    def recover(self) -> None:
        """Finish what a killed writer began. For its successor."""
    def release(self) -> None:
        """Let go of the memory."""

class Counters:
    """Counters and histograms of one writer."""

    def __new__(cls, memory: Buffer, /) -> Self: ...
    def add(self, index: int, /, n: int = 1) -> None:
        """Add n (0 to 2**64-1, wrapping) to a counter."""
    def set(self, index: int, /, value: int) -> None:
        """Set a counter to value (0 to 2**64-1)."""
    def value(self, index: int, /) -> int:
        """A counter's value."""
    def record(self, index: int, /, value: int) -> None:
        """Count value (0 to 2**63-1, a negative one as 0) in a histogram."""
    def buckets(self, index: int, /) -> tuple[int, int, list[tuple[int, int]]]:
        """A histogram's sum, greatest value and non-empty buckets (middle value, count), ascending."""
    def beat(self, now_ns: int, /) -> None:
        """Write the heartbeat."""
    def release(self) -> None:
        """Let go of the memory."""

class Control:
    """The kill latch and the services' heartbeats."""

    def __new__(cls, memory: Buffer, /) -> Self: ...
    def trip(self, reason: int, by: str, message: str, monotonic_ns: int, unix_ns: int, /) -> bool:
        """Kill: close the latch, then write why. False when it was closed already: the first story stays.
        Never waits.

        reason: 0 to 2**64-1; by: cut at 64 bytes of UTF-8; message: at 256; times: -2**63 to 2**63-1."""
    def reset_latch(self, reason: int, by: str, message: str, monotonic_ns: int, unix_ns: int, /) -> None:
        """Write why, then open the latch. The caller holds the segment's lock."""
    def story(self) -> tuple[bool, int, str, str, int, int, int] | None:
        """Does it tell of a trip (else of a reset, or of nothing yet)?, reason, by, message, monotonic_ns,
        unix_ns, trips. None while it is being written."""
    def beat(self, index: int, /, now_ns: int) -> None:
        """Write a service's heartbeat."""
    def release(self) -> None:
        """Let go of the memory; killed then reads True."""
    @property
    def killed(self) -> bool:
        """True unless the latch says in so many words that the system runs."""

class Latch:
    """The kill latch as a truth: true unless it says in so many words that the system runs."""

    def __new__(cls, memory: Buffer, /) -> Self: ...
    def __bool__(self) -> bool: ...
    def release(self) -> None:
        """Let go of the memory; the truth is then killed."""

def load(memory: Buffer, offset: int, /) -> int:
    """The u64 at offset, acquired."""

def store(memory: Buffer, offset: int, value: int, /) -> None:
    """Release value into the u64 at offset."""

def pause() -> None:
    """One spin-loop hint."""

def sched_yield() -> None:
    """Give the CPU to whoever waits for it."""

def nap(duration_ns: int, /) -> None:
    """Sleep; a signal ends it early."""
