"""One run from start to report: what ``hft start`` does, without a terminal."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from hft.runtime import intents, probes, report, state
from hft.runtime.clock import Clock
from hft.runtime.exit_codes import ExitCode, HftError
from hft.runtime.monitor import Monitor, Reading
from hft.runtime.report import Report
from hft.runtime.settings import Config
from hft.runtime.supervisor import Cancelled, Supervisor

POLL_NS = 20_000_000
"""Time between two looks after the children."""

OnTick = Callable[[Supervisor, Reading], None]


class Session:
    """Holds the state folder's lock while it runs; on every way out processes and shared memory are gone."""

    def __init__(self, config: Config, state_dir: Path, clock: Clock, tell: Callable[[str], None]) -> None:
        """``tell`` takes one line for a person."""
        self._config = config
        self._state_dir = state_dir
        self._clock = clock
        self._tell = tell
        self._stop_signal = ""

    def run(
        self, duration_s: float | None, tick_s: float, on_tick: OnTick
    ) -> tuple[Report | None, HftError | None]:
        """Run until ``duration_s`` has passed (``None``: until SIGINT or SIGTERM), or something fails for
        good.

        ``on_tick`` gets a reading every ``tick_s``. Returns the report (``None`` when it was cancelled before
        all services ran) and the failure that ended the run. ``HftError`` when it does not start.
        """
        state.prepare(self._state_dir)
        with (
            state.InstanceLock(self._state_dir),
            self._signals(),
            Supervisor(self._config, self._state_dir, self._clock, self._tell) as supervisor,
        ):
            supervisor.cancelled = lambda: bool(self._stop_signal)
            for note in supervisor.notes:
                self._tell(note)
            try:
                return self._run(supervisor, duration_s, tick_s, on_tick)
            except Cancelled:
                self._tell(f"{self._stop_signal}: stopped before all services ran")
                return None, None

    def _run(
        self, supervisor: Supervisor, duration_s: float | None, tick_s: float, on_tick: OnTick
    ) -> tuple[Report, HftError | None]:
        wallet: list[int | None] = []
        sequences: list[dict[str, int]] = []

        def count_streams() -> None:
            sequences.append(probes.stream_sequences(supervisor.run))

        def count_money() -> None:
            run = supervisor.run
            wallet.append(probes.wallet_lamports(run, self._clock))

        def count_both() -> None:
            count_money()
            count_streams()

        supervisor.start(before=lambda stage: count_streams() if stage == "services" else count_money())
        segments = supervisor.segments
        monitor = Monitor(segments.pages, segments.rings, segments.control, self._clock)
        began_ns = self._clock.monotonic_ns()
        self._watch(supervisor, monitor, began_ns, duration_s, tick_s, on_tick)
        duration_ns = self._clock.monotonic_ns() - began_ns
        if self._stop_signal:
            self._tell(f"{self._stop_signal}: stopping in order, each service drained before the next")
        undrained = supervisor.stop(before_cluster_ends=count_both)
        reading = monitor.read()
        on_tick(supervisor, reading)
        done = self._report(supervisor, reading, duration_ns, wallet, sequences)
        try:
            done = done._replace(open_signatures=intents.without_end(supervisor.run))
        except HftError as error:
            return done, supervisor.failure or error
        return done, supervisor.failure or _undrained(undrained, done.open_signatures)

    def _watch(
        self,
        supervisor: Supervisor,
        monitor: Monitor,
        began_ns: int,
        duration_s: float | None,
        tick_s: float,
        on_tick: OnTick,
    ) -> None:
        end_ns = None if duration_s is None else began_ns + int(duration_s * 1e9)
        next_tick_ns = began_ns
        while not self._stop_signal and supervisor.failure is None:
            supervisor.poll()
            now_ns = self._clock.monotonic_ns()
            if end_ns is not None and now_ns >= end_ns:
                return
            if now_ns >= next_tick_ns:
                on_tick(supervisor, monitor.read())
                next_tick_ns = max(next_tick_ns + int(tick_s * 1e9), now_ns)
            supervisor.pause(POLL_NS)

    def _report(
        self,
        supervisor: Supervisor,
        reading: Reading,
        duration_ns: int,
        wallet: list[int | None],
        sequences: list[dict[str, int]],
    ) -> Report:
        before, after = wallet[0], wallet[-1]
        figures = report.totals(reading)
        return Report(
            duration_s=duration_ns / 1e9,
            totals=figures,
            ledger_pnl_lamports=figures.pnl_lamports,
            wallet_delta_lamports=None
            if before is None or after is None or len(wallet) < 2
            else after - before,
            streams={name: last - sequences[0].get(name, 0) for name, last in sequences[-1].items()},
            reading=reading,
            restarts=supervisor.restarts,
            balances=report.balances(reading),
        )

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """SIGINT, SIGTERM and SIGHUP ask for an orderly stop; a second one changes nothing."""

        def ask(number: int, _frame: FrameType | None) -> None:
            self._stop_signal = self._stop_signal or signal.Signals(number).name

        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, ask) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _undrained(services: list[str], signatures: tuple[str, ...]) -> HftError | None:
    """What a stop left under way, if anything."""
    late = [f"did not drain in time: {', '.join(services)}"] if services else []
    left = [intents.told(signatures)] if signatures else []
    return HftError("\n".join(late + left), ExitCode.DRAIN_TIMEOUT) if late or left else None
