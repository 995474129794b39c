"""Calls over HTTP to several endpoints: one attempt after the other, each where it is likeliest to be
answered, none beyond the caller's deadline.

An attempt that fails is repeated at once at an endpoint not tried yet; when all were tried, after a back-off.
Limits, breakers and health are kept for each endpoint over all calls.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from random import random as random_number
from typing import Any, Final, NamedTuple

import aiohttp
import orjson
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import BytesPayload

from hft.chain.backoff import BACKOFF_RULE, BackoffRule, delay_ns
from hft.chain.breaker import BREAKER_RULE, BreakerRule
from hft.chain.endpoint import Endpoint
from hft.chain.endpoint_state import EndpointState, choose
from hft.chain.rpc_faults import RETRIED, FaultKind, RpcFault, read_answer, read_json

MAX_ANSWER_BYTES: Final = 32 << 20


class CallRule(NamedTuple):
    """Limits of one client's calls: attempts for each call, time for each attempt, waits between rounds."""

    attempts: int = 4
    attempt_ns: int = 1_000_000_000
    backoff: BackoffRule = BACKOFF_RULE
    breaker: BreakerRule = BREAKER_RULE


CALL_RULE: Final = CallRule()


class Answer(NamedTuple):
    """A result, which endpoint gave it, the answer's ``x-bundle-id`` header (empty if none). ``again``: an
    attempt before this one may have been carried out too, or may still be."""

    result: Any
    endpoint: str
    bundle_id: str
    again: bool = False


class GuardedBody(BytesPayload):
    """A request's body that asks its guard in the moment it is written: header and body go to the socket
    in one write right after it, or not at all."""

    def __init__(self, data: bytes, guard: Callable[[], bool] | None) -> None:
        """``guard``: returns True if nothing must be written any more."""
        super().__init__(data, content_type="application/json")
        self._guard = guard
        self.refused = False
        self.written = False

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        if self._guard is not None and self._guard():
            self.refused = True
            raise PermissionError("the guard before the socket write says no")
        self.written = True
        await super().write_with_length(writer, content_length)


class Caller:
    """See the module. Everything runs in the loop it was made for; the caller owns the session."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        endpoints: Sequence[Endpoint],
        rule: CallRule = CALL_RULE,
        *,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        random: Callable[[], float] = random_number,
    ) -> None:
        """``endpoints``: as ``check_endpoints`` gave them."""
        self._session = session
        self._rule = rule
        self._clock_ns = clock_ns
        self._random = random
        self._next_id = 0
        self.states = [EndpointState(endpoint, rule.breaker) for endpoint in endpoints]
        self.faults: Counter[FaultKind] = Counter()

    @property
    def now_ns(self) -> int:
        """The clock it was given."""
        return self._clock_ns()

    def state_of(self, name: str) -> EndpointState:
        """The state of the endpoint of that name; ``KeyError`` if there is none."""
        for state in self.states:
            if state.endpoint.name == name:
                return state
        raise KeyError(name)

    async def call(
        self,
        method: str,
        params: Sequence[Any],
        *,
        deadline_ns: int,
        path: str = "",
        guard: Callable[[], bool] | None = None,
        attempts: int | None = None,
        only: str | None = None,
    ) -> Answer:
        """The result of a JSON-RPC method. ``path`` is put behind the endpoint's URL; ``only``: the name of
        the one endpoint to ask; ``guard``: see ``GuardedBody``.

        ``RpcFault``: the last one when attempts or time are used up. Its ``maybe_done`` says whether any
        attempt may have been carried out.
        """
        self._next_id += 1
        request_id = self._next_id
        body = orjson.dumps({"jsonrpc": "2.0", "id": request_id, "method": method, "params": list(params)})

        async def once(state: EndpointState, timeout_ns: int) -> Answer:
            payload = GuardedBody(body, guard)
            status, data, headers = await self._request(state.endpoint, "POST", path, payload, timeout_ns)
            result = read_answer(state.endpoint.name, request_id, status, data, headers.get("Retry-After"))
            return Answer(result, state.endpoint.name, headers.get("x-bundle-id", ""))

        return await self._rounds(once, deadline_ns, attempts or self._rule.attempts, only)

    async def get(self, path: str, *, deadline_ns: int, attempts: int | None = None) -> Answer:
        """The JSON at ``path`` behind an endpoint's URL, by GET; ``RpcFault`` as for ``call``."""

        async def once(state: EndpointState, timeout_ns: int) -> Answer:
            name = state.endpoint.name
            status, data, headers = await self._request(state.endpoint, "GET", path, None, timeout_ns)
            if status == 429 or status >= 500:
                read_answer(name, 0, status, data, headers.get("Retry-After"))
            if status != 200:
                text = data[:200].decode(errors="replace")
                raise RpcFault(FaultKind.HTTP_REFUSED, name, f"HTTP {status}: {text}", code=status)
            return Answer(read_json(name, data), name, "")

        return await self._rounds(once, deadline_ns, attempts or self._rule.attempts, None)

    async def _rounds(self, once: Any, deadline_ns: int, attempts: int, only: str | None) -> Answer:
        tried: set[int] = set()
        rounds = made = 0
        maybe_done = False
        last: RpcFault | None = None
        chosen = self.states if only is None else [self.state_of(only)]
        while made < attempts:
            now_ns = self._clock_ns()
            if len(tried) == len(chosen):
                tried.clear()
                wait_ns = delay_ns(self._rule.backoff, rounds, self._random)
                rounds += 1
            else:
                wait_ns = 0
            index, ready_ns = choose(chosen, tried, now_ns)
            wait_ns = max(wait_ns, ready_ns)
            if now_ns + wait_ns >= deadline_ns:
                break
            if wait_ns:
                await asyncio.sleep(wait_ns / 1e9)
            state = chosen[index]
            now_ns = self._clock_ns()
            if now_ns >= deadline_ns:
                break
            if not state.enter(now_ns):
                continue
            made += 1
            try:
                answer: Answer = await once(state, min(self._rule.attempt_ns, deadline_ns - now_ns))
            except RpcFault as fault:
                self._note(state, fault)
                maybe_done |= fault.ambiguous
                fault.maybe_done = maybe_done
                if fault.kind not in RETRIED:
                    raise
                tried.add(index)
                last = fault
                continue
            done_ns = self._clock_ns()
            state.breaker.succeeded()
            state.health.succeeded(done_ns, done_ns - now_ns)
            return answer._replace(again=maybe_done)
        if last is not None:
            raise last
        self.faults[FaultKind.DEADLINE] += 1
        name = ", ".join(state.endpoint.name for state in chosen)
        raise RpcFault(FaultKind.DEADLINE, name, "no request was allowed before the deadline", written=False)

    async def _request(
        self, endpoint: Endpoint, verb: str, path: str, payload: GuardedBody | None, timeout_ns: int
    ) -> tuple[int, bytes, Any]:
        """One exchange; ``RpcFault`` TIMEOUT, CONNECTION, TOO_LARGE or KILLED, with what was written."""
        try:
            async with (
                asyncio.timeout(timeout_ns / 1e9),
                self._session.request(
                    verb,
                    endpoint.url + path,
                    data=payload,
                    headers=dict(endpoint.headers),
                    allow_redirects=False,
                ) as response,
            ):
                return response.status, await self._body(endpoint, response), response.headers
        except TimeoutError as error:
            raise self._fault(FaultKind.TIMEOUT, endpoint, payload, f"{timeout_ns} ns passed") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            kind = FaultKind.KILLED if payload is not None and payload.refused else FaultKind.CONNECTION
            raise self._fault(kind, endpoint, payload, f"{type(error).__name__}: {error}") from error

    @staticmethod
    async def _body(endpoint: Endpoint, response: aiohttp.ClientResponse) -> bytes:
        parts: list[bytes] = []
        size = 0
        async for chunk in response.content.iter_any():
            parts.append(chunk)
            size += len(chunk)
            if size > MAX_ANSWER_BYTES:
                response.close()
                raise RpcFault(
                    FaultKind.TOO_LARGE, endpoint.name, f"more than {MAX_ANSWER_BYTES} bytes of answer"
                )
        return b"".join(parts)

    @staticmethod
    def _fault(kind: FaultKind, endpoint: Endpoint, payload: GuardedBody | None, text: str) -> RpcFault:
        written = payload is not None and payload.written
        return RpcFault(kind, endpoint.name, text, written=written)

    def _note(self, state: EndpointState, fault: RpcFault) -> None:
        """Health, breaker and limit after a fault."""
        now_ns = self._clock_ns()
        self.faults[fault.kind] += 1
        if fault.kind is FaultKind.KILLED:
            return
        if fault.kind not in RETRIED:
            state.breaker.succeeded()
            return
        state.faults += 1
        state.health.failed(now_ns)
        state.breaker.failed(now_ns)
        if fault.retry_after_ns:
            state.bucket.hold(now_ns + fault.retry_after_ns)
