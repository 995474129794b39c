"""The layout is what FlatBuffers asks for, and what the schemas promise."""

from enum import IntEnum

import pytest
from wire_support import every_record, is_bytes, ours, plain_values

from hft import wire
from hft.wire import Codec, foreign

CONTRACT = {
    "PoolUpdate": (b"HFPU", "market_data"),
    "Quote": (b"HFQU", "market_data"),
    "SlotUpdate": (b"HFSU", "market_data"),
    "TwoHopOpportunity": (b"HFTO", "opportunities"),
    "TriangularOpportunity": (b"HFTR", "opportunities"),
    "ExecutionPlan": (b"HFEP", "planned"),
    "PlanRejected": (b"HFPR", "planned"),
    "ExecutionResult": (b"HFER", "executed"),
    "LatencyMetric": (b"HFLM", "metrics"),
    "ThroughputMetric": (b"HFTM", "metrics"),
    "PnlMetric": (b"HFPM", "metrics"),
    "HealthMetric": (b"HFHM", "system"),
    "KillSwitch": (b"HFKS", "system"),
    "Lifecycle": (b"HFLC", "system"),
    "ConnectionHealth": (b"HFCH", "system"),
}


def test_every_event_has_its_identifier_and_link() -> None:
    assert {c.name: (c.identifier, c.layout.link) for c in wire.CODECS} == CONTRACT


@every_record
def test_fields_are_aligned_and_do_not_overlap(codec: Codec) -> None:
    end = len(codec.layout.template)
    assert end % 8 == 0
    for field in codec.layout.fields:
        assert field.offset >= end
        assert field.offset - end < 8
        assert field.offset % field.alignment == 0
        assert field.alignment == (1 if is_bytes(field) else field.bytes)
        end = field.offset + field.bytes
    assert end == codec.size


@every_record
def test_our_messages_pass_the_full_verifier(codec: Codec) -> None:
    message = ours(codec, plain_values(codec))
    foreign.verify(codec.layout, message)
    assert foreign.read(codec.layout, message) == plain_values(codec)
    assert wire.identifier(message) == codec.identifier
    assert wire.codec_of(message) is codec


@every_record
def test_every_event_says_where_it_comes_from_and_every_number_its_unit(codec: Codec) -> None:
    fields = codec.layout.fields
    assert [f.name for f in fields[:2]] == ["trace_id", "plan_id"] or fields[1].name == "sequence"
    assert {"trace_id", "sequence", "slot"} <= {f.name for f in fields}
    assert [f.name for f in fields] == list(codec.Record._fields)
    for field in fields:
        assert field.doc.endswith(".")
        assert field.unit or field.enum or is_bytes(field)
        if field.name.endswith("_ns"):
            assert field.unit.startswith("ns")
            assert field.bytes == 8
        if field.name.endswith("_lamports") and not field.name.endswith("micro_lamports"):
            assert field.unit == "lamports"
            assert field.bytes == 8


@every_record
def test_enum_fields_hold_their_enums(codec: Codec) -> None:
    for field in codec.layout.fields:
        if field.enum is not None:
            assert issubclass(field.enum, IntEnum)
            assert min(field.enum) == 0
            assert max(field.enum) < 1 << 8 * field.bytes


@every_record
def test_subjects_are_of_domain_form(codec: Codec) -> None:
    entry = wire.REGISTRY[codec.identifier]
    record = codec.decode(ours(codec, plain_values(codec)))
    tokens = entry.subject(record).split(".")
    first = {
        "MARKET_DATA": "market",
        "OPPORTUNITIES": "opportunity",
        "PLANNED": "execution",
        "EXECUTED": "execution",
        "METRICS": "metrics",
        "SYSTEM": "system",
    }
    assert tokens[0] == first[entry.stream]
    assert entry.link.upper() == entry.stream
    assert all(token and token.replace("_", "").isalnum() and token.isascii() for token in tokens)


def test_subjects_name_what_a_listener_filters_by() -> None:
    mint, pool = bytes([1]) * 32, bytes([2]) * 32
    update = wire.PoolUpdate(bytes(16), 1, 2, 3, 1, 1, 0, 1, pool, mint, mint, 4, 5)
    subject = wire.REGISTRY[b"HFPU"].subject
    assert subject(update) == f"market.pool.whirlpool.{wire.base58(pool)}"
    assert subject(update._replace(venue=99)) == f"market.pool.99.{wire.base58(pool)}"
    switch = wire.KillSwitch(bytes(16), 1, 2, 2, wire.enums.KillTrigger.DRAWDOWN, 0, 0, b"", b"", 0, 0)
    assert wire.REGISTRY[b"HFKS"].subject(switch) == "system.kill.drawdown"


def test_base58_is_solanas() -> None:
    from solders.pubkey import Pubkey

    for key in (bytes(32), bytes(31) + b"\1", b"\xff" * 32, b"\0\0" + bytes(range(1, 31))):
        assert wire.base58(key) == str(Pubkey.from_bytes(key))


@pytest.mark.parametrize("buffer", [b"", b"1234567"])
def test_a_buffer_too_short_for_an_identifier_is_refused(buffer: bytes) -> None:
    with pytest.raises(wire.WireError) as caught:
        wire.identifier(buffer)
    assert caught.value.code is wire.WireErrorCode.TRUNCATED


def test_an_unknown_identifier_is_refused_with_the_known_ones() -> None:
    with pytest.raises(wire.WireError, match="HFPU") as caught:
        wire.codec_of(b"\0\0\0\0NOPE\0\0\0\0")
    assert caught.value.code is wire.WireErrorCode.UNKNOWN_IDENTIFIER
