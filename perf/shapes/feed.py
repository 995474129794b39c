"""The feed: from a notification read off the socket to the pool update committed into the ring.

    +----------------+   WebSocket   +---------------------------+
    | local cluster  |==============>| feed: parse, merge, table |---> market_data
    +----------------+   loopback    +---------------------------+
     cpu 0                            cpu 1

A quiet local cluster writes one account of one pool at a time, which the feed follows beside all others of
the shipped market. Measured in the messages themselves: from ``received_ns``, the moment the bytes were
read from the socket, to ``published_ns``; and the feed's own CPU time for each notification, sockets
included.

paced:  1,000 notifications/s, so that each finds the feed asleep.
burst:  as fast as the cluster tells them; what comes together is one batch, of one pool the newest counts.
uvloop: the same on uvloop, which is quick while it runs and slow to begin and end.
market: the shipped market's order flow, 333 swaps/s, about three accounts of one pool each, paced.
replayed: the same, kept as it came and taken afterwards, one read after the other at once, each with all that
        comes of it: the feed's own work, whatever else the machine does. Sockets and sleep are not in it.
vault:  a token account, 165 bytes. array: a tick array, 9,988 bytes, as base64 in JSON 13,320.
"""

import select
import shutil
import tempfile
import time
from array import array
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import uvloop

from hft import wire
from hft.chain import subscribe_session
from hft.chain.loop import SteppedLoop
from hft.chain.subscribe_channel import Channel
from hft.runtime.context import Context, Run
from hft.runtime.endpoints import PORT_FILE
from hft.runtime.runner import HOUSEKEEPING_NS
from hft.runtime.segments import Segments, declared_page
from hft.runtime.settings import Config
from hft.services import sources
from hft.services.feed import Feed
from hft.simnet.cluster import Cluster
from hft.simnet.doors import Doors
from hft.simnet.market import load_market
from hft.venues import Venue, required_accounts
from hft.venues.whirlpool_accounts import FIXED_ARRAY_SIZE
from perf.cases import WorkerCase, limits, samples_of
from perf.engine import Case, Outcome, Plan, Shape
from perf.workers import Stopwatch

PREFIX = "hftperf"
RATE = 1_000
SWAPS = 333
DONE = "done"
HOUR_MS = 3_600_000
STEP_NS = 200_000
POLL = 256
LIMIT_S = 30.0
TIMERS_NS = 1_000_000


class UvLoop(SteppedLoop):
    """The same on uvloop, which looks whether a socket is ready before it begins, too."""

    def __init__(self) -> None:
        super().__init__()
        self.loop.close()
        loop: Any = uvloop.new_event_loop()
        self.loop = loop
        self._poll = select.poll()
        self._poll.register(loop._get_backend_id(), select.POLLIN)
        self._next_ns = 0

    def step(self) -> None:
        """See SteppedLoop."""
        now_ns = time.monotonic_ns()
        if now_ns < self._next_ns and not self._poll.poll(0):
            return
        self._next_ns = now_ns + TIMERS_NS
        self.loop.call_soon(self.loop.stop)
        self.loop.run_forever()

    def wait(self, timeout_ns: int) -> None:
        """See SteppedLoop."""
        self._poll.poll(timeout_ns / 1e6)
        self.step()


class Kept(Channel):
    """A connection whose messages can be kept, each with when it was read, instead of taken."""

    newest: "Kept"

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.kept: list[tuple[bytes, int]] | None = None
        Kept.newest = self

    def _take(self, text: bytes | memoryview, read_ns: int) -> None:
        if self.kept is None:
            self.take(text, read_ns)
        else:
            self.kept.append((bytes(text), read_ns))

    def take(self, text: bytes | memoryview, read_ns: int) -> None:
        """As any connection does."""
        super()._take(text, read_ns)


class Node:
    """The cluster: it serves whoever asks as long as a round lasts."""

    def __init__(self, folder: str, array_account: bool, swaps: int) -> None:
        self._done = Path(folder) / DONE
        settings = replace(Config().simnet, swaps_per_second=swaps, rival_ppm=0, slot_ms=60_000)
        self._cluster = Cluster(settings, load_market(()))
        self._doors = Doors(self._cluster)
        port = self._doors.open(0)
        bank = self._cluster.bank
        pool = next(pool for pool in bank.pools.values() if pool.venue == Venue.WHIRLPOOL)
        if array_account:
            needs = required_accounts(pool.key, bank.accounts[pool.key])
            self._key = next(key for key in needs if len(bank.account(key).data) == FIXED_ARRAY_SIZE)
        else:
            pool = next(pool for pool in bank.pools.values() if pool.venue == Venue.RAYDIUM_V4)
            self._key = pool.vault_a
        self._cluster.start(time.monotonic_ns())
        self._market_ns = 0
        (Path(folder) / PORT_FILE).write_text(f"{port}\n", "utf-8")

    def serve(self, n: int, interval_ns: int) -> None:
        """Write n times, one an interval (0: at once), and serve until the feed is done."""
        bank, step, now = self._cluster.bank, self._doors.step, time.monotonic_ns
        account = bank.accounts[self._key]
        sent, due_ns, until_s = 0, now(), time.monotonic() + LIMIT_S
        while not self._done.exists():
            if time.monotonic() > until_s:
                raise TimeoutError(f"the feed was not done within {LIMIT_S} s")
            for _ in range(n - sent if not interval_ns else int(sent < n and now() >= due_ns)):
                sent, due_ns = sent + 1, due_ns + interval_ns
                bank.write({self._key: account._replace(lamports=account.lamports + sent % 1_000)})
                self._cluster.publish()
            step(min(max(due_ns - now(), 0), STEP_NS) if sent < n else STEP_NS)

    def trade(self) -> None:
        """Let the market move, and serve, until the feed is done."""
        cluster, now, until_s = self._cluster, time.monotonic_ns, time.monotonic() + LIMIT_S
        cluster.start(now() - self._market_ns)  # it stood still between two rounds
        while not self._done.exists():
            if time.monotonic() > until_s:
                raise TimeoutError(f"the feed was not done within {LIMIT_S} s")
            cluster.advance(now())
            self._doors.step(min(max(cluster.due_ns() - now(), 0), STEP_NS))
        self._market_ns = cluster.elapsed_ns(now())

    def close(self) -> None:
        """Let go."""
        self._doors.close()


class Follower:
    """The feed, stepped as its runner does when parked."""

    def __init__(self, folder: str, uv: bool, replayed: bool = False) -> None:
        self._folder = Path(folder)
        if uv:
            vars(sources)["SteppedLoop"] = UvLoop
        if replayed:
            vars(subscribe_session)["Channel"] = Kept
        until_s = time.monotonic() + LIMIT_S
        while not (self._folder / PORT_FILE).exists():
            if time.monotonic() > until_s:
                raise TimeoutError("the cluster did not open its door")
            time.sleep(0.01)
        config = replace(Config(), feed=replace(Config().feed, start_wait_ms=0, stale_after_ms=HOUR_MS))
        run = Run(wire_id(), self._folder, PREFIX, config, cpus={}, idle={"feed": "park"})
        self._segments = Segments.create(run, {"feed": declared_page("feed")})
        self._ctx = Context("feed", run)
        self._feed = Feed(self._ctx)
        self._feed.on_start()
        self._kept_ns = 0
        self._reader = self._segments.rings["market_data"].subscribe("perf", gating=False, from_start=True)

    def ready(self) -> int:
        """Follow the cluster until every pool is told of; how many those are."""
        until_s = time.monotonic() + LIMIT_S
        while not self._feed._judge.statuses or not self._feed._live:
            if time.monotonic() > until_s:
                raise TimeoutError("no pool within the limit")
            self._turn()
        self._reader.take_batch(10_000)
        (self._folder / DONE).touch()
        return len(self._feed._judge.statuses)

    def take(self, n: int) -> tuple[bytes, int, int, int]:
        """Follow until n notifications came: (read to commit, as array('q') bytes; CPU time; elapsed;
        updates)."""
        counts, watch = self._feed._accounts.counts, Stopwatch()
        before, start_ns = counts["versions_new"], 0
        samples, until_s = array("q"), time.monotonic() + LIMIT_S
        while counts["versions_new"] - before < n or self._feed._accounts.waiting:
            if time.monotonic() > until_s:
                raise TimeoutError(f"{counts['versions_new'] - before} of {n} notifications came")
            self._turn()
            start_ns = start_ns or (time.monotonic_ns() if counts["versions_new"] > before else 0)
            for message in self._reader.take_batch(POLL):
                if wire.identifier(message) == wire.pool_update.identifier:
                    update = wire.pool_update.decode(message)
                    samples.append(update.published_ns - update.received_ns)
        elapsed_ns = time.monotonic_ns() - start_ns
        cpu_ns = watch.cpu_ns()
        (self._folder / DONE).touch()
        return samples.tobytes(), cpu_ns, elapsed_ns, len(samples)

    def replay(self, n: int) -> tuple[bytes, int, int, int]:
        """Keep n notifications as they come, then take them: (each read with all that came of it, as
        array('q') bytes; CPU time; elapsed; updates)."""
        channel, feed, now = Kept.newest, self._feed, time.monotonic_ns
        kept: list[tuple[bytes, int]] = []
        channel.kept = kept
        until_s = time.monotonic() + LIMIT_S
        while len(kept) < n:
            if time.monotonic() > until_s:
                raise TimeoutError(f"{len(kept)} of {n} notifications came")
            feed._loop.wait(STEP_NS)
        (self._folder / DONE).touch()
        channel.kept = []  # what comes meanwhile counts for nothing
        samples, updates, watch, start_ns = array("q"), 0, Stopwatch(), now()
        for _, read in groupby(kept, key=itemgetter(1)):
            read_ns = now()
            for text, _ in read:
                channel.take(text, read_ns)
            while feed.do_work():
                pass
            samples.append(now() - read_ns)
            updates += len(self._reader.take_batch(POLL))
        elapsed_ns, cpu_ns = now() - start_ns, watch.cpu_ns()
        channel.kept = None
        return samples.tobytes(), cpu_ns * n // len(kept), elapsed_ns * n // len(kept), updates

    def _turn(self) -> None:
        if not self._feed.do_work():
            self._feed.wait(STEP_NS * 10)
            if (now_ns := time.monotonic_ns()) >= self._kept_ns + HOUSEKEEPING_NS:
                self._kept_ns = now_ns
                self._feed.on_housekeeping(now_ns)

    def close(self) -> None:
        """Let go."""
        self._reader.close()
        self._feed.on_close()
        self._ctx.close()
        self._segments.remove()


def wire_id() -> bytes:
    """A run's id of its own."""
    return time.monotonic_ns().to_bytes(8, "little") * 2


class Following(WorkerCase):
    """One account, one pace."""

    def __init__(
        self,
        label: str,
        plan: Plan,
        *,
        large: bool = False,
        swaps: int = 0,
        rate: int = 0,
        uv: bool = False,
        replayed: bool = False,
        group: str = "",
        reference: bool = False,
    ) -> None:
        super().__init__(label, group=group, reference=reference)
        self._cpus, self._large, self._rate, self._uv = plan.cpus, large, rate, uv
        self._swaps, self._replayed = swaps, replayed

    def start(self) -> None:
        """See WorkerCase."""
        folder = tempfile.mkdtemp(prefix="hft-perf-")
        self._done = Path(folder) / DONE
        self.keep(partial(shutil.rmtree, folder, ignore_errors=True))
        self.add("node", self._cpus[0], Node, folder, self._large, self._swaps)
        self.add("feed", self._cpus[1], Follower, folder, self._uv, self._replayed)

    def warm(self, seconds: float) -> None:
        """See WorkerCase; the pace and the time give the number."""
        self.ready()
        node, feed = self.workers
        node.begin("serve", 0, 0)
        feed.call("ready")
        node.end()
        self.count = int(seconds * (self._rate or 2 * RATE))
        self.round()

    def round(self) -> Outcome:
        """Notifications of one round."""
        node, feed = self.workers
        self._done.unlink(missing_ok=True)
        feed.begin("replay" if self._replayed else "take", self.count)
        if self._swaps:
            node.begin("trade")
        else:
            node.begin("serve", self.count, 10**9 // self._rate if self._rate else 0)
        raw, cpu_ns, elapsed_ns, updates = feed.end()
        node.end()
        metrics = {
            "rate_per_s": self.count / elapsed_ns * 1e9,
            "cpu_ns_per_message": cpu_ns / self.count,
            "received": float(updates),
        }
        problems = [] if updates else ["no update came of it"]
        return Outcome(metrics, samples_of(raw), problems)


def cases(plan: Plan) -> Sequence[Case]:
    """Both accounts, both paces."""
    return [
        *limits(plan),
        Following("market, paced", plan, swaps=SWAPS, rate=RATE, group="market", reference=True),
        Following("market, replayed", plan, swaps=SWAPS, rate=RATE, replayed=True, group="replayed"),
        Following("vault, paced", plan, rate=RATE, group="paced", reference=True),
        Following("vault, paced, uvloop", plan, rate=RATE, uv=True, group="paced"),
        Following("vault, burst", plan, group="burst", reference=True),
        Following("vault, burst, uvloop", plan, uv=True, group="burst"),
        Following("array, paced", plan, large=True, rate=RATE, group="array"),
        Following("array, burst", plan, large=True, group="array"),
    ]


SHAPE = Shape("feed", __doc__, cases)
