"""Which accounts to follow: those that pools rest on now, and those asked for besides. Pure.

A pool's needs move with its price (tick and bin arrays, mostly). What no pool needs any more is kept for a
while, since a price that crossed an array's edge likes to come back.
"""

from collections.abc import Collection, Iterable
from typing import Final

HOLD_NS: Final = 60_000_000_000
"""How long an account that nobody needs is followed still."""


class WatchSet:
    """See the module. Accounts beyond ``limit`` are not followed, and counted."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._users: dict[bytes, int] = {}
        self._needs: dict[bytes, tuple[bytes, ...]] = {}
        self._idle_ns: dict[bytes, int] = {}
        self._added: dict[bytes, None] = {}
        self.refused = 0

    def __len__(self) -> int:
        return len(self._users)

    def __contains__(self, key: bytes) -> bool:
        return key in self._users

    def keys(self) -> Collection[bytes]:
        """All that is followed."""
        return self._users.keys()

    def needs(self, user: bytes) -> Collection[bytes]:
        """What ``user`` (a pool, or any other name) needs."""
        return self._needs.get(user, ())

    def want(self, user: bytes, keys: Iterable[bytes], now_ns: int) -> None:
        """``user`` needs ``keys`` from now on, and nothing else."""
        before = self._needs.get(user, ())
        wanted = tuple(dict.fromkeys(keys))
        if wanted == before:
            return
        users, held = self._users, set(before)
        taken = [key for key in wanted if key in held or self._take(key)]
        self._needs[user] = tuple(taken)
        for key in held.difference(wanted):
            users[key] -= 1
            if users[key] == 0:
                self._idle_ns[key] = now_ns

    def take_added(self) -> list[bytes]:
        """What to follow besides, since the last call."""
        added = list(self._added)
        self._added.clear()
        return added

    def take_dropped(self, now_ns: int) -> list[bytes]:
        """What to follow no longer: nobody has needed it for ``HOLD_NS``."""
        dropped = [key for key, since_ns in self._idle_ns.items() if now_ns - since_ns >= HOLD_NS]
        for key in dropped:
            del self._idle_ns[key], self._users[key]
            self._added.pop(key, None)
        return dropped

    def _take(self, key: bytes) -> bool:
        if key not in self._users:
            if len(self._users) >= self._limit:
                self.refused += 1
                return False
            self._users[key] = 0
            self._added[key] = None
        self._users[key] += 1
        self._idle_ns.pop(key, None)
        return True
