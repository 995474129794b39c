"""What hft check says of servers, keys and the ledger: real ones, broken ones, absent ones."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from hft.chain.keystore import Keystore
from hft.chain.keystore_memory import Secret
from hft.runtime import config, reach
from hft.runtime.host import Level, worst


class Node(BaseHTTPRequestHandler):
    """A node of some cluster, behind or not."""

    health = "ok"
    genesis = "GenesisOfAnotherCluster"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        result = {
            "getHealth": self.health,
            "getVersion": {"solana-core": "3.0.1"},
            "getGenesisHash": self.genesis,
        }[asked["method"]]
        body = json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def node() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Node)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/secret-path"
    server.shutdown()
    server.server_close()


def test_a_node_is_shown_by_its_answers_never_by_its_path(node: str) -> None:
    [found] = reach.chain(config.load(None, sets=[f"chain.rpc_urls={node}"]))
    assert found.level is Level.OK
    assert "version 3.0.1" in found.found
    assert "secret-path" not in str(found)


def test_a_node_that_lags_is_told(node: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Node, "health", "behind")
    assert worst(reach.chain(config.load(None, sets=[f"chain.rpc_urls={node}"]))) is Level.WARN


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_who_does_not_answer_fails_by_name() -> None:
    port = free_port()
    sets = [f"chain.rpc_urls=http://127.0.0.1:{port}", f"chain.ws_urls=ws://127.0.0.1:{port}"]
    found = reach.chain(config.load(None, sets=sets))
    assert [finding.level for finding in found] == [Level.FAIL, Level.FAIL]
    assert f"ws_urls: 127.0.0.1:{port}: Connection refused" in found[1].found
    [absent] = reach.nats(config.load(None, sets=[f"nats.url=nats://127.0.0.1:{port}"]))
    assert (absent.level, absent.found) == (Level.FAIL, f"127.0.0.1:{port}: Connection refused")


def test_row_36_paper_mode_asks_no_node_beyond_loopback() -> None:
    found = reach.chain(config.load(None, sets=["chain.rpc_urls="]))
    assert [finding.level for finding in found] == [Level.OK]


def test_the_embedded_server_is_named_with_its_version() -> None:
    [found] = reach.nats(config.load(None))
    assert found.level is Level.OK
    assert "nats-server" in found.found


def test_row_28_a_key_that_others_can_read_fails(tmp_path: Path) -> None:
    settings = config.load(None)
    assert worst(reach.keys(settings, tmp_path)) is Level.OK
    made = Keystore(tmp_path / reach.KEYS_FOLDER).new("hot", Secret(b"a long passphrase"))
    [found] = reach.keys(settings, tmp_path)
    assert (found.level, "hot" in found.found) == (Level.OK, True)
    made.path.chmod(0o644)
    [found] = reach.keys(settings, tmp_path)
    assert found.level is Level.FAIL
    assert str(made.path) in found.found


def test_every_address_of_a_cluster_is_tried_also_in_the_clear_where_that_is_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reach, "_connect", lambda host, port: "" if host == "10.0.0.1" else "refused")
    sets = ["nats.url=nats://10.0.0.1:4222, nats://10.0.0.2:4223", "nats.plaintext=anywhere"]
    findings = reach.nats(config.load(None, sets=sets))
    assert [(each.level, each.found) for each in findings] == [
        (Level.OK, "10.0.0.1:4222 listens"),
        (Level.WARN, "10.0.0.2:4223: refused"),
    ]
