"""The stream table, and a server brought to agree with it."""

import re

import pytest
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError
from sidecar_support import asked

from hft import wire
from hft.runtime.nats_server import NatsServer
from hft.runtime.streams import (
    BY_NAME,
    STREAMS,
    Ensured,
    Stream,
    StreamError,
    StreamReason,
    differences,
    ensure,
    message_counts,
    settings,
    with_limit,
)


def test_table_has_the_six_streams_with_their_retentions() -> None:
    assert {s.name: (s.maximum_age_s, s.storage) for s in STREAMS} == {
        "OPPORTUNITIES": (3600, "file"),
        "PLANNED": (86_400, "file"),
        "EXECUTED": (604_800, "file"),
        "MARKET_DATA": (300, "memory"),
        "METRICS": (86_400, "file"),
        "SYSTEM": (60, "file"),
    }


@pytest.mark.parametrize("stream", STREAMS, ids=lambda s: s.name)
def test_every_row_is_one_the_server_takes(stream: Stream) -> None:
    assert 0 < stream.duplicate_window_s <= stream.maximum_age_s
    assert stream.maximum_bytes > 0
    assert stream.why


def test_every_record_of_the_registry_has_its_stream() -> None:
    assert {entry.stream for entry in wire.REGISTRY.values()} == set(BY_NAME)


def test_limit_caps_sizes_and_leaves_smaller_ones() -> None:
    sizes = {s.name: s.maximum_bytes for s in with_limit(64 << 20)}
    assert sizes["EXECUTED"] == 64 << 20
    assert sizes["SYSTEM"] == BY_NAME["SYSTEM"].maximum_bytes


def test_ensure_creates_all_and_is_idempotent(server: NatsServer) -> None:
    first = asked(server.url, ensure)
    assert first == Ensured(created=tuple(s.name for s in STREAMS))
    assert asked(server.url, ensure) == Ensured()

    async def found(js: JetStreamContext) -> dict[str, tuple[object, ...]]:
        infos = {s.name: (await js.stream_info(s.name)).config for s in STREAMS}
        return {name: differences(config, settings(BY_NAME[name])) for name, config in infos.items()}

    assert asked(server.url, found) == {s.name: () for s in STREAMS}
    assert asked(server.url, message_counts) == {s.name: 0 for s in STREAMS}


def test_file_streams_outlive_the_server_and_the_one_in_memory_is_made_anew(server: NatsServer) -> None:
    asked(server.url, ensure)
    server.stop()
    server.start()
    assert asked(server.url, ensure) == Ensured(created=("MARKET_DATA",))


def test_differences_are_reported_and_changed_only_when_told(server: NatsServer) -> None:
    asked(server.url, ensure)
    wanted = tuple(s._replace(maximum_age_s=120) if s.name == "METRICS" else s for s in STREAMS)

    async def report(js: JetStreamContext) -> Ensured:
        return await ensure(js, wanted)

    async def change(js: JetStreamContext) -> Ensured:
        return await ensure(js, wanted, apply=True)

    (difference,) = asked(server.url, report).differences
    assert str(difference) == "METRICS: max_age is 86400, should be 120"
    assert asked(server.url, report).differences == (difference,), "reporting changed nothing"
    assert asked(server.url, change) == Ensured(changed=("METRICS",))
    assert asked(server.url, report) == Ensured()


def test_storage_cannot_be_changed_and_nothing_else_is_either(server: NatsServer) -> None:
    asked(server.url, ensure)
    other = {"SYSTEM": {"storage": "memory"}, "METRICS": {"maximum_age_s": 120}}
    wanted = tuple(s._replace(**other.get(s.name, {})) for s in STREAMS)

    async def report(js: JetStreamContext) -> Ensured:
        return await ensure(js, wanted)

    async def change(js: JetStreamContext) -> Ensured:
        return await ensure(js, wanted, apply=True)

    found = asked(server.url, report).differences
    assert [(d.stream, d.setting, bool(d.reason)) for d in found] == [
        ("METRICS", "max_age", False),
        ("SYSTEM", "storage", True),
    ]
    with pytest.raises(StreamError, match=r"SYSTEM: storage is file, should be memory.*fixed") as caught:
        asked(server.url, change)
    assert caught.value.reason is StreamReason.UNCHANGEABLE
    assert asked(server.url, report).differences == found


def test_servers_refusal_is_told_in_its_own_words(server: NatsServer) -> None:
    window = BY_NAME["SYSTEM"]._replace(duplicate_window_s=120)

    async def make(js: JetStreamContext) -> Ensured:
        return await ensure(js, (window,))

    with pytest.raises(StreamError, match=r"SYSTEM: .*duplicates window") as caught:
        asked(server.url, make)
    assert caught.value.reason is StreamReason.REFUSED


def test_counts_of_absent_streams_are_zero(server: NatsServer) -> None:
    async def absent(js: JetStreamContext) -> bool:
        with pytest.raises(NotFoundError):
            await js.stream_info("PLANNED")
        return (await message_counts(js))["PLANNED"] == 0

    assert asked(server.url, absent)


def test_servers_limits_have_room_for_the_whole_table(server: NatsServer) -> None:
    text = server.config_file.read_text()
    for storage, setting in (("file", "max_file_store"), ("memory", "max_memory_store")):
        limit = int(re.search(rf"{setting}: (\d+)", text)[1])
        assert limit >= sum(s.maximum_bytes for s in STREAMS if s.storage == storage)
