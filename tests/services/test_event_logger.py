"""The event log: every record kind is written and can be read back; nothing blocks, losses are counted."""

import errno
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from service_support import House, settings

from hft import wire
from hft.chain.base58 import b58decode
from hft.runtime import topology
from hft.runtime.event_file import EventFile
from hft.services import event_logger
from hft.services.event_logger import LINKS, RESERVED, event_name
from hft.wire import Codec
from hft.wire.enums import EndState, KillState, LifecycleEvent
from tests.messages import record_bytes

DAY_NS = 86_400_000_000_000


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Callable[..., House]]:
    made: list[House] = []

    def make(bridge: str = "off", **own: int) -> House:
        (tmp_path / "logs").mkdir(exist_ok=True)
        made.append(House(tmp_path, settings(event_logger=own, bridge={"enabled": bridge})))
        made[-1].open("event_logger")
        return made[-1]

    yield make
    for each in made:
        each.close()


def lines(house: House) -> list[dict[str, Any]]:
    """What the log says, each line parsed by itself."""
    file = house.run.state_dir / "logs" / event_logger.FILE_NAME
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def counted(house: House) -> dict[str, int]:
    return {name: n for name, n in house.segments.pages["event_logger"].read().items() if n}


def large(codec: Codec, number: int) -> dict[str, object]:
    """Integers of 64 bits at values that a float would not keep."""
    wide = (field for field in codec.layout.fields if field.code in "qQ" and field.enum is None)
    return {field.name: (1 << 63) - 1 - number for field in wide}


def read_back(codec: Codec, line: dict[str, Any]) -> bytes:
    """The message that a line tells of, from the line alone."""
    values: list[object] = []
    for field in codec.layout.fields:
        name = f"{event_name(codec.name)}_{field.name}" if field.name in RESERVED else field.name
        told = line[name]
        if isinstance(told, int):
            values.append(told)
        elif field.enum is not None:
            values.append(field.enum[told.upper()])
        elif field.text:
            values.append(told.encode())
        elif field.bytes == 16:
            values.append(bytes.fromhex(told))
        else:
            values.append(b58decode(told))
    view = bytearray(codec.size)
    codec.encode_into(view, *values)
    return bytes(view)


def test_every_record_kind_is_a_line_that_gives_the_message_back(house: Callable[..., House]) -> None:
    made = house(market_data_one_in=1)
    sent: dict[str, list[tuple[Codec, bytes]]] = {link: [] for link in LINKS}
    for number in range(3):
        for codec in wire.CODECS:
            message = record_bytes(codec, number, **large(codec, number))
            assert made.writer(codec.layout.link).offer(message)
            sent[codec.layout.link].append((codec, message))
    made.cycle(["event_logger"])
    told = lines(made)
    assert len(told) == 3 * len(wire.CODECS)
    for link, messages in sent.items():
        of_link = [line for line in told if line["link"] == link]
        assert [read_back(codec, line) for (codec, _), line in zip(messages, of_link, strict=True)] == [
            message for _, message in messages
        ]
        assert [line["event"] for line in of_link] == [event_name(codec.name) for codec, _ in messages]


def test_a_line_has_what_loki_wants_first(house: Callable[..., House]) -> None:
    made = house()
    trace = bytes(range(16))
    made.writer("planned").offer(record_bytes(wire.execution_plan, 1, trace_id=trace))
    made.cycle(["event_logger"])
    (line,) = lines(made)
    assert list(line)[:7] == ["time", "level", "event", "service", "link", "run", "monotonic_ns"]
    assert line["time"].endswith("Z")
    assert len(line["time"]) == len("2026-01-02T03:04:05.123456Z")
    assert (line["level"], line["event"], line["service"]) == ("info", "execution_plan", "planner")
    assert (line["link"], line["run"]) == ("planned", made.run.run_id8)
    assert line["trace_id"] == trace.hex()
    assert isinstance(line["tip_lamports"], int)
    labels = {"service", "event", "level", "link"}
    assert labels <= set(line)


def test_levels_tell_what_is_wrong(house: Callable[..., House]) -> None:
    made = house()
    expected = []
    for link, codec, fields, level in (
        ("system", wire.kill_switch, {"state": KillState.KILLED}, "critical"),
        ("system", wire.kill_switch, {"state": KillState.RUNNING}, "info"),
        ("system", wire.lifecycle, {"event": LifecycleEvent.CRASHED}, "error"),
        ("system", wire.lifecycle, {"event": LifecycleEvent.READY}, "info"),
        ("executed", wire.execution_result, {"end_state": EndState.LANDED_FAILED}, "warning"),
        ("executed", wire.execution_result, {"end_state": EndState.LANDED_OK}, "info"),
    ):
        made.writer(link).offer(record_bytes(codec, 1, **fields))
        expected.append((event_name(codec.name), level))
    made.cycle(["event_logger"])
    told = [(line["event"], line["level"]) for line in lines(made)]
    assert sorted(told) == sorted(expected)
    crash = next(line for line in lines(made) if line["level"] == "error")
    assert crash["lifecycle_event"] == "crashed"


def test_market_data_is_sampled_and_everything_else_is_not(house: Callable[..., House]) -> None:
    made = house(market_data_one_in=10)
    for number in range(95):
        made.writer("market_data").offer(record_bytes(wire.pool_update, number, sequence=number))
        made.writer("opportunities").offer(record_bytes(wire.two_hop_opportunity, number))
    made.cycle(["event_logger"])
    told = lines(made)
    assert [line["sequence"] for line in told if line["link"] == "market_data"] == list(range(0, 95, 10))
    assert sum(line["link"] == "opportunities" for line in told) == 95
    counts = counted(made)
    assert (counts["in_market_data"], counts["out_market_data"], counts["sampled_out_market_data"]) == (
        95,
        10,
        85,
    )


def test_row_02_a_lapped_logger_counts_what_it_lost_and_holds_up_nobody(house: Callable[..., House]) -> None:
    made = house(market_data_one_in=1)
    depth = made.run.config.links["planned"].depth
    for number in range(depth + 50):
        assert made.writer("planned").offer(record_bytes(wire.plan_rejected, number)), "nobody waits for it"
    while made.cycle(["event_logger"]):
        pass
    counts = counted(made)
    assert counts["lost_planned"] >= 50
    assert counts["in_planned"] + counts["lost_planned"] == depth + 50
    assert len(lines(made)) == counts["out_planned"] == counts["in_planned"]


def test_row_04_a_corrupt_or_misplaced_message_is_counted_and_the_next_are_written(
    house: Callable[..., House],
) -> None:
    made = house()
    for message in (b"x" * 40, record_bytes(wire.pnl_metric, 1), record_bytes(wire.execution_result, 1)):
        made.writer("executed").offer(message)
    made.cycle(["event_logger"])
    assert [line["event"] for line in lines(made)] == ["execution_result"]
    counts = counted(made)
    assert (counts["in_executed"], counts["out_executed"], counts["dropped_corrupt_executed"]) == (3, 1, 2)


def test_row_32_a_full_disk_loses_lines_counted_and_nothing_else(
    house: Callable[..., House], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = house()
    publish = made.writer("executed").offer
    publish(record_bytes(wire.execution_result, 1))
    made.cycle(["event_logger"])
    real = os.write

    def nearly_full(descriptor: int, data: bytes) -> int:
        if len(data) <= 100:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data[:100])

    monkeypatch.setattr(os, "write", nearly_full)
    publish(record_bytes(wire.execution_result, 2))
    made.cycle(["event_logger"])
    monkeypatch.setattr(os, "write", real)
    publish(record_bytes(wire.execution_result, 3))
    made.cycle(["event_logger"])
    assert len(lines(made)) == 2, "what was written of the second line is taken back"
    counts = counted(made)
    assert (counts["in_executed"], counts["out_executed"], counts["dropped_disk_executed"]) == (3, 2, 1)


def test_row_01_a_killed_logger_goes_on_where_it_stopped_and_no_line_is_torn(
    house: Callable[..., House],
) -> None:
    made = house()
    made.writer("executed").offer(record_bytes(wire.execution_result, 1))
    made.cycle(["event_logger"])
    file = made.run.state_dir / "logs" / event_logger.FILE_NAME
    with file.open("ab") as out:
        out.write(b'{"time":"torn')
    made.crash("event_logger")
    made.writer("executed").offer(record_bytes(wire.execution_result, 2))
    made.open("event_logger")
    made.cycle(["event_logger"])
    assert [line["event"] for line in lines(made)] == ["execution_result"] * 2


def test_files_are_replaced_by_size_and_by_age_and_a_bounded_number_is_kept(tmp_path: Path) -> None:
    file = EventFile(tmp_path / "e", limit_bytes=100, age_ns=DAY_NS, count=2)
    for number in range(10):
        file.write(b"%d" % number * 59 + b"\n", 0)
    file.write(b"later\n", DAY_NS)
    file.close()
    assert {path.name: path.read_bytes()[:1] for path in tmp_path.iterdir()} == {
        "e": b"l",
        "e.1": b"8",
        "e.2": b"6",
    }
    assert file.rotations == 5
    assert (tmp_path / "e").stat().st_mode & 0o777 == 0o600


def test_an_empty_or_all_torn_file_begins_anew(tmp_path: Path) -> None:
    for content in (b"", b"no end", b"x" * 200_000):
        (tmp_path / "e").write_bytes(content)
        file = EventFile(tmp_path / "e", limit_bytes=100, age_ns=DAY_NS, count=1)
        file.write(b"whole\n", 0)
        file.close()
        assert (tmp_path / "e").read_bytes() == b"whole\n"


def test_opportunities_of_another_machine_are_events_of_their_link(house: Callable[..., House]) -> None:
    made = house(bridge="on")
    message = record_bytes(wire.two_hop_opportunity, 1)
    publication = made.segments.rings["opportunities_remote"].publication()
    assert publication.offer(message)
    publication.close()
    made.cycle(["event_logger"])
    (line,) = lines(made)
    assert (line["link"], line["service"], line["event"]) == (
        "opportunities_remote",
        "bridge",
        "two_hop_opportunity",
    )


def test_it_observes_every_link_and_gates_none() -> None:
    for link in topology.LINKS:
        assert "event_logger" in link.observing
        assert "event_logger" not in link.gating
