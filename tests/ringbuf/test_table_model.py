"""Table against a dict, by Hypothesis, with writer and reader as two attachments; and its bad input."""

import os
from itertools import count

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from ringbuf_support import ended, start

from ringbuf import InvalidArgument, PublicationTaken, RecordTooLong, Table, TableFull

_names = count()
KEYS = [bytes([i]) * 31 + bytes([j]) for i in (0, 1, 255) for j in range(4)]
CAPACITY = 8


def room_for(length: int) -> int:
    """A record's capacity as the table rounds it."""
    return -(-length // 64) * 64


class TableMachine(RuleBasedStateMachine):
    """Records by key, each with a version and the number of its newest change."""

    def __init__(self) -> None:
        super().__init__()
        name = f"rbtm{os.getpid():x}-{next(_names)}-table"
        self.writer = Table.create(name, capacity=CAPACITY, data_bytes=700)
        self.reader = Table.attach(name)
        self.arena = -(-(700 + 63 * CAPACITY) // 64) * 64
        self.records: dict[bytes, tuple[int, bytes]] = {}
        self.room: dict[bytes, int] = {}
        self.changed: dict[bytes, int] = {}
        self.changes = self.cursor = 0

    @rule(
        key=st.sampled_from(KEYS),
        record=st.binary(max_size=200),
        capacity=st.one_of(st.none(), st.integers(0, 300)),
    )
    def put(self, key: bytes, record: bytes, capacity: int | None) -> None:
        wanted = len(record) if capacity is None else capacity
        room = self.room.get(key, room_for(wanted))
        if key not in self.room:
            if len(record) > wanted:
                self.refused(RecordTooLong, key, record, capacity)
                return
            if len(self.room) == CAPACITY or sum(self.room.values()) + room > self.arena:
                self.refused(TableFull, key, record, capacity)
                return
            self.room[key] = room
        if len(record) > room:
            self.refused(RecordTooLong, key, record, capacity)
            return
        version = self.records.get(key, (0, b""))[0] + 1
        assert self.writer.put(key, record, record_capacity=capacity) == version
        self.records[key] = version, record
        self.changes += 1
        self.changed[key] = self.changes

    def refused(self, error: type[Exception], key: bytes, record: bytes, capacity: int | None) -> None:
        with pytest.raises(error):
            self.writer.put(key, record, capacity)

    @rule(key=st.sampled_from(KEYS), times=st.integers(1, 1500))
    def put_often(self, key: bytes, times: int) -> None:
        if key in self.records:
            for _ in range(times):
                self.put(key, self.records[key][1], None)

    @rule()
    def read_changes(self) -> None:
        after, keys = self.reader.changed_since(self.cursor)
        assert len(keys) == len(set(keys))
        assert set(keys) == {key for key, change in self.changed.items() if change > self.cursor}
        self.cursor = after

    @rule()
    def writer_comes_again(self) -> None:
        name = self.writer.name
        self.writer.close()
        self.writer = Table.attach(name)

    @invariant()
    def all_records_agree(self) -> None:
        assert len(self.reader) == len(self.records)
        assert set(self.reader.keys()) == self.records.keys()
        for key in KEYS:
            assert self.reader.get_versioned(key) == self.records.get(key)
            assert self.reader.get(key) == (self.records[key][1] if key in self.records else None)

    def teardown(self) -> None:
        self.reader.unlink()
        self.reader.close()
        self.writer.close()


TestTableAgainstModel = TableMachine.TestCase
TestTableAgainstModel.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)


def test_a_second_live_writer_is_refused(prefix: str) -> None:
    table = Table.create(f"{prefix}-table", capacity=4, data_bytes=100)
    table.put(KEYS[0], b"mine")

    def intrude() -> None:
        with pytest.raises(PublicationTaken, match=r"process \d+ writes"):
            Table.attach(table.name).put(KEYS[0], b"theirs")

    assert ended(start(intrude)) == 0
    assert table.get(KEYS[0]) == b"mine"


def test_a_dead_writer_is_succeeded(prefix: str) -> None:
    table = Table.create(f"{prefix}-table", capacity=4, data_bytes=100)
    assert ended(start(lambda: Table.attach(table.name).put(KEYS[0], b"old", 50))) == 0
    assert table.put(KEYS[0], b"new") == 2
    assert table.put(KEYS[1], b"other") == 1
    assert set(table.keys()) == {KEYS[0], KEYS[1]}


def test_bad_input_names_the_value(prefix: str) -> None:
    with pytest.raises(InvalidArgument, match="capacity 0 must lie in"):
        Table.create(f"{prefix}-table", capacity=0, data_bytes=100)
    with pytest.raises(InvalidArgument, match="data_bytes 0 must be"):
        Table.create(f"{prefix}-table", capacity=1, data_bytes=0)
    table = Table.create(f"{prefix}-table", capacity=1, data_bytes=100)
    for key in (b"", b"x" * 31, b"x" * 33, "x" * 32):
        with pytest.raises(ValueError, match="a key is 32 bytes, got"):
            table.put(key, b"x")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="a key is 32 bytes, got"):
            table.get(key)  # type: ignore[arg-type]
    with pytest.raises(RecordTooLong, match="a record of 9 bytes"):
        table.put(KEYS[0], b"123456789", 8)
    table.put(KEYS[0], b"12345678", 8)
    with pytest.raises(RecordTooLong, match="a record of 65 bytes"):
        table.put(KEYS[0], bytes(65))
    with pytest.raises(TableFull, match="capacity is 1 entries"):
        table.put(KEYS[1], b"x")
    roomy = Table.create(f"{prefix}-table2", capacity=2, data_bytes=100)
    with pytest.raises(TableFull, match="no room for two buffers of 5000 bytes"):
        roomy.put(KEYS[0], b"x", 5000)
    assert table.get(KEYS[0]) == b"12345678"
