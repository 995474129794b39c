"""The local cluster: what it executes and what it tells; clients are a process of their own.

    swap transactions ──settle──> executed                                        in process
    swap transactions ──sendTransaction, 16 kept connections──> executed          over HTTP
    accounts written ──accountSubscribe, base64──> one subscriber

simnet_swaps:         signed beforehand, the SOL/USDC pool of each venue; and 50 transactions a request.
simnet_notifications: every account of the market, order flow as fast as it gets through.
simnet_two_hop:       two swaps and a tip in one transaction: from its bytes to its balances.
"""

import math
import time
from array import array
from collections.abc import Sequence
from typing import Final

from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price

from hft.chain.keys import paper_keypair
from hft.chain.tips import TIP_ACCOUNTS
from hft.chain.transaction import TwoHop, build_two_hop, sign
from hft.simnet.bank import Bank
from hft.simnet.events import Outcome as Landed
from hft.simnet.genesis import genesis_accounts
from hft.simnet.market import load_market
from hft.simnet.settlement import Settlement
from hft.venues import Venue, quote, swap_instruction
from hft.venues.tokens import SOL_MINT
from perf.cases import Hiccups, WorkerCase
from perf.cluster import SEED, WALLET_LAMPORTS, Client, Server, Subscriber, usdc_pools
from perf.engine import Case, Outcome, Plan, Shape
from perf.sampled import Sampled
from perf.workers import Stopwatch, Worker

VENUES: Final = (
    Venue.WHIRLPOOL.name.lower(),
    Venue.RAYDIUM_V4.name.lower(),
    Venue.RAYDIUM_CPMM.name.lower(),
    Venue.RAYDIUM_CLMM.name.lower(),
    Venue.METEORA_DLMM.name.lower(),
    Venue.METEORA_DAMM_V2.name.lower(),
)
BATCH: Final = 50
LEAST: Final = 100
FLOW_PER_S: Final = 4_000


class Settled:
    """A bank and its settlement, nothing around them."""

    def __init__(self, _make: object = None) -> None:
        market = load_market()
        self._wallet = paper_keypair(SEED)
        self._user = self._wallet.pubkey()
        self._bank = Bank(
            market, genesis_accounts(market, self._user, WALLET_LAMPORTS), seed=SEED, slot_ms=400
        )
        self._settlement = Settlement(self._bank)
        self._pools = usdc_pools()
        self._number = 0

    def swaps(self, venue: str, count: int) -> tuple[int, int, str]:
        """(ns, ns of CPU, what is wrong) of so many swaps, one after the other."""
        raws = [self._swap(venue) for _ in range(count)]
        run, landed = self._settlement.run, 0
        watch, start = Stopwatch(), time.perf_counter_ns()
        for raw in raws:
            landed += run(raw).status.outcome is Landed.LANDED_OK
        took, cpu_ns = time.perf_counter_ns() - start, watch.cpu_ns()
        self._bank.take_changes()
        return took, cpu_ns, "" if landed == count else f"{count - landed} of {count} swaps did not land"

    def sample(self, count: int) -> tuple[bytes, float, str]:
        """Every two-hop's time, as ``perf.sampled.Sampler`` gives it."""
        raws = [self._two_hop() for _ in range(count)]
        samples, run, now, landed = (
            array("q", bytes(8 * count)),
            self._settlement.run,
            time.perf_counter_ns,
            0,
        )
        for number, raw in enumerate(raws):
            start = now()
            executed = run(raw)
            samples[number] = now() - start
            landed += executed.status.outcome is Landed.LANDED_OK
        self._bank.take_changes()
        return samples.tobytes(), 0.0, "" if landed == count else f"{count - landed} two-hops did not land"

    def _swap(self, venue: str) -> bytes:
        self._number += 1
        pool = self._bank.pools[self._pools[venue].key]
        swap = swap_instruction(pool, self._user, SOL_MINT, 10**6 + self._number % 1000, 1)
        budget = [set_compute_unit_limit(300_000), set_compute_unit_price(self._number)]
        return sign([*budget, swap], self._wallet, self._bank.blockhash, self._user).data

    def _two_hop(self) -> bytes:
        self._number += 1
        first, second = (self._bank.pools[self._pools[name].key] for name in ("raydium_v4", "whirlpool"))
        paid = quote(first, SOL_MINT, 10**7, self._bank.clock).amount_out * 9 // 10
        order = TwoHop(first, second, SOL_MINT, 10**7, paid, 1, 400_000, self._number, 1_000, TIP_ACCOUNTS[0])
        return build_two_hop(order, self._wallet, self._bank.blockhash, self._user).data


class Shared:
    """Workers that the cases of one shape take turns with: started by the first, ended by the last."""

    def __init__(self, plan: Plan) -> None:
        self._cpus = plan.cpus
        self._users = 0
        self._ready = False
        self.settled: Worker | None = None
        self.server: Worker | None = None
        self.client: Worker | None = None

    def join(self) -> None:
        """A case starts."""
        self._users += 1
        if self._users == 1:
            self.settled = Worker("settled", self._cpus[0], Settled)
            self.server = Worker("server", self._cpus[0], Server)
            self.client = Worker("client", self._cpus[1], Client)

    def ready(self) -> None:
        """Waits for them, once."""
        if not self._ready and self.settled and self.server and self.client:
            for worker in (self.settled, self.server, self.client):
                worker.end()
            self.client.call("connect", self.server.call("port"))
            self._ready = True

    def leave(self) -> None:
        """A case ends."""
        self._users -= 1
        if self._users == 0:
            for worker in (self.client, self.server, self.settled):
                if worker is not None:
                    worker.stop()


class Swaps(WorkerCase):
    """Swaps on one venue; ``batch`` 0: in process, else so many transactions a request."""

    limit = 3_000

    def __init__(self, plan: Plan, shared: Shared, venue: str, batch: int) -> None:
        where = "in process" if not batch else "over HTTP" if batch == 1 else f"over HTTP x{batch}"
        super().__init__(f"{venue} {where}", group=where, reference=True)
        self._shared, self._venue, self._batch = shared, venue, batch
        self._joined = False

    def start(self) -> None:
        """See WorkerCase."""
        self._shared.join()
        self._joined = True

    def ready(self) -> None:
        """See WorkerCase."""
        self._shared.ready()

    def warm(self, seconds: float) -> None:
        """See WorkerCase; swaps take long enough for one short trial."""
        self.ready()
        self.count = self.rounded(LEAST)
        each_s = self.elapsed_s() / self.count
        self.count = self.rounded(min(self.limit, max(LEAST, int(seconds / each_s))))

    def rounded(self, count: int) -> int:
        """Whole batches."""
        return max(count // self._batch, 1) * self._batch if self._batch else count

    def elapsed_s(self) -> float:
        """See WorkerCase."""
        return self._run()[0] / 1e9

    def round(self) -> Outcome:
        """The rate from the first byte to the last balance."""
        took_ns, cpu_ns, wrong = self._run()
        metrics = {
            "rate_per_s": self.count / max(took_ns, 1) * 1e9,
            "cpu_ns_per_message": cpu_ns / self.count,
        }
        return Outcome(metrics, None, [wrong] if wrong else [])

    def stop(self) -> None:
        """See WorkerCase."""
        if self._joined:
            self._joined = False
            self._shared.leave()

    def _run(self) -> tuple[int, int, str]:
        shared = self._shared
        if shared.settled is None or shared.server is None or shared.client is None:
            raise ValueError(f"{self.label}: not started")
        if not self._batch:
            settled: tuple[int, int, str] = shared.settled.call("swaps", self._venue, self.count)
            return settled
        before_ns = shared.server.call("cpu_ns")
        took_ns, wrong = shared.client.call("swaps", self._venue, self.count, self._batch)
        return took_ns, shared.server.call("cpu_ns") - before_ns, wrong


class Notifications(WorkerCase):
    """As many account notifications as one subscriber gets."""

    limit = 50_000

    def __init__(self, plan: Plan) -> None:
        super().__init__("accountSubscribe", group="notifications", reference=True)
        self._cpus = plan.cpus

    def start(self) -> None:
        """See WorkerCase."""
        self.add("server", self._cpus[0], Server, FLOW_PER_S)
        self.add("subscriber", self._cpus[1], Subscriber)

    def elapsed_s(self) -> float:
        """See WorkerCase."""
        return max(self._run()[0] / 1e9, math.ulp(1.0))

    def round(self) -> Outcome:
        """The rate, and the size of one."""
        took_ns, size, cpu_ns = self._run()
        return Outcome(
            {
                "rate_per_s": self.count / took_ns * 1e9,
                "bytes": size / self.count,
                "cpu_ns_per_message": cpu_ns / self.count,
            }
        )

    def _run(self) -> tuple[int, int, int]:
        server, subscriber = self.workers
        before_ns = server.call("cpu_ns")
        took_ns, size = subscriber.call("receive", server.call("port"), self.count)
        return took_ns, size, server.call("cpu_ns") - before_ns


def swap_cases(plan: Plan) -> Sequence[Case]:
    """Every venue in process and over HTTP; one in batches."""
    shared = Shared(plan)
    ways = [*((venue, batch) for batch in (0, 1) for venue in VENUES), (VENUES[0], BATCH)]
    return [Hiccups(plan), *(Swaps(plan, shared, venue, batch) for venue, batch in ways)]


def notification_cases(plan: Plan) -> Sequence[Case]:
    """One subscriber."""
    return [Hiccups(plan), Notifications(plan)]


def two_hop_cases(plan: Plan) -> Sequence[Case]:
    """Every one timed."""
    return [Hiccups(plan), Sampled("two-hop", plan, None, group="two-hop", reference=True, actor=Settled)]


SHAPES: Final = (
    Shape("simnet_swaps", __doc__, swap_cases),
    Shape("simnet_notifications", __doc__, notification_cases),
    Shape("simnet_two_hop", __doc__, two_hop_cases),
)
