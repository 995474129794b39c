"""Which sources tell nothing, and why: a line when that changes, none for each attempt."""

from collections.abc import Callable, Mapping

from hft.chain.endpoint import Endpoint, host_of


def place_of(endpoint: Endpoint) -> str:
    """A source for a person: never its whole address, in which keys hide."""
    return f"{endpoint.name} at {host_of(endpoint.ws_url or endpoint.url)}"


class Troubles:
    """What was told of each source so far."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._told: Mapping[str, str] = {}

    def take(self, now: Mapping[str, str]) -> None:
        """``now``: place → why it tells nothing, of those alone that don't."""
        if now == self._told:
            return
        told, self._told = self._told, dict(now)
        for place, reason in now.items():
            if told.get(place) != reason:
                self._tell(f"{place}: {reason}")
        for place in told:
            if place not in now:
                self._tell(f"{place}: answers again")
