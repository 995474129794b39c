"""A burst: 10,000 account updates told at once, as one batch; how long until the scanner has seen the newest.

    +---------+  10,000 notifications  +------+ market_data +---------+
    | cluster |=======================>| feed |------------>| scanner |   and the planner beside it
    +---------+                        +------+             +---------+

Real processes, the shipped market, some thousand swaps of its order flow told in one go, each account of
each swap a notification. Measured from the moment at which all of it stands in the cluster's socket queue
until the account table holds the newest bytes of every account and the scanner has taken every message.

taken: notifications that the feed counted, each as applied or by the reason why not.
told:  messages on market_data: what comes together of one pool is told once. lost: messages that scanner or
       planner were lapped by. Accounts that never got into the table must be coalesced, each counted.
"""

import threading
import time
from array import array
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from hft.runtime.context import Run
from hft.runtime.endpoints import PORT_FILE
from hft.runtime.report import balances
from hft.runtime.settings import Config
from hft.simnet import subscriptions
from hft.simnet.alone import Alone
from hft.wire.account import unpack
from perf.cases import limits
from perf.engine import BUDGET_S, Case, Outcome, Plan, Shape
from perf.processes import Lasting, Processes, configured
from perf.workers import Worker
from ringbuf import Table

SERVICES = ("manager", "planner", "scanner", "feed")
UPDATES = 10_000
SWAPS = 20
BURSTS, QUICK_BURSTS = 5, 1
UNREAD_BYTES = 1 << 30
"""The cluster, as nodes do, would end a connection that is so far behind."""
LIMIT_S = 30.0
COUNTED = ("out_market_data", "in_accounts")


class Told:
    """What a burst told: when it was queued, how many updates, what each account held at last."""

    def __init__(self, queued_ns: int, updates: int, newest: dict[bytes, bytes]) -> None:
        self.queued_ns, self.updates, self.newest = queued_ns, updates, newest


class Exchange:
    """The cluster, stepped by a thread, that can tell very much at once."""

    def __init__(self, folder: str) -> None:
        vars(subscriptions)["MAX_UNREAD_BYTES"] = UNREAD_BYTES
        settings = replace(Config().simnet, swaps_per_second=SWAPS, rival_ppm=0)
        self._alone = Alone(settings, lambda _line: None)
        self._wanted = 0
        self._told: Told | None = None
        self._stop, self._done = threading.Event(), threading.Event()
        (Path(folder) / PORT_FILE).write_text(f"{self._alone.open()}\n", "utf-8")
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def burst(self, updates: int) -> Told:
        """Swaps until at least so many accounts changed, then tells it all."""
        self._done.clear()
        self._wanted = updates
        if not self._done.wait(LIMIT_S) or self._told is None:
            raise TimeoutError(f"no {updates} updates within {LIMIT_S} s")
        return self._told

    def _run(self) -> None:
        self._alone.cluster.start(time.monotonic_ns())
        while not self._stop.is_set():
            if self._wanted:
                self._told, self._wanted = self._tell(self._wanted), 0
                self._done.set()
            self._alone.step()
        self._alone.doors.close()

    def _tell(self, wanted: int) -> Told:
        cluster = self._alone.cluster
        cluster.publish()
        count = 0
        touched: set[bytes] = set()
        while count < wanted:
            cluster.flow.step()
            changes = cluster.bank.take_changes()
            count += len(changes)
            touched.update(change.pubkey for change in changes)
            for listener in cluster.listeners:
                listener.on_accounts(changes)
        newest = {key: cluster.bank.account(key).data for key in touched}
        return Told(time.monotonic_ns(), count, newest)

    def close(self) -> None:
        """Ends it."""
        self._stop.set()
        self._thread.join()


class Burst(Lasting):
    """Bursts, one after the other."""

    label = f"{UPDATES:,} updates at once"
    group = "at once"
    reference = True
    missing = ""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._bursts = BURSTS if plan.budget_s >= BUDGET_S else QUICK_BURSTS
        self._exchange: Worker | None = None

    def start(self) -> None:
        """The cluster, then the services."""
        config = configured(manager={"heartbeat_limit_ms": 60_000})
        self._pipeline = Processes(config, SERVICES, self._plan.cpus)
        self._exchange = Worker("cluster", self._plan.cpus[0], Exchange, str(self._pipeline.run.state_dir))
        self._exchange.end()
        self._pipeline.start()

    def warm(self, seconds: float) -> None:
        """Until the scanner knows the market."""
        page = self.pipeline
        page.until("pools", lambda: page.count("scanner", "pools") > 0, LIMIT_S)
        page.until("the first messages read", lambda: self._behind() == 0, LIMIT_S)

    def round(self) -> Outcome:
        """Some bursts."""
        assert self._exchange is not None
        pipeline = self.pipeline
        table = Table.attach(segment_of(pipeline.run))
        samples, updates = array("q"), 0
        told_before, taken_before = (pipeline.count("feed", name) for name in COUNTED)
        try:
            for _ in range(self._bursts):
                told: Told = self._exchange.call("burst", UPDATES)
                pipeline.until("the newest of all scanned", partial(self._seen, told, table), LIMIT_S)
                samples.append(time.monotonic_ns() - told.queued_ns)
                updates += told.updates
        finally:
            table.close()
        lost = pipeline.count("scanner", "lost_market_data") + pipeline.count("planner", "lost_market_data")
        figures = {"updates": float(updates), "lost": float(lost)}
        problems = [f"{lost} messages lost on market_data"] if lost else []
        pipeline.until("the feed's counters balanced", self._balanced, LIMIT_S)
        figures["told"], figures["taken"] = (
            float(pipeline.count("feed", name) - before)
            for name, before in zip(COUNTED, (told_before, taken_before), strict=True)
        )
        if figures["taken"] < updates:
            problems.append(f"{updates - figures['taken']:.0f} of {updates} notifications never came")
        return Outcome(figures, samples, problems)

    def _seen(self, told: Told, table: Table) -> bool:
        """Does the table hold what was told last, and has the scanner taken every message?"""
        for key, data in list(told.newest.items()):
            packed = table.get(key)
            if packed is not None and unpack(packed).data != data:
                return False
            del told.newest[key]
        return self._behind() == 0

    def _behind(self) -> int:
        pipeline = self.pipeline
        return pipeline.count("feed", "out_market_data") - pipeline.count("scanner", "in_market_data")

    def _balanced(self) -> bool:
        return all(one.holds for one in balances(self.pipeline.reading()) if one.name == "feed: accounts")

    def stop(self) -> None:
        """All of it."""
        super().stop()
        if self._exchange is not None:
            self._exchange.stop()
            self._exchange = None


def segment_of(run: Run) -> str:
    """Name of a run's account table."""
    return run.segment("table", "accounts")


def cases(plan: Plan) -> Sequence[Case]:
    """One."""
    return [*limits(plan), Burst(plan)]


SHAPE = Shape("burst", __doc__, cases)
