"""A capture as the feed's source, and the clock that follows it."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from hft.chain.subscribe import AccountChanged, AccountUnusable, FeedEvent, Reverted, SlotSeen
from hft.chain.subscribe_merge import Version, Watch
from hft.runtime.capture import Capture
from hft.runtime.capture_format import Happening, Surveyed
from hft.services.pools import Survey
from hft.services.references import Tell
from hft.services.sources import Loop
from hft.venues.tokens import load_tokens


class Batch(NamedTuple):
    """What a feed took together, at ``taken_ns`` (monotonic)."""

    taken_ns: int
    events: list[Happening]


def batches(capture: Capture) -> Iterator[Batch]:
    """The records of a capture as they were taken; a last batch that is not whole is left out."""
    events: list[Happening] = []
    for record in capture:
        events.append(record.event)
        if record.last:
            yield Batch(record.taken_ns, events)
            events = []


class CaptureClock:
    """A clock that stands still until it is set."""

    __slots__ = ("_now_ns", "_unix_ahead_ns")

    def __init__(self, now_ns: int, unix_ns: int) -> None:
        self._now_ns = now_ns
        self._unix_ahead_ns = unix_ns - now_ns

    def monotonic_ns(self) -> int:
        """The capture's time."""
        return self._now_ns

    def unix_ns(self) -> int:
        """The date at the capture's time."""
        return self._now_ns + self._unix_ahead_ns

    def set(self, now_ns: int) -> None:
        """Goes on to ``now_ns``; never back."""
        self._now_ns = max(self._now_ns, now_ns)


class CapturedAccounts:
    """What a capture tells, as a feed polls it. An account that is watched anew is told as it is now, as by a
    snapshot."""

    def __init__(self, clock: CaptureClock) -> None:
        self._clock = clock
        self.counts: Counter[str] = Counter()
        self.newest: dict[bytes, AccountChanged | AccountUnusable] = {}
        self._watched: set[bytes] = set()
        self._events: deque[FeedEvent] = deque()

    @property
    def waiting(self) -> int:
        return len(self._events)

    def put(self, event: FeedEvent) -> None:
        """The next event to be polled."""
        if isinstance(event, AccountChanged | AccountUnusable):
            self.newest[event.version.pubkey] = event
            if event.version.pubkey not in self._watched:
                self.counts["versions_unwatched"] += 1
                return
            self.counts["versions_new"] += 1
        elif isinstance(event, SlotSeen):
            self.counts["slots"] += 1
        elif isinstance(event, Reverted):
            self.counts["reverts"] += 1
        self._events.append(event)

    def poll(self, handler: Callable[[FeedEvent], None], limit: int) -> int:
        count = min(limit, len(self._events))
        for _ in range(count):
            handler(self._events.popleft())
        return count

    def watch(self, watches: Sequence[Watch]) -> None:
        for key in (watch.pubkey for watch in watches):
            self._watched.add(key)
            known = self.newest.get(key)
            if known is not None:
                self.counts["versions_new"] += 1
                version = known.version._replace(received_ns=self._clock.monotonic_ns())
                self._events.append(known._replace(version=version))

    def unwatch(self, pubkeys: Iterable[bytes]) -> None:
        self._watched.difference_update(pubkeys)

    def knows(self, version: Version) -> None:
        raise ValueError("a replay begins with an empty table")


class _Still:
    """Nothing runs beside a replay."""

    def step(self) -> None:
        return

    def wait(self, timeout_ns: int) -> None:
        return


class CapturedOrigin:
    """The feed's origin in a replay. Nothing ever fails here: what failed is in the capture."""

    silences = failures = survey_failures = reference_failures = 0
    troubles: Mapping[str, str] = MappingProxyType({})

    def __init__(self, clock: CaptureClock) -> None:
        self.accounts = CapturedAccounts(clock)
        self.loop: Loop = _Still()
        self.found: Survey | None = None

    def survey(self, told: Surveyed) -> None:
        """What the captured feed followed."""
        tokens = {mint: token for mint, token in load_tokens().items() if mint in set(told.mints)}
        self.found = Survey(told.pools, told.left_out, tokens, ())

    def start(self) -> None:
        return

    def connect(self, tell: Tell) -> None:
        return

    def check(self) -> None:
        return

    def close(self) -> None:
        return
