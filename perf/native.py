"""native.c, compiled on the fly with the machine's C compiler; without one its cases are skipped by name."""

import ctypes
import os
import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

SOURCE = Path(__file__).with_name("native.c")
COMPILERS = ("cc", "gcc", "clang")


def compiler() -> str | None:
    """The C compiler to use (``CC``, else the first of cc, gcc, clang); None without one."""
    wanted = os.environ.get("CC")
    return next((found for name in (wanted, *COMPILERS) if name and (found := shutil.which(name))), None)


def build() -> tuple[str, str]:
    """Compile native.c: (the library's path, ""), or ("", why not). The caller removes its folder."""
    cc = compiler()
    if cc is None:
        return "", f"no C compiler ({', '.join(COMPILERS)}) on the PATH"
    folder = Path(tempfile.mkdtemp(prefix="perf-native-"))
    library = folder / "native.so"
    command = [cc, "-std=c11", "-O2", "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", str(library), str(SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        shutil.rmtree(folder, ignore_errors=True)
        return "", f"{cc} could not compile native.c: {done.stderr.strip().splitlines()[-1:]}"
    return str(library), ""


@lru_cache(maxsize=1)
def load(path: str) -> ctypes.CDLL:
    """The compiled library with its signatures."""
    library = ctypes.CDLL(path)
    pointer, u64, i64 = ctypes.c_void_p, ctypes.c_uint64, ctypes.c_int64
    signatures: dict[str, tuple[object, list[object]]] = {
        "court_bytes": (u64, []),
        "line_ping": (None, [pointer, u64, u64, pointer]),
        "line_pong": (None, [pointer, u64, u64]),
        "ring_ping": (u64, [pointer, u64, u64, pointer]),
        "ring_pong": (None, [pointer, u64, u64]),
        "ring_produce": (i64, [pointer, u64, u64]),
        "ring_consume": (i64, [pointer, u64, u64, pointer]),
        "hiccup": (u64, [i64, i64, pointer, u64]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
