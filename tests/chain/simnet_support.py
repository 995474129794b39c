"""The local cluster in a thread of its own, reached over loopback alone; nodes by name, faults by its
administration."""

import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import aiohttp
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.instruction import Instruction
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer

from hft.chain.endpoint import Endpoint
from hft.chain.jito import JitoClient, jito_endpoint
from hft.chain.journal_records import Intent
from hft.chain.keys import paper_keypair
from hft.chain.rpc import RpcClient
from hft.chain.rpc_caller import CallRule
from hft.chain.rpc_parse import LatestBlockhash
from hft.chain.tips import TIP_ACCOUNTS
from hft.chain.transaction import SignedTransaction, sign
from hft.runtime import settings
from hft.simnet.alone import Alone
from tests.chain.rpc_support import MILLISECOND, PATIENT, SECOND

SEED = 7
WALLET = paper_keypair(SEED)
SLOT_MS = 20
_numbers = count(1)


class Simnet:
    """A running cluster. Each test uses nodes of its own (``node``), so that faults meet it alone."""

    def __init__(self, alone: Alone, port: int) -> None:
        self._alone = alone
        self.base = f"http://127.0.0.1:{port}"
        self.grpc_port = alone.doors.grpc_port
        self.pools = dict(alone.cluster.bank.pools)
        self.accounts = dict(alone.cluster.bank.accounts)

    def node(self, name: str, **more: Any) -> Endpoint:
        """A node of the cluster."""
        url = f"{self.base}/node/{name}"
        ws = url.replace("http:", "ws:")
        return Endpoint(name, url, ws, **{"interval_ns": MILLISECOND // 10, "burst": 10_000, **more})

    def rpc(self, http: aiohttp.ClientSession, *names: str, rule: CallRule = PATIENT) -> RpcClient:
        return RpcClient(http, [self.node(name) for name in names], rule)

    def jito(self, http: aiohttp.ClientSession, name: str, rule: CallRule = PATIENT) -> JitoClient:
        endpoint = jito_endpoint(name, f"{self.base}/node/{name}", requests_per_second=10_000, burst=1_000)
        return JitoClient(http, [endpoint], rule)

    def fault(self, kind: str, **more: Any) -> dict[str, Any]:
        """Provokes a fault."""
        return self._ask("POST", "faults", {"kind": kind, **more})

    def clear(self) -> None:
        """Takes every fault away."""
        self._ask("DELETE", "faults", {})

    def met(self) -> dict[str, int]:
        """How often each kind of fault was met."""
        return dict(self._ask("GET", "faults", None)["met"])

    def state(self) -> dict[str, Any]:
        """The cluster's own figures."""
        return self._ask("GET", "state", None)

    def _ask(self, method: str, path: str, body: Any) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.base}/admin/{path}", data, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            told: dict[str, Any] = json.loads(answer.read())
        return told


@contextmanager
def running(**chosen: Any) -> Iterator[Simnet]:
    """A cluster with quick slots and no flow of its own, until the block ends."""
    values = {"seed": SEED, "slot_ms": SLOT_MS, "swaps_per_second": 0, "port": 0, "landing_ms": 1}
    values |= {"bundle_requests_per_second": 0, "rival_ppm": 0} | chosen
    alone = Alone(settings.Simnet(**values), lambda line: None)
    port = alone.open()
    stop = threading.Event()

    def work() -> None:
        alone.cluster.start(time.monotonic_ns())
        while not stop.is_set():
            alone.step()
        alone.doors.close()

    thread = threading.Thread(target=work, name="simnet", daemon=True)
    thread.start()
    try:
        yield Simnet(alone, port)
    finally:
        stop.set()
        thread.join(10)


def soon(ns: int = 5 * SECOND) -> int:
    """A deadline."""
    return time.monotonic_ns() + ns


def transfer_of(lamports: int = 5_000) -> Instruction:
    """A tip of the paper wallet; one beyond its means lands and fails."""
    return transfer(
        TransferParams(from_pubkey=WALLET.pubkey(), to_pubkey=Pubkey(TIP_ACCOUNTS[0]), lamports=lamports)
    )


def signed(blockhash: bytes, *more: Instruction, lamports: int = 5_000) -> SignedTransaction:
    """A transaction with a tip, unlike any other."""
    order = [
        set_compute_unit_limit(200_000 if more else 5_000),
        set_compute_unit_price(next(_numbers)),
        *more,
        transfer_of(lamports),
    ]
    return sign(order, WALLET, blockhash)


def intent_of(latest: LatestBlockhash, *more: Instruction, lamports: int = 5_000) -> Intent:
    """A signed plan."""
    made = signed(latest.blockhash, *more, lamports=lamports)
    plan_id = next(_numbers).to_bytes(16, "little")
    return Intent(plan_id, made.signature, latest.last_valid_block_height, latest.slot, made.data)
