"""Calls over real sockets: failover, deadlines, limits, the guard before the write, the way out."""

import asyncio
import json
import time
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from hft.chain.endpoint import Endpoint, EndpointError, Reach, open_session
from hft.chain.rpc_caller import CALL_RULE, Caller
from hft.chain.rpc_faults import FaultKind, RpcFault
from tests.chain.rpc_support import FAST, MILLISECOND, PATIENT, SECOND, Server, error, result, run, served


def soon(ns: int = 2 * SECOND) -> int:
    return time.monotonic_ns() + ns


async def good(asked: dict[str, Any], request: web.Request) -> web.StreamResponse:
    return result(asked, 42)


async def hanging(asked: dict[str, Any], request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def broken(asked: dict[str, Any], request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def answering(status: int, text: str) -> Any:
    async def answer(asked: dict[str, Any], request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=text.replace("ID", str(asked["id"])))

    return answer


async def behind(asked: dict[str, Any], request: web.Request) -> web.StreamResponse:
    return error(asked, -32016, "Minimum context slot has not been reached", {"contextSlot": 5})


BAD = {
    "429": (answering(429, "slow"), FaultKind.RATE_LIMITED),
    "-32097": (
        answering(200, '{"id":ID,"error":{"code":-32097,"message":"congested"}}'),
        FaultKind.RATE_LIMITED,
    ),
    "5xx": (answering(502, "bad gateway"), FaultKind.SERVER_ERROR),
    "hang": (hanging, FaultKind.TIMEOUT),
    "malformed": (answering(200, '{"id":ID,"resul'), FaultKind.MALFORMED),
    "unhealthy": (
        answering(200, '{"id":ID,"error":{"code":-32005,"message":"Node is behind"}}'),
        FaultKind.UNHEALTHY,
    ),
    "behind": (behind, FaultKind.BEHIND),
    "disconnect": (broken, FaultKind.CONNECTION),
}


@pytest.mark.parametrize("case", BAD)
def test_row_12_a_failing_endpoint_is_passed_over_and_then_left_alone(case: str) -> None:
    answer, kind = BAD[case]

    async def work() -> None:
        async with served(answer) as bad, served(good) as well, open_session(Reach.LOOPBACK) as session:
            rule = FAST if kind is FaultKind.TIMEOUT else PATIENT
            caller = Caller(session, [bad.endpoint("bad"), well.endpoint("well")], rule, random=lambda: 0.5)
            assert (await caller.call("x", [], deadline_ns=soon())).result == 42
            assert caller.faults == {kind: 1}
            for _ in range(20):
                assert (await caller.call("x", [], deadline_ns=soon())).endpoint == "well"
            assert len(bad.requests) <= 3

    run(work())


class StopWatch:
    """The machine's clock until it is stopped."""

    def __init__(self) -> None:
        self.stopped = False
        self.now_ns = 0

    def __call__(self) -> int:
        if not self.stopped:
            self.now_ns = time.monotonic_ns()
        return self.now_ns


@pytest.mark.parametrize("case", BAD)
def test_row_12_attempts_and_time_are_bounded_and_the_breaker_opens(case: str) -> None:
    answer, kind = BAD[case]

    async def work() -> None:
        rule, life_ns = (FAST, 400 * MILLISECOND) if kind is FaultKind.TIMEOUT else (PATIENT, 30 * SECOND)
        clock = StopWatch()
        async with served(answer) as bad, open_session(Reach.LOOPBACK) as session:
            caller = Caller(session, [bad.endpoint()], rule, clock_ns=clock)
            begin = time.monotonic_ns()
            with pytest.raises(RpcFault) as caught:
                await caller.call("x", [], deadline_ns=soon(life_ns))
            assert time.monotonic_ns() - begin < life_ns + 10 * SECOND
            assert caught.value.kind is kind
            assert 1 <= len(bad.requests) <= FAST.attempts
            while caller.states[0].breaker.opened == 0:
                with pytest.raises(RpcFault):
                    await caller.call("x", [], deadline_ns=soon(life_ns))
            made = len(bad.requests)
            clock.stopped = True  # the breaker is open for 100 ms, which a busy machine lets pass unseen
            with pytest.raises(RpcFault) as caught:
                await caller.call("x", [], deadline_ns=clock.now_ns + MILLISECOND)
            assert caught.value.kind is FaultKind.DEADLINE
            assert len(bad.requests) == made

    run(work())


def test_an_answer_that_says_no_is_not_asked_for_again() -> None:
    async def no(asked: dict[str, Any], request: web.Request) -> web.StreamResponse:
        return error(asked, -32602, "Invalid params")

    async def work() -> None:
        async with served(no) as server, open_session(Reach.LOOPBACK) as session:
            caller = Caller(session, [server.endpoint("a"), Endpoint("b", server.url)], FAST)
            with pytest.raises(RpcFault) as caught:
                await caller.call("x", [], deadline_ns=soon())
            assert (caught.value.kind, caught.value.code) == (FaultKind.RPC_ERROR, -32602)
            assert len(server.requests) == 1
            assert not caught.value.maybe_done

    run(work())


def test_an_endpoint_that_is_not_there_counts_as_nothing_written() -> None:
    async def work() -> None:
        async with open_session(Reach.LOOPBACK) as session:
            caller = Caller(session, [Endpoint("gone", "http://127.0.0.1:1")], FAST)
            with pytest.raises(RpcFault) as caught:
                await caller.call("x", [], deadline_ns=soon())
            assert caught.value.kind is FaultKind.CONNECTION
            assert not caught.value.maybe_done

    run(work())


def test_a_time_out_after_the_write_may_have_been_carried_out() -> None:
    async def work() -> None:
        async with served(hanging) as server, open_session(Reach.LOOPBACK) as session:
            caller = Caller(session, [server.endpoint()], FAST)
            with pytest.raises(RpcFault) as caught:
                await caller.call("x", [], deadline_ns=soon(), attempts=1)
            assert caught.value.kind is FaultKind.TIMEOUT
            assert caught.value.maybe_done

    run(work())


@pytest.mark.parametrize("allowed", [0, 1])
def test_row_21_the_guard_is_asked_right_before_each_write(allowed: int) -> None:
    """With one write allowed the first attempt hangs; the retry finds the guard shut and writes nothing."""

    async def work() -> None:
        asked = 0

        def guard() -> bool:
            nonlocal asked
            asked += 1
            return asked > allowed

        read = bytearray()

        async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(4096):
                read.extend(data)
            writer.close()

        listener = await asyncio.start_server(swallow, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        async with open_session(Reach.LOOPBACK) as session:
            caller = Caller(session, [Endpoint("raw", f"http://127.0.0.1:{port}")], FAST)
            with pytest.raises(RpcFault) as caught:
                await caller.call("sendTransaction", ["AA=="], deadline_ns=soon(), guard=guard)
            assert caught.value.kind is FaultKind.KILLED
            assert caught.value.maybe_done == bool(allowed)
        listener.close()
        assert read.count(b"sendTransaction") == allowed
        assert read.count(b"POST") == allowed

    run(work())


def test_a_limit_spreads_requests_and_a_retry_after_is_kept() -> None:
    async def once(asked: dict[str, Any], request: web.Request) -> web.StreamResponse:
        if len(servers[0].requests) == 1:
            return web.Response(status=429, headers={"Retry-After": "30"})
        return result(asked, 1)

    servers: list[Server] = []

    async def work() -> None:
        async with served(once) as first, served(good) as second, open_session(Reach.LOOPBACK) as session:
            servers.append(first)
            slow = second.endpoint("slow", interval_ns=20 * MILLISECOND, burst=1)
            caller = Caller(session, [first.endpoint("first"), slow], FAST)
            begin = time.monotonic_ns()
            for _ in range(5):
                assert (await caller.call("x", [], deadline_ns=soon())).endpoint == "slow"
            assert time.monotonic_ns() - begin >= 4 * 20 * MILLISECOND
            assert len(first.requests) == 1

    run(work())


def test_redirects_are_not_followed_and_names_that_lead_away_are_refused() -> None:
    async def away(asked: dict[str, Any], request: web.Request) -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": "http://192.0.2.1/"})

    async def work() -> None:
        async with served(away) as server, open_session(Reach.LOOPBACK) as session:
            caller = Caller(session, [server.endpoint()], CALL_RULE)
            with pytest.raises(RpcFault) as caught:
                await caller.call("x", [], deadline_ns=soon())
            assert caught.value.kind is FaultKind.HTTP_REFUSED
            with pytest.raises((EndpointError, aiohttp.ClientError)):
                await session.get("http://192.0.2.1/")
            caller = Caller(session, [Endpoint("slipped", "http://192.0.2.1/")], FAST)
            with pytest.raises((EndpointError, RpcFault)):
                await caller.call("x", [], deadline_ns=soon())

    run(work())


def test_headers_go_along_and_answers_have_a_size_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hft.chain.rpc_caller.MAX_ANSWER_BYTES", 1000)

    async def large(asked: dict[str, Any], request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"x" * 100_000)

    async def work() -> None:
        async with served(large) as server, open_session(Reach.LOOPBACK) as session:
            caller = Caller(session, [server.endpoint(headers=(("x-jito-auth", "id"),))], FAST)
            with pytest.raises(RpcFault) as caught:
                await caller.call("x", [], deadline_ns=soon())
            assert caught.value.kind is FaultKind.TOO_LARGE
            assert server.headers[0]["x-jito-auth"] == "id"
            assert json.dumps(server.requests[0])

    run(work())
