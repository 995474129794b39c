"""Commands over a real NATS to a real latch: how fast a halt is, and that a resume is only asked for."""

import asyncio
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client
from secure_server import new_seed, running, seed_file, users_block

import ringbuf
from hft.cli.main import run
from hft.runtime import killstate, nonce_file
from hft.runtime.clock import SystemClock
from hft.runtime.command_door import COUNTS, CommandDoor
from hft.runtime.commands import Kind, Signed, sign
from hft.runtime.exit_codes import ExitCode
from hft.runtime.nats_options import Identity, connect_options
from hft.runtime.nats_server import NatsServer
from hft.runtime.settings import Nats
from hft.wire.enums import KillTrigger

ALICE = Identity(SEED := new_seed())
CLOCK = SystemClock()


class Instance:
    """A latch in shared memory, a state folder, and the door to them."""

    def __init__(self, folder: Path, url: str, settings: Nats | None = None) -> None:
        self.folder = folder
        self.said: list[str] = []
        self.latched_ns: list[int] = []
        self.control = ringbuf.Control.create(
            ringbuf.segment_name("hftcmd", os.urandom(4).hex(), "control", ""), run_id=os.urandom(16)
        )
        self._options = connect_options(settings or Nats(), url)
        self.door = self._door()

    def _door(self) -> CommandDoor:
        return CommandDoor(
            self._options,
            self.control,
            self.folder,
            CLOCK,
            senders={ALICE.public_key: "alice"},
            instance="tokyo",
            age_limit_ns=30_000_000_000,
            say=self.said.append,
            on_latched=self.latched_ns.append,
        )

    def open(self) -> "Instance":
        self.door.start()
        self.until(lambda: self.counts()["commands_connected"] == 1)
        return self

    def restart(self) -> None:
        """As a new process would begin."""
        self.door.close()
        self.door = self._door()
        self.open()

    def counts(self) -> dict[str, int]:
        return dict(self.door.counts())

    def until(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, (self.counts(), self.said)
            time.sleep(0.001)

    def refusals(self) -> dict[str, int]:
        prefix = "commands_refused_"
        return {name.removeprefix(prefix): n for name, n in self.counts().items() if prefix in name and n}

    def close(self) -> None:
        self.door.close()
        self.control.close()
        self.control.unlink()


@pytest.fixture
def instances(tmp_path: Path) -> Iterator[Callable[..., Instance]]:
    made: list[Instance] = []

    def make(url: str, settings: Nats | None = None) -> Instance:
        made.append(Instance(tmp_path, url, settings))
        return made[-1]

    yield make
    for each in made:
        each.close()


def order(kind: Kind, instance: str = "tokyo", text: str = "because", identity: Identity = ALICE) -> Signed:
    return sign(identity, kind, instance, "al@host", text, os.urandom(16), time.time_ns())


def sent(url: str, *orders: Signed, limit_s: float = 30.0) -> list[dict[str, object]]:
    """The answers; an empty one where none came in time."""

    async def send() -> list[dict[str, object]]:
        client = await nats.connect(url)
        try:
            return [await _answer(client, each, limit_s) for each in orders]
        finally:
            await client.close()

    return asyncio.run(send())


async def _answer(client: Client, each: Signed, limit_s: float) -> dict[str, object]:
    try:
        answer = await client.request(each.subject, each.message, timeout=limit_s, headers=each.headers)
    except nats.errors.TimeoutError:
        return {}
    return dict(json.loads(answer.data))


def test_row_21_a_signed_kill_sets_the_latch_and_the_disk(
    server: NatsServer, instances: Callable[..., Instance], tmp_path: Path
) -> None:
    instance = instances(server.url).open()
    (answer,) = sent(server.url, order(Kind.KILL, text="market is odd"))
    assert answer == {"instance": "tokyo", "accepted": True, "result": "halted"}
    info = instance.control.kill_info()
    assert (info.state, info.reason) == ("killed", KillTrigger.MANUAL)
    assert (info.by, info.message) == ("alice: al@host", "market is odd")
    latch = killstate.load(tmp_path)
    assert (latch.killed, latch.by) == (True, "alice: al@host")
    (again,) = sent(server.url, order(Kind.KILL, "all"))
    assert again["result"] == "it was halted already"
    counts = instance.counts()
    assert (counts["commands_in"], counts["commands_kill"]) == (2, 2)


def test_a_resume_from_outside_is_only_a_request_that_a_person_sees(
    server: NatsServer, instances: Callable[..., Instance], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    instance = instances(server.url).open()
    (early,) = sent(server.url, order(Kind.RESUME))
    assert early["result"] == "it is not halted"
    assert killstate.requested(tmp_path) is None
    _, asked = sent(server.url, order(Kind.KILL), order(Kind.RESUME, text="it was a false alarm"))
    assert asked["accepted"]
    assert "hft resume --approve" in str(asked["result"])
    assert instance.control.killed
    assert killstate.load(tmp_path).killed
    request = killstate.requested(tmp_path)
    assert request is not None
    assert (request.by, request.message) == ("alice: al@host", "it was a false alarm")
    assert any("RESUME ASKED FOR by alice: al@host: it was a false alarm" in line for line in instance.said)
    log = [json.loads(line) for line in (tmp_path / killstate.LOG_FILE).read_text().splitlines()]
    assert [line["state"] for line in log] == ["killed", "resume_requested"]
    run(["status", "--state-dir", str(tmp_path)])
    assert "resume asked for by alice: al@host at" in capsys.readouterr().out
    killstate.resume(tmp_path, "test", "approved", time.time_ns())
    assert killstate.requested(tmp_path) is None


def test_everything_refused_is_counted_by_reason_and_strangers_get_no_answer(
    server: NatsServer, instances: Callable[..., Instance]
) -> None:
    instance = instances(server.url).open()
    good = order(Kind.RESUME)
    old = sign(ALICE, Kind.KILL, "tokyo", "", "", os.urandom(16), time.time_ns() - 60_000_000_000)
    answers = sent(server.url, good, good, old)
    answers += sent(
        server.url,
        order(Kind.KILL, identity=Identity(new_seed())),
        good._replace(message=b"x" * 2000),
        good._replace(message=b"x"),
        good._replace(headers={}),
        limit_s=0.5,
    )
    assert [answer.get("result") for answer in answers] == [
        "it is not halted",
        "replayed",
        "too_old",
        None,
        None,
        None,
        None,
    ]
    assert instance.refusals() == {
        "replayed": 1,
        "too_old": 1,
        "unknown_sender": 1,
        "oversize": 1,
        "bad_signature": 1,
        "malformed": 1,
    }
    counts = instance.counts()
    assert counts["commands_in"] == counts["commands_resume"] + sum(instance.refusals().values()) == 7
    assert not instance.control.killed
    assert set(counts) == set(COUNTS)


def test_an_answer_never_leads_into_a_stream(server: NatsServer, instances: Callable[..., Instance]) -> None:
    instance = instances(server.url).open()

    async def spy() -> bool:
        client = await nats.connect(server.url)
        subscription = await client.subscribe("execution.>")
        good = order(Kind.RESUME)
        await client.publish(good.subject, good.message, reply="execution.result.x", headers=good.headers)
        await client.flush()
        await asyncio.to_thread(instance.until, lambda: instance.counts()["commands_in"] == 1)
        try:
            await subscription.next_msg(timeout=0.2)
        except nats.errors.TimeoutError:
            return True
        finally:
            await client.close()
        return False

    assert asyncio.run(spy())


def test_a_restart_and_a_restarted_server_open_no_door_to_a_replay(
    server: NatsServer, instances: Callable[..., Instance]
) -> None:
    instance = instances(server.url).open()
    kill = order(Kind.KILL)
    assert sent(server.url, kill)[0]["accepted"]
    instance.restart()
    assert sent(server.url, kill)[0]["result"] == "replayed"
    server.stop()
    instance.until(lambda: instance.counts()["commands_connected"] == 0)
    server.start()
    instance.until(lambda: instance.counts()["commands_connected"] == 1)
    assert sent(server.url, kill)[0]["result"] == "replayed"
    assert sent(server.url, order(Kind.KILL))[0]["accepted"]


def test_row_32_a_full_disk_keeps_no_halt_from_taking_effect(
    server: NatsServer, instances: Callable[..., Instance], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = instances(server.url).open()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(killstate, "write_atomic", full)
    monkeypatch.setattr(nonce_file, "write_atomic", full)
    assert sent(server.url, order(Kind.KILL))[0]["result"] == "halted"
    assert instance.control.killed
    assert instance.counts()["commands_unsaved"] == 2
    assert sent(server.url, order(Kind.RESUME))[0]["result"] == "not_recorded"
    assert killstate.requested(tmp_path) is None


def test_two_hundred_halts_from_publish_to_latch(
    server: NatsServer, instances: Callable[..., Instance]
) -> None:
    """Printed as measured. The aim is 100 ms: what is not slower by its making, only by what else the machine
    does, keeps it in the quickest tenth."""
    instance = instances(server.url).open()
    taken_ns: list[int] = []

    async def measure() -> None:
        client = await nats.connect(server.url)
        for _ in range(200):
            kill = order(Kind.KILL)
            begin_ns = time.monotonic_ns()
            await client.publish(kill.subject, kill.message, headers=kill.headers)
            await client.flush()
            while not instance.control.killed:
                await asyncio.sleep(0.0005)
            taken_ns.append(instance.control.kill_info().monotonic_ns - begin_ns)
            count = len(taken_ns)
            while instance.counts()["commands_kill"] < count:
                await asyncio.sleep(0.0005)
            instance.control.reset("test", "again")
        await client.close()

    asyncio.run(measure())
    taken_ns.sort()
    p50, p99 = taken_ns[100], taken_ns[198]
    print(
        f"publish to latch: p50 {p50 / 1e3:.0f} us, p99 {p99 / 1e3:.0f} us, max {taken_ns[-1] / 1e3:.0f} us"
    )
    assert taken_ns[20] <= 100_000_000
    assert len(instance.latched_ns) == 200


def test_the_command_line_halts_and_tells_who_answered(
    server: NatsServer, instances: Callable[..., Instance], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = seed_file(tmp_path / "alice.nk", SEED)
    to = ["--url", server.url, "--sender-key", str(key), "--wait", "0.3"]
    assert run(["command", "kill", *to]) == ExitCode.NATS
    assert "no instance answered" in capsys.readouterr().err
    instance = instances(server.url).open()
    assert run(["command", "kill", *to, "--reason", "drill"]) == ExitCode.OK
    assert capsys.readouterr().out == "tokyo: halted\n"
    assert instance.control.kill_info().message == "drill"
    assert run(["command", "resume", *to, "--instance", "tokyo", "--reason", "over"]) == ExitCode.OK
    assert "tokyo: resume is asked for" in capsys.readouterr().out
    assert run(["command", "kill", *to, "--instance", "paris"]) == ExitCode.NATS
    capsys.readouterr()
    key.chmod(0o644)
    assert run(["command", "kill", *to]) == ExitCode.CONFIG
    said = capsys.readouterr().err
    assert "mode 0644" in said
    assert SEED.decode() not in said


def test_a_new_key_is_ready_to_be_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "new.nk"
    assert run(["command", "key", str(file), "--name", "bob"]) == ExitCode.OK
    line = capsys.readouterr().out.strip()
    assert line.startswith("command_senders = bob:U")
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_text().strip() not in line
    assert run(["command", "key", str(file)]) == ExitCode.CONFIG, "never written over"


def test_the_door_opens_a_server_that_knows_its_users(
    instances: Callable[..., Instance], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Commands pass a server with NKeys: one for the instance, one for the operator."""
    ours, theirs = new_seed(), new_seed()
    files = [str(seed_file(tmp_path / name, seed)) for name, seed in (("ours", ours), ("theirs", theirs))]
    with running(tmp_path / "secure", users_block(ours, theirs)) as address:
        instance = instances(f"nats://{address}", Nats(nkey_seed_file=files[0])).open()
        key = seed_file(tmp_path / "alice.nk", SEED)
        to = [
            "--url",
            f"nats://{address}",
            "--set",
            f"nats.nkey_seed_file={files[1]}",
            "--sender-key",
            str(key),
        ]
        assert run(["command", "kill", *to, "--instance", "tokyo"]) == ExitCode.OK
        assert instance.control.killed
        instance.door.close()
    assert "halted" in capsys.readouterr().out
