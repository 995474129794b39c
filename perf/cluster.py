"""A local cluster in a worker; its clients in others: bare HTTP on kept connections, one WebSocket."""

import asyncio
import base64
import json
import socket
import threading
import time
from dataclasses import replace
from typing import Any, Final

import aiohttp
import uvloop
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.pubkey import Pubkey

from hft.chain.keys import paper_keypair
from hft.chain.transaction import sign
from hft.runtime.settings import Simnet
from hft.simnet.alone import Alone
from hft.simnet.market import load_market
from hft.venues import Pool, swap_instruction
from hft.venues.tokens import SOL_MINT, USDC_MINT

SEED: Final = 9
CONNECTIONS: Final = 16
WALLET_LAMPORTS: Final = 2 * 10**12
RAMP: Final = 500
POLL_S: Final = 0.001
_TIMEOUT_S: Final = 50.0
"""Shorter than what a worker's call may take."""


def usdc_pools() -> dict[str, Pool]:
    """The shipped SOL/USDC pool of each venue, by its name."""
    pools = load_market().pools.values()
    return {one.venue.name.lower(): one for one in pools if {one.mint_a, one.mint_b} == {SOL_MINT, USDC_MINT}}


class Server:
    """A cluster behind its door, stepped by a thread; nothing lands late, nobody else trades unless asked."""

    def __init__(self, swaps_per_second: int = 0) -> None:
        settings = Simnet(
            port=0,
            seed=SEED,
            landing_ms=0,
            rival_ppm=0,
            swaps_per_second=swaps_per_second,
            wallet_lamports=WALLET_LAMPORTS,
        )
        self._alone = Alone(replace(settings), lambda _line: None)
        self._port = self._alone.open()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def port(self) -> int:
        """Where it listens."""
        return self._port

    def cpu_ns(self) -> int:
        """CPU time of the process so far."""
        return time.process_time_ns()

    def close(self) -> None:
        """Ends it."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        self._alone.cluster.start(time.monotonic_ns())
        while not self._stop.is_set():
            self._alone.step()
        self._alone.doors.close()


class Connection:
    """One kept HTTP connection, with as little around it as can be."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), _TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, request: bytes) -> None:
        """Writes a whole request."""
        self._socket.sendall(request)

    def answer(self) -> bytes:
        """The body of one answer. ValueError if the connection ended or the status is not 200."""
        held = b""
        while b"\r\n\r\n" not in held:
            held += self._more()
        head, _, body = held.partition(b"\r\n\r\n")
        if b" 200 " not in head[:16]:
            raise ValueError(f"HTTP answer {head[:64]!r}")
        at = head.lower().index(b"content-length:") + 15
        length = int(head[at:].split(b"\r\n", 1)[0])
        while len(body) < length:
            body += self._more()
        return body

    def _more(self) -> bytes:
        piece = self._socket.recv(1 << 16)
        if not piece:
            raise ValueError("the cluster ended the connection")
        return piece

    def close(self) -> None:
        """Ends it."""
        self._socket.close()


def posted(asked: object) -> bytes:
    """A JSON-RPC request as it goes out."""
    body = json.dumps(asked).encode()
    head = (
        f"POST / HTTP/1.1\r\nHost: cluster\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    )
    return head.encode() + b"\r\n\r\n" + body


class Client:
    """Sends swaps over several connections; each waits for its answer before its next request."""

    def __init__(self) -> None:
        self._pools = usdc_pools()
        self._wallet = paper_keypair(SEED)
        self._connections: list[Connection] = []
        self._number = 0

    def connect(self, port: int) -> None:
        """To a cluster; once is enough."""
        if not self._connections:
            self._connections = [Connection(port) for _ in range(CONNECTIONS)]

    def swaps(self, venue: str, count: int, batch: int) -> tuple[int, str]:
        """``count`` swaps, ``batch`` a request: (ns from the first byte out to the last one executed, what is
        wrong)."""
        requests = self._requests(venue, count, batch)
        before = self._outcomes()
        places = self._connections[: min(CONNECTIONS, len(requests))]
        start = time.perf_counter_ns()
        for place, request in zip(places, requests, strict=False):
            place.send(request)
        for number in range(len(requests)):
            place = places[number % len(places)]
            place.answer()
            if number + len(places) < len(requests):
                place.send(requests[number + len(places)])
        while sum((after := self._outcomes()).values()) - sum(before.values()) < count:
            time.sleep(POLL_S)
        took = time.perf_counter_ns() - start
        landed = after.get("landed_ok", 0) - before.get("landed_ok", 0)
        return took, "" if landed == count else f"{count - landed} of {count} swaps did not land: {after}"

    def close(self) -> None:
        """Ends the connections."""
        for one in self._connections:
            one.close()

    def _requests(self, venue: str, count: int, batch: int) -> list[bytes]:
        options = {"commitment": "processed"}
        latest = self._call("getLatestBlockhash", [options])["value"]["blockhash"]
        blockhash = bytes(Hash.from_string(latest))
        asked: list[dict[str, Any]] = []
        for _ in range(count):
            self._number += 1
            text = base64.b64encode(self._signed(venue, blockhash)).decode()
            params = [text, {"encoding": "base64", "skipPreflight": True}]
            asked.append({"jsonrpc": "2.0", "id": 1, "method": "sendTransaction", "params": params})
        if batch == 1:
            return [posted(one) for one in asked]
        return [posted(asked[at : at + batch]) for at in range(0, count, batch)]

    def _signed(self, venue: str, blockhash: bytes) -> bytes:
        pool, user = self._pools[venue], self._wallet.pubkey()
        swap = swap_instruction(pool, user, SOL_MINT, 10**6 + self._number % 1000, 1)
        budget = [set_compute_unit_limit(300_000), set_compute_unit_price(self._number)]
        return sign([*budget, swap], self._wallet, blockhash, user).data

    def _call(self, method: str, params: list[Any]) -> Any:
        self._connections[0].send(posted({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))
        return json.loads(self._connections[0].answer())["result"]

    def _outcomes(self) -> dict[str, int]:
        self._connections[0].send(b"GET /admin/state HTTP/1.1\r\nHost: cluster\r\n\r\n")
        found: dict[str, int] = json.loads(self._connections[0].answer())["outcomes"]
        return found


class Subscriber:
    """One WebSocket that subscribes to every account of the market."""

    def __init__(self) -> None:
        self._keys = [str(Pubkey(key)) for key, account in load_market().accounts.items() if account.data]

    def receive(self, port: int, count: int) -> tuple[int, int]:
        """(ns that ``count`` account notifications took, their bytes), once they flow."""
        return uvloop.run(self._receive(port, count))

    async def _receive(self, port: int, count: int) -> tuple[int, int]:
        options = {"encoding": "base64", "commitment": "processed"}
        url = f"http://127.0.0.1:{port}/"
        async with aiohttp.ClientSession() as session, session.ws_connect(url, max_msg_size=0) as stream:
            for key in self._keys:
                await stream.send_json({"id": 1, "method": "accountSubscribe", "params": [key, options]})
            answered = 0
            while answered < len(self._keys):
                answered += '"method"' not in (await stream.receive_str(timeout=_TIMEOUT_S))[:60]
            for _ in range(RAMP):
                await stream.receive_str(timeout=_TIMEOUT_S)
            size, start = 0, time.perf_counter_ns()
            async with asyncio.timeout(_TIMEOUT_S):
                for _ in range(count):
                    size += len((await stream.receive()).data)
            return time.perf_counter_ns() - start, size
