"""What a machine is like for a run, and what of it is not as it should be. Reads only; changes nothing.

Every check is a function that returns findings: *ok*, *warn* (it runs, but slower or less safely than it
could) or *fail* (it will not run, or must not).
"""

import os
import resource
import shutil
import stat
import threading
import time
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import ringbuf
from hft.runtime import cpus, idle, killstate, state, topology
from hft.runtime.exit_codes import HftError
from hft.runtime.real_time import set_policy
from hft.runtime.segments import required_bytes
from hft.runtime.settings import Config
from ringbuf.segment import is_stale

SHM = Path("/dev/shm")
SYS = Path("/sys")
PROC = Path("/proc")

FAST_CLOCKS = ("tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter")
"""Clock sources that are read without a system call."""

CLOCK_READS = 2_000
SLOW_CLOCK_NS = 300
"""A reading of the clock that takes longer went into the kernel."""

DISK_FAIL_BYTES = 1 << 30
"""Below this the journal and the streams of an hour may not fit."""

FILES_LIMIT = 1024


class Level(StrEnum):
    """How a finding is meant."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(NamedTuple):
    """``what`` was looked at, what was ``found``, and what to do about it (empty when it is ok)."""

    level: Level
    what: str
    found: str
    advice: str = ""


def processors(config: Config) -> list[Finding]:
    """The cores of the run, and who gets one of its own."""
    switched_on, usual = cpus.online(), cpus.available()
    try:
        placed = cpus.place(config)
    except HftError as error:
        return [
            Finding(Level.FAIL, "cpus", line, "name CPUs that are online and in the cpuset")
            for line in str(error).splitlines()
        ]
    found = f"{len(usual)} of {len(switched_on)} usable ({cpus.format_list(usual)})"
    need = len(cpus.OWN_CORE_ORDER) + cpus.SHARED_CORES
    advice = ""
    if placed.notes:
        advice = f"{need} cores give every hot service one of its own"
    running = topology.services(config.hft.mode, config.optional)
    findings = [
        Finding(Level.WARN if advice else Level.OK, "cores", found, advice),
        Finding(
            Level.OK, "placement", cpus.describe({spec.name: placed.cpus[spec.name] for spec in running})
        ),
    ]
    return [*findings, *real_time(config, placed.cpus), *isolation(placed.cpus)]


def real_time(config: Config, placed: Mapping[str, tuple[int, ...]], proc: Path = PROC) -> list[Finding]:
    """May hot services run in real time, and does the kernel keep some time for all else?"""
    what = "real time"
    ranks = cpus.ranks(config.cpus.real_time, placed, idle.resolve(config, placed))
    if not ranks:
        off = config.cpus.real_time == "off"
        told = "off by [cpus] real_time" if off else "no hot services share a core by themselves"
        return [Finding(Level.OK, what, told)]
    highest = max(ranks.values())
    why_not = _refused(highest)
    if why_not:
        advice = f"ulimit -r {highest} (LimitRTPRIO={highest}) or CAP_SYS_NICE: hand-offs are faster with it"
        return [Finding(Level.WARN, what, why_not, advice)]
    found = f"for {', '.join(ranks)}"
    kernel = proc / "sys/kernel"
    limit, period = (_text(kernel / f"sched_rt_{name}_us") for name in ("runtime", "period"))
    if limit in ("-1", period):
        advice = "sysctl kernel.sched_rt_runtime_us=950000: one that runs for ever leaves its core no time"
        return [Finding(Level.WARN, what, f"{found}, without a limit", advice)]
    share = f", at most {100 * int(limit) / int(period):g} % of a core" if limit and period else ""
    return [Finding(Level.OK, what, f"{found}{share}")]


def _refused(rank: int) -> str:
    """Why a thread of this process may not have that real-time priority; empty when it may."""
    told: list[str] = []
    # A thread of its own: priorities belong to threads, and this one's ends with it.
    trial = threading.Thread(target=lambda: told.append(set_policy(rank, own_thread=True)))
    trial.start()
    trial.join()
    return told[0]


def isolation(placed: Mapping[str, tuple[int, ...]], sys: Path = SYS) -> list[Finding]:
    """Are cores of hot services kept free of other work, of timer ticks and of frequency changes?"""
    own = {placed[spec.name][0] for spec in topology.SERVICES if spec.hot and len(placed[spec.name]) == 1}
    cpu = sys / "devices/system/cpu"
    isolated, tickless = _cpu_list(cpu / "isolated"), _cpu_list(cpu / "nohz_full")
    findings = []
    for what, quiet, option in (("isolation", isolated, "isolcpus"), ("timer ticks", tickless, "nohz_full")):
        shown = cpus.format_list(quiet) or "none"
        open_cores = sorted(own - set(quiet))
        if open_cores:
            wanted = cpus.format_list(own)
            findings.append(
                Finding(
                    Level.WARN,
                    what,
                    f"{option}: {shown}",
                    f"boot with {option}={wanted} for the hot services",
                )
            )
        elif not own and quiet:
            findings.append(
                Finding(Level.WARN, what, f"{option}: {shown}, unused", f"name them in [cpus] list: {shown}")
            )
        else:
            findings.append(
                Finding(
                    Level.OK, what, f"{option}: {shown}{'' if own else '; no service has a core of its own'}"
                )
            )
    governors = {_text(file) for file in cpu.glob("cpu[0-9]*/cpufreq/scaling_governor")} - {""}
    if not governors:
        findings.append(
            Finding(Level.OK, "governor", "not told (a virtual machine, or no frequency scaling)")
        )
    elif governors == {"performance"}:
        findings.append(Finding(Level.OK, "governor", "performance"))
    else:
        findings.append(
            Finding(
                Level.WARN, "governor", ", ".join(sorted(governors)), "cpupower frequency-set -g performance"
            )
        )
    return findings


def clock(sys: Path = SYS) -> list[Finding]:
    """What the time is read from, and how long that takes."""
    source = _text(sys / "devices/system/clocksource/clocksource0/current_clocksource") or "unknown"
    costs = []
    for _ in range(CLOCK_READS):
        begin_ns = time.perf_counter_ns()
        costs.append(time.perf_counter_ns() - begin_ns)
    cost_ns = sorted(costs)[CLOCK_READS // 2]
    found = f"{source}, {cost_ns} ns a reading"
    if source in FAST_CLOCKS or (source == "unknown" and cost_ns < SLOW_CLOCK_NS):
        return [Finding(Level.OK, "clock source", found)]
    return [
        Finding(
            Level.WARN,
            "clock source",
            found,
            "each stamp is a system call: boot with clocksource=tsc if it is stable",
        )
    ]


def memory(config: Config, *, running: bool, shm: Path = SHM, sys: Path = SYS) -> list[Finding]:
    """Room for the segments, limits, huge pages."""
    need = required_bytes(config)
    findings = []
    try:
        room = os.statvfs(shm)
        free = room.f_bavail * room.f_frsize
        found = f"{_mib(free)} free in {shm}, {_mib(need)} needed"
        if running:
            findings.append(Finding(Level.OK, "shared memory", f"{found}; an instance runs and has its own"))
        elif free < need:
            advice = f"mount -o remount,size={2 * need >> 20}M {shm}, or smaller rings in [link:NAME]"
            findings.append(Finding(Level.FAIL, "shared memory", found, advice))
        else:
            findings.append(Finding(Level.OK, "shared memory", found))
    except OSError as error:
        findings.append(
            Finding(Level.FAIL, "shared memory", f"{shm}: {error.strerror}", f"mount a tmpfs at {shm}")
        )
    stale = [name for name in ringbuf.segment_names(config.hft.prefix) if is_stale(name)]
    if stale:
        found = f"{len(stale)} segments of a run that is gone"
        findings.append(Finding(Level.WARN, "stale segments", found, "the next start removes them"))
    locked, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if locked == resource.RLIM_INFINITY:
        findings.append(Finding(Level.OK, "memlock", "unlimited: services lock their memory"))
    else:
        advice = "ulimit -l unlimited (LimitMEMLOCK=infinity), else memory may be swapped out"
        findings.append(Finding(Level.WARN, "memlock", _mib(locked), advice))
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    findings.append(
        Finding(Level.OK, "open files", str(files))
        if files >= FILES_LIMIT
        else Finding(Level.WARN, "open files", str(files), f"ulimit -n {FILES_LIMIT} or more")
    )
    pages = _text(sys / "kernel/mm/transparent_hugepage/enabled")
    if "[always]" in pages:
        advice = "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled: merging pages stops processes"
        findings.append(Finding(Level.WARN, "huge pages", "transparent: always", advice))
    else:
        chosen = pages.partition("[")[2].partition("]")[0] or "not told"
        findings.append(Finding(Level.OK, "huge pages", f"transparent: {chosen}"))
    return findings


def folder(path: Path, config: Config) -> list[Finding]:
    """The state folder: whose it is, room on its disk, the kill latch in it."""
    place = next(parent for parent in (path, *path.parents) if parent.exists())
    findings = []
    if path.exists():
        mode = stat.S_IMODE(path.stat().st_mode)
        if not os.access(path, os.W_OK | os.X_OK):
            findings.append(
                Finding(
                    Level.FAIL, "state folder", f"{path} cannot be written", "choose another: --state-dir"
                )
            )
        elif mode & 0o077:
            findings.append(
                Finding(Level.WARN, "state folder", f"{path}, mode {mode:04o}", f"chmod 0700 {path}")
            )
        else:
            findings.append(Finding(Level.OK, "state folder", f"{path}, mode {mode:04o}"))
    elif os.access(place, os.W_OK | os.X_OK):
        findings.append(Finding(Level.OK, "state folder", f"{path} will be made"))
    else:
        findings.append(
            Finding(Level.FAIL, "state folder", f"{place} cannot be written", "choose another: --state-dir")
        )
    free = shutil.disk_usage(place).free
    found = f"{free / 1e9:.1f} GB free at {place}"
    if free < DISK_FAIL_BYTES:
        findings.append(Finding(Level.FAIL, "disk", found, "make room: a full disk halts new trades"))
    elif config.nats.url == "embedded" and free < config.nats.stream_bytes:
        kept = config.nats.stream_bytes / 1e9
        advice = f"one stream may keep {kept:.1f} GB: make room or lower [nats] stream_bytes"
        findings.append(Finding(Level.WARN, "disk", found, advice))
    else:
        findings.append(Finding(Level.OK, "disk", found))
    latch = killstate.load(path) if path.exists() else killstate.RUNNING
    if latch.killed:
        told = f"set: {latch.trigger.name.lower()} by {latch.by}: {latch.message}"
        findings.append(
            Finding(Level.WARN, "kill latch", told, 'a start is halted until hft resume --approve "…"')
        )
    else:
        findings.append(Finding(Level.OK, "kill latch", "not set"))
    return findings


def running(path: Path) -> Finding:
    """Does an instance hold the state folder?"""
    pid = state.holder(path)
    return Finding(Level.OK, "instance", f"runs, pid {pid}" if pid else "none runs")


def worst(findings: Iterable[Finding]) -> Level:
    """The gravest level among findings."""
    levels = [finding.level for finding in findings]
    return next((level for level in (Level.FAIL, Level.WARN) if level in levels), Level.OK)


def _cpu_list(file: Path) -> tuple[int, ...]:
    text = _text(file)
    try:
        return cpus.parse(text) if text and text != "(null)" else ()
    except HftError:
        return ()


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _mib(count: int) -> str:
    return f"{count / (1 << 20):,.1f} MiB"
