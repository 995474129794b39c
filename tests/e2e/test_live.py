"""Live mode with real processes, against a cluster that is none of its own: a dry run sends nothing."""

import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hft.chain.base58 import b58encode
from hft.chain.keys import paper_keypair
from hft.chain.keystore import Cost, Keystore
from hft.chain.keystore_memory import Secret
from hft.cli import main
from hft.runtime import settings
from hft.runtime.exit_codes import ExitCode
from hft.simnet.alone import Alone
from tests.chain.signing_services import TOKEN, serve, vault
from tests.e2e.pipeline import CALM, Pipeline

SEED = 11
PASSPHRASE = b"a passphrase for a test"


class Network:
    """A cluster in a thread, which stands for the world."""

    def __init__(self) -> None:
        values = {"seed": SEED, "swaps_per_second": 200, "rival_ppm": 0, "port": 0}
        self.alone = Alone(settings.Simnet(**values), lambda line: None)
        self.port = self.alone.open()
        self.pools = [b58encode(key) for key in self.alone.cluster.bank.pools]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def ours(self) -> int:
        """Submissions that had their turn."""
        return self.alone.cluster.outcomes.total()

    def lose_transactions(self) -> None:
        """From now on each gets its signature back and never lands."""
        faults = self.alone.cluster.faults
        faults.add(faults.parse({"kind": "dropped_transaction", "times": 0}))

    def close(self) -> None:
        self._stop.set()
        self._thread.join(10)

    def _run(self) -> None:
        self.alone.cluster.start(time.monotonic_ns())
        while not self._stop.is_set():
            self.alone.step()
        self.alone.doors.close()


@pytest.fixture
def network() -> Iterator[Network]:
    made = Network()
    yield made
    made.close()


def live(pipeline: Pipeline, network: Network, tmp_path: Path, wallet: int = SEED) -> list[str]:
    """A wallet in the keystore of the state folder, and the settings that name it."""
    pipeline.folder.mkdir(mode=0o700)
    seed, passphrase = bytes(paper_keypair(wallet))[:32], tmp_path / "passphrase"
    keys = Keystore(pipeline.folder / "keys")
    keys.add("hot", Secret(seed), Secret(PASSPHRASE), Cost(2**14, 8, 1))
    descriptor = os.open(passphrase, os.O_WRONLY | os.O_CREAT, 0o600)
    os.write(descriptor, PASSPHRASE + b"\n")
    os.close(descriptor)
    base = f"127.0.0.1:{network.port}"
    sets = {
        "hft.mode": "live",
        "chain.rpc_urls": f"http://{base}",
        "chain.ws_urls": f"ws://{base}",
        "chain.jito_urls": f"http://{base}",
        "chain.jito_requests_per_second": "100",
        "chain.pools": ",".join(network.pools),
        "chain.wallets": "hot",
        "chain.passphrase_file": str(passphrase),
        "risk.accept_defaults": "on",
    }
    return [*CALM, *(word for key, value in sets.items() for word in ("--set", f"{key}={value}"))]


def test_a_dry_run_signs_and_simulates_and_has_no_way_to_send(
    pipeline: Pipeline, network: Network, tmp_path: Path
) -> None:
    pipeline.start(*live(pipeline, network, tmp_path), "--duration", "600")
    pipeline.until("three rehearsals", lambda: pipeline.counter("executor", "reason_dry_run") >= 3)
    executor = pipeline.pid_of("executor")
    assert "simnet" not in pipeline.run().pids
    assert Path(f"/proc/{executor}/status").exists()
    limits = Path(f"/proc/{executor}/limits").read_text()
    (core,) = [line for line in limits.splitlines() if line.startswith("Max core file size")]
    assert core.split()[4:6] == ["0", "0"]
    assert PASSPHRASE.decode() not in (pipeline.folder / "run.json").read_text()
    assert pipeline.counter("executor", "signed") >= 3
    assert pipeline.counter("executor", "submitted") == 0
    code, out, err = pipeline.stop()
    assert (code, err) == (0, ""), out
    assert network.ours == 0
    report = pipeline.report()
    assert set(report["executions"]) == {"rejected"}
    assert report["wallet_delta_lamports"] == report["ledger_pnl_lamports"] == 0


def test_row_27_a_wallet_that_can_not_trade_starts_nothing_and_hears_why(
    pipeline: Pipeline, network: Network, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sets = live(pipeline, network, tmp_path, wallet=SEED + 1)
    pipeline.start(*sets, "--set", "chain.dry_run=off", "--duration", "5")
    code, _, err = pipeline.settle()
    assert code == ExitCode.WALLET, err
    who = paper_keypair(SEED + 1).pubkey()
    assert "error: wallet holds 0 lamports: fees, tip, rent and wrapping need" in err
    assert f"{who} has no token account for SOL" in err
    assert f"{who} has no token account for USDC" in err
    assert f"--owner {who})" in err
    assert "the smallest trade takes 10000000" in err
    assert not pipeline.folder.joinpath("run.json").exists()
    # A rehearsal may go without; who asks is told the same.
    assert main.run(["check", "--json", "--state-dir", str(pipeline.folder), *sets]) == ExitCode.CHECK
    found = json.loads(capfd.readouterr().out)["findings"]
    assert {one["level"] for one in found if one["what"] == "wallet"} == {"warn"}


def test_row_34_a_stop_names_what_has_no_end_yet(
    pipeline: Pipeline, network: Network, tmp_path: Path
) -> None:
    network.lose_transactions()
    sets = [*live(pipeline, network, tmp_path), "--set", "chain.dry_run=off", "--set", "chain.method=rpc"]
    limits = ("--set", "risk.maximum_open_plans=2", "--set", "hft.drain_limit_ms=500")
    pipeline.start(*sets, *limits, "--duration", "600")
    pipeline.until("a submission", lambda: pipeline.counter("executor", "submitted") >= 1)
    stopped = pipeline.call("stop")
    code, out, err = pipeline.settle()
    assert (stopped.returncode, code) == (ExitCode.DRAIN_TIMEOUT, ExitCode.DRAIN_TIMEOUT), (out, err)
    left = pipeline.report()["open_signatures"]
    assert 1 <= len(left) == pipeline.report()["executions"]["unknown"]
    assert "error: did not drain in time: executor\n" in err
    log = (pipeline.folder / "logs" / "executor.log").read_text()
    for told in (out, err, stopped.stderr, log):
        assert all(signature in told for signature in left)
        assert "no end yet" in told


@pytest.mark.slow
def test_a_live_run_trades_and_agrees_with_the_chain(
    pipeline: Pipeline, network: Network, tmp_path: Path
) -> None:
    sets = live(pipeline, network, tmp_path)
    pipeline.start(*sets, "--set", "chain.dry_run=off", "--duration", "600")
    pipeline.until("a trade", lambda: pipeline.counter("executor", "end_landed_ok") >= 1)
    code, out, err = pipeline.stop()
    assert (code, err) == (0, ""), out
    report = pipeline.report()
    assert report["executions"]["landed_ok"] >= 1
    assert report["wallet_delta_lamports"] == report["ledger_pnl_lamports"] != 0


@pytest.mark.slow
def test_a_live_run_whose_key_is_in_vault_trades_and_agrees_with_the_chain(
    pipeline: Pipeline, network: Network, tmp_path: Path
) -> None:
    sets = live(pipeline, network, tmp_path)
    token = tmp_path / "token"
    token.touch(0o600)
    token.write_text(TOKEN)
    key = paper_keypair(SEED)
    with serve(vault([key])) as service:
        others = {
            "chain.wallets": "",
            "chain.passphrase_file": "",
            "chain.signer": "vault",
            "chain.wallet_address": str(key.pubkey()),
            "chain.vault_url": service.url,
            "chain.vault_key": "hot",
            "chain.vault_token_file": str(token),
            "chain.dry_run": "off",
        }
        sets += [word for name, value in others.items() for word in ("--set", f"{name}={value}")]
        pipeline.start(*sets, "--duration", "600")
        pipeline.until("a trade", lambda: pipeline.counter("executor", "end_landed_ok") >= 1)
        assert TOKEN not in (pipeline.folder / "run.json").read_text()
        code, out, err = pipeline.stop()
    assert (code, err) == (0, ""), out
    report = pipeline.report()
    assert report["executions"]["landed_ok"] >= 1
    assert report["wallet_delta_lamports"] == report["ledger_pnl_lamports"] != 0


def test_a_wrong_passphrase_starts_nothing(pipeline: Pipeline, network: Network, tmp_path: Path) -> None:
    sets = live(pipeline, network, tmp_path)
    (tmp_path / "passphrase").write_bytes(b"another passphrase\n")
    pipeline.start(*sets, "--duration", "5")
    code, _, err = pipeline.settle()
    assert code == ExitCode.CONFIG
    assert "executor did not start" in err
    assert "wrong passphrase" in err
    assert "another passphrase" not in err
