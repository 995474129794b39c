"""The executor's intents: what was signed, on disk before it goes out, so that a crash never sends a plan
twice.

An append-only file of records, each ``u32 length | u32 crc32 | u8 kind | payload``: an intent (signature,
last valid block height, the plan's bytes) before the socket write, an end (plan id) with its result. A torn
or corrupt record ends what is read; the file is rewritten from the open intents and the newest plan ids at
each start and whenever it has grown past its limit.
"""

import os
import zlib
from collections import OrderedDict
from pathlib import Path
from struct import Struct
from typing import NamedTuple

FILE_NAME = "intents.bin"
SIZE_LIMIT = 8 << 20
REMEMBERED = 4_096
"""Plan ids kept to recognise a plan that is delivered again."""

_HEAD = Struct("<IIB")
_INTENT = Struct("<64sQ16s")
_KIND_INTENT, _KIND_END = 1, 2
_RECORD_LIMIT = 4_096


class Intent(NamedTuple):
    """One signed plan. ``plan`` holds the message as it stood on the ring."""

    signature: bytes
    last_valid_block_height: int
    plan_id: bytes
    plan: bytes


class Intents:
    """See the module. ``open`` is what has no end yet; ``knows`` says whether a plan was ever signed."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._file = -1
        self._size = 0
        self.open: dict[bytes, Intent] = {}
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self.cut_bytes = 0

    def load(self) -> list[Intent]:
        """Reads the file, cuts a bad tail (``cut_bytes``), rewrites it; returns the intents without an end.

        OSError when the folder can't be written.
        """
        data = self._path.read_bytes() if self._path.exists() else b""
        at = 0
        while at + _HEAD.size <= len(data):
            length, checksum, kind = _HEAD.unpack_from(data, at)
            payload = data[at + _HEAD.size : at + _HEAD.size + length]
            if length > _RECORD_LIMIT or len(payload) < length or zlib.crc32(payload, kind) != checksum:
                break
            self._replay(kind, payload)
            at += _HEAD.size + length
        self.cut_bytes = len(data) - at
        self._rewrite()
        return list(self.open.values())

    def knows(self, plan_id: bytes) -> bool:
        return plan_id in self._known

    def begin(self, intent: Intent) -> None:
        """Puts an intent on disk; it must return before the bytes may go out. OSError when it can't."""
        head = _INTENT.pack(intent.signature, intent.last_valid_block_height, intent.plan_id)
        self._append(_KIND_INTENT, head + intent.plan)
        self.open[intent.plan_id] = intent
        self._remember(intent.plan_id)

    def end(self, plan_id: bytes) -> None:
        """Notes that a plan has its result."""
        if self.open.pop(plan_id, None) is not None:
            self._append(_KIND_END, plan_id)

    def housekeep(self) -> None:
        """Rewrites the file once it has grown past its limit."""
        if self._size > SIZE_LIMIT:
            self._rewrite()

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _replay(self, kind: int, payload: bytes) -> None:
        if kind == _KIND_INTENT and len(payload) > _INTENT.size:
            signature, height, plan_id = _INTENT.unpack_from(payload)
            self.open[plan_id] = Intent(signature, height, plan_id, payload[_INTENT.size :])
            self._remember(plan_id)
        elif kind == _KIND_END and len(payload) == 16:
            self.open.pop(payload, None)
            self._remember(payload)

    def _remember(self, plan_id: bytes) -> None:
        self._known[plan_id] = None
        self._known.move_to_end(plan_id)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    def _append(self, kind: int, payload: bytes) -> None:
        record = _HEAD.pack(len(payload), zlib.crc32(payload, kind), kind) + payload
        written = os.write(self._file, record)
        self._size += written
        if written != len(record):
            raise OSError(f"{self._path}: only {written} of {len(record)} bytes could be written")

    def _rewrite(self) -> None:
        """Open intents and known ids into a new file, put in the old one's place at once."""
        fresh = self._path.with_suffix(".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.close()
        self._file, self._size = descriptor, 0
        for plan_id in self._known:
            if plan_id not in self.open:
                self._append(_KIND_END, plan_id)
        for intent in self.open.values():
            head = _INTENT.pack(intent.signature, intent.last_valid_block_height, intent.plan_id)
            self._append(_KIND_INTENT, head + intent.plan)
        os.replace(fresh, self._path)
