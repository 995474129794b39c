"""Two whole pipelines on a cluster of three servers, one of which is killed while both trade.

Each has a state folder, a wallet and a run of its own, and the scanners share the pairs out. The first one's
bridge brings the second one's opportunities to its planner, which so plans both shards. Afterwards everything
is counted by id.
"""

import base64
import json
import os
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bridge_support import Cluster
from sidecar_support import journal_content, stream_content
from solders.hash import Hash

from hft import wire
from hft.chain.accounts import create_token_account, wrap
from hft.chain.keys import paper_keypair
from hft.chain.transaction import sign
from hft.simnet.market import load_market
from hft.strategy.shard import Shard
from hft.wire.enums import EndState
from tests.e2e.pipeline import CALM, Pipeline, assert_whole

FIRST_SHARD, SECOND_SHARD = Shard(0, 2), Shard(1, 2)
SECOND_SEED = 2
WALLET_LAMPORTS, WRAPPED_LAMPORTS = 200_000_000_000, 180_000_000_000
PICKY_LAMPORTS = 200_000
"""What the second planner wants at least: it leaves the smaller ones of its shard to the first."""

ACCOUNTS_AT_ONCE = 4

Content = list[tuple[str, str, bytes]]
"""(id, subject, payload) of each message, in order."""


class Chain:
    """The first pipeline's local cluster, by its JSON-RPC."""

    def __init__(self, port: int) -> None:
        self.address = f"127.0.0.1:{port}"

    def call(self, method: str, *params: Any) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(f"http://{self.address}", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)["result"]

    def settle(self, signature: str) -> None:
        """Until it has landed well."""
        deadline = time.monotonic() + 60
        while (status := self.call("getSignatureStatuses", [signature])["value"][0]) is None:
            assert time.monotonic() < deadline, signature
            time.sleep(0.05)
        assert status["err"] is None, status

    def fund(self, seed: int) -> None:
        """Give a paper wallet SOL, most of it wrapped, and a token account for each mint of the market."""
        wallet = paper_keypair(seed)
        owner = bytes(wallet.pubkey())
        self.settle(self.call("requestAirdrop", str(wallet.pubkey()), WALLET_LAMPORTS))
        programs = {}
        for pool in load_market().pools.values():
            programs[pool.mint_a], programs[pool.mint_b] = pool.program_a, pool.program_b
        orders = [create_token_account(owner, mint, program) for mint, program in programs.items()]
        orders += wrap(owner, WRAPPED_LAMPORTS)
        for begin in range(0, len(orders), ACCOUNTS_AT_ONCE):
            latest = self.call("getLatestBlockhash", {"commitment": "processed"})["value"]["blockhash"]
            signed = sign(orders[begin : begin + ACCOUNTS_AT_ONCE], wallet, bytes(Hash.from_string(latest)))
            config = {"encoding": "base64", "skipPreflight": True}
            self.settle(self.call("sendTransaction", base64.b64encode(signed.data).decode(), config))


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Pipeline, Pipeline]]:
    """Two pipelines that do not run yet; whatever of them is left at the end is removed, the second first."""
    number = os.getpid() % 10_000
    first, second = (
        Pipeline(tmp_path / "first", f"hfta{number}"),
        Pipeline(tmp_path / "second", f"hftb{number}"),
    )
    yield first, second
    for each in (second, first):
        each.close()
        assert each.segments() == []


def sets(values: dict[str, object]) -> list[str]:
    return [part for key, value in values.items() for part in ("--set", f"{key}={value}")]


def start(first: Pipeline, second: Pipeline, cluster: Cluster) -> None:
    """The first one with the market that both trade on; the second one as another machine would have it."""
    both = {"nats.url": cluster.url, "nats.replicas": 3, "service:manager.rpc_failure_ppm": 1_000_000}
    own = {
        "service:scanner.shard": "0/2",
        "service:bridge.enabled": "on",
        # Two pipelines and three servers share this machine.
        "simnet.notify": "slot",
        "simnet.rival_ppm": 0,
    }
    first.start(*CALM, *sets({**both, **own}))
    port = first.folder / "simnet.port"
    first.until("its chain", port.exists)
    chain = Chain(int(port.read_text()))
    chain.fund(SECOND_SEED)
    there = {
        "service:scanner.shard": "1/2",
        "service:planner.minimum_profit_lamports": PICKY_LAMPORTS,
        "chain.rpc_urls": f"http://{chain.address}",
        "chain.ws_urls": f"ws://{chain.address}",
        "chain.jito_urls": f"http://{chain.address}",
        "chain.tip_floor_url": f"http://{chain.address}/tips",
        # Its own local cluster has nothing to do.
        "simnet.swaps_per_second": 0,
        "simnet.rival_ppm": 0,
    }
    second.start("--seed", str(SECOND_SEED), *CALM, *sets({**both, **there}))


def traded(pipeline: Pipeline, more: int, remote: int = 0) -> None:
    """Until it has made so many more trades, and its bridge has brought so many more opportunities."""
    trades, brought = pipeline.trades(), pipeline.counter("bridge", "out_opportunities_remote")
    pipeline.until(
        f"{more} more trades and {remote} opportunities of the other",
        lambda: (
            pipeline.trades() >= trades + more
            and pipeline.counter("bridge", "out_opportunities_remote") >= brought + remote
        ),
    )


def records(content: Content) -> list[Any]:
    return [wire.codec_of(payload).decode(payload) for _, _, payload in content]


def journals(pipeline: Pipeline) -> dict[str, Content]:
    return {link: journal_content(pipeline.folder, link) for link in ("opportunities", "planned", "executed")}


def assert_ended_well(pipeline: Pipeline) -> dict[str, Any]:
    code, out, err = pipeline.settle()
    assert (code, err) == (0, ""), out
    assert "counters balance: in = out + rejected + dropped" in out
    report = pipeline.report()
    assert_whole(report)
    assert (report["restarts"], report["kill_state"]) == (0, "running")
    assert report["executions"]["landed_ok"] > 0
    return report


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_row_32_two_pipelines_on_a_cluster_one_server_of_which_is_killed(
    cluster: Cluster, pair: tuple[Pipeline, Pipeline]
) -> None:
    first, second = pair
    start(first, second, cluster)
    second.until("it to run", lambda: second.trades() > 0)
    runs = [each.run().run_id for each in pair]
    traded(first, 3, 10)
    victim = cluster.leader("PLANNED", 0)
    led = [name for name in ("OPPORTUNITIES", "PLANNED", "EXECUTED") if cluster.leader(name, 0) == victim]
    cluster.kill(victim)
    killed_ns = time.monotonic_ns()
    # What they found while no server led waits in the journals; then the trade across goes on.
    traded(first, 5, 20)
    traded(second, 1)
    stop(second)
    told_second = assert_ended_well(second)
    kept_second = journals(second)
    sent = len(kept_second["opportunities"])
    first.until("all of them to be over", lambda: first.counter("bridge", "out_opportunities_remote") == sent)
    stop(first)
    told_first = assert_ended_well(first)
    kept_first = journals(first)

    remote = told_first["links"]["opportunities_remote"]
    assert remote == {"in": sent, "out": sent, "dropped": {}}
    alive = cluster.url.split(",")[(victim + 1) % 3]
    for link in ("planned", "executed"):
        content = stream_content(alive, link.upper())
        ids = [identity for identity, _, _ in content]
        assert len(ids) == len(set(ids)), link
        for run, kept in zip(runs, (kept_first, kept_second), strict=True):
            own = [message for message in content if message[0].startswith(f"{run.hex()}:")]
            assert own == kept[link], link
            assert [record.sequence for record in records(own)] == list(range(len(own)))
        assert len(content) == len(kept_first[link]) + len(kept_second[link])
        # The first one ran before and behind the second one, on streams of their own.
        assert told_first["streams"][link.upper()] == len(content)
    for told, kept in ((told_first, kept_first), (told_second, kept_second)):
        assert len(kept["planned"]) == told["plans"] + sum(told["rejections"].values())
        assert len(kept["executed"]) == sum(told["executions"].values())
        assert told["ledger_pnl_lamports"] == told["wallet_delta_lamports"]
    for shard, kept in ((FIRST_SHARD, kept_first), (SECOND_SHARD, kept_second)):
        assert all(shard.has(found.base_mint, found.quote_mint) for found in records(kept["opportunities"]))

    # Whose opportunity it was stands in a plan's trace id.
    found = {record.trace_id for record in records(kept_second["opportunities"])}
    plans = [record for record in records(kept_first["planned"]) if isinstance(record, wire.ExecutionPlan)]
    theirs = [plan for plan in plans if plan.trace_id in found]
    after = [plan for plan in theirs if plan.plan_published_ns > killed_ns]
    ends = Counter(
        EndState(record.end_state).name.lower()
        for record in records(kept_first["executed"])
        if record.trace_id in found
    )
    counts = [(len(kept["planned"]), len(kept["executed"])) for kept in (kept_first, kept_second)]
    print(
        f"led by the killed server: {', '.join(led)}; {sent} opportunities over; plans {len(plans)}, of the "
        f"other's {len(theirs)}, after the kill {len(after)}, which ended {dict(ends)}; PLANNED and EXECUTED "
        f"{counts}; lamports {told_first['ledger_pnl_lamports']:+} {told_second['ledger_pnl_lamports']:+}"
    )
    assert after
    assert sum(ends.values()) == len(theirs)
    assert ends["landed_ok"] > 0


def stop(pipeline: Pipeline) -> None:
    assert pipeline.process is not None
    pipeline.process.terminate()
