"""Strategies go by the names of the settings in subjects."""

from hft import wire
from hft.wire.registry import SUBJECT_READERS, name_strategies


def subjects(strategy: int) -> set[str]:
    codec = wire.pnl_metric
    values = {
        field.name: bytes(field.bytes) if field.code.endswith("s") else 0 for field in codec.layout.fields
    }
    message = bytearray(codec.size)
    codec.encode_into(message, *(values | {"strategy": strategy}).values())
    read = SUBJECT_READERS[codec.identifier][1]
    return {wire.REGISTRY[codec.identifier].subject(codec.decode(message)), read(message).decode()}


def test_a_name_that_was_given_stands_for_its_number() -> None:
    assert subjects(1) == {"metrics.pnl.two_hop"}
    assert subjects(60_001) == {"metrics.pnl.60001"}
    name_strategies({60_001: "bold"})
    assert subjects(60_001) == {"metrics.pnl.bold"}
    assert subjects(1) == {"metrics.pnl.two_hop"}
