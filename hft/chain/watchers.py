"""What a submitter has to know of the chain, asked for in the background: blockhashes, fees, tips, tables,
balances.

One task each. A question that fails is counted and asked again at its next turn; nothing is raised into the
loop, and what was known stays known with its age.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, NamedTuple

from hft.chain.jito import JitoClient
from hft.chain.lookup import TableCache
from hft.chain.priority_fees import PriorityFees
from hft.chain.rpc import CONFIRMED, RpcClient
from hft.chain.rpc_faults import RpcFault
from hft.chain.rpc_parse import LatestBlockhash
from hft.chain.tips import TIP_ACCOUNTS, TipAccounts, TipFloor, read_tip_floor
from hft.chain.trackers import BLOCKHASH_LIFE, BlockhashTracker
from hft.venues import WRAPPED_SOL, associated_token_address, token_amount
from hft.venues.spl import TOKEN_ACCOUNT_SIZE

MINIMUM_BLOCKS: Final = 20
"""A blockhash with fewer blocks left is not signed with."""


class WatchTimes(NamedTuple):
    """Time between two questions of a kind, and the longest wait for one answer (ns)."""

    blockhash_ns: int = 400_000_000
    fees_ns: int = 2_000_000_000
    tips_ns: int = 5_000_000_000
    tip_accounts_ns: int = 600_000_000_000
    tables_ns: int = 1_000_000_000
    balances_ns: int = 1_000_000_000
    ask_ns: int = 2_000_000_000
    silence_ns: int = 10_000_000_000


class Funds(NamedTuple):
    """A wallet as of ``slot``: lamports, and base units of wrapped SOL in its associated account."""

    slot: int
    lamports: int
    wrapped: int


class Watchers:
    """See the module. ``tasks`` are to be spawned; the fields may be read at any time.

    ``tip_floor`` is None until the engine has told one that can be believed.
    """

    def __init__(
        self,
        rpc: RpcClient,
        jito: JitoClient | None,
        floors: JitoClient | None,
        wallets: Sequence[bytes],
        tables: TableCache,
        times: WatchTimes | None = None,
        *,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """``floors``: where the tip floor is told, on mainnet another host than the engine's."""
        self._rpc = rpc
        self._jito = jito
        self._floors = floors
        self._wallets = tuple(wallets)
        self._times = times or WatchTimes()
        self._clock_ns = clock_ns
        self._heard_ns = 0
        self.tables = tables
        self.blockhashes = BlockhashTracker()
        self.fees = PriorityFees()
        self.tip_floor: TipFloor | None = None
        self.tip_accounts = TipAccounts()
        self.funds: dict[bytes, Funds] = {}
        self.faults: Counter[str] = Counter()
        self.answers: Counter[str] = Counter()

    def tasks(self) -> list[Coroutine[Any, Any, None]]:
        """What has to run beside."""
        times = self._times
        found = [
            self._every("blockhash", times.blockhash_ns, self._blockhash),
            self._every("balances", times.balances_ns, self._balances),
            self._every("fees", times.fees_ns, self._fees),
        ]
        if len(self.tables):
            found.append(self._every("tables", times.tables_ns, self._tables))
        if self._jito is not None:
            found.append(self._every("tip_accounts", times.tip_accounts_ns, self._tip_accounts))
        if self._floors is not None:
            found.append(self._every("tip_floor", times.tips_ns, self._tip_floor))
        return found

    @property
    def reachable(self) -> bool:
        """Whether any node answered lately."""
        return self._heard_ns > 0 and self._clock_ns() - self._heard_ns <= self._times.silence_ns

    def blockhash(self) -> LatestBlockhash | None:
        """What to sign with now; None if nothing fresh enough is known."""
        return self.blockhashes.usable(MINIMUM_BLOCKS) if self.reachable else None

    @property
    def slot(self) -> int:
        """The newest slot known."""
        return self.blockhashes.newest_slot

    async def _every(self, name: str, interval_ns: int, ask: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await ask()
                self.answers[name] += 1
            except RpcFault:
                self.faults[name] += 1
            await asyncio.sleep(interval_ns / 1e9)

    def _deadline_ns(self) -> int:
        return self._clock_ns() + self._times.ask_ns

    async def _blockhash(self) -> None:
        """Asks every node: the newest wins, and one that lags is seen beside the others, or by itself as
        standing before the slot that is known already."""
        asked = [self._blockhash_of(state.endpoint.name) for state in self._rpc.states]
        told = await asyncio.gather(*asked, return_exceptions=True)
        faults = [one for one in told if isinstance(one, BaseException)]
        for fault in faults:
            if not isinstance(fault, RpcFault):
                raise fault
        if len(faults) == len(told):
            raise faults[0]
        self.faults["blockhash"] += len(faults)

    async def _blockhash_of(self, node: str) -> None:
        tracker = self.blockhashes
        latest, _ = await self._rpc.latest_blockhash(
            deadline_ns=self._deadline_ns(),
            commitment=CONFIRMED,
            min_context_slot=tracker.newest.slot if tracker.newest is not None else None,
            only=node,
        )
        self._heard_ns = self._clock_ns()
        tracker.on_height(max(latest.last_valid_block_height - BLOCKHASH_LIFE, 0))
        tracker.offer(latest)

    async def _fees(self) -> None:
        self.fees.take(await self._rpc.recent_priority_fees([], deadline_ns=self._deadline_ns()))

    async def _tip_floor(self) -> None:
        assert self._floors is not None
        floor = read_tip_floor(await self._floors.tip_floor(deadline_ns=self._deadline_ns()))
        if floor is None:
            self.faults["tip_floor_form"] += 1
        self.tip_floor = floor

    async def _tip_accounts(self) -> None:
        """The engine's own, of those that are known: nobody is paid because a server says so."""
        assert self._jito is not None
        told = await self._jito.tip_accounts(deadline_ns=self._deadline_ns())
        self.faults["tip_account_unknown"] += sum(one not in TIP_ACCOUNTS for one in told)
        self.tip_accounts.replace([one for one in told if one in TIP_ACCOUNTS])

    async def _tables(self) -> None:
        due = self.tables.due(self.slot)
        if due:
            told = await self._rpc.accounts(due, deadline_ns=self._deadline_ns(), commitment=CONFIRMED)
            self.tables.update(dict(zip(due, told.accounts, strict=True)), told.slot)

    async def _balances(self) -> None:
        keys = [key for wallet in self._wallets for key in (wallet, wrapped_account(wallet))]
        told = await self._rpc.accounts(keys, deadline_ns=self._deadline_ns(), commitment=CONFIRMED)
        for place, wallet in enumerate(self._wallets):
            main, wrapped = told.accounts[2 * place : 2 * place + 2]
            held = (
                0 if wrapped is None or len(wrapped.data) < TOKEN_ACCOUNT_SIZE else token_amount(wrapped.data)
            )
            funds = Funds(told.slot, 0 if main is None else main.lamports, held)
            known = self.funds.get(wallet)
            if known is None or funds.slot >= known.slot:
                self.funds[wallet] = funds


def wrapped_account(wallet: bytes) -> bytes:
    """The wallet's associated account of wrapped SOL."""
    return associated_token_address(wallet, WRAPPED_SOL)
