"""The event logger: one line of JSON for each message of each link, in ``logs/events.jsonl``, ready for Loki.

It observes: nobody waits for it, and what laps it is counted. Of market data one in N is written, chosen by
its sequence. A line has ``time`` (UTC, when it was read), ``level``, ``event`` (the record type), ``service``
(whom it concerns), ``link``, ``run``, ``monotonic_ns``, then every field of the record under its own name: in
base units, ids in hexadecimal, keys and signatures in base 58, enums by name. Fit for labels, being few:
``service``, ``event``, ``level``, ``link``.

Lines are written a duty cycle at a time. A disk that is full loses lines, counted, and nothing else.
"""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog
from structlog.typing import EventDict

from hft import wire
from hft.runtime import topology
from hft.runtime.event_file import EventFile
from hft.runtime.state import LOG_FOLDER
from hft.wire.enums import EndState, HealthStatus, KillState, LifecycleEvent
from hft.wire.show import record_values

if TYPE_CHECKING:
    from hft.runtime.context import Context
    from ringbuf import Subscription

FILE_NAME = "events.jsonl"
BATCH = 256
"""Messages taken from a link in one duty cycle."""

LINKS: tuple[str, ...] = tuple(link.name for link in topology.LINKS)
SAMPLED = "market_data"
_COUNTS: tuple[str, ...] = ("in", "out", "lost", "sampled_out", "dropped_corrupt", "dropped_disk")

COUNTERS: tuple[str, ...] = (*(f"{count}_{link}" for link in LINKS for count in _COUNTS), "rotations")
"""Per link: in = out + sampled_out + dropped by reason; lost: lapped, never taken."""

HISTOGRAMS: tuple[str, ...] = ()

RESERVED = ("time", "monotonic_ns", "level", "event", "link", "run")
"""Names of a line's own; a record's field of that name has the record's before it: ``lifecycle_event``."""

_HEAD = ("time", "level", "event", "service", "link", "run", "monotonic_ns")

_BAD_ENDS = (EndState.LANDED_FAILED, EndState.UNKNOWN)
_BAD_LIFE = (LifecycleEvent.CRASHED, LifecycleEvent.GAVE_UP)


def level_of(name: str, record: Any) -> str:
    """``info``, ``warning``, ``error`` or ``critical``."""
    if name == "KillSwitch":
        return "info" if record.state == KillState.RUNNING else "critical"
    if name == "ExecutionResult" and record.end_state in _BAD_ENDS:
        return "warning"
    if name == "Lifecycle" and record.event in _BAD_LIFE:
        return "error"
    if name == "HealthMetric" and record.status not in (HealthStatus.HEALTHY, HealthStatus.UNKNOWN):
        return "error" if record.status == HealthStatus.FAILED else "warning"
    return "info"


def event_name(record_name: str) -> str:
    """``ExecutionResult`` → ``execution_result``."""
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in record_name).lstrip("_")


class _Lines:
    """What structlog writes to: keeps the lines of a duty cycle."""

    def __init__(self) -> None:
        self.kept: list[str] = []

    def info(self, line: str) -> None:
        """Keep a line, whatever its level."""
        self.kept.append(line)

    warning = error = critical = info


def _head_first(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """For the eye of whoever reads the file itself."""
    return {**{name: event[name] for name in _HEAD}, **event}


class EventLogger:
    """See the module."""

    def __init__(self, ctx: "Context") -> None:
        own = ctx.config.event_logger
        self._ctx = ctx
        self._clock = ctx.clock
        self._every = own.market_data_one_in
        self._links: list[tuple[str, Subscription, dict[str, int]]] = [
            (name, ctx.subscription(name), {c: ctx.counters.index(f"{c}_{name}") for c in _COUNTS})
            for name in ctx.links
        ]
        self.primary: Subscription = ctx.subscription("system")
        """The rarest link: it parks until its time to look is over, and takes what came in one go."""
        self._lines = _Lines()
        self._log = structlog.wrap_logger(
            self._lines,
            processors=[
                structlog.processors.add_log_level,
                _head_first,
                structlog.processors.JSONRenderer(json.dumps, separators=(",", ":")),
            ],
            wrapper_class=structlog.make_filtering_bound_logger("info"),
        ).bind(run=ctx.run.run_id8)
        self._file = EventFile(
            ctx.run.state_dir / LOG_FOLDER / FILE_NAME,
            limit_bytes=own.file_bytes,
            age_ns=own.file_age_s * 1_000_000_000,
            count=own.files,
        )
        self._names = {codec.name: event_name(codec.name) for codec in wire.CODECS}
        self._fields = {codec.name: self._line_names(codec) for codec in wire.CODECS}

    def on_start(self) -> None:
        """Nothing to prepare: the file is opened with the first line."""

    def do_work(self) -> int:
        """Take what the links have, and write it as lines."""
        taken = 0
        for name, subscription, places in self._links:
            count, sampled_out = self._take(name, subscription, places)
            if count:
                taken += count
                self._write(places, count, sampled_out)
        return taken

    def on_housekeeping(self, now_ns: int) -> None:
        """Show what was lapped."""
        del now_ns
        counters = self._ctx.counters
        for _, subscription, places in self._links:
            counters.set(places["lost"], subscription.lost)

    def on_close(self) -> None:
        """Close the file; every line is in it already."""
        self.on_housekeeping(0)
        self._file.close()

    def _take(self, name: str, subscription: "Subscription", places: dict[str, int]) -> tuple[int, int]:
        """Messages taken from a link, and how many of them are not to be written."""
        taken = sampled_out = 0
        every = self._every if name == SAMPLED else 1
        while taken < BATCH and (message := subscription.take()) is not None:
            taken += 1
            if (subscription.sequence - 1) % every:
                sampled_out += 1
            else:
                self._describe(name, message, places)
        return taken, sampled_out

    def _describe(self, link: str, message: bytes, places: dict[str, int]) -> None:
        """One line; a message that is none of this link's is counted instead."""
        try:
            codec, belongs, _, _ = wire.entry_of(message)
            record = codec.decode(message)
        except wire.WireError:
            belongs = ""
        if belongs != topology.link(link).records:
            self._ctx.counters.add(places["dropped_corrupt"])
            return
        fields = dict(zip(self._fields[codec.name], record_values(codec, record).values(), strict=True))
        log = getattr(self._log, level_of(codec.name, record))
        head = {"time": _iso(self._clock.unix_ns()), "monotonic_ns": self._clock.monotonic_ns(), "link": link}
        log(self._names[codec.name], **{**head, "service": topology.link(link).writer, **fields})

    def _write(self, places: dict[str, int], taken: int, sampled_out: int) -> None:
        counters, lines = self._ctx.counters, self._lines.kept
        counters.add(places["in"], taken)
        counters.add(places["sampled_out"], sampled_out)
        if not lines:
            return
        try:
            self._file.write(("\n".join(lines) + "\n").encode(), self._clock.unix_ns())
            counters.add(places["out"], len(lines))
        except OSError:
            counters.add(places["dropped_disk"], len(lines))
        lines.clear()
        counters.set(counters.index("rotations"), self._file.rotations)

    @staticmethod
    def _line_names(codec: Any) -> tuple[str, ...]:
        """What each field of a record is called in its line."""
        prefix = event_name(codec.name)
        names = (field.name for field in codec.layout.fields)
        return tuple(f"{prefix}_{name}" if name in RESERVED else name for name in names)


def _iso(unix_ns: int) -> str:
    """UTC to the microsecond: ``2026-01-02T03:04:05.123456Z``."""
    seconds, rest = divmod(unix_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1000:06}Z"


def build(ctx: "Context") -> EventLogger:
    """The service for its run; its links are subscribed to here."""
    return EventLogger(ctx)
