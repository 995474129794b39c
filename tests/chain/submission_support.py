"""An instance that submits and follows, driven by a test step by step."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from hft.chain.endpoint import Reach, open_session
from hft.chain.follow import Follower, FollowTimes
from hft.chain.follow_state import End, FollowRule
from hft.chain.jito import JitoClient
from hft.chain.journal import Journal, JournalWriter
from hft.chain.journal_records import Intent
from hft.chain.rpc import RpcClient
from hft.chain.submit import SendOutcome, SendRule, Submitter
from tests.chain.rpc_support import FAST, MILLISECOND, PATIENT, SECOND, run
from tests.chain.simnet_support import Simnet, intent_of, soon

RULE = SendRule(limit_ns=5 * SECOND, attempts=2)
HASTY = SendRule(limit_ns=1_200 * MILLISECOND, attempts=2)
"""Where somebody never answers: each attempt is waited for to its limit."""


class Bench:
    """Everything one instance has to submit and follow with, driven by hand."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        rpc: RpcClient,
        jito: JitoClient | None,
        folder: Path,
        rule: SendRule = RULE,
    ) -> None:
        self.http = http
        self.rpc = rpc
        self.killed = False
        self.checks = 0
        self.writer = JournalWriter(Journal(folder))
        self.submitter = Submitter(rpc, jito, self.writer, self.is_killed, rule)
        times = FollowTimes(poll_ns=15 * MILLISECOND, bundle_ns=20 * MILLISECOND, ask_ns=SECOND)
        self.follower = Follower(rpc, jito, FollowRule(silence_ns=SECOND), times)
        self.ends: list[End] = []

    def is_killed(self) -> bool:
        self.checks += 1
        return self.killed

    async def intent(self, lamports: int = 5_000) -> Intent:
        latest, _ = await self.rpc.latest_blockhash(deadline_ns=soon())
        return intent_of(latest, lamports=lamports)

    async def submit(self, intent: Intent, life_ns: int = 5 * SECOND) -> SendOutcome:
        outcome = await self.submitter.submit(intent, soon(life_ns))
        if outcome.state.is_out:
            self.follower.watch(intent, outcome)
        else:
            await self.follower.refuse(intent, outcome)
        return outcome

    async def the_end(self) -> End:
        """The next end; there is only one."""
        while not self.follower.poll(self.ends.append, 1):
            await self.follower.ask()
            await self.follower.settle()
        await self.writer.end(self.ends[-1].intent, self.ends[-1].state)
        return self.ends[-1]


@asynccontextmanager
async def desk_of(
    simnet: Simnet, folder: Path, *nodes: str, jito: str = "", hasty: bool = False
) -> AsyncIterator[Bench]:
    call, send = (FAST, HASTY) if hasty else (PATIENT, RULE)
    async with open_session(Reach.LOOPBACK) as http:
        engine = simnet.jito(http, jito, call) if jito else None
        desk = Bench(http, simnet.rpc(http, *nodes, rule=call), engine, folder, send)
        try:
            yield desk
        finally:
            desk.writer.close()


def with_desk(
    simnet: Simnet,
    folder: Path,
    work: Callable[[Bench], Awaitable[None]],
    *nodes: str,
    jito: str = "",
    hasty: bool = False,
) -> None:
    async def whole() -> None:
        async with desk_of(simnet, folder, *(nodes or ("main",)), jito=jito, hasty=hasty) as desk:
            await work(desk)

    run(whole())
