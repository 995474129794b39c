"""The wiring is one table, sound before any memory is made."""

import pytest

from hft.runtime import topology
from hft.runtime.segments import largest_messages
from hft.runtime.topology import LINKS, SERVICES, Link, validate


def changed(name: str, **values: object) -> list[Link]:
    return [entry._replace(**values) if entry.name == name else entry for entry in LINKS]  # type: ignore[arg-type]


def test_the_table_is_sound_also_against_the_real_message_sizes() -> None:
    assert validate(message_sizes=largest_messages()) == []
    assert set(largest_messages()) == {entry.name for entry in LINKS}


@pytest.mark.parametrize(
    ("links", "says"),
    [
        (changed("planned", writer="nobody"), "link planned: writer nobody is no service"),
        (changed("planned", observing=("nobody",)), "link planned: reader nobody is no service"),
        (changed("planned", gating=(), observing=()), "link planned: nobody reads it"),
        (changed("planned", observing=("planner",)), "link planned: planner reads what it writes"),
        (changed("planned", observing=("executor",)), "link planned: executor is a reader twice"),
        (changed("planned", depth=1000), "[link:planned] depth: 1000 is not a power of two"),
        (changed("planned", mtu=63), "[link:planned] mtu: 63 is not a multiple of 8"),
        ([*LINKS, LINKS[0]], "link market_data: named 2 times"),
    ],
)
def test_an_unsound_wiring_is_told(links: list[Link], says: str) -> None:
    assert any(says in error for error in validate(links)), validate(links)


def test_a_cell_too_small_for_its_message_is_told() -> None:
    (error,) = validate(message_sizes={"executed": 2000})
    assert error == "[link:executed] mtu: 1024 is smaller than its largest message, 2000 bytes"


def test_money_links_gate_and_market_links_do_not() -> None:
    assert topology.link("planned").gating == ("executor", "sidecar")
    assert topology.link("executed").gating == ("auditor", "sidecar")
    assert not any(
        topology.link(name).gating for name in ("market_data", "opportunities", "metrics", "system")
    )


def test_a_link_is_there_where_its_writer_is() -> None:
    without, with_bridge = topology.links(()), topology.links(("bridge",))
    assert [entry.name for entry in LINKS if entry not in without] == ["opportunities_remote"]
    assert with_bridge == LINKS
    assert topology.services("paper", ("bridge",)) == SERVICES
    assert "sidecar" not in topology.link("opportunities_remote").readers, "they would go round in circles"


def test_every_service_starts_once_and_readers_start_before_writers() -> None:
    started = [name for wave in topology.START_WAVES for name in wave]
    assert sorted(started) == sorted(spec.name for spec in SERVICES)
    wave_of = {name: number for number, wave in enumerate(topology.START_WAVES) for name in wave}
    for entry in LINKS:
        for reader in entry.gating:
            assert wave_of[reader] <= wave_of[entry.writer], (entry.name, reader)


def test_services_stop_after_those_whose_messages_they_read() -> None:
    place = {spec.name: number for number, spec in enumerate(SERVICES)}
    for entry in LINKS:
        for reader in entry.gating:
            assert place[reader] > place[entry.writer], (entry.name, reader)
    assert SERVICES[-1].name == topology.SIMNET
