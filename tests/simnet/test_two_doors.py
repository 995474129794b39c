"""One cluster behind both doors: what comes through one is seen through the other."""

import base64
import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from door_helpers import ask
from test_service import WALLET, Watcher, make_run, make_segments  # noqa: F401

import ringbuf
from hft.chain.frames import Outcome
from hft.chain.transaction import build_two_hop
from hft.runtime.context import Context, Run
from hft.runtime.endpoints import GRPC_PORT_FILE, PORT_FILE
from hft.simnet import service
from hft.simnet.service import SETTLEMENT_LOG


def test_a_transaction_by_http_is_logged_and_seen_on_the_socket(
    tmp_path: Path,
    make_segments: Callable[[Run], ringbuf.Counters],  # noqa: F811
) -> None:
    run = make_run(tmp_path, port=0, grpc_port=0, swaps_per_second=0)
    counters = make_segments(run)
    context = Context("simnet", run)
    simnet = service.build(context)
    simnet.on_start()

    def step() -> None:
        if not simnet.do_work():
            simnet.wait(1_000_000)

    watcher = Watcher(run, step)
    try:
        watcher.cluster.connect()
        watcher.cluster.subscribe_accounts()
        watcher.until(lambda: bool(watcher.slots))
        url = f"http://127.0.0.1:{(tmp_path / PORT_FILE).read_text().strip()}/"
        with socket.create_connection(("127.0.0.1", int((tmp_path / GRPC_PORT_FILE).read_text())), 5):
            pass
        signed = build_two_hop(watcher.best_order(), WALLET, watcher.slots[-1].blockhash)
        answers: list[Any] = []

        def call(method: str, *params: Any) -> Any:
            body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
            thread = threading.Thread(target=lambda: answers.append(ask(url, body)[1]))
            thread.start()
            watcher.until(lambda: not thread.is_alive())
            return answers.pop()["result"]

        batches = watcher.batches
        text = base64.b64encode(signed.data).decode()
        signature = call("sendTransaction", text, {"encoding": "base64", "preflightCommitment": "processed"})
        watcher.until(lambda: watcher.batches > batches)
        watcher.cluster.ask_status(signed.signature)
        status = call("getSignatureStatuses", [signature])["value"][0]
        assert status["err"] is None
        lines = [json.loads(line) for line in (tmp_path / SETTLEMENT_LOG).read_text().splitlines()]
        assert [line["signature"] for line in lines] == [signature]
        assert lines[0]["outcome"] == Outcome.LANDED_OK.name.lower()
        owned = call("getBalance", str(WALLET.pubkey()), {"commitment": "processed"})["value"]
        assert watcher.balances().lamports == owned
        simnet.on_housekeeping(0)
        assert counters.read()["landed_ok"] == 1
    finally:
        watcher.cluster.close()
        simnet.on_close()
        context.close()
