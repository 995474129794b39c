"""Segments of shared memory: made, checked on attach, locked for rare changes, swept when stale."""

import contextlib
import errno
import fcntl
import mmap
import os
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple, Self

import posix_ipc

from ringbuf import _core, layout
from ringbuf.errors import InvalidArgument, SegmentExists, SegmentFull, SegmentMismatch, SegmentMissing
from ringbuf.layout import Kind

SHM: Final = Path("/dev/shm")
NAME_LIMIT: Final = 200
"""Bytes of a name; NAME_MAX of tmpfs is 255."""
SIZE_LIMIT: Final = 1 << 36


class Owner(NamedTuple):
    """A process by number and start time (clock ticks since boot), so that a reused number is no mistake."""

    pid: int
    start: int

    @property
    def alive(self) -> bool:
        """Does this very process still run? A zombie does not."""
        return self.pid != 0 and process_start(self.pid) == self.start


NOBODY: Final = Owner(0, 0)


def process_start(pid: int) -> int | None:
    """Start time of a running process in clock ticks since boot; None when it is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    fields = stat[stat.rindex(b")") + 2 :].split()
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def this_process() -> Owner:
    """The calling process as an owner."""
    pid = os.getpid()
    return Owner(pid, process_start(pid) or 0)


def boot_id() -> bytes:
    """16 bytes that change with every boot."""
    return bytes.fromhex(Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", ""))


def check_name(name: str) -> str:
    """Return name, or raise InvalidArgument: 1 to 200 bytes of ASCII without a slash or a leading dot."""
    if not name or len(name) > NAME_LIMIT:
        raise InvalidArgument(
            f"segment name {name!r} has {len(name)} characters; 1 to {NAME_LIMIT} are allowed"
        )
    if "/" in name or name.startswith(".") or not name.isascii() or not name.isprintable():
        raise InvalidArgument(f"segment name {name!r} must be printable ASCII without '/' or a leading '.'")
    return name


def segment_name(prefix: str, run_id: str | bytes, kind: str, what: str = "") -> str:
    """``{prefix}-{first 8 hex digits of run_id}-{kind}[-{what}]``."""
    run = run_id.hex() if isinstance(run_id, bytes) else run_id
    return check_name("-".join(part for part in (prefix, run[:8], kind, what) if part))


def segment_names(prefix: str) -> list[str]:
    """Names of the segments that begin with ``{prefix}-``, sorted."""
    return sorted(path.name for path in SHM.glob(f"{prefix}-*"))


class Segment:
    """One mapped segment. Rings, tables, counters and controls each hold one."""

    def __init__(self, name: str, descriptor: int, memory: mmap.mmap) -> None:
        self.name = name
        self.memory = memory
        self._descriptor = descriptor
        self._holders = 1

    @classmethod
    def create(cls, name: str, kind: Kind, size: int, schema_hash: int, params: tuple[int, ...]) -> Self:
        """Make a zeroed segment (mode 0600) with its header but without its magic: seal() writes that.

        One that a dead run or an earlier boot left under this name is rebuilt. SegmentExists when the name is
        in use; SegmentFull when /dev/shm cannot hold size bytes.
        """
        check_name(name)
        if size > SIZE_LIMIT:
            raise InvalidArgument(f"segment {name!r} of {size} bytes; the limit is {SIZE_LIMIT}")
        if not 0 <= schema_hash < 1 << 64:
            raise InvalidArgument(f"schema_hash {schema_hash} must lie in 0..2**64-1")
        if (SHM / name).exists() and is_stale(name):
            _remove(name)
        try:
            descriptor = posix_ipc.SharedMemory(f"/{name}", posix_ipc.O_CREX, mode=0o600).fd
        except posix_ipc.ExistentialError:
            raise SegmentExists(f"segment {name!r} exists already") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            _reserve(name, descriptor, size)
            memory = _map(descriptor, size)
            owner = this_process()
            values = (
                layout.LAYOUT,
                kind,
                layout.BUILD_ID,
                schema_hash,
                size,
                *owner,
                time.time_ns(),
                boot_id(),
            )
            padded = params + (0,) * (8 - len(params))
            layout.HEADER.pack_into(memory, 0, 0, *values, *padded)
            _core.store(memory, layout.CHECKED_BYTES, _checksum(memory))
        except BaseException:
            os.close(descriptor)
            posix_ipc.unlink_shared_memory(f"/{name}")
            raise
        return cls(name, descriptor, memory)

    def seal(self) -> None:
        """Write the magic, last of all: from now on others may attach."""
        _core.store(self.memory, layout.MAGIC_AT, layout.MAGIC)
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    @classmethod
    def attach(cls, name: str, kind: Kind, schema_hash: int | None = None) -> Self:
        """Map an existing segment. SegmentMissing, or SegmentMismatch naming both sides' values."""
        check_name(name)
        try:
            descriptor = posix_ipc.SharedMemory(f"/{name}").fd
        except posix_ipc.ExistentialError:
            raise SegmentMissing(f"segment {name!r} does not exist") from None
        try:
            size = os.fstat(descriptor).st_size
            if size < layout.HEADER_BYTES:
                raise SegmentMismatch(
                    f"segment {name!r} has {size} bytes; a header needs {layout.HEADER_BYTES}"
                )
            memory = _map(descriptor, size)
            _check_header(name, memory, size, kind, schema_hash)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(name, descriptor, memory)

    def param(self, index: int) -> int:
        """The kind's own header field."""
        return _core.load(self.memory, layout.PARAMS_AT + 8 * index)

    def hold(self) -> Self:
        """One more holder, whose close() counts."""
        self._holders += 1
        return self

    def load(self, offset: int) -> int:
        """The u64 at offset, acquired."""
        return _core.load(self.memory, offset)

    def store(self, offset: int, value: int) -> None:
        """Release value into the u64 at offset."""
        _core.store(self.memory, offset, value)

    def text(self, offset: int, size: int) -> str:
        """The zero-padded UTF-8 text at offset."""
        return self.memory[offset : offset + size].rstrip(b"\0").decode("utf-8", "replace")

    def owner(self, offset: int) -> Owner:
        """The (pid, start) pair at offset."""
        return Owner(self.load(offset), self.load(offset + 8))

    def set_owner(self, offset: int, owner: Owner) -> None:
        """Write the (pid, start) pair at offset."""
        self.store(offset + 8, owner.start)
        self.store(offset, owner.pid)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """The segment's lock, for rare changes only; the kernel frees it when its holder dies."""
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def displaced(self) -> str | None:
        """How the name no longer leads to this memory, whole; None when it does."""
        mine = os.fstat(self._descriptor)
        try:
            named = (SHM / self.name).stat()
        except FileNotFoundError:
            return f"{self.name} was unlinked"
        if (named.st_dev, named.st_ino) != (mine.st_dev, mine.st_ino):
            return f"{self.name} leads to another segment"
        if mine.st_size < len(self.memory):
            return f"{self.name} was cut to {mine.st_size} of {len(self.memory)} bytes"
        return None

    def close(self) -> None:
        """The last holder's unmaps, unless an export of the memory is alive: then it stays mapped."""
        self._holders -= 1
        if self._holders > 0:
            return
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        with contextlib.suppress(BufferError):
            self.memory.close()

    def unlink(self) -> None:
        """Remove the name; who is attached keeps the memory. Idempotent."""
        with contextlib.suppress(posix_ipc.ExistentialError):
            posix_ipc.unlink_shared_memory(f"/{self.name}")


def _map(descriptor: int, size: int) -> mmap.mmap:
    """Map with page tables filled, so that the first lap takes no faults."""
    return mmap.mmap(descriptor, size, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE)


def _reserve(name: str, descriptor: int, size: int) -> None:
    """Give the segment real pages, so that no later write can fail with SIGBUS."""
    room = os.statvfs(SHM)
    free = room.f_bavail * room.f_frsize
    try:
        if room.f_blocks and size > free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        raise SegmentFull(
            f"segment {name!r} needs {size} bytes; {SHM} has {free} free ({error.strerror})"
        ) from None


def _check_header(name: str, memory: mmap.mmap, size: int, kind: Kind, schema_hash: int | None) -> None:
    magic = _core.load(memory, layout.MAGIC_AT)
    fields = layout.HEADER.unpack_from(memory)
    expected: list[tuple[str, int | bytes, int | bytes]] = [
        ("magic", magic, layout.MAGIC),
        ("layout version", fields[1], layout.LAYOUT),
        ("kind", fields[2], int(kind)),
        ("build id", fields[3], layout.BUILD_ID),
        ("boot id", fields[9], boot_id()),
        ("size", fields[5], size),
    ]
    if schema_hash is not None:
        expected.append(("schema hash", fields[4], schema_hash))
    expected.append(("header checksum", _core.load(memory, layout.CHECKED_BYTES), _checksum(memory)))
    for field, found, wanted in expected:
        if found != wanted:
            raise SegmentMismatch(
                f"segment {name!r}: {field} is {_show(found)}, this side has {_show(wanted)}"
            )


def _checksum(memory: mmap.mmap) -> int:
    """Of what never changes in a header, its magic aside."""
    return zlib.crc32(memory[layout.MAGIC_AT + 8 : layout.CHECKED_BYTES])


def _show(value: int | bytes) -> str:
    return value.hex() if isinstance(value, bytes) else f"{value} ({value:#x})"


def sweep(prefix: str, grace_s: float = 5.0) -> list[str]:
    """Remove the segments under prefix whose creator is dead or that an earlier boot left; their names.

    One without a header is left alone while its creator holds its lock and for grace_s seconds more.
    """
    return [name for name in segment_names(prefix) if is_stale(name, grace_s) and _remove(name)]


def _remove(name: str) -> bool:
    try:
        posix_ipc.unlink_shared_memory(f"/{name}")
    except posix_ipc.ExistentialError:
        return False
    return True


def is_stale(name: str, grace_s: float = 5.0) -> bool:
    """Would sweep() remove it?"""
    path = SHM / name
    try:
        with path.open("rb") as file:
            header = file.read(layout.HEADER.size)
            if len(header) == layout.HEADER.size:
                fields = layout.HEADER.unpack(header)
                creator = Owner(fields[6], fields[7])
                if creator.pid:
                    return fields[9] != boot_id() or not creator.alive
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return time.time() - path.stat().st_mtime >= grace_s
    except OSError:
        return False
