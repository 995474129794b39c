"""What hft check says of a machine: of this one, and of made-up ones in folders of their own."""

import os
from pathlib import Path

import pytest

import ringbuf
from hft.runtime import config, cpus, host, killstate, topology
from hft.runtime.context import Run
from hft.runtime.host import Finding, Level
from hft.runtime.segments import Segments, declared_page, required_bytes
from hft.wire.enums import KillTrigger

OWN = {spec.name: (number,) if spec.hot else (8, 9) for number, spec in enumerate(topology.SERVICES)}
HOT = cpus.format_list(OWN[spec.name][0] for spec in topology.SERVICES if spec.hot)


def machine(folder: Path, **files: str) -> Path:
    """A /sys with some files; ``__`` in a name is a slash."""
    for name, text in files.items():
        file = folder / name.replace("__", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    return folder


def level_of(findings: list[Finding], what: str) -> Level:
    return host.worst(finding for finding in findings if finding.what == what)


@pytest.mark.parametrize(
    ("isolated", "governor", "levels"),
    [
        ("", "performance", (Level.WARN, Level.OK)),
        (HOT, "powersave", (Level.OK, Level.WARN)),
        ("0", "performance", (Level.WARN, Level.OK)),
    ],
)
def test_cores_of_hot_services_want_to_be_left_alone(
    tmp_path: Path, isolated: str, governor: str, levels: tuple[Level, Level]
) -> None:
    cpu = "devices__system__cpu__"
    files = {f"{cpu}isolated": isolated, f"{cpu}cpu0__cpufreq__scaling_governor": governor}
    findings = host.isolation(OWN, machine(tmp_path, **files))
    assert (level_of(findings, "isolation"), level_of(findings, "governor")) == levels
    advice = [finding.advice for finding in findings if finding.what == "isolation" and finding.advice]
    assert advice in ([], [f"boot with isolcpus={HOT} for the hot services"])


def test_isolated_cores_that_nobody_uses_are_told(tmp_path: Path) -> None:
    shared = dict.fromkeys(OWN, (0, 1))
    [found] = [
        finding
        for finding in host.isolation(shared, machine(tmp_path, devices__system__cpu__isolated="2-5"))
        if finding.what == "isolation"
    ]
    assert (found.level, found.advice) == (Level.WARN, "name them in [cpus] list: 2-5")


def test_placement_tells_of_what_will_run_and_of_nothing_else() -> None:
    def placed(*sets: str) -> set[str]:
        found = next(f for f in host.processors(config.load(None, sets=sets)) if f.what == "placement")
        return {name.strip() for group in found.found.split(";") for name in group.split(":")[1].split(",")}

    usual = {spec.name for spec in topology.SERVICES if not spec.optional}
    assert placed() == usual
    assert placed("service:bridge.enabled=on") == usual | {"bridge"}
    assert placed("hft.mode=live") == usual - {"simnet"}


def test_cpus_that_cannot_be_had_fail_by_their_key() -> None:
    [found] = host.processors(config.load(None, sets=["service:feed.cpus=4000"]))
    assert found.level is Level.FAIL
    assert "[service:feed] cpus 4000" in found.found


def kernel(folder: Path, limit_us: str) -> Path:
    """A /proc whose kernel leaves real time so much of each second."""
    rules = {"sys__kernel__sched_rt_runtime_us": limit_us, "sys__kernel__sched_rt_period_us": "1000000"}
    return machine(folder, **rules)


@pytest.mark.parametrize(
    ("limit_us", "refused", "level", "found"),
    [
        ("950000", "", Level.OK, "for feed, scanner, planner, executor, at most 95 % of a core"),
        ("-1", "", Level.WARN, "for feed, scanner, planner, executor, without a limit"),
        ("1000000", "", Level.WARN, "for feed, scanner, planner, executor, without a limit"),
        ("950000", "operation not permitted", Level.WARN, "operation not permitted"),
    ],
)
def test_real_time_wants_the_right_and_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit_us: str, refused: str, level: Level, found: str
) -> None:
    monkeypatch.setattr(host, "set_policy", lambda _rank, own_thread: refused if own_thread else "all of it")
    settings, placed = config.load(None), cpus.assign((0, 1)).cpus
    [told] = host.real_time(settings, placed, kernel(tmp_path, limit_us))
    assert (told.level, told.found) == (level, found)
    assert bool(told.advice) == (level is Level.WARN)


def test_asking_whether_real_time_is_allowed_changes_nothing(tmp_path: Path) -> None:
    before = os.sched_getscheduler(0)
    [told] = host.real_time(config.load(None), cpus.assign((0, 1)).cpus, kernel(tmp_path, "950000"))
    assert told.level is (Level.OK if told.found.startswith("for ") else Level.WARN)
    assert os.sched_getscheduler(0) == before
    assert {os.sched_getscheduler(int(thread)) for thread in os.listdir("/proc/self/task")} == {before}


@pytest.mark.parametrize(("sets", "count"), [(["cpus.real_time=off"], 2), ([], 1), ([], 8)])
def test_where_nobody_wants_real_time_nothing_is_amiss(sets: list[str], count: int) -> None:
    placed = cpus.assign(tuple(range(count))).cpus
    [told] = host.real_time(config.load(None, sets=sets), placed)
    assert (told.level, told.advice) == (Level.OK, "")


@pytest.mark.parametrize(("source", "level"), [("tsc", Level.OK), ("hpet", Level.WARN)])
def test_a_clock_that_is_read_by_system_calls_is_told(tmp_path: Path, source: str, level: Level) -> None:
    name = "devices__system__clocksource__clocksource0__current_clocksource"
    [found] = host.clock(machine(tmp_path, **{name: source}))
    assert found.level is level
    assert found.found.startswith(f"{source}, ")


def test_required_memory_is_what_the_segments_take(tmp_path: Path) -> None:
    settings = config.load(None, sets=["hft.accounts_capacity=64", "hft.accounts_bytes=65536"])
    placed = dict.fromkeys(OWN, ())
    run = Run(os.urandom(16), tmp_path, f"hftm{os.getpid()}", settings, placed, {})
    segments = Segments.create(
        run, {spec.name: declared_page(spec.name) for spec in topology.services("paper")}
    )
    try:
        sizes = {name: (host.SHM / name).stat().st_size for name in ringbuf.segment_names(run.prefix)}
    finally:
        segments.remove()
    control = sum(size for name, size in sizes.items() if name.endswith("control"))
    assert sum(sizes.values()) - control == required_bytes(settings)


def test_no_room_for_the_segments_fails_unless_they_are_there(tmp_path: Path) -> None:
    largest = ("depth=1048576", "mtu=65536")
    sizes = [f"link:{entry.name}.{size}" for entry in topology.LINKS for size in largest]
    vast = config.load(None, sets=sizes)
    assert required_bytes(vast) > 2**38
    assert level_of(host.memory(vast, running=False), "shared memory") is Level.FAIL
    assert level_of(host.memory(vast, running=True), "shared memory") is Level.OK
    missing = host.memory(config.load(None), running=False, shm=tmp_path / "none")
    assert level_of(missing, "shared memory") is Level.FAIL


def test_pages_that_are_always_merged_are_told(tmp_path: Path) -> None:
    pages = {"kernel__mm__transparent_hugepage__enabled": "[always] madvise never"}
    found = host.memory(config.load(None), running=False, sys=machine(tmp_path, **pages))
    assert level_of(found, "huge pages") is Level.WARN


def test_the_state_folder_tells_of_its_mode_and_its_latch(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    assert level_of(host.folder(folder, config.load(None)), "state folder") is Level.OK
    folder.mkdir(mode=0o700)
    assert host.worst(host.folder(folder, config.load(None))) is Level.OK
    folder.chmod(0o755)
    killstate.trip(folder, KillTrigger.MANUAL, "me", "the holidays", 1)
    found = host.folder(folder, config.load(None))
    assert level_of(found, "state folder") is level_of(found, "kill latch") is Level.WARN
    assert any("the holidays" in finding.found for finding in found)
