"""The newest record of a key while another process writes it.

    +--------+  put   +---------------+   get  +--------+
    | writer |=======>| Table, 64 keys |======>| reader |
    +--------+        +---------------+        +--------+
     cpu 0                                      cpu 1

Records of 256 bytes and of 10 kB (a tick array), quiet and while the writer puts as fast as it can. A
sample is the mean of 16 gets (one get is too short for the clock). Every record is checked: all of one
version, and no older than the last of its key. Peer: the dict of a multiprocessing.Manager.
"""

import time
from array import array
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing import connection
from multiprocessing.managers import DictProxy, SyncManager
from struct import Struct
from typing import Any

from perf.cases import WorkerCase, limits, samples_of, wrong_records
from perf.engine import Case, Outcome, Plan, Shape
from perf.peers.ring import new_name
from perf.workers import SPAWN
from ringbuf import Table

KEYS = [i.to_bytes(32, "little") for i in range(64)]
BLOCK = 16
_WORD = Struct("<Q")


def record_of(version: int, size: int) -> bytes:
    """A record that consists of its version."""
    return _WORD.pack(version) * (size // 8)


class Writer:
    """Puts until it is told to stop, by a byte in a pipe."""

    def __init__(self, make: Callable[[], Any], size: int, stop: "connection.Connection[Any, Any]") -> None:
        self._table, self._size, self._stop = make(), size, stop
        self._version = 0
        self.put_all()

    def put_all(self) -> None:
        """A new version of every key."""
        put = getattr(self._table, "put", None) or self._table.__setitem__
        self._version += 1
        record = record_of(self._version, self._size)
        for key in KEYS:
            put(key, record)

    def write(self) -> int:
        """Write until told to stop; how many records."""
        before = self._version
        while not self._stop.poll(0):
            self.put_all()
        self._stop.recv_bytes()
        return (self._version - before) * len(KEYS)


class GetReader:
    """Gets and checks."""

    def __init__(self, make: Callable[[], Any], size: int) -> None:
        self._table, self._size = make(), size
        self._seen = dict.fromkeys(KEYS, 0)

    def read(self, n: int) -> tuple[bytes, int]:
        """n blocks of gets: (ns a get, mean of each block, as array('q') bytes; wrong records)."""
        get, now, samples, wrong = self._table.get, time.perf_counter_ns, array("q", bytes(8 * n)), 0
        blocks = [KEYS[i : i + BLOCK] for i in range(0, len(KEYS), BLOCK)]
        for i in range(n):
            keys = blocks[i % len(blocks)]
            start = now()
            records = [get(key) for key in keys]
            samples[i] = (now() - start) // BLOCK
            wrong += sum(map(self._is_wrong, keys, records))
        return samples.tobytes(), wrong

    def _is_wrong(self, key: bytes, record: bytes | None) -> bool:
        if record is None or len(record) != self._size or record != record[:8] * (len(record) // 8):
            return True
        (version,) = _WORD.unpack_from(record)
        older = bool(version < self._seen[key])
        self._seen[key] = version
        return older


class TableRead(WorkerCase):
    """One store, one size, quiet or not."""

    limit = 20_000

    def __init__(
        self,
        label: str,
        plan: Plan,
        size: int,
        *,
        written: bool,
        managed: bool = False,
        reference: bool = False,
    ) -> None:
        group = f"{size} {'written' if written else 'quiet'}"
        super().__init__(label, group=group, reference=reference)
        self._plan, self._size, self._written, self._managed = plan, size, written, managed

    def start(self) -> None:
        """See WorkerCase."""
        theirs, self._stop = SPAWN.Pipe(duplex=False)
        self.keep(self._stop.close)
        make = self._managed_dict() if self._managed else self._table()
        self.add("writer", self._plan.cpus[0], Writer, make, self._size, theirs)
        self.add("reader", self._plan.cpus[1], GetReader, make, self._size)
        theirs.close()

    def _table(self) -> Callable[[], Any]:
        name = new_name("table")
        table = Table.create(name, capacity=len(KEYS), data_bytes=len(KEYS) * self._size)
        self.keep(table.close)
        self.keep(table.unlink)
        return partial(Table.attach, name)

    def _managed_dict(self) -> Callable[[], Any]:
        manager: SyncManager = SPAWN.Manager()
        self.keep(manager.shutdown)
        shared: DictProxy[bytes, bytes] = manager.dict()
        self.keep(partial(_itself, shared))  # the manager drops what nobody refers to
        return partial(_itself, shared)

    def _run(self) -> tuple["array[int]", int, int]:
        writer, reader = self.workers
        if self._written:
            writer.begin("write")
        raw, wrong = reader.call("read", self.count)
        puts = 0
        if self._written:
            self._stop.send_bytes(b"x")
            puts = writer.end()
        return samples_of(raw), wrong, puts

    def elapsed_s(self) -> float:
        """See WorkerCase."""
        start = time.monotonic()
        self._run()
        return time.monotonic() - start

    def round(self) -> Outcome:
        """Gets."""
        start = time.monotonic()
        samples, wrong, puts = self._run()
        elapsed = time.monotonic() - start
        metrics = {"received": float(self.count * BLOCK - wrong)}
        if self._written:
            metrics["puts_per_s"] = puts / elapsed
        return Outcome(metrics, samples, wrong_records(wrong, self.count * BLOCK))


def _itself(shared: Any) -> Any:
    return shared


def cases(plan: Plan) -> Sequence[Case]:
    """Two sizes, quiet and written."""
    found: list[Case] = limits(plan)
    for size, text in ((256, "256 B"), (10_000, "10 kB")):
        for written in (False, True):
            state = "while written" if written else "quiet"
            found.append(TableRead(f"Table.get {text} {state}", plan, size, written=written, reference=True))
            if plan.peers:
                label = f"Manager().dict {text} {state}"
                found.append(TableRead(label, plan, size, written=written, managed=True))
    return found


SHAPE = Shape("table_read", __doc__, cases)
