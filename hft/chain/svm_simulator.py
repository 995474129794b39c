"""A transaction's effect on the newest known accounts, found by running it; nothing of it stays.

Accounts come from a source of records (the account table's); one is written into the SVM only when its record
is another than the one there. Swaps of venues whose programs were loaded run in them unchanged, the others
are priced and settled by transfers (see ``svm_rewrite``). Tip accounts hold some lamports here as they do on
chain, nobody watches them.

A two-hop whose like went well before is patched in what was made ready of that (see ``svm_template``), and
told if it goes well too; any other runs the general way, so that both tell the same.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.transaction_metadata import FailedTransactionMetadata, SimulatedTransactionInfo

from hft.chain.compute import MAX_COMPUTE_UNITS
from hft.chain.svm import NO_INDEX, open_svm, prepare, svm_account, svm_clock, units_of, verdict_of
from hft.chain.svm_envelope import Envelope, EnvelopeError, extended_slot, open_envelope
from hft.chain.svm_programs import load_programs
from hft.chain.svm_rewrite import Plan, rewrite
from hft.chain.svm_template import SvmTemplate
from hft.chain.sysvars import SYSVAR_OWNER
from hft.chain.template import MAX_ROUTES, Template
from hft.chain.tips import TIP_ACCOUNTS
from hft.chain.transaction import TwoHop
from hft.venues import ABSENT, Account, ChainClock, Pool, PoolError, Quote, QuoteError, token_amount
from hft.venues.spl import key
from hft.wire.account import AccountRecord

TIP_ACCOUNT_LAMPORTS: Final = 1_000_000_000
SIGNATURE_BYTES: Final = 64
UNSIGNED: Final = b"\x01" + bytes(SIGNATURE_BYTES)
"""What stands before a message that nobody signed."""
READY_KEPT: Final = MAX_ROUTES
WANTED_KEPT: Final = 16
FOLLOWED: Final = 16
"""Transactions whose accounts one ``follow`` looks at."""
_SYSTEM_PROGRAM: Final = bytes(32)
_NO_BLOCKHASH: Final = bytes(32)

KEPT_OWNERS: Final = frozenset(
    (
        SYSVAR_OWNER,
        *(
            key(loader)
            for loader in (
                "NativeLoader1111111111111111111111111111111",
                "BPFLoader1111111111111111111111111111111111",
                "BPFLoader2111111111111111111111111111111111",
                "BPFLoaderUpgradeab1e11111111111111111111111",
            )
        ),
    )
)
"""Owners of programs and sysvars: the SVM has its own."""

Result = SimulatedTransactionInfo | FailedTransactionMetadata
Source = Callable[[bytes], AccountRecord | None]


class Simulated(NamedTuple):
    """What a transaction would do now.

    ``failed_at``: the instruction that failed (``NO_INDEX``: none, or the transaction as a whole), ``code``
    and ``name`` its error (0 and "" if all went well); ``units``: compute units it takes; ``measured``: every
    swap ran in its venue's own program, so that the units are the chain's; ``received``: what the account
    asked for holds more than before (base units, may be negative), 0 where the transaction fails.
    """

    failed_at: int
    code: int
    name: str
    units: int
    measured: bool
    received: int

    @property
    def ok(self) -> bool:
        """Whether it would succeed."""
        return not self.name


class _Accounts(Mapping[bytes, Account]):
    """The source's accounts as plain ones; an account that the cluster itself keeps is ``ABSENT`` here."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def __getitem__(self, pubkey: bytes) -> Account:
        record = self._source(pubkey)
        if record is None:
            raise KeyError(pubkey)
        return Account(record.owner, record.data, record.lamports)

    def __iter__(self) -> Iterator[bytes]:
        return iter(())

    def __len__(self) -> int:
        return 0


class _View:
    """What swaps are priced on: see ``svm_rewrite.State``."""

    def __init__(self, source: Source) -> None:
        self.accounts: Mapping[bytes, Account] = _Accounts(source)
        self.pools: Mapping[bytes, Pool] = {}
        self.clock = ChainClock(0, 0)

    def account(self, pubkey: bytes) -> Account:
        """The account, ``ABSENT`` if nothing is known of it."""
        return self.accounts.get(pubkey, ABSENT)


class _Ran(NamedTuple):
    """A message that was run: what was made of it, and what came of it."""

    envelope: Envelope
    plan: Plan
    result: Result


class _Ready(NamedTuple):
    """A template's transaction, and what it rests on.

    ``tables``: the lookup tables that the message loads, with their records; ``purse_at``: where the purse
    stands among the accounts that a run tells of; ``units``: what the general way's transfers take more.
    """

    template: SvmTemplate
    tables: tuple[tuple[bytes, AccountRecord], ...]
    purse: bytes
    purse_at: int
    units: int


class _Wanted(NamedTuple):
    """An order that went well the general way."""

    order: TwoHop
    quotes: tuple[Quote, Quote]
    purse: bytes


class Simulator:
    """See the module. Not for two threads at once."""

    def __init__(self, source: Source, programs: str | Path = "") -> None:
        """``programs``: a folder of venue programs; empty: none. ``ProgramError`` if it holds none."""
        self._source = source
        self._svm = open_svm().with_log_bytes_limit(0)
        self.programs = load_programs(self._svm, programs) if programs else frozenset()
        for tip_account in TIP_ACCOUNTS:
            purse = Account(_SYSTEM_PROGRAM, b"", TIP_ACCOUNT_LAMPORTS)
            self._svm.set_account(Pubkey(tip_account), svm_account(purse))
        self._view = _View(source)
        self._clock = ChainClock(0, 0)
        self._held: dict[bytes, AccountRecord] = {}
        self._payer: tuple[bytes, int] = (b"", 0)
        self._payer_record: AccountRecord | None = None
        self._ready: OrderedDict[Template, _Ready] = OrderedDict()
        self._wanted: dict[Template, _Wanted] = {}
        self._turn: list[SvmTemplate] = []
        self.runs = 0
        self.patched = 0
        """Of the runs, those of a transaction that was ready."""
        self.written = 0

    def run(self, message: bytes, pools: Mapping[bytes, Pool], clock: ChainClock, purse: bytes) -> Simulated:
        """Runs the unsigned ``message`` at ``clock``. ``pools``: those its swaps name, as decoded from the
        newest accounts; ``purse``: the token account whose gain is told.

        ``EnvelopeError`` if the message is none that a validator takes.
        """
        _, plan, result = self._execute(message, pools, clock)
        self.runs += 1
        failed_at, (code, name) = verdict_of(plan, result)
        meta = result.meta()
        units = min(units_of(plan, meta.compute_units_consumed()), MAX_COMPUTE_UNITS)
        measured = not any(step.of_swap for step in plan.steps)
        if isinstance(result, FailedTransactionMetadata):
            return Simulated(failed_at, code, name or "Failed", units, measured, 0)
        after = next((held.data for one, held in result.post_accounts() if bytes(one) == purse), b"")
        return Simulated(NO_INDEX, 0, "", units, measured, _amount(after) - self._amount(purse))

    def run_two_hop(
        self, template: Template, order: TwoHop, quotes: tuple[Quote, Quote], clock: ChainClock, purse: bytes
    ) -> Simulated:
        """``run`` of the message that ``template`` gives for ``order``, whose two swaps were quoted so on its
        pools at ``clock``: by patching what ``prepare`` made ready, if there is that and all goes well."""
        done = self._run_ready(template, order, quotes, clock, purse)
        if done is not None:
            self.runs += 1
            self.patched += 1
            return done
        pools = {order.pool_1.key: order.pool_1, order.pool_2.key: order.pool_2}
        done = self.run(template.message(order, _NO_BLOCKHASH), pools, clock, purse)
        if done.ok and len(self._wanted) < WANTED_KEPT:
            self._wanted[template] = _Wanted(order, quotes, purse)
        return done

    def prepare(self, clock: ChainClock) -> bool:
        """Makes ready one transaction that was wanted; False if none was. Call it between runs: it takes as
        long as two.

        It is taken only if it leaves every account as the general way does.
        """
        if not self._wanted:
            return False
        template, wanted = self._wanted.popitem()
        try:
            ready = self._made_ready(template, wanted, clock)
        except (EnvelopeError, QuoteError, PoolError):
            ready = None  # what came between: it is wanted again when its like goes well again
        if ready is not None:
            self._ready[template] = ready
            while len(self._ready) > READY_KEPT:
                self._ready.popitem(last=False)
        return True

    def _made_ready(self, template: Template, wanted: _Wanted, clock: ChainClock) -> _Ready | None:
        order, quotes, purse = wanted
        pools = {order.pool_1.key: order.pool_1, order.pool_2.key: order.pool_2}
        envelope, plan, general = self._execute(template.message(order, _NO_BLOCKHASH), pools, clock)
        tables = self._tables_of(envelope, clock)
        if isinstance(general, FailedTransactionMetadata) or tables is None:
            return None
        try:
            made = SvmTemplate(order, envelope, plan)
        except ValueError:
            return None
        if made.patch(order, *quotes) < 0:
            return None
        result = self._svm.simulate_transaction(made.transaction())
        if isinstance(result, FailedTransactionMetadata):
            return None
        left = result.post_accounts()
        purses = [at for at, (one, _) in enumerate(left) if bytes(one) == purse]
        if dict(left) != dict(general.post_accounts()) or not purses:
            return None
        units = general.meta().compute_units_consumed() - result.meta().compute_units_consumed()
        return _Ready(made, tables, purse, purses[0], units)

    def follow(self) -> None:
        """Brings accounts of what is ready up to date, some in each call: a run that comes then has less to
        write."""
        if not self._turn:
            self._turn = [ready.template for ready in self._ready.values()]
        for made in self._turn[:FOLLOWED]:
            for account, pubkey in made.accounts:
                self._bring(account, pubkey)
        del self._turn[:FOLLOWED]

    def _run_ready(
        self, template: Template, order: TwoHop, quotes: tuple[Quote, Quote], clock: ChainClock, purse: bytes
    ) -> Simulated | None:
        """What ``run`` would tell of a transaction that succeeds; None for any other, or if none is ready."""
        ready = self._ready.get(template)
        if ready is None or ready.purse != purse:
            return None
        source, made = self._source, ready.template
        for table, record in ready.tables:
            if source(table) is not record:
                del self._ready[template]
                return None
        used = made.patch(order, *quotes)
        if used < 0:
            return None
        self._set_clock(clock)
        for account, pubkey in made.accounts:
            self._bring(account, pubkey)
        self._bring(order.tip_account, Pubkey(order.tip_account))
        self._bring_payer(*made.payer, made.given)
        result = self._svm.simulate_transaction(made.transaction())
        if isinstance(result, FailedTransactionMetadata):
            return None
        units = result.meta().compute_units_consumed() + ready.units + used
        received = _amount(result.post_accounts()[ready.purse_at][1].data) - self._amount(purse)
        return Simulated(NO_INDEX, 0, "", min(units, MAX_COMPUTE_UNITS), made.measured, received)

    def _execute(self, message: bytes, pools: Mapping[bytes, Pool], clock: ChainClock) -> _Ran:
        view = self._view
        view.pools, view.clock = pools, clock
        self._set_clock(clock)
        envelope = open_envelope(UNSIGNED + message, view.account, slot=clock.slot, verify=False)
        plan = rewrite(view, envelope, self.programs)
        prepared = prepare(envelope, plan)
        payer, *others = prepared.message.account_keys
        for named in others:
            self._bring(bytes(named), named)
        self._bring_payer(envelope.payer, payer, prepared.given)
        result = self._svm.simulate_transaction(prepared.transaction)
        return _Ran(envelope, plan, result)

    def _set_clock(self, clock: ChainClock) -> None:
        if clock != self._clock:
            self._clock = clock
            self._svm.set_clock(svm_clock(clock, clock.unix_timestamp))

    def _bring(self, account: bytes, pubkey: Pubkey) -> None:
        """The newest record of an account, where the SVM has another. What the source does not know (tip
        accounts, authorities of vaults) stays as it is; programs and the cluster's own accounts do anyway."""
        record = self._source(account)
        if record is None or self._held.get(account) is record:
            return
        self._held[account] = record
        if record.owner in KEPT_OWNERS:
            return
        if account == self._payer[0]:
            self._payer = (b"", 0)
        self._svm.set_account(pubkey, svm_account(record))
        self.written += 1

    def _bring_payer(self, payer: bytes, pubkey: Pubkey, given: int) -> None:
        """The newest record of who pays, with the lamports given."""
        record = self._source(payer)
        if record is self._payer_record and self._payer == (payer, given):
            return
        self._payer_record, self._payer = record, (payer, given)
        self._held.pop(payer, None)
        if record is not None or given:
            self._svm.set_account(pubkey, svm_account(ABSENT if record is None else record, given))
            self.written += 1

    def _amount(self, purse: bytes) -> int:
        record = self._source(purse)
        return 0 if record is None else _amount(record.data)

    def _tables_of(
        self, envelope: Envelope, clock: ChainClock
    ) -> tuple[tuple[bytes, AccountRecord], ...] | None:
        """The lookup tables that a message loads; None while one may yet change without a new record: a key
        is not usable in the slot that added it."""
        message = envelope.transaction.message
        lookups = message.address_table_lookups if isinstance(message, MessageV0) else []
        tables = []
        for lookup in lookups:
            table = bytes(lookup.account_key)
            record = self._source(table)
            if record is None or extended_slot(record.data) >= clock.slot:
                return None
            tables.append((table, record))
        return tuple(tables)


def _amount(data: bytes) -> int:
    return token_amount(data) if len(data) >= 72 else 0
