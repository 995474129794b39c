"""How long a hot service may run before others get their turn: the shorter, the sooner a wake-up puts it on a
core that others use.

Linux from 6.12 on (EEVDF) runs first whose slice ends first. Where the hot services share a core, one further
down the path has the shorter slice: a message that woke it finds it at once, and what was begun is finished
before the next is. Older kernels take no notice of it.
"""

import ctypes
import os
import platform
import struct
import sys
from typing import Final

SLICES_NS: Final = {"scanner": 200_000, "planner": 100_000, "executor": 100_000}
"""Service → its slice; 100 µs is the least that the kernel grants. The others have the system's own."""

_NUMBERS: Final = {"x86_64": (314, 315), "aarch64": (274, 275)}
"""Of the system calls sched_setattr and sched_getattr."""
_ATTRIBUTES: Final = struct.Struct("<IIQiIQQQII")
"""struct sched_attr: size, policy, flags, nice, priority, runtime, deadline, period, two utilisations."""
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def ask(slice_ns: int) -> str:
    """Give this thread slices of so many ns; returns why that could not be, else the empty string.

    Under a scheduler other than the usual one (real-time, idle) nothing is changed."""
    numbers = _NUMBERS.get(platform.machine())
    if _LIBC is None or numbers is None:
        return f"no time slices on {sys.platform} {platform.machine()}"
    if os.sched_getscheduler(0) != os.SCHED_OTHER:
        return "another scheduler than the usual one is set"
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    wanted = _ATTRIBUTES.pack(_ATTRIBUTES.size, os.SCHED_OTHER, 0, nice, 0, slice_ns, 0, 0, 0, 0)
    if _LIBC.syscall(numbers[0], 0, wanted, 0):
        return os.strerror(ctypes.get_errno())
    return ""


def granted_ns() -> int:
    """The slice of this thread; 0 where the system does not say, or has its own."""
    numbers = _NUMBERS.get(platform.machine())
    if _LIBC is None or numbers is None:
        return 0
    told = ctypes.create_string_buffer(_ATTRIBUTES.size)
    if _LIBC.syscall(numbers[1], 0, told, _ATTRIBUTES.size, 0):
        return 0
    return int(_ATTRIBUTES.unpack(told.raw)[5])
