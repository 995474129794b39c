"""Questions asked from outside the pipeline, at a run's start and end: what the wallet owns, what the streams
stored.

They block for a bounded time and are never called while a duty cycle waits for them.
"""

import asyncio
from collections.abc import Iterable

from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from hft.chain.endpoint import Endpoint, EndpointError, check_endpoints, open_session
from hft.chain.rpc import RpcClient
from hft.chain.rpc_faults import RpcFault
from hft.runtime.clock import Clock
from hft.runtime.context import Run
from hft.runtime.endpoints import endpoints
from hft.runtime.exit_codes import HftError
from hft.runtime.nats_options import connect_options, connect_session
from hft.runtime.streams import STREAMS, Stream
from hft.runtime.wallet import wallet_address
from hft.venues import WRAPPED_SOL, associated_token_address, token_amount
from hft.venues.spl import TOKEN_ACCOUNT_SIZE

ANSWER_LIMIT_NS = 5_000_000_000
"""Longest wait for an answer."""


def wallet_lamports(run: Run, clock: Clock) -> int | None:
    """SOL and wrapped SOL of the run's wallet now, in lamports, as an RPC node says; ``None`` without an
    answer."""
    try:
        return asyncio.run(_wallet_lamports(run, clock))
    except (HftError, EndpointError, RpcFault):
        return None


async def _wallet_lamports(run: Run, clock: Clock) -> int:
    found, wallet = endpoints(run), wallet_address(run)
    nodes = [Endpoint(f"rpc-{place}", url) for place, url in enumerate(found.rpc_urls, 1)]
    async with open_session(found.reach) as http:
        rpc = RpcClient(http, check_endpoints(nodes, found.reach), clock_ns=clock.monotonic_ns)
        told = await rpc.accounts(
            (wallet, associated_token_address(wallet, WRAPPED_SOL)),
            deadline_ns=clock.monotonic_ns() + ANSWER_LIMIT_NS,
        )
    main, wrapped = told.accounts
    held = 0 if wrapped is None or len(wrapped.data) < TOKEN_ACCOUNT_SIZE else token_amount(wrapped.data)
    return (0 if main is None else main.lamports) + held


def stream_sequences(run: Run, streams: Iterable[Stream] = STREAMS) -> dict[str, int]:
    """Stream → sequence of the last message it ever stored, 0 where it does not exist or nobody answers."""
    names = [stream.name for stream in streams]
    try:
        return asyncio.run(asyncio.wait_for(_sequences(run, names), ANSWER_LIMIT_NS / 1e9))
    except (HftError, NatsError, OSError, TimeoutError):
        return dict.fromkeys(names, 0)


async def _sequences(run: Run, names: list[str]) -> dict[str, int]:
    async def quiet(_error: Exception) -> None:
        return None

    options = connect_options(run.config.nats, run.nats_url)
    client = await connect_session(options, "hft-probe", error_cb=quiet)
    try:
        js = client.jetstream()
        found: dict[str, int] = {}
        for name in names:
            try:
                found[name] = (await js.stream_info(name)).state.last_seq
            except NotFoundError:
                found[name] = 0
        return found
    finally:
        await client.close()
