"""The local cluster as a service, by hand and as a process of its own, with a client on its socket."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from simnet_helpers import set_files

import ringbuf
from hft.chain.frames import AccountUpdate, Balances, Event, Outcome, SettlementStatus, SlotUpdate
from hft.chain.keys import paper_keypair
from hft.chain.local import ClusterClosed, LocalCluster
from hft.chain.tips import TIP_ACCOUNTS
from hft.chain.transaction import TwoHop, build_two_hop
from hft.runtime.context import Context, Run
from hft.runtime.exit_codes import ExitCode, HftError
from hft.runtime.service import RUNNER_COUNTERS, RUNNER_HISTOGRAMS
from hft.runtime.settings import Config
from hft.simnet import service
from hft.simnet.market import SETTINGS, MarketError
from hft.simnet.service import GENESIS_FILE, SETTLEMENT_LOG, Simnet
from hft.venues import WRAPPED_SOL, Account, ChainClock, Pool, QuoteError, decode, quote, venue_of

SEED = 5
WALLET = paper_keypair(SEED)
DEADLINE_S = 30.0
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


class Watcher:
    """A client that keeps the newest accounts and everything else it is told."""

    def __init__(self, run: Run, step: Callable[[], object]) -> None:
        self.cluster = LocalCluster(str(run.socket_path))
        self.step = step
        self.accounts: dict[bytes, Account] = {}
        self.versions: dict[bytes, tuple[int, int]] = {}
        self.slots: list[SlotUpdate] = []
        self.statuses: list[SettlementStatus] = []
        self.answers: list[Balances] = []
        self.batches = 0
        self.closed = ""

    def start(self) -> None:
        """Connects and takes the snapshot."""
        self.cluster.connect(time.monotonic_ns() + int(DEADLINE_S * 1e9))
        self.cluster.subscribe_accounts()
        self.until(lambda: bool(self.slots))

    def take(self, event: Event | ClusterClosed) -> None:
        """One event."""
        if isinstance(event, AccountUpdate):
            version = (event.slot, event.write_version)
            assert version > self.versions.get(event.pubkey, (0, 0)), "updates come in order"
            self.versions[event.pubkey] = version
            self.accounts[event.pubkey] = Account(event.owner, event.data, event.lamports)
            self.batches += event.last_of_batch
        elif isinstance(event, SlotUpdate):
            assert not self.slots or event.slot == self.slots[-1].slot + 1
            self.slots.append(event)
        elif isinstance(event, SettlementStatus):
            self.statuses.append(event)
        elif isinstance(event, Balances):
            self.answers.append(event)
        elif isinstance(event, ClusterClosed):
            self.closed = event.reason

    def until(self, condition: Callable[[], bool]) -> None:
        """Steps the cluster and polls until the condition holds."""
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline, "the condition did not come about"
            self.step()
            self.cluster.wait(100_000)
            self.cluster.poll(self.take)

    def pools(self) -> list[Pool]:
        """What a client decodes from the accounts it has."""
        return [
            decode(pubkey, self.accounts, SETTINGS)
            for pubkey, account in self.accounts.items()
            if venue_of(account) is not None
        ]

    def clock(self) -> ChainClock:
        """The newest slot as a quote wants it."""
        return ChainClock(self.slots[-1].slot, self.slots[-1].unix_timestamp)

    def balances(self) -> Balances:
        """What the wallet owns now."""
        number = self.cluster.balances(bytes(WALLET.pubkey()))
        self.until(lambda: bool(self.answers) and self.answers[-1].request == number)
        return self.answers[-1]

    def best_order(self, amount: int = 10**9) -> TwoHop:
        """The best two hops there are for this amount, at no more than a small loss."""
        pools, orders = self.pools(), []
        for first in pools:
            for second in pools:
                if first.key == second.key or {first.mint_a, first.mint_b} != {second.mint_a, second.mint_b}:
                    continue
                try:
                    mid = quote(first, WRAPPED_SOL, amount, self.clock()).amount_out
                    out = quote(second, first.other_mint(WRAPPED_SOL), mid, self.clock()).amount_out
                except QuoteError:
                    continue
                orders.append((out, mid, first, second))
        out, mid, first, second = max(orders, key=lambda order: order[0])
        floor = out * 999 // 1000
        return TwoHop(
            first,
            second,
            WRAPPED_SOL,
            amount,
            mid * 9995 // 10000,
            floor,
            200_000,
            1000,
            2000,
            TIP_ACCOUNTS[0],
        )


@pytest.fixture
def stepped(
    tmp_path: Path, make_segments: Callable[[Run], ringbuf.Counters]
) -> Iterator[tuple[Simnet, Watcher, ringbuf.Counters, Run]]:
    """A cluster stepped by hand and a client that has its snapshot."""
    run = make_run(tmp_path)
    counters = make_segments(run)
    context = Context("simnet", run)
    simnet = service.build(context)
    simnet.on_start()
    watcher = Watcher(run, simnet.do_work)
    watcher.start()
    yield simnet, watcher, counters, run
    watcher.cluster.close()
    simnet.on_close()
    context.close()


def log_of(run: Run) -> list[dict[str, object]]:
    """The settlement log's lines."""
    return [json.loads(line) for line in (run.state_dir / SETTLEMENT_LOG).read_text().splitlines()]


def test_a_client_sees_the_market_as_the_cluster_has_it(
    stepped: tuple[Simnet, Watcher, ringbuf.Counters, Run],
) -> None:
    simnet, watcher, counters, _ = stepped
    watcher.until(lambda: len(watcher.slots) > 5 and watcher.batches > 50)
    assert len(watcher.pools()) == 14
    simnet.on_housekeeping(0)
    shown = counters.read()
    assert shown["flow_noise"] > 20
    assert shown["slots"] >= 5
    assert shown["clients"] == 1
    blockhashes = {slot.blockhash for slot in watcher.slots}
    assert len(blockhashes) == len(watcher.slots)
    assert all(slot.last_valid_block_height == slot.block_height + 150 for slot in watcher.slots)


def test_a_two_hop_of_a_client_lands_and_the_wallet_agrees_to_the_lamport(
    stepped: tuple[Simnet, Watcher, ringbuf.Counters, Run],
) -> None:
    _, watcher, counters, run = stepped
    before = watcher.balances()
    assert before.lamports + dict(before.tokens)[WRAPPED_SOL] == FUNDS
    booked = 0
    for number in range(1, 21):
        order = watcher.best_order(10**9 + number)
        signed = build_two_hop(order, WALLET, watcher.slots[-1].blockhash)
        watcher.cluster.submit(signed.data)
        watcher.until(lambda number=number: len(watcher.statuses) == number)
        status = watcher.statuses[-1]
        assert status.signature == signed.signature
        assert status.outcome in (Outcome.LANDED_OK, Outcome.LANDED_FAILED), status
        booked += status.lamports_after - status.lamports_before
        booked += sum(token.after - token.before for token in status.tokens if token.mint == WRAPPED_SOL)
    after = watcher.balances()
    change = (
        after.lamports - before.lamports + dict(after.tokens)[WRAPPED_SOL] - dict(before.tokens)[WRAPPED_SOL]
    )
    assert booked == change
    landed = sum(status.outcome is Outcome.LANDED_OK for status in watcher.statuses)
    assert landed > 0
    shown = counters.read()
    assert shown["in_submissions"] == 20 == shown["landed_ok"] + shown["landed_failed"]
    lines = log_of(run)
    assert [line["outcome"] for line in lines] == [status.outcome.name.lower() for status in watcher.statuses]
    assert all(line["run"] == run.run_id8 for line in lines)
    times = [line["monotonic_ns"] for line in lines]
    assert times == sorted(times)  # type: ignore[type-var]


def test_row_29_what_became_of_a_signature_can_be_asked_after_a_reconnect(
    stepped: tuple[Simnet, Watcher, ringbuf.Counters, Run],
) -> None:
    simnet, watcher, _, run = stepped
    signed = build_two_hop(watcher.best_order(), WALLET, watcher.slots[-1].blockhash)
    watcher.cluster.submit(signed.data)
    watcher.until(lambda: len(watcher.statuses) == 1)
    watcher.cluster.submit(signed.data)
    watcher.until(lambda: len(watcher.statuses) == 2)
    assert watcher.statuses[1].error_name == "AlreadyProcessed"
    later = Watcher(run, simnet.do_work)
    later.cluster.connect()
    for signature in (signed.signature, bytes(64)):
        later.cluster.ask_status(signature)
    later.until(lambda: len(later.statuses) == 2)
    assert later.statuses[0] == watcher.statuses[0]
    assert (later.statuses[1].outcome, later.statuses[1].error_name) == (Outcome.UNKNOWN, "NotFound")
    later.cluster.close()


def test_row_04_garbage_submissions_are_answered_logged_and_harmless(
    stepped: tuple[Simnet, Watcher, ringbuf.Counters, Run],
) -> None:
    _, watcher, counters, run = stepped
    for raw in (b"", b"garbage", bytes(1232), b"\xff" * 2000):
        watcher.cluster.submit(raw)
    watcher.until(lambda: len(watcher.statuses) == 4)
    names = [status.error_name for status in watcher.statuses]
    assert names == ["Malformed", "Malformed", "Malformed", "TransactionTooLarge"]
    assert [line["error_name"] for line in log_of(run)] == names
    assert counters.read()["rejected_malformed"] == 3
    assert watcher.balances().lamports == FUNDS // 10


def test_submissions_wait_for_their_landing_time(
    tmp_path: Path, make_segments: Callable[[Run], ringbuf.Counters]
) -> None:
    run = make_run(tmp_path, landing_ms=60, swaps_per_second=0)
    counters = make_segments(run)
    context = Context("simnet", run)
    simnet = service.build(context)
    simnet.on_start()
    watcher = Watcher(run, simnet.do_work)
    watcher.start()
    begun_ns = time.monotonic_ns()
    watcher.cluster.submit(build_two_hop(watcher.best_order(), WALLET, watcher.slots[-1].blockhash).data)
    watcher.until(lambda: simnet.pending() == 1)
    watcher.until(lambda: len(watcher.statuses) == 1)
    assert time.monotonic_ns() - begun_ns >= 60_000_000
    assert simnet.pending() == 0
    assert counters.histogram("landing_ns").max >= 60_000_000
    watcher.cluster.close()
    simnet.on_close()
    context.close()


def test_a_cluster_whose_state_is_lost_refuses_to_begin_again(
    stepped: tuple[Simnet, Watcher, ringbuf.Counters, Run],
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
        watcher = Watcher(run, lambda: None)
        watcher.start()
        assert len(watcher.pools()) >= 6
        watcher.cluster.submit(build_two_hop(watcher.best_order(), WALLET, watcher.slots[-1].blockhash).data)
        watcher.until(lambda: len(watcher.statuses) == 1)
        assert watcher.statuses[0].outcome is not Outcome.REJECTED, watcher.statuses
        process.send_signal(signal.SIGTERM)
        watcher.until(lambda: bool(watcher.closed))
        assert process.wait(DEADLINE_S) == ExitCode.OK, process.stderr and process.stderr.read()
    finally:
        process.kill()
        process.wait()
        if process.stderr:
            process.stderr.close()
    assert counters.read()["in_submissions"] == 1
    assert len(log_of(run)) == 1
    assert not run.socket_path.exists()
