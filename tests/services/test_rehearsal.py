"""Rehearsals: the steps of a trade once more, on real services, and nothing of it to be seen afterwards."""

from collections.abc import Callable
from typing import Any

import pytest
from executor_support import ready, until_told, with_a_plan
from opportunity_support import one_opportunity
from service_support import PATIENT, QUIET, House, dislocate, settings, submissions
from solders.transaction import VersionedTransaction

from hft.chain.template import OFF_CHAIN
from hft.services import rehearsal
from hft.services.rehearsal import Rehearsal
from hft.strategy.pricing import Priced
from hft.strategy.registry import Refusal

Make = Callable[..., House]


def watched(monkeypatch: pytest.MonkeyPatch, owner: object, name: str) -> list[Any]:
    """What the method returns from here on."""
    returned: list[Any] = []
    method = getattr(owner, name)

    def told(*given: object) -> object:
        returned.append(method(*given))
        return returned[-1]

    monkeypatch.setattr(owner, name, told)
    return returned


def traces(run: House, service: str) -> tuple[object, ...]:
    """All that a rehearsal could have left: counters, histograms, messages."""
    page = run.segments.pages[service]
    histograms = tuple(page.histogram(name).count for name in page.histogram_names)
    return page.read(), histograms, [ring.stats()["published"] for ring in run.segments.rings.values()]


def test_each_route_has_its_turn_with_its_newest_message() -> None:
    seen: list[bytes] = []
    rehearse = Rehearsal(seen.append)
    assert not rehearse()
    for route, message in (("a", b"old"), ("b", b"b"), ("a", b"new")):
        rehearse.keep(route, message)
    assert [rehearse() for _ in range(4)] == [True] * 4
    assert sorted(seen) == [b"b", b"b", b"new", b"new"]
    for number in range(100):
        rehearse.keep(number, b"%d" % number)
    seen.clear()
    for _ in range(3 * rehearsal.ROUTES):
        rehearse()
    assert {int(message) for message in seen if message.isdigit()} == set(range(100 - rehearsal.ROUTES, 100))


@pytest.mark.parametrize("simulate", ["off", "on"])
def test_a_planner_rehearses_a_plan_without_a_trace(
    house: Make, monkeypatch: pytest.MonkeyPatch, simulate: str
) -> None:
    run = house(settings(simnet=QUIET, planner={**PATIENT, "simulate": simulate}))
    one_opportunity(run)
    run.open("planner")
    planner = run.services["planner"]
    assert not planner.rehearse(), "there was no plan yet"
    run.until(lambda: run.count("planner", "plans") == 1)
    run.cycle(["planner"])  # what its plan wanted is made ready
    priced = watched(monkeypatch, planner._appraisal, "rehearse")
    runs = [] if simulate == "off" else watched(monkeypatch, planner._appraisal._simulator, "run_ready")
    before = traces(run, "planner")
    assert [planner.rehearse() for _ in range(3)] == [True] * 3
    assert traces(run, "planner") == before
    assert len(priced) == 3
    assert all(isinstance(one, Priced) for one in priced)
    assert all(done is not None and done.ok for done in runs)
    assert len(runs) == (3 if simulate == "on" else 0)


def test_a_scanner_rehearses_an_opportunity_without_a_trace(
    house: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = house(settings(simnet=QUIET))
    run.open("simnet", "scanner", "feed")
    run.until(lambda: run.count("feed", "pools") > 0 and run.count("feed", "slot") > 0)
    scanner = run.services["scanner"]
    assert not scanner.rehearse(), "there was no opportunity yet"
    dislocate(run)
    run.until(lambda: run.count("scanner", "out_opportunities") > 0)
    judged = watched(monkeypatch, scanner._strategies[0], "judge")
    before = traces(run, "scanner")
    assert scanner.rehearse()
    assert traces(run, "scanner") == before
    assert [isinstance(one, Refusal) for one in judged] == [False]


def test_an_executor_rehearses_without_signing_anything_for_the_chain(
    house: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = with_a_plan(house)
    ready(run)
    executor = run.services["executor"]
    assert not executor.rehearse(), "there was no plan yet"
    until_told(run)
    signed: list[bytes] = []
    sign = executor.builder._templates._local

    def local(message: bytes) -> bytes:
        signed.append(message)
        return bytes(sign(message))

    monkeypatch.setattr(executor.builder._templates, "_local", local)
    before, sent = traces(run, "executor"), submissions(run)
    assert [executor.rehearse() for _ in range(3)] == [True] * 3
    assert (traces(run, "executor"), submissions(run)) == (before, sent)
    assert signed == [OFF_CHAIN] * 3
    assert executor.pending() == 0


def test_what_a_rehearsal_signs_is_no_transaction() -> None:
    with pytest.raises(ValueError, match="tag encoding: 127"):
        VersionedTransaction.from_bytes(b"\x01" + bytes(64) + OFF_CHAIN)
