"""Transactions in an in-process SVM: how the local cluster settles, and how a plan is simulated before it is
told. One way for both, so that what the one promises the other does.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from solders.account import Account as SvmAccount
from solders.clock import Clock
from solders.hash import Hash
from solders.instruction import Instruction
from solders.litesvm import LiteSVM
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import FailedTransactionMetadata

from hft.chain.compute import LAMPORTS_PER_SIGNATURE
from hft.chain.svm_envelope import Envelope
from hft.chain.svm_rewrite import FAIL, Plan
from hft.chain.svm_verdicts import Verdict, is_short_of_funds, svm_verdict
from hft.venues import Account, ChainClock
from hft.wire.account import AccountRecord

BUDGET_UNITS: Final = 150
"""What a compute-budget instruction takes."""
SLOTS_PER_EPOCH: Final = 432_000
NO_INDEX: Final = 255
"""No instruction of the transaction failed."""
_RENT_EPOCH: Final = 2**64 - 1


class Prepared(NamedTuple):
    """A rewritten transaction as the SVM takes it. ``given``: lamports that the payer has to be given
    beforehand, since the SVM charges for the authorities' signatures too."""

    transaction: VersionedTransaction
    message: MessageV0
    given: int


def open_svm() -> LiteSVM:
    """An SVM that runs what was rewritten: signatures and blockhashes are looked at before, not in it."""
    return LiteSVM().with_sigverify(False).with_blockhash_check(False).with_transaction_history(0)


def svm_account(account: Account | AccountRecord, given: int = 0) -> SvmAccount:
    """The same account for the SVM, with ``given`` lamports more."""
    return SvmAccount(
        lamports=account.lamports + given,
        data=account.data,
        owner=Pubkey(account.owner),
        executable=False,
        rent_epoch=_RENT_EPOCH,
    )


def svm_clock(clock: ChainClock, epoch_start: int) -> Clock:
    """The Clock sysvar; ``epoch_start``: Unix seconds."""
    epoch = clock.slot // SLOTS_PER_EPOCH
    return Clock(
        slot=clock.slot,
        epoch_start_timestamp=epoch_start,
        epoch=epoch,
        leader_schedule_epoch=epoch + 1,
        unix_timestamp=clock.unix_timestamp,
    )


def prepare(envelope: Envelope, plan: Plan) -> Prepared:
    """``plan``'s steps compiled, under the envelope's own first signature."""
    return compile_steps(envelope, [step.instruction for step in plan.steps])


def compile_steps(envelope: Envelope, instructions: Sequence[Instruction]) -> Prepared:
    """``instructions`` in place of the envelope's own."""
    message = MessageV0.try_compile(Pubkey(envelope.payer), list(instructions), [], Hash(envelope.blockhash))
    signers = message.header.num_required_signatures
    signatures = [Signature(envelope.signature)] + [Signature.default()] * (signers - 1)
    given = LAMPORTS_PER_SIGNATURE * (signers - len(envelope.signatures))
    return Prepared(VersionedTransaction.populate(message, signatures), message, given)


def units_of(plan: Plan, consumed: int) -> int:
    """Compute units of the transaction as submitted: what the SVM consumed, and what priced swaps take on
    chain; without instructions that only stand for something here."""
    added = sum(step.place < 0 for step in plan.steps) * BUDGET_UNITS
    return max(consumed - added, 0) + plan.budget.used


def verdict_of(plan: Plan, result: object) -> tuple[int, Verdict]:
    """(index of the failed instruction in the transaction as submitted, ``NO_INDEX`` if none; what it is
    called) of what the SVM answered."""
    if not isinstance(result, FailedTransactionMetadata):
        return NO_INDEX, Verdict(0, "")
    error = result.err()
    at, verdict = svm_verdict(error)
    if at is None:
        return NO_INDEX, verdict
    step = plan.steps[at]
    known = step.verdict is not None and (step.instruction == FAIL or is_short_of_funds(error))
    return step.place, step.verdict if known and step.verdict is not None else verdict
