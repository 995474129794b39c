"""Faults under load: nothing of PLANNED and EXECUTED is lost, nothing is there twice, counted by id."""

import itertools
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from nats.js import JetStreamContext
from sidecar_support import Pipeline, Started, asked, journal_content, message_ids, stored, stream_content

from hft import wire
from hft.runtime.exit_codes import ExitCode
from hft.runtime.nats_server import NatsServer
from hft.runtime.settings import Config, Sidecar
from hft.runtime.streams import BY_NAME, settings
from hft.services import sidecar
from tests.messages import record_bytes

Make = Callable[..., Pipeline]

LONG = (pytest.mark.slow, pytest.mark.timeout(900))
"""Twenty starts, or a minute and what it left: longer where the machine does ten other things."""

GATING = ("planned", "executed")
RATE = 500
"""Plans and as many results a second, while NATS is stopped."""

SMALLEST = replace(Config(), sidecar=Sidecar(**{f"{link}_bytes": 4 << 20 for link in sidecar.LINKS}))


def assert_nothing_lost_or_doubled(made: Pipeline, url: str) -> None:
    """What was written to the rings, what the journals hold and what an outsider reads are the same."""
    for link in GATING:
        content = stream_content(url, link.upper())
        ids = [identity for identity, _, _ in content]
        assert len(ids) == len(set(ids)), link
        assert ids == made.expected_ids(link), link
        assert [payload for _, _, payload in content] == made.published[link], link
        assert content == journal_content(made.run.state_dir, link), link


class Load:
    """Plans and results, as many of the one as of the other."""

    def __init__(self, made: Pipeline) -> None:
        self._made = made
        self._numbers = itertools.count()

    def once(self) -> bool:
        """One of each if the rings have room; whether both had."""
        number = next(self._numbers)
        planned = self._made.publish("planned", record_bytes(wire.execution_plan, number))
        return self._made.publish("executed", record_bytes(wire.execution_result, number)) and planned


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=LONG)])
def test_row_32_sidecar_killed_again_and_again_under_load(
    server: NatsServer, pipeline: Make, processes: Started, kills: int
) -> None:
    made = pipeline(server.url)
    load, dice = Load(made), random.Random(kills)
    taken = made.page.index("in_executed")
    for _ in range(kills):
        process = made.spawn(processes)
        niceness = psutil.Process().nice() + made.run.config.cpus.nice
        assert psutil.Process(process.pid).nice() == min(niceness, 19), "it lets others go first"
        target = made.page.value(taken) + dice.randint(20, 1500)
        deadline = time.monotonic() + 60
        while made.page.value(taken) < target:
            load.once()
            assert time.monotonic() < deadline, made.counters()
            assert process.poll() is None
        process.kill()
        process.wait()
    last = made.spawn(processes)
    last.terminate()
    _, log = last.communicate(timeout=60)
    assert last.returncode == ExitCode.OK, log.decode()
    assert_nothing_lost_or_doubled(made, server.url)
    counters = made.counters()
    for link in GATING:
        count = len(made.published[link])
        assert (counters[f"in_{link}"], counters[f"out_{link}"]) == (count, count)


@pytest.mark.parametrize("seconds", [3, pytest.param(60, marks=LONG)])
def test_row_32_nats_stopped_under_load(server: NatsServer, pipeline: Make, seconds: int) -> None:
    made = pipeline(server.url)
    made.open()
    load = Load(made)
    made.until(lambda: made.counters().get("out_executed", 0) >= 100 or not load.once())
    server.stop()
    begin, count = time.monotonic(), len(made.published["executed"])
    wanted = count + RATE * seconds
    while (passed := time.monotonic() - begin) < seconds or len(made.published["executed"]) < wanted:
        while len(made.published["executed"]) < min(count + RATE * passed, wanted):
            assert load.once(), "the hot path never waits"
            made.cycle()
        made.cycle()
    made.until(lambda: made.backlog() >= 2 * RATE * seconds)
    server.start()
    made.until(lambda: not made.backlog(), seconds=120)
    made.drain()
    made.end()
    assert_nothing_lost_or_doubled(made, server.url)


def test_row_32_disk_full_halts_new_trades_crashes_nothing_and_goes_on_with_room(
    server: NatsServer, small_disk: Callable[[str], Path], pipeline: Make
) -> None:
    disk = small_disk("6m")
    server.stop()
    made = pipeline(server.url, SMALLEST, disk)
    made.open()
    load = Load(made)
    made.cycle()
    assert "journal_full" not in made.counters()
    made.until(lambda: "journal_full" in made.counters() or not load.once(), seconds=60)
    halted = len(made.published["executed"])
    made.until(lambda: not load.once(), seconds=60)
    assert len(made.published["executed"]) - halted > 1024, "more than the ring holds: the journal's reserve"
    for _ in range(100):
        made.cycle()
    assert made.service.pending() == 0
    waiting = made.unread()
    assert waiting > 0
    small_disk("16m")
    made.until(lambda: not made.unread() and "journal_full" not in made.counters())
    assert load.once()
    server.start()
    made.drain()
    made.end()
    assert_nothing_lost_or_doubled(made, server.url)


def test_nothing_is_doubled_beyond_the_duplicate_window(server: NatsServer, pipeline: Make) -> None:
    async def make(js: JetStreamContext) -> None:
        for name in ("PLANNED", "EXECUTED"):
            config = settings(BY_NAME[name])
            config.duplicate_window = 0.1
            await js.add_stream(config)

    asked(server.url, make)
    first = pipeline(server.url)
    first.open()
    load = Load(first)
    first.until(lambda: first.counters().get("nats_connected") == 1)
    mark = first.run.state_dir / "journal" / "PLANNED" / "published"
    before = mark.read_bytes()
    assert all(load.once() for _ in range(50))
    first.drain()
    first.end()
    mark.write_bytes(before)  # as if the machine had ended before the mark moved
    end = time.monotonic() + 0.5
    second = pipeline(server.url)
    second.open()
    second.until(lambda: time.monotonic() > end)
    second.drain()
    counters = second.counters()
    assert counters["nats_found"] == 50
    assert (counters["recovered_planned"], counters["out_planned"]) == (50, 50)
    assert "nats_duplicates" not in counters
    assert message_ids(stored(server.url, "PLANNED")) == first.expected_ids("planned")


def test_every_stream_equals_its_journal_message_for_message(server: NatsServer, pipeline: Make) -> None:
    made = pipeline(server.url)
    made.open()
    for number, codec in itertools.product(range(300), wire.CODECS):
        assert made.publish(codec.layout.link, record_bytes(codec, number))
        if number % 50 == 0:
            made.cycle()
    made.drain()
    made.end()
    for link in sidecar.LINKS:
        content = journal_content(made.run.state_dir, link)
        assert len(content) == len(made.published[link]), link
        assert stream_content(server.url, link.upper()) == content, link


def test_row_33_a_damaged_journal_keeps_the_service_from_starting(
    server: NatsServer, pipeline: Make, processes: Started
) -> None:
    made = pipeline(server.url)
    made.open()
    for number in range(10):
        made.publish("planned", record_bytes(wire.execution_plan, number))
    made.drain()
    made.end()
    (path,) = (made.run.state_dir / "journal" / "PLANNED").glob("*.journal")
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)
    again = pipeline(server.url)
    with pytest.raises(AssertionError, match="Nothing is started on a damaged journal") as error:
        again.spawn(processes)
    assert f"{path}, offset " in str(error.value)
    assert processes[-1].returncode == ExitCode.STATE_FOLDER
