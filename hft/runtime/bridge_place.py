"""How far a bridge has got, kept so that neither its death nor its machine's loses or doubles a message.

Before a batch goes into the ring the file tells where the ring stands and which messages come next: whoever
opens it later finds, by how far the ring has got, which of them are in. A ring that is gone has lost what its
gating readers had not taken; the file tells that place too, and the bridge begins there.

The file is two slots, written in turn: a write that did not finish leaves the other one.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from struct import Struct
from typing import Any, Final, NamedTuple
from zlib import crc32

import orjson

from hft.runtime.exit_codes import ExitCode, HftError

_HEAD: Final = Struct("<8sQII")
_MAGIC: Final = b"HFTBRDG1"
_SLOT_BYTES: Final = 128 << 10
RUNS_LIMIT: Final = 64
"""Source runs whose mark is kept: the newest."""


class Place(NamedTuple):
    """Somewhere in a stream. ``incarnation``: when the stream was made, us; ``stream_sequence``: of the last
    message that is behind us; ``marks``: source run → sequence of its last message."""

    incarnation: int = 0
    stream_sequence: int = 0
    marks: dict[str, int] = {}  # noqa: RUF012 - never changed in place

    def after(self, messages: Sequence["Passed"]) -> "Place":
        """The place behind these."""
        if not messages:
            return self
        marks = dict(self.marks)
        for message in messages:
            marks.pop(message.run, None)
            marks[message.run] = message.sequence
        kept = dict(list(marks.items())[-RUNS_LIMIT:])
        return Place(self.incarnation, messages[-1].stream_sequence, kept)


class Passed(NamedTuple):
    """A message that goes into the ring: its source run, its sequence there, its place in the stream."""

    run: str
    sequence: int
    stream_sequence: int


class PlaceFile:
    """The file of one bridge. Raises HftError (STATE_FOLDER) when it is damaged or can't be written.

    consumer: name of its durable consumer. own_runs: runs of this instance, whose messages are not to come
    back. written: behind the last message in the ring. taken: behind the last one that every gating reader
    has taken.
    """

    def __init__(self, path: Path, ring_run: str, ring_sequence: int) -> None:
        """``ring_run``: run whose ring is written; ``ring_sequence``: where that ring stands."""
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._ring_run = ring_run
        self._turn = 0
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._restore(ring_sequence)
        except BaseException:
            os.close(self._descriptor)
            raise

    def _restore(self, ring_sequence: int) -> None:
        data = os.pread(self._descriptor, 2 * _SLOT_BYTES, 0)
        slots = [slot for at in (0, _SLOT_BYTES) if (slot := _slot(data[at : at + _SLOT_BYTES]))]
        if data.strip(b"\0") and not slots:
            raise HftError(
                f"{self.path} is damaged: move it away, and the bridge begins anew", ExitCode.STATE_FOLDER
            )
        self._turn, told = max(slots, key=lambda slot: slot[0]) if slots else (0, {})
        self.consumer: str = told.get("consumer") or f"hft-bridge-{os.urandom(4).hex()}"
        self.own_runs: list[str] = told.get("own_runs", [])
        if self._ring_run not in self.own_runs:
            self.own_runs = [*self.own_runs, self._ring_run][-RUNS_LIMIT:]
        self.taken = _place(told.get("taken"))
        self.written = self.taken
        if told.get("ring") == self._ring_run:
            batch = [Passed(*each) for each in told["batch"]]
            done = ring_sequence - told["begin"]
            if not 0 <= done <= len(batch):
                raise HftError(
                    f"{self.path} knows the ring at {told['begin']} to {told['begin'] + len(batch)}, "
                    f"and it is at {ring_sequence}: another program has written it",
                    ExitCode.STATE_FOLDER,
                )
            self.written = _place(told["before"]).after(batch[:done])
        self.intend(ring_sequence, ())

    def intend(self, ring_sequence: int, batch: Sequence[Passed]) -> None:
        """Tell what is about to go into the ring, which stands at ``ring_sequence``."""
        told = {
            "consumer": self.consumer,
            "own_runs": self.own_runs,
            "ring": self._ring_run,
            "begin": ring_sequence,
            "before": self.written,
            "batch": batch,
            "taken": self.taken,
        }
        text = orjson.dumps(told, default=list)
        if len(text) + _HEAD.size > _SLOT_BYTES:
            raise HftError(f"{self.path}: a batch of {len(batch)} messages is too much", ExitCode.FAILURE)
        self._turn += 1
        head = _HEAD.pack(_MAGIC, self._turn, len(text), crc32(text, self._turn & 0xFFFFFFFF))
        try:
            os.pwrite(self._descriptor, head + text, self._turn % 2 * _SLOT_BYTES)
        except OSError as error:
            raise HftError(f"{self.path}: {error.strerror}", ExitCode.STATE_FOLDER) from error

    def sync(self) -> None:
        """To disk; may take some ms."""
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        """To disk, and let go of the file."""
        if self._descriptor >= 0:
            self.sync()
            os.close(self._descriptor)
            self._descriptor = -1


def _slot(data: bytes) -> tuple[int, dict[str, Any]] | None:
    if len(data) < _HEAD.size:
        return None
    magic, turn, length, checksum = _HEAD.unpack_from(data)
    text = data[_HEAD.size : _HEAD.size + length]
    if magic != _MAGIC or len(text) != length or crc32(text, turn & 0xFFFFFFFF) != checksum:
        return None
    found: dict[str, Any] = orjson.loads(text)
    return turn, found


def _place(told: Any) -> Place:
    return Place(*told) if told else Place()
