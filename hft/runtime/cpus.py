"""Which process runs on which core: reading CPU lists, sharing cores out, saying what could not be had."""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from hft.runtime import topology
from hft.runtime.exit_codes import ExitCode, HftError
from hft.runtime.settings import Config, own_cpus, section_of

MAXIMUM_CPU = 4095
"""No CPU number above this is believed."""


AUTO_PLACEMENT = "split"
"""What ``[cpus] placement = auto`` means; ``python -m perf run placement burst`` compares. On two cores a
parked service wakes sooner when its neighbour on the data's way shares its core and nobody else does. A feed
elsewhere reads the next update while a trade is under way; but beside the local cluster it interrupts each
of its writes, and takes a burst message by message."""

SHARED_CORES = 2
"""Cores that no service owns: the local cluster and nats-server need about one each under load."""

OWN_CORE_ORDER: tuple[str, ...] = ("scanner", "feed", "planner", "executor")
"""Hot services, the busiest first: who gets a core of its own when there are not enough for all."""

RECORDING: tuple[str, ...] = ("sidecar", "event_logger")
"""Services that nothing waits for but a full ring: where others want the same core, they come last."""


REAL_TIME_ORDER: tuple[str, ...] = tuple(spec.name for spec in topology.SERVICES if spec.hot)
"""Hot services along the data's way, by real-time priority from 1 on: a trade under way goes before new
updates. ``python -m perf run tick_to_trade`` compares it with none. What the kernel runs so has 50."""


class Assignment(NamedTuple):
    """Who runs where, and what a person should know about it."""

    cpus: dict[str, tuple[int, ...]]
    notes: tuple[str, ...]
    others: tuple[int, ...] = ()
    """Where whatever is not a service belongs: nats-server, the supervisor with its view. Empty: anywhere."""


def parse(text: str, what: str = "--cpus") -> tuple[int, ...]:
    """CPU numbers of a list such as ``0-3,5``, ascending and without repeats.

    ``HftError`` (CONFIG) names the part that is malformed, and ``what`` it was given for.
    """
    found: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,6})(?:-(\d{1,6}))?\s*", part)
        if not match:
            raise HftError(
                f"{what} {text!r}: {part!r} is neither a CPU number nor a range such as 0-3", ExitCode.CONFIG
            )
        low, high = int(match[1]), int(match[2] or match[1])
        if low > high:
            raise HftError(f"{what} {text!r}: the range {part.strip()} runs backwards", ExitCode.CONFIG)
        if high > MAXIMUM_CPU:
            raise HftError(f"{what} {text!r}: CPU {high} is above {MAXIMUM_CPU}", ExitCode.CONFIG)
        found.update(range(low, high + 1))
    return tuple(sorted(found))


def format_list(numbers: Iterable[int]) -> str:
    """The shortest list text for some CPU numbers: ``(0, 1, 2, 5)`` → ``0-2,5``."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ",".join(f"{part[0]}-{part[-1]}" if len(part) > 1 else str(part[0]) for part in parts)


def available() -> tuple[int, ...]:
    """CPUs this process may run on (the cpuset's share of the machine), ascending."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def reachable() -> tuple[int, ...]:
    """CPUs this process may move to, ascending: the cpuset's, also those that ``isolcpus`` keeps out of the
    usual mask."""
    if not hasattr(os, "sched_setaffinity"):
        return available()
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
        return available()
    except OSError:
        return available()
    finally:
        os.sched_setaffinity(0, before)


def online() -> tuple[int, ...]:
    """CPUs the machine has switched on; all available ones where the kernel does not say."""
    try:
        return parse(Path("/sys/devices/system/cpu/online").read_text(encoding="ascii").strip())
    except (OSError, HftError):
        return available()


def choose(
    text: str, allowed: tuple[int, ...], switched_on: tuple[int, ...], what: str = "--cpus"
) -> tuple[int, ...]:
    """The CPUs a run uses: those of ``text``, all allowed ones when it is empty.

    ``HftError`` (CONFIG) when a CPU does not exist, is offline or outside this process's cpuset: a pin that
    cannot be kept is refused, never quietly moved elsewhere.
    """
    if not text.strip():
        return allowed
    wanted = parse(text, what)
    offline = [number for number in wanted if number not in switched_on]
    if offline:
        raise HftError(
            f"{what} {text}: CPU {format_list(offline)} does not exist or is offline; "
            f"online are {format_list(switched_on)}",
            ExitCode.CONFIG,
        )
    barred = [number for number in wanted if number not in allowed]
    if barred:
        raise HftError(
            f"{what} {text}: CPU {format_list(barred)} is outside this process's cpuset; "
            f"allowed are {format_list(allowed)}",
            ExitCode.CONFIG,
        )
    return wanted


def place(config: Config) -> Assignment:
    """Who runs where by the settings, on this machine.

    ``HftError`` (CONFIG) with a line for every list that cannot be had.
    """
    usual, allowed, switched_on = available(), reachable(), online()
    errors: list[str] = []
    lists: dict[str, tuple[int, ...]] = {}
    wanted = {"--cpus": config.cpus.list}
    wanted |= {f"[{section_of(name)}] cpus": text for name, text in own_cpus(config).items() if text.strip()}
    for what, text in wanted.items():
        try:
            lists[what] = choose(text, allowed if text.strip() else usual, switched_on, what)
        except HftError as error:
            errors.append(str(error))
    if errors:
        raise HftError("\n".join(errors), ExitCode.CONFIG)
    own = {
        name: lists[f"[{section_of(name)}] cpus"] for name, text in own_cpus(config).items() if text.strip()
    }
    return assign(lists["--cpus"], config.cpus.placement, own, can_pin=hasattr(os, "sched_setaffinity"))


def assign(
    numbers: tuple[int, ...],
    placement: str = "auto",
    own_lists: Mapping[str, tuple[int, ...]] | None = None,
    can_pin: bool = True,
) -> Assignment:
    """Share ``numbers`` out over the services of the topology.

    Hot services get a core of their own in the order of ``OWN_CORE_ORDER`` while at least ``SHARED_CORES``
    remain for all others together. Those that get none: ``shared`` puts them among the others, ``split`` on
    one core for them alone, away from the others, while there are two, ``split_feed`` too but for the feed,
    which goes among the others; ``auto`` is ``AUTO_PLACEMENT``.
    ``own_lists``: services whose own section names their CPUs; they stay out of the sharing.
    """
    every = [spec.name for spec in topology.SERVICES]
    if not can_pin:
        return Assignment(
            dict.fromkeys(every, ()), ("this system cannot pin processes to CPUs: all services run unpinned",)
        )
    listed = own_lists or {}
    hot = [name for name in OWN_CORE_ORDER if name not in listed]
    asked = AUTO_PLACEMENT if placement == "auto" else placement
    spare = max(0, len(numbers) - SHARED_CORES)
    if asked != "shared" and spare < len(hot) and len(numbers) > 1:
        owners, together = hot[: max(0, spare - 1)], hot[max(0, spare - 1) :]
        if asked == "split_feed":
            together = [name for name in together if name != "feed"]
    else:
        owners, together = hot[:spare], []
    cores = iter(reversed(numbers))
    placed: dict[str, tuple[int, ...]] = {name: (next(cores),) for name in owners}
    if together:
        placed |= dict.fromkeys(together, (next(cores),))
    shared = tuple(sorted(cores))
    notes = _sharing_notes(numbers, hot, owners, together, shared)
    return Assignment({name: listed.get(name, placed.get(name, shared)) for name in every}, notes, shared)


def _sharing_notes(
    numbers: tuple[int, ...], hot: list[str], owners: list[str], together: list[str], shared: tuple[int, ...]
) -> tuple[str, ...]:
    sharing = [name for name in hot if name not in owners]
    if not sharing:
        return ()
    among = [name for name in sharing if name not in together]
    where = [_shares(together, (numbers[-1 - len(owners)],), "among themselves")] if together else []
    where += [_shares(among, shared, "with the rest")] if among else []
    return (
        f"{_count(len(numbers))} ({format_list(numbers)}): {', '.join(where)}; "
        f"{len(OWN_CORE_ORDER) + SHARED_CORES} or more give every hot service a core of its own",
    )


def _shares(names: list[str], numbers: tuple[int, ...], with_whom: str) -> str:
    verb = "shares" if len(names) == 1 else "share"
    return f"{', '.join(names)} {verb} CPU {format_list(numbers)} {with_whom}"


def _count(number: int) -> str:
    return f"{number} CPU{'' if number == 1 else 's'}"


def pin(numbers: tuple[int, ...]) -> str:
    """Restrict this process to ``numbers``; returns why it could not, else the empty string."""
    if not numbers:
        return ""
    if not hasattr(os, "sched_setaffinity"):
        return "this system cannot pin processes to CPUs"
    try:
        os.sched_setaffinity(0, numbers)
    except OSError as error:
        return f"CPU {format_list(numbers)}: {error.strerror}"
    return ""


def ranks(setting: str, assignment: Mapping[str, tuple[int, ...]], idle: Mapping[str, str]) -> dict[str, int]:
    """Service → its real-time priority (SCHED_FIFO, 1 to 4); those that are absent get none.

    setting: ``[cpus] real_time``; idle: service → its strategy. A hot service gets one if it parks, for one
    that spins or yields would keep all else, the kernel's own threads among it, off its core; and if only hot
    services may run on its CPUs: one that never comes to its end must not hold up the manager, which halts,
    nor the supervisor, which ends it. The feed alone may go before those: for the second at most that it runs
    on without a pause (see ``real_time``), and never beside a hot service, before whose trade it would go.
    """
    if setting == "off":
        return {}
    return {
        name: rank
        for rank, name in enumerate(REAL_TIME_ORDER, 1)
        if idle.get(name) == "park" and _goes_first(name, assignment)
    }


def of_others(assignment: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    """CPUs on which services that are not hot may run, ascending."""
    lists = (numbers for name, numbers in assignment.items() if name not in OWN_CORE_ORDER)
    return tuple(sorted(set().union(*lists)))


def _goes_first(name: str, assignment: Mapping[str, tuple[int, ...]]) -> bool:
    """May this hot service hold up whoever shares its CPUs?"""
    own = set(assignment.get(name, ()))
    beside = {other for other, numbers in assignment.items() if other != name and own.intersection(numbers)}
    if beside <= set(OWN_CORE_ORDER):
        return bool(own)
    return name == "feed" and beside.isdisjoint(OWN_CORE_ORDER)


def describe(assignment: Mapping[str, tuple[int, ...]]) -> str:
    """One line for a person: who runs where."""
    groups: dict[tuple[int, ...], list[str]] = {}
    for name, numbers in assignment.items():
        groups.setdefault(numbers, []).append(name)
    return "; ".join(
        f"{format_list(numbers) or 'unpinned'}: {', '.join(names)}" for numbers, names in groups.items()
    )
