"""Whole huge pages of private memory are collapsed where the kernel can; no shared memory is."""

import subprocess
import sys

import pytest

from hft.runtime import huge_pages

MAPS = """\
00400000-00a00000 r-xp 00000000 08:01 1 /usr/bin/python3
00a00000-00a01000 rw-p 00000000 00:00 0 [heap]
7f0000100000-7f0000700000 rw-p 00000000 00:00 0
7f0001000000-7f0001800000 rw-s 00000000 00:19 7 /dev/shm/hft-table
7ffff7e00000-7ffff8400000 r-xp 00000000 00:00 0 [vdso]
"""


def test_ranges_are_whole_huge_pages_of_private_mappings() -> None:
    assert list(huge_pages._private(MAPS)) == [(0x400000, 0xA00000), (0x7F0000200000, 0x7F0000600000)]


def test_what_a_process_holds_is_in_huge_pages_afterwards() -> None:
    script = (
        "import mmap; from hft.runtime import huge_pages as h;"
        "held = mmap.mmap(-1, 8 << 20, flags=mmap.MAP_PRIVATE); held.write(b'x' * (8 << 20));"
        "done = h.collapse();"
        "rollup = open('/proc/self/smaps_rollup').read().splitlines();"
        "print(done, *(line.split()[1] for line in rollup if line.startswith('AnonHugePages')))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    done, *kept_kib = map(int, ended.stdout.split())
    if not done:
        pytest.skip("this kernel collapses nothing into huge pages")
    assert kept_kib
    assert kept_kib[0] >= 3 * 2048
