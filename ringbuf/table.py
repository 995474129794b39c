"""Table: the newest whole record of each 32-byte key, written by one process and read by any."""

from typing import TYPE_CHECKING, Self

from ringbuf import _core, layout
from ringbuf.errors import InvalidArgument, PublicationTaken
from ringbuf.layout import Kind
from ringbuf.segment import Segment, this_process

if TYPE_CHECKING:
    from typing_extensions import Buffer

ENTRY_LIMIT = 1 << 24


class Table(_core.Table):
    """Latest values by key. A reader never waits nor sees half a record, even when the writer was killed.

    The first put() of a process makes it the writer; PublicationTaken while another live one is.
    """

    def __new__(cls, segment: Segment) -> Self:
        """Made by create() and attach()."""
        self = super().__new__(cls, segment.memory)
        self._segment = segment
        self.name = segment.name
        self.capacity = segment.param(0)
        return self

    _segment: Segment
    name: str
    capacity: int

    @classmethod
    def create(cls, name: str, *, capacity: int, data_bytes: int, schema_hash: int = 0) -> Self:
        """Make a table of capacity entries; data_bytes: the sum of their record capacities (held twice)."""
        if not 1 <= capacity <= ENTRY_LIMIT:
            raise InvalidArgument(f"table {name!r}: capacity {capacity} must lie in 1..{ENTRY_LIMIT}")
        if data_bytes < 1:
            raise InvalidArgument(f"table {name!r}: data_bytes {data_bytes} must be at least 1")
        params, size = _geometry(capacity, _arena(capacity, data_bytes))
        segment = Segment.create(name, Kind.TABLE, size, schema_hash, params)
        segment.seal()
        return cls(segment)

    @staticmethod
    def size_of(*, capacity: int, data_bytes: int) -> int:
        """Bytes of shared memory that such a table takes."""
        return _geometry(capacity, _arena(capacity, data_bytes))[1]

    @classmethod
    def attach(cls, name: str, *, schema_hash: int | None = None) -> Self:
        """Map an existing table; schema_hash None is not compared. SegmentMissing, SegmentMismatch."""
        return cls(Segment.attach(name, Kind.TABLE, schema_hash))

    def put(self, key: bytes, record: "Buffer", /, record_capacity: int | None = None) -> int:
        """Write key's record; its version (1, 2, …). Becomes the writer on first use.

        record_capacity (default: the first record's length; rounded up to 64) is fixed by a key's first put.
        RecordTooLong, TableFull, PublicationTaken.
        """
        self._become_writer()
        return super().put(key, record, record_capacity)

    def _become_writer(self) -> None:
        segment = self._segment
        with segment.locked():
            owner, me = segment.owner(layout.TABLE_OWNER_AT), this_process()
            if owner.alive and owner != me:
                raise PublicationTaken(f"table {self.name!r}: process {owner.pid} writes")
            if owner.pid and owner != me:
                segment.store(layout.TABLE_TAKEOVERS_AT, segment.load(layout.TABLE_TAKEOVERS_AT) + 1)
            self.recover()
            segment.set_owner(layout.TABLE_OWNER_AT, me)
        self.put = super().put  # type: ignore[method-assign]  # from now on without a detour

    def __len__(self) -> int:
        """Keys that have a record."""
        return len(self.keys())

    def close(self) -> None:
        """Let go of the segment. Idempotent."""
        self.release()
        self._segment.close()

    def unlink(self) -> None:
        """Remove the table's name."""
        self._segment.unlink()


def _arena(capacity: int, data_bytes: int) -> int:
    """Bytes for records: each twice, rounded up to a cache line."""
    return 2 * layout.round_up(data_bytes + 63 * capacity, 64)


def _geometry(capacity: int, arena: int) -> tuple[tuple[int, ...], int]:
    """The header's params (see layout) and the segment's size."""
    index_size = layout.power_of_two(2 * capacity)
    log_size = layout.power_of_two(max(2 * capacity, 1024))
    log_at = layout.round_up(layout.TABLE_INDEX_AT + 4 * index_size, layout.LINE)
    entries_at = layout.round_up(log_at + 4 * log_size, layout.LINE)
    data_at = entries_at + layout.ENTRY_BYTES * capacity
    params = (capacity, index_size, log_size, arena, layout.TABLE_INDEX_AT, log_at, entries_at, data_at)
    return params, data_at + arena
