"""The wiring: one table of links, one of services; validated before any memory is made.

A link is a ring with one writer. Gating subscribers are never overrun (the writer waits for them); observing
ones may be lapped and count what they lost. Depths are in cells (a power of two), mtus in bytes.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple


class Link(NamedTuple):
    """One ring. ``depth`` and ``mtu`` are defaults that ``[link:NAME]`` in hft.ini overrides."""

    name: str
    writer: str
    gating: tuple[str, ...]
    observing: tuple[str, ...]
    depth: int
    mtu: int
    why: str
    carries: str = ""
    """The link whose record types it has, where that is another."""

    @property
    def records(self) -> str:
        """The link whose record types it has."""
        return self.carries or self.name

    @property
    def readers(self) -> tuple[str, ...]:
        """Every service that may subscribe, gating ones first."""
        return self.gating + self.observing


class ServiceSpec(NamedTuple):
    """One process. ``hot``: on the way from account bytes to signed bytes; gets a core of its own while there
    are enough. ``source``: its input never ends, so that a drain stops it at once instead of reading to the
    end."""

    name: str
    module: str
    hot: bool
    source: bool
    what: str
    restartable: bool = True
    optional: bool = False
    """Only in runs whose settings ask for it; what it writes is only there then."""


LINKS: tuple[Link, ...] = (
    Link(
        "market_data",
        writer="feed",
        gating=(),
        observing=("scanner", "planner", "sidecar", "event_logger"),
        depth=16384,
        mtu=256,
        why="a burst of 10,000 updates fits; the data is in the account table, never stale",
    ),
    Link(
        "opportunities",
        writer="scanner",
        gating=(),
        observing=("planner", "sidecar", "event_logger"),
        depth=8192,
        mtu=512,
        why="16 s at 500/s; one older than 2 s is refused anyway, so it is dropped rather than waited for",
    ),
    Link(
        "opportunities_remote",
        writer="bridge",
        gating=(),
        observing=("planner", "event_logger"),
        depth=8192,
        mtu=512,
        why="of scanners on other machines; not the sidecar's to read: they are in the stream already",
        carries="opportunities",
    ),
    Link(
        "planned",
        writer="planner",
        gating=("executor", "sidecar"),
        observing=("auditor", "event_logger"),
        depth=4096,
        mtu=512,
        why="plans and rejections are the audit trail: after a full lap (8 s at 500/s) the planner waits",
    ),
    Link(
        "executed",
        writer="executor",
        gating=("auditor", "sidecar"),
        observing=("manager", "event_logger"),
        depth=1024,
        mtu=1024,
        why="results are money: never lost; fewer than plans, and the largest message",
    ),
    Link(
        "metrics",
        writer="auditor",
        gating=(),
        observing=("manager", "sidecar", "event_logger"),
        depth=1024,
        mtu=512,
        why="one a trade; the newest replaces the older ones",
    ),
    Link(
        "system",
        writer="manager",
        gating=(),
        observing=("sidecar", "event_logger", "feed", "scanner", "planner", "executor", "auditor"),
        depth=256,
        mtu=512,
        why="kill and resume are rare; the latch in shared memory, not this link, is what halts",
    ),
)

SIMNET = "simnet"

SERVICES: tuple[ServiceSpec, ...] = (
    ServiceSpec(
        "feed", "hft.services.feed", True, True, "account bytes into the table, what changed into market_data"
    ),
    ServiceSpec("scanner", "hft.services.scanner", True, False, "two-hop routes, sized by exact quotes"),
    ServiceSpec(
        "bridge",
        "hft.services.bridge",
        False,
        True,
        "opportunities of other machines, from their stream",
        optional=True,
    ),
    ServiceSpec(
        "planner", "hft.services.planner", True, False, "re-quotes, validates, scores, prices the tip"
    ),
    ServiceSpec(
        "executor", "hft.services.executor", True, False, "builds, signs, submits once, follows to the end"
    ),
    ServiceSpec(
        "auditor", "hft.services.auditor", False, False, "profit and loss from chain balances, the ledger"
    ),
    ServiceSpec("manager", "hft.services.manager", False, False, "kill rules, heartbeats, the system link"),
    ServiceSpec("sidecar", "hft.services.sidecar", False, False, "every link to its NATS JetStream stream"),
    ServiceSpec("event_logger", "hft.services.event_logger", False, False, "every event as a line of JSON"),
    ServiceSpec(
        SIMNET,
        "hft.simnet.service",
        False,
        True,
        "the local cluster of paper mode: market and settlement",
        restartable=False,
    ),
)
"""In the order in which they are stopped: each drains what its predecessor left, the cluster goes last."""

START_WAVES: tuple[tuple[str, ...], ...] = (
    (SIMNET, "sidecar", "event_logger", "auditor", "manager"),
    ("executor", "planner", "scanner"),
    ("feed", "bridge"),
)
"""Started together, wave after wave: readers before writers, so that the first message has all its
subscribers, and the cluster before those who talk to it."""


def services(mode: str, optional: Collection[str] = ()) -> tuple[ServiceSpec, ...]:
    """The services of a mode, with these optional ones, in the order in which they are stopped; the local
    cluster is for paper alone."""
    return tuple(
        spec
        for spec in SERVICES
        if (mode == "paper" or spec.name != SIMNET) and (not spec.optional or spec.name in optional)
    )


def start_waves(mode: str, optional: Collection[str] = ()) -> tuple[tuple[str, ...], ...]:
    """``START_WAVES`` of a mode, with these optional services."""
    known = {spec.name for spec in services(mode, optional)}
    return tuple(tuple(name for name in wave if name in known) for wave in START_WAVES)


def link(name: str) -> Link:
    """The link of that name; ``KeyError`` when there is none."""
    return _LINKS[name]


def service(name: str) -> ServiceSpec:
    """The service of that name; ``KeyError`` when there is none."""
    return _SERVICES[name]


def links(optional: Collection[str]) -> tuple[Link, ...]:
    """The links of a run with these optional services: those whose writer it may have."""
    there = {spec.name for spec in SERVICES if not spec.optional or spec.name in optional}
    return tuple(entry for entry in LINKS if entry.writer in there)


def validate(
    links: Sequence[Link] = LINKS,
    specs: Sequence[ServiceSpec] = SERVICES,
    message_sizes: Mapping[str, int] | None = None,
) -> list[str]:
    """Everything wrong with a wiring, one line each; empty when it is sound.

    ``message_sizes``: the largest message of each link in bytes, where known.
    """
    errors: list[str] = []
    known = {spec.name for spec in specs}
    for names, what in (([entry.name for entry in links], "link"), ([s.name for s in specs], "service")):
        errors += [
            f"{what} {name}: named {names.count(name)} times"
            for name in sorted(set(names))
            if names.count(name) > 1
        ]
    for entry in links:
        errors += _link_errors(entry, known, (message_sizes or {}).get(entry.name, 0))
    return errors


def _link_errors(entry: Link, known: set[str], largest: int) -> list[str]:
    errors = [
        f"link {entry.name}: {role} {name} is no service"
        for role, names in (("writer", (entry.writer,)), ("reader", entry.readers))
        for name in names
        if name not in known
    ]
    if not entry.readers:
        errors.append(f"link {entry.name}: nobody reads it")
    if entry.writer in entry.readers:
        errors.append(f"link {entry.name}: {entry.writer} reads what it writes")
    errors += [
        f"link {entry.name}: {name} is a reader twice"
        for name in sorted(set(entry.readers))
        if entry.readers.count(name) > 1
    ]
    if entry.depth < 2 or entry.depth & (entry.depth - 1):
        errors.append(f"[link:{entry.name}] depth: {entry.depth} is not a power of two of at least 2")
    if entry.mtu < 64 or entry.mtu % 8:
        errors.append(f"[link:{entry.name}] mtu: {entry.mtu} is not a multiple of 8 of at least 64")
    if largest > entry.mtu:
        errors.append(
            f"[link:{entry.name}] mtu: {entry.mtu} is smaller than its largest message, {largest} bytes"
        )
    return errors


def markdown_table(links: Sequence[Link] = LINKS) -> str:
    """The table as README.md shows it."""
    rows = ["| link | writer | gating | observing | depth | mtu | why |", "|---|---|---|---|---:|---:|---|"]
    rows += [
        f"| {entry.name} | {entry.writer} | {', '.join(entry.gating) or '–'} "
        f"| {', '.join(entry.observing) or '–'} | {entry.depth} | {entry.mtu} | {entry.why} |"
        for entry in links
    ]
    return "\n".join(rows)


DIAGRAM = """\
   account bytes
        │
        ▼
   ┌─────────┐ market_data  ┌─────────┐ opportunities ┌─────────┐ planned  ┌──────────┐
   │  feed   │─────────────▶│ scanner │──────────────▶│ planner │━━━━━━━━━▶│ executor │
   └────┬────┘              └────▲────┘               └────▲────┘          └┬───▲────┬┘
        │                        │                         │    signed bytes│   │    ┃ executed
        ▼                        │                         │                ▼   │    ▼
   ┌─────────┐   newest bytes    │                         │           ┌────────┴┐ ┌─────────┐
   │  table  │───────────────────┴─────────────────────────┘           │ simnet  │ │ auditor │
   └─────────┘                                                         └─────────┘ └────┬────┘
                                                                                        │ metrics
   every link ──▶ event_logger ──▶ logs/events.jsonl                                    │
   every link ──▶ sidecar ──▶ NATS JetStream ──▶ bridge ──▶ planner of another machine  ▼
   MARKET_DATA · OPPORTUNITIES · PLANNED · EXECUTED · METRICS · SYSTEM   system    ┌─────────┐
                                                                     ◀─────────────│ manager │
   ━━ gating: the writer waits, nothing is lost                         kill latch └─────────┘
   ── observing: may be lapped, and counts what it lost"""
"""The pipeline as a picture, for ``hft topology`` and README.md."""

_LINKS: Mapping[str, Link] = {entry.name: entry for entry in LINKS}
_SERVICES: Mapping[str, ServiceSpec] = {spec.name: spec for spec in SERVICES}
