"""The C core without Python: under ThreadSanitizer and AddressSanitizer, and compiled without a warning, for
aarch64 too."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from ringbuf_support import compiler, python_include

import ringbuf

PACKAGE = Path(ringbuf.__file__).parent
HARNESS = Path(__file__).with_name("core_stress.c")
STRICT = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", f"-I{PACKAGE}"]
SANITIZERS = {
    "plain": ["-O2"],
    "thread": ["-O1", "-g", "-fsanitize=thread", "-Wno-error=tsan"],
    "address": ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
}


def build(folder: Path, sanitizer: str) -> Path:
    """The harness, compiled; the test is skipped by name where the compiler lacks the sanitizer."""
    binary, probe = folder / "core_stress", folder / "probe.c"
    flags = SANITIZERS[sanitizer]
    probe.write_text("int main(void) { return 0; }\n")
    able = subprocess.run(
        [compiler(), *flags, str(probe), "-o", str(binary)], capture_output=True, check=False
    )
    if able.returncode or subprocess.run([str(binary)], capture_output=True, check=False).returncode:
        pytest.skip(f"{compiler()} has no working {sanitizer} sanitizer here")
    subprocess.run([compiler(), *STRICT, *flags, str(HARNESS), "-o", str(binary), "-lpthread"], check=True)
    return binary


def run(binary: Path, rounds: int) -> None:
    options = {"TSAN_OPTIONS": "halt_on_error=1", "ASAN_OPTIONS": "detect_leaks=0"}
    done = subprocess.run(
        [str(binary), str(rounds)],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        env={**os.environ, **options},
    )
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.mark.parametrize("sanitizer", SANITIZERS)
def test_the_core_alone_under_sanitizers(tmp_path: Path, sanitizer: str) -> None:
    run(build(tmp_path, sanitizer), 100_000 if sanitizer == "plain" else 5_000)


@pytest.mark.slow
@pytest.mark.parametrize("sanitizer", SANITIZERS)
def test_the_core_alone_under_sanitizers_for_long(tmp_path: Path, sanitizer: str) -> None:
    run(build(tmp_path, sanitizer), 20_000_000 if sanitizer == "plain" else 100_000)


def test_the_core_runs_on_aarch64(tmp_path: Path) -> None:
    """Compiled for it and run under emulation, which shows wrong code though hardly a wrong memory order."""
    cross, emulator = shutil.which("aarch64-linux-gnu-gcc"), shutil.which("qemu-aarch64-static")
    if cross is None:
        pytest.skip("aarch64-linux-gnu-gcc is not installed")
    flags = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-c", f"-I{python_include()}"]
    subprocess.run([cross, *flags, str(PACKAGE / "_core.c"), "-o", str(tmp_path / "core.o")], check=True)
    binary = tmp_path / "core_stress"
    subprocess.run(
        [cross, *STRICT, "-O2", "-static", str(HARNESS), "-o", str(binary), "-lpthread"], check=True
    )
    if emulator is None:
        pytest.skip("compiled for aarch64; qemu-aarch64-static, to run it, is not installed")
    subprocess.run([emulator, str(binary), "5000"], timeout=120, check=True)


@pytest.mark.parametrize("more", [[], ["-O3"], ["-DRINGBUF_CRASH_POINTS"]])
def test_the_core_compiles_without_a_warning(tmp_path: Path, more: list[str]) -> None:
    flags = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-c", *more, f"-I{python_include()}"]
    subprocess.run([compiler(), *flags, str(PACKAGE / "_core.c"), "-o", str(tmp_path / "core.o")], check=True)
