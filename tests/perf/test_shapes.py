"""Every shape runs with real processes: its figures are there; every record came once, whole, in order."""

import os
import re
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from perf import engine
from perf.cases import NativePair, PingPong, Stream
from perf.catalogue import SHAPES
from perf.engine import Plan, Shape
from perf.model import Report
from perf.peers import PEER_KEYS, PEERS, RING
from perf.shapes.three_hop_pipeline import Pipeline
from ringbuf import segment_names

pytestmark = pytest.mark.skipif(find_spec("hdrh") is None, reason="the perf extra is not installed")
ROOT = Path(__file__).resolve().parent.parent.parent
LEFT_TO_SLOW = frozenset({"500", "array", "burst", "no real time"})
"""Groups of cases: the pipeline's other rate and scheduling, the feed's other account and pace."""
LONG_ROUNDS = frozenset({"sidecar_isolation", "simnet_swaps"})
"""Shapes whose shortest round takes ten seconds; others start the same parts."""
OURS = {
    "ping_pong": {"ringbuf": "p50_ns"},
    "one_to_one_throughput": {"ringbuf": "rate_per_s", "ringbuf x64": "rate_per_s"},
    "one_to_three_multicast": {"ringbuf": "rate_per_s"},
    "three_hop_pipeline": {
        f"ringbuf {idle} 5000/s": "p50_ns" for idle in ("busy_spin", "yield", "backoff", "park")
    },
    "parked_handoff": {"ringbuf park": "p50_ns"},
    "kill_propagation": {"kill check": "ns_per_operation", "spinning": "p50_ns", "parked": "p50_ns"},
    "table_read": {"Table.get 256 B while written": "p50_ns", "Table.get 10 kB quiet": "p50_ns"},
    "counters": {"Counters.add": "ns_per_operation", "Counters.record": "ns_per_operation"},
    "gc_pause": {"runner's policy": "longest_collection_ns", "enabled": "longest_collection_ns"},
    "codec_encode": {"hft.wire": "ns_per_operation"},
    "codec_decode": {"hft.wire": "ns_per_operation"},
    "codec_read_3_fields": {"hft.wire": "ns_per_operation"},
    "codec_size": {"hft.wire": "bytes"},
    "codec_handoff": {"ringbuf + hft.wire": "p50_ns"},
    "quote_whirlpool": {"whirlpool within one": "p50_ns", "whirlpool 8 crossings": "p50_ns"},
    "quote_raydium_v4": {"raydium_v4 within one": "p50_ns"},
    "quote_raydium_cpmm": {"raydium_cpmm within one": "p50_ns"},
    "quote_raydium_clmm": {"raydium_clmm within one": "p50_ns", "raydium_clmm 8 crossings": "p50_ns"},
    "quote_meteora_dlmm": {"meteora_dlmm within one": "p50_ns", "meteora_dlmm 8 crossings": "p50_ns"},
    "quote_meteora_damm_v2": {"meteora_damm_v2 within one": "p50_ns"},
    "decode_whirlpool": {"from bytes": "p50_ns", "one array changed": "p50_ns"},
    "screen": {"numpy, all routes": "p50_ns", "one pool changed": "p50_ns"},
    "size_two_hop": {"raydium_v4→raydium_cpmm": "p50_ns", "raydium_v4→whirlpool": "p50_ns"},
    "sidecar_throughput": {"sidecar": "rate_per_s"},
    "sidecar_latency": {"sidecar": "p99_ns"},
    "sidecar_isolation": {"sidecar on": "p99_ns", "sidecar off": "p99_ns"},
    "template": {"plan to signed bytes": "p50_ns", "patch + sign, libsodium": "p50_ns", "patch": "p50_ns"},
    "simulate": {"raydium_v4→whirlpool, all new": "p50_ns", "raydium_v4→whirlpool, known": "p50_ns"},
    "simnet_swaps": {"whirlpool in process": "rate_per_s", "meteora_dlmm over HTTP": "rate_per_s"},
    "simnet_notifications": {"accountSubscribe": "rate_per_s"},
    "simnet_two_hop": {"two-hop": "p50_ns"},
    "feed": {"vault, paced": "p50_ns"},
    "placement": {f"{one}, 1,000 swaps/s": "p50_ns" for one in ("split_feed", "split", "shared")},
    "tick_to_trade": {"1,000 updates/s": "p50_ns", "1,000 updates/s: planner→executor": "p50_ns"},
    "kill_under_load": {"trip to last service": "submissions", "trip to last service: feed": "p50_ns"},
    "load": {"500 opportunities/s": "planned"},
    "burst": {"10,000 updates at once": "taken"},
}

WHOLE_PIPELINES = frozenset({"placement", "sidecar_isolation"})
"""Shapes whose shortest round is a run of all services: left to the slow tests."""
SHORT = [
    pytest.param(name, marks=[pytest.mark.slow] if name in WHOLE_PIPELINES | LONG_ROUNDS else [])
    for name in SHAPES
]


def run(shape: Shape, plan: Plan, report: Report) -> list[str]:
    """Run it; the errors but for a stated rate that a busy machine did not allow."""
    engine.run(shape, plan, report, lambda _what, _done: None)
    return [error for error in report.errors if "instead of the stated" not in error]


def test_every_shape_is_named_here() -> None:
    assert list(SHAPES) == list(OURS)


@pytest.mark.parametrize("name", SHORT)
def test_shape_runs_and_every_record_is_right(name: str, plan: Plan, report: Report) -> None:
    wanted = OURS[name]
    shape = replace(
        SHAPES[name],
        cases=lambda given: [c for c in SHAPES[name].cases(given) if c.group not in LEFT_TO_SLOW],
    )
    assert run(shape, plan, report) == []
    for case, metric in wanted.items():
        value = report.value(name, case, metric)
        assert value is not None, f"{case} has no {metric}"
        assert value > 0
    if name != "codec_size":
        assert report.value(name, "hiccups", "lost_ppm") is not None
    assert segment_names("perf") == [] or not any(f"-p{os.getpid()}-" in s for s in segment_names("perf"))


def test_every_peer_beside_ours_in_the_same_rounds(plan: Plan, report: Report) -> None:
    for peer in PEERS:
        if why := peer.missing():
            pytest.skip(f"{peer.label}: {why}")
    both = replace(plan, peers=frozenset(PEER_KEYS), rounds=2)
    assert run(SHAPES["ping_pong"], both, report) == []
    for peer in PEERS:
        times = [r for r in report.ratios if (r.peer, r.metric) == (peer.label, "p50_ns")]
        assert [len(ratio.runs) for ratio in times] == [2], peer.label


@pytest.mark.slow
@pytest.mark.parametrize("name", SHAPES)
def test_shape_with_every_peer(name: str, plan: Plan, report: Report) -> None:
    everyone = replace(plan, peers=frozenset(PEER_KEYS), rounds=3, budget_s=5.0)
    assert run(SHAPES[name], everyone, report) == []
    assert len({result.case for result in report.results}) > len(OURS[name])


def test_a_stated_rate_that_is_not_met_is_an_error(plan: Plan, report: Report) -> None:
    pipeline = Pipeline(RING, plan, 3_000_000, idle="yield")
    pipeline.count = 2_000
    pipeline.start()
    try:
        pipeline.ready()
        problems = pipeline.round().problems
    finally:
        pipeline.stop()
    assert len(problems) == 1
    assert "instead of the stated 3,000,000/s" in problems[0]


def test_a_missing_peer_is_named_as_skipped(plan: Plan, report: Report) -> None:
    absent = RING._replace(label="absent", missing=lambda: "the Python package absent is not installed")
    no_compiler = replace(plan, library="", library_missing="no C compiler")
    shape = Shape(
        "any",
        "",
        lambda given: [
            PingPong(absent, given),
            NativePair(given, "ring", "C ring"),
            Stream(PEERS[-1], given, batch=64),
        ],
    )
    run(shape, no_compiler, report)
    assert [(each["case"], each["why"]) for each in report.skipped] == [
        ("absent", "the Python package absent is not installed"),
        ("C ring", "no C compiler"),
        ("socketpair spin", "has no call for a batch"),
    ]
    assert report.results == []


def _no_actor() -> None:
    raise RuntimeError("an actor that can't be built")


class Broken(PingPong):
    """Its workers fail."""

    def start(self) -> None:
        self.add("ping", None, _no_actor)


class Dying(PingPong):
    """Its worker dies."""

    def start(self) -> None:
        self.add("ping", None, os._exit, 7)


def test_a_case_that_fails_is_told_of_and_the_others_go_on(plan: Plan, report: Report) -> None:
    cases = [
        Broken(RING, plan, label="broken"),
        Dying(RING, plan, label="dying"),
        PingPong(RING, plan, reference=True),
    ]
    errors = run(Shape("any", "", lambda _: cases), plan, report)
    assert len(errors) == 2
    assert "any: broken failed" in errors[0]
    assert "an actor that can't be built" in errors[0]
    assert "dying: ping: died with exit code 7" in errors[1]
    assert {result.case for result in report.results} == {"ringbuf"}


def test_the_pipeline_never_imports_perf() -> None:
    importing = re.compile(r"^\s*(from|import) perf\b", re.MULTILINE)
    sources = [path for room in ("hft", "ringbuf") for path in (ROOT / room).rglob("*.py")]
    assert len(sources) > 20
    assert [path for path in sources if importing.search(path.read_text())] == []
