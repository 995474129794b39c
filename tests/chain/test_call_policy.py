"""Limits, breakers, back-off, health and the choice among endpoints: decisions alone, told the time."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hft.chain.backoff import BackoffRule, delay_ns
from hft.chain.breaker import Breaker, BreakerRule, BreakerState
from hft.chain.endpoint import Endpoint, EndpointError, EndpointErrorCode, Reach, check_endpoints
from hft.chain.endpoint_state import EndpointState, choose
from hft.chain.limits import TokenBucket
from hft.chain.mailbox import Mailbox
from hft.chain.rpc_faults import FaultKind, RpcFault, read_answer, retry_after_ns

MS = 1_000_000


def test_a_bucket_gives_its_burst_then_one_an_interval() -> None:
    bucket = TokenBucket(100, 3)
    assert [bucket.take(0) for _ in range(4)] == [True, True, True, False]
    assert bucket.wait_ns(0) == 100
    assert not bucket.take(99)
    assert bucket.take(100)
    assert [bucket.take(10_000) for _ in range(4)] == [True, True, True, False]


@given(st.lists(st.integers(0, 1000), max_size=200), st.integers(1, 50), st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_a_bucket_never_gives_more_than_its_rate(steps: list[int], interval: int, burst: int) -> None:
    bucket, now, taken = TokenBucket(interval, burst), 0, []
    for step in steps:
        now += step
        if bucket.take(now):
            taken.append(now)
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            assert last - first + 1 <= burst + (taken[last] - taken[first]) // interval


def test_a_held_bucket_gives_nothing_until_then() -> None:
    bucket = TokenBucket(10, 5)
    bucket.hold(1_000)
    assert bucket.wait_ns(0) == 1_000
    assert bucket.take(1_000)
    with pytest.raises(ValueError, match="above zero"):
        TokenBucket(0, 1)


def test_a_breaker_opens_after_failures_in_a_row_and_lets_one_probe_through() -> None:
    breaker = Breaker(BreakerRule(failures=3, open_ns=100, longest_open_ns=350))
    for _ in range(2):
        breaker.failed(0)
    breaker.succeeded()
    for _ in range(3):
        assert breaker.enter(0)
        breaker.failed(0)
    assert breaker.state is BreakerState.OPEN
    assert breaker.wait_ns(0) == 100
    assert not breaker.enter(99)
    assert breaker.enter(100)
    assert not breaker.enter(100)
    breaker.failed(110)
    assert breaker.wait_ns(110) == 200
    assert breaker.enter(310)
    breaker.failed(310)
    assert breaker.wait_ns(310) == 350
    assert breaker.enter(660)
    breaker.succeeded()
    assert breaker.state is BreakerState.CLOSED
    assert breaker.opened == 3


def test_a_probe_that_never_reports_does_not_keep_the_breaker_for_ever() -> None:
    breaker = Breaker(BreakerRule(failures=1, open_ns=100, longest_open_ns=500))
    breaker.failed(0)
    assert breaker.enter(100)
    assert not breaker.enter(599)
    assert breaker.enter(600)


@pytest.mark.parametrize(("attempt", "whole"), [(0, 100), (1, 200), (3, 800), (4, 1000), (10_000, 1000)])
def test_waits_grow_with_jitter_up_to_their_limit(attempt: int, whole: int) -> None:
    rule = BackoffRule(100, 1000)
    assert delay_ns(rule, attempt, lambda: 0.0) == whole // 2
    assert whole * 9 // 10 < delay_ns(rule, attempt, lambda: 0.999) <= whole


def states(count: int, *, burst: int = 1, interval_ns: int = 100) -> list[EndpointState]:
    return [
        EndpointState(
            Endpoint(str(index), "http://127.0.0.1:1", interval_ns=interval_ns, burst=burst),
            BreakerRule(1, 1000, 2000),
        )
        for index in range(count)
    ]


def test_the_healthiest_endpoint_is_asked_first_and_failures_fade() -> None:
    known = states(3, burst=100)
    known[0].health.succeeded(0, 30 * MS)
    known[1].health.succeeded(0, 10 * MS)
    known[2].health.succeeded(0, 1 * MS)
    assert choose(known, (), 0).place == 2
    known[2].health.lags(0, 5)
    assert choose(known, (), 0).place == 1
    known[1].health.failed(0)
    assert choose(known, (), 0).place == 0
    assert choose(known, (0,), 0).place == 1
    assert choose(known, (), 60_000 * MS).place == 2


def test_an_endpoint_that_may_not_be_asked_now_is_passed_over() -> None:
    known = states(2)
    assert known[0].enter(0)
    assert choose(known, (), 0) == (1, 0)
    known[1].breaker.failed(0)
    assert choose(known, (), 0) == (0, 100)
    assert choose(known, (0,), 0) == (1, 1000)


@pytest.mark.parametrize(
    ("url", "ws_url"),
    [
        ("https://api.mainnet-beta.solana.com/?api-key=secret", ""),
        ("http://10.0.0.1:8899", ""),
        ("http://127.0.0.1:8899", "wss://mainnet.example:443/secret"),
        ("http://[2001:db8::1]:80", ""),
        ("http://127.0.0.1.nip.io:80/secret", ""),
        ("http://2130706433:80", ""),
    ],
)
def test_row_36_paper_mode_refuses_addresses_beyond_this_machine(url: str, ws_url: str) -> None:
    endpoint = Endpoint("main", url, ws_url)
    with pytest.raises(EndpointError) as caught:
        check_endpoints([endpoint], Reach.LOOPBACK)
    assert caught.value.code is EndpointErrorCode.NOT_LOOPBACK
    assert "secret" not in str(caught.value)
    assert "secret" not in repr(endpoint)
    assert check_endpoints([endpoint], Reach.ANYWHERE) == (endpoint,)


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:80", "ftp://127.0.0.1", "http://127.0.0.1:99999", "http://[::1"]
)
def test_endpoints_that_are_none_are_refused(url: str) -> None:
    if not url:
        with pytest.raises(EndpointError):
            check_endpoints([], Reach.ANYWHERE)
        return
    with pytest.raises(EndpointError) as caught:
        check_endpoints([Endpoint("x", url)], Reach.ANYWHERE)
    assert caught.value.code is EndpointErrorCode.BAD_URL


def test_loopback_addresses_are_taken_and_names_are_kept_apart() -> None:
    both = [
        Endpoint("a", "http://127.0.0.1:8899", "ws://localhost:8900"),
        Endpoint("b", "http://[::1]:8899", "ws://127.9.9.9"),
    ]
    assert check_endpoints(both, Reach.LOOPBACK) == tuple(both)
    with pytest.raises(EndpointError, match="name of its own"):
        check_endpoints([both[0], both[0]], Reach.LOOPBACK)


def test_a_mailbox_is_bounded_and_counts_what_it_drops() -> None:
    woken: list[int] = []
    box: Mailbox[int] = Mailbox(2, lambda: woken.append(1))
    assert [box.offer(n) for n in range(4)] == [True, True, False, False]
    assert (box.dropped, len(woken)) == (2, 2)
    got: list[int] = []
    assert box.poll(got.append) == 2
    assert got == [0, 1]
    assert box.poll(got.append) == 0


FAULTS = [
    (429, b"slow down", FaultKind.RATE_LIMITED),
    (503, b"", FaultKind.SERVER_ERROR),
    (200, b'{"jsonrpc":"2.0","id":7,"resu', FaultKind.MALFORMED),
    (200, b'{"jsonrpc":"2.0","id":8,"result":1}', FaultKind.MALFORMED),
    (200, b"[]", FaultKind.MALFORMED),
    (200, b'{"id":7,"result":NaN}', FaultKind.MALFORMED),
    (200, b"[" * 100_000, FaultKind.MALFORMED),
    (200, b'{"id":7,"error":"odd"}', FaultKind.MALFORMED),
    (
        200,
        b'{"id":7,"error":{"code":-32005,"message":"behind","data":{"numSlotsBehind":9}}}',
        FaultKind.UNHEALTHY,
    ),
    (200, b'{"id":7,"error":{"code":-32016,"message":"m","data":{"contextSlot":4}}}', FaultKind.BEHIND),
    (200, b'{"id":7,"error":{"code":-32097,"message":"Network congested"}}', FaultKind.RATE_LIMITED),
    (400, b'{"id":7,"error":{"code":-32602,"message":"expired blockhash"}}', FaultKind.RPC_ERROR),
    (400, b"Bundles must write lock at least one tip account", FaultKind.HTTP_REFUSED),
]


@pytest.mark.parametrize(("status", "body", "kind"), FAULTS)
def test_row_12_every_bad_answer_has_its_kind(status: int, body: bytes, kind: FaultKind) -> None:
    with pytest.raises(RpcFault) as caught:
        read_answer("node", 7, status, body, None)
    assert caught.value.kind is kind
    assert len(str(caught.value)) < 400


def test_a_behind_node_tells_where_it_stands_and_a_good_answer_is_read() -> None:
    with pytest.raises(RpcFault) as caught:
        read_answer("node", 7, *FAULTS[9][:2], None)
    assert caught.value.context_slot == 4
    assert read_answer("node", 7, 200, b'{"id":7,"result":null}', None) is None
    assert retry_after_ns("3") == 3_000 * MS
    assert [retry_after_ns(odd) for odd in (None, "soon", "-1", "9" * 30)] == [0, 0, 0, 0]
