"""De-duplication by (path, size bucket, slot): the same chance is acted on once, whoever names it."""

from typing import NamedTuple


class Path(NamedTuple):
    """What makes two opportunities the same, apart from the slot."""

    strategy: int
    pool_1: bytes
    pool_2: bytes
    base_mint: bytes
    size_bucket: int


def size_bucket(amount: int) -> int:
    """Octave of the amount and its quarter: sizes within about 19-25% of each other share a bucket.

    0 for nothing; otherwise 4 x bit length + the two bits below the leading one.
    """
    if amount <= 0:
        return 0
    bits = amount.bit_length()
    return bits * 4 + ((amount >> (bits - 3)) & 3 if bits >= 3 else (amount << (3 - bits)) & 3)


class Deduper:
    """Remembers paths for ``slots`` slots, at most ``capacity`` of them (the oldest leave first)."""

    def __init__(self, slots: int, capacity: int = 4_096) -> None:
        if slots < 0 or capacity < 1:
            raise ValueError(f"slots {slots} and capacity {capacity} must be at least 0 and 1")
        self._slots = slots
        self._capacity = capacity
        self._seen: dict[Path, int] = {}

    def __len__(self) -> int:
        return len(self._seen)

    def first(self, path: Path, slot: int) -> bool:
        """True if ``path`` was not accepted within the last ``slots`` slots; it is then remembered.

        A slot that goes back (a fork, a replay) counts as a repetition while the path is remembered.
        """
        seen = self._seen
        last = seen.get(path)
        if last is not None:
            if slot < last + self._slots:
                return False
            del seen[path]  # re-inserted below, so that insertion order stays order of age
        elif len(seen) >= self._capacity:
            del seen[next(iter(seen))]
        seen[path] = slot
        return True


class Holds:
    """Pools that a plan was just made on: held until their state has moved, or the plan's life is over.

    Without it one dislocation would be bought again on the state that the first purchase is about to change.
    """

    SWEEP_AT = 1_024

    def __init__(self) -> None:
        self._holds: dict[bytes, tuple[int, int]] = {}

    def hold(self, pool: bytes, version: int, until_ns: int) -> None:
        """``version`` is any number that differs once the pool's state does."""
        self._holds[pool] = (version, until_ns)

    def held(self, pool: bytes, version: int, now_ns: int) -> bool:
        hold = self._holds.get(pool)
        return hold is not None and hold[0] == version and now_ns < hold[1]

    def forget_before(self, now_ns: int) -> None:
        """Drop what is over, once there is enough of it to matter."""
        if len(self._holds) > self.SWEEP_AT:
            self._holds = {pool: hold for pool, hold in self._holds.items() if now_ns < hold[1]}
