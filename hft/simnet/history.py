"""What accounts were before each of the newest slots: older commitments are read here, forks undone."""

from collections import deque
from typing import Final

from hft.venues import ABSENT, Account

SLOTS_KEPT: Final = 64  # a finalised slot lies 32 back; a lagging node may lie as much further


class History:
    """For each slot kept, every account that changed in it, as it was before the slot's first change."""

    def __init__(self) -> None:
        self._slots: deque[tuple[int, dict[bytes, Account]]] = deque(maxlen=SLOTS_KEPT)

    def begin(self, slot: int) -> None:
        """What is noted from now on belongs to ``slot``."""
        self._slots.append((slot, {}))

    def note(self, pubkey: bytes, before: Account | None) -> None:
        """The account is about to change."""
        self._slots[-1][1].setdefault(pubkey, before or ABSENT)

    def at(self, pubkey: bytes, slot: int, now: Account) -> Account:
        """The account at the end of ``slot`` (or as far back as is known), given what it is ``now``."""
        for past, before in self._slots:
            if past > slot and pubkey in before:
                return before[pubkey]
        return now

    def changed_in(self, slot: int) -> tuple[bytes, ...]:
        """Accounts that were written in ``slot``."""
        return next((tuple(before) for past, before in self._slots if past == slot), ())

    def since(self, slot: int) -> dict[bytes, Account]:
        """Every account that changed after ``slot``, as it was at its end."""
        found: dict[bytes, Account] = {}
        for past, before in self._slots:
            if past > slot:
                for pubkey, account in before.items():
                    found.setdefault(pubkey, account)
        return found

    def forget_after(self, slot: int) -> None:
        """The slots after ``slot`` never were."""
        while self._slots and self._slots[-1][0] > slot:
            self._slots.pop()

    @property
    def oldest(self) -> int:
        """The oldest slot whose end can still be told."""
        return self._slots[0][0]
