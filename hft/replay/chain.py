"""Where a replay's executor sends: the local cluster's bank, on the capture's newest accounts.

Swaps are priced and settled as on the local cluster, ``[simnet] landing_ms`` after they were sent, in the
order of sending. What they do to pools and wallet is told to the feed like any change, and stands until the
capture has a newer version of the account: a price taker among the trades that were captured. A bundle
that would fail does not land; by RPC it lands and pays its fee.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING

from hft import wire
from hft.chain.desk import DeskEvent, Settled, Submitted
from hft.chain.follow_state import End, landed, refused
from hft.chain.journal_records import Intent, Path
from hft.chain.keys import paper_keypair
from hft.chain.landing import read_landing
from hft.chain.lookup import TableCache
from hft.chain.rpc_parse import LatestBlockhash, SignatureStatus
from hft.chain.submit import SendOutcome, SendState
from hft.chain.subscribe import AccountChanged
from hft.chain.subscribe_merge import Version
from hft.chain.sysvars import CLOCK_KEY, CLOCK_LAYOUT
from hft.chain.tips import TipAccounts
from hft.chain.trackers import BLOCKHASH_LIFE
from hft.chain.watchers import Funds
from hft.runtime.capture_format import Header
from hft.services.book import pool_settings
from hft.simnet.bank import Bank
from hft.simnet.encoding import transaction_json
from hft.simnet.genesis import genesis_accounts
from hft.simnet.ledger import Record
from hft.simnet.market import Market
from hft.simnet.settlement import Executed, Settlement
from hft.venues import (
    ABSENT,
    WRAPPED_SOL,
    Account,
    ChainClock,
    PoolError,
    associated_token_address,
    decode,
    token_account,
    token_amount,
)
from hft.wire.enums import EndState, ExecutionReason

if TYPE_CHECKING:
    from hft.runtime.clock import Clock
    from hft.runtime.context import Context
    from hft.runtime.settings import Config

SOURCE = "settlement"
_JSON = {"encoding": "json", "maxSupportedTransactionVersion": 0}


class ReplayBank:
    """The bank, brought up to the capture's newest accounts whenever something is to run on it."""

    def __init__(self, config: "Config", header: Header) -> None:
        settings = config.simnet
        self._wallet = paper_keypair(settings.seed).pubkey()
        self.wallet = bytes(self._wallet)
        self.purse = associated_token_address(self.wallet, WRAPPED_SOL)
        market = Market({}, {}, max(header.slot, 1), header.unix_timestamp, (), ())
        genesis = genesis_accounts(market, self._wallet, settings.wallet_lamports)
        self._bank = Bank(market, genesis, seed=settings.seed, slot_ms=settings.slot_ms)
        self._settlement = Settlement(self._bank)
        self._pool_settings = pool_settings(config)
        self._by_bundle = config.chain.method == "jito"
        self._own = {*genesis, CLOCK_KEY}
        self._changed: dict[bytes, Account] = {}
        self._now = ChainClock(self._bank.clock.slot, header.unix_timestamp)

    @property
    def slot(self) -> int:
        """The newest slot."""
        return self._now.slot

    def is_own(self, key: bytes) -> bool:
        """Is this an account of the replay's own wallet, of which the capture has nothing to say?"""
        return key in self._own and key != CLOCK_KEY

    def take(self, version: Version) -> None:
        """A newer version of an account."""
        account = version.account or ABSENT
        if version.pubkey == CLOCK_KEY:
            if len(account.data) == CLOCK_LAYOUT.size:
                slot, _, _, _, unix_timestamp = CLOCK_LAYOUT.unpack(account.data)
                self._now = ChainClock(max(slot, self._now.slot), unix_timestamp)
        elif version.pubkey not in self._own:
            self._changed[version.pubkey] = account

    def blockhash(self) -> LatestBlockhash:
        """What to sign with now."""
        self._follow()
        bank = self._bank
        return LatestBlockhash(bank.slot, bank.blockhash, bank.block_height + BLOCKHASH_LIFE)

    def funds(self) -> Funds:
        """What the wallet holds now."""
        bank = self._bank
        held = token_amount(bank.account(self.purse).data)
        return Funds(self._now.slot, bank.account(self.wallet).lamports, held)

    def account(self, key: bytes) -> Account:
        """An account of the bank as it is now."""
        return self._bank.account(key)

    def execute(self, raw: bytes, pools: Collection[bytes]) -> tuple[Executed, dict[bytes, Account]]:
        """Runs one signed transaction on ``pools`` as they are now; what it did, and the accounts it
        changed."""
        bank = self._bank
        self._follow()
        if self._changed:
            bank.write(self._changed, in_history=False)
            self._changed.clear()
        for key in pools:
            try:
                pool = decode(key, bank.accounts, self._pool_settings)
            except PoolError:
                continue  # the swap finds no pool, and fails
            bank.pools[key] = pool
            for mint, program in ((pool.mint_a, pool.program_a), (pool.mint_b, pool.program_b)):
                self._open(mint, program)
        bank.take_changes()
        if self._by_bundle:
            _, results = self._settlement.run_bundle([raw])
            (executed,) = results
        else:
            executed = self._settlement.run(raw)
        bank.pools.clear()
        changed = {update.pubkey: bank.account(update.pubkey) for update in bank.take_changes()}
        return executed, changed

    def end(self, intent: Intent, executed: Executed) -> Settled:
        """The end of what ran, as the chain would tell it."""
        envelope, details, bank = executed.envelope, executed.details, self._bank
        if not executed.landed or envelope is None or details is None or (self._by_bundle and details.error):
            reason = ExecutionReason.BUNDLE_FAILED if self._by_bundle else ExecutionReason.BLOCKHASH_EXPIRED
            why = executed.status.error_name[:80]
            return Settled(End(intent, EndState.EXPIRED, reason, detail=why), None)
        clock = bank.clock
        record = Record(envelope, details, executed.status.fee_lamports, clock.slot, clock.unix_timestamp)
        told = {"slot": clock.slot, "blockTime": clock.unix_timestamp, **transaction_json(record, _JSON)}
        status = SignatureStatus(clock.slot, details.error, "confirmed")
        return Settled(landed(intent, status, ""), read_landing(told))

    def _follow(self) -> None:
        if self._now.slot > self._bank.slot:
            self._bank.skip_to(*self._now)

    def _open(self, mint: bytes, program: bytes) -> None:
        """As on the local cluster, the wallet has an account of every token from the start."""
        key = associated_token_address(self.wallet, mint, program)
        if key not in self._own:
            self._own.add(key)
            self._bank.write({key: token_account(mint, self.wallet, 0, program)}, in_history=False)


class _Known:
    """What the executor knows of the chain."""

    reachable = True

    def __init__(self, bank: ReplayBank) -> None:
        self._bank = bank
        self.tables = TableCache(())
        self.tip_accounts = TipAccounts()
        self.funds = {bank.wallet: bank.funds()}

    @property
    def slot(self) -> int:
        return self._bank.slot

    def blockhash(self) -> LatestBlockhash:
        return self._bank.blockhash()


class ReplayChain:
    """The executor's access to the chain in a replay: see the module. No sockets, no journal, no waiting."""

    sending = cut_bytes = 0

    def __init__(self, ctx: "Context", bank: ReplayBank) -> None:
        self._clock: Clock = ctx.clock
        self._control = ctx.control
        self._bank = bank
        self._landing_ns = ctx.config.simnet.landing_ms * 1_000_000
        self._path = Path.JITO if ctx.config.chain.method == "jito" else Path.RPC
        self._events: deque[DeskEvent] = deque()
        self._under_way: deque[tuple[int, Intent]] = deque()
        self.watchers = _Known(bank)

    @property
    def newest_slot(self) -> int:
        return self._bank.slot

    @property
    def due_ns(self) -> int | None:
        """When the next submission lands; None while none is under way."""
        return self._under_way[0][0] if self._under_way else None

    def settle(self) -> list[AccountChanged]:
        """Has the next submission land now; what it changed."""
        _, intent = self._under_way.popleft()
        plan = wire.execution_plan.decode(intent.context)
        executed, changed = self._bank.execute(intent.signed, (plan.pool_1, plan.pool_2))
        self._events.append(self._bank.end(intent, executed))
        self.watchers.funds[self._bank.wallet] = self._bank.funds()
        slot, now_ns = self._bank.slot, self._clock.monotonic_ns()
        return [
            AccountChanged(Version(key, slot, 0, None if account == ABSENT else account, SOURCE, now_ns))
            for key, account in changed.items()
        ]

    def submit(self, intent: Intent, expires_ns: int) -> None:
        now_ns = self._clock.monotonic_ns()
        if self._control.latch:
            outcome = SendOutcome(SendState.KILLED, reason="the kill latch is set")
            self._events += (Submitted(intent, outcome), Settled(refused(intent, outcome), None))
            return
        self._events.append(Submitted(intent, SendOutcome(SendState.ACCEPTED, self._path, written_ns=now_ns)))
        self._under_way.append((now_ns + self._landing_ns, intent))

    def poll(self, handler: Callable[[DeskEvent], None], limit: int) -> int:
        count = min(limit, len(self._events))
        for _ in range(count):
            handler(self._events.popleft())
        return count

    def recover(self) -> Iterable[Intent]:
        return ()

    def lost(self) -> Iterable[Intent]:
        return ()

    def may_sign(self, plan_id: bytes) -> bool:
        return True

    def is_doomed(self, signature: bytes) -> bool:
        return False

    def step(self) -> None:
        return

    def wait(self, timeout_ns: int) -> None:
        return

    def forget(self, intent: Intent, state: EndState) -> None:
        return

    def show(self) -> None:
        return

    def bury(self) -> None:
        return

    def close(self) -> None:
        return
