"""A capture's own pace: each batch waits until as much time has passed as when it was taken."""

import time
from collections.abc import Callable
from typing import Final

LONGEST_NAP_NS: Final = 200_000_000
"""How long an end that somebody asked for may be overlooked."""


class Pace:
    """Called with each batch's ``taken_ns``; waits until that batch is due. The first call starts the count.

    ``start_ns``: where the capture begins, by its own clock. ``ended()``: no more waiting. A batch that is
    late is not waited for, and those after it not the longer.
    """

    def __init__(
        self,
        start_ns: int,
        ended: Callable[[], bool],
        now_ns: Callable[[], int] = time.monotonic_ns,
        sleep_s: Callable[[float], None] = time.sleep,
    ) -> None:
        self._start_ns = start_ns
        self._ended = ended
        self._now_ns = now_ns
        self._sleep_s = sleep_s
        self._began_ns: int | None = None

    def __call__(self, taken_ns: int) -> None:
        if self._began_ns is None:
            self._began_ns = self._now_ns()
        due_ns = self._began_ns + taken_ns - self._start_ns
        while not self._ended() and (left_ns := due_ns - self._now_ns()) > 0:
            self._sleep_s(min(left_ns, LONGEST_NAP_NS) / 1e9)
