"""Faults on demand, each provoked through the network, and the command that makes them."""

import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from door_helpers import DEADLINE_S, RpcFailed, Served, ask, until
from solders.keypair import Keypair

from hft.cli.main import run
from hft.simnet.faults import EXPLAINED, FaultError, Faults

SLOT = {"jsonrpc": "2.0", "id": 1, "method": "getSlot"}


@pytest.fixture
def served() -> Iterator[Served]:
    one = Served()
    yield one
    one.close()


def test_row_12_http_faults_meet_requests_as_often_as_asked(served: Served) -> None:
    served.fault("rate_limit", times=2)
    assert [served.post(SLOT)[0] for _ in range(3)] == [429, 429, 200]
    served.fault("server_error", status=502)
    assert [served.post(SLOT)[0] for _ in range(2)] == [502, 200]
    served.fault("malformed_json")
    assert isinstance(served.post(SLOT)[1], str)
    for code in (-32005, -32016, -32097):
        served.fault("rpc_error", code=code)
        with pytest.raises(RpcFailed) as caught:
            served.call("getSlot")
        assert caught.value.code == code
    served.fault("latency", ms=150)
    begin = time.monotonic()
    assert served.post(SLOT)[0] == 200
    assert time.monotonic() - begin >= 0.15
    served.fault("disconnect")
    with pytest.raises((OSError, urllib.error.URLError)):
        served.post(SLOT)
    served.fault("hang")
    with pytest.raises(TimeoutError):
        ask(served.url, SLOT, timeout=0.3)
    assert served.call("getSlot")


def test_a_fault_meets_one_node_and_one_method(served: Served) -> None:
    served.fault("server_error", node="b", method="getSlot", times=0)
    assert served.call("getSlot")
    assert served.call("getHealth", node="b") == "ok"
    with pytest.raises(RpcFailed):
        served.call("getSlot", node="b")
    listed = ask(served.url + "admin/faults", None)[1]
    assert [one["kind"] for one in listed["standing"]] == ["server_error"]
    assert listed["met"] == {"server_error": 1}


def test_row_15_an_answer_that_never_comes_may_belong_to_a_landed_transaction(served: Served) -> None:
    target = Keypair().pubkey()
    one = served.pay(bytes(target), 10**6)
    served.fault("lost_answer", method="sendTransaction")
    body = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "sendTransaction",
        "params": [base64.b64encode(one.data).decode(), {"encoding": "base64", "skipPreflight": True}],
    }
    with pytest.raises(TimeoutError):
        ask(served.url, body, timeout=0.3)
    assert until(lambda: served.status(served.send_again(one)), "its status")["err"] is None
    served.fault("dropped_transaction")
    lost = served.send(served.pay(bytes(target), 2 * 10**6), skipPreflight=True)
    slot = served.call("getSlot", {"commitment": "processed"})
    until(lambda: served.call("getSlot", {"commitment": "processed"}) > slot + 3, "slots")
    assert served.status(lost, searchTransactionHistory=True) is None


def test_row_07_a_silent_websocket_stays_open(served: Served) -> None:
    async def follow() -> None:
        async with aiohttp.ClientSession() as session, session.ws_connect(served.url) as socket:
            await socket.send_json({"id": 1, "method": "slotSubscribe"})
            assert (await socket.receive_json(timeout=DEADLINE_S))["result"]
            first = (await socket.receive_json(timeout=DEADLINE_S))["params"]["result"]
            assert first["parent"] < first["slot"]
            assert first["root"] == first["slot"] - 32
            await asyncio.to_thread(served.fault, "silent_websocket")
            assert await _silence(socket)
            assert not socket.closed
            await socket.send_json({"id": 2, "method": "getHealth"})
            assert (await socket.receive_json(timeout=DEADLINE_S))["result"] == "ok"
            served.alone.cluster.faults.clear()
            last = await socket.receive_json(timeout=DEADLINE_S)
            assert last["params"]["result"]["slot"] > first["slot"] + 3

    asyncio.run(follow())


def test_row_06_a_fork_is_told_to_account_subscribers(served: Served) -> None:
    target = Keypair().pubkey()

    async def follow() -> list[int]:
        async with aiohttp.ClientSession() as session, session.ws_connect(served.url) as socket:
            config = {"encoding": "base64", "commitment": "processed"}
            await socket.send_json({"id": 1, "method": "accountSubscribe", "params": [str(target), config]})
            await socket.receive_json(timeout=DEADLINE_S)
            await asyncio.to_thread(lambda: served.send(served.pay(bytes(target), 10**6)))
            told = [await socket.receive_json(timeout=DEADLINE_S)]
            await asyncio.to_thread(served.fault, "fork_revert", slots=30)
            told.append(await socket.receive_json(timeout=DEADLINE_S))
            slots = [one["params"]["result"]["context"]["slot"] for one in told]
            assert slots == sorted(slots)
            return [one["params"]["result"]["value"]["lamports"] for one in told]

    assert asyncio.run(follow()) == [10**6, 0]


def test_subscriptions_coalesced_by_slot_and_at_later_commitments() -> None:
    served = Served(notify="slot", slot_ms=100)
    target = Keypair().pubkey()

    async def follow() -> None:
        async with aiohttp.ClientSession() as session, session.ws_connect(served.url) as socket:
            for number, level in enumerate(("processed", "confirmed", "finalized")):
                config = {"encoding": "base64", "commitment": level}
                request = {"id": number, "method": "accountSubscribe", "params": [str(target), config]}
                await socket.send_json(request)
            names = {}
            for _ in range(3):
                answer = await socket.receive_json(timeout=DEADLINE_S)
                names[answer["result"]] = answer["id"]
            sent = [served.pay(bytes(target), 10**6 + n) for n in range(2)]
            await asyncio.to_thread(lambda: [served.send(one, skipPreflight=True) for one in sent])
            told: dict[int, int] = {}
            order = []
            while len(told) < 3 or min(told.values()) < 2 * 10**6 + 1:
                answer = (await socket.receive_json(timeout=DEADLINE_S))["params"]
                order.append(names[answer["subscription"]])
                told[order[-1]] = answer["result"]["value"]["lamports"]
            assert order == sorted(order)
            assert len(order) <= 6
            await socket.send_json({"id": 9, "method": "accountUnsubscribe", "params": [12345]})
            assert (await socket.receive_json(timeout=DEADLINE_S))["error"]["code"] == -32602

    try:
        asyncio.run(follow())
    finally:
        served.close()


def test_a_wrong_fault_is_named(served: Served) -> None:
    for asked, word in (
        ({"kind": "nothing"}, "is none of"),
        ({"kind": "latency", "seconds": 1}, "seconds"),
        ({"kind": "latency", "ms": -1}, "0..600000"),
        ({"kind": "hang", "node": 3}, "must be a text"),
    ):
        status, answer, _ = served.post(asked, "admin/faults")
        assert status == 400
        assert word in answer["error"]
    faults = Faults()
    for kind in EXPLAINED:
        faults.add(faults.parse({"kind": kind}))
    while faults.standing < 256:
        faults.add(faults.parse({"kind": "hang"}))
    with pytest.raises(FaultError):
        faults.add(faults.parse({"kind": "hang"}))
    assert faults.clear(1) == 1
    assert faults.clear() == 255


async def _silence(socket: aiohttp.ClientWebSocketResponse) -> bool:
    """Whether nothing more comes, after what was under way."""
    while True:
        try:
            await socket.receive_json(timeout=0.3)
        except TimeoutError:
            return True


def test_the_command_runs_makes_faults_and_stops_cleanly(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["simnet", "--port", "0", "--seed", "9", "--set", "simnet.slot_ms=20"]
    process = subprocess.Popen(
        [sys.executable, "-m", "hft.cli.main", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        cwd=Path(__file__).resolve().parents[2],
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert "listening on http://127.0.0.1:" in line, line
        port = line.split("127.0.0.1:")[1].split(" ")[0]
        assert run(["simnet", "fault", "fork_revert", "--slots", "3", "--port", port]) == 0
        assert json.loads(capsys.readouterr().out)["slots"] == 3
        assert run(["simnet", "fault", "hang", "--method", "getSlot", "--port", port]) == 0
        assert run(["simnet", "fault", "clear", "--port", port]) == 0
        assert run(["simnet", "fault", "nonsense", "--port", port]) == 2
        assert run(["simnet", "--port", port]) == 7
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 0
        assert process.stdout.read().splitlines()[-1] == "simnet: stopped"
        assert run(["simnet", "fault", "list", "--port", port]) == 6
    finally:
        process.kill()
        process.stdout.close()
