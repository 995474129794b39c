"""Meteora DLMM: liquidity in bins of constant price, volatility fee, limit orders in bins.

Program LBUZKhRxPF3XUpBCjp4YzTKgLccjZhTSDM9YuVaPwxo (MeteoraAg/dlmm-sdk, IDL ``lb_clmm`` 0.12.0).
Roundings follow
the mainnet binary of 2026-07. A is token X, B token Y; A to B moves to lower bins.
"""

from collections.abc import Collection, Mapping, Sequence
from struct import Struct
from typing import Any

from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

from hft.venues import spl
from hft.venues.meteora_dlmm_accounts import (
    ARRAY_BINS,
    EXTENSION_HEAD,
    EXTENSION_SIZE,
    PAIR_HEAD,
    PAIR_PARAMETERS,
    PAIR_PARAMETERS_AT,
    PAIR_SIZE,
    PAIR_STATE,
    PAIR_STATE_AT,
    PAIR_VARIABLES,
    PAIR_VARIABLES_AT,
    PROGRAM,
    PROTOCOL_FEES_AT,
    TWO_AMOUNTS,
    Bin,
    array_address,
    array_index,
    bin_price,
    bitmap,
    check_array,
    check_pair,
    encode,
    extension_address,
    figures,
    more_arrays,
    names_in,
    read_bin,
    recognises,
    required_accounts,
    swap_arrays,
    write_bin,
)
from hft.venues.meteora_dlmm_swap import (
    BILLION,
    Beyond,
    BinEnd,
    Ladder,
    Rules,
    Volatility,
    bin_after,
    offers_of,
)
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

_HOST_SHARE = 2_000  # 1/10000 of the protocol's part
_SWAP = bytes.fromhex("f8c69e91e17587c8")
_SWAP2 = bytes.fromhex("414b3f4ceb5b5b88")
_SWAP_ARGS = Struct("<QQ")
_EVENT_AUTHORITY = spl.find_address(PROGRAM, b"__event_authority")
_PERMISSION, _CUSTOMIZABLE = 1, 2
_LIMIT_ORDER, _NO_MINT = 2, bytes(32)
Q64 = 1 << 64


class MeteoraDlmmPool(Pool):
    """A DLMM pair with the bin arrays around its active bin."""

    __slots__ = (
        "_falling",
        "_rising",
        "activation_point",
        "activation_type",
        "active_id",
        "arrays",
        "bin_step",
        "bins",
        "bits",
        "decay_period",
        "down",
        "extension",
        "fee_on_y",
        "filter_period",
        "oracle",
        "pair_type",
        "protocol_fees",
        "reduction",
        "rules",
        "status",
        "up",
        "volatility",
    )

    _worked_out = ("_falling", "_rising")
    venue = Venue.METEORA_DLMM
    activation_point: int
    activation_type: int
    active_id: int
    arrays: dict[int, bytes | None]
    bin_step: int
    bins: dict[int, Bin]
    bits: int
    decay_period: int
    down: tuple[int, ...]
    extension: bool
    fee_on_y: bool
    filter_period: int
    oracle: bytes
    pair_type: int
    protocol_fees: tuple[int, int]
    reduction: int
    rules: Rules
    status: int
    up: tuple[int, ...]
    volatility: Volatility
    _falling: Ladder | None
    _rising: Ladder | None

    def _read_pair(self, accounts: Mapping[bytes, Account]) -> None:
        """Take over the pair's and the bitmap extension's swap fields."""
        account = spl.find_account(accounts, self.key, "pair")
        check_pair(self.key, account)
        data = account.data
        (
            base_factor,
            self.filter_period,
            self.decay_period,
            self.reduction,
            control,
            max_volatility,
            _,
            _,
            protocol_share,
            power,
            function_type,
            collect_fee_mode,
        ) = PAIR_PARAMETERS.unpack_from(data, PAIR_PARAMETERS_AT)
        self.volatility = Volatility(*PAIR_VARIABLES.unpack_from(data, PAIR_VARIABLES_AT))
        self.pair_type, self.active_id, self.bin_step, self.status = PAIR_STATE.unpack_from(
            data, PAIR_STATE_AT
        )
        if self.pair_type > 3 or function_type > 2 or collect_fee_mode > 1 or power > 9:
            raise PoolError(
                PoolErrorCode.UNSUPPORTED,
                f"pair {Pubkey(self.key)}: pair type {self.pair_type}, function type {function_type}, "
                f"fee mode {collect_fee_mode}, fee power {power}",
            )
        if protocol_share > 10_000 or not bin_price(self.bin_step, self.active_id):
            raise PoolError(
                PoolErrorCode.BAD_VALUE,
                f"pair {Pubkey(self.key)}: protocol share {protocol_share}, bin {self.active_id} of step "
                f"{self.bin_step} has no price",
            )
        self.fee_on_y = collect_fee_mode == 1
        rewarded = data[264:296] != _NO_MINT or data[408:440] != _NO_MINT
        self.rules = Rules(
            self.bin_step,
            base_factor * self.bin_step * 10 * 10**power,
            control,
            max_volatility,
            protocol_share,
            _HOST_SHARE if self.settings.own_host_fee else 0,
            function_type == _LIMIT_ORDER or (function_type == 0 and not rewarded),
            self.fee_on_y,
        )
        self.activation_type = data[86]
        self.activation_point = int.from_bytes(data[816:824], "little")
        self.protocol_fees = TWO_AMOUNTS.unpack_from(data, PROTOCOL_FEES_AT)
        pubkey = extension_address(self.key)
        extension = accounts.get(pubkey)
        self.extension = spl.exists(extension)
        if extension is not None and self.extension:
            spl.check_account("bitmap extension", pubkey, extension, PROGRAM, EXTENSION_SIZE, EXTENSION_HEAD)
            spl.check_pool_key("bitmap extension", pubkey, extension.data[8:40], self.key)
        self.bits = bitmap(data, extension.data if extension is not None and self.extension else None)

    def _read_arrays(
        self, accounts: Mapping[bytes, Account], known: Mapping[int, bytes | None], changed: Collection[bytes]
    ) -> None:
        """Find the arrays a swap may use; check those that are new or that changed."""
        self.down, self.up = swap_arrays(self.bits, self.active_id)
        arrays: dict[int, bytes | None] = {}
        for index in sorted({*self.down, *self.up}):
            data = known.get(index)
            pubkey = array_address(self.key, index)
            if data is None or pubkey in changed:
                account = accounts.get(pubkey)
                data = check_array(self.key, pubkey, index, account) if account and account.data else None
            arrays[index] = data
        self.arrays, self.bins = arrays, {}
        if not arrays:
            raise PoolError(PoolErrorCode.ZERO_LIQUIDITY, f"pair {Pubkey(self.key)} has no bin arrays")

    def changed(self, accounts: Mapping[bytes, Account], changed: Collection[bytes]) -> "MeteoraDlmmPool":
        """See ``decode_changed``. Bins changed by quotes (``pool_after``) are read from the bytes again."""
        new = self.copy()
        if self.mint_a in changed or self.mint_b in changed:
            spl.read_programs(new, accounts)
        if self.key in changed or extension_address(self.key) in changed:
            new._read_pair(accounts)
        alone = self.key in changed and len(changed) == 1 and new.bits == self.bits
        if alone and array_index(new.active_id) == array_index(self.active_id):
            new.bins = {}
        else:
            new._read_arrays(accounts, self.arrays, changed)
        return new

    def _check_open(self, clock: ChainClock) -> None:
        if self.status != 0:
            raise QuoteError(QuoteErrorCode.POOL_DISABLED, f"the pair has status {self.status}")
        if self.pair_type in (_PERMISSION, _CUSTOMIZABLE):
            now = clock.unix_timestamp if self.activation_type else clock.slot
            if now < self.activation_point:
                raise QuoteError(
                    QuoteErrorCode.NOT_OPEN, f"the pair opens at {self.activation_point}, now is {now}"
                )

    def _refreshed(self, now: int) -> Volatility:
        """The volatility references a swap at ``now`` begins with."""
        state = self.volatility
        elapsed = now - state.last_update
        if elapsed < self.filter_period:
            return state
        reference = state.accumulator * self.reduction // 10_000 if elapsed < self.decay_period else 0
        return Volatility(state.accumulator, reference, self.active_id, state.last_update)

    def _missing(self, a_to_b: bool, indexes: Sequence[int], filled: int | None) -> QuoteError:
        """Why a swap that has used ``filled`` of the arrays ``indexes`` can't go on."""
        for index in indexes:
            if self.arrays.get(index) is None:
                return QuoteError(QuoteErrorCode.ARRAY_MISSING, f"bin array {index} is not at hand", filled)
        beyond = indexes[-1] + (-1 if a_to_b else 1) if indexes else array_index(self.active_id)
        if more_arrays(self.bits, beyond * ARRAY_BINS, a_to_b):
            text = f"the swap goes on beyond the bin arrays it may use, at {beyond}"
            return QuoteError(QuoteErrorCode.ARRAYS_EXHAUSTED, text, filled)
        text = f"no bin array is left in this direction from {beyond} on"
        return QuoteError(QuoteErrorCode.INSUFFICIENT_LIQUIDITY, text, filled)

    def _ladder(self, a_to_b: bool, now: int) -> Ladder:
        """The bins of a swap at ``now``."""
        start = self._refreshed(now)
        ladder = self._falling if a_to_b else self._rising
        if ladder is not None:
            ladder = ladder.at(start, now)
        else:
            indexes = self.down if a_to_b else self.up
            offers = offers_of(
                self.rules.orders_count, a_to_b, self.active_id, indexes, self.arrays, self.bins
            )
            ladder = Ladder(self.rules, a_to_b, self.active_id, start, offers, now)
        if a_to_b:
            self._falling = ladder
        else:
            self._rising = ladder
        return ladder

    def _swap(self, a_to_b: bool, amount: int, exact_in: bool, clock: ChainClock) -> tuple[BinEnd, Ladder]:
        if not 0 < amount <= U64_MAX:
            check_amount(amount)
        if self.status or self.pair_type in (_PERMISSION, _CUSTOMIZABLE):
            self._check_open(clock)
        now = clock[1]
        ladder = self._falling if a_to_b else self._rising
        if ladder is None or ladder.now != now:
            ladder = self._ladder(a_to_b, now)
        try:
            return ladder.exact_in(amount) if exact_in else ladder.exact_out(amount), ladder
        except Beyond as beyond:
            indexes = self.down if a_to_b else self.up
            raise self._missing(a_to_b, indexes, beyond.filled if exact_in else None) from None

    def quote(self, input_mint: bytes, amount_in: int, clock: ChainClock) -> Quote:
        """Exact-in swap over at most four existing bin arrays. Raises QuoteError."""
        a_to_b = input_mint == self.mint_a or self.is_a(input_mint)
        end, ladder = self._swap(a_to_b, amount_in, True, clock)
        if end[1] == 0:
            raise QuoteError(QuoteErrorCode.AMOUNT_TOO_SMALL, f"input {amount_in} gives no output")
        return Quote(self, (a_to_b, end, ladder), amount_in, amount_in, end[1], end[2], end[5], end[4])

    def quote_exact_out(self, output_mint: bytes, amount_out: int, clock: ChainClock) -> Quote:
        """Exact-out swap; ``amount_in`` is what the user pays. Raises QuoteError."""
        a_to_b = not self.is_a(output_mint)
        end, ladder = self._swap(a_to_b, amount_out, False, clock)
        check_amount(end.amount_used)
        return Quote(
            self,
            (a_to_b, end, ladder),
            end.amount_used,
            end.amount_used,
            amount_out,
            end.fee,
            end.crossings,
            end.host,
        )

    def after(self, state: tuple[Any, ...]) -> "MeteoraDlmmPool":
        """The pair as the quoted swap leaves it."""
        a_to_b: bool = state[0]
        end: BinEnd = state[1]
        ladder: Ladder = state[2]
        new = self.copy()
        new.active_id, new.volatility = end.active_id, end.volatility
        taken = [*ladder.passed(end.passed), *end.taken.items()]
        new.bins = self.bins | {bin_id: bin_after(took, a_to_b) for bin_id, took in taken}
        x, y = self.protocol_fees
        fee_in_x = a_to_b and not self.fee_on_y
        new.protocol_fees = (x + end.protocol, y) if fee_in_x else (x, y + end.protocol)
        new.down, new.up = swap_arrays(self.bits, end.active_id)
        return new

    def marginal(self, state: tuple[Any, ...]) -> float:
        """Output per further unit of input where the swap ended, fee taken off; floats, for sizing only."""
        a_to_b, end, _ = state
        price: float = end[7] / Q64
        keep: float = 1 - end[8] / BILLION
        return price * keep if a_to_b else keep / price

    def entered(self, state: tuple[Any, ...]) -> int:
        """Input used before the last bin; within a bin the price doesn't move."""
        entered: int = state[1].entered
        return entered

    def fee_mint(self, input_mint: bytes) -> bytes:
        """The token the fee is taken in."""
        return self.mint_b if self.fee_on_y else input_mint

    def spot_price(self, input_mint: bytes) -> float:
        """Output base units per input base unit before fees; for screening only."""
        price = bin_price(self.bin_step, self.active_id) / Q64
        return price if self.is_a(input_mint) else 1 / price

    def fee_ppm(self, clock: ChainClock) -> int:
        """The fee rate a swap in the active bin would pay now, in millionths, rounded up."""
        state = self._refreshed(clock.unix_timestamp)
        accumulator = min(
            state.reference + abs(state.origin - self.active_id) * 10_000, self.rules.max_volatility
        )
        return -(-self.rules.rate(accumulator) // 1000)

    def rates(self, clock: ChainClock | None) -> tuple[float, float]:
        """Marginal rates after fees; without a clock at the base fee."""
        price = bin_price(self.bin_step, self.active_id) / Q64
        keep = 1 - (self.rules.base_rate / BILLION if clock is None else self.fee_ppm(clock) / 1_000_000)
        return price * keep, keep / price

    def depths(self) -> tuple[float, float]:
        """Reserves that would move the price as the bins near the active one do."""
        price = bin_price(self.bin_step, self.active_id) / Q64
        worth = 0.0
        for bin_id in (self.active_id - 1, self.active_id, self.active_id + 1):
            data = self.arrays.get(array_index(bin_id))
            if data is not None:
                found = self.bins.get(bin_id) or read_bin(data, bin_id % ARRAY_BINS, self.bin_step, bin_id)
                worth += found.amount_x * price + found.amount_y
        depth = 2 * worth / 3 / (self.bin_step / 10_000)
        return depth / price, depth

    def swap_instruction(
        self, user: Pubkey, input_mint: bytes, amount_in: int, minimum_out: int
    ) -> Instruction:
        """``swap``, or ``swap2`` where a mint is of Token-2022; one's own account as host if so set."""
        a_to_b = self.is_a(input_mint)
        owner = bytes(user)
        user_x = spl.associated_token_address(owner, self.mint_a, self.program_a)
        user_y = spl.associated_token_address(owner, self.mint_b, self.program_b)
        user_in, user_out = (user_x, user_y) if a_to_b else (user_y, user_x)
        host = spl.meta(PROGRAM)
        if self.settings.own_host_fee:
            host = spl.meta(user_x if a_to_b and not self.fee_on_y else user_y, writable=True)
        bits = spl.meta(extension_address(self.key), writable=True) if self.extension else spl.meta(PROGRAM)
        keys = [spl.meta(self.key, writable=True), bits]
        keys += [spl.meta(key, writable=True) for key in (self.vault_a, self.vault_b, user_in, user_out)]
        keys += [spl.meta(self.mint_a), spl.meta(self.mint_b), spl.meta(self.oracle, writable=True), host]
        keys += [AccountMeta(user, True, False), spl.meta(self.program_a), spl.meta(self.program_b)]
        args = _SWAP_ARGS.pack(amount_in, minimum_out)
        if self.program_a == self.program_b == spl.TOKEN_PROGRAM:
            data = _SWAP + args
        else:
            data = _SWAP2 + args + bytes(4)
            keys.append(spl.meta(spl.MEMO_PROGRAM))
        keys += [spl.meta(_EVENT_AUTHORITY), spl.meta(PROGRAM)]
        indexes = self.down if a_to_b else self.up
        keys += [spl.meta(array_address(self.key, index), writable=True) for index in indexes]
        return Instruction(Pubkey(PROGRAM), data, keys)

    def swap_names(self, input_mint: bytes) -> object:
        """The bin arrays ahead, foremost."""
        return self.extension, self.oracle, tuple(self.down if self.is_a(input_mint) else self.up)

    def names_rest_on(self) -> tuple[bytes, ...]:
        """Where the price is, and which arrays there are."""
        return self.key, extension_address(self.key)

    def store(self, accounts: Mapping[bytes, Account]) -> dict[bytes, bytes]:
        """The pair (active bin, volatility, protocol fees) and the bin arrays whose bins changed.

        A bin's totals of fulfilled orders and of their fees are left as they are: how the program splits a
        fee among them is in no public source and in no vector, and no quote reads them.
        """
        data = bytearray(spl.find_account(accounts, self.key, "pair").data)
        PAIR_VARIABLES.pack_into(data, PAIR_VARIABLES_AT, *self.volatility)
        PAIR_STATE.pack_into(data, PAIR_STATE_AT, self.pair_type, self.active_id, self.bin_step, self.status)
        TWO_AMOUNTS.pack_into(data, PROTOCOL_FEES_AT, *self.protocol_fees)
        stored = {self.key: bytes(data)}
        patched: dict[int, bytearray] = {}
        for bin_id, found in self.bins.items():
            index = array_index(bin_id)
            if index not in patched:
                account = spl.find_account(accounts, array_address(self.key, index), "bin array")
                patched[index] = bytearray(account.data)
            write_bin(patched[index], bin_id - index * ARRAY_BINS, found)
        stored |= {array_address(self.key, index): bytes(array) for index, array in patched.items()}
        return stored


def decode(
    pubkey: bytes, accounts: Mapping[bytes, Account], settings: Settings = DEFAULT_SETTINGS
) -> MeteoraDlmmPool:
    """The pair from its account, mints, bitmap extension and the bin arrays the mapping holds.

    A bin array that the bitmap names and the mapping lacks is unknown: a swap that needs it is refused.
    """
    pool = MeteoraDlmmPool.blank()
    pool.key, pool.settings = pubkey, settings
    pool._read_pair(accounts)
    data = accounts[pubkey].data
    pool.mint_a, pool.mint_b = data[88:120], data[120:152]
    pool.vault_a, pool.vault_b = data[152:184], data[184:216]
    pool.oracle = data[552:584]
    spl.read_programs(pool, accounts)
    pool._read_arrays(accounts, {}, ())
    return pool


def parse_swap(keys: Sequence[bytes], data: bytes) -> SwapCall | None:
    """A ``swap`` or ``swap2`` instruction; the mint of the source account decides its direction."""
    if len(data) < 8 + _SWAP_ARGS.size or data[:8] not in (_SWAP, _SWAP2) or len(keys) < 15:
        return None
    amount_in, minimum_out = _SWAP_ARGS.unpack_from(data, 8)
    host = None if keys[9] == PROGRAM else keys[9]
    return SwapCall(
        Venue.METEORA_DLMM,
        keys[0],
        None,
        amount_in,
        minimum_out,
        keys[10],
        keys[4],
        keys[5],
        keys[2],
        keys[3],
        keys[0],
        host,
    )


ERROR_NAMES = {
    6003: "ExceededAmountSlippageTolerance",
    6036: "BitmapExtensionAccountIsNotProvided",
    6037: "CannotFindNonZeroLiquidityBinArrayId",
    6039: "InsufficientOutAmount",
    6042: "PoolDisabled",
}

SPEC = VenueSpec(
    venue=Venue.METEORA_DLMM,
    program=PROGRAM,
    pool_bytes=PAIR_SIZE,
    pool_head=PAIR_HEAD,
    recognises=recognises,
    required_accounts=required_accounts,
    decode=decode,
    parse_swap=parse_swap,
    minimum_out_error=6003,
    figures=figures,
    encode=encode,
    error_names=ERROR_NAMES,
    names_in=names_in,
)
