"""Real venue programs in the SVM: the same balances as the priced settlement; and how they are fetched.

The binaries lie in the folder that ``HFT_PROGRAMS`` names (``<program id>.so``); without it the comparisons
are skipped by name.
"""

import base64
import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from simnet_helpers import WALLET, key, row_bank, row_transaction, vectors
from solders.litesvm import LiteSVM
from solders.pubkey import Pubkey

from hft.cli.main import run
from hft.runtime.exit_codes import HftError
from hft.simnet.events import Outcome
from hft.simnet.programs import UPGRADEABLE_LOADER, load_programs
from hft.simnet.settlement import Settlement
from hft.venues import WRAPPED_SOL
from hft.venues.registry import BY_PROGRAM

ELF = b"\x7fELF" + b"program" * 9


@pytest.fixture(scope="module")
def folder() -> Path:
    named = os.environ.get("HFT_PROGRAMS", "")
    if not named or not Path(named).is_dir():
        pytest.skip("no folder of venue programs (set HFT_PROGRAMS)")
    return Path(named)


def test_real_programs_and_priced_settlement_give_the_same_balances(shared_data: Path, folder: Path) -> None:
    held = {key(file.stem) for file in folder.glob("*.so")} & set(BY_PROGRAM)
    compared = landed = 0
    for row in vectors(shared_data, "two_hop"):
        first = row_bank(shared_data, row)
        programs = {first.accounts[key(pool)].owner for pool in row["pools"]}
        if not programs & held or row["tx_bytes"] > 1232:
            continue
        transaction = row_transaction(first, row)
        second = row_bank(shared_data, row)
        priced = Settlement(first).execute(transaction.data)
        real = Settlement(second, load_programs(second.svm, folder)).execute(transaction.data)
        wallet = bytes(WALLET.pubkey())
        assert real.outcome is priced.outcome, (row["pools"], row["case"], real, priced)
        told, ran = (dict(bank.balances(wallet).tokens) for bank in (first, second))
        assert told == ran, (row["pools"], row["case"])
        assert first.account(wallet).lamports == second.account(wallet).lamports, (row["pools"], row["case"])
        assert (real.error_index, real.error_code) == (priced.error_index, priced.error_code), row["pools"]
        for pool in row["pools"]:
            one, other = first.pools[key(pool)], second.pools[key(pool)]
            assert one.spot_price(WRAPPED_SOL) == other.spot_price(WRAPPED_SOL)
        compared += 1
        landed += real.outcome is Outcome.LANDED_OK
    assert compared >= 10
    assert landed >= 5


class Node(BaseHTTPRequestHandler):
    """An RPC that holds one upgradeable program."""

    program = bytes(Pubkey(b"\5" * 32))
    data = bytes(Pubkey(b"\6" * 32))

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        found = {
            str(Pubkey(self.program)): (2).to_bytes(4, "little") + self.data,
            str(Pubkey(self.data)): (3).to_bytes(4, "little") + bytes(41) + ELF,
        }.get(asked["params"][0])
        value: Any = None
        if found is not None:
            text = base64.b64encode(found).decode()
            value = {"owner": str(Pubkey(UPGRADEABLE_LOADER)), "data": [text, "base64"]}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"value": value}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@pytest.fixture
def rpc() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Node)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_program_is_fetched_without_its_header(
    rpc: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = str(Pubkey(Node.program))
    assert run(["programs", "fetch", "--rpc", rpc, "--out", str(tmp_path), "--program", program]) == 0
    assert (tmp_path / f"{program}.so").read_bytes() == ELF
    assert f"{len(ELF)} bytes" in capsys.readouterr().out
    assert run(["programs", "fetch", "--rpc", rpc, "--out", str(tmp_path)]) == 1
    assert "no account" in capsys.readouterr().err
    assert run(["programs", "fetch", "--rpc", "ftp://x", "--out", str(tmp_path)]) == 2


def test_a_folder_without_programs_is_refused(tmp_path: Path) -> None:
    for name, content in ((None, b""), ("wrong.so", ELF), (f"{Pubkey(b'1' * 32)}.so", b"no ELF")):
        if name is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(HftError):
            load_programs(LiteSVM(), tmp_path)
        if name is not None:
            (tmp_path / name).unlink()
    with pytest.raises(HftError):
        load_programs(LiteSVM(), tmp_path / "nowhere")
