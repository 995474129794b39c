"""The six JetStream streams: one table, and the one function that makes a server agree with it.

The table is pure. `ensure` creates what is missing, reports what differs, and changes a difference only
when it is told to; a stream's storage can never be changed in place, so that difference is refused with
its reason.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, NamedTuple

from nats.js import JetStreamContext, api
from nats.js.errors import APIError, NotFoundError

from hft.runtime.exit_codes import ExitCode, HftError
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
        "old",
        600,
        4096 * MIB,
        "plans gate: the window outlives a server's restart. Rejections are many, so the oldest give way",
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
    """What `ensure` did: names created and changed, and the differences that remain."""

    created: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    differences: tuple[Difference, ...] = ()


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
    "duplicate_window",
    "num_replicas",
    "allow_direct",
)
_UNCHANGEABLE = {
    "storage": "a stream's storage is fixed when it is made: back the stream up, delete it, and start again",
    "retention": "a stream's retention policy is fixed when it is made",
}


def differences(found: api.StreamConfig, wanted: api.StreamConfig) -> tuple[Difference, ...]:
    """Settings in which an existing stream differs from the table, in a fixed order."""
    result = []
    for setting in _COMPARED:
        have, want = _plain(getattr(found, setting)), _plain(getattr(wanted, setting))
        if have != want:
            reason = _UNCHANGEABLE.get(setting, "")
            result.append(Difference(str(wanted.name), setting, str(have), str(want), reason))
    return tuple(result)


def _plain(value: Any) -> Any:
    """A setting in a form that compares: lists unordered, enums by value, absent booleans as False."""
    if isinstance(value, list):
        return sorted(value)
    if isinstance(value, float):
        return round(value)
    return False if value is None else getattr(value, "value", value)


async def ensure(
    js: JetStreamContext, streams: Iterable[Stream] = STREAMS, *, apply: bool = False
) -> Ensured:
    """Make the server hold every stream of the table; safe to repeat, and two callers at once may race.

    What is missing is created. What differs is reported, and changed only with `apply`.
    Raises StreamError: `unchangeable` with `apply` where a difference can't be changed (nothing is
    changed then), `refused` with the server's own words when it declines a stream.
    """
    done = Ensured()
    differing: list[tuple[Stream, tuple[Difference, ...]]] = []
    for stream in streams:
        info = await _find_or_create(js, stream)
        if info is None:
            done = replace(done, created=(*done.created, stream.name))
        elif found := differences(info.config, settings(stream)):
            differing.append((stream, found))
    if not apply:
        return replace(done, differences=tuple(d for _, found in differing for d in found))
    fixed = [d for _, found in differing for d in found if d.reason]
    if fixed:
        raise StreamError(StreamReason.UNCHANGEABLE, "; ".join(map(str, fixed)))
    for stream, _ in differing:
        try:
            await js.update_stream(settings(stream))
        except APIError as error:
            raise _refused(stream, error) from error
    return replace(done, changed=tuple(stream.name for stream, _ in differing))


async def _find_or_create(js: JetStreamContext, stream: Stream) -> api.StreamInfo | None:
    """The stream as it is, or None if it was missing and is now made as the table says."""
    try:
        return await js.stream_info(stream.name)
    except NotFoundError:
        pass
    try:
        await js.add_stream(settings(stream))
    except APIError as error:
        raise _refused(stream, error) from error
    return None


def _refused(stream: Stream, error: APIError) -> StreamError:
    return StreamError(StreamReason.REFUSED, f"the server declines stream {stream.name}: {error.description}")


async def message_counts(js: JetStreamContext, streams: Iterable[Stream] = STREAMS) -> dict[str, int]:
    """Messages held now, by stream name; a stream that doesn't exist counts 0."""

    async def count(name: str) -> int:
        try:
            return int((await js.stream_info(name)).state.messages)
        except NotFoundError:
            return 0

    names = [stream.name for stream in streams]
    return dict(zip(names, await asyncio.gather(*map(count, names)), strict=True))
