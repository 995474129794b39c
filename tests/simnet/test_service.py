"""The local cluster as a service, by hand and as a process of its own, with a client at its door."""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from door_helpers import ask
from simnet_helpers import set_files
from solders.hash import Hash
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer

import ringbuf
from hft.chain.keys import paper_keypair
from hft.chain.transaction import SignedTransaction, sign
from hft.runtime.clock import SystemClock
from hft.runtime.context import Context, Run
from hft.runtime.endpoints import GRPC_PORT_FILE, PORT_FILE
from hft.runtime.exit_codes import ExitCode, HftError
from hft.runtime.probes import wallet_lamports
from hft.runtime.service import RUNNER_COUNTERS, RUNNER_HISTOGRAMS
from hft.runtime.settings import Config
from hft.simnet import service
from hft.simnet.market import MarketError
from hft.simnet.service import GENESIS_FILE, SETTLEMENT_LOG, Simnet

SEED = 5
WALLET = paper_keypair(SEED)
DEADLINE_S = 120.0
FUNDS = 200_000_000_000


def make_run(folder: Path, **simnet: object) -> Run:
    """A run of a quick market in a folder of its own."""
    settings = {
        "seed": SEED,
        "slot_ms": 20,
        "swaps_per_second": 500,
        "landing_ms": 0,
        "wallet_lamports": FUNDS,
    }
    config = Config()
    config = replace(config, simnet=replace(config.simnet, **{**settings, **simnet}))
    return Run(os.urandom(16), folder, "simt", config, {}, {"simnet": "park"})


@pytest.fixture
def make_segments() -> Iterator[Callable[[Run], ringbuf.Counters]]:
    """Makes a run's counters page and kill latch as the supervisor does; unlinked afterwards."""
    made: list[ringbuf.Counters | ringbuf.Control] = []

    def make(run: Run) -> ringbuf.Counters:
        counters = ringbuf.Counters.create(
            run.segment("counters", "simnet"),
            counters=service.COUNTERS + RUNNER_COUNTERS,
            histograms=service.HISTOGRAMS + RUNNER_HISTOGRAMS,
        )
        made.extend((counters, ringbuf.Control.create(run.segment("control"), run_id=run.run_id)))
        return counters

    yield make
    for segment in made:
        segment.close()
        segment.unlink()


class Client:
    """Calls at the door, from a thread, while the cluster is stepped (or steps itself)."""

    def __init__(self, run: Run, step: Callable[[], object]) -> None:
        self._run = run
        self.step = step

    def until(self, condition: Callable[[], bool]) -> None:
        """Steps the cluster until the condition holds."""
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline, "the condition did not come about"
            self.step()

    def call(self, method: str, *params: Any) -> Any:
        """The answer to one request: its ``result``, or its ``error``."""
        url = f"http://127.0.0.1:{(self._run.state_dir / PORT_FILE).read_text().strip()}/"
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answers: list[Any] = []
        thread = threading.Thread(target=lambda: answers.append(ask(url, body)[1]))
        thread.start()
        self.until(lambda: not thread.is_alive())
        return answers[0].get("result", answers[0].get("error"))

    def pay(self, lamports: int = 1_000_000) -> SignedTransaction:
        """A payment of the wallet's to somebody new, signed."""
        latest = self.call("getLatestBlockhash", {"commitment": "processed"})["value"]["blockhash"]
        order = TransferParams(
            from_pubkey=WALLET.pubkey(), to_pubkey=Pubkey(os.urandom(32)), lamports=lamports
        )
        return sign([transfer(order)], WALLET, bytes(Hash.from_string(latest)))

    def send(self, raw: bytes) -> Any:
        """Hands bytes over, unexamined."""
        config = {"encoding": "base64", "skipPreflight": True}
        return self.call("sendTransaction", base64.b64encode(raw).decode(), config)

    def lamports(self) -> int:
        """The wallet's SOL."""
        return int(self.call("getBalance", str(WALLET.pubkey()), {"commitment": "processed"})["value"])


@pytest.fixture
def stepped(
    tmp_path: Path, make_segments: Callable[[Run], ringbuf.Counters]
) -> Iterator[tuple[Simnet, Client, ringbuf.Counters, Run]]:
    """A cluster stepped by hand, and a client."""
    run = make_run(tmp_path)
    counters = make_segments(run)
    context = Context("simnet", run)
    simnet = service.build(context)
    simnet.on_start()
    yield simnet, Client(run, lambda: simnet.do_work() or simnet.wait(1_000_000)), counters, run
    simnet.on_close()
    context.close()


def log_of(run: Run) -> list[dict[str, Any]]:
    """The settlement log's lines."""
    return [json.loads(line) for line in (run.state_dir / SETTLEMENT_LOG).read_text().splitlines()]


def test_the_market_moves_and_is_shown(stepped: tuple[Simnet, Client, ringbuf.Counters, Run]) -> None:
    simnet, client, counters, _ = stepped

    def moved() -> bool:
        simnet.on_housekeeping(0)
        return counters.read()["slots"] >= 5 and counters.read()["flow_noise"] > 20

    client.until(moved)
    client.call("getSlot", {"commitment": "processed"})
    simnet.on_housekeeping(0)
    shown = counters.read()
    assert (shown["pools"], shown["requests"]) == (14, 1)
    assert shown["account_updates"] > 50


def test_what_is_sent_lands_is_logged_and_the_wallet_agrees_to_the_lamport(
    stepped: tuple[Simnet, Client, ringbuf.Counters, Run],
) -> None:
    _, client, counters, run = stepped
    before = client.lamports()
    sent = []
    for number in range(1, 11):
        signed = client.pay(1_000_000 + number)
        sent.append(client.send(signed.data))
        client.until(lambda number=number: len(log_of(run)) == number)
    paid = sum(1_000_000 + number + 5_000 for number in range(1, 11))
    assert client.lamports() == before - paid
    assert counters.read()["in_submissions"] == 10 == counters.read()["landed_ok"]
    lines = log_of(run)
    assert [line["signature"] for line in lines] == sent
    assert {line["outcome"] for line in lines} == {"landed_ok"}
    assert all(line["run"] == run.run_id8 for line in lines)
    times = [line["monotonic_ns"] for line in lines]
    assert times == sorted(times)


def test_the_probe_asks_what_the_wallet_is_worth(
    stepped: tuple[Simnet, Client, ringbuf.Counters, Run], tmp_path: Path
) -> None:
    _, client, _, run = stepped
    told: list[int | None] = []
    thread = threading.Thread(target=lambda: told.append(wallet_lamports(run, SystemClock())))
    thread.start()
    client.until(lambda: not thread.is_alive())
    assert told == [FUNDS]
    (tmp_path / PORT_FILE).write_text("1\n")
    assert wallet_lamports(run, SystemClock()) is None


def test_the_same_signature_again_is_refused_and_logged(
    stepped: tuple[Simnet, Client, ringbuf.Counters, Run],
) -> None:
    _, client, _, run = stepped
    signed = client.pay()
    for number in (1, 2):
        client.send(signed.data)
        client.until(lambda number=number: len(log_of(run)) == number)
    assert [line["outcome"] for line in log_of(run)] == ["landed_ok", "rejected"]
    assert log_of(run)[1]["error_name"] == "AlreadyProcessed"


def test_row_04_garbage_submissions_are_answered_logged_and_harmless(
    stepped: tuple[Simnet, Client, ringbuf.Counters, Run],
) -> None:
    _, client, counters, run = stepped
    before = client.lamports()
    assert {client.send(raw)["code"] for raw in (b"", b"garbage", bytes(1232))} == {-32602}
    assert client.send(b"\x01" + bytes(1_300))["code"] == -32602
    client.send(b"\x01" * 200)
    client.until(lambda: len(log_of(run)) == 1)
    assert log_of(run)[0]["error_name"] == "Malformed"
    assert counters.read()["rejected_malformed"] == 1
    assert client.lamports() == before


def test_the_grpc_port_is_written_down_too(
    tmp_path: Path, make_segments: Callable[[Run], ringbuf.Counters]
) -> None:
    run = make_run(tmp_path, grpc_port=0)
    make_segments(run)
    context = Context("simnet", run)
    simnet = service.build(context)
    simnet.on_start()
    with socket.create_connection(("127.0.0.1", int((tmp_path / GRPC_PORT_FILE).read_text())), 5):
        pass
    simnet.on_close()
    context.close()


def test_submissions_wait_for_their_landing_time(
    tmp_path: Path, make_segments: Callable[[Run], ringbuf.Counters]
) -> None:
    run = make_run(tmp_path, landing_ms=60, swaps_per_second=0)
    counters = make_segments(run)
    context = Context("simnet", run)
    simnet = service.build(context)
    simnet.on_start()
    client = Client(run, lambda: simnet.do_work() or simnet.wait(1_000_000))
    signed = client.pay()
    begun_ns = time.monotonic_ns()
    client.send(signed.data)
    client.until(lambda: simnet.pending() == 0)
    assert time.monotonic_ns() - begun_ns >= 60_000_000
    assert counters.histogram("landing_ns").max >= 60_000_000
    assert [line["outcome"] for line in log_of(run)] == ["landed_ok"]
    simnet.on_close()
    context.close()


def test_a_cluster_whose_state_is_lost_refuses_to_begin_again(
    stepped: tuple[Simnet, Client, ringbuf.Counters, Run],
) -> None:
    simnet, _, _, run = stepped
    simnet.on_close()
    context = Context("simnet", run)
    again = service.build(context)
    with pytest.raises(HftError, match="start a new run"):
        again.on_start()
    again.on_close()
    context.close()
    assert (run.state_dir / GENESIS_FILE).read_text() == run.run_id.hex()


def test_a_state_folder_that_cannot_be_written_is_named(
    tmp_path: Path, make_segments: Callable[[Run], ringbuf.Counters]
) -> None:
    run = make_run(tmp_path / "absent")
    make_segments(run)
    context = Context("simnet", run)
    simnet = service.build(context)
    with pytest.raises(HftError) as caught:
        simnet.on_start()
    assert caught.value.code is ExitCode.STATE_FOLDER
    assert str(tmp_path / "absent") in str(caught.value)
    simnet.on_close()
    context.close()


def test_a_bad_market_file_stops_the_build(
    tmp_path: Path, make_segments: Callable[[Run], ringbuf.Counters]
) -> None:
    bad = tmp_path / "bad.json.gz"
    bad.write_bytes(b"\x1f\x8b\x08")
    run = make_run(tmp_path, market=(str(bad),))
    make_segments(run)
    context = Context("simnet", run)
    with pytest.raises(MarketError, match=r"bad\.json\.gz"):
        service.build(context)
    context.close()


@pytest.mark.parametrize("market", ["shipped", "files"])
def test_a_process_of_its_own_serves_settles_and_drains(
    tmp_path: Path,
    make_segments: Callable[[Run], ringbuf.Counters],
    request: pytest.FixtureRequest,
    market: str,
) -> None:
    files: tuple[str, ...] = ()
    if market == "files":
        data = request.getfixturevalue("shared_data")
        names = ("whirlpool/lst-2023-03", "raydium_v4/sol-lst-rehomed")
        files = tuple(str(path) for path in set_files(data, *names))
    run = make_run(tmp_path, market=files, swaps_per_second=100)
    counters = make_segments(run)
    run_file = tmp_path / "run.json"
    run_file.write_text(run.to_json())
    process = subprocess.Popen(
        [sys.executable, "-m", "hft.runtime.process", "simnet", str(run_file)],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        client = Client(run, lambda: time.sleep(0.005))
        client.until(lambda: (tmp_path / PORT_FILE).exists() or process.poll() is not None)
        assert process.poll() is None, process.stderr and process.stderr.read()
        client.send(client.pay().data)
        client.until(lambda: len(log_of(run)) == 1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == ExitCode.OK, process.stderr and process.stderr.read()
    finally:
        process.kill()
        process.wait()
        if process.stderr:
            process.stderr.close()
    assert counters.read()["in_submissions"] == 1
    assert log_of(run)[0]["outcome"] == "landed_ok"
