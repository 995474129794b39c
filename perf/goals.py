"""The figures that this project holds itself to, beside what a run measured."""

from typing import NamedTuple

from perf.model import Report
from perf.shapes import routes, simnet, simulate

COUNTED = frozenset({"after_trip", "lost", "unbalanced"})


class Goal(NamedTuple):
    """One figure of one shape: at least or at most ``bound``."""

    shape: str
    case: str
    """The peer of a ratio, the case of a value."""
    metric: str
    bound: float
    text: str
    ratio: bool = True
    at_least: bool = True

    def measured(self, report: Report) -> float | None:
        """What the report has; None when it has nothing."""
        if not self.ratio:
            return report.value(self.shape, self.case, self.metric)
        found = (
            each.times
            for each in report.ratios
            if (each.shape, each.peer, each.metric) == (self.shape, self.case, self.metric)
        )
        return next(found, None)

    def met(self, measured: float) -> bool:
        """Whether that is good enough."""
        return measured >= self.bound if self.at_least else measured <= self.bound

    def shown(self, figure: float) -> str:
        """A figure with its unit."""
        if self.ratio:
            return f"{figure:,.2f} x" if figure < 10 else f"{figure:,.0f} x"
        if self.metric.endswith("_per_s"):
            return f"{figure:,.0f}/s"
        if self.metric.endswith("_bytes"):
            return f"{figure:,.0f} B"
        if self.metric in COUNTED:
            return f"{figure:,.0f}"
        if self.metric.endswith("_ppm"):
            return f"{figure / 10_000:.2f} %"
        return f"{figure / 1000:,.2f} us" if figure >= 1000 else f"{figure:,.0f} ns"


def _faster(shape: str, metric: str, bounds: dict[str, float], text: str) -> tuple[Goal, ...]:
    return tuple(Goal(shape, peer, metric, bound, f"{text} {peer}") for peer, bound in bounds.items())


def _within(shape: str, case: str, bound: float, text: str, metric: str = "p50_ns") -> Goal:
    return Goal(shape, case, metric, bound, text, False, False)


def _at_least(shape: str, case: str, bound: float, text: str, metric: str = "rate_per_s") -> Goal:
    return Goal(shape, case, metric, bound, text, False)


PIPELINE = "three_hop_pipeline"
KILL = "kill_propagation"
TICK = "tick_to_trade"
GOALS: tuple[Goal, ...] = (
    *_faster(
        "ping_pong",
        "p50_ns",
        {
            "multiprocessing.Queue": 100,
            "pyzmq ipc": 100,
            "NATS core": 250,
            "iceoryx2": 10,
            "iceoryx2 raw": 5,
            "socketpair spin": 6,
        },
        "round trip faster than",
    ),
    Goal("ping_pong", "C ring", "p50_ns", 0.2, "round trip at most 5 times the same ring in C"),
    *_faster(
        "one_to_one_throughput",
        "rate_per_s",
        {"multiprocessing.Queue": 20, "pyzmq ipc": 4, "iceoryx2": 12},
        "more single records than",
    ),
    Goal(PIPELINE, "ringbuf yield 5000/s", "p50_ns", 25_000, "four processes, yield, 5,000/s", False, False),
    Goal(PIPELINE, "ringbuf park 5000/s", "p50_ns", 3, "four processes at 5,000/s: yield against park"),
    Goal("parked_handoff", "multiprocessing.Pipe", "p50_ns", 1 / 1.2, "parked hand-off, parity with Pipe"),
    Goal(KILL, "kill check", "ns_per_operation", 40, "kill check in a Python loop", False, False),
    Goal(KILL, "spinning", "p50_ns", 1_000, "kill seen by a spinning process", False, False),
    Goal(KILL, "parked", "p50_ns", 100_000, "kill seen by a parked process", False, False),
    *_faster(
        "codec_encode",
        "ns_per_operation",
        {"flatbuffers Builder": 200, "json": 20, "msgspec msgpack map": 1.1},
        "encode into a cell, faster than",
    ),
    Goal(
        "codec_encode",
        "hft.wire",
        "peak_allocated_bytes",
        32,
        "encode allocates at most an integer",
        False,
        False,
    ),
    *_faster(
        "codec_decode",
        "ns_per_operation",
        {"msgspec msgpack map": 1.5, "generated accessors": 40},
        "decode all fields, faster than",
    ),
    *_faster(
        "codec_read_3_fields",
        "ns_per_operation",
        {"generated accessors": 25, "msgspec msgpack map": 1.7},
        "read three fields, faster than",
    ),
    Goal("codec_size", "json", "bytes", 1 / 0.45, "size at most 45 % of JSON's"),
    Goal("codec_handoff", "ringbuf + hft.wire", "p50_ns", 3_000, "encode, hand off, decode 3", False, False),
    *_faster(
        "codec_handoff",
        "p50_ns",
        {
            "multiprocessing.Pipe + msgspec": 10,
            "pyzmq ipc + orjson": 35,
            "iceoryx2 + flatbuffers Builder": 60,
        },
        "hand-off faster than",
    ),
    *(
        _within(f"quote_{name}", f"{name} within one", 3_000, f"quote of {name}")
        for name in ("raydium_v4", "raydium_cpmm")
    ),
    *(
        _within(f"quote_{name}", f"{name} within one", 8_000, f"quote of {name} within a tick or bin")
        for name in ("whirlpool", "raydium_clmm", "meteora_dlmm", "meteora_damm_v2")
    ),
    *(
        _within(
            f"quote_{name}",
            f"{name} 8 crossings, first quote",
            4_000,
            f"each crossing of {name}, first quote",
            "ns_per_crossing",
        )
        for name in ("whirlpool", "raydium_clmm", "meteora_dlmm")
    ),
    _within("decode_whirlpool", "from bytes", 300_000, "Whirlpool with its tick arrays from bytes"),
    _within("decode_whirlpool", "one array changed", 20_000, "the same when one array changed"),
    _within("screen", "numpy, all routes", 30_000, "screen of 15 pairs on 6 pools"),
    *(
        _within("size_two_hop", f"{one}→{two}", 250_000, f"exact size of {one}→{two}")
        for one, two in routes.ROUTES
    ),
    Goal("template", "solders, full build", "p50_ns", 3, "patch and sign faster than"),
    _within("template", "plan to signed bytes", 60_000, "two-hop from plan to signed bytes"),
    *(
        _within("simulate", f"{one}→{two}, all new", 900_000, f"{one}→{two} simulated")
        for one, two in simulate.ROUTES
    ),
    *(
        _at_least("simnet_swaps", f"{name} in process", 1_000, f"executed swaps of {name}")
        for name in simnet.VENUES
    ),
    *(
        _at_least("simnet_swaps", f"{name} over HTTP", 1_000, f"executed swaps of {name}, one request each")
        for name in simnet.VENUES
    ),
    _at_least("simnet_notifications", "accountSubscribe", 5_000, "account notifications to one subscriber"),
    _within("simnet_two_hop", "two-hop", 2_000_000, "a full two-hop, executed"),
    Goal("sidecar_throughput", "sidecar", "rate_per_s", 50_000, "ring to journal to acknowledged", False),
    *_faster(
        "sidecar_throughput",
        "rate_per_s",
        {"nats-py publish_async": 5, "nats-py publish awaited": 12},
        "journalled and acknowledged faster than",
    ),
    *_faster(
        "sidecar_throughput",
        "cpu_ns_per_message",
        {"nats-py publish_async": 6},
        "CPU of a message less than",
    ),
    _within("sidecar_latency", "sidecar", 3_000_000, "ring to acknowledged at 1,000/s, p50"),
    _within("sidecar_latency", "sidecar", 20_000_000, "ring to acknowledged at 1,000/s, p99", "p99_ns"),
    _within(TICK, "1,000 updates/s", 400_000, "account bytes to signed bytes at 1,000/s, p50"),
    _within(TICK, "1,000 updates/s", 2_500_000, "account bytes to signed bytes at 1,000/s, p99", "p99_ns"),
    _within(TICK, "1,000 updates/s, simulated", 1_500_000, "the same with simulation, p50"),
    _within(
        "kill_under_load", "trip to last service", 5_000_000, "trip to the last service's halt", "p99_ns"
    ),
    _within("kill_under_load", "trip to last service", 20_000_000, "the same, the longest", "max_ns"),
    _within("kill_under_load", "trip to last service", 0, "submissions after a trip", "after_trip"),
    _within("burst", "10,000 updates at once", 1_000_000_000, "10,000 at once until the newest is scanned"),
    _within("burst", "10,000 updates at once", 0, "lost of them beyond what is counted", "lost"),
    _within("load", "500 opportunities/s", 0, "lost on planned and executed at 500/s", "lost"),
    _within("load", "500 opportunities/s", 0, "counters that do not balance", "unbalanced"),
    _within("load", "500 opportunities/s", 20_000, "memory drift after the warm-up", "drift_ppm"),
    *(
        Goal(
            "sidecar_isolation", case, "p99_ns", 1.25, f"hot path's p99, {case}: against off", at_least=False
        )
        for case in ("sidecar on", "sidecar on, NATS stopped")
    ),
)


class Verdict(NamedTuple):
    """A goal beside its figure."""

    goal: Goal
    measured: float
    met: bool


def verdicts(report: Report) -> list[Verdict]:
    """Every goal that the report has a figure for."""
    found = []
    for goal in GOALS:
        measured = goal.measured(report)
        if measured is not None:
            found.append(Verdict(goal, measured, goal.met(measured)))
    return found
