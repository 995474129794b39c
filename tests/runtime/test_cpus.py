"""CPU lists, who gets which core, and clear words where it cannot be had."""

import os

import pytest

from hft.runtime import config, cpus, idle, topology
from hft.runtime.exit_codes import ExitCode, HftError

EVERY = {spec.name for spec in topology.SERVICES}


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("0", (0,)), ("0-3", (0, 1, 2, 3)), ("0-3,5", (0, 1, 2, 3, 5)), ("5, 1-2,2", (1, 2, 5)), (" 7 ", (7,))],
)
def test_lists_are_read_and_written(text: str, numbers: tuple[int, ...]) -> None:
    assert cpus.parse(text) == numbers
    assert cpus.parse(cpus.format_list(numbers)) == numbers


@pytest.mark.parametrize("text", ["", "a", "1-", "-1", "3-1", "1,,2", "1;2", "0x1", "99999", "0-9999999"])
def test_row_35_a_malformed_list_is_refused(text: str) -> None:
    with pytest.raises(HftError, match="--cpus") as caught:
        cpus.parse(text)
    assert caught.value.code == ExitCode.CONFIG


def test_row_35_cpus_beyond_what_there_is_or_outside_the_cpuset_are_refused() -> None:
    with pytest.raises(HftError, match="CPU 2-3 does not exist or is offline; online are 0-1"):
        cpus.choose("0-3", (0, 1), (0, 1))
    with pytest.raises(HftError, match="CPU 1 is outside this process's cpuset; allowed are 0"):
        cpus.choose("0-1", (0,), (0, 1))
    assert cpus.choose("1", (0, 1), (0, 1)) == (1,)
    assert cpus.choose("", (0, 1), (0, 1, 2)) == (0, 1)


@pytest.mark.parametrize(("count", "owners"), [(1, 0), (2, 0), (3, 1), (4, 2), (5, 3), (6, 4), (64, 4)])
def test_hot_services_own_cores_while_two_remain(count: int, owners: int) -> None:
    numbers = tuple(range(count))
    assigned = cpus.assign(numbers, "shared")
    assert set(assigned.cpus) == EVERY
    own = {name: assigned.cpus[name] for name in cpus.OWN_CORE_ORDER[:owners]}
    assert all(len(cores) == 1 for cores in own.values())
    assert len(set(own.values())) == owners
    taken = {cores[0] for cores in own.values()}
    shared = tuple(number for number in numbers if number not in taken)
    assert all(assigned.cpus[name] == shared for name in EVERY - own.keys())
    assert bool(assigned.notes) == (owners < len(cpus.OWN_CORE_ORDER))


@pytest.mark.parametrize(
    ("count", "owners", "together"),
    [(1, 0, ()), (2, 0, (1,)), (3, 0, (2,)), (4, 1, (2,)), (5, 2, (2,)), (6, 4, ())],
)
@pytest.mark.parametrize("placement", ["split", "split_feed"])
def test_split_keeps_hot_services_apart_from_the_others(
    count: int, owners: int, together: tuple[int, ...], placement: str
) -> None:
    assigned = cpus.assign(tuple(range(count)), placement).cpus
    own = cpus.OWN_CORE_ORDER[:owners]
    assert len({assigned[name] for name in own}) == owners
    rest = [name for name in cpus.OWN_CORE_ORDER if name not in own]
    if placement == "split_feed" and together and "feed" in rest:
        rest.remove("feed")
        assert assigned["feed"] == assigned["manager"]
    others = {assigned[name] for name in EVERY - set(cpus.OWN_CORE_ORDER)}
    assert len(others) == 1
    if together:
        assert {assigned[name] for name in rest} == {together}
        assert not any(set(together) & set(cores) for cores in others)


def test_a_services_own_list_stands_over_the_placement() -> None:
    here = cpus.available()
    loaded = config.load(None, sets=[f"service:feed.cpus={here[0]}", f"simnet.cpus={here[-1]}"])
    placed = cpus.place(loaded).cpus
    assert (placed["feed"], placed["simnet"]) == ((here[0],), (here[-1],))
    assert set(placed) == EVERY


def test_row_35_every_list_that_cannot_be_had_is_told_with_its_key() -> None:
    sets = ["cpus.list=0-", "service:feed.cpus=4000", "simnet.cpus=x"]
    with pytest.raises(HftError) as caught:
        cpus.place(config.load(None, sets=sets))
    assert caught.value.code == ExitCode.CONFIG
    first, second, third = str(caught.value).splitlines()
    assert first.startswith("--cpus '0-': '0-' is neither")
    assert second.startswith("[service:feed] cpus 4000: CPU 4000 does not exist")
    assert third.startswith("[simnet] cpus 'x'")


def test_row_35_a_system_without_pinning_runs_unpinned_and_says_so() -> None:
    assigned = cpus.assign((0, 1), can_pin=False)
    assert set(assigned.cpus.values()) == {()}
    assert "cannot pin" in assigned.notes[0]


def test_pinning_keeps_to_the_cores_and_says_when_it_cannot() -> None:
    before = os.sched_getaffinity(0)
    try:
        assert cpus.pin((min(before),)) == ""
        assert os.sched_getaffinity(0) == {min(before)}
        assert cpus.pin((cpus.MAXIMUM_CPU,)) != ""
        assert cpus.pin(()) == ""
    finally:
        os.sched_setaffinity(0, before)


def test_idle_strategies_follow_the_cores() -> None:
    loaded = config.load(None)
    crowded = idle.resolve(loaded, cpus.assign((0, 1)).cpus)
    assert set(crowded.values()) == {"park"}
    roomy = idle.resolve(loaded, cpus.assign(tuple(range(8))).cpus)
    assert {name for name, strategy in roomy.items() if strategy == "yield"} == set(cpus.OWN_CORE_ORDER)
    asked = idle.resolve(config.load(None, sets=["hft.idle=backoff"]), cpus.assign((0,)).cpus)
    assert set(asked.values()) == {"backoff"}


@pytest.mark.parametrize(
    ("sets", "numbers", "ranked"),
    [
        ([], (0, 1), cpus.REAL_TIME_ORDER),
        ([], (0, 1, 2, 3), ("feed", "planner", "executor")),
        ([], tuple(range(8)), ()),
        ([], (0,), ()),
        (["cpus.placement=split_feed"], (0, 1), cpus.REAL_TIME_ORDER),
        (["cpus.placement=shared"], (0, 1), ()),
        (["cpus.real_time=off"], (0, 1), ()),
        (["hft.idle=busy_spin"], (0, 1), ()),
        (["service:scanner.idle=yield"], (0, 1), ("feed", "planner", "executor")),
        (["service:planner.idle=park"], tuple(range(8)), ("planner",)),
    ],
)
def test_hot_services_run_in_real_time_that_park_where_nobody_must_not_be_held_up(
    sets: list[str], numbers: tuple[int, ...], ranked: tuple[str, ...]
) -> None:
    loaded = config.load(None, sets=sets)
    placed = cpus.assign(numbers, loaded.cpus.placement).cpus
    ranks = cpus.ranks(loaded.cpus.real_time, placed, idle.resolve(loaded, placed))
    assert tuple(sorted(ranks, key=ranks.__getitem__)) == ranked


def test_nobody_runs_in_real_time_beside_the_manager_or_unpinned() -> None:
    parked = dict.fromkeys(EVERY, "park")
    placed = {**dict.fromkeys(EVERY, (0,)), **dict.fromkeys(cpus.REAL_TIME_ORDER, (1,))}
    assert set(cpus.ranks("auto", placed, parked)) == set(cpus.REAL_TIME_ORDER)
    assert cpus.ranks("auto", {**placed, "manager": (0, 1)}, parked) == {}
    assert set(cpus.ranks("auto", {**placed, "feed": (0, 1)}, parked)) == {"scanner", "planner", "executor"}
    assert set(cpus.ranks("auto", {**placed, "feed": (0,)}, parked)) == set(cpus.REAL_TIME_ORDER)
    assert set(cpus.ranks("auto", {**placed, "scanner": (0,)}, parked)) == {"feed", "planner", "executor"}
    assert cpus.ranks("auto", dict.fromkeys(EVERY, ()), parked) == {}


def test_who_shares_with_whom_is_told() -> None:
    (told,) = cpus.assign((0, 1), "split").notes
    assert told.startswith(
        "2 CPUs (0-1): scanner, feed, planner, executor share CPU 1 among themselves; 6 or"
    )
    (told,) = cpus.assign((0, 1), "split_feed").notes
    assert told.startswith("2 CPUs (0-1): scanner, planner, executor share CPU 1 among themselves, ")
    assert "feed shares CPU 0 with the rest; 6 or more" in told
    (told,) = cpus.assign((3,)).notes
    assert told.startswith("1 CPU (3): scanner, feed, planner, executor share CPU 3 with the rest; ")
    (told,) = cpus.assign((0, 1, 2, 3, 4)).notes
    assert told.startswith("5 CPUs (0-4): planner, executor share CPU 2 among themselves; ")


def test_the_owning_order_names_exactly_the_hot_services() -> None:
    hot = [spec.name for spec in topology.SERVICES if spec.hot]
    assert sorted(cpus.OWN_CORE_ORDER) == sorted(hot)
    assert cpus.REAL_TIME_ORDER == ("feed", "scanner", "planner", "executor")
