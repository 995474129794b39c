"""A local cluster behind its HTTP door, stepped by a thread; and plain calls to it."""

import base64
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import TransferParams, transfer

from hft.chain.transaction import SignedTransaction, sign
from hft.runtime.settings import Simnet
from hft.simnet.alone import Alone

DEADLINE_S = 60.0
QUIET = {"seed": 7, "slot_ms": 20, "swaps_per_second": 0, "landing_ms": 0, "bundle_requests_per_second": 0}


class Served:
    """A cluster that runs in a thread; everything the tests ask of it goes through its port."""

    def __init__(self, **settings: Any) -> None:
        self.lines: list[str] = []
        self.alone = Alone(replace(Simnet(), port=0, **{**QUIET, **settings}), self.lines.append)
        self.port = self.alone.open()
        self.url = f"http://127.0.0.1:{self.port}/"
        self.wallet: Keypair = self.alone.cluster.wallet
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.alone.cluster.start(time.monotonic_ns())
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            self.alone.step()
        self.alone.doors.close()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def post(self, body: Any, path: str = "") -> tuple[int, Any, dict[str, str]]:
        """(HTTP status, JSON or text, headers)."""
        return ask(self.url + path.lstrip("/"), body)

    def get(self, path: str) -> tuple[int, Any, dict[str, str]]:
        return ask(self.url + path, None)

    def call(self, method: str, *params: Any, node: str = "") -> Any:
        """The result; an ``RpcFailed`` carries the error."""
        path = f"node/{node}/" if node else ""
        status, answer, _ = self.post({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}, path)
        return _unwrap(status, answer)

    def jito(self, method: str, *params: Any, path: str = "bundles") -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        status, answer, _ = self.post(body, f"api/v1/{path}")
        return _unwrap(status, answer)

    def fault(self, kind: str, **rest: Any) -> Any:
        status, answer, _ = self.post({"kind": kind, **rest}, "admin/faults")
        assert status == 200, answer
        return answer

    def state(self) -> Any:
        return ask(self.url + "admin/state", None)[1]

    def blockhash(self) -> bytes:
        found = self.call("getLatestBlockhash", {"commitment": "processed"})["value"]["blockhash"]
        return bytes(Hash.from_string(found))

    def pay(self, to: bytes, lamports: int, *more: Instruction) -> SignedTransaction:
        """A transfer of the wallet's, signed."""
        user = self.wallet.pubkey()
        one = transfer(TransferParams(from_pubkey=user, to_pubkey=Pubkey(to), lamports=lamports))
        return sign([*more, one], self.wallet, self.blockhash())

    def send(self, transaction: SignedTransaction, **config: Any) -> str:
        text = base64.b64encode(transaction.data).decode()
        config = {"encoding": "base64", "preflightCommitment": "processed", **config}
        return str(self.call("sendTransaction", text, config))

    def send_again(self, transaction: SignedTransaction) -> str:
        """The signature of what was sent already."""
        return str(Signature(transaction.signature))

    def data(self, pubkey: Pubkey) -> bytes:
        """An account's data."""
        config = {"encoding": "base64", "commitment": "processed"}
        found = self.call("getAccountInfo", str(pubkey), config)["value"]
        return base64.b64decode(found["data"][0])

    def status(self, signature: str, **config: Any) -> Any:
        return self.call("getSignatureStatuses", [signature], config)["value"][0]


class RpcFailed(Exception):
    """A JSON-RPC error, or an HTTP status that is none of success."""

    def __init__(self, status: int, error: Any) -> None:
        super().__init__(f"{status}: {error}")
        self.status = status
        self.error = error
        self.code = error.get("code") if isinstance(error, dict) else None


def ask(url: str, body: Any, timeout: float = DEADLINE_S) -> tuple[int, Any, dict[str, str]]:
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, _json(answer.read()), dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, _json(error.read()), dict(error.headers)


def until(condition: Callable[[], Any], what: str) -> Any:
    """Polls until the condition holds; its value."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
    raise AssertionError(f"not within {DEADLINE_S} s: {what}")


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return raw.decode()


def _unwrap(status: int, answer: Any) -> Any:
    if status != 200 or not isinstance(answer, dict) or "error" in answer:
        raise RpcFailed(status, answer["error"] if isinstance(answer, dict) and "error" in answer else answer)
    return answer["result"]
