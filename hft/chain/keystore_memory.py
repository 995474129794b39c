"""Secrets in memory: shown by nothing, overwritten when done with, and in no core dump."""

import ctypes
import resource
import sys
from types import TracebackType
from typing import Final, NoReturn

_PR_GET_DUMPABLE: Final = 3
_PR_SET_DUMPABLE: Final = 4


class Secret:
    """Bytes that no ``repr``, log, pickle or traceback shows. As a context they are overwritten at its end.

    Copies that a library makes are its own; this holds ours to one.
    """

    __slots__ = ("_data",)

    def __init__(self, data: bytes | bytearray) -> None:
        self._data = bytearray(data)

    def reveal(self) -> bytes:
        """A copy of the bytes: hand it on at once, keep it in no variable."""
        return bytes(self._data)

    def wipe(self) -> None:
        """Overwrites the bytes; what is revealed afterwards is zeros."""
        self._data[:] = bytes(len(self._data))

    def __len__(self) -> int:
        return len(self._data)

    def __enter__(self) -> "Secret":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wipe()

    def __repr__(self) -> str:
        return "Secret(…)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret can't be pickled")


def protect_process() -> None:
    """Forbids core dumps of this process and, on Linux, reading its memory by others of the same user
    (debuggers, profilers): called before a live key is loaded. ``OSError`` if the kernel refuses.

    A side effect of the latter: its files in /proc belong to root from now on.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
            number = ctypes.get_errno()
            raise OSError(number, "prctl(PR_SET_DUMPABLE, 0) failed")


def process_is_protected() -> bool:
    """True once ``protect_process`` took effect."""
    no_core = resource.getrlimit(resource.RLIMIT_CORE)[0] == 0
    if sys.platform != "linux":
        return no_core
    return no_core and ctypes.CDLL(None).prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0) == 0
