"""Opportunities of a market that a test moves once, and what the planner says of them."""

from typing import Any

from service_support import QUIET, House, dislocate, settings

from hft import wire
from hft.wire import ExecutionPlan, PlanRejected, TwoHopOpportunity


def found(house: House) -> list[TwoHopOpportunity]:
    reader = house.reader("opportunities", "opportunity-reader")
    messages = [wire.two_hop_opportunity.decode(message) for message in reader.take_batch(1_000)]
    reader.close()
    return messages


def refused(house: House) -> list[PlanRejected]:
    reader = house.reader("planned", "refusal-reader")
    messages = [m for m in reader.take_batch(20_000) if wire.identifier(m) == b"HFPR"]
    reader.close()
    return [wire.plan_rejected.decode(message) for message in messages]


def one_opportunity(run: House) -> TwoHopOpportunity:
    """A real opportunity of a market moved once; afterwards the scanner is closed."""
    run.open("simnet", "scanner", "feed")
    run.until(lambda: run.count("feed", "pools") > 0 and run.count("feed", "slot") > 0)
    dislocate(run)
    run.until(lambda: run.count("scanner", "out_opportunities") > 0)
    run.shut("scanner")
    return found(run)[0]


def offer(run: House, opportunity: TwoHopOpportunity, **changes: Any) -> None:
    """Put an opportunity on its link, fresh unless told otherwise."""
    changes.setdefault("scan_published_ns", run.clock.monotonic_ns())
    message = bytearray(wire.two_hop_opportunity.size)
    wire.two_hop_opportunity.encode_into(message, *opportunity._replace(**changes))
    assert run.writer("opportunities").offer(bytes(message))


def plans(house: House) -> list[ExecutionPlan]:
    """Every plan told so far."""
    reader = house.reader("planned", "plan-reader")
    messages = [m for m in reader.take_batch(20_000) if wire.identifier(m) == b"HFEP"]
    reader.close()
    return [wire.execution_plan.decode(message) for message in messages]


def with_settings(run: House, **sections: dict[str, Any]) -> None:
    """Other settings for the services opened from here on."""
    object.__setattr__(run.run, "config", settings(simnet=QUIET, **sections))
