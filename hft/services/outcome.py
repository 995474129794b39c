"""From the chain's word to the end of an execution: state, reason, costs, balances, profit."""

from typing import Any, Final, NamedTuple

from hft.chain.desk import Settled
from hft.chain.follow_state import End as ChainEnd
from hft.chain.journal_records import Path
from hft.chain.landing import Held
from hft.chain.transaction import SWAP_1_INDEX, SWAP_2_INDEX, TransactionErrorCode
from hft.strategy.pnl import Balances, actual_profit
from hft.venues import Venue, minimum_out_error
from hft.wire import ExecutionPlan, fit_text
from hft.wire.enums import EndState, ExecutionReason, Method

BUILD_REASONS: Final = {
    TransactionErrorCode.TOO_LARGE: ExecutionReason.TRANSACTION_TOO_LARGE,
    TransactionErrorCode.TOO_MANY_ACCOUNTS: ExecutionReason.TOO_MANY_LOCKS,
}
"""Anything else that keeps a transaction from being built is ``build_failed``."""

_METHODS: Final = {Path.JITO: Method.JITO_BUNDLE, Path.RPC: Method.RPC}
_REFUSALS: Final = {
    "BlockhashNotFound": ExecutionReason.BLOCKHASH_EXPIRED,
    "AlreadyProcessed": ExecutionReason.DUPLICATE_PLAN,
    "InsufficientFundsForFee": ExecutionReason.WALLET_BALANCE,
    "TransactionTooLarge": ExecutionReason.TRANSACTION_TOO_LARGE,
    "TooManyAccountLocks": ExecutionReason.TOO_MANY_LOCKS,
}
"""Errors for which a node refuses a transaction before it is in any block."""


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


def method_of(path: Path | None) -> Method:
    """By which way bytes went out."""
    return _METHODS.get(path, Method.UNKNOWN) if path is not None else Method.UNKNOWN


def settled(plan: ExecutionPlan, event: Settled) -> End:
    """The end that the chain proves.

    Profit is the change of SOL + wSOL in the transaction's own balances. A failed one that landed paid the
    fee alone: its tip was rolled back. One that landed, but of which no node tells what it did, is unknown:
    figures are not made up.
    """
    told, landing = event.end, event.landing
    if told.state not in (EndState.LANDED_OK, EndState.LANDED_FAILED):
        reason = _REFUSALS.get(told.detail, told.reason)
        return End(
            told.state, reason, told.error_code or 0, told.error_index or 0, told.slot, detail=told.detail
        )
    if landing is None:
        detail = f"landed in slot {told.slot}, not read"
        return End(EndState.UNKNOWN, ExecutionReason.STATUS_UNKNOWN, slot=told.slot, detail=detail)
    reading = landing.reading
    before, after = _balances(plan, landing.before), _balances(plan, landing.after)
    return End(
        state=EndState.LANDED_OK if reading.succeeded else EndState.LANDED_FAILED,
        reason=ExecutionReason.NONE if reading.succeeded else _failure(plan, told),
        error_code=told.error_code or 0,
        error_index=told.error_index or 0,
        slot=reading.slot,
        base_fee_lamports=reading.base_fee_lamports,
        priority_fee_lamports=reading.priority_fee_lamports,
        tip_lamports=reading.tip_lamports,
        rent_lamports=landing.rent_lamports,
        compute_units=reading.compute_units,
        before=before,
        after=after,
        profit_lamports=actual_profit(before, after),
        detail=told.detail,
    )


def _balances(plan: ExecutionPlan, held: Held) -> Balances:
    tokens = held.tokens
    return Balances(held.lamports, tokens.get(plan.base_mint, 0), tokens.get(plan.quote_mint, 0))


def _failure(plan: ExecutionPlan, told: ChainEnd) -> ExecutionReason:
    """Minimum-out where the failed swap's own program says so by its own code, else a program error."""
    venues = {SWAP_1_INDEX: plan.venue_1, SWAP_2_INDEX: plan.venue_2}
    venue = venues.get(told.error_index) if told.error_index is not None else None
    if venue and told.error_code == minimum_out_error(Venue(venue)):
        return ExecutionReason.MINIMUM_OUT
    return ExecutionReason.PROGRAM_ERROR


class Signing(NamedTuple):
    """What the executor itself did to a plan: the signature, the way it went and its stamps, zero where it
    did not come to it.
    """

    signature: bytes
    method: Method
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
        signing.method,
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
