"""How long to wait before the next attempt: exponential with jitter, bounded."""

from collections.abc import Callable
from typing import Final, NamedTuple


class BackoffRule(NamedTuple):
    """The ``n``-th wait lies in [half, whole] of ``first_ns`` · 2ⁿ, never above ``longest_ns``."""

    first_ns: int = 20_000_000
    longest_ns: int = 2_000_000_000


BACKOFF_RULE: Final = BackoffRule()


def delay_ns(rule: BackoffRule, attempt: int, random: Callable[[], float]) -> int:
    """Wait after ``attempt`` failures before it (0 = the first); ``random`` gives [0, 1).

    Half of it is fixed, so that a wait is never none; half is jitter, so that clients that failed together
    don't come back together.
    """
    whole = min(rule.first_ns << min(attempt, 40), rule.longest_ns)
    return whole // 2 + int(random() * (whole - whole // 2))
