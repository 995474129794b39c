"""Settlement: a submitted transaction, executed in the SVM with each venue swap carried out by token
transfers.

The venue programs are not here. A venue's swap instruction is priced by ``hft.venues`` on the cluster's state
and replaced by the two token transfers it amounts to (user → vault, vault → user); these and every other
instruction run in LiteSVM, in one atomic transaction. A vault belongs to a program-derived address, which
signs here by leave of the SVM's switched-off signature check; the user's own signatures are verified first,
by themselves. What the venue would refuse becomes an instruction that fails at the same place, and is
reported with the venue's own error code.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import FailedTransactionMetadata, TransactionMetadata

from hft.chain.frames import NO_INDEX, Outcome, SettlementStatus, TokenChange
from hft.chain.transaction import LAMPORTS_PER_SIGNATURE, priority_fee_lamports
from hft.simnet.bank import BLOCKHASH_LIFE, Bank, svm_account
from hft.simnet.compute import COMPUTE_BUDGET_PROGRAM, Budget, requested_limit, requested_price, set_limit
from hft.simnet.envelope import Call, Envelope, EnvelopeError, Refusal, open_envelope
from hft.simnet.verdicts import (
    EXCEEDED,
    MISSING_SIGNATURE,
    NO_POOL,
    WRONG_ACCOUNT,
    Verdict,
    funds_verdict,
    is_short_of_funds,
    minimum_verdict,
    quote_verdict,
    svm_verdict,
)
from hft.venues import ABSENT, Account, Pool, QuoteError, SwapCall, parse_swap, quote, store, token_amount
from hft.venues.spl import ASSOCIATED_TOKEN_PROGRAM, TOKEN_ACCOUNT_SIZE, TOKEN_PROGRAM

_TRANSFER: Final = b"\x03"
# The system program knows no instruction 2^32-1: it fails wherever it stands, and touches nothing.
_FAIL: Final = Instruction(Pubkey(bytes(32)), b"\xff\xff\xff\xff", [])


class _Step(NamedTuple):
    """One instruction as it runs here: where it stood (-1: nowhere), and what its failure means (``None``:
    what the SVM says)."""

    place: int
    instruction: Instruction
    verdict: Verdict | None


class _Plan:
    """A transaction rewritten for the SVM."""

    def __init__(self, limit: int) -> None:
        self.steps: list[_Step] = []
        self.authorities: set[bytes] = set()
        self.pools: dict[bytes, Pool] = {}
        self.budget = Budget(limit)
        self.doomed = False

    def add(self, index: int, instruction: Instruction, verdict: Verdict | None = None) -> None:
        self.steps.append(_Step(index, instruction, verdict))

    def fail(self, index: int, verdict: Verdict) -> None:
        """Fails here for certain: what comes after needs no pricing."""
        self.add(index, _FAIL, verdict)
        self.doomed = True


class Settlement:
    """Executes submitted transactions on a bank, one at a time, in the slot they come in."""

    def __init__(self, bank: Bank) -> None:
        """``bank``: the cluster's state; it gets every change."""
        self._bank = bank
        self._seen: OrderedDict[bytes, int] = OrderedDict()

    def execute(self, raw: bytes) -> SettlementStatus:
        """Executes one signed transaction; whatever is wrong with it is in the status, never raised."""
        try:
            envelope = open_envelope(raw, self._bank.account)
            fee = self._admit(envelope)
        except EnvelopeError as error:
            return self._refused(error)
        return self._run(envelope, self._rewrite(envelope), fee)

    def _admit(self, envelope: Envelope) -> int:
        """Refuses what a validator would not execute; returns the fee."""
        signature, height = envelope.signature, self._bank.block_height
        while self._seen and height - next(iter(self._seen.values())) > BLOCKHASH_LIFE:
            self._seen.popitem(last=False)
        if signature in self._seen:
            raise EnvelopeError(Refusal.ALREADY_PROCESSED, signature, "the same signature ran before")
        if not self._bank.knows_blockhash(envelope.blockhash):
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

    def _rewrite(self, envelope: Envelope) -> _Plan:
        limit = requested_limit(envelope.calls)
        plan = _Plan(limit)
        if set_limit(envelope.calls) is None:
            # The limit follows the number of instructions where none is set, and that number changes here.
            data = b"\x02" + limit.to_bytes(4, "little")
            plan.add(-1, Instruction(Pubkey(COMPUTE_BUDGET_PROGRAM), data, []))
        others = []
        for index, call in enumerate(envelope.calls):
            swap = parse_swap(call.program, [named.pubkey for named in call.accounts], call.data)
            if plan.doomed:
                if call.program == COMPUTE_BUDGET_PROGRAM:  # it sets the fee wherever it stands
                    plan.add(index, _instruction(call))
            elif swap is None:
                others.append(len(plan.steps))
                plan.add(index, _instruction(call))
            else:
                self._rewrite_swap(plan, index, swap, envelope)
        for at in others:
            # An authority signs for its own vault's payment only: anywhere else its signature would be
            # forged.
            if any(bytes(meta.pubkey) in plan.authorities for meta in plan.steps[at].instruction.accounts):
                plan.steps[at] = _Step(plan.steps[at].place, _FAIL, MISSING_SIGNATURE)
        return plan

    def _rewrite_swap(self, plan: _Plan, index: int, swap: SwapCall, envelope: Envelope) -> None:
        pool = plan.pools.get(swap.pool) or self._bank.pools.get(swap.pool)
        if pool is None:
            plan.fail(index, NO_POOL)
            return
        try:
            if swap.a_to_b is None:
                swap = swap.directed(pool, self._mint_of(swap, envelope.calls))
            if (swap.vault_a, swap.vault_b) != (pool.vault_a, pool.vault_b):
                plan.fail(index, WRONG_ACCOUNT)
                return
            input_mint = pool.mint_a if swap.a_to_b else pool.mint_b
            quoted = quote(pool, input_mint, swap.amount_in, self._bank.clock)
        except QuoteError as error:
            plan.fail(index, quote_verdict(swap.venue, error.code))
            return
        if not plan.budget.charge(swap.venue, quoted.crossings):
            plan.fail(index, EXCEEDED)
            return
        programs = (pool.program_a, pool.program_b) if swap.a_to_b else (pool.program_b, pool.program_a)
        signed = any(named.pubkey == swap.user and named.signer for named in envelope.accounts)
        pay = _transfer(programs[0], swap.user_in, swap.vault_in, swap.user, quoted.amount_in_used, signed)
        short = funds_verdict(swap.venue)
        if quoted.amount_out < swap.minimum_out:
            if short is not None:
                plan.add(index, pay, short)
            plan.fail(index, minimum_verdict(swap.venue))
            return
        authority = swap.vault_authority
        plan.add(index, pay, short)
        plan.add(
            index, _transfer(programs[1], swap.vault_out, swap.user_out, authority, quoted.amount_out, True)
        )
        plan.authorities.add(authority)
        plan.pools[pool.key] = quoted.pool_after

    def _mint_of(self, swap: SwapCall, calls: Sequence[Call]) -> bytes:
        """Mint of the swap's source account, which an earlier instruction may only be creating."""
        data = self._bank.account(swap.user_in).data
        if data:
            return bytes(data[0:32])
        for call in calls:
            created = call.program == ASSOCIATED_TOKEN_PROGRAM and len(call.accounts) > 3
            if created and call.accounts[1].pubkey == swap.user_in:
                return call.accounts[3].pubkey
        return bytes(32)

    def _run(self, envelope: Envelope, plan: _Plan, fee: int) -> SettlementStatus:
        bank, payer = self._bank, Pubkey(envelope.payer)
        message = MessageV0.try_compile(
            payer, [step.instruction for step in plan.steps], [], Hash(envelope.blockhash)
        )
        signers = message.header.num_required_signatures
        before = bank.account(envelope.payer)
        # The SVM charges for the authorities' signatures too; what it takes for those is given beforehand.
        given = LAMPORTS_PER_SIGNATURE * (signers - len(envelope.signatures))
        funded = before._replace(lamports=before.lamports + given)
        bank.svm.set_account(payer, svm_account(funded))
        signatures = [Signature(envelope.signature)] + [Signature.default()] * (signers - 1)
        result = bank.svm.send_transaction(VersionedTransaction.populate(message, signatures))
        failed = isinstance(result, FailedTransactionMetadata)
        verdict = _verdict(plan, result)
        meta = result.meta() if isinstance(result, FailedTransactionMetadata) else result
        units = meta.compute_units_consumed() + plan.budget.used
        held = {named.pubkey: bank.account(named.pubkey) for named in envelope.accounts}
        if failed and self._svm(envelope.payer).lamports == funded.lamports:
            bank.svm.set_account(payer, svm_account(before))
            return self._status(envelope, Outcome.REJECTED, verdict, 0, 0, held)
        self._seen[envelope.signature] = bank.block_height
        self._take_over(envelope, {} if failed else plan.pools)
        outcome = Outcome.LANDED_FAILED if failed else Outcome.LANDED_OK
        return self._status(envelope, outcome, verdict, fee, units, held)

    def _svm(self, pubkey: bytes) -> Account:
        found = self._bank.svm.get_account(Pubkey(pubkey))
        if found is None or (found.lamports == 0 and not found.data):
            return ABSENT
        return Account(bytes(found.owner), found.data, found.lamports)

    def _take_over(self, envelope: Envelope, pools: Mapping[bytes, Pool]) -> None:
        """What the SVM changed, and the venues' own accounts besides, as one batch of updates."""
        bank = self._bank
        changed = {}
        for named in envelope.accounts:
            if named.writable:
                account = self._svm(named.pubkey)
                if account != bank.account(named.pubkey):
                    changed[named.pubkey] = account
        for pool in pools.values():
            for pubkey, data in store(pool, bank.accounts).items():
                changed[pubkey] = bank.account(pubkey)._replace(data=data)
        bank.write(changed)
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
            after = bank.account(pubkey)
            data = after.data or before.data
            is_token = TOKEN_PROGRAM in (before.owner, after.owner) and len(data) == TOKEN_ACCOUNT_SIZE
            if is_token and data[32:64] == payer:
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


def _instruction(call: Call) -> Instruction:
    metas = [AccountMeta(Pubkey(named.pubkey), named.signer, named.writable) for named in call.accounts]
    return Instruction(Pubkey(call.program), call.data, metas)


def _transfer(
    program: bytes, source: bytes, destination: bytes, authority: bytes, amount: int, signed: bool
) -> Instruction:
    metas = [
        AccountMeta(Pubkey(source), False, True),
        AccountMeta(Pubkey(destination), False, True),
        AccountMeta(Pubkey(authority), signed, False),
    ]
    return Instruction(Pubkey(program), _TRANSFER + amount.to_bytes(8, "little"), metas)


def _verdict(plan: _Plan, result: TransactionMetadata | FailedTransactionMetadata) -> tuple[int, Verdict]:
    """(index of the failed instruction in the transaction as submitted, what it is called)."""
    if not isinstance(result, FailedTransactionMetadata):
        return NO_INDEX, Verdict(0, "")
    error = result.err()
    at, verdict = svm_verdict(error)
    if at is None:
        return NO_INDEX, verdict
    step = plan.steps[at]
    known = step.verdict is not None and (step.instruction == _FAIL or is_short_of_funds(error))
    return step.place, step.verdict if known and step.verdict is not None else verdict
