"""The kill latch on disk: what makes a halt survive a restart.

Shared memory (``ringbuf.Control``) is what halts at once; this file is what a later start reads first. It
fails closed: unreadable, corrupt, or missing from a folder that was in use before reads as killed.
"""

import fcntl
import json
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from hft.runtime.state import append_durably, write_atomic
from hft.wire.enums import KillTrigger

KILL_FILE = "kill.json"
LOG_FILE = "kill_log.jsonl"
REQUEST_FILE = "resume_request.json"
TRACES_OF_USE = (LOG_FILE, "ledger.sqlite3", "settlement.jsonl")
"""Files that a state folder has once it was used: without the latch beside them, the latch was deleted."""

BY_LIMIT = 31
MESSAGE_LIMIT = 127
"""Bytes of UTF-8 that fit the shared latch and the KillSwitch message with their closing zero."""


class Latch(NamedTuple):
    """The latch as it is on disk."""

    killed: bool
    trigger: KillTrigger
    by: str
    message: str
    unix_ns: int


class Request(NamedTuple):
    """A resume that someone outside asked for. It changes nothing by itself."""

    by: str
    message: str
    unix_ns: int


RUNNING = Latch(False, KillTrigger.NONE, "", "", 0)


def load(folder: Path) -> Latch:
    """The latch of a state folder; never raises."""
    try:
        text = (folder / KILL_FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        traces = [name for name in TRACES_OF_USE if (folder / name).exists()]
        if not traces:
            return RUNNING
        return _closed(f"{KILL_FILE} is missing although {traces[0]} is there")
    except (OSError, UnicodeDecodeError) as error:
        return _closed(f"{KILL_FILE} cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8'}")
    try:
        values = json.loads(text)
        checksum = values.pop("crc32")
        if checksum != _checksum(values):
            return _closed(f"{KILL_FILE} does not match its checksum")
        return Latch(
            {"killed": True, "running": False}[values["state"]],
            KillTrigger[values["trigger"].upper()],
            values["by"],
            values["message"],
            int(values["unix_ns"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return _closed(f"{KILL_FILE} is corrupt: {error!r}")


def trip(folder: Path, trigger: KillTrigger, by: str, message: str, unix_ns: int) -> bool:
    """Latch the kill on disk and log it; False when it was latched already (the first reason stays)."""
    with _exclusive(folder):
        current = load(folder)
        if current.killed and (folder / KILL_FILE).exists() and current.trigger is not KillTrigger.CORRUPT:
            return False
        _store(folder, Latch(True, trigger, clip(by, BY_LIMIT), clip(message, MESSAGE_LIMIT), unix_ns))
        return True


def resume(folder: Path, by: str, message: str, unix_ns: int) -> Latch:
    """Clear the latch by explicit approval and log it; returns what it was.

    ``message``: why it is safe again; ``ValueError`` when it is empty.
    """
    if not message.strip():
        raise ValueError("a resume needs a reason: who approves it and why")
    with _exclusive(folder):
        before = load(folder)
        _store(
            folder,
            Latch(False, KillTrigger.NONE, clip(by, BY_LIMIT), clip(message, MESSAGE_LIMIT), unix_ns),
        )
        (folder / REQUEST_FILE).unlink(missing_ok=True)
        return before


def request_resume(folder: Path, by: str, message: str, unix_ns: int) -> None:
    """Write down that a resume is asked for, for a person to see; the newest request stays. ``OSError`` when
    it can't be written."""
    request = Request(clip(by, MESSAGE_LIMIT), clip(message, MESSAGE_LIMIT), unix_ns)
    with _exclusive(folder):
        write_atomic(folder / REQUEST_FILE, json.dumps(request._asdict()) + "\n")
        line = {"state": "resume_requested", **request._asdict(), "pid": os.getpid()}
        append_durably(folder / LOG_FILE, json.dumps(line))


def requested(folder: Path) -> Request | None:
    """The resume that is asked for and not decided; never raises."""
    try:
        values = json.loads((folder / REQUEST_FILE).read_text("utf-8"))
        return Request(str(values["by"]), str(values["message"]), int(values["unix_ns"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def establish(folder: Path, unix_ns: int) -> Latch:
    """The latch at a start: on a folder never used before it is written as running, else it is what ``load``
    says."""
    with _exclusive(folder):
        state = load(folder)
        if not state.killed and not (folder / KILL_FILE).exists():
            _store(folder, RUNNING._replace(by="start", message="new state folder", unix_ns=unix_ns))
        return state


def clip(text: str, limit: int) -> str:
    """``text`` on one line and within ``limit`` bytes of UTF-8, cut at a whole character."""
    return " ".join(text.split()).encode("utf-8")[:limit].decode("utf-8", "ignore")


def _closed(message: str) -> Latch:
    return Latch(True, KillTrigger.CORRUPT, "load", clip(message, MESSAGE_LIMIT), 0)


def _checksum(values: dict[str, object]) -> int:
    return zlib.crc32(json.dumps(values, sort_keys=True).encode("utf-8"))


def _store(folder: Path, state: Latch) -> None:
    values: dict[str, object] = {
        "state": "killed" if state.killed else "running",
        "trigger": state.trigger.name.lower(),
        "by": state.by,
        "message": state.message,
        "unix_ns": state.unix_ns,
    }
    write_atomic(folder / KILL_FILE, json.dumps({**values, "crc32": _checksum(values)}, indent=1) + "\n")
    append_durably(folder / LOG_FILE, json.dumps({**values, "pid": os.getpid()}))


@contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder / ".kill.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
