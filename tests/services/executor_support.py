"""An executor on a real local cluster, and what tests do to both."""

from collections.abc import Callable
from typing import Any

from service_support import PATIENT, QUIET, House, make_plan, settings

from hft.wire.enums import KillTrigger

Make = Callable[..., House]


def with_a_plan(house: Make, **sections: Any) -> tuple[House, bytes]:
    run = house(settings(simnet=QUIET, planner=PATIENT, **sections))
    plan = make_plan(run)
    run.open("manager")
    return run, plan


def ready(run: House) -> None:
    """Open the executor and let it learn of the chain and its wallet, before it looks at any plan."""
    run.open("executor")
    executor = run.services["executor"]
    link, executor.primary = executor.primary, run.reader("executed", "nothing")
    access, work = executor.access, executor.work
    run.until(lambda: access.watchers.blockhash() is not None and work.lamports is not None)
    run.until(lambda: access.newest_slot > 0)  # the subscriptions stand: none is made of itself later
    executor.primary.close()
    executor.primary = link


def trip(run: House) -> None:
    now_ns = run.clock.monotonic_ns()
    run.control.trip(KillTrigger.MANUAL, "test", "by hand", now_ns, run.clock.unix_ns())


def fault(run: House, kind: str, **more: Any) -> None:
    """Something goes wrong on the cluster, until ``clear`` (an action: once)."""
    faults = run.services["simnet"]._cluster.faults
    run.services["simnet"]._cluster.act(faults.parse({"kind": kind, **more}))


def clear(run: House) -> None:
    run.services["simnet"]._cluster.faults.clear()


def until_told(run: House, results: int = 1) -> None:
    run.until(lambda: run.count("executor", "out_executed") == results)


def until_out(run: House) -> None:
    """Until the plan's bytes are with somebody."""
    run.until(lambda: run.count("executor", "submitted") == 1)


def crash(run: House) -> None:
    """The executor dies: the kernel frees its lock and its sockets, nothing is flushed."""
    executor = run.services["executor"]
    executor._lock.close()
    executor.access.loop.close(executor.access._http.close())
    run.crash("executor")
