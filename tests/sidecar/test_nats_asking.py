"""Questions that are asked again until somebody answers."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable

import pytest

from hft.runtime import nats_asking
from hft.runtime.nats_asking import persistently


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nats_asking, "ASK_AGAIN_S", 0.02)


class Servers:
    """Who is asked: each asking has an answer of its own, by its number from 0."""

    def __init__(self, answer: Callable[[int], Awaitable[int]]) -> None:
        self.askings = itertools.count()
        self.cancelled = 0
        self._answer = answer

    async def ask(self) -> int:
        try:
            return await self._answer(next(self.askings))
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


async def silence() -> int:
    await asyncio.Event().wait()
    raise AssertionError


def test_what_nobody_heard_is_asked_again_and_the_first_askings_are_given_up() -> None:
    async def answer(number: int) -> int:
        return number if number == 3 else await silence()

    servers = Servers(answer)
    assert asyncio.run(persistently(servers.ask)) == 3
    assert servers.cancelled == 3


def test_a_slow_answer_to_the_first_asking_counts() -> None:
    async def run() -> int:
        asked_again = asyncio.Event()

        async def answer(number: int) -> int:
            if number:
                asked_again.set()
                return await silence()
            await asked_again.wait()
            return 0

        return await persistently(Servers(answer).ask)

    assert asyncio.run(run()) == 0


def test_an_asking_that_times_out_by_itself_is_no_answer() -> None:
    async def answer(number: int) -> int:
        if number < 2:
            raise TimeoutError
        return number

    assert asyncio.run(persistently(Servers(answer).ask)) == 2


def test_a_refusal_is_an_answer_and_silence_ends() -> None:
    async def refusal(_number: int) -> int:
        raise LookupError("no such stream")

    with pytest.raises(LookupError, match="no such stream"):
        asyncio.run(persistently(Servers(refusal).ask))
    servers = Servers(lambda _number: silence())
    with pytest.raises(TimeoutError, match=r"no answer for 0\.1 s"):
        asyncio.run(persistently(servers.ask, 0.1))
    assert servers.cancelled == 5
