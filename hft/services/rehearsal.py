"""What a hot service goes through in an idle moment, so that a trade finds code and data in the caches.

A trade comes a few times a second. By the next one others have taken the caches, and each of its steps would
wait for memory: ``python -m perf run tick_to_trade`` compares both. A rehearsal takes the newest message of
one of the last routes through the very steps of a trade, on the newest state, up to where an effect begins:
nothing is published, counted, remembered or signed for the chain.
"""

from collections.abc import Callable, Hashable
from typing import Final

ROUTES: Final = 4
"""Messages kept, one a route; each is gone through in its turn."""
NEVER_NS: Final = 2**63 - 1
"""The end of the life of a plan that is rehearsed."""


class Rehearsal:
    """The repertoire of one service, and who goes through it."""

    __slots__ = ("_act", "_messages", "_turn")

    def __init__(self, act: Callable[[bytes], object]) -> None:
        """``act``: goes through one message without a trace."""
        self._act = act
        self._messages: dict[Hashable, bytes] = {}
        self._turn: list[Hashable] = []

    def keep(self, route: Hashable, message: bytes) -> None:
        """The newest message of a route; the oldest route goes where there is no room."""
        messages = self._messages
        messages.pop(route, None)
        if len(messages) >= ROUTES:
            del messages[next(iter(messages))]
        messages[route] = message

    def __call__(self) -> bool:
        """Goes through the next message; False where there is none."""
        while self._turn or self._messages:
            if not self._turn:
                self._turn = list(self._messages)
            message = self._messages.get(self._turn.pop())
            if message is not None:
                self._act(message)
                return True
        return False
