"""Users with no more rights than schemas/examples/README.md tells: each can do its work, and nothing else."""

import asyncio
import json
import os
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
from nats.aio.client import Client
from nats.js.api import ConsumerConfig, DeliverPolicy
from secure_server import new_seed, public_key, running, seed_file
from sidecar_support import Pipeline

from hft import wire
from hft.cli.main import run
from hft.runtime import probes
from hft.runtime.commands import Kind, sign
from hft.runtime.exit_codes import ExitCode
from hft.runtime.nats_options import Identity, connect, connect_options
from hft.runtime.settings import Config, Nats
from hft.services.sidecar import LINKS
from tests.messages import record_bytes

ROOT = Path(__file__).resolve().parents[2]
TOLD = (ROOT / "schemas" / "examples" / "README.md").read_text()
USERS = ("INSTANCE", "SENDER", "READER")


class Server(NamedTuple):
    """Its address, and a file with the seed of each kind of user."""

    url: str
    keys: dict[str, Path]

    def settings(self, user: str) -> Nats:
        return Nats(url=self.url, nkey_seed_file=str(self.keys[user]))

    def options(self, user: str) -> list[str]:
        """For a command."""
        return ["--url", self.url, "--set", f"nats.nkey_seed_file={self.keys[user]}"]

    def asked(self, user: str, question: Callable[[Client], Awaitable[None]], refusals: int) -> list[str]:
        """What the server refused to this user while the question was asked; waits for so many, which the
        client tells some time after the answers."""
        refused: list[str] = []

        async def note(error: Exception) -> None:
            if "permissions violation" in str(error).lower():
                refused.append(str(error))

        async def ask() -> None:
            client = await connect(connect_options(self.settings(user)), error_cb=note)
            try:
                await question(client)
                deadline = time.monotonic() + 30
                await client.flush()
                while len(refused) < refusals and time.monotonic() < deadline:
                    await asyncio.sleep(0.005)
                await client.flush()
            finally:
                await client.close()

        asyncio.run(ask())
        return refused


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[Server]:
    """A server with the permissions that are told, word for word."""
    (block,) = re.findall(r"```text\n(authorization .*?)```", TOLD, re.DOTALL)
    seeds = {user: new_seed() for user in USERS}
    for user, seed in seeds.items():
        block = block.replace(f"nkey: {user}", f"nkey: {public_key(seed)}")
    keys = {user: seed_file(tmp_path / user, seed) for user, seed in seeds.items()}
    with running(tmp_path / "nats", block.replace("NAME", "tokyo")) as address:
        yield Server(f"nats://{address}", keys)


@pytest.fixture
def instance(tmp_path: Path, secured: Server) -> Iterator[Pipeline]:
    """A sidecar with its journals and its door; the sender signs with the key by which it is known."""
    (tmp_path / "state").mkdir()
    sender = Identity(secured.keys["SENDER"].read_bytes().strip())
    settings = replace(
        secured.settings("INSTANCE"),
        command_senders=(f"alice:{sender.public_key}",),
        command_instance="tokyo",
    )
    made = Pipeline(tmp_path / "state", secured.url, replace(Config(), nats=settings))
    made.open()
    made.until(lambda: made.counters().get("commands_connected") == 1)
    yield made
    made.close()


def test_an_instance_fills_its_streams_and_a_reader_reads_them(
    secured: Server, instance: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    for codec in wire.CODECS:
        assert instance.publish(codec.layout.link, record_bytes(codec, 1))
    instance.drain()
    assert "nats_refused" not in instance.counters()
    assert run(["streams", "verify", *secured.options("INSTANCE")]) == ExitCode.OK
    assert run(["streams", "info", *secured.options("READER")]) == ExitCode.OK
    for link in LINKS:
        count = len(instance.published[link])
        capsys.readouterr()
        tail = ["tail", link.upper(), "--from-start", "--count", str(count), "--json"]
        assert run([*tail, *secured.options("READER")]) == ExitCode.OK
        assert len([json.loads(line) for line in capsys.readouterr().out.splitlines()]) == count
        assert probes.stream_sequences(instance.run)[link.upper()] == count


@pytest.mark.parametrize("count", [10, 100])
def test_what_a_stream_holds_behind_the_mark_is_read_back_with_these_rights_too(
    secured: Server, instance: Pipeline, count: int
) -> None:
    """Few by single messages, many by a consumer."""
    mark = instance.run.state_dir / "journal" / "PLANNED" / "published"
    instance.until(lambda: instance.counters().get("nats_connected") == 1)
    before = mark.read_bytes()
    for number in range(count):
        instance.publish("planned", record_bytes(wire.execution_plan, number))
    instance.drain()
    instance.end()
    mark.write_bytes(before)  # as if the machine had ended before the mark moved
    successor = Pipeline(instance.run.state_dir, secured.url, instance.run.config)
    try:
        successor.open()
        successor.drain()
        assert successor.counters()["nats_found"] == count
    finally:
        successor.close()


def test_a_sender_halts_and_is_answered(
    secured: Server, instance: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    to = [*secured.options("SENDER"), "--sender-key", str(secured.keys["SENDER"])]
    assert run(["command", "kill", *to, "--instance", "tokyo", "--reason", "drill"]) == ExitCode.OK
    assert capsys.readouterr().out == "tokyo: halted\n"
    assert instance.segments.control.kill_info().message == "drill"
    assert run(["command", "resume", *to, "--reason", "over"]) == ExitCode.OK
    assert "tokyo: resume is asked for" in capsys.readouterr().out


def test_a_sender_reads_no_stream_nor_anybody_elses_answers(secured: Server, instance: Pipeline) -> None:
    async def subscribe(client: Client) -> None:
        for subject in ("execution.>", "market.>", "command.>", "_INBOX.>", "$JS.>", ">"):
            await client.subscribe(subject)

    assert len(secured.asked("SENDER", subscribe, 6)) == 6

    async def ask(client: Client) -> None:
        for question in ("STREAM.INFO.PLANNED", "STREAM.MSG.GET.PLANNED", "CONSUMER.CREATE.PLANNED", "INFO"):
            await client.publish(f"$JS.API.{question}", b"{}", reply="_INBOX.command.x")

    assert len(secured.asked("SENDER", ask, 4)) == 4

    async def write(client: Client) -> None:
        for subject in ("execution.result.x", "system.kill.manual", "command.kill.paris", "_INBOX.x"):
            await client.publish(subject, b"x")

    assert len(secured.asked("SENDER", write, 4)) == 4
    assert instance.counters().get("commands_in", 0) == 0


def test_a_reader_commands_nothing_and_changes_no_stream(secured: Server, instance: Pipeline) -> None:
    identity = Identity(secured.keys["SENDER"].read_bytes().strip())
    order = sign(identity, Kind.KILL, "tokyo", "", "", os.urandom(16), time.time_ns())

    async def try_it(client: Client) -> None:
        await client.publish(order.subject, order.message, headers=order.headers)
        for subject in (
            "execution.result.x",
            "$JS.API.STREAM.PURGE.PLANNED",
            "$JS.API.STREAM.DELETE.PLANNED",
        ):
            await client.publish(subject, b"")

    assert len(secured.asked("READER", try_it, 4)) == 4
    assert not instance.segments.control.killed


def test_a_durable_consumer_as_in_the_examples_and_as_a_bridges_works(
    secured: Server, instance: Pipeline
) -> None:
    for number in range(20):
        instance.publish("planned", record_bytes(wire.execution_plan, number))
    instance.drain()
    got: list[bytes] = []

    async def consume(client: Client) -> None:
        js = client.jetstream()
        config = ConsumerConfig(deliver_policy=DeliverPolicy.ALL)
        subscription = await js.pull_subscribe("", durable="outside", stream="PLANNED", config=config)
        for message in await subscription.fetch(20, timeout=10):
            got.append(message.data)
            await message.ack_sync()

    assert secured.asked("READER", consume, 0) == []
    assert got == instance.published["planned"]
