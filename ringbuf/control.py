"""Control: the kill latch, the run's id and the services' heartbeats."""

import time
from dataclasses import dataclass
from typing import NamedTuple, Self

from ringbuf import _core, layout
from ringbuf.errors import InvalidArgument, RingError
from ringbuf.layout import Kind
from ringbuf.segment import Owner, Segment, this_process


class KillInfo(NamedTuple):
    """The latch and the story of its last change."""

    state: str
    """``running`` or ``killed``; whatever cannot be read is killed."""
    reason: int
    """The caller's reason code; 0 after a reset."""
    by: str
    message: str
    monotonic_ns: int
    unix_ns: int
    trips: int
    """How often the latch was tripped in this segment's life."""


@dataclass(frozen=True, slots=True)
class ServiceInfo:
    """A service's slot."""

    index: int
    heartbeat_ns: int
    owner: Owner


class Control(_core.Control):
    """The one page that every process looks at. ``killed`` costs some 30 ns and fails closed."""

    def __new__(cls, segment: Segment) -> Self:
        """Made by create() and attach()."""
        self = super().__new__(cls, segment.memory)
        self._segment = segment
        self.name = segment.name
        return self

    _segment: Segment
    name: str

    @classmethod
    def create(cls, name: str, *, run_id: bytes) -> Self:
        """Make the page of a run (run_id: 16 bytes); its latch says running."""
        if len(run_id) != 16:
            raise InvalidArgument(f"run_id must have 16 bytes, has {len(run_id)}: {run_id!r}")
        params = (int.from_bytes(run_id[:8], "little"), int.from_bytes(run_id[8:], "little"))
        segment = Segment.create(name, Kind.CONTROL, layout.CONTROL_BYTES, 0, params)
        segment.store(layout.CONTROL_LATCH_AT, layout.RUNNING)
        segment.seal()
        return cls(segment)

    @classmethod
    def attach(cls, name: str) -> Self:
        """Map an existing page. SegmentMissing, SegmentMismatch."""
        return cls(Segment.attach(name, Kind.CONTROL))

    @staticmethod
    def read_killed(name: str) -> bool:
        """The latch of the run whose control has this name, fail closed: a page that is missing, damaged or
        of another build reads as killed."""
        try:
            control = Control.attach(name)
        except RingError:
            return True
        try:
            return control.killed
        finally:
            control.close()

    def damage(self) -> str | None:
        """What is wrong with the page, for a look now and then; None: nothing.

        A page whose name is gone or leads elsewhere still latches between those attached, but no newcomer can
        trip it: the caller should treat any answer as killed.
        """
        segment = self._segment
        magic, latch = segment.load(layout.MAGIC_AT), segment.load(layout.CONTROL_LATCH_AT)
        if magic != layout.MAGIC:
            return f"magic is {magic:#x}, should be {layout.MAGIC:#x}"
        if latch not in (layout.RUNNING, layout.KILLED):
            return f"the latch holds {latch:#x}, neither running nor killed"
        return segment.displaced()

    @property
    def run_id(self) -> bytes:
        """16 bytes."""
        return b"".join(self._segment.param(i).to_bytes(8, "little") for i in (0, 1))

    def trip(self, reason: int, by: str, message: str, monotonic_ns: int, unix_ns: int) -> bool:
        """Kill. False when it was killed already: the first story stays. Never waits.

        reason: 0 to 2**64-1; by: cut at 64 bytes of UTF-8; message: at 256.
        """
        return self.trip_latch(reason, by.encode()[:64], message.encode()[:256], monotonic_ns, unix_ns)

    def reset(
        self, by: str, message: str, monotonic_ns: int | None = None, unix_ns: int | None = None
    ) -> bool:
        """Let the system run again: an explicit act, told in kill_info(). False when it was running.

        RingError when the page itself is damaged: then only a new one helps.
        """
        segment = self._segment
        if segment.load(layout.MAGIC_AT) != layout.MAGIC:
            raise RingError(f"control {self.name!r}: magic {segment.load(layout.MAGIC_AT):#x} is damaged")
        with segment.locked():
            if not self.killed:
                return False
            written, trips, resets = (segment.load(layout.CONTROL_WRITTEN_AT + 8 * i) for i in range(3))
            times = (
                time.monotonic_ns() if monotonic_ns is None else monotonic_ns,
                time.time_ns() if unix_ns is None else unix_ns,
            )
            story = (0, *times, by.encode()[:64], message.encode()[:256])
            segment.store(layout.CONTROL_WRITTEN_AT, written | 1)
            layout.CONTROL_STORY.pack_into(
                segment.memory, layout.CONTROL_WRITTEN_AT, written | 1, trips, resets + 1, *story
            )
            segment.store(layout.CONTROL_WRITTEN_AT, (written | 1) + 1)
            segment.store(layout.CONTROL_LATCH_AT, layout.RUNNING)
        return True

    def kill_info(self) -> KillInfo:
        """The latch and its story; the story of a tripper that was killed in the act may be empty or cut."""
        at = layout.CONTROL_WRITTEN_AT
        for _ in range(1000):
            before = self._segment.load(at)
            _, trips, _, reason, monotonic_ns, unix_ns, by, message = layout.CONTROL_STORY.unpack_from(
                self._segment.memory, at
            )
            if before % 2 == 0 and self._segment.load(at) == before:
                break
        return KillInfo(
            "killed" if self.killed else "running",
            reason,
            by.rstrip(b"\0").decode("utf-8", "replace"),
            message.rstrip(b"\0").decode("utf-8", "replace"),
            monotonic_ns,
            unix_ns,
            trips,
        )

    def register(self, service: str) -> int:
        """The calling process's slot under this name (1 to 40 bytes), for beat(). RingError when all are
        taken."""
        raw = service.encode()
        if not 1 <= len(raw) <= layout.SERVICE_NAME_BYTES:
            raise InvalidArgument(f"service name {service!r} must have 1..{layout.SERVICE_NAME_BYTES} bytes")
        segment = self._segment
        with segment.locked():
            names = [segment.text(at + 24, layout.SERVICE_NAME_BYTES) for at in _service_offsets()]
            index = names.index(service) if service in names else names.index("") if "" in names else -1
            if index < 0:
                raise RingError(
                    f"control {self.name!r}: all {layout.CONTROL_SERVICES} service slots are in use"
                )
            at = _service_offsets()[index]
            segment.memory[at + 24 : at + 24 + len(raw)] = raw
            segment.set_owner(at + 8, this_process())
        return index

    def services(self) -> dict[str, ServiceInfo]:
        """Every registered service's slot, by name."""
        segment = self._segment
        found = {}
        for index, at in enumerate(_service_offsets()):
            name = segment.text(at + 24, layout.SERVICE_NAME_BYTES)
            if name:
                found[name] = ServiceInfo(index, segment.load(at), segment.owner(at + 8))
        return found

    def close(self) -> None:
        """Let go of the segment; killed then reads True. Idempotent."""
        self.release()
        self._segment.close()

    def unlink(self) -> None:
        """Remove the page's name."""
        self._segment.unlink()


def _service_offsets() -> range:
    return range(layout.CONTROL_SERVICES_AT, layout.CONTROL_BYTES, layout.SERVICE_BYTES)
