"""A transaction's effect on the newest known accounts, found by running it; nothing of it stays.

Accounts come from a source of records (the account table's); one is written into the SVM only when its record
is another than the one there. Swaps of venues whose programs were loaded run in them unchanged, the others
are priced and settled by transfers (see ``svm_rewrite``). Tip accounts hold some lamports here as they do on
chain, nobody watches them.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from solders.pubkey import Pubkey
from solders.transaction_metadata import FailedTransactionMetadata

from hft.chain.compute import MAX_COMPUTE_UNITS
from hft.chain.svm import NO_INDEX, open_svm, prepare, svm_account, svm_clock, units_of, verdict_of
from hft.chain.svm_envelope import Envelope, open_envelope
from hft.chain.svm_programs import load_programs
from hft.chain.svm_rewrite import rewrite
from hft.chain.sysvars import SYSVAR_OWNER
from hft.chain.tips import TIP_ACCOUNTS
from hft.venues import ABSENT, Account, ChainClock, Pool, token_amount
from hft.venues.spl import key
from hft.wire.account import AccountRecord

TIP_ACCOUNT_LAMPORTS: Final = 1_000_000_000
SIGNATURE_BYTES: Final = 64
UNSIGNED: Final = b"\x01" + bytes(SIGNATURE_BYTES)
"""What stands before a message that nobody signed."""
_SYSTEM_PROGRAM: Final = bytes(32)

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


class Simulator:
    """See the module. Not for two threads at once."""

    def __init__(self, source: Source, programs: str | Path = "") -> None:
        """``programs``: a folder of venue programs; empty: none. ``ProgramError`` if it holds none."""
        self._source = source
        self._svm = open_svm()
        self.programs = load_programs(self._svm, programs) if programs else frozenset()
        for tip_account in TIP_ACCOUNTS:
            purse = Account(_SYSTEM_PROGRAM, b"", TIP_ACCOUNT_LAMPORTS)
            self._svm.set_account(Pubkey(tip_account), svm_account(purse))
        self._view = _View(source)
        self._held: dict[bytes, AccountRecord] = {}
        self.runs = 0
        self.written = 0

    def run(self, message: bytes, pools: Mapping[bytes, Pool], clock: ChainClock, purse: bytes) -> Simulated:
        """Runs the unsigned ``message`` at ``clock``. ``pools``: those its swaps name, as decoded from the
        newest accounts; ``purse``: the token account whose gain is told.

        ``EnvelopeError`` if the message is none that a validator takes.
        """
        view, svm = self._view, self._svm
        view.pools = pools
        if clock != view.clock:
            view.clock = clock
            svm.set_clock(svm_clock(clock, clock.unix_timestamp))
        envelope = open_envelope(UNSIGNED + message, view.account, slot=clock.slot, verify=False)
        plan = rewrite(view, envelope, self.programs)
        prepared = prepare(envelope, plan)
        for named in prepared.message.account_keys:
            self._bring(bytes(named))
        self._give(envelope, prepared.given)
        result = svm.simulate_transaction(prepared.transaction)
        self.runs += 1
        failed_at, (code, name) = verdict_of(plan, result)
        meta = result.meta()
        units = min(units_of(plan, meta.compute_units_consumed()), MAX_COMPUTE_UNITS)
        measured = not any(step.of_swap for step in plan.steps)
        if isinstance(result, FailedTransactionMetadata):
            return Simulated(failed_at, code, name or "Failed", units, measured, 0)
        after = next((held.data for one, held in result.post_accounts() if bytes(one) == purse), b"")
        return Simulated(NO_INDEX, 0, "", units, measured, _amount(after) - _amount(view.account(purse).data))

    def _bring(self, pubkey: bytes) -> None:
        """The newest record of an account, where the SVM has another. What the source does not know (tip
        accounts, authorities of vaults) stays as it is; programs and the cluster's own accounts do anyway."""
        record = self._source(pubkey)
        if record is None or self._held.get(pubkey) is record:
            return
        self._held[pubkey] = record
        if record.owner in KEPT_OWNERS:
            return
        self._svm.set_account(
            Pubkey(pubkey), svm_account(Account(record.owner, record.data, record.lamports))
        )
        self.written += 1

    def _give(self, envelope: Envelope, lamports: int) -> None:
        if lamports:
            payer = self._view.account(envelope.payer)
            self._held.pop(envelope.payer, None)
            funded = payer._replace(lamports=payer.lamports + lamports)
            self._svm.set_account(Pubkey(envelope.payer), svm_account(funded))


def _amount(data: bytes) -> int:
    return token_amount(data) if len(data) >= 72 else 0
