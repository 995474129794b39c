"""Helpers of ringbuf's tests: child processes, conditions with a deadline, records that prove themselves."""

import os
import shutil
import signal
import sysconfig
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ringbuf import Ring

DEADLINE_S = 60.0


def until(condition: Callable[[], Any], seconds: float = DEADLINE_S) -> Any:
    """Call condition until it is true; its value. AssertionError after the deadline."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"{condition} did not come true within {seconds} s"
        time.sleep(0.0005)
    return value


def start(work: Callable[[], object]) -> int:
    """Run work in a forked child, which exits 0 after it or 1 with a traceback; its pid."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


def ended(pid: int) -> int:
    """Wait for a child; its exit code, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def kill(pid: int) -> None:
    """SIGKILL a child and reap it."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def record(sequence: int, size: int) -> bytes:
    """A record of at least 12 bytes that names its sequence and carries its own checksum."""
    body = sequence.to_bytes(8, "little") + bytes((sequence * 7 + i) & 0xFF for i in range(size - 12))
    return body + zlib.crc32(body).to_bytes(4, "little")


def numbered(sequence: int, size: int) -> bytes:
    """Like record(), cheaper to make: one byte repeated."""
    body = sequence.to_bytes(8, "little") + bytes([sequence & 0xFF]) * (size - 12)
    return body + zlib.crc32(body).to_bytes(4, "little")


def sequence_of(raw: bytes | memoryview) -> int:
    """The sequence of a record that must be whole."""
    whole = bytes(raw)
    assert zlib.crc32(whole[:-4]) == int.from_bytes(whole[-4:], "little"), f"torn record {whole[:16].hex()}"
    return int.from_bytes(whole[:8], "little")


@contextmanager
def ring(prefix: str, depth: int = 8, mtu: int = 64, **more: int) -> Iterator[Ring]:
    """A ring that is removed afterwards."""
    made = Ring.create(f"{prefix}-00000001-ring-x", depth=depth, mtu=mtu, **more)
    try:
        yield made
    finally:
        made.unlink()
        made.close()


def compiler() -> str:
    """The C compiler; the test is skipped by name where there is none."""
    for name in (os.environ.get("CC"), "cc", "gcc", "clang"):
        if name and shutil.which(name):
            return name
    return skip("no C compiler (set CC)")


def python_include() -> str:
    """The folder of Python.h; the test is skipped by name where it is absent."""
    folder = sysconfig.get_path("include")
    if not os.path.exists(os.path.join(folder, "Python.h")):
        return skip(f"no Python.h in {folder}")
    return folder


def skip(reason: str) -> str:
    """pytest.skip, imported late: the crash lab and its children need no pytest."""
    import pytest

    pytest.skip(reason)
