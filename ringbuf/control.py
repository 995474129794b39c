"""Control: the kill latch, the run's id and the services' heartbeats."""

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

from ringbuf import _core, layout
from ringbuf.errors import InvalidArgument, RingError
from ringbuf.layout import Kind
from ringbuf.segment import Owner, Segment, this_process

STORY_WAIT_NS: Final = 1_000_000
"""How long a reader waits for the words of a latch that has just changed."""

ROUSE: Final = signal.SIGURG
"""The signal that a trip sends to every registered process. By default it is ignored: where a process has
ended and its number is another's by now, no harm is done."""


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
    """The one page that every process looks at. ``killed`` and ``latch`` fail closed."""

    __slots__ = ("_segment", "latch", "name")

    def __new__(cls, segment: Segment) -> Self:
        """Made by create() and attach()."""
        self = super().__new__(cls, segment.memory)
        self._segment = segment
        self.name = segment.name
        self.latch = _core.Latch(segment.memory)
        return self

    _segment: Segment
    name: str
    latch: _core.Latch
    """True in a condition when killed: ``if control.latch:`` is the cheapest look, for duty cycles."""

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

    def trip(self, reason: int, by: str, message: str, monotonic_ns: int, unix_ns: int, /) -> bool:
        """Kill, see ``_core.pyi``; then rouse every registered process by ``ROUSE``, also when it was killed
        already: its tripper may have died in between.

        A process that can't be signalled sees the latch at its next look.
        """
        first = super().trip(reason, by, message, monotonic_ns, unix_ns)
        for at in _service_offsets():
            pid = self._segment.load(at + 8)
            if pid:
                with contextlib.suppress(OSError, OverflowError):  # gone, another user's; a damaged page
                    os.kill(pid, ROUSE)
        return first

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
            self.kill_info()  # a tripper that is still in the act gets its moment to tell
            self.reset_latch(
                0,
                by,
                message,
                time.monotonic_ns() if monotonic_ns is None else monotonic_ns,
                time.time_ns() if unix_ns is None else unix_ns,
            )
        return True

    def kill_info(self) -> KillInfo:
        """The latch and its story, always of one another.

        Who trips closes the latch first and tells why after: a reader in between waits for the story, 1 ms at
        most. Where none comes (its tripper was killed in the act, the page is damaged) the message says so.
        """
        deadline_ns = time.monotonic_ns() + STORY_WAIT_NS
        while True:
            killed, story = self.killed, self.story()
            state = "killed" if killed else "running"
            if story is not None and story[0] is killed:
                return KillInfo(state, *story[1:])
            if time.monotonic_ns() >= deadline_ns:
                return KillInfo(state, 0, "", f"{state}; why is not written", 0, 0, story[-1] if story else 0)
            _core.sched_yield()

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
        self.latch.release()
        self.release()
        self._segment.close()

    def unlink(self) -> None:
        """Remove the page's name."""
        self._segment.unlink()


def _service_offsets() -> range:
    return range(layout.CONTROL_SERVICES_AT, layout.CONTROL_BYTES, layout.SERVICE_BYTES)
