"""Every record comes back as it was written, whoever wrote it and whoever reads it."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_support import (
    accessor_values,
    built,
    every_record,
    extremes,
    is_bytes,
    ours,
    plain_values,
    values_of,
)

from hft import wire
from hft.wire import Codec, WireError, WireErrorCode


@every_record
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_every_record_round_trips(codec: Codec, data: st.DataObject) -> None:
    values = data.draw(values_of(codec))
    message = ours(codec, values)
    record = codec.decode(message)
    assert record == values
    assert type(record) is codec.Record
    codec.verify(message)


@every_record
def test_extremes_round_trip_and_the_generated_accessors_read_them(codec: Codec) -> None:
    for values in extremes(codec):
        message = ours(codec, values)
        assert codec.decode(message) == values
        assert codec.decode(memoryview(message)) == values
        assert accessor_values(codec, message) == values


@every_record
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_messages_of_the_builder_decode_to_the_same_values(codec: Codec, data: st.DataObject) -> None:
    values = data.draw(values_of(codec))
    order = data.draw(st.permutations(range(len(values))))
    for message in (
        built(codec, values),
        built(codec, values, order=order),
        built(codec, values, defaults=False),
    ):
        codec.verify(message)
        assert codec.decode(message) == values
        assert codec.decode(ours(codec, values)) == codec.decode(message)


@every_record
def test_every_reader_gives_its_field_on_both_paths(codec: Codec) -> None:
    values = plain_values(codec)
    for message in (ours(codec, values), built(codec, values)):
        for field, value in zip(codec.layout.fields, values, strict=True):
            assert getattr(codec, f"read_{field.name}")(message) == value
        names = [field.name for field in codec.layout.fields]
        assert wire.reader(codec, *names)(message) == values
        assert wire.reader(codec, names[1], names[-1])(message) == (values[1], values[-1])


@every_record
def test_a_message_may_stand_anywhere_and_be_followed_by_anything(codec: Codec) -> None:
    values = plain_values(codec)
    cell = bytearray(b"\xaa" * (codec.size + 64))
    view = memoryview(cell)
    assert codec.encode_into(view[8:], *values) == codec.size
    assert cell[:8] == b"\xaa" * 8
    assert cell[8 + codec.size :] == b"\xaa" * 56
    assert codec.decode(view[8 : 8 + codec.size]) == values
    assert codec.decode(view[8:]) == values


@every_record
def test_encoding_leaves_nothing_of_the_cells_past(codec: Codec) -> None:
    values = plain_values(codec)
    cell = bytearray(random.Random(1).randbytes(codec.size))
    codec.encode_into(cell, *values)
    assert bytes(cell) == ours(codec, values)


@every_record
def test_a_value_that_does_not_fit_is_refused_by_name(codec: Codec) -> None:
    values = plain_values(codec)
    cell = bytearray(codec.size)
    for position, field in enumerate(codec.layout.fields):
        if is_bytes(field):
            wrong: list[object] = [b"x" * (field.bytes + 1), "text", None, 5]
            wrong += [] if field.text else [b"x" * (field.bytes - 1), b""]
        else:
            bits = 8 * field.bytes
            wrong = [1 << bits, -1 - (1 << bits - 1), 1.5, "5", None, b""]
        for value in wrong:
            with pytest.raises(WireError) as caught:
                codec.encode_into(cell, *values[:position], value, *values[position + 1 :])
            assert caught.value.code is WireErrorCode.BAD_VALUE
            assert f"{codec.name}.{field.name}:" in str(caught.value)


@every_record
def test_a_short_cell_is_refused(codec: Codec) -> None:
    with pytest.raises(WireError) as caught:
        codec.encode_into(bytearray(codec.size - 1), *plain_values(codec))
    assert caught.value.code is WireErrorCode.NO_ROOM
    assert str(codec.size) in str(caught.value)


def test_short_text_is_padded_and_reads_back() -> None:
    cell = bytearray(wire.kill_switch.size)
    text = wire.fit_text("Größe überschritten " * 9, 128)
    assert len(text) in (127, 128)
    wire.kill_switch.encode_into(cell, bytes(16), 1, 2, 2, 1, -3, 4, b"ann", text, 5, 6)
    record = wire.kill_switch.decode(cell)
    assert wire.text(record.by) == "ann"
    assert record.by == b"ann".ljust(32, b"\0")
    assert wire.text(record.message) == text.decode()
    assert wire.text(b"\xff\xfe\0\0") == "\ufffd\ufffd"


def test_a_reader_gives_its_fields_in_the_order_named() -> None:
    message = ours(wire.pool_update, plain_values(wire.pool_update))
    record = wire.pool_update.decode(message)
    for names in (("slot", "sequence"), ("slot", "slot"), ("published_ns", "venue", "trace_id")):
        assert wire.reader(wire.pool_update, *names)(message) == tuple(getattr(record, n) for n in names)
    with pytest.raises(KeyError, match="PoolUpdate has no field 'price'"):
        wire.reader(wire.pool_update, "price")
    with pytest.raises(ValueError, match="at least one field"):
        wire.reader(wire.pool_update)


def test_fields_may_be_given_by_name() -> None:
    values = plain_values(wire.pool_update)
    named = dict(zip(wire.PoolUpdate._fields, values, strict=True))
    cell = bytearray(wire.pool_update.size)
    assert wire.pool_update.encode_into(cell, **named) == len(cell)
    assert wire.pool_update.decode(cell) == values
    assert wire.pool_update.encode_into(cell, *values[:4], **dict(list(named.items())[4:])) == len(cell)
    assert wire.pool_update.decode(cell) == values
    for wrong in ({**named, "price": 1}, {**named, "sequence": 1, "pools": 2}):
        with pytest.raises(TypeError, match="fields"):
            wire.pool_update.encode_into(cell, **wrong)
    del named["venue"]
    with pytest.raises(TypeError, match="price is no field"):
        wire.pool_update.encode_into(cell, **named, price=1)
    with pytest.raises(TypeError, match="trace_id is no field, or is given twice"):
        wire.pool_update.encode_into(cell, bytes(16), **named)
