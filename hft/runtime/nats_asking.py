"""Questions to JetStream that are asked again: where a stream has no leader nobody answers, then or later.

The servers agree on another leader within 4 to 9 s, and only what is asked after that is heard.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

T = TypeVar("T")

ASK_AGAIN_S: Final = 0.5
LIMIT_S: Final = 5.0


async def persistently(question: Callable[[], Awaitable[T]], limit_s: float = LIMIT_S) -> T:
    """The first answer to a question that is asked every ``ASK_AGAIN_S``; an earlier asking may still be
    answered, by a server that is slow.

    Raises what the question raises; ``TimeoutError`` without an answer within ``limit_s``.
    """
    askings: set[asyncio.Future[T]] = set()
    try:
        for _ in range(int(limit_s / ASK_AGAIN_S)):
            askings.add(asyncio.ensure_future(question()))
            done, _waiting = await asyncio.wait(
                askings, timeout=ASK_AGAIN_S, return_when=asyncio.FIRST_COMPLETED
            )
            for asking in done:
                if not isinstance(asking.exception(), TimeoutError):
                    return asking.result()
            askings -= done
        raise TimeoutError(f"no answer for {limit_s:g} s")
    finally:
        for asking in askings:
            asking.cancel()
        await asyncio.gather(*askings, return_exceptions=True)
