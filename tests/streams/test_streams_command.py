"""``hft streams init | verify | info`` against a real server: what they make, tell, change and refuse."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import nats
import pytest
from nats.js import JetStreamContext, api

from hft.cli.main import run
from hft.runtime.exit_codes import ExitCode
from hft.runtime.nats_server import NatsServer
from hft.runtime.settings import Nats
from hft.runtime.streams import BY_NAME, STREAMS, settings, table, verify

T = TypeVar("T")
NAMES = [stream.name for stream in STREAMS]


def asked(server: NatsServer, question: Callable[[JetStreamContext], Awaitable[T]]) -> T:
    async def ask() -> T:
        client = await nats.connect(server.url)
        try:
            return await question(client.jetstream())
        finally:
            await client.close()

    return asyncio.run(ask())


@pytest.fixture
def told(server: NatsServer, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, dict]]:
    """Runs the command on the server; its exit code and what it told as JSON."""

    def command(*arguments: str) -> tuple[int, dict]:
        code = run(["streams", *arguments, "--json", "--url", server.url])
        out = capsys.readouterr().out
        return code, json.loads(out) if out else {}

    return command


def test_init_makes_all_six_once_and_a_second_one_changes_nothing(
    told: Callable[..., tuple[int, dict]],
) -> None:
    assert told("verify") == (
        ExitCode.STREAMS,
        {**_none(told), "missing": NAMES, "agrees": False},
    )
    code, first = told("init")
    assert (code, first["created"], first["agrees"]) == (ExitCode.OK, NAMES, True)
    code, second = told("init")
    assert (code, second["created"], second["changed"], second["differences"]) == (ExitCode.OK, [], [], [])
    assert told("verify")[0] == ExitCode.OK


def _none(told: Callable[..., tuple[int, dict]]) -> dict:
    _, found = told("verify")
    return {**found, "created": [], "changed": [], "differences": []}


def test_streams_are_as_the_domain_wants_them(
    told: Callable[..., tuple[int, dict]], server: NatsServer
) -> None:
    told("init")

    async def configurations(js: JetStreamContext) -> dict[str, api.StreamConfig]:
        return {name: (await js.stream_info(name)).config for name in NAMES}

    found = asked(server, configurations)
    assert {name: (config.max_age, config.storage) for name, config in found.items()} == {
        "OPPORTUNITIES": (3600, "file"),
        "PLANNED": (86_400, "file"),
        "EXECUTED": (604_800, "file"),
        "MARKET_DATA": (300, "memory"),
        "METRICS": (86_400, "file"),
        "SYSTEM": (60, "file"),
    }
    for name, config in found.items():
        assert config.retention == "limits"
        assert config.duplicate_window <= config.max_age, name
        assert config.allow_direct
        assert (config.max_bytes or 0) > 0
        assert (config.max_msg_size or 0) > 0
    assert {name for name, config in found.items() if config.discard == "new"} == {
        "PLANNED",
        "EXECUTED",
    }


def test_a_difference_is_told_field_by_field_and_changed_only_with_apply(
    told: Callable[..., tuple[int, dict]],
) -> None:
    told("init")
    less = ("--set", f"nats.stream_bytes={1 << 20}")
    code, report = told("init", *less)
    assert code == ExitCode.STREAMS
    assert {(d["stream"], d["setting"], d["wanted"]) for d in report["differences"]} == {
        (name, "max_bytes", str(1 << 20)) for name in NAMES
    }
    assert told("verify")[0] == ExitCode.OK, "telling changed nothing"
    code, report = told("init", "--apply", *less)
    assert (code, report["changed"]) == (ExitCode.OK, NAMES)
    assert told("verify", *less)[0] == ExitCode.OK


def test_what_the_table_does_not_speak_of_stays_when_a_difference_is_applied(
    told: Callable[..., tuple[int, dict]], server: NatsServer
) -> None:
    async def make(js: JetStreamContext) -> None:
        config = settings(BY_NAME["METRICS"])
        await js.add_stream(config.evolve(description="ours", max_age=120, max_msgs_per_subject=1))

    asked(server, make)
    _, report = told("init")
    assert [(d["setting"], d["found"]) for d in report["differences"]] == [
        ("max_age", "120"),
        ("max_msgs_per_subject", "1"),
    ]
    assert told("init", "--apply")[0] == ExitCode.OK

    async def description(js: JetStreamContext) -> str | None:
        return (await js.stream_info("METRICS")).config.description

    assert asked(server, description) == "ours"


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (
            {"storage": api.StorageType.MEMORY},
            "storage is memory, should be file (a stream's storage is fixed",
        ),
        (
            {"retention": api.RetentionPolicy.WORK_QUEUE},
            "retention is workqueue, should be limits (a work queue",
        ),
    ],
    ids=["storage", "retention"],
)
def test_what_cannot_be_changed_is_refused_with_the_reason(
    server: NatsServer,
    told: Callable[..., tuple[int, dict]],
    capsys: pytest.CaptureFixture[str],
    made: dict[str, object],
    says: str,
) -> None:
    async def make(js: JetStreamContext) -> None:
        await js.add_stream(settings(BY_NAME["METRICS"]).evolve(**made))

    asked(server, make)
    code, report = told("init")
    assert code == ExitCode.STREAMS
    assert [d["stream"] for d in report["differences"]] == ["METRICS"]
    assert run(["streams", "init", "--apply", "--url", server.url]) == ExitCode.NATS
    assert says in capsys.readouterr().err
    assert told("verify")[1]["differences"] == report["differences"], "nothing was changed"


def test_subjects_that_another_stream_takes_are_told_with_its_name(
    server: NatsServer, capsys: pytest.CaptureFixture[str]
) -> None:
    async def make(js: JetStreamContext) -> None:
        await js.add_stream(name="OTHERS", subjects=["market.>"])

    asked(server, make)
    assert run(["streams", "init", "--url", server.url]) == ExitCode.NATS
    assert "declines stream MARKET_DATA" in (said := capsys.readouterr().err)
    assert "OTHERS has them" in said


def test_replicas_that_a_single_server_cannot_keep_are_refused_in_its_words(
    server: NatsServer, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["streams", "init", "--url", server.url, "--set", "nats.replicas=3"])
    assert code == ExitCode.NATS
    assert "replicas > 1 not supported" in capsys.readouterr().err
    assert {stream.replicas for stream in table(Nats(replicas=5))} == {5}


def test_info_tells_what_streams_hold(server: NatsServer, told: Callable[..., tuple[int, dict]]) -> None:
    code, report = told("info")
    assert (code, report["missing"]) == (ExitCode.STREAMS, NAMES)
    told("init")

    async def publish(js: JetStreamContext) -> None:
        for number in range(3):
            await js.publish(f"execution.result.{number}", b"x" * 100)

    asked(server, publish)
    code, report = told("info")
    assert (code, report["missing"]) == (ExitCode.OK, [])
    held = {each["name"]: each for each in report["streams"]}
    assert (held["EXECUTED"]["messages"], held["EXECUTED"]["last_sequence"]) == (3, 3)
    assert held["EXECUTED"]["bytes"] > 300
    assert 0 < held["EXECUTED"]["first_unix_ns"] <= held["EXECUTED"]["last_unix_ns"]
    assert held["SYSTEM"]["messages"] == held["SYSTEM"]["first_unix_ns"] == 0


def test_tables_for_people_name_every_stream(server: NatsServer, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("init", "verify", "info"):
        assert run(["streams", command, "--url", server.url]) == ExitCode.OK
        shown = capsys.readouterr().out
        assert all(name in shown for name in NAMES)


def test_no_server_no_jetstream_and_no_running_instance_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["streams", "verify", "--url", "nats://127.0.0.1:1"]) == ExitCode.NATS
    assert "NATS at nats://127.0.0.1:1 can't be used" in capsys.readouterr().err
    assert run(["streams", "verify", "--url", "nats://10.0.0.1:4222"]) == ExitCode.CONFIG
    assert "leaves this machine in the clear" in capsys.readouterr().err
    assert run(["streams", "verify", "--state-dir", str(tmp_path)]) == ExitCode.NOT_RUNNING


def test_verify_changes_nothing(server: NatsServer) -> None:
    async def look(js: JetStreamContext) -> int:
        assert (await verify(js)).missing == tuple(NAMES)
        return int((await js.account_info()).streams)

    assert asked(server, look) == 0
