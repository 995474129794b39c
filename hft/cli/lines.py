"""One line for a person about one message: a word for its kind, then what matters of it, in columns."""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from hft import wire
from hft.cli import text
from hft.venues.tokens import load_tokens
from hft.wire.enums import (
    ConnectionKind,
    ConnectionState,
    Direction,
    EndState,
    ExecutionReason,
    HealthCheck,
    HealthStatus,
    KillState,
    KillTrigger,
    LifecycleEvent,
    Link,
    PoolDisabledReason,
    PoolStatus,
    QuoteSource,
    RejectReason,
    Service,
    SlotStatus,
    Strategy,
    ValidationFactor,
    Venue,
)

GOOD, BAD, WEAK, PLAIN = "green", "red", "yellow", ""


class Line(NamedTuple):
    """kind: a word for the message. style: the mood of that word, for a terminal. body: the rest."""

    kind: str
    style: str
    body: str


def describe(record: Any) -> Line:
    """The line of a decoded record; a record type this build has no words for shows its name and fields."""
    words = _WORDS.get(type(record).__name__)
    if words is None:
        return Line(type(record).__name__, PLAIN, str(record))
    return words(record)


def short(key: bytes) -> str:
    """A key or signature by its ends: ``J1to…GCPn``."""
    whole = wire.base58(key)
    return f"{whole[:4]}…{whole[-4:]}"


@cache
def _symbols() -> dict[bytes, tuple[str, int]]:
    return {mint: (token.symbol, token.decimals) for mint, token in load_tokens().items()}


def symbol(mint: bytes) -> str:
    """A token's symbol, or its mint by its ends when it is not in the list."""
    known = _symbols().get(mint)
    return known[0] if known else short(mint)


def amount(base_units: int, mint: bytes) -> str:
    """Base units as whole tokens with their symbol, all decimals shown; of an unknown mint, as they are."""
    known = _symbols().get(mint)
    if known is None:
        return f"{base_units:,} of {short(mint)}"
    name, decimals = known
    whole, rest = divmod(base_units, 10**decimals)
    return f"{whole:,}.{rest:0{decimals}} {name}" if decimals else f"{whole:,} {name}"


def _name(enum: Callable[[int], Any], value: int) -> str:
    """An enum value in words; its number when only a newer schema knows it."""
    try:
        return text.words(str(enum(value).name).lower())
    except ValueError:
        return str(value)


def _key(enum: Callable[[int], Any], value: int) -> str:
    """The same as it stands in settings and subjects."""
    return _name(enum, value).replace(" ", "_")


def _route(record: Any) -> str:
    base, quote = symbol(record.base_mint), symbol(record.quote_mint)
    return f"{base}→{quote}→{base}"


def _venues(record: Any) -> str:
    return f"{_key(Venue, record.venue_1)}→{_key(Venue, record.venue_2)}"


def _bps(profit: int, of: int) -> str:
    if not profit or not of:
        return "0 bps" if of else "– bps"
    return f"{profit * 10_000 / of:+.3f} bps".replace("-", "−")


def _share(ppm: int) -> str:
    return f"{ppm / 10_000:.0f}%"


def _since(begin_ns: int, end_ns: int) -> str:
    """How long it took; a dash where a stamp is missing."""
    return text.duration(end_ns - begin_ns) if 0 < begin_ns <= end_ns else "–"


def _columns(*cells: tuple[str, int]) -> str:
    """Cells padded to their widths: positive to the left edge, negative to the right one, 0 not at all."""
    padded = [
        cell.rjust(-width) if width < 0 else cell.ljust(width) for cell, width in cells if cell or width
    ]
    return "  ".join(padded).rstrip()


def _pool_update(r: wire.PoolUpdate) -> Line:
    active = r.status == PoolStatus.ACTIVE
    status = _name(PoolStatus, r.status)
    body = _columns(
        (f"{symbol(r.base_mint)}/{symbol(r.quote_mint)}", 20),
        (_key(Venue, r.venue), 22),
        (short(r.pool), 9),
        (f"{r.accounts_changed} account{'s' if r.accounts_changed != 1 else ' '}", -11),
        (f"slot {r.slot}.{r.write_version}", 0),
        (f"feed {_since(r.received_ns, r.published_ns)}", 0),
        ("" if active else f"{status}: {_name(PoolDisabledReason, r.disabled_reason)}", 0),
    )
    return Line("pool", PLAIN if active else WEAK, body)


def _two_hop(r: wire.TwoHopOpportunity) -> Line:
    body = _columns(
        (f"gross {text.sol(r.gross_profit_lamports)}", 18),
        (_bps(r.gross_profit_lamports, r.amount_in), -10),
        (_route(r), 17),
        (amount(r.amount_in, r.base_mint), -17),
        (_venues(r), 22),
        (f"sure {_share(r.confidence_ppm)}", 9),
        (f"slot {r.slot}", 0),
        (f"feed→found {_since(r.received_ns, r.scan_published_ns)}", 0),
    )
    return Line("two-hop", GOOD, body)


def _plan(r: wire.ExecutionPlan) -> Line:
    body = _columns(
        (f"net   {text.sol(r.expected_profit_lamports)}", 18),
        (_bps(r.expected_profit_lamports, r.amount_in), -10),
        (_route(r), 17),
        (amount(r.amount_in, r.base_mint), -17),
        (_venues(r), 22),
        (f"tip {text.sol(r.tip_lamports, sign=False)}", 0),
        (f"fees {text.sol(r.base_fee_lamports + r.priority_fee_lamports, sign=False)}", 0),
        (f"risk {r.risk_score_ppm / 1e6:.2f}", 0),
        (f"plan {r.plan_id.hex()[:8]}", 0),
        (f"feed→plan {_since(r.received_ns, r.plan_published_ns)}", 0),
    )
    return Line("plan", GOOD, body)


def _rejected(r: wire.PlanRejected) -> Line:
    body = _columns(
        (f"{_name(RejectReason, r.reason)} ({_name(ValidationFactor, r.factor)})", 30),
        (_route(r), 17),
        (amount(r.amount_in, r.base_mint), -17),
        (f"{r.observed:,} against {r.limit:,}", 0),
    )
    return Line("rejected", WEAK, body)


_END_STYLES: dict[int, str] = {EndState.LANDED_OK: GOOD, EndState.LANDED_FAILED: BAD, EndState.REJECTED: WEAK}


def _result(r: wire.ExecutionResult) -> Line:
    reason = "" if r.reason == ExecutionReason.NONE else _name(ExecutionReason, r.reason)
    detail = wire.text(r.detail)
    why = f"{reason}: {detail}" if reason and detail else reason or detail
    fees = r.base_fee_lamports + r.priority_fee_lamports
    body = _columns(
        (f"made  {text.sol(r.actual_profit_lamports)}", 18),
        (_bps(r.actual_profit_lamports, r.amount_in), -10),
        (_route(r), 17),
        (amount(r.amount_in, r.base_mint), -17),
        (_venues(r), 22),
        (why, 0),
        (f"expected {text.sol(r.expected_profit_lamports)}", 21),
        (f"tip {text.sol(r.tip_lamports, sign=False)}", 0),
        (f"fees {text.sol(fees, sign=False)}", 0),
        (f"sig {short(r.signature)}" if any(r.signature) else "unsigned", 13),
        (f"feed→signed {_since(r.received_ns, r.signed_ns)}", 0),
        (f"sent→settled {_since(r.submitted_ns, r.settled_ns)}", 0),
    )
    return Line(_name(EndState, r.end_state), _END_STYLES.get(r.end_state, WEAK), body)


def _pnl(r: wire.PnlMetric) -> Line:
    body = _columns(
        (_key(Strategy, r.strategy), 8),
        (f"P&L {text.sol(r.pnl_lamports)} SOL", 22),
        (f"expected {text.sol(r.expected_pnl_lamports)}", 22),
        (f"drawdown {text.sol(r.drawdown_lamports, sign=False)}", 20),
        (f"trades {r.trades:,}", 0),
        (f"landed {r.landed_ok:,}, failed {r.landed_failed:,}, not landed {r.not_landed:,}", 0),
        (f"won {_share(r.win_rate_ppm)}", 0),
        (f"fees {text.sol(r.fees_lamports, sign=False)}", 0),
        (f"tips {text.sol(r.tips_lamports, sign=False)}", 0),
        (f"wallet {text.sol(r.wallet_lamports, sign=False)}", 0),
    )
    return Line("pnl", GOOD if r.pnl_lamports >= 0 else BAD, body)


def _kill(r: wire.KillSwitch) -> Line:
    running = r.state == KillState.RUNNING
    told = f"{r.observed:,} against {r.limit:,}" if r.observed or r.limit else ""
    by = wire.text(r.by)
    body = _columns(
        ("" if r.trigger == KillTrigger.NONE else _name(KillTrigger, r.trigger), 12),
        (f"by {by}" if by else "", 0),
        (wire.text(r.message), 0),
        (told, 0),
    )
    return Line(_name(KillState, r.state).upper(), GOOD if running else BAD, body)


def _latency(r: wire.LatencyMetric) -> Line:
    figures = (("p50", r.p50_ns), ("p99", r.p99_ns), ("p99.9", r.p999_ns), ("max", r.max_ns))
    body = _columns(
        (_key(Service, r.service), 12),
        (wire.text(r.histogram), 28),
        *((f"{name} {text.duration(value)}", 14) for name, value in figures),
        (f"of {r.samples:,} in {text.duration(r.window_ns)}", 0),
    )
    return Line("latency", PLAIN, body)


def _throughput(r: wire.ThroughputMetric) -> Line:
    per_second = r.messages * 1e9 / r.window_ns if r.window_ns else 0.0
    body = _columns(
        (_key(Service, r.service), 12),
        (_key(Link, r.counted_link), 14),
        (_name(Direction, r.direction), 9),
        (f"{text.rate(per_second)}/s", -10),
        (f"total {r.total:,}", 0),
        (f"dropped {r.dropped:,}", 0),
        (f"lost {r.lost:,}", 0),
        (f"behind {r.lag:,}", 0),
    )
    return Line("throughput", WEAK if r.dropped or r.lost else PLAIN, body)


def _health(r: wire.HealthMetric) -> Line:
    healthy = r.status == HealthStatus.HEALTHY
    body = _columns(
        (_key(Service, r.service), 12),
        (_name(HealthCheck, r.check), 14),
        (_name(HealthStatus, r.status), 9),
        (f"{r.observed:,} against {r.limit:,}", 0),
        (wire.text(r.detail), 0),
    )
    return Line("health", GOOD if healthy else BAD if r.status == HealthStatus.FAILED else WEAK, body)


def _lifecycle(r: wire.Lifecycle) -> Line:
    event = _name(LifecycleEvent, r.event)
    body = _columns(
        (_key(Service, r.service), 12),
        (event, 10),
        (f"pid {r.pid}", 0),
        (f"restarts {r.restarts}", 0),
        (f"exit code {r.exit_code}" if r.exit_code else "", 0),
        (wire.text(r.detail), 0),
    )
    bad = r.event in (LifecycleEvent.CRASHED, LifecycleEvent.GAVE_UP)
    return Line("lifecycle", BAD if bad else PLAIN, body)


def _connection(r: wire.ConnectionHealth) -> Line:
    body = _columns(
        (_key(Service, r.service), 12),
        (_name(ConnectionKind, r.kind), 10),
        (_name(ConnectionState, r.state), 11),
        (wire.text(r.endpoint), 0),
        (f"messages {r.messages:,}", 0),
        (f"errors {r.errors:,}", 0),
        (f"reconnects {r.reconnects:,}", 0),
        (f"round trip {text.duration(r.round_trip_ns)}", 0),
    )
    return Line("connection", GOOD if r.state == ConnectionState.CONNECTED else WEAK, body)


def _quote(r: wire.Quote) -> Line:
    body = _columns(
        (f"{symbol(r.base_mint)}/{symbol(r.quote_mint)}", 20),
        (_name(QuoteSource, r.source), 12),
        (amount(r.amount_in, r.base_mint), -20),
        (amount(r.amount_out, r.quote_mint), -20),
        (f"± {r.uncertainty_ppm:,} ppm", 0),
        (f"slot {r.slot}", 0),
    )
    return Line("quote", PLAIN, body)


def _slot(r: wire.SlotUpdate) -> Line:
    body = _columns(
        (f"slot {r.slot}", 15),
        (_name(SlotStatus, r.status), 9),
        (f"parent {r.parent_slot}", 0),
        (f"height {r.block_height}", 0),
        (f"blockhash {short(r.blockhash)}", 0),
    )
    return Line("slot", PLAIN, body)


def _triangular(r: wire.TriangularOpportunity) -> Line:
    names = [symbol(mint) for mint in (r.base_mint, r.mint_b, r.mint_c, r.base_mint)]
    venues = [_key(Venue, venue) for venue in (r.venue_1, r.venue_2, r.venue_3)]
    body = _columns(
        (f"gross {text.sol(r.gross_profit_lamports)}", 18),
        (_bps(r.gross_profit_lamports, r.amount_in), -10),
        ("→".join(names), 17),
        (amount(r.amount_in, r.base_mint), -17),
        ("→".join(venues), 22),
        (f"sure {_share(r.confidence_ppm)}", 9),
        (f"slot {r.slot}", 0),
    )
    return Line("triangular", GOOD, body)


_WORDS: dict[str, Callable[[Any], Line]] = {
    "PoolUpdate": _pool_update,
    "Quote": _quote,
    "SlotUpdate": _slot,
    "TwoHopOpportunity": _two_hop,
    "TriangularOpportunity": _triangular,
    "ExecutionPlan": _plan,
    "PlanRejected": _rejected,
    "ExecutionResult": _result,
    "LatencyMetric": _latency,
    "ThroughputMetric": _throughput,
    "PnlMetric": _pnl,
    "KillSwitch": _kill,
    "HealthMetric": _health,
    "Lifecycle": _lifecycle,
    "ConnectionHealth": _connection,
}
