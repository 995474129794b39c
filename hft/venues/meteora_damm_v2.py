"""Meteora DAMM v2: one liquidity range or compounding constant product, scheduled and dynamic fees.

Program cpamdpZCGKUy5JxQXB4dcpGPiikHawvSWAd6mEn1sGG (MeteoraAg/damm-v2-sdk, IDL ``cp_amm`` 0.2.0).
Roundings follow
the mainnet binary of 2026-04. Liquidity carries 64 extra fraction bits.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from math import isqrt
from struct import Struct
from typing import Any, NamedTuple

from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

from hft.venues import spl
from hft.venues.meteora_damm_v2_accounts import (
    AMOUNTS_AT,
    POOL_HEAD,
    POOL_SIZE,
    PROGRAM,
    PROTOCOL_FEES_AT,
    TWO_AMOUNTS,
    encode,
    figures,
    names_in,
    recognises,
    required_accounts,
)
from hft.venues.meteora_damm_v2_fees import BILLION, BaseFee, DynamicFee, Mode
from hft.venues.types import (
    DEFAULT_SETTINGS,
    U64_MAX,
    Account,
    ChainClock,
    Pool,
    PoolError,
    PoolErrorCode,
    Quote,
    QuoteError,
    QuoteErrorCode,
    Settings,
    SwapCall,
    Venue,
    VenueSpec,
    check_amount,
)

AUTHORITY = spl.key("HLnpSz9h2S4hiLQ43rnSD9XkcUThA7B8hQMKmDaiTLcC")
INSTRUCTIONS_SYSVAR = spl.key("Sysvar1nstructions1111111111111111111111111")
FEES_BOTH, FEES_IN_B, COMPOUNDING = 0, 1, 2
FEE_CAPS = {0: 500_000_000, 1: 990_000_000}

_SWAP = bytes.fromhex("f8c69e91e17587c8")
_SWAP2 = bytes.fromhex("414b3f4ceb5b5b88")
_SWAP_ARGS = Struct("<QQ")
_EVENT_AUTHORITY = spl.find_address(PROGRAM, b"__event_authority")
_SHIFT = 128


class CurveEnd(NamedTuple):
    """Where a swap ended. ``protocol`` and ``referral`` are parts of the fee, ``kept`` what compounds."""

    used: int
    out: int
    fee: int
    protocol: int
    referral: int
    price: int
    amount_a: int
    amount_b: int
    rate: int


_curve_end = partial(tuple.__new__, CurveEnd)  # half the time of CurveEnd(...)


class MeteoraDammV2Pool(Pool):
    """A DAMM v2 pool."""

    __slots__ = (
        "_rate_at",
        "activation_point",
        "activation_type",
        "amount_a",
        "amount_b",
        "base_fee",
        "compounding_bps",
        "dynamic",
        "fee_cap",
        "fee_mode",
        "liquidity",
        "protocol_fee_a",
        "protocol_fee_b",
        "protocol_percent",
        "referral_percent",
        "sqrt_max",
        "sqrt_min",
        "sqrt_price",
        "status",
        "stores_amounts",
    )

    _worked_out = ("_rate_at",)
    venue = Venue.METEORA_DAMM_V2
    activation_point: int
    activation_type: int
    amount_a: int
    amount_b: int
    base_fee: BaseFee
    compounding_bps: int
    dynamic: DynamicFee | None
    fee_cap: int
    fee_mode: int
    liquidity: int
    protocol_fee_a: int
    protocol_fee_b: int
    protocol_percent: int
    referral_percent: int
    sqrt_max: int
    sqrt_min: int
    sqrt_price: int
    status: int
    stores_amounts: bool
    _rate_at: tuple[int, int] | None

    def _read_pool(self, accounts: Mapping[bytes, Account]) -> None:
        account = spl.find_account(accounts, self.key, "pool")
        spl.check_account("pool", self.key, account, PROGRAM, POOL_SIZE, POOL_HEAD)
        data = account.data
        self.protocol_percent, self.referral_percent = data[48], data[50]
        self.compounding_bps = int.from_bytes(data[54:56], "little")
        number = int.from_bytes
        self.liquidity = number(data[360:376], "little")
        self.protocol_fee_a, self.protocol_fee_b = TWO_AMOUNTS.unpack_from(data, PROTOCOL_FEES_AT)
        self.sqrt_min, self.sqrt_max = number(data[424:440], "little"), number(data[440:456], "little")
        self.sqrt_price = number(data[456:472], "little")
        self.activation_point = number(data[472:480], "little")
        self.activation_type, self.status, self.fee_mode = data[480], data[481], data[484]
        version, layout = data[486], data[696]
        if (
            self.fee_mode > COMPOUNDING
            or version not in FEE_CAPS
            or layout > 1
            or self.activation_type > 1
            or not self.sqrt_price > 0
            or (self.fee_mode != COMPOUNDING and not 0 < self.sqrt_min < self.sqrt_max)
        ):
            raise PoolError(
                PoolErrorCode.UNSUPPORTED,
                f"pool {Pubkey(self.key)}: fee mode {self.fee_mode}, fee version {version}, layout {layout}, "
                f"activation type {self.activation_type}, root price {self.sqrt_price}",
            )
        if max(self.protocol_percent, self.referral_percent) > 100 or self.compounding_bps > 10_000:
            raise PoolError(
                PoolErrorCode.BAD_VALUE,
                f"pool {Pubkey(self.key)}: protocol {self.protocol_percent}%, "
                f"referral {self.referral_percent}%, compounding {self.compounding_bps} bps",
            )
        if self.liquidity == 0:
            raise PoolError(PoolErrorCode.ZERO_LIQUIDITY, f"pool {Pubkey(self.key)} has no liquidity")
        self.fee_cap = FEE_CAPS[version]
        self.base_fee = BaseFee.read(self.key, data)
        self.dynamic = DynamicFee.read(self.key, data)
        self.stores_amounts = layout == 1
        if self.stores_amounts:
            self.amount_a, self.amount_b = TWO_AMOUNTS.unpack_from(data, AMOUNTS_AT)
        else:
            low, high, now = self.sqrt_min, self.sqrt_max, self.sqrt_price
            self.amount_a = -(-self.liquidity * (high - now) // (now * high))
            self.amount_b = -(-self.liquidity * (now - low) >> _SHIFT)
        if self.fee_mode == COMPOUNDING and not (self.amount_a and self.amount_b):
            raise PoolError(
                PoolErrorCode.ZERO_LIQUIDITY,
                f"pool {Pubkey(self.key)} holds {self.amount_a} and {self.amount_b}",
            )

    def changed(self, accounts: Mapping[bytes, Account], changed: Collection[bytes]) -> "MeteoraDammV2Pool":
        """See ``decode_changed``."""
        new = self.copy()
        if self.mint_a in changed or self.mint_b in changed:
            spl.read_programs(new, accounts)
        if self.key in changed:
            new._read_pool(accounts)
        return new

    def _point(self, clock: ChainClock) -> int:
        return clock.unix_timestamp if self.activation_type else clock.slot

    def _check_open(self, point: int) -> None:
        if self.status != 0:
            raise QuoteError(QuoteErrorCode.POOL_DISABLED, f"the pool has status {self.status}")
        if point < self.activation_point:
            raise QuoteError(
                QuoteErrorCode.NOT_OPEN, f"the pool opens at {self.activation_point}, now is {point}"
            )

    def _rate(self, point: int, a_to_b: bool, amount: int) -> int:
        """Fee rate in 1e-9 of a swap of ``amount``; without a rate limiter it is the point's."""
        known = self._rate_at
        if known is not None and known[0] == point:
            return known[1]
        rate = self.base_fee.rate(point, self.activation_point, self.sqrt_price, a_to_b, amount)
        if self.dynamic is not None:
            rate += self.dynamic.rate()
        rate = min(rate, self.fee_cap)
        if self.base_fee.mode is not Mode.RATE_LIMITER:
            self._rate_at = point, rate
        return rate

    def _fee_on_input(self, a_to_b: bool) -> bool:
        return self.fee_mode != FEES_BOTH and not a_to_b

    def quote(self, input_mint: bytes, amount_in: int, clock: ChainClock) -> Quote:
        """Exact-in swap. Raises QuoteError."""
        a_to_b = input_mint == self.mint_a or self.is_a(input_mint)
        if not 0 < amount_in <= U64_MAX:
            check_amount(amount_in)
        point = clock.unix_timestamp if self.activation_type else clock.slot
        if self.status or point < self.activation_point:
            self._check_open(point)
        rate = self._rate(point, a_to_b, amount_in)
        if self._fee_on_input(a_to_b):
            fee = -(-amount_in * rate // BILLION)
            net = amount_in - fee
            price, gross = self._curve(a_to_b, net)
            out = gross
        else:
            net = amount_in
            price, gross = self._curve(a_to_b, net)
            fee = -(-gross * rate // BILLION)
            out = gross - fee
        end = self._end(a_to_b, amount_in, net, gross, out, fee, price, rate)
        return Quote(self, (a_to_b, clock.unix_timestamp, end), amount_in, amount_in, out, fee, 0, end[4])

    def _end(
        self, a_to_b: bool, used: int, net: int, gross: int, out: int, fee: int, price: int, rate: int
    ) -> CurveEnd:
        """Divide the fee and move the reserves."""
        protocol = fee * self.protocol_percent // 100
        referral = protocol * self.referral_percent // 100 if self.settings.own_host_fee else 0
        a = self.amount_a + net if a_to_b else self.amount_a - gross
        b = self.amount_b - gross if a_to_b else self.amount_b + net
        if a < 0 or b < 0 or used > U64_MAX:
            raise QuoteError(
                QuoteErrorCode.INSUFFICIENT_LIQUIDITY,
                f"output {gross} is more than the pool's {self.amount_a} or {self.amount_b}",
            )
        if self.fee_mode == COMPOUNDING:
            b += (fee - protocol) * self.compounding_bps // 10_000
            price = isqrt((b << _SHIFT) // a)
        return _curve_end((used, out, fee, protocol - referral, referral, price, a, b, rate))

    def _curve(self, a_to_b: bool, net: int) -> tuple[int, int]:
        """(root price after, output before an output fee) for ``net`` of input; compounding pools have
        their price from the reserves at the end. Raises QuoteError.
        """
        if self.fee_mode == COMPOUNDING:
            a, b = self.amount_a, self.amount_b
            return 0, b * net // (a + net) if a_to_b else a * net // (b + net)
        price, liquidity = self.sqrt_price, self.liquidity
        if a_to_b:
            after = -(-liquidity * price // (liquidity + net * price))
            if after < self.sqrt_min:
                raise self._beyond(after)
            return after, liquidity * (price - after) >> _SHIFT
        after = price + (net << _SHIFT) // liquidity
        if after > self.sqrt_max:
            raise self._beyond(after)
        return after, liquidity * (after - price) // (price * after)

    def _beyond(self, price: int) -> QuoteError:
        return QuoteError(
            QuoteErrorCode.PRICE_LIMIT,
            f"the swap would move the root price to {price}, outside {self.sqrt_min}..{self.sqrt_max}",
        )

    def quote_exact_out(self, output_mint: bytes, amount_out: int, clock: ChainClock) -> Quote:
        """Exact-out swap; ``amount_in`` is what the user pays. Raises QuoteError.

        Pools with a rate limiter have no exact-out quote: their fee depends on the input.
        """
        a_to_b = not self.is_a(output_mint)
        check_amount(amount_out)
        point = self._point(clock)
        self._check_open(point)
        if self.base_fee.mode is Mode.RATE_LIMITER:
            raise QuoteError(QuoteErrorCode.BAD_AMOUNT, "a rate-limiter pool prices exact-in swaps only")
        rate = self._rate(point, a_to_b, amount_out)
        on_input = self._fee_on_input(a_to_b)
        gross = amount_out if on_input else -(-amount_out * BILLION // (BILLION - rate))
        price, net = self._curve_out(a_to_b, gross)
        used = -(-net * BILLION // (BILLION - rate)) if on_input else net
        if used == 0:
            raise QuoteError(QuoteErrorCode.AMOUNT_TOO_SMALL, f"output {amount_out} needs no input")
        fee = used - net if on_input else gross - amount_out
        end = self._end(a_to_b, used, net, gross, amount_out, fee, price, rate)
        return Quote(self, (a_to_b, clock.unix_timestamp, end), used, used, amount_out, fee, 0, end.referral)

    def _curve_out(self, a_to_b: bool, gross: int) -> tuple[int, int]:
        """(root price after, input after an input fee) for ``gross`` of output. Raises QuoteError."""
        price, liquidity = self.sqrt_price, self.liquidity
        reserve = self.amount_b if a_to_b else self.amount_a
        if gross >= reserve:
            raise QuoteError(
                QuoteErrorCode.INSUFFICIENT_LIQUIDITY, f"output {gross} is not below the reserve {reserve}"
            )
        if self.fee_mode == COMPOUNDING:
            a, b = self.amount_a, self.amount_b
            return 0, -(-a * gross // (b - gross)) if a_to_b else -(-b * gross // (a - gross))
        if a_to_b:
            after = price - -(-(gross << _SHIFT) // liquidity)
            if after < self.sqrt_min:
                raise self._beyond(after)
            return after, -(-liquidity * (price - after) // (price * after))
        after = (
            -(-liquidity * price // (liquidity - gross * price)) if liquidity > gross * price else U64_MAX**2
        )
        if after > self.sqrt_max:
            raise self._beyond(after)
        return after, -(-liquidity * (after - price) >> _SHIFT)

    def after(self, state: tuple[Any, ...]) -> "MeteoraDammV2Pool":
        """The pool as the quoted swap leaves it."""
        a_to_b: bool = state[0]
        now: int = state[1]
        end: CurveEnd = state[2]
        new = self.copy()
        new.amount_a, new.amount_b, new.sqrt_price = end.amount_a, end.amount_b, end.price
        if self.fee_mode == FEES_BOTH and not a_to_b:
            new.protocol_fee_a += end.protocol
        else:
            new.protocol_fee_b += end.protocol
        if self.dynamic is not None:
            new.dynamic = self.dynamic.after(self.sqrt_price, end.price, now)
        return new

    def marginal(self, state: tuple[Any, ...]) -> float:
        """Output per further unit of input after the swap, fee taken off; floats, for sizing only."""
        a_to_b, _, end = state
        if self.fee_mode == COMPOUNDING:
            price = float(end.amount_b / end.amount_a)
        else:
            price = float((end.price / (1 << 64)) ** 2)
        keep: float = 1 - end.rate / BILLION
        return price * keep if a_to_b else keep / price

    def fee_mint(self, input_mint: bytes) -> bytes:
        """The token the fee is taken in: the output, or always B."""
        return self.mint_b if self.fee_mode != FEES_BOTH else self.other_mint(input_mint)

    def _price(self) -> float:
        if self.fee_mode == COMPOUNDING:
            return self.amount_b / self.amount_a
        return float((self.sqrt_price / (1 << 64)) ** 2)

    def spot_price(self, input_mint: bytes) -> float:
        """Output base units per input base unit before fees; for screening only."""
        price = self._price()
        return price if self.is_a(input_mint) else 1 / price

    @property
    def fee_moves(self) -> bool:
        """It follows a schedule, or not; a dynamic part is as the last swap left it."""
        return self.base_fee.moves

    def fee_ppm(self, clock: ChainClock) -> int:
        """The fee rate of a very small swap now, the dearer direction's, in millionths, rounded up."""
        return -(-self._rate(self._point(clock), False, 1) // 1000)

    def rates(self, clock: ChainClock | None) -> tuple[float, float]:
        """Marginal rates after fees; without a clock at the end of the fee's schedule."""
        price = self._price()
        if clock is None:
            rate = self.base_fee.lowest() + (self.dynamic.rate() if self.dynamic is not None else 0)
            rate = min(rate, self.fee_cap)
        else:
            rate = self._rate(self._point(clock), False, 1)
        keep = 1 - rate / BILLION
        return price * keep, keep / price

    def depths(self) -> tuple[float, float]:
        """Virtual reserves of the liquidity at the price; a compounding pool's own."""
        if self.fee_mode == COMPOUNDING:
            return float(self.amount_a), float(self.amount_b)
        root, scaled = self.sqrt_price / (1 << 64), self.liquidity / (1 << 64)
        return scaled / root, scaled * root

    def _fee_in_b(self, a_to_b: bool) -> bool:
        return self.fee_mode != FEES_BOTH or a_to_b

    def swap_instruction(
        self, user: Pubkey, input_mint: bytes, amount_in: int, minimum_out: int
    ) -> Instruction:
        """``swap`` with one's own account of the fee's token as referral if so set."""
        a_to_b = self.is_a(input_mint)
        owner = bytes(user)
        user_a = spl.associated_token_address(owner, self.mint_a, self.program_a)
        user_b = spl.associated_token_address(owner, self.mint_b, self.program_b)
        user_in, user_out = (user_a, user_b) if a_to_b else (user_b, user_a)
        referral = spl.meta(PROGRAM)
        if self.settings.own_host_fee:
            referral = spl.meta(user_b if self._fee_in_b(a_to_b) else user_a, writable=True)
        keys = [spl.meta(AUTHORITY)]
        writable = (self.key, user_in, user_out, self.vault_a, self.vault_b)
        keys += [spl.meta(key, writable=True) for key in writable]
        keys += [spl.meta(self.mint_a), spl.meta(self.mint_b), AccountMeta(user, True, False)]
        keys += [spl.meta(self.program_a), spl.meta(self.program_b), referral]
        keys += [spl.meta(_EVENT_AUTHORITY), spl.meta(PROGRAM)]
        if self.base_fee.mode is Mode.RATE_LIMITER:
            keys.append(spl.meta(INSTRUCTIONS_SYSVAR))
        return Instruction(Pubkey(PROGRAM), _SWAP + _SWAP_ARGS.pack(amount_in, minimum_out), keys)

    def swap_names(self, input_mint: bytes) -> object:
        """Nothing that moves with the price."""
        return self.base_fee.mode, self.fee_mode

    def store(self, accounts: Mapping[bytes, Account]) -> dict[bytes, bytes]:
        """The pool account: price, amounts, protocol fees, dynamic fee."""
        data = bytearray(spl.find_account(accounts, self.key, "pool").data)
        data[456:472] = self.sqrt_price.to_bytes(16, "little")
        TWO_AMOUNTS.pack_into(data, PROTOCOL_FEES_AT, self.protocol_fee_a, self.protocol_fee_b)
        if self.stores_amounts:
            TWO_AMOUNTS.pack_into(data, AMOUNTS_AT, self.amount_a, self.amount_b)
        if self.dynamic is not None:
            self.dynamic.write(data)
        return {self.key: bytes(data)}


def decode(
    pubkey: bytes, accounts: Mapping[bytes, Account], settings: Settings = DEFAULT_SETTINGS
) -> MeteoraDammV2Pool:
    """The pool from its account and mints. Raises PoolError."""
    pool = MeteoraDammV2Pool.blank()
    pool.key, pool.settings = pubkey, settings
    pool._read_pool(accounts)
    data = accounts[pubkey].data
    pool.mint_a, pool.mint_b = data[168:200], data[200:232]
    pool.vault_a, pool.vault_b = data[232:264], data[264:296]
    spl.read_programs(pool, accounts)
    return pool


def parse_swap(keys: Sequence[bytes], data: bytes) -> SwapCall | None:
    """A ``swap``, or an exact-in ``swap2``; the mint of the source account decides its direction."""
    if len(data) < 8 + _SWAP_ARGS.size or data[:8] not in (_SWAP, _SWAP2) or len(keys) < 14:
        return None
    if data.startswith(_SWAP2) and (len(data) < 25 or data[24] != 0):
        return None
    amount_in, minimum_out = _SWAP_ARGS.unpack_from(data, 8)
    host = None if keys[11] == PROGRAM else keys[11]
    return SwapCall(
        Venue.METEORA_DAMM_V2,
        keys[1],
        None,
        amount_in,
        minimum_out,
        keys[8],
        keys[2],
        keys[3],
        keys[4],
        keys[5],
        keys[0],
        host,
    )


ERROR_NAMES = {
    6002: "ExceededSlippage",
    6003: "PoolDisabled",
    6006: "AmountIsZero",
    6015: "PriceRangeViolation",
}

SPEC = VenueSpec(
    venue=Venue.METEORA_DAMM_V2,
    program=PROGRAM,
    pool_bytes=POOL_SIZE,
    pool_head=POOL_HEAD,
    recognises=recognises,
    required_accounts=required_accounts,
    decode=decode,
    parse_swap=parse_swap,
    minimum_out_error=6002,
    figures=figures,
    encode=encode,
    error_names=ERROR_NAMES,
    names_in=names_in,
)
