"""Pools of Token-2022 mints with a transfer fee: the same pool, with what transfers withhold counted.

The token program withholds a part of what a transfer moves from the receiver. So the pool gets
less than the user
sends, and the user less than the pool pays. Source: spl-token-2022 ``extension/transfer_fee``.
"""

from collections.abc import Collection, Mapping
from struct import Struct
from typing import Any, NamedTuple

from solders.instruction import Instruction
from solders.pubkey import Pubkey

from hft.venues import spl
from hft.venues.types import (
    U64_MAX,
    Account,
    ChainClock,
    Pool,
    PoolError,
    PoolErrorCode,
    Quote,
    QuoteError,
    QuoteErrorCode,
    Venue,
    check_amount,
)

SLOTS_PER_EPOCH = 432_000
BASE = 10_000

_CONFIG = Struct("<64x8xQQHQQH")  # older and newer fee: epoch, maximum, basis points


class TransferFee(NamedTuple):
    """A mint's transfer fee: the older one holds until ``newer_epoch``."""

    older_maximum: int
    older_bps: int
    newer_epoch: int
    newer_maximum: int
    newer_bps: int

    def _now(self, epoch: int) -> tuple[int, int]:
        if epoch >= self.newer_epoch:
            return self.newer_bps, self.newer_maximum
        return self.older_bps, self.older_maximum

    def withheld(self, amount: int, epoch: int) -> int:
        """What a transfer of ``amount`` leaves behind, rounded up."""
        bps, maximum = self._now(epoch)
        return min(-(-amount * bps // BASE), maximum)

    def before(self, received: int, epoch: int) -> int:
        """The smallest amount to send so that at least ``received`` arrives."""
        bps, maximum = self._now(epoch)
        if bps == 0:
            return received
        if bps >= BASE:
            return received + maximum
        amount = -(-received * BASE // (BASE - bps))
        return amount if amount - received <= maximum else received + maximum


def transfer_fee(accounts: Mapping[bytes, Account], mint: bytes) -> TransferFee | None:
    """The transfer fee of a mint; None if it has none. Raises PoolError."""
    account = spl.find_account(accounts, mint, "mint")
    if account.owner != spl.TOKEN_2022_PROGRAM:
        return None
    value = spl.mint_extensions(mint, account.data).get(spl.TRANSFER_FEE_CONFIG)
    if value is None:
        return None
    if len(value) != _CONFIG.size:
        raise PoolError(
            PoolErrorCode.WRONG_SIZE,
            f"mint {Pubkey(mint)}: transfer fee of {len(value)} bytes, wants {_CONFIG.size}",
        )
    _, older_maximum, older_bps, newer_epoch, newer_maximum, newer_bps = _CONFIG.unpack(value)
    if older_bps > BASE or newer_bps > BASE:
        raise PoolError(
            PoolErrorCode.BAD_VALUE, f"mint {Pubkey(mint)}: transfer fee {older_bps}, {newer_bps} bps"
        )
    return TransferFee(older_maximum, older_bps, newer_epoch, newer_maximum, newer_bps)


def with_transfer_fees(pool: Pool, accounts: Mapping[bytes, Account]) -> Pool:
    """``pool`` itself, or wrapped if one of its mints has a transfer fee. Raises PoolError."""
    if pool.program_a == pool.program_b == spl.TOKEN_PROGRAM:
        return pool
    fee_a, fee_b = transfer_fee(accounts, pool.mint_a), transfer_fee(accounts, pool.mint_b)
    return pool if fee_a is None and fee_b is None else TransferFeePool(pool, fee_a, fee_b)


class TransferFeePool(Pool):
    """A pool of which one mint or both withhold a part of every transfer.

    Amounts are the user's: sent (``amount_in``) and received (``amount_out``); ``Quote.paid`` is
    what the vault pays.
    """

    __slots__ = ("fee_a", "fee_b", "inner")

    venue: Venue
    fee_a: TransferFee | None
    fee_b: TransferFee | None
    inner: Pool

    def __init__(self, inner: Pool, fee_a: TransferFee | None, fee_b: TransferFee | None) -> None:
        for name in Pool.__slots__:
            setattr(self, name, getattr(inner, name))
        self.inner, self.fee_a, self.fee_b = inner, fee_a, fee_b

    def __getattr__(self, name: str) -> Any:
        # The venue's own figures (tick, amounts, …) and its number.
        if name in ("inner", "fee_a", "fee_b"):
            raise AttributeError(name)
        return getattr(self.inner, name)

    def _fees(self, a_to_b: bool) -> tuple[TransferFee | None, TransferFee | None]:
        return (self.fee_a, self.fee_b) if a_to_b else (self.fee_b, self.fee_a)

    def quote(self, input_mint: bytes, amount_in: int, clock: ChainClock) -> Quote:
        """Exact-in swap of what the user sends. Raises QuoteError."""
        fee_in, fee_out = self._fees(self.is_a(input_mint))
        check_amount(amount_in)
        epoch = clock.slot // SLOTS_PER_EPOCH
        net = amount_in - (fee_in.withheld(amount_in, epoch) if fee_in else 0)
        if net <= 0:
            raise QuoteError(QuoteErrorCode.AMOUNT_TOO_SMALL, f"the transfer fee takes all of {amount_in}")
        inner = self.inner.quote(input_mint, net, clock)
        used = amount_in
        if inner.amount_in_used != net:
            used = fee_in.before(inner.amount_in_used, epoch) if fee_in else inner.amount_in_used
        out = inner.amount_out - (fee_out.withheld(inner.amount_out, epoch) if fee_out else 0)
        if out <= 0:
            raise QuoteError(
                QuoteErrorCode.AMOUNT_TOO_SMALL, f"the transfer fee takes all of {inner.amount_out}"
            )
        return self._quote(inner, amount_in, used, out)

    def quote_exact_out(self, output_mint: bytes, amount_out: int, clock: ChainClock) -> Quote:
        """Exact-out swap of what the user receives. Raises QuoteError."""
        fee_in, fee_out = self._fees(not self.is_a(output_mint))
        check_amount(amount_out)
        epoch = clock.slot // SLOTS_PER_EPOCH
        gross = fee_out.before(amount_out, epoch) if fee_out else amount_out
        inner = self.inner.quote_exact_out(output_mint, gross, clock)
        used = fee_in.before(inner.amount_in_used, epoch) if fee_in else inner.amount_in_used
        if used > U64_MAX:
            raise QuoteError(QuoteErrorCode.OVERFLOW, f"output {amount_out} needs input {used}")
        return self._quote(inner, used, used, amount_out)

    def _quote(self, inner: Quote, amount_in: int, used: int, out: int) -> Quote:
        state = (inner, used, out)
        quote = Quote(self, state, amount_in, used, out, inner.fee, inner.crossings, inner.rebate)
        quote.paid = inner.amount_out
        return quote

    def after(self, state: tuple[Any, ...]) -> Pool:
        """The pool as the quoted swap leaves it."""
        return TransferFeePool(state[0].pool_after, self.fee_a, self.fee_b)

    def marginal(self, state: tuple[Any, ...]) -> float:
        """Output per further unit of input, pool and transfer fees taken off; floats, for sizing only."""
        inner, used, out = state
        kept_in = inner.amount_in_used / used
        return float(inner.marginal * kept_in * out / inner.amount_out)

    def entered(self, state: tuple[Any, ...]) -> int:
        """See ``Quote.entered``; in the pool's own amounts scaled to the user's."""
        inner, used, _ = state
        entered: int = inner.entered * used // inner.amount_in_used
        return entered

    def fee_mint(self, input_mint: bytes) -> bytes:
        """The token the pool's fee is taken in."""
        return self.inner.fee_mint(input_mint)

    def _keep(self, fee: TransferFee | None, epoch: int) -> float:
        return 1.0 if fee is None else 1 - fee._now(epoch)[0] / BASE

    def spot_price(self, input_mint: bytes) -> float:
        """The pool's own price, before all fees."""
        return self.inner.spot_price(input_mint)

    def fee_ppm(self, clock: ChainClock) -> int:
        """The pool's fee and both transfer fees together, in millionths, rounded up."""
        epoch = clock.slot // SLOTS_PER_EPOCH
        bps = sum(fee._now(epoch)[0] for fee in (self.fee_a, self.fee_b) if fee is not None)
        return self.inner.fee_ppm(clock) + bps * 100

    def rates(self, clock: ChainClock | None) -> tuple[float, float]:
        """The pool's, with the transfer fees taken off (without a clock: none, the lowest there can be)."""
        there, back = self.inner.rates(clock)
        if clock is None:
            return there, back
        epoch = clock.slot // SLOTS_PER_EPOCH
        keep = self._keep(self.fee_a, epoch) * self._keep(self.fee_b, epoch)
        return there * keep, back * keep

    def depths(self) -> tuple[float, float]:
        """The pool's own."""
        return self.inner.depths()

    def swap_instruction(
        self, user: Pubkey, input_mint: bytes, amount_in: int, minimum_out: int
    ) -> Instruction:
        """The venue's instruction: its amounts are the user's, as here."""
        return self.inner.swap_instruction(user, input_mint, amount_in, minimum_out)

    def swap_names(self, input_mint: bytes) -> object:
        """The venue's."""
        return self.inner.swap_names(input_mint)

    def names_rest_on(self) -> tuple[bytes, ...]:
        """The venue's."""
        return self.inner.names_rest_on()

    def changed(self, accounts: Mapping[bytes, Account], changed: Collection[bytes]) -> Pool:
        """See ``decode_changed``."""
        return with_transfer_fees(self.inner.changed(accounts, changed), accounts)

    def store(self, accounts: Mapping[bytes, Account]) -> dict[bytes, bytes]:
        """The venue's own accounts."""
        return self.inner.store(accounts)
