"""The six JetStream streams: one table, and the one function that makes a server agree with it.

The table is pure. `ensure` creates what is missing, reports what differs, and changes a difference only
when it is told to; a stream's storage can never be changed in place, so that difference is refused with
its reason. `verify` looks and changes nothing. `hft streams` and the pipeline's start call the same code.
"""

from __future__ import annotations

import asyncio
import calendar
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from nats.aio.client import Client
from nats.errors import NoRespondersError
from nats.js import JetStreamContext, api
from nats.js.errors import APIError, NotFoundError

from hft.runtime.exit_codes import ExitCode, HftError
from hft.runtime.nats_asking import persistently
from hft.runtime.settings import Nats

MIB = 1 << 20

# One record is at most a few KiB; a limit far above it still catches a foreign publisher.
MAXIMUM_MESSAGE_BYTES = 64 * 1024


class Stream(NamedTuple):
    """One stream of the table.

    name: JetStream's name. subjects: the subjects it stores, none shared with another stream.
    maximum_age_s, maximum_bytes: what is older, or beyond, is discarded (`discard` old) or refused (new).
    duplicate_window_s: a `Nats-Msg-Id` seen within it is stored once; at most `maximum_age_s`.
    storage: "file" or "memory". why: the reason for the less obvious figures.
    """

    name: str
    subjects: tuple[str, ...]
    maximum_age_s: int
    storage: str
    discard: str
    duplicate_window_s: int
    maximum_bytes: int
    why: str
    replicas: int = 1
    allow_direct: bool = True


STREAMS: tuple[Stream, ...] = (
    Stream("OPPORTUNITIES", ("opportunity.>",), 3600, "file", "old", 120, 1024 * MIB, "an hour to study"),
    Stream(
        "PLANNED",
        ("execution.planned.*", "execution.rejected.*"),
        86_400,
        "file",
        "new",
        600,
        4096 * MIB,
        "plans gate: full is a visible error, as for EXECUTED; the window outlives a server's restart",
    ),
    Stream(
        "EXECUTED",
        ("execution.result.*",),
        604_800,
        "file",
        "new",
        3600,
        4096 * MIB,
        "a full stream must be a visible error, never a silent loss",
    ),
    Stream("MARKET_DATA", ("market.>",), 300, "memory", "old", 60, 256 * MIB, "newest counts; never on disk"),
    Stream("METRICS", ("metrics.>",), 86_400, "file", "old", 120, 256 * MIB, "a day for the dashboards"),
    Stream(
        "SYSTEM",
        ("system.>",),
        60,
        "file",
        "old",
        60,
        16 * MIB,
        "the window may not exceed the age (the server's default of 120 s would be refused)",
    ),
)

BY_NAME: Mapping[str, Stream] = {stream.name: stream for stream in STREAMS}


def overlap(one: str, other: str) -> bool:
    """Whether some subject matches both patterns; `*` stands for one token, a final `>` for one or more."""
    first, second = one.split("."), other.split(".")
    for position in range(max(len(first), len(second))):
        if position >= len(first) or position >= len(second):
            return False
        left, right = first[position], second[position]
        if ">" in (left, right):
            return True
        if left != right and "*" not in (left, right):
            return False
    return True


class StreamReason(StrEnum):
    """Why a stream could not be made as the table says."""

    UNCHANGEABLE = "unchangeable"
    REFUSED = "refused"


class StreamError(HftError):
    """A stream that can't be made as the table says; `reason` tells why."""

    def __init__(self, reason: StreamReason, message: str) -> None:
        super().__init__(message, ExitCode.NATS)
        self.reason = reason


class Difference(NamedTuple):
    """A setting of an existing stream that is not as the table says; `reason`: why it can't be changed."""

    stream: str
    setting: str
    found: str
    wanted: str
    reason: str = ""

    def __str__(self) -> str:
        line = f"{self.stream}: {self.setting} is {self.found}, should be {self.wanted}"
        return f"{line} ({self.reason})" if self.reason else line


@dataclass(frozen=True)
class Ensured:
    """What `ensure` did: names created and changed, and the differences that remain. `missing`: names that
    `verify` did not find."""

    created: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    differences: tuple[Difference, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def agrees(self) -> bool:
        """Is every stream as the table says?"""
        return not (self.differences or self.missing)


class Holding(NamedTuple):
    """What a stream holds. Times in unix ns, 0 while it is empty; `lag`: the furthest replica's, messages;
    `leader` and `replicas` are names of servers, empty where there is no cluster."""

    name: str
    messages: int
    bytes: int
    first_sequence: int
    last_sequence: int
    first_unix_ns: int
    last_unix_ns: int
    consumers: int
    leader: str
    replicas: tuple[str, ...]
    lag: int
    maximum_bytes: int
    maximum_age_s: int


def with_limit(stream_bytes: int, streams: Iterable[Stream] = STREAMS) -> tuple[Stream, ...]:
    """The table with no stream larger than `stream_bytes`."""
    return tuple(s._replace(maximum_bytes=min(s.maximum_bytes, stream_bytes)) for s in streams)


def table(nats: Nats) -> tuple[Stream, ...]:
    """The streams as ``[nats]`` wants them: no larger than its limit, on as many servers as it says."""
    return tuple(s._replace(replicas=nats.replicas) for s in with_limit(nats.stream_bytes))


def settings(stream: Stream) -> api.StreamConfig:
    """The server's settings for one row of the table, every limit explicit."""
    return api.StreamConfig(
        name=stream.name,
        subjects=list(stream.subjects),
        retention=api.RetentionPolicy.LIMITS,
        storage=api.StorageType(stream.storage),
        discard=api.DiscardPolicy(stream.discard),
        max_age=stream.maximum_age_s,
        max_bytes=stream.maximum_bytes,
        max_msg_size=MAXIMUM_MESSAGE_BYTES,
        max_msgs=-1,
        max_msgs_per_subject=-1,
        duplicate_window=stream.duplicate_window_s,
        num_replicas=stream.replicas,
        allow_direct=stream.allow_direct,
    )


_COMPARED = (
    "subjects",
    "retention",
    "storage",
    "discard",
    "max_age",
    "max_bytes",
    "max_msg_size",
    "max_msgs",
    "max_msgs_per_subject",
    "duplicate_window",
    "num_replicas",
    "allow_direct",
    "no_ack",
    "sealed",
    "mirror",
)
_REMAKE = "back the stream up, delete it, and start again"
_FIXED = {
    "storage": f"a stream's storage is fixed when it is made: {_REMAKE}",
    "sealed": f"a sealed stream stays sealed: {_REMAKE}",
    "mirror": f"a mirror takes no messages of its own, and stays one: {_REMAKE}",
}


def differences(found: api.StreamConfig, wanted: api.StreamConfig) -> tuple[Difference, ...]:
    """Settings in which an existing stream differs from the table, in a fixed order."""
    result = []
    for setting in _COMPARED:
        have, want = _plain(getattr(found, setting)), _plain(getattr(wanted, setting))
        if have != want:
            reason = _FIXED.get(setting, "")
            if setting == "retention" and "workqueue" in (have, want):
                reason = f"a work queue's retention is fixed when it is made: {_REMAKE}"
            result.append(Difference(str(wanted.name), setting, str(have), str(want), reason))
    return tuple(result)


def _plain(value: Any) -> Any:
    """A setting in a form that compares: lists unordered, enums by value, absent booleans as False."""
    if isinstance(value, list):
        return sorted(value)
    if isinstance(value, float):
        return round(value)
    if isinstance(value, api.StreamSource):
        return value.name
    return False if value is None else getattr(value, "value", value)


async def verify(js: JetStreamContext, streams: Iterable[Stream] = STREAMS) -> Ensured:
    """What is missing on the server and what differs from the table; changes nothing.

    Raises StreamError (`refused`) where there is no JetStream, TimeoutError where nobody answers.
    """
    missing: list[str] = []
    found: list[Difference] = []
    for stream in streams:
        info = await _find(js, stream)
        if info is None:
            missing.append(stream.name)
        else:
            found += differences(info.config, settings(stream))
    return Ensured(differences=tuple(found), missing=tuple(missing))


async def ensure(
    js: JetStreamContext, streams: Iterable[Stream] = STREAMS, *, apply: bool = False
) -> Ensured:
    """Make the server hold every stream of the table; safe to repeat, and two callers at once may race.

    What is missing is created. What differs is reported, and changed only with `apply`; settings that the
    table does not speak of, such as placement, stay as they are.
    Raises StreamError: `unchangeable` with `apply` where a difference can't be changed (nothing is
    changed then), `refused` with the server's own words when it declines a stream.
    """
    created: list[str] = []
    differing: list[tuple[Stream, api.StreamConfig, tuple[Difference, ...]]] = []
    for stream in streams:
        info = await _find(js, stream)
        if info is None:
            await _create(js, stream)
            created.append(stream.name)
        elif found := differences(info.config, settings(stream)):
            differing.append((stream, info.config, found))
    if not apply:
        return Ensured(tuple(created), differences=tuple(d for *_, found in differing for d in found))
    fixed = [d for *_, found in differing for d in found if d.reason]
    if fixed:
        raise StreamError(StreamReason.UNCHANGEABLE, "; ".join(map(str, fixed)))
    for stream, config, found in differing:
        wanted = settings(stream)
        try:
            await js.update_stream(config.evolve(**{d.setting: getattr(wanted, d.setting) for d in found}))
        except APIError as error:
            raise _refused(stream, str(error.description)) from error
    return Ensured(tuple(created), tuple(stream.name for stream, *_ in differing))


async def _find(js: JetStreamContext, stream: Stream) -> api.StreamInfo | None:
    """The stream as it is, or None if it is missing."""
    try:
        return await persistently(lambda: js.stream_info(stream.name))
    except NotFoundError:
        return None
    except (APIError, NoRespondersError) as error:
        raise StreamError(StreamReason.REFUSED, f"the server has no JetStream for us: {error}") from error


async def _create(js: JetStreamContext, stream: Stream) -> None:
    try:
        await js.add_stream(settings(stream))
    except APIError as error:
        words = str(error.description)
        if "overlap" in words:
            holders = [await _holder(js, subject) for subject in stream.subjects]
            words += f": {', '.join(sorted({name for name in holders if name})) or 'another stream'} has them"
        raise _refused(stream, words) from error


async def _holder(js: JetStreamContext, subject: str) -> str:
    """The stream that takes some of these subjects; empty when none does."""
    try:
        return str(await js.find_stream_name_by_subject(subject))
    except (NotFoundError, APIError):
        return ""


def _refused(stream: Stream, words: str) -> StreamError:
    return StreamError(StreamReason.REFUSED, f"the server declines stream {stream.name}: {words}")


async def holdings(client: Client, streams: Iterable[Stream] = STREAMS) -> tuple[Holding, ...]:
    """What each stream of the table holds, in its order; those that don't exist are left out."""
    found = []
    for stream in streams:
        # Asked by hand: nats-py leaves the times of the first and the last message out.
        answer = await client.request(f"$JS.API.STREAM.INFO.{stream.name}", timeout=5)
        told: dict[str, Any] = json.loads(answer.data)
        if "error" not in told:
            found.append(_holding(told))
    return tuple(found)


def _holding(told: Mapping[str, Any]) -> Holding:
    state, config, cluster = told["state"], told["config"], told.get("cluster", {})
    replicas = cluster.get("replicas") or []
    return Holding(
        config["name"],
        state["messages"],
        state["bytes"],
        state["first_seq"],
        state["last_seq"],
        _unix_ns(state["first_ts"]) if state["messages"] else 0,
        _unix_ns(state["last_ts"]) if state["messages"] else 0,
        state["consumer_count"],
        cluster.get("leader", ""),
        tuple(peer["name"] for peer in replicas),
        max((peer.get("lag", 0) for peer in replicas), default=0),
        config["max_bytes"],
        config["max_age"] // 1_000_000_000,
    )


def _unix_ns(text: str) -> int:
    """``2026-01-02T03:04:05.123456789Z``; Python's own parser stops at microseconds."""
    whole, _, rest = text.rstrip("Z").partition(".")
    seconds = calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S"))
    return seconds * 1_000_000_000 + int((rest or "0").ljust(9, "0")[:9])


async def message_counts(js: JetStreamContext, streams: Iterable[Stream] = STREAMS) -> dict[str, int]:
    """Messages held now, by stream name; a stream that doesn't exist counts 0."""

    async def count(name: str) -> int:
        try:
            return int((await js.stream_info(name)).state.messages)
        except NotFoundError:
            return 0

    names = [stream.name for stream in streams]
    return dict(zip(names, await asyncio.gather(*map(count, names)), strict=True))
