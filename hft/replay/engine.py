"""The pipeline's services over a capture, stepped in lockstep in one process: deterministic.

Rings, account table, counters and kill latch are real shared memory; feed, scanner, planner, executor,
auditor and manager are the services themselves. Time is the capture's: everything that follows from one batch
happens at its moment. One capture with one configuration gives one ledger, message for message.
"""

import contextlib
import gc
import importlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple

import ringbuf
from hft.chain.subscribe import AccountChanged, AccountUnusable, SourceLive
from hft.chain.subscribe_merge import Version
from hft.replay.chain import SOURCE, ReplayBank, ReplayChain
from hft.replay.source import Batch, CaptureClock, CapturedOrigin
from hft.runtime import config as configuration
from hft.runtime import state, topology
from hft.runtime.capture_format import SCHEMA_HASH, Header, Surveyed
from hft.runtime.context import Context, Run
from hft.runtime.exit_codes import ExitCode, HftError
from hft.runtime.monitor import Latency, Monitor, Reading
from hft.runtime.segments import Segments, declared_page
from hft.runtime.service import Service, ServiceState
from hft.runtime.settings import Config
from hft.services.executor import Executor
from hft.services.feed import Feed
from hft.services.ledger_place import FILE_NAME
from hft.wire import SCHEMA_HASH as MESSAGES_HASH

SERVICES: Final = ("feed", "scanner", "planner", "executor", "auditor", "manager")
"""In the order in which news travels."""
SETTLEMENT, BATCH = "settlement", "batch"
STAGES: Final = (*SERVICES, SETTLEMENT, BATCH)
HOUSEKEEPING_NS: Final = 50_000_000
"""The shortest time after which any service's housekeeping looks at something again."""
LAST_NS: Final = 1_000_000_000
"""How long the services go on after the last batch, by the capture's clock."""
NEVER_PPM: Final = 1_000_000


class Outcome(NamedTuple):
    """What a replay came to. ``stages``: real time of duty cycles that did work, of settling one transaction,
    and from a batch's arrival until all is quiet. ``cpu_ns``: this process's time on a processor."""

    run: Run
    reading: Reading
    stages: dict[str, Latency]
    batches: int
    accounts: int
    captured_ns: int
    took_ns: int
    cpu_ns: int
    wallet_delta_lamports: int


class Replay:
    """See the module. A context manager: on leaving, the shared memory goes, and a state folder that nobody
    asked for."""

    def __init__(self, config: Config, header: Header, state_dir: Path | None = None) -> None:
        """``state_dir``: where the ledger shall stay; it must have none yet. ``HftError`` when it can't be
        used."""
        self._temporary = state_dir is None
        folder = Path(tempfile.mkdtemp(prefix="hft-replay-")) if state_dir is None else state_dir
        state.prepare(folder)
        if (folder / FILE_NAME).exists():
            raise HftError(
                f"{folder} holds a ledger already; a replay begins one: choose another --state-dir",
                ExitCode.STATE_FOLDER,
            )
        self.config = settings_of(config)
        self.run_info = Run(
            run_id_of(self.config, header),
            folder,
            f"{config.hft.prefix}-r{os.getpid()}",
            self.config,
            {},
            {},
            started_unix_ns=header.start_unix_ns,
            supervisor_pid=os.getpid(),
        )
        self._header = header
        self.clock = CaptureClock(header.start_ns, header.start_unix_ns)
        self._next_housekeeping_ns = 0
        self._batches = self._accounts = 0
        self._open: list[tuple[str, Service, Context]] = []

    def __enter__(self) -> "Replay":
        with contextlib.ExitStack() as stack:
            if self._temporary:
                stack.callback(shutil.rmtree, self.run_info.state_dir, ignore_errors=True)
            stack.enter_context(state.InstanceLock(self.run_info.state_dir))
            self._make(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _make(self, stack: contextlib.ExitStack) -> None:
        run = self.run_info
        pages = {spec.name: declared_page(spec.name) for spec in topology.SERVICES}
        self.segments = Segments.create(run, pages)
        stack.callback(self.segments.remove)
        self._watch = ringbuf.Counters.create(
            run.segment("counters", "replay"), counters=("batches",), histograms=STAGES, label="replay"
        )
        stack.callback(self._watch.unlink)
        stack.callback(self._watch.close)
        self._watch.own()
        self._stages = {name: self._watch.histogram_index(name) for name in STAGES}
        self.origin = CapturedOrigin(self.clock)
        self.bank = ReplayBank(self.config, self._header)
        self._worth = self._wallet_lamports()
        made: dict[str, Callable[[Context], Any]] = {
            "feed": lambda ctx: Feed(ctx, self.origin),
            "executor": self._executor,
        }
        for name in reversed(SERVICES):
            ctx = Context(name, run, self.clock)
            stack.callback(ctx.close)
            ctx.counters.own()
            module = importlib.import_module(topology.service(name).module)
            service = made.get(name, module.build)(ctx)
            stack.callback(service.on_close)
            self._open.insert(0, (name, service, ctx))
            service.on_start()
            ctx.counters.set_state(ServiceState.RUNNING)
        # The watched steps of a cycle, found once.
        self._steps = [(self._stages[name], service.do_work) for name, service, _ in self._open]

    def _executor(self, ctx: Context) -> Executor:
        self.chain = ReplayChain(ctx, self.bank)
        return Executor(ctx, self.chain)

    def run(
        self,
        batches: Iterable[Batch],
        *,
        pace: Callable[[int], None] | None = None,
        goes_on: Callable[[int], bool] | None = None,
    ) -> Outcome:
        """Replays ``batches``. ``pace(taken_ns)`` may wait before each; ``goes_on(taken_ns)`` may end it."""
        gc.collect()
        gc.freeze()
        began_ns, began_cpu_ns = time.perf_counter_ns(), time.process_time_ns()
        try:
            for batch in batches:
                if pace is not None:
                    pace(batch.taken_ns)
                if goes_on is not None and not goes_on(batch.taken_ns):
                    break
                self._advance(batch.taken_ns)
                self._take(batch)
            captured_ns = self.clock.monotonic_ns() - self._header.start_ns
            self._come_to_rest()
        finally:
            gc.unfreeze()
        took_ns = time.perf_counter_ns() - began_ns
        cpu_ns = time.process_time_ns() - began_cpu_ns
        monitor = Monitor(self.segments.pages, self.segments.rings, self.segments.control, self.clock)
        delta = self._wallet_lamports() - self._worth
        stages = {name: figures for name in STAGES if (figures := self._figures(name)).samples}
        return Outcome(
            self.run_info,
            monitor.read(),
            stages,
            self._batches,
            self._accounts,
            captured_ns,
            took_ns,
            cpu_ns,
            delta,
        )

    def _take(self, batch: Batch) -> None:
        began_ns = time.perf_counter_ns()
        self._batches += 1
        put, bank = self.origin.accounts.put, self.bank
        for event in batch.events:
            if isinstance(event, Surveyed):
                self.origin.survey(event)
                self._housekeep()
                continue
            if isinstance(event, AccountChanged | AccountUnusable):
                version = event.version
                if bank.is_own(version.pubkey):
                    continue
                self._accounts += 1
                bank.take(version)
            elif isinstance(event, SourceLive) and event.first:
                self._tell_wallet()
            put(event)
        self._cycle()
        self._watch.record(self._stages[BATCH], time.perf_counter_ns() - began_ns)

    def _advance(self, until_ns: int) -> None:
        """Lands what is due on the way, and gives the services their housekeeping."""
        while (due_ns := self.chain.due_ns) is not None and due_ns <= until_ns:
            self._go_to(due_ns)
            began_ns = time.perf_counter_ns()
            changed = self.chain.settle()
            self._watch.record(self._stages[SETTLEMENT], time.perf_counter_ns() - began_ns)
            for event in changed:
                key = event.version.pubkey
                if key in self.origin.accounts.newest or bank_tells(self.bank, key):
                    self.origin.accounts.put(event)
            self._cycle()
        self._go_to(until_ns)

    def _go_to(self, now_ns: int) -> None:
        self.clock.set(now_ns)
        if now_ns >= self._next_housekeeping_ns:
            self._housekeep()

    def _housekeep(self) -> None:
        now_ns = self.clock.monotonic_ns()
        self._next_housekeeping_ns = now_ns + HOUSEKEEPING_NS
        for _, _, ctx in self._open:
            ctx.counters.beat(now_ns)
        for _, service, _ in self._open:
            service.on_housekeeping(now_ns)

    def _cycle(self) -> None:
        """Duty cycles until nothing moves at this moment."""
        clock, record = time.perf_counter_ns, self._watch.record
        moved = True
        while moved:
            moved = False
            began_ns = clock()
            for stage, do_work in self._steps:
                if do_work():
                    moved = True
                    ended_ns = clock()
                    record(stage, ended_ns - began_ns)
                    began_ns = ended_ns
                else:
                    began_ns = clock()

    def _come_to_rest(self) -> None:
        """What is under way comes to its end; then every page shows its last."""
        while (due_ns := self.chain.due_ns) is not None:
            self._advance(max(due_ns, self.clock.monotonic_ns()))
        last_ns = self.clock.monotonic_ns() + LAST_NS
        while self.clock.monotonic_ns() < last_ns:
            self._go_to(self.clock.monotonic_ns() + HOUSEKEEPING_NS)
            self._cycle()
        self._housekeep()

    def _tell_wallet(self) -> None:
        """The replay's own wallet, as a snapshot tells it."""
        now_ns = self.clock.monotonic_ns()
        for key in (self.bank.wallet, self.bank.purse):
            version = Version(key, self.bank.slot, 0, self.bank.account(key), SOURCE, now_ns)
            self.origin.accounts.put(AccountChanged(version))

    def _wallet_lamports(self) -> int:
        funds = self.bank.funds()
        return funds.lamports + funds.wrapped

    def _figures(self, name: str) -> Latency:
        histogram = self._watch.histogram(name)
        if not histogram.count:
            return Latency(0, 0, 0, 0, 0)
        p50, p99, p999 = (histogram.percentile(q) for q in (50, 99, 99.9))
        return Latency(histogram.count, p50, p99, p999, histogram.max)


def bank_tells(bank: ReplayBank, key: bytes) -> bool:
    """Is this one of the wallet's accounts that the feed follows?"""
    return key in (bank.wallet, bank.purse)


def settings_of(config: Config) -> Config:
    """The configuration of a replay: what depends on this machine's present state is out of it."""
    return replace(
        config,
        hft=replace(config.hft, mode="replay"),
        manager=replace(config.manager, memory_ppm=NEVER_PPM),
        auditor=replace(config.auditor, ledger_dsn="", ledger_dsn_file=""),
    )


def run_id_of(config: Config, header: Header) -> bytes:
    """16 bytes that are the same for the same capture, configuration and program's messages."""
    values = configuration.to_dict(config)
    for key in ("state_dir", "prefix"):
        values["hft"].pop(key, None)
    known = repr((SCHEMA_HASH, MESSAGES_HASH, tuple(header), sorted(values.items())))
    return sha256(known.encode()).digest()[:16]
