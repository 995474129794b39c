"""A whole pipeline in one process: real rings, table, settlement and ledger; services stepped by hand."""

import atexit
import importlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

from hft import wire
from hft.runtime.clock import Clock, SystemClock
from hft.runtime.context import Context, Run
from hft.runtime.segments import Segments, declared_page
from hft.runtime.service import ServiceState
from hft.runtime.settings import Config
from hft.runtime.topology import service as service_spec
from hft.venues import WRAPPED_SOL, Venue, quote
from hft.wire.account import unpack
from ringbuf import Histogram, Owner, layout

PIPELINE = ("simnet", "feed", "scanner", "planner", "executor", "auditor", "manager")
PREFIX = "hftsv"
DEAD_PID = 1 << 30
"""Beyond what a kernel gives out."""


def _two_venues() -> str:
    """The shipped market's pools of the two venues for which the tests count routes, as a file of its own."""
    document = json.loads(resources.files("hft.simnet").joinpath("snapshot.json").read_text("utf-8"))
    document["pools"] = [
        entry for entry in document["pools"] if entry["figures"]["venue"] in ("whirlpool", "raydium_v4")
    ]
    folder = tempfile.mkdtemp(prefix="hft-tests-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = Path(folder) / "two_venues.json"
    path.write_text(json.dumps(document), "utf-8")
    return str(path)


SMALL = replace(
    Config(),
    simnet=replace(Config().simnet, market=(_two_venues(),)),
    feed=replace(Config().feed, start_wait_ms=0),
    hft=replace(Config().hft, accounts_capacity=512, accounts_bytes=8 << 20),
    links={name: replace(link, depth=min(link.depth, 1024)) for name, link in Config().links.items()},
)
"""Default settings but for less shared memory, which has to be made for each test."""


def settings(**sections: dict[str, Any]) -> Config:
    """Default settings with some keys of some sections changed: ``settings(simnet={"slot_ms": 50})``."""
    config = SMALL
    changed = {name: replace(getattr(config, name), **keys) for name, keys in sections.items()}
    return replace(config, **changed)


class House:
    """Shared memory of one run and the services that were opened in it."""

    def __init__(self, state_dir: Path, config: Config | None = None, clock: Clock | None = None) -> None:
        self.clock: Clock = clock or SystemClock()
        self.run = Run(
            run_id=os.urandom(16),
            state_dir=state_dir,
            prefix=PREFIX,
            config=config or SMALL,
            cpus={},
            idle=dict.fromkeys(PIPELINE, "park"),
        )
        pages = {
            name: declared_page(name, self.run.config) for name in (*PIPELINE, "sidecar", "event_logger")
        }
        self.segments = Segments.create(self.run, pages)
        self.control = self.segments.control
        self.services: dict[str, Any] = {}
        self.contexts: dict[str, Context] = {}
        self._writers: dict[str, Any] = {}

    def open(self, *names: str) -> None:
        """Build and start services."""
        for name in names:
            ctx = self.contexts[name] = Context(name, self.run, self.clock)
            module = importlib.import_module(service_spec(name).module)
            service = self.services[name] = module.build(ctx)
            service.on_start()
            self.segments.pages[name].set_state(ServiceState.RUNNING)
            self.segments.pages[name].beat(self.clock.monotonic_ns())

    def shut(self, *names: str) -> None:
        """Close services in order, as at the end of a run."""
        for name in names:
            self.services.pop(name).on_close()
            self.contexts.pop(name).close()
            self.segments.pages[name].set_state(ServiceState.STOPPED)

    def crash(self, name: str) -> None:
        """Drop a service as a crash would: nothing is flushed; its ends belong to a dead process."""
        self.services.pop(name)
        context = self.contexts.pop(name)
        for subscription in context._subscriptions.values():
            owner_at = layout.RING_SLOTS_AT + layout.SLOT_BYTES * subscription._index + layout.SLOT_OWNER_AT
            subscription._segment.set_owner(owner_at, Owner(DEAD_PID, 1))
        context.close()

    def writer(self, link: str) -> Any:
        """The writing end of a link whose service isn't open."""
        if link not in self._writers:
            self._writers[link] = self.segments.rings[link].publication()
        return self._writers[link]

    def reader(self, link: str, label: str = "test") -> Any:
        """A reading end for the test itself, from the first message on."""
        return self.segments.rings[link].subscribe(label, gating=False, from_start=True)

    def cycle(self, names: Iterable[str] | None = None) -> int:
        """One duty cycle and one housekeeping of each service; a heartbeat as the runner gives it."""
        done = 0
        for name in names if names is not None else list(self.services):
            service = self.services[name]
            done += service.do_work()
            now_ns = self.clock.monotonic_ns()
            service.on_housekeeping(now_ns)
            self.segments.pages[name].beat(now_ns)
        return done

    def until(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        """Duty cycles until the condition holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not within {seconds} s: {self.nonzero()}"
            self.cycle()

    def settle(self, quiet_cycles: int = 5) -> None:
        """Duty cycles of everything but the sources until nothing moves any more: what nobody took is waited
        for until its blockhash is dead, 150 slots on."""
        names = [name for name in self.services if name not in ("feed",)]
        quiet = 0
        deadline = time.monotonic() + 180
        while quiet < quiet_cycles:
            assert time.monotonic() < deadline, f"never quiet: {self.nonzero()}"
            followers = [name for name in names if name != "simnet"]
            done = self.cycle(followers)
            if "simnet" in names:
                self.cycle(["simnet"])
            pending = sum(
                self.services[name].pending() for name in names if hasattr(self.services[name], "pending")
            )
            quiet = 0 if done or pending else quiet + 1

    def count(self, service: str, name: str) -> int:
        """One counter."""
        page = self.segments.pages[service]
        return page.value(page.index(name))

    def signed(self, service: str, name: str) -> int:
        """A counter that holds a signed number."""
        value = self.count(service, name)
        return value - (1 << 64) if value >> 63 else value

    def total(self, service: str, prefix: str) -> int:
        """Sum of all counters that begin so."""
        counters = self.segments.pages[service].read()
        return sum(n for name, n in counters.items() if name.startswith(prefix))

    def histogram(self, service: str, name: str) -> Histogram:
        return self.segments.pages[service].histogram(name)

    def nonzero(self) -> dict[str, dict[str, int]]:
        """Every counter that isn't zero, for a failing test's message."""
        return {
            name: {key: n for key, n in page.read().items() if n}
            for name, page in self.segments.pages.items()
        }

    def close(self) -> None:
        """Close what is open and remove the shared memory."""
        for name in reversed(list(self.services)):
            self.shut(name)
        for writer in self._writers.values():
            writer.close()
        self.segments.remove()


def dislocate(house: House, share: float = 0.003) -> bytes:
    """An outside trader pushes a Whirlpool of the local cluster off its price; returns the pool's key."""
    simnet = house.services["simnet"]
    bank = simnet._bank
    pools = [pool for pool in bank.pools.values() if WRAPPED_SOL in (pool.mint_a, pool.mint_b)]
    pool = next(pool for pool in pools if pool.venue == Venue.WHIRLPOOL)
    amount, price = 10**9, pool.spot_price(WRAPPED_SOL)
    push = quote(pool, WRAPPED_SOL, amount, bank.clock)
    while push.pool_after.spot_price(WRAPPED_SOL) > price * (1 - share):
        amount *= 2
        push = quote(pool, WRAPPED_SOL, amount, bank.clock)
    bank.swap(pool.key, WRAPPED_SOL, push)
    simnet._publish()
    return bytes(pool.key)


def caught_up(house: House) -> bool:
    """Whether the account table holds what the local cluster does, of all that the feed follows."""
    bank, feed = house.services["simnet"]._bank, house.services["feed"]
    for key in list(feed._watchset.keys()):
        packed = house.contexts["feed"].table.get(key)
        record = None if packed is None else unpack(packed)
        account = bank.account(key)
        if record is None or (record.lamports, record.data) != (account.lamports, account.data):
            return False
    return True


def spoil(house: House, plan: wire.ExecutionPlan) -> None:
    """An outside trader takes away what ``plan`` wants: buys on its first pool what it would buy there."""
    simnet = house.services["simnet"]
    bank = simnet._bank
    push = quote(bank.pools[plan.pool_1], plan.base_mint, plan.amount_in * 3, bank.clock)
    bank.swap(plan.pool_1, plan.base_mint, push)
    simnet._publish()


QUIET = {"swaps_per_second": 0, "landing_ms": 0, "slot_ms": 20}
PATIENT = {"plan_life_ms": 60_000}
"""Settings for tests that move the market themselves and look at one plan for long."""


def make_plan(house: House) -> bytes:
    """One real plan on ``planned``, as the planner wrote it; afterwards only simnet and feed are open."""
    house.open("simnet", "planner", "scanner", "feed")
    house.until(lambda: house.count("feed", "pools") > 0 and house.count("feed", "slot") > 0)
    dislocate(house)
    refused = 0

    def planned() -> bool:
        """On a busy machine an opportunity may be too old for the planner: then another one is made."""
        nonlocal refused
        if house.total("planner", "rejected_") > refused:
            refused = house.total("planner", "rejected_")
            dislocate(house)
        return house.count("planner", "plans") > 0

    house.until(planned)
    reader = house.reader("planned", "plan-reader")
    found = [message for message in reader.take_batch(64) if wire.identifier(message) == b"HFEP"]
    reader.close()
    house.shut("scanner", "planner")
    return bytes(found[0])


def submissions(house: House) -> list[dict[str, Any]]:
    """What reached the settlement, by its own log."""
    path = house.run.state_dir / "settlement.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def signatures(house: House) -> set[str]:
    """What reached the cluster; on a busy machine a bundle's bytes come by RPC as well."""
    return {line["signature"] for line in submissions(house)}


def results(house: House) -> list[wire.ExecutionResult]:
    """Every result on ``executed`` so far."""
    reader = house.reader("executed", "result-reader")
    found = [wire.execution_result.decode(message) for message in reader.take_batch(1_000)]
    reader.close()
    return found
