"""From the settlement's word to the end of an execution: state, reason, costs, balances, profit."""

from typing import Any, NamedTuple

from hft.chain.frames import NO_INDEX, Outcome, SettlementStatus
from hft.chain.transaction import SWAP_1_INDEX, SWAP_2_INDEX, TransactionErrorCode
from hft.strategy.pnl import Balances, actual_profit
from hft.venues import Venue, minimum_out_error
from hft.wire import ExecutionPlan, fit_text
from hft.wire.enums import EndState, ExecutionReason

BUILD_REASONS = {
    TransactionErrorCode.TOO_LARGE: ExecutionReason.TRANSACTION_TOO_LARGE,
    TransactionErrorCode.TOO_MANY_ACCOUNTS: ExecutionReason.TOO_MANY_LOCKS,
}
"""Anything else that keeps a transaction from being built is ``build_failed``."""

_REFUSALS = {
    "BlockhashNotFound": ExecutionReason.BLOCKHASH_EXPIRED,
    "AlreadyProcessed": ExecutionReason.DUPLICATE_PLAN,
    "InsufficientFundsForFee": ExecutionReason.WALLET_BALANCE,
    "TransactionTooLarge": ExecutionReason.TRANSACTION_TOO_LARGE,
    "TooManyAccountLocks": ExecutionReason.TOO_MANY_LOCKS,
}


class End(NamedTuple):
    """How an execution ended. Amounts in lamports and base units; everything is zero where nothing landed."""

    state: EndState
    reason: ExecutionReason
    error_code: int = 0
    error_index: int = 0
    slot: int = 0
    base_fee_lamports: int = 0
    priority_fee_lamports: int = 0
    tip_lamports: int = 0
    rent_lamports: int = 0
    compute_units: int = 0
    before: Balances = Balances(0, 0, 0)
    after: Balances = Balances(0, 0, 0)
    profit_lamports: int = 0
    detail: str = ""


def refused(reason: ExecutionReason, detail: str = "") -> End:
    """The end of a plan that never reached the chain."""
    return End(EndState.REJECTED, reason, detail=detail)


def settled(plan: ExecutionPlan, status: SettlementStatus) -> End:
    """The end that a settlement status proves.

    Profit is the change of SOL + wSOL in the transaction's own balances. A failed one that landed paid the
    fee alone: its tip was rolled back. Rent is what else left the fee payer's lamports (negative: came
    back).
    """
    if status.outcome == Outcome.REJECTED:
        reason = _REFUSALS.get(status.error_name, ExecutionReason.SEND_FAILED)
        index = 0 if status.error_index == NO_INDEX else status.error_index
        return End(EndState.REJECTED, reason, status.error_code, index, detail=status.error_name)
    ok = status.outcome == Outcome.LANDED_OK
    before, after = _balances(plan, status)
    tip = plan.tip_lamports if ok else 0
    base_fee = min(plan.base_fee_lamports, status.fee_lamports)
    return End(
        state=EndState.LANDED_OK if ok else EndState.LANDED_FAILED,
        reason=ExecutionReason.NONE if ok else _failure(plan, status),
        error_code=0 if ok else status.error_code,
        error_index=0 if ok or status.error_index == NO_INDEX else status.error_index,
        slot=status.slot,
        base_fee_lamports=base_fee,
        priority_fee_lamports=status.fee_lamports - base_fee,
        tip_lamports=tip,
        rent_lamports=before.lamports - after.lamports - status.fee_lamports - tip,
        compute_units=status.compute_units,
        before=before,
        after=after,
        profit_lamports=actual_profit(before, after),
        detail=status.error_name,
    )


def _balances(plan: ExecutionPlan, status: SettlementStatus) -> tuple[Balances, Balances]:
    base, quote = [0, 0], [0, 0]
    for change in status.tokens:
        held = base if change.mint == plan.base_mint else quote if change.mint == plan.quote_mint else None
        if held is not None:
            held[0] += change.before
            held[1] += change.after
    return (
        Balances(status.lamports_before, base[0], quote[0]),
        Balances(status.lamports_after, base[1], quote[1]),
    )


def _failure(plan: ExecutionPlan, status: SettlementStatus) -> ExecutionReason:
    """Minimum-out where the failed swap's own program says so by its own code, else a program error."""
    venues = {SWAP_1_INDEX: plan.venue_1, SWAP_2_INDEX: plan.venue_2}
    venue = venues.get(status.error_index)
    if venue and status.error_code == minimum_out_error(Venue(venue)):
        return ExecutionReason.MINIMUM_OUT
    return ExecutionReason.PROGRAM_ERROR


class Signing(NamedTuple):
    """What the executor itself did to a plan: the signature and its stamps, zero where it did not come to
    it.
    """

    signature: bytes
    exec_received_ns: int
    signed_ns: int
    submitted_ns: int


def result_fields(
    plan: ExecutionPlan, end: End, signing: Signing, sequence: int, settled_ns: int
) -> tuple[Any, ...]:
    """The fields of an ExecutionResult, in schema order."""
    return (
        plan.trace_id,
        plan.plan_id,
        sequence,
        end.slot,
        plan.strategy,
        end.state,
        end.reason,
        end.error_code,
        end.error_index,
        plan.method,
        plan.venue_1,
        plan.venue_2,
        signing.signature,
        plan.base_mint,
        plan.quote_mint,
        plan.pool_1,
        plan.pool_2,
        plan.amount_in,
        plan.expected_profit_lamports,
        end.profit_lamports,
        end.base_fee_lamports,
        end.priority_fee_lamports,
        end.tip_lamports,
        end.rent_lamports,
        end.compute_units,
        end.before.lamports,
        end.after.lamports,
        end.before.base_token,
        end.after.base_token,
        end.before.quote_token,
        end.after.quote_token,
        fit_text(end.detail, 64),
        plan.received_ns,
        plan.feed_published_ns,
        plan.scan_received_ns,
        plan.scan_published_ns,
        plan.plan_received_ns,
        plan.plan_published_ns,
        signing.exec_received_ns,
        signing.signed_ns,
        signing.submitted_ns,
        settled_ns,
    )
