"""What a run came to: totals for the live view, the closing report, and whether every counter balances.

Pure: from readings to plain values.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from hft.runtime import topology
from hft.runtime.monitor import LinkReading, Reading, ServiceReading
from hft.runtime.service import ServiceState


class Totals(NamedTuple):
    """The run's figures so far, money in lamports."""

    updates: int
    opportunities: int
    plans: int
    rejections: Mapping[str, int]
    executions: Mapping[str, int]
    pnl_lamports: int
    fees_lamports: int
    tips_lamports: int
    wallet_lamports: int
    wins: int
    losses: int

    @property
    def rejected(self) -> int:
        """Rejections for whatever reason."""
        return sum(self.rejections.values())

    @property
    def executed(self) -> int:
        """Executions that came to an end, whichever."""
        return sum(self.executions.values())

    @property
    def win_rate(self) -> float:
        """Share of wins among wins and losses, 0 before the first."""
        decided = self.wins + self.losses
        return self.wins / decided if decided else 0.0


class Balance(NamedTuple):
    """One equation: what went in is what came out, was rejected, dropped, or is still held."""

    name: str
    taken: int
    accounted: Mapping[str, int]

    @property
    def holds(self) -> bool:
        """Does it come out even?"""
        return self.taken == sum(self.accounted.values())

    @property
    def missing(self) -> int:
        """What is unaccounted for; negative when more came out than went in."""
        return self.taken - sum(self.accounted.values())


class Report(NamedTuple):
    """A finished run."""

    duration_s: float
    totals: Totals
    ledger_pnl_lamports: int
    wallet_delta_lamports: int | None
    """``None`` when the cluster could not be asked."""
    streams: Mapping[str, int]
    """Stream → messages it stored in this run."""
    reading: Reading
    restarts: int
    balances: tuple[Balance, ...]
    open_signatures: tuple[str, ...] = ()
    """Of submissions without an end, in base 58: the next start resolves them."""

    @property
    def money_agrees(self) -> bool:
        """Is the ledger's profit the wallet's change, to the lamport?"""
        return self.wallet_delta_lamports == self.ledger_pnl_lamports

    @property
    def unbalanced(self) -> tuple[Balance, ...]:
        """Equations that do not hold."""
        return tuple(balance for balance in self.balances if not balance.holds)


def totals(reading: Reading) -> Totals:
    """The figures of a reading."""
    planner, auditor = _service(reading, "planner"), _service(reading, "auditor")
    return Totals(
        updates=reading.counter("feed", "out_market_data"),
        opportunities=reading.counter("scanner", "out_opportunities"),
        plans=planner.get("plans", 0),
        rejections=_total(reading, "planner", "rejected_"),
        executions=_total(reading, "executor", "end_"),
        pnl_lamports=reading.services["auditor"].signed("pnl_lamports") if auditor else 0,
        fees_lamports=auditor.get("fees_lamports", 0),
        tips_lamports=auditor.get("tips_lamports", 0),
        wallet_lamports=auditor.get("wallet_lamports", 0),
        wins=auditor.get("wins", 0),
        losses=auditor.get("losses", 0),
    )


def balances(reading: Reading) -> tuple[Balance, ...]:
    """Every equation that can be checked on a reading of a run that has come to rest."""
    found: list[Balance] = []
    for link in topology.LINKS:
        ring = reading.links.get(link.name)
        if ring is not None:
            found.append(_writer_balance(reading, link, ring))
            found += _reader_balances(reading, link, ring)
    for rule in _RULES:
        page = reading.services.get(rule.service)
        if page is not None:
            found.append(rule.apply(page))
    each = strategies(reading)
    for service, total, name in _SUMS:
        page = reading.services.get(service)
        if page is not None and each:
            shares = _nonzero({strategy: values.get(name, 0) for strategy, values in each.items()})
            found.append(Balance(f"{service}: {total} by strategy", page.signed(total), shares))
    return tuple(found)


_SUMS: tuple[tuple[str, str, str], ...] = (
    ("scanner", "routes_sized", "routes_sized"),
    ("scanner", "out_opportunities", "opportunities"),
    ("planner", "plans", "plans"),
    ("executor", "out_executed", "executed"),
    ("auditor", "trades", "trades"),
    ("auditor", "pnl_lamports", "pnl_lamports"),
    ("auditor", "fees_lamports", "fees_lamports"),
    ("auditor", "tips_lamports", "tips_lamports"),
)
"""Service, its counter, and what that counter is the sum of over all strategies."""


def strategies(reading: Reading) -> dict[str, dict[str, int]]:
    """Strategy → what it did and what it earned, in the order in which they are enabled; money in lamports,
    signed. ``rejected_routes`` by the scanner, ``rejected_plans`` by the planner.
    """
    found: dict[str, dict[str, int]] = {}
    for service, names in _BY_STRATEGY.items():
        page = reading.services.get(service)
        for counter in page.counters if page is not None else ():
            kind, _, rest = counter.partition(".")
            strategy, _, name = rest.partition(".")
            if page is not None and kind == "strategy" and names.get(name, name):
                found.setdefault(strategy, {})[names.get(name, name)] = page.signed(counter)
    return found


_BY_STRATEGY: Mapping[str, Mapping[str, str]] = {
    "scanner": {"rejected": "rejected_routes"},
    "planner": {"in_opportunities": "", "rejected": "rejected_plans"},
    "executor": {},
    "auditor": {"wallet_lamports": "", "unexplained_lamports": ""},
}
"""Service → its counters of a strategy that are told by another name; empty: not told."""


def losses(reading: Reading) -> dict[str, dict[str, int]]:
    """Service → reason → messages it dropped or was lapped by; only what happened."""
    found: dict[str, dict[str, int]] = {}
    for name in reading.services:
        lost = {f"overrun {link}": n for link, n in _total(reading, name, "lost_").items()}
        reasons = {**_total(reading, name, "dropped_"), **lost}
        if reasons:
            found[name] = reasons
    return found


def as_json(report: Report) -> dict[str, Any]:
    """The report as plain values, under the keys the README documents."""
    figures, reading = report.totals, report.reading
    return {
        "duration_s": round(report.duration_s, 3),
        "updates": figures.updates,
        "opportunities": figures.opportunities,
        "plans": figures.plans,
        "rejections": dict(figures.rejections),
        "executions": dict(figures.executions),
        "strategies": strategies(reading),
        "ledger_pnl_lamports": report.ledger_pnl_lamports,
        "wallet_delta_lamports": report.wallet_delta_lamports,
        "streams": dict(report.streams),
        "links": {
            name: entry
            for link in topology.LINKS
            if link.name in reading.links or link.writer in reading.services
            for name, entry in _link_json(reading, link).items()
        },
        "latency_ns": {
            stage: {"p50": figure.p50, "p99": figure.p99, "p999": figure.p999, "max": figure.max}
            for stage, figure in sorted(reading.latency.items())
        },
        "restarts": report.restarts,
        "kill_state": "killed" if reading.kill.killed else "running",
        "open_signatures": list(report.open_signatures),
    }


class _Rule(NamedTuple):
    """``taken`` = the sum of ``exact`` counters and of all that begin with one of ``prefixes``, in one
    service."""

    name: str
    service: str
    taken: tuple[str, ...]
    exact: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()

    def apply(self, page: ServiceReading) -> Balance:
        counters = page.counters
        accounted = {name: counters.get(name, 0) for name in self.exact}
        for prefix in self.prefixes:
            accounted |= {name: n for name, n in counters.items() if name.startswith(prefix)}
        return Balance(
            f"{self.service}: {self.name}",
            sum(counters.get(name, 0) for name in self.taken),
            _nonzero(accounted),
        )


_RULES: tuple[_Rule, ...] = (
    _Rule(
        "accounts",
        "feed",
        ("in_accounts",),
        exact=(
            "applied_accounts",
            "dropped_old",
            "duplicate_accounts",
            "dropped_dead_fork",
            "coalesced_accounts",
            "unwatched_accounts",
            "dropped_table_full",
            "pending_accounts",
        ),
    ),
    _Rule(
        "updates",
        "scanner",
        ("in_market_data",),
        exact=(
            "scanned_updates",
            "coalesced_updates",
            "disabled_updates",
            "other_updates",
            "dropped_corrupt",
        ),
    ),
    _Rule(
        "routes",
        "scanner",
        ("routes_sized",),
        exact=("out_opportunities", "dropped_opportunities_no_room"),
        prefixes=("rejected_",),
    ),
    _Rule(
        "opportunities",
        "planner",
        ("in_opportunities", "in_opportunities_remote"),
        exact=("plans", "dropped_stale", "dropped_corrupt"),
        prefixes=("rejected_",),
    ),
    _Rule(
        "decisions",
        "planner",
        ("out_planned", "held_planned"),
        exact=("plans",),
        prefixes=("rejected_",),
    ),
    _Rule(
        "messages",
        "bridge",
        ("in_messages",),
        exact=("out_opportunities_remote", "left_out_own", "held"),
        prefixes=("dropped_",),
    ),
    _Rule("messages", "executor", ("in_planned",), exact=("in_plans", "in_plan_rejected", "dropped_corrupt")),
    _Rule(
        "plans",
        "executor",
        ("in_plans", "recovered_plans"),
        exact=("dropped_duplicate", "open_plans"),
        prefixes=("end_",),
    ),
    _Rule(
        "results",
        "auditor",
        ("in_executed", "recovered_results"),
        exact=(
            "booked_results",
            "dropped_duplicate",
            "dropped_corrupt",
            "held_results",
        ),
    ),
    _Rule(
        "submissions",
        topology.SIMNET,
        ("in_submissions",),
        exact=("landed_ok", "landed_failed", "queued_submissions"),
        prefixes=("rejected_",),
    ),
    _Rule(
        "messages",
        "sidecar",
        tuple(f"{way}_{link.name}" for link in topology.LINKS for way in ("in", "recovered")),
        exact=(*(f"out_{link.name}" for link in topology.LINKS), "journal_backlog"),
        prefixes=("dropped_",),
    ),
    _Rule(
        "commands",
        "sidecar",
        ("commands_in",),
        exact=("commands_kill", "commands_resume"),
        prefixes=("commands_refused_",),
    ),
    _Rule(
        "events",
        "event_logger",
        tuple(f"in_{link.name}" for link in topology.LINKS),
        prefixes=("out_", "sampled_out_", "dropped_"),
    ),
)


def _writer_balance(reading: Reading, link: topology.Link, ring: LinkReading) -> Balance:
    """What the writer says it published is what the ring holds."""
    return Balance(
        f"{link.name}: {link.writer} → ring",
        reading.counter(link.writer, f"out_{link.name}"),
        {"ring": ring.published},
    )


def _reader_balances(reading: Reading, link: topology.Link, ring: LinkReading) -> list[Balance]:
    """What the ring held, each reader took, lost or left; and what it took is what it counted."""
    found: list[Balance] = []
    for name, reader in ring.readers.items():
        found.append(
            Balance(
                f"{link.name}: ring → {name}",
                ring.published,
                _nonzero({"taken": reader.taken, "overrun": reader.lost, "unread": reader.unread}),
            )
        )
        page = reading.services.get(name)
        if page is not None and f"in_{link.name}" in page.counters:
            counted = page.counters[f"in_{link.name}"]
            found.append(Balance(f"{link.name}: {name} counted", reader.taken, {f"in_{link.name}": counted}))
    return found


def _link_json(reading: Reading, link: topology.Link) -> dict[str, dict[str, Any]]:
    """``NAME``: from the writer to the first reader of the table; ``NAME>READER``: to each further reader."""
    ring = reading.links.get(link.name, LinkReading(0, {}))
    writer_drops = {
        reason.removeprefix(f"{link.name}_"): n
        for reason, n in _total(reading, link.writer, "dropped_").items()
        if reason.startswith(f"{link.name}_")
    }
    entries: dict[str, dict[str, Any]] = {}
    for place, name in enumerate(name for name in link.readers if name in ring.readers):
        reader = ring.readers[name]
        corrupt = _corrupt(reading, link.name, name)
        dropped = _nonzero(
            {**writer_drops, "overrun": reader.lost, "corrupt": corrupt, _left(reading, name): reader.unread}
        )
        entries[link.name if place == 0 else f"{link.name}>{name}"] = {
            "in": ring.published + sum(writer_drops.values()),
            "out": reader.taken - corrupt,
            "dropped": dropped,
        }
    return entries or {
        link.name: {"in": ring.published, "out": 0, "dropped": _nonzero({"unread": ring.published})}
    }


_CORRUPT: Mapping[tuple[str, str], str] = {
    ("market_data", "scanner"): "dropped_corrupt",
    ("opportunities", "planner"): "dropped_corrupt",
    ("planned", "executor"): "dropped_corrupt",
    ("planned", "auditor"): "dropped_planned_corrupt",
    ("executed", "auditor"): "dropped_corrupt",
}
"""Counter of messages that a reader of a link took and refused; the sidecar and the system link name theirs
alike."""


def _corrupt(reading: Reading, link: str, reader: str) -> int:
    alike = f"dropped_corrupt_{link}" if reader in ("sidecar", "event_logger") else f"dropped_{link}_corrupt"
    return reading.counter(reader, _CORRUPT.get((link, reader), alike))


def _left(reading: Reading, reader: str) -> str:
    """What to call messages that a reader left: some come when it has already ended in order."""
    page = reading.services.get(reader)
    return "after_stop" if page is not None and page.state is ServiceState.STOPPED else "unread"


def _service(reading: Reading, name: str) -> Mapping[str, int]:
    page = reading.services.get(name)
    return {} if page is None else page.counters


def _total(reading: Reading, service: str, prefix: str) -> dict[str, int]:
    page = reading.services.get(service)
    return {} if page is None else page.total(prefix)


def _nonzero(values: Mapping[str, int]) -> dict[str, int]:
    return {name: n for name, n in values.items() if n}
