"""What a service holds once it has started, moved into huge pages: what lies far apart in memory is then
found with fewer walks through page tables, which cost most where the machine is a virtual one.

Linux from 6.1 on (MADV_COLLAPSE), of whatever its setting for huge pages is. Elsewhere nothing happens.
"""

import ctypes
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

HUGE_BYTES: Final = 2 << 20
_COLLAPSE: Final = 25
_MAPS = Path("/proc/self/maps")
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def collapse() -> int:
    """Collapses every whole huge page of this process's private memory, code and data; bytes that are in
    huge pages now. Takes a fraction of a second: for the end of a start."""
    if _LIBC is None or not _MAPS.exists():
        return 0
    advise = _LIBC.madvise
    advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    done = 0
    for first, end in _private(_MAPS.read_text("ascii", "replace")):
        for address in range(first, end, HUGE_BYTES):
            # Refused where the kernel is older, or a file's pages can't be: then they stay as they are.
            done += HUGE_BYTES * (advise(address, HUGE_BYTES, _COLLAPSE) == 0)
    return done


def _private(maps: str) -> Iterator[tuple[int, int]]:
    """Ranges of whole huge pages in private mappings of ``/proc/PID/maps``; the kernel's own and shared
    memory are left out."""
    for line in maps.splitlines():
        addresses, rights, *rest = line.split(None, 5)
        name = rest[3] if len(rest) > 3 else ""
        if not rights.endswith("p") or name.startswith("[v"):
            continue
        begin, end = (int(address, 16) for address in addresses.split("-"))
        first = -(-begin // HUGE_BYTES) * HUGE_BYTES
        if first + HUGE_BYTES <= end:
            yield first, end // HUGE_BYTES * HUGE_BYTES
