"""A run whose services are processes of their own: ``hft shm up`` keeps what they share, ``hft run`` is one.

systemd starts, watches and restarts the services then; this process only holds what they share.
"""

import time
from collections.abc import Callable
from pathlib import Path

import ringbuf
from hft.runtime import state, topology
from hft.runtime.clock import Clock
from hft.runtime.context import Run
from hft.runtime.exit_codes import ExitCode, HftError
from hft.runtime.foundation import Foundation, Tell
from hft.runtime.notify import Notifier
from hft.runtime.service import ServiceState
from hft.runtime.settings import Config

POLL_S = 0.05
"""Pause between two looks at latch, nats-server and services."""


def hold(
    config: Config,
    state_dir: Path,
    clock: Clock,
    tell: Tell,
    notifier: Notifier,
    stop_asked: Callable[[], bool],
) -> None:
    """Lay a run's foundation and keep it until ``stop_asked``; then wait for services that are still there,
    at most the drain limit, and take it away.

    ``HftError`` when it cannot be laid, another instance holds the state folder, or nats-server does not come
    back.
    """
    state.prepare(state_dir)
    with state.InstanceLock(state_dir):
        foundation = Foundation(config, state_dir, clock, tell, standing=True)
        try:
            for note in foundation.notes:
                tell(note)
            foundation.lay()
            services = _Services(foundation)
            foundation.write_run(services.pids, services.restarts)
            names = ", ".join(spec.name for spec in topology.services(config.hft.mode, config.optional))
            tell(f"ready for hft run: {names}")
            notifier.ready(f"keeps the shared memory of run {foundation.run.run_id8}")
            while not stop_asked():
                _look(foundation, services, clock, notifier)
                time.sleep(POLL_S)
            notifier.stopping("takes the shared memory away")
            deadline_ns = clock.monotonic_ns() + config.hft.drain_limit_ms * 1_000_000
            if services.alive:
                tell(f"waits for {', '.join(services.alive)}")
            while services.alive and clock.monotonic_ns() < deadline_ns:
                _look(foundation, services, clock, notifier)
                time.sleep(POLL_S)
            if services.alive:
                tell(f"still there after the drain limit: {', '.join(services.alive)}; their memory goes now")
            foundation.stop_nats()
        finally:
            foundation.remove()


def check(folder: Path, service: str) -> Run:
    """The run in which ``service`` may run by itself in this state folder now.

    ``HftError``: SEGMENT_MISSING when nobody keeps shared memory for this state folder, ALREADY_RUNNING when
    ``hft start`` brings all services itself or a process has the service's page.
    """
    holder = state.holder(folder)
    if holder == 0 or not (folder / state.RUN_FILE).exists():
        raise HftError(
            f"there is no shared memory of a run with state folder {folder}: start hft shm up "
            "(hft-shm.service) first",
            ExitCode.SEGMENT_MISSING,
        )
    run = Run.load(folder / state.RUN_FILE)
    if not run.standing:
        raise HftError(
            f"hft start (pid {holder}) brings all services of state folder {folder} itself",
            ExitCode.ALREADY_RUNNING,
        )
    if service not in {spec.name for spec in topology.services(run.config.hft.mode, run.config.optional)}:
        raise HftError(f"this run has no {service}: [service:{service}] enabled is off", ExitCode.CONFIG)
    page = ringbuf.Counters.attach(run.segment("counters", service))
    try:
        owner = page.owner
    finally:
        page.close()
    if owner.pid and owner.alive:
        raise HftError(
            f"{service} runs already (pid {owner.pid}) with state folder {folder}", ExitCode.ALREADY_RUNNING
        )
    return run


class _Services:
    """Who serves, from the owners of the counters pages."""

    def __init__(self, foundation: Foundation) -> None:
        self._pages = foundation.segments.pages
        self.pids: dict[str, int] = dict.fromkeys(self._pages, 0)
        self.restarts: dict[str, int] = dict.fromkeys(self._pages, 0)

    @property
    def alive(self) -> list[str]:
        """Services whose process is there."""
        return [name for name, page in self._pages.items() if page.owner.pid and page.owner.alive]

    def changed(self) -> bool:
        """Take the owners in; did one change? A second owner of a page is a restart.

        A page whose owner died is marked as failed: its heartbeat is not to be waited for.
        """
        changed = False
        for name, page in self._pages.items():
            owner = page.owner
            if owner.pid != self.pids[name]:
                self.restarts[name] += self.pids[name] != 0
                self.pids[name] = owner.pid
                changed = True
            if owner.pid and ServiceState(page.state).alive and not owner.alive and page.owner == owner:
                page.set_state(ServiceState.FAILED)
        return changed


def _look(foundation: Foundation, services: _Services, clock: Clock, notifier: Notifier) -> None:
    now_ns = clock.monotonic_ns()
    foundation.follow_kill()
    foundation.watch_nats(now_ns)
    if services.changed():
        foundation.write_run(services.pids, services.restarts)
    notifier.alive(now_ns)
