"""A template's transaction as the SVM runs it, made once and patched for each run, as the message itself is.

What ``svm_rewrite`` and ``svm.prepare`` make of a route's messages differs in figures only, as long as all
goes well: compute limit and price, amounts, the tip and its taker. Those have fixed places here. Transfers of
the token program that follow one another are one batch instruction, which moves the same tokens.

An order that would not go well, or not in the same shape, does not fit: it is for the general way, which
knows how each failure is told.
"""

from itertools import groupby
from struct import Struct
from typing import Final, NamedTuple

from solders.instruction import Instruction
from solders.message import MessageV0, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from hft.chain.message import parse_message
from hft.chain.svm import Prepared, compile_steps
from hft.chain.svm_envelope import Envelope
from hft.chain.svm_rewrite import Plan, Step, is_read_otherwise
from hft.chain.svm_units import SWAP_UNITS
from hft.chain.template import amounts_at
from hft.chain.transaction import SWAP_1_INDEX, SWAP_2_INDEX, TwoHop
from hft.venues import Pool, Quote, parse_swap
from hft.venues.spl import TOKEN_PROGRAM

_BATCH: Final = 255
_U32 = Struct("<I").pack_into
_U64 = Struct("<Q").pack_into
_TWO_U64 = Struct("<QQ").pack_into
_STEPS_BEFORE, _STEPS_AFTER = SWAP_1_INDEX, 1


class _Swap(NamedTuple):
    """Where one swap's figures stand, from the start of the transaction's bytes.

    ``transfers``: what the user pays, what the vault pays, and the host's share if there is one; empty where
    the venue's own program runs, whose amounts stand at ``amounts``. ``units`` and ``crossing``: what a
    priced swap takes, and each tick or bin that it crosses.
    """

    transfers: tuple[int, ...]
    amounts: int
    units: int
    crossing: int


class SvmTemplate:
    """See the module. Not for two threads at once."""

    __slots__ = (
        "_limit",
        "_price",
        "_raw",
        "_swap_1",
        "_swap_2",
        "_tip",
        "_tip_account",
        "accounts",
        "given",
        "measured",
        "payer",
    )

    def __init__(self, order: TwoHop, envelope: Envelope, plan: Plan) -> None:
        """From what the general way made of ``order``'s message. ValueError if that has another shape than a
        two-hop that goes well."""
        first, second = _swap_steps(plan)
        instructions, starts = _batched(plan.steps)
        prepared = compile_steps(envelope, instructions)
        self._raw = bytearray(bytes(prepared.transaction))
        data_at = _data_at(prepared, len(self._raw))
        places = [data_at[number] + offset for number, offset in starts]
        keys = prepared.message.account_keys
        user = Pubkey(envelope.payer)
        self._limit, self._price, self._tip = places[0] + 1, places[1] + 1, places[-1] + 4
        self._tip_account = self._raw.index(order.tip_account)
        mid_mint = order.pool_1.other_mint(order.base_mint)
        self._swap_1 = _swap(order.pool_1, order.base_mint, user, plan, envelope, first, places)
        self._swap_2 = _swap(order.pool_2, mid_mint, user, plan, envelope, second, places)
        self.measured = not (self._swap_1.transfers or self._swap_2.transfers)
        self.payer, self.given = (envelope.payer, user), prepared.given
        aside = (envelope.payer, order.tip_account)
        self.accounts = tuple((bytes(one), one) for one in keys if bytes(one) not in aside)
        """The accounts it names but for payer and tip account."""

    def patch(self, order: TwoHop, quote_1: Quote, quote_2: Quote) -> int:
        """Takes the figures of ``order``, whose swaps were quoted so; returns the compute units of those that
        are priced here, -1 if the order does not fit."""
        raw, swap_1, swap_2, used = self._raw, self._swap_1, self._swap_2, 0
        if swap_1.transfers:
            if not _settle(raw, swap_1.transfers, quote_1, order.amount_in, order.amount_mid):
                return -1
            used = swap_1.units + swap_1.crossing * quote_1.crossings
        else:
            _TWO_U64(raw, swap_1.amounts, order.amount_in, order.amount_mid)
        if swap_2.transfers:
            if not _settle(raw, swap_2.transfers, quote_2, order.amount_mid, order.minimum_out):
                return -1
            used += swap_2.units + swap_2.crossing * quote_2.crossings
        else:
            _TWO_U64(raw, swap_2.amounts, order.amount_mid, order.minimum_out)
        if used > order.compute_unit_limit:
            return -1
        _U32(raw, self._limit, order.compute_unit_limit)
        _U64(raw, self._price, order.compute_unit_price_micro_lamports)
        _U64(raw, self._tip, order.tip_lamports)
        raw[self._tip_account : self._tip_account + 32] = order.tip_account
        return used

    def transaction(self) -> VersionedTransaction:
        """The transaction with the figures taken last."""
        return VersionedTransaction.from_bytes(bytes(self._raw))


def _settle(raw: bytearray, transfers: tuple[int, ...], quoted: Quote, amount_in: int, least: int) -> bool:
    """Writes a priced swap's transfers; False if it would be refused, or needs more or fewer of them."""
    rebate = quoted.rebate
    if quoted.amount_in != amount_in or quoted.amount_out < least or (rebate > 0) != (len(transfers) > 2):
        return False
    _U64(raw, transfers[0], quoted.amount_in_used)
    _U64(raw, transfers[1], quoted.paid)
    if rebate:
        _U64(raw, transfers[2], rebate)
    return True


def _swap_steps(plan: Plan) -> tuple[list[int], list[int]]:
    """Indexes of the steps of either swap. ValueError if the plan is no two-hop's that goes well."""
    steps = plan.steps
    first = [at for at, step in enumerate(steps) if step.place == SWAP_1_INDEX]
    second = [at for at, step in enumerate(steps) if step.place == SWAP_2_INDEX]
    size = _STEPS_BEFORE + len(first) + len(second) + _STEPS_AFTER
    if plan.doomed or not first or not second or len(steps) != size or steps[0].place != 0:
        raise ValueError("the plan has more than two swaps, compute budget and tip, or is bound to fail")
    return first, second


def _swap(
    pool: Pool,
    input_mint: bytes,
    user: Pubkey,
    plan: Plan,
    envelope: Envelope,
    steps: list[int],
    places: list[int],
) -> _Swap:
    first = plan.steps[steps[0]]
    if not first.of_swap:
        return _Swap((), places[steps[0]] + amounts_at(pool, user, input_mint), 0, 0)
    call = envelope.calls[first.place]
    swap = parse_swap(call.program, [named.pubkey for named in call.accounts], call.data)
    if swap is None or is_read_otherwise(pool, swap):
        raise ValueError("the swap is priced on another reading of the pool than its quote was")
    units = SWAP_UNITS[pool.venue]
    # What a transfer moves stands behind its one byte of tag, with decimals or without.
    return _Swap(tuple(places[at] + 1 for at in steps), 0, units.base, units.crossing)


def _batched(steps: list[Step]) -> tuple[list[Instruction], list[tuple[int, int]]]:
    """The steps' instructions, and of each step: which of them it is in, and where in its data it begins."""
    made: list[Instruction] = []
    starts: list[tuple[int, int]] = []
    for transfers, group in groupby(steps, _is_transfer):
        run = [step.instruction for step in group]
        if not transfers or len(run) == 1:
            starts += [(len(made) + at, 0) for at in range(len(run))]
            made += run
            continue
        data, metas = bytearray((_BATCH,)), []
        for instruction in run:
            data += bytes((len(instruction.accounts), len(instruction.data)))
            starts.append((len(made), len(data)))
            data += instruction.data
            metas += instruction.accounts
        made.append(Instruction(run[0].program_id, bytes(data), metas))
    return made, starts


def _is_transfer(step: Step) -> bool:
    return step.of_swap and bytes(step.instruction.program_id) == TOKEN_PROGRAM


def _data_at(prepared: Prepared, size: int) -> list[int]:
    """Where each instruction's data lies in the transaction's bytes."""
    message: MessageV0 = prepared.message
    body = to_bytes_versioned(message)
    return [size - len(body) + one.data_at for one in parse_message(body).instructions]
