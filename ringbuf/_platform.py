"""Refuses, in words, to be imported where it cannot work."""

import platform

if platform.system() != "Linux" or platform.machine() not in ("x86_64", "aarch64"):
    raise ImportError(
        "ringbuf needs Linux (futex, /dev/shm, /proc) on x86-64 or aarch64; "
        f"this is {platform.system()} on {platform.machine()}"
    )
