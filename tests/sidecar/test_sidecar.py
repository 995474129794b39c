"""The sidecar between real rings and a real nats-server."""

import itertools
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from nats.js import JetStreamContext
from sidecar_support import Pipeline, Started, asked, message_ids, stored

from hft import wire
from hft.runtime import high_water, lane
from hft.runtime.lane import Held
from hft.runtime.nats_server import NatsServer
from hft.runtime.settings import Config, Link, Nats, Sidecar
from hft.runtime.streams import BY_NAME, STREAMS, settings
from hft.services import sidecar
from tests.messages import record_bytes

Make = Callable[..., Pipeline]

LINKS = tuple(dict.fromkeys(entry.link for entry in wire.REGISTRY.values()))


def small_rings(depth: int, **nats: int) -> Config:
    config = Config(nats=Nats(**nats))
    links = {name: Link(depth, link.mtu) for name, link in config.links.items()}
    return replace(config, links=links)


def assert_streams_equal_links(pipeline: Pipeline, url: str, links: tuple[str, ...] = LINKS) -> None:
    for link in links:
        messages = stored(url, link.upper())
        assert message_ids(messages) == pipeline.expected_ids(link), link
        assert [message.data for message in messages] == pipeline.published[link], link


def test_every_link_arrives_in_its_stream_byte_for_byte_with_its_ids(
    server: NatsServer, pipeline: Make
) -> None:
    made = pipeline(server.url)
    made.open()
    for number in range(100):
        for codec in wire.CODECS:
            assert made.publish(codec.layout.link, record_bytes(codec, number))
        made.cycle()
    made.drain()
    assert_streams_equal_links(made, server.url)
    counters = made.counters()
    for link in LINKS:
        count = len(made.published[link])
        assert (counters[f"in_{link}"], counters[f"out_{link}"]) == (count, count)
    assert made.page.histogram("stage_sidecar_ns").count > 0


def test_subjects_are_those_of_the_registry(server: NatsServer, pipeline: Make) -> None:
    made = pipeline(server.url)
    made.open()
    plan, rejection = record_bytes(wire.execution_plan, 7), record_bytes(wire.plan_rejected, 8)
    made.publish("planned", plan)
    made.publish("planned", rejection)
    made.drain()
    assert [message.subject for message in stored(server.url, "PLANNED")] == [
        f"execution.planned.{wire.execution_plan.decode(plan).plan_id.hex()}",
        f"execution.rejected.{wire.plan_rejected.decode(rejection).trace_id.hex()}",
    ]


@pytest.mark.parametrize(
    "how",
    [signal.SIGKILL, signal.SIGTERM],
    ids=lambda s: s.name,
)
def test_row_32_server_ends_under_load_and_nothing_is_lost_or_doubled(
    server: NatsServer, pipeline: Make, how: signal.Signals
) -> None:
    made = pipeline(server.url)
    made.open()
    numbers = itertools.count()

    def load() -> bool:
        number = next(numbers)
        made.publish("planned", record_bytes(wire.execution_plan, number))
        made.publish("planned", record_bytes(wire.plan_rejected, number))
        made.publish("executed", record_bytes(wire.execution_result, number))
        return False

    def load_until(condition: Callable[[], bool]) -> None:
        made.until(lambda: load() or condition())

    for restart in range(1, 4):
        target = 200 * restart
        load_until(lambda at=target: made.counters().get("out_executed", 0) >= at)
        load_until(lambda: "nats_connected" in made.counters())
        os.kill(server.pid or 0, how)
        load_until(lambda: server.pid is None and not made.counters().get("nats_connected"))
        behind = len(made.published["executed"]) + 100
        load_until(lambda at=behind: len(made.published["executed"]) >= at)
        server.stop()
        server.start()
    made.drain()
    assert_streams_equal_links(made, server.url, ("planned", "executed"))
    assert made.counters()["nats_connects"] == 4
    assert len(made.published["executed"]) > 600


def test_row_32_server_absent_at_the_start_is_waited_for(server: NatsServer, pipeline: Make) -> None:
    server.stop()
    made = pipeline(server.url)
    made.open()
    for number, codec in itertools.product(range(10), wire.CODECS):
        made.publish(codec.layout.link, record_bytes(codec, number))
    made.until(lambda: made.unread() == 0 and made.counters().get("nats_connect_failures", 0) >= 2)
    assert made.backlog() == sum(map(len, made.published.values()))
    server.start()
    made.drain()
    assert_streams_equal_links(made, server.url)


def test_row_32_a_server_that_hangs_never_blocks_a_duty_cycle(server: NatsServer, pipeline: Make) -> None:
    made = pipeline(server.url)
    made.open()
    made.until(lambda: made.counters().get("nats_connected") == 1)
    os.kill(server.pid or 0, signal.SIGSTOP)
    slowest_ns = 0
    try:
        for number in range(4000):
            made.publish("planned", record_bytes(wire.execution_plan, number))
            if number % 10 == 0:
                begin_ns = time.thread_time_ns()
                wall_ns = time.monotonic_ns()
                made.service.do_work()
                # Only what was spent waiting counts: other tests share the machine.
                waited_ns = (time.monotonic_ns() - wall_ns) - (time.thread_time_ns() - begin_ns)
                slowest_ns = max(slowest_ns, waited_ns)
    finally:
        os.kill(server.pid or 0, signal.SIGCONT)
    made.service.on_housekeeping(time.monotonic_ns())
    assert made.backlog() > 3000
    assert slowest_ns < 1_000_000_000, "a blocking call would wait for the server for seconds"
    made.drain()
    assert_streams_equal_links(made, server.url, ("planned",))


def journals(**limits: int) -> Config:
    """The least journals there may be, and small rings."""
    return replace(small_rings(32), sidecar=replace(Sidecar(), **limits))


def test_row_32_a_full_journal_halts_then_makes_the_writer_wait_and_loses_nothing(
    server: NatsServer, pipeline: Make, capfd: pytest.CaptureFixture[str]
) -> None:
    server.stop()
    made = pipeline(server.url, journals(executed_bytes=4 << 20))
    made.open()
    made.cycle()
    halted_at = 0
    message = itertools.count()
    for _ in range(20_000):
        made.publish("executed", record_bytes(wire.execution_result, next(message)))
        if len(made.published["executed"]) % 8 == 0:
            made.service.do_work()
            made.service.on_housekeeping(time.monotonic_ns())
        if not halted_at and made.counters().get("journal_full"):
            halted_at = len(made.published["executed"])
        if len(made.published["executed"]) - made.counters().get("in_executed", 0) == 32:
            break
    written = made.counters()["in_executed"]
    assert len(made.published["executed"]) == written + 32, "journal and ring are full, and no more"
    assert written - halted_at > 500, "what is under way at the halt finds room"
    assert made.counters()["journal_bytes_executed"] <= 4 << 20
    assert "new trades halt" in capfd.readouterr().err
    server.start()
    made.drain()
    made.until(lambda: "journal_full" not in made.counters())
    assert_streams_equal_links(made, server.url, ("executed",))
    assert "lost_executed" not in made.counters()


def test_row_02_overruns_of_an_observing_link_are_counted(server: NatsServer, pipeline: Make) -> None:
    made = pipeline(server.url, small_rings(32))
    made.open()
    for number in range(500):
        assert made.publish("opportunities", record_bytes(wire.two_hop_opportunity, number))
    made.drain()
    counters = made.counters()
    assert counters["lost_opportunities"] > 400
    assert counters["in_opportunities"] + counters["lost_opportunities"] == 500
    assert counters["out_opportunities"] == counters["in_opportunities"]
    messages = stored(server.url, "OPPORTUNITIES")
    positions = [int(each.rpartition(":")[2]) for each in message_ids(messages)]
    assert positions == sorted(set(positions))
    assert [made.published["opportunities"][p] for p in positions] == [m.data for m in messages]


def test_row_32_an_observing_links_full_journal_gives_up_its_oldest_messages_counted(
    server: NatsServer, pipeline: Make
) -> None:
    server.stop()
    made = pipeline(server.url, journals(opportunities_bytes=4 << 20))
    made.open()
    for number in range(12_000):
        assert made.publish("opportunities", record_bytes(wire.two_hop_opportunity, number))
        if number % 16 == 15:
            made.service.do_work()
    server.start()
    made.drain()
    counters = made.counters()
    dropped = counters["dropped_journal_full_opportunities"]
    assert 0 < dropped < 12_000
    assert counters["out_opportunities"] == 12_000 - dropped
    ids = message_ids(stored(server.url, "OPPORTUNITIES"))
    assert ids == made.expected_ids("opportunities")[dropped:]


def test_market_data_under_pressure_is_conflated_to_the_newest_of_each_pool(
    server: NatsServer, pipeline: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane, "CONFLATE_ABOVE", 200)
    server.stop()
    made = pipeline(server.url)
    made.open()
    pools = [bytes([n]) * 32 for n in range(10)]
    for number in range(1000):
        update = record_bytes(wire.pool_update, number, pool=pools[number % 10], venue=1, slot=number)
        assert made.publish("market_data", update)
    made.until(lambda: made.counters().get("in_market_data") == 1000)
    server.start()
    made.drain()
    counters = made.counters()
    assert counters["dropped_conflated_market_data"] > 700
    assert counters["out_market_data"] + counters["dropped_conflated_market_data"] == 1000
    messages = stored(server.url, "MARKET_DATA")
    assert len(messages) == counters["out_market_data"]
    newest = {m.subject: wire.pool_update.read_slot(m.data) for m in messages}
    assert sorted(newest.values()) == list(range(990, 1000))


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda m: b"\xff" * len(m), id="random"),
        pytest.param(lambda m: m[:20], id="truncated"),
        pytest.param(lambda m: m[:4] + b"NOPE" + m[8:], id="unknown identifier"),
        pytest.param(lambda m: record_bytes(wire.kill_switch, 1), id="another link's record"),
    ],
)
def test_row_04_a_corrupt_message_is_dropped_counted_and_told(
    server: NatsServer,
    pipeline: Make,
    capfd: pytest.CaptureFixture[str],
    damage: Callable[[bytes], bytes],
) -> None:
    made = pipeline(server.url)
    made.open()
    good = [record_bytes(wire.execution_plan, number) for number in range(3)]
    for message in (good[0], damage(good[1]), good[2]):
        made.publish("planned", message)
    made.drain()
    messages = stored(server.url, "PLANNED")
    assert [message.data for message in messages] == [good[0], good[2]]
    assert message_ids(messages) == [made.expected_ids("planned")[n] for n in (0, 2)]
    counters = made.counters()
    assert (counters["in_planned"], counters["out_planned"], counters["dropped_corrupt_planned"]) == (3, 2, 1)
    assert "message 1 of planned is dropped" in capfd.readouterr().err


def test_a_full_stream_is_refused_visibly_and_loses_nothing(server: NatsServer, pipeline: Make) -> None:
    made = pipeline(server.url, small_rings(4096, stream_bytes=1 << 20))
    made.open()
    count = (1 << 20) // wire.execution_result.size + 500
    for number in range(count):
        made.publish("executed", record_bytes(wire.execution_result, number))
    made.until(lambda: made.counters().get("nats_refused", 0) >= 2)
    held = made.backlog()
    assert held > 0

    async def enlarge(js: JetStreamContext) -> None:
        await js.update_stream(settings(BY_NAME["EXECUTED"]))

    asked(server.url, enlarge)
    made.drain()
    assert_streams_equal_links(made, server.url, ("executed",))


def test_a_deleted_stream_is_made_again(server: NatsServer, pipeline: Make) -> None:
    made = pipeline(server.url)
    made.open()
    made.publish("executed", record_bytes(wire.execution_result, 0))
    made.drain()

    async def delete(js: JetStreamContext) -> None:
        await js.delete_stream("EXECUTED")

    asked(server.url, delete)
    made.publish("executed", record_bytes(wire.execution_result, 1))
    made.drain()
    assert message_ids(stored(server.url, "EXECUTED")) == made.expected_ids("executed")[1:]


def test_streams_that_differ_are_told_and_left_as_they_are(
    server: NatsServer, pipeline: Make, capfd: pytest.CaptureFixture[str]
) -> None:
    async def make(js: JetStreamContext) -> None:
        await js.add_stream(settings(BY_NAME["METRICS"]._replace(maximum_age_s=500)))

    asked(server.url, make)
    made = pipeline(server.url)
    made.open()
    made.until(lambda: made.counters().get("nats_connected") == 1)
    assert made.counters()["stream_differences"] == 1
    assert "stream METRICS: max_age is 500, should be 86400" in capfd.readouterr().err


def test_a_stream_for_which_nobody_answers_keeps_no_other_one_waiting(
    server: NatsServer, pipeline: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for seconds after its leader's machine has died."""
    held_behind = high_water.held_behind
    leaderless = {"METRICS"}

    async def asked_of(js: JetStreamContext, stream: str, *more: Any, **rest: Any) -> Held:
        if stream in leaderless:
            raise TimeoutError
        return await held_behind(js, stream, *more, **rest)

    monkeypatch.setattr(high_water, "held_behind", asked_of)
    made = pipeline(server.url)
    made.open()
    made.publish("metrics", record_bytes(wire.pnl_metric, 0))
    made.publish("planned", record_bytes(wire.execution_plan, 0))
    made.until(lambda: made.counters().get("out_planned") == 1)
    assert made.backlog() == 1
    assert message_ids(stored(server.url, "METRICS")) == []
    leaderless.clear()
    made.drain()
    assert_streams_equal_links(made, server.url, ("planned", "metrics"))


def test_what_could_not_be_delivered_waits_in_the_journal_for_the_next_run(
    server: NatsServer, pipeline: Make
) -> None:
    server.stop()
    first = pipeline(server.url)
    first.open()
    for number in range(5):
        first.publish("planned", record_bytes(wire.execution_plan, number))
    first.until(lambda: first.counters().get("in_planned") == 5)
    first.until(lambda: first.service.pending() == 0)
    first.end()
    assert first.counters()["journal_backlog"] == 5
    server.start()
    second = pipeline(server.url)
    second.open()
    second.publish("planned", record_bytes(wire.execution_plan, 9))
    second.drain()
    counters = second.counters()
    assert (counters["in_planned"], counters["recovered_planned"], counters["out_planned"]) == (1, 5, 6)
    ids = message_ids(stored(server.url, "PLANNED"))
    assert ids == first.expected_ids("planned") + second.expected_ids("planned")


def test_process_drains_on_sigterm_and_ends_with_zero(
    server: NatsServer, pipeline: Make, processes: Started
) -> None:
    made = pipeline(server.url)
    process = made.spawn(processes)
    deadline = time.monotonic() + 60
    for number, codec in itertools.product(range(500), wire.CODECS):
        while not made.publish(codec.layout.link, record_bytes(codec, number)):
            assert time.monotonic() < deadline
    process.terminate()
    _, log = process.communicate(timeout=60)
    assert process.returncode == 0, log
    assert b"publishes to NATS" in log
    assert_streams_equal_links(made, server.url, ("planned", "executed"))
    counters = made.counters()
    for link in LINKS:
        taken, lost = counters[f"in_{link}"], counters.get(f"lost_{link}", 0)
        assert taken + lost == len(made.published[link])
        assert taken == counters[f"out_{link}"] + counters.get(f"dropped_conflated_{link}", 0)


def test_successor_of_a_killed_process_goes_on_where_it_stopped(
    server: NatsServer, pipeline: Make, processes: Started
) -> None:
    made = pipeline(server.url)
    for count in (50, 100):
        process = made.spawn(processes)
        deadline = time.monotonic() + 60
        while len(made.published["executed"]) < count:
            number = len(made.published["executed"])
            assert made.publish("executed", record_bytes(wire.execution_result, number))
        while made.counters().get("out_executed", 0) < count:
            assert time.monotonic() < deadline
        process.kill()
        process.wait()
    assert_streams_equal_links(made, server.url, ("executed",))
    assert made.counters()["in_executed"] == 100


def test_ids_of_two_runs_do_not_meet(server: NatsServer, pipeline: Make) -> None:
    for _ in range(2):
        made = pipeline(server.url)
        made.open()
        made.publish("metrics", record_bytes(wire.pnl_metric, 0))
        made.drain()
    assert len(stored(server.url, "METRICS")) == 2


def test_table_and_links_agree() -> None:
    assert {link.upper() for link in LINKS} == {stream.name for stream in STREAMS}
    assert set(sidecar.LINKS) == set(LINKS)
