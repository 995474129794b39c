"""``hft tail``: what was published is what it prints."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import nats
import pytest
from sidecar_support import Pipeline, asked

from hft import wire
from hft.cli import lines
from hft.cli.main import run
from hft.runtime import state
from hft.runtime.exit_codes import ExitCode
from hft.runtime.nats_server import NatsServer
from hft.runtime.streams import STREAMS, overlap
from hft.venues.tokens import SOL_MINT, USDC_MINT
from hft.wire.show import record_values
from tests.messages import record_bytes

SOURCE = Path(wire.__file__).parents[2]
LINKS = tuple(stream.name.lower() for stream in STREAMS)


@pytest.fixture
def running(server: NatsServer, pipeline: Callable[..., Pipeline], tmp_path: Path) -> Iterator[Pipeline]:
    """A pipeline whose state folder looks as that of a running instance."""
    made = pipeline(server.url)
    made.open()
    (tmp_path / state.RUN_FILE).write_text(made.run.to_json())
    with state.InstanceLock(tmp_path):
        yield made


def tail(folder: Path, *arguments: str) -> int:
    return run(["tail", *arguments, "--state-dir", str(folder)])


def tail_process(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "hft.cli.main", "tail", *arguments, "--state-dir", str(folder)]
    return subprocess.Popen(
        command, cwd=SOURCE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    )


def test_every_record_of_every_stream_is_shown_by_name_with_all_its_fields(
    running: Pipeline, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    messages = {link: [] for link in LINKS}
    for codec in wire.CODECS:
        messages[codec.layout.link].append((codec, record_bytes(codec, 3)))
        running.publish(codec.layout.link, messages[codec.layout.link][-1][1])
    running.drain()
    for link, published in messages.items():
        assert tail(tmp_path, link, "--json", "--from-start", "--count", str(len(published))) == 0
        shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [each["record"] for each in shown] == [codec.name for codec, _ in published]
        assert [each["fields"] for each in shown] == [
            record_values(codec, codec.decode(message)) for codec, message in published
        ]
        assert [each["id"] for each in shown] == running.expected_ids(link)
        assert [each["position"] for each in shown] == list(range(1, len(published) + 1))
        assert {each["stream"] for each in shown} == {link.upper()}


def test_line_of_a_result_says_what_was_made_of_what(
    running: Pipeline, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = record_bytes(
        wire.execution_result,
        1,
        end_state=1,
        reason=0,
        detail=b"",
        venue_1=1,
        venue_2=2,
        base_mint=SOL_MINT,
        quote_mint=USDC_MINT,
        amount_in=2_000_000_000,
        actual_profit_lamports=45_000,
        expected_profit_lamports=50_000,
        base_fee_lamports=5_000,
        priority_fee_lamports=100,
        tip_lamports=10_000,
        received_ns=1_000,
        signed_ns=801_000,
    )
    running.publish("executed", result)
    running.drain()
    assert tail(tmp_path, "EXECUTED", "--from-start", "--count", "1") == 0
    (line,) = capsys.readouterr().out.splitlines()
    for part in (
        "1  landed ok  ",
        "made  +0.000045000",
        "+0.225 bps",
        "SOL→USDC→SOL",
        "2.000000000 SOL",
        "whirlpool→raydium_v4",
        "expected +0.000050000",
        "tip 0.000010000",
        "fees 0.000005100",
        "feed→signed 800 µs",
    ):
        assert part in line


def test_only_new_messages_are_shown_unless_asked_for_all(running: Pipeline, tmp_path: Path) -> None:
    running.publish("planned", record_bytes(wire.execution_plan, 0))
    running.drain()
    process = tail_process(tmp_path, "planned", "--json", "--count", "2")
    deadline = time.monotonic() + 60
    number = 1
    while process.poll() is None:
        assert time.monotonic() < deadline
        running.publish("planned", record_bytes(wire.execution_plan, number))
        number += 1
        running.drain()
    out, _ = process.communicate()
    positions = [json.loads(line)["position"] for line in out.splitlines()]
    assert len(positions) == 2
    assert positions[0] > 1
    assert positions[1] == positions[0] + 1


def test_filter_narrows_to_its_subjects(
    running: Pipeline, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        running.publish("planned", record_bytes(wire.execution_plan, number))
        running.publish("planned", record_bytes(wire.plan_rejected, number))
    running.drain()
    arguments = ["--filter", "execution.rejected.*", "--from-start", "--count", "3", "--json"]
    assert tail(tmp_path, "planned", *arguments) == 0
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["record"] for each in shown] == ["PlanRejected"] * 3
    assert [each["position"] for each in shown] == [2, 4, 6]


def test_row_04_a_corrupt_message_is_shown_as_such_and_the_next_follow(
    running: Pipeline, tmp_path: Path, server: NatsServer, capsys: pytest.CaptureFixture[str]
) -> None:
    running.until(lambda: running.counters().get("nats_connected") == 1)

    async def foreign(js: nats.js.JetStreamContext) -> None:
        await js.publish("execution.result.x", b"not a message")

    asked(server.url, foreign)
    running.publish("executed", record_bytes(wire.execution_result, 1))
    running.drain()
    assert tail(tmp_path, "executed", "--from-start", "--count", "2") == 0
    first, second = capsys.readouterr().out.splitlines()
    assert "corrupt" in first
    assert "unknown_identifier" in first
    assert "corrupt" not in second


def test_restart_of_the_server_is_bridged(running: Pipeline, tmp_path: Path, server: NatsServer) -> None:
    process = tail_process(tmp_path, "executed", "--json", "--from-start", "--count", "6")
    for number in range(3):
        running.publish("executed", record_bytes(wire.execution_result, number))
        running.drain()
    assert process.stdout is not None
    first = [json.loads(process.stdout.readline())["position"] for _ in range(3)]
    server.stop()
    server.start()
    for number in range(3, 6):
        running.publish("executed", record_bytes(wire.execution_result, number))
    running.drain()
    out, _ = process.communicate(timeout=60)
    assert first + [json.loads(line)["position"] for line in out.splitlines()] == [1, 2, 3, 4, 5, 6]
    assert process.returncode == 0


def test_end_of_the_run_ends_it(
    server: NatsServer, pipeline: Callable[..., Pipeline], tmp_path: Path
) -> None:
    made = pipeline(server.url)
    made.open()
    made.publish("metrics", record_bytes(wire.pnl_metric, 1))
    made.drain()
    (tmp_path / state.RUN_FILE).write_text(made.run.to_json())
    with state.InstanceLock(tmp_path):
        process = tail_process(tmp_path, "metrics", "--from-start")
        assert process.stdout is not None
        assert "pnl" in process.stdout.readline()
    server.stop()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "the run has ended" in said


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nope"], ExitCode.CONFIG, "no stream 'nope'; there are OPPORTUNITIES, PLANNED"),
        (["planned", "--filter", "market.>"], ExitCode.CONFIG, "only execution.planned.*"),
        (["planned", "--count", "0"], ExitCode.CONFIG, "--count"),
        (["planned"], ExitCode.NOT_RUNNING, "nothing runs"),
    ],
)
def test_what_cannot_be_is_one_clear_error(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: ExitCode,
    words: str,
) -> None:
    assert tail(tmp_path, *arguments) == code
    said = capsys.readouterr()
    assert words in said.err
    assert not said.out


def test_server_that_is_gone_is_named(
    running: Pipeline, tmp_path: Path, server: NatsServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.stop()
    assert tail(tmp_path, "planned") == ExitCode.NATS
    assert f"NATS at {server.url} can't be used" in capsys.readouterr().err


@pytest.mark.parametrize("codec", wire.CODECS, ids=lambda c: c.name)
@pytest.mark.parametrize("value", [0, 1, -1], ids=["zeros", "ones", "greatest"])
def test_every_record_has_words_whatever_its_values(codec: wire.Codec, value: int) -> None:
    values: dict[str, object] = {}
    for field in codec.layout.fields:
        if field.code.endswith("s"):
            values[field.name] = bytes([value % 256]) * field.bytes
        else:
            bits = 8 * field.bytes - (1 if field.code.islower() else 0)
            values[field.name] = (1 << bits) - 1 if value < 0 else value
    line = lines.describe(codec.decode(record_bytes(codec, 0, **values)))
    assert line.kind != codec.name, "a record type without words of its own"
    assert "\n" not in line.body


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("a.b", "a.b", True),
        ("a.b", "a.c", False),
        ("a.*", "a.b", True),
        ("a.*", "*.b", True),
        ("a.*", "a.b.c", False),
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        (">", "a.b", True),
        ("a.*.c", "a.>", True),
        ("b.>", "a.>", False),
    ],
)
def test_patterns_overlap_where_a_subject_matches_both(one: str, other: str, expected: bool) -> None:
    assert overlap(one, other) is expected
    assert overlap(other, one) is expected


def test_filter_by_a_fields_value(
    running: Pipeline, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(6):
        running.publish("executed", record_bytes(wire.execution_result, number, end_state=number % 2 + 1))
    running.drain()
    arguments = ["--from-start", "--json", "--count", "3", "--filter", "end_state=landed_failed"]
    assert tail(tmp_path, "executed", *arguments) == 0
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["position"] for each in shown] == [2, 4, 6]
    assert {each["fields"]["end_state"] for each in shown} == {"landed_failed"}
    assert tail(tmp_path, "executed", "--filter", "venue_9=x") == ExitCode.CONFIG
    assert "no such field; it has actual_profit_lamports" in capsys.readouterr().err


def test_since_begins_so_long_ago(
    running: Pipeline, tmp_path: Path, server: NatsServer, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        running.publish("executed", record_bytes(wire.execution_result, number))
        running.drain()

    async def between_first_and_second(js: nats.js.JetStreamContext) -> str:
        subscription = await js.subscribe(">", stream="EXECUTED", ordered_consumer=True)
        first, second = [(await subscription.next_msg(timeout=30)).metadata.timestamp for _ in range(2)]
        return (first + (second - first) / 2).isoformat()

    assert tail(tmp_path, "executed", "--json", "--since", "10m", "--count", "3") == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    when = asked(server.url, between_first_and_second)
    assert tail(tmp_path, "executed", "--json", "--since", when, "--count", "2") == 0
    shown = [json.loads(line)["position"] for line in capsys.readouterr().out.splitlines()]
    assert shown == [2, 3]
    for wrong in ("soon", "10", "1w"):
        assert tail(tmp_path, "executed", "--since", wrong) == ExitCode.CONFIG
        assert f"--since {wrong}: neither so long ago" in capsys.readouterr().err
    assert tail(tmp_path, "executed", "--since", "1m", "--from-start") == ExitCode.CONFIG


def test_a_stream_on_a_server_elsewhere_needs_no_running_instance(
    running: Pipeline, server: NatsServer, capsys: pytest.CaptureFixture[str]
) -> None:
    running.publish("metrics", record_bytes(wire.pnl_metric, 1))
    running.drain()
    assert run(["tail", "metrics", "--url", server.url, "--from-start", "--count", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["record"] == "PnlMetric"
