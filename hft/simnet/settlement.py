"""Settlement: submitted transactions, executed in the SVM one by one, each in one atomic step.

Venues whose programs are not in the SVM have their swaps carried out by token transfers (see ``rewrite``);
every other instruction runs as it is. Bundles run whole or not at all; a simulation runs and is undone.
"""

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.transaction_metadata import FailedTransactionMetadata, TransactionMetadata

from hft.chain.svm import prepare, svm_account, units_of, verdict_of
from hft.chain.svm_envelope import Envelope, EnvelopeError, Refusal, open_envelope
from hft.chain.svm_rewrite import Plan, rewrite
from hft.chain.svm_units import requested_limit, requested_price
from hft.chain.svm_verdicts import Verdict
from hft.chain.tips import TIP_ACCOUNTS
from hft.chain.trackers import BLOCKHASH_LIFE
from hft.chain.transaction import LAMPORTS_PER_SIGNATURE, priority_fee_lamports
from hft.simnet.bank import Bank, Savepoint, is_token_account
from hft.simnet.details import Details, Ran, error_json, token_balances
from hft.simnet.events import NO_INDEX, Outcome, SettlementStatus, TokenChange
from hft.venues import ABSENT, Account, Pool, store, token_amount


class Executed(NamedTuple):
    """One submission after its turn: what is told of it, and, if it ran, what it did.

    ``tip_lamports``: what the tip accounts got.
    """

    status: SettlementStatus
    envelope: Envelope | None
    details: Details | None
    tip_lamports: int = 0

    @property
    def landed(self) -> bool:
        """Whether it is in a block, failed or not."""
        return self.status.outcome is not Outcome.REJECTED


class Settlement:
    """Executes submitted transactions on a bank, one at a time, in the slot they come in."""

    def __init__(self, bank: Bank, programs: Collection[bytes] = ()) -> None:
        """``bank``: the cluster's state; it gets every change. ``programs``: venue programs in its SVM."""
        self._bank = bank
        self._programs = frozenset(programs)
        self._seen: OrderedDict[bytes, int] = OrderedDict()

    def execute(self, raw: bytes) -> SettlementStatus:
        """Executes one signed transaction; whatever is wrong with it is in the status, never raised."""
        return self.run(raw).status

    def run(self, raw: bytes, *, verify: bool = True, any_blockhash: bool = False) -> Executed:
        """``execute``, with all that is known afterwards; a simulation may leave out two checks."""
        bank = self._bank
        try:
            envelope = open_envelope(raw, bank.account, slot=bank.slot, verify=verify)
            fee = self._admit(envelope, any_blockhash)
        except EnvelopeError as error:
            return Executed(self._refused(error), None, None)
        return self._run(envelope, rewrite(bank, envelope, self._programs), fee)

    def try_run(
        self, raw: bytes, addresses: Sequence[bytes], *, verify: bool = True, any_blockhash: bool = False
    ) -> tuple[Executed, dict[bytes, Account]]:
        """What ``run`` would do now, and what the accounts named would be then; nothing changes."""
        save = self._bank.savepoint()
        executed = self.run(raw, verify=verify, any_blockhash=any_blockhash)
        accounts = {address: self._bank.account(address) for address in addresses}
        self._undo(save, [executed])
        return executed, accounts

    def run_bundle(self, raws: Sequence[bytes], *, keep: bool = True) -> tuple[bool, list[Executed]]:
        """All of them in order, or none: (whether all succeeded, what each did, up to the first that did
        not). ``keep=False`` undoes it in any case."""
        save = self._bank.savepoint()
        results: list[Executed] = []
        for raw in raws:
            results.append(self.run(raw))
            if results[-1].status.outcome is not Outcome.LANDED_OK:
                self._undo(save, results)
                return False, results
        if keep:
            self._bank.keep()
        else:
            self._undo(save, results)
        return True, results

    def has_seen(self, signature: bytes) -> bool:
        """Whether a transaction with this first signature landed while its blockhash could still live."""
        return signature in self._seen

    def forget_after(self, height: int) -> None:
        """Transactions of blocks above ``height`` never landed: they may land again."""
        for signature in [signature for signature, landed in self._seen.items() if landed > height]:
            del self._seen[signature]

    def _undo(self, save: Savepoint, results: Sequence[Executed]) -> None:
        self._bank.rollback(save)
        for executed in results:
            if executed.landed:
                self._seen.pop(executed.status.signature, None)

    def _admit(self, envelope: Envelope, any_blockhash: bool) -> int:
        """Refuses what a validator would not execute; returns the fee."""
        signature, height = envelope.signature, self._bank.block_height
        while self._seen and height - next(iter(self._seen.values())) > BLOCKHASH_LIFE:
            self._seen.popitem(last=False)
        if signature in self._seen:
            raise EnvelopeError(Refusal.ALREADY_PROCESSED, signature, "the same signature ran before")
        if not any_blockhash and not self._bank.knows_blockhash(envelope.blockhash):
            raise EnvelopeError(
                Refusal.BLOCKHASH_NOT_FOUND, signature, f"not a blockhash of the last {BLOCKHASH_LIFE} blocks"
            )
        fee = LAMPORTS_PER_SIGNATURE * len(envelope.signatures)
        fee += priority_fee_lamports(requested_limit(envelope.calls), requested_price(envelope.calls))
        held = self._bank.account(envelope.payer).lamports
        if held < fee:
            raise EnvelopeError(
                Refusal.INSUFFICIENT_FUNDS_FOR_FEE,
                signature,
                f"the payer holds {held} lamports, the fee is {fee}",
            )
        return fee

    def _run(self, envelope: Envelope, plan: Plan, fee: int) -> Executed:
        bank, payer = self._bank, Pubkey(envelope.payer)
        prepared = prepare(envelope, plan)
        message = prepared.message
        before = bank.account(envelope.payer)
        funded = before._replace(lamports=before.lamports + prepared.given)
        bank.svm.set_account(payer, svm_account(funded))
        result = bank.svm.send_transaction(prepared.transaction)
        failed = isinstance(result, FailedTransactionMetadata)
        verdict = verdict_of(plan, result)
        meta = result.meta() if isinstance(result, FailedTransactionMetadata) else result
        units = units_of(plan, meta.compute_units_consumed())
        known = bank.accounts
        held = {named.pubkey: known.get(named.pubkey, ABSENT) for named in envelope.accounts}
        if failed and self._svm(envelope.payer).lamports == funded.lamports:
            bank.svm.set_account(payer, svm_account(before))
            status = self._status(envelope, Outcome.REJECTED, verdict, 0, 0, held)
            return Executed(
                status, envelope, self._details(envelope, plan, message, meta, verdict, units, held)
            )
        self._seen[envelope.signature] = bank.block_height
        self._take_over(envelope, message, {} if failed else plan.pools)
        outcome = Outcome.LANDED_FAILED if failed else Outcome.LANDED_OK
        status = self._status(envelope, outcome, verdict, fee, units, held)
        details = self._details(envelope, plan, message, meta, verdict, units, held)
        tips = [account for account in TIP_ACCOUNTS if account in held]
        tip = sum(bank.account(account).lamports - held[account].lamports for account in tips)
        return Executed(status, envelope, details, tip)

    def _details(
        self,
        envelope: Envelope,
        plan: Plan,
        message: MessageV0,
        meta: TransactionMetadata,
        verdict: tuple[int, Verdict],
        units: int,
        held: Mapping[bytes, Account],
    ) -> Details:
        bank = self._bank
        pubkeys = [named.pubkey for named in envelope.accounts]
        known = bank.accounts
        after = {pubkey: known.get(pubkey, ABSENT) for pubkey in pubkeys}
        index, (code, name) = verdict
        place = None if index == NO_INDEX else index
        return Details(
            error_json(place, verdict[1]) if code or name else None,
            units,
            tuple([held[pubkey].lamports for pubkey in pubkeys]),
            tuple([after[pubkey].lamports for pubkey in pubkeys]),
            token_balances(pubkeys, held, bank.accounts),
            token_balances(pubkeys, after, bank.accounts),
            tuple([Ran.of(step) for step in plan.steps]),
            plan.budget.limit,
            message,
            meta,
            place,
            verdict[1],
        )

    def _svm(self, pubkey: bytes) -> Account:
        found = self._bank.svm.get_account(Pubkey(pubkey))
        if found is None or (found.lamports == 0 and not found.data):
            return ABSENT
        return Account(bytes(found.owner), found.data, found.lamports)

    def _take_over(self, envelope: Envelope, message: MessageV0, pools: Mapping[bytes, Pool]) -> None:
        """What the SVM changed, and the venues' own accounts besides, as one batch of updates."""
        bank = self._bank
        known, changed = bank.accounts, {}
        # A swap that was carried out by transfers leaves most of its accounts out of what ran.
        reached = {bytes(pubkey) for pubkey in message.account_keys}
        for pubkey, _, writable in envelope.accounts:
            if writable and pubkey in reached:
                account = self._svm(pubkey)
                if account != known.get(pubkey, ABSENT):
                    changed[pubkey] = account
        held = set(changed)
        for pool in pools.values():
            for pubkey, data in store(pool, bank.accounts).items():
                changed[pubkey] = bank.account(pubkey)._replace(data=data)
                held.discard(pubkey)
        bank.write(changed, held=held)
        bank.decode_again(changed.keys())

    def _refused(self, error: EnvelopeError) -> SettlementStatus:
        return SettlementStatus(
            error.signature, Outcome.REJECTED, self._bank.slot, NO_INDEX, 0, error.refusal, 0, 0, 0, 0, ()
        )

    def _status(
        self,
        envelope: Envelope,
        outcome: Outcome,
        verdict: tuple[int, Verdict],
        fee: int,
        units: int,
        held: Mapping[bytes, Account],
    ) -> SettlementStatus:
        """``held``: the accounts named, as they were before."""
        bank, payer = self._bank, envelope.payer
        changes = []
        for pubkey, before in held.items():
            after = bank.accounts.get(pubkey, ABSENT)
            told = after if after.data else before
            data = told.data
            if data[32:64] == payer and is_token_account(told):
                changes.append(TokenChange(bytes(data[0:32]), _amount(before), _amount(after)))
        index, (code, name) = verdict
        lamports = held[payer].lamports
        return SettlementStatus(
            envelope.signature,
            outcome,
            bank.slot,
            index,
            code,
            name,
            fee,
            units,
            lamports,
            bank.account(payer).lamports,
            tuple(changes),
        )


def _amount(account: Account) -> int:
    return token_amount(account.data) if account.data else 0
