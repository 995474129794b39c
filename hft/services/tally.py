"""The feed's figures on its counters page: its own, and what its sources counted since the last look."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hft.services.sources import Origin
    from hft.services.watchset import WatchSet
    from ringbuf import Counters

COUNTERS: tuple[str, ...] = (
    "in_accounts",
    "in_slots",
    "applied_accounts",
    "pending_accounts",
    "coalesced_accounts",
    "duplicate_accounts",
    "unwatched_accounts",
    "dropped_old",
    "dropped_dead_fork",
    "dropped_table_full",
    "dropped_watch_limit",
    "pools",
    "pools_disabled",
    "pools_left_out",
    "tokens_refused",
    "watched_accounts",
    "connects",
    "disconnects",
    "silences",
    "connection_failures",
    "survey_failures",
    "reference_failures",
    "reverts",
    "revert_slot",
    "revert_ns",
    "slot",
    "last_update_ns",
)
VERSIONS = {
    "versions_old": "dropped_old",
    "versions_duplicate": "duplicate_accounts",
    "versions_dead": "dropped_dead_fork",
    "versions_unwatched": "unwatched_accounts",
    "coalesced": "coalesced_accounts",
    "removed": "unwatched_accounts",
}
"""Where the account feed's own counts go: each version that came has one place, or is applied."""
REVERT_KEPT_NS = 60_000_000_000
"""The longest life of a plan: until then the older of two reverts counts."""
OFFERED = ("versions_new", "versions_old", "versions_duplicate", "versions_dead", "versions_unwatched")


class Tally:
    """See the module. What it adds outlives a crash of the service: only differences are added."""

    def __init__(self, counters: "Counters", sources: "Origin") -> None:
        self._counters = counters
        self._sources = sources
        self._places = {name: counters.index(name) for name in counters.read()}
        self._seen: dict[str, int] = {}
        self._handled = 0
        self._revert_slot, self._revert_ns = 0, -REVERT_KEPT_NS

    def add(self, name: str) -> None:
        """One more."""
        self._counters.add(self._places[name])

    def set(self, name: str, value: int) -> None:
        """A gauge."""
        self._counters.set(self._places[name], value)

    def reverted(self, slot: int, now_ns: int) -> None:
        """The slots from ``slot`` on never were: by these two the executor refuses what rests on them."""
        if now_ns - self._revert_ns < REVERT_KEPT_NS:
            slot = min(slot, self._revert_slot)
        self._revert_slot, self._revert_ns = slot, now_ns
        self.add("reverts")
        # In this order: whoever reads the new time reads the new slot too.
        self.set("revert_slot", slot)
        self.set("revert_ns", now_ns)

    def applied(self, count: int) -> None:
        """So many accounts went into the table."""
        self._handled += count
        self._counters.add(self._places["applied_accounts"], count)

    def refused(self, count: int) -> None:
        """So many found no room in it."""
        self._handled += count
        self._counters.add(self._places["dropped_table_full"], count)

    def show(self, watchset: "WatchSet", slot: int) -> None:
        """Adds what the sources counted; sets the gauges."""
        counts, sources = self._sources.accounts.counts, self._sources
        self._grew("in_accounts", "in", sum(counts[name] for name in OFFERED))
        for name, place in VERSIONS.items():
            self._grew(place, name, counts[name])
        waiting = counts["versions_new"] - counts["coalesced"] - counts["removed"]
        self.set("pending_accounts", waiting - self._handled)
        self._grew("in_slots", "slots", counts["slots"])
        self._grew("silences", "silences", sources.silences)
        self._grew("connection_failures", "failures", sources.failures)
        self._grew("survey_failures", "surveys", sources.survey_failures)
        self._grew("reference_failures", "references", sources.reference_failures)
        self._grew("dropped_watch_limit", "watches", watchset.refused)
        self.set("watched_accounts", len(watchset))
        self.set("slot", slot)

    def _grew(self, place: str, name: str, value: int) -> None:
        grown = value - self._seen.get(name, 0)
        if grown:
            self._counters.add(self._places[place], grown)
            self._seen[name] = value
