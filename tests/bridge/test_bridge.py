"""Messages of another machine into a ring of this one: in order, each once, verified, on this clock."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from bridge_support import SOURCE_RUN, Target, asked, publish
from nats.js import JetStreamContext
from nats.js.api import ConsumerInfo

from hft import wire
from hft.runtime.bridge_stamps import CLOCK_HEADER
from hft.runtime.exit_codes import HftError
from hft.runtime.nats_server import NatsServer
from hft.runtime.streams import BY_NAME, settings
from tests.messages import record_bytes

Make = Callable[..., Target]

PLAN_SUBJECT = "execution.planned.x"


def messages(begin: int, end: int, run: str = SOURCE_RUN) -> list[tuple[str, bytes]]:
    """(id, payload) of opportunities."""
    return [
        (f"{run}:opportunities:{n}", record_bytes(wire.two_hop_opportunity, n)) for n in range(begin, end)
    ]


def plans(begin: int, end: int) -> list[tuple[str, bytes]]:
    return [(f"{SOURCE_RUN}:planned:{n}", record_bytes(wire.execution_plan, n)) for n in range(begin, end)]


def sequences(target: Target) -> list[int]:
    return [wire.codec_of(message).decode(message).sequence for message in target.taken()]


def consumer(target: Target, url: str) -> ConsumerInfo:
    assert target.bridge is not None
    name = next(line.rpartition(" ")[2] for line in target.log if "as consumer" in line)

    async def ask(js: JetStreamContext) -> ConsumerInfo:
        return await js.consumer_info(target.stream, name)

    return asked(url, ask)


def test_messages_come_in_order_and_are_acknowledged(server: NatsServer, target: Make) -> None:
    made = target(server.url)
    publish(server.url, messages(0, 700))
    made.open()
    made.until(lambda: made.written() == 700)
    publish(server.url, messages(700, 900))
    made.until(lambda: made.written() == 900)
    made.until(lambda: consumer(made, server.url).ack_floor.stream_seq == 900)
    assert sequences(made) == list(range(900))
    made.cycle()
    counters = made.counters()
    assert (counters["in_messages"], counters["out_opportunities_remote"]) == (900, 900)
    assert counters["nats_connected"] == 1
    assert "behind" not in counters
    assert not [name for name in counters if name.startswith("dropped_")]


def test_nothing_is_lost_or_doubled_when_the_bridge_dies_at_any_moment(
    server: NatsServer, target: Make
) -> None:
    made = target(server.url)
    publish(server.url, messages(0, 2000))
    for goal in (1, 300, 301, 900, 1500):
        dead = made.open()
        made.until(lambda goal=goal: made.written() >= goal)
        # As SIGKILL would: neither the place is saved nor an acknowledgement sent; the ring stays.
        dead._source.close()
        dead._publication.close()
        made.bridge = None
    made.open()
    made.until(lambda: made.written() == 2000)
    assert sequences(made) == list(range(2000))


def test_a_message_stored_twice_passes_once_beyond_the_duplicate_window(
    server: NatsServer, target: Make
) -> None:
    async def narrow(js: JetStreamContext) -> None:
        config = settings(BY_NAME["OPPORTUNITIES"])
        config.duplicate_window = 0.1
        await js.update_stream(config)

    asked(server.url, narrow)
    made = target(server.url)
    publish(server.url, messages(0, 20))
    made.open()
    made.until(lambda: made.written() == 20)
    end = time.monotonic() + 0.3
    made.until(lambda: time.monotonic() > end)
    made.close()
    publish(server.url, messages(10, 30))
    made.open()
    made.until(lambda: made.written() == 30)
    made.cycle()
    assert made.counters()["dropped_duplicate"] == 10
    assert sequences(made) == list(range(30))


def test_row_04_what_is_not_valid_is_terminated_and_counted(server: NatsServer, target: Make) -> None:
    made = target(server.url)
    good = messages(0, 2)
    plan = record_bytes(wire.execution_plan, 1)
    run = SOURCE_RUN
    publish(
        server.url,
        [
            good[0],
            (f"{run}:opportunities:90", good[0][1][:40]),
            (f"{run}:opportunities:91", b"\xff" * 400),
            (f"{run}:opportunities:92", plan),
            ("no id of ours", good[0][1]),
            good[1],
        ],
    )
    made.open()
    made.until(lambda: made.written() == 2)
    made.until(lambda: consumer(made, server.url).num_ack_pending == 0)
    assert sequences(made) == [0, 1]
    assert made.counters()["dropped_corrupt"] == 4
    assert any("ExecutionPlan belongs to planned" in line for line in made.log)


def test_messages_of_this_instance_are_left_out_also_of_its_earlier_runs(
    server: NatsServer, target: Make
) -> None:
    first = target(server.url)
    publish(server.url, [*messages(0, 3), *messages(0, 5, run=first.run), *messages(3, 6)])
    first.open()
    first.until(lambda: first.written() == 6)
    assert first.counters()["left_out_own"] == 5
    first.close()
    second = target(server.url)
    publish(server.url, [*messages(5, 9, run=first.run), *messages(6, 8)])
    second.open()
    second.until(lambda: second.written() == 2)
    assert sequences(second) == [6, 7]
    assert second.counters()["left_out_own"] == 4


def test_row_02_a_gating_reader_is_waited_for_and_nothing_is_done_with_before_it_was_taken(
    server: NatsServer, target: Make
) -> None:
    made = target(server.url, stream="PLANNED", link="planned", depth=64)
    publish(server.url, plans(0, 300), subject=PLAN_SUBJECT)
    made.open()
    made.until(lambda: made.written() == 64 and made.counters().get("held", 0) > 0)
    for _ in range(50):
        made.cycle()
    assert made.written() == 64
    assert consumer(made, server.url).ack_floor.stream_seq == 0
    got: list[int] = []
    while len(got) < 300:
        got += [wire.execution_plan.decode(m).sequence for m in made.reader.take_batch(10)]
        made.cycle()
    assert got == list(range(300))
    made.until(lambda: consumer(made, server.url).ack_floor.stream_seq == 300)
    assert "dropped_no_room" not in made.counters()


def test_what_a_gone_ring_had_not_given_its_gating_readers_comes_again(
    server: NatsServer, target: Make
) -> None:
    made = target(server.url, stream="PLANNED", link="planned", depth=64)
    publish(server.url, plans(0, 60), subject=PLAN_SUBJECT)
    made.open()
    made.until(lambda: made.written() == 60)
    made.close()
    assert len(made.reader.take_batch(1000)) == 60  # too late: the bridge had ended
    made.remove()
    again = Target(made.folder, server.url, stream="PLANNED", link="planned", depth=64)
    try:
        again.open()
        again.until(lambda: again.written() == 60)
        assert sequences(again) == list(range(60))
    finally:
        again.remove()


def test_a_consumer_that_skips_a_message_is_made_anew_and_none_is_missed(
    server: NatsServer, target: Make
) -> None:
    made = target(server.url)
    publish(server.url, messages(0, 10))
    made.open()
    made.until(lambda: made.written() == 10)
    info = consumer(made, server.url)

    async def steal(js: JetStreamContext) -> None:
        stolen = await js.pull_subscribe_bind(info.name, stream="OPPORTUNITIES")
        got = await stolen.fetch(5, timeout=5)
        assert got, "the bridge's own requests come first"

    made.close()
    publish(server.url, messages(10, 40))
    asked(server.url, steal)
    made.open()
    made.until(lambda: made.written() == 40)
    assert sequences(made) == list(range(40))
    assert made.counters()["consumer_resets"] == 1


def test_a_server_that_restarts_is_found_again(server: NatsServer, target: Make) -> None:
    made = target(server.url)
    publish(server.url, messages(0, 50))
    made.open()
    made.until(lambda: made.written() == 50)
    server.stop()
    made.until(lambda: "nats_connected" not in made.counters())
    server.start()
    publish(server.url, messages(50, 80))
    made.until(lambda: made.written() == 80)
    assert sequences(made) == list(range(80))


def test_only_the_subjects_asked_for_come(server: NatsServer, target: Make) -> None:
    made = target(server.url, subject="opportunity.two_hop.a.c")
    publish(server.url, messages(0, 5))
    publish(server.url, messages(5, 8), subject="opportunity.two_hop.a.c")
    made.open()
    made.until(lambda: made.written() == 3)
    assert sequences(made) == [5, 6, 7]


def test_a_restart_under_way_goes_on_with_the_same_consumer(server: NatsServer, target: Make) -> None:
    made = target(server.url)
    publish(server.url, messages(0, 50))
    made.open()
    made.until(lambda: made.written() == 50)
    made.until(lambda: consumer(made, server.url).num_ack_pending == 0)
    before = consumer(made, server.url)
    made.close()
    publish(server.url, messages(50, 60))
    made.open()
    made.until(lambda: made.written() == 60)
    after = consumer(made, server.url)
    assert (after.name, after.created) == (before.name, before.created)
    assert "consumer_resets" not in made.counters()


def test_a_damaged_place_keeps_the_bridge_from_starting(server: NatsServer, target: Make) -> None:
    made = target(server.url)
    made.open()
    made.close()
    (path,) = (made.folder / "bridge").iterdir()
    path.write_bytes(b"x" * path.stat().st_size)
    with pytest.raises(HftError, match="is damaged"):
        made.open()
    assert Path(str(path)).name == "OPPORTUNITIES-opportunities_remote"


def test_the_age_shown_is_that_of_the_other_machines_stamps(server: NatsServer, target: Make) -> None:
    made = target(server.url)
    offset_ns = time.time_ns() - time.monotonic_ns()
    old_ns = time.monotonic_ns() - 700_000_000
    payload = record_bytes(wire.two_hop_opportunity, 0, scan_published_ns=old_ns)
    publish(server.url, [(f"{SOURCE_RUN}:opportunities:0", payload)], {CLOCK_HEADER: str(offset_ns)})
    made.open()
    made.until(lambda: made.written() == 1)
    age_ns = made.page.histogram("handoff_remote_bridge_ns").max
    assert 700_000_000 <= age_ns < 30_000_000_000
