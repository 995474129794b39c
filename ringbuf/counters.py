"""Counters: one page a service. Written by that service alone in nanoseconds, read from outside any time."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Self

from ringbuf import _core, layout
from ringbuf.errors import InvalidArgument
from ringbuf.layout import Kind
from ringbuf.segment import Owner, Segment, this_process

COUNT_LIMIT = 4096


@dataclass(frozen=True, slots=True)
class Histogram:
    """A copy of a log-bucketed histogram; a value is known to 1.6 % (below 64 and at the maximum exactly)."""

    count: int
    sum: int
    max: int
    buckets: tuple[tuple[int, int], ...]
    """(middle value, count), ascending, none empty."""

    @property
    def mean(self) -> float:
        """The values' mean; 0.0 without any."""
        return self.sum / self.count if self.count else 0.0

    def percentile(self, q: float) -> int:
        """The value that q per cent (0 to 100) of all do not exceed; 0 without any."""
        if not 0 <= q <= 100:
            raise InvalidArgument(f"percentile {q} must lie in 0..100")
        if not self.count:
            return 0
        rank = max(1, -(-self.count * q // 100))
        running = list(accumulate(count for _, count in self.buckets))
        return min(self.buckets[bisect_left(running, rank)][0], self.max)

    def since(self, earlier: "Histogram") -> "Histogram":
        """What was recorded after an earlier copy (its max is the page's)."""
        before = dict(earlier.buckets)
        buckets = tuple(
            (value, n - before.get(value, 0)) for value, n in self.buckets if n > before.get(value, 0)
        )
        return Histogram(sum(n for _, n in buckets), self.sum - earlier.sum, self.max, buckets)


class Counters(_core.Counters):
    """Named u64 counters and histograms, a heartbeat, a state; add, set, record, beat: see ``_core.pyi``."""

    def __new__(cls, segment: Segment) -> Self:
        """Made by create() and attach()."""
        self = super().__new__(cls, segment.memory)
        self._segment = segment
        self.name = segment.name
        counters, histograms, names_at = segment.param(0), segment.param(1), segment.param(2)
        names = [
            segment.text(names_at + layout.NAME_BYTES * i, layout.NAME_BYTES)
            for i in range(counters + histograms)
        ]
        self.counter_names, self.histogram_names = tuple(names[:counters]), tuple(names[counters:])
        self.label = segment.text(layout.COUNTERS_LABEL_AT, 64)
        self._index = {name: i for i, name in enumerate(self.counter_names)}
        self._histogram_index = {name: i for i, name in enumerate(self.histogram_names)}
        return self

    _segment: Segment
    name: str
    label: str
    counter_names: tuple[str, ...]
    histogram_names: tuple[str, ...]
    _index: dict[str, int]
    _histogram_index: dict[str, int]

    @classmethod
    def create(
        cls, name: str, *, counters: Sequence[str], histograms: Sequence[str] = (), label: str = ""
    ) -> Self:
        """Make a page with these names (1 to 56 bytes each, no two alike); label: 64 bytes of free text."""
        for group in (counters, histograms):
            for item in group:
                if not 1 <= len(item.encode()) <= layout.NAME_BYTES:
                    raise InvalidArgument(f"counter name {item!r} must have 1..{layout.NAME_BYTES} bytes")
            if len(set(group)) != len(group) or len(group) > COUNT_LIMIT:
                raise InvalidArgument(
                    f"counters {name!r}: names must differ, at most {COUNT_LIMIT}: {list(group)}"
                )
        if len(label.encode()) > 64:
            raise InvalidArgument(f"counters label {label!r} is over 64 bytes")
        params, size = _geometry(len(counters), len(histograms))
        segment = Segment.create(name, Kind.COUNTERS, size, 0, params)
        for i, item in enumerate((*counters, *histograms)):
            raw = item.encode()
            at = params[2] + layout.NAME_BYTES * i
            segment.memory[at : at + len(raw)] = raw
        raw = label.encode()
        segment.memory[layout.COUNTERS_LABEL_AT : layout.COUNTERS_LABEL_AT + len(raw)] = raw
        segment.seal()
        return cls(segment)

    @staticmethod
    def size_of(*, counters: int, histograms: int) -> int:
        """Bytes of shared memory that a page with so many of them takes."""
        return _geometry(counters, histograms)[1]

    @classmethod
    def attach(cls, name: str) -> Self:
        """Map an existing page. SegmentMissing, SegmentMismatch."""
        return cls(Segment.attach(name, Kind.COUNTERS))

    def index(self, name: str) -> int:
        """A counter's or a histogram's index, to be looked up once; InvalidArgument for an unknown name."""
        found = self._index.get(name, self._histogram_index.get(name))
        if found is None:
            raise InvalidArgument(f"counters {self.name!r} has no {name!r}; it has {sorted(self._index)}")
        return found

    def histogram_index(self, name: str) -> int:
        """A histogram's index, also where a counter bears the same name."""
        if name not in self._histogram_index:
            raise InvalidArgument(
                f"counters {self.name!r} has no histogram {name!r}; it has {sorted(self._histogram_index)}"
            )
        return self._histogram_index[name]

    def read(self) -> dict[str, int]:
        """All counters."""
        return {name: self.value(i) for i, name in enumerate(self.counter_names)}

    def histogram(self, name: str) -> Histogram:
        """A copy of a histogram."""
        total, greatest, buckets = self.buckets(self.histogram_index(name))
        return Histogram(sum(n for _, n in buckets), total, greatest, tuple(buckets))

    def own(self) -> None:
        """Name the calling process as the page's writer, for pid and alive."""
        self._segment.set_owner(layout.COUNTERS_OWNER_AT, this_process())

    @property
    def owner(self) -> Owner:
        """The process that called own() last; pid 0 for none."""
        return self._segment.owner(layout.COUNTERS_OWNER_AT)

    @property
    def pid(self) -> int:
        """The owner's process id; 0 for none."""
        return self.owner.pid

    @property
    def heartbeat_ns(self) -> int:
        """The time given to the last beat(); 0 before the first."""
        return self._segment.load(layout.COUNTERS_HEARTBEAT_AT)

    @property
    def state(self) -> int:
        """The number last given to set_state()."""
        return self._segment.load(layout.COUNTERS_STATE_AT)

    def set_state(self, state: int) -> None:
        """Publish the service's state, a number of the caller's choosing (0 to 2**64-1)."""
        self._segment.store(layout.COUNTERS_STATE_AT, state)

    def close(self) -> None:
        """Let go of the segment. Idempotent."""
        self.release()
        self._segment.close()

    def unlink(self) -> None:
        """Remove the page's name."""
        self._segment.unlink()


def _geometry(counters: int, histograms: int) -> tuple[tuple[int, ...], int]:
    """The header's params (see layout) and the segment's size."""
    names_at = layout.COUNTERS_NAMES_AT
    values_at = layout.round_up(names_at + layout.NAME_BYTES * (counters + histograms), layout.LINE)
    histograms_at = layout.round_up(values_at + 8 * counters, layout.LINE)
    size = histograms_at + _core.HISTOGRAM_BYTES * histograms
    return (counters, histograms, names_at, values_at, histograms_at), size
