"""Raydium CLMM: concentrated liquidity, with dynamic fee, one-token fee and limit orders where a
pool has them.

Program CAMMCzo5YL8w4VFF8KVHrK22GGUsp5VTaW7grrKgrWqK (raydium-io/raydium-clmm). Roundings follow
the mainnet binary
of 2026-04 and recorded mainnet swaps; the newer features follow Raydium's SDK.
"""

from collections.abc import Collection, Mapping
from typing import Any

from solders.instruction import Instruction
from solders.pubkey import Pubkey

from hft.venues import spl
from hft.venues.concentrated import (
    MILLION,
    MIN_SQRT_PRICE,
    Nets,
    Path,
    SwapEnd,
    raydium_sqrt_price,
    tick_fits,
    tick_of,
)
from hft.venues.concentrated import RAYDIUM_MAX_SQRT_PRICE as MAX_SQRT_PRICE
from hft.venues.concentrated_pool import ConcentratedPool, marginal_at
from hft.venues.ladder import Ladder
from hft.venues.raydium_clmm_accounts import (
    ARRAY_TICKS,
    CONFIG_HEAD,
    CONFIG_RATES,
    CONFIG_RATES_AT,
    CONFIG_SIZE,
    DYNAMIC_FEE,
    DYNAMIC_FEE_AT,
    EXTENSION_HEAD,
    EXTENSION_SIZE,
    POOL_CURVE,
    POOL_CURVE_AT,
    POOL_FUND_FEES_AT,
    POOL_HEAD,
    POOL_PROTOCOL_FEES_AT,
    POOL_SIZE,
    PROGRAM,
    TICK_ORDERS,
    TICK_ORDERS_AT,
    TICK_SIZE,
    TWO_AMOUNTS,
    DynamicFee,
    Orders,
    TickArray,
    array_start,
    bitmap,
    check_pool,
    encode,
    extension_address,
    figures,
    more_arrays,
    names_in,
    parse_tick_array,
    read_gross,
    read_net,
    recognises,
    required_accounts,
    swap_arrays,
    tick_array_address,
)
from hft.venues.raydium_clmm_features import (
    FeatureSwap,
    Market,
    refreshed,
    total_rate,
    volatility_at,
)
from hft.venues.raydium_clmm_instruction import DOWN_LIMIT, ERROR_NAMES, UP_LIMIT, build_swap, parse_swap
from hft.venues.types import (
    DEFAULT_SETTINGS,
    U64_MAX,
    Account,
    ChainClock,
    PoolError,
    PoolErrorCode,
    Quote,
    QuoteError,
    QuoteErrorCode,
    Settings,
    Venue,
    VenueSpec,
    check_amount,
)

SWAP_OFF = 16
NO_ORDERS: dict[int, Orders] = {}
NO_DYNAMIC_FEE = bytes(DYNAMIC_FEE.size)


class RaydiumClmmPool(ConcentratedPool):
    """A CLMM pool with the tick arrays around its price; A is token 0, B token 1."""

    __slots__ = (
        "_falling",
        "_rising",
        "arrays",
        "bits",
        "config",
        "down",
        "dynamic",
        "extension",
        "fee_on",
        "fund_fees",
        "fund_rate",
        "nets",
        "observation",
        "open_time",
        "orders",
        "protocol_fees",
        "protocol_rate",
        "shares",
        "status",
        "up",
    )

    _worked_out = ("_falling", "_rising")
    _curve = POOL_CURVE, POOL_CURVE_AT, 2
    venue = Venue.RAYDIUM_CLMM
    config: bytes
    observation: bytes
    extension: bool
    bits: int
    protocol_rate: int
    fund_rate: int
    shares: tuple[int, int, int]
    protocol_fees: tuple[int, int]
    fund_fees: tuple[int, int]
    status: int
    fee_on: int
    open_time: int
    dynamic: DynamicFee | None
    arrays: dict[int, TickArray | None]
    nets: Nets
    orders: dict[int, Orders]
    down: tuple[int, ...]
    up: tuple[int, ...]
    _falling: tuple[Path, Ladder] | None
    _rising: tuple[Path, Ladder] | None

    def _read_pool(self, accounts: Mapping[bytes, Account]) -> None:
        """Take over the pool's, the bitmap extension's and the config's swap fields."""
        account = spl.find_account(accounts, self.key, "pool")
        check_pool(self.key, account)
        data = account.data
        self.tick_spacing, liquidity, sqrt_price, self.tick = POOL_CURVE.unpack_from(data, POOL_CURVE_AT)
        self.liquidity = int.from_bytes(liquidity, "little")
        self.sqrt_price = int.from_bytes(sqrt_price, "little")
        self.protocol_fees = TWO_AMOUNTS.unpack_from(data, POOL_PROTOCOL_FEES_AT)
        self.fund_fees = TWO_AMOUNTS.unpack_from(data, POOL_FUND_FEES_AT)
        self.status, self.fee_on = data[389], data[390]
        self.open_time = int.from_bytes(data[1080:1088], "little")
        self.dynamic = None
        if data[DYNAMIC_FEE_AT : DYNAMIC_FEE_AT + DYNAMIC_FEE.size] != NO_DYNAMIC_FEE:
            self.dynamic = DynamicFee(*DYNAMIC_FEE.unpack_from(data, DYNAMIC_FEE_AT))
        if self.fee_on > 2:
            raise PoolError(PoolErrorCode.UNSUPPORTED, f"pool {Pubkey(self.key)}: fee_on {self.fee_on}")
        in_range = MIN_SQRT_PRICE <= self.sqrt_price <= MAX_SQRT_PRICE
        if not in_range or not tick_fits(self.tick, self.sqrt_price, raydium_sqrt_price):
            raise PoolError(
                PoolErrorCode.BAD_VALUE,
                f"pool {Pubkey(self.key)}: root price {self.sqrt_price} does not fit tick {self.tick}",
            )
        pubkey = extension_address(self.key)
        extension = accounts.get(pubkey)
        self.extension = spl.exists(extension)
        if extension is not None and self.extension:
            spl.check_account("bitmap extension", pubkey, extension, PROGRAM, EXTENSION_SIZE, EXTENSION_HEAD)
            spl.check_pool_key("bitmap extension", pubkey, extension.data[8:40], self.key)
        self.bits = bitmap(data, extension.data if extension is not None and self.extension else None)

    def _read_config(self, accounts: Mapping[bytes, Account]) -> None:
        config = spl.find_account(accounts, self.config, "config")
        spl.check_account("config", self.config, config, PROGRAM, CONFIG_SIZE, CONFIG_HEAD)
        self.protocol_rate, self.fee_rate, _, self.fund_rate = CONFIG_RATES.unpack_from(
            config.data, CONFIG_RATES_AT
        )
        self.shares = (self.protocol_rate, self.fund_rate, MILLION)
        if self.fee_rate >= MILLION:
            raise PoolError(
                PoolErrorCode.BAD_VALUE, f"config {Pubkey(self.config)}: fee rate {self.fee_rate}"
            )

    def _join(self) -> None:
        """Merge the arrays' ticks and limit orders."""
        ticks: list[int] = []
        orders: dict[int, Orders] = {}
        for array in self.arrays.values():
            if array is not None:
                ticks += array.ticks
                orders.update(array.orders)
        self.orders = orders
        self._set_ticks(ticks)
        if not ticks and self.liquidity == 0:
            raise PoolError(
                PoolErrorCode.ZERO_LIQUIDITY, f"pool {Pubkey(self.key)} has no liquidity near its price"
            )

    def _set_ticks(self, ticks: list[int]) -> None:
        data = {start: array.data for start, array in self.arrays.items() if array is not None}
        self.nets = Nets(ticks, [None] * len(ticks), data, self.tick_spacing, ARRAY_TICKS, read_net)

    def _read_arrays(
        self, accounts: Mapping[bytes, Account], old: "RaydiumClmmPool | None", changed: Collection[bytes]
    ) -> None:
        """Find the arrays a swap may use; parse those that ``old`` has not or that changed."""
        self.down, self.up = swap_arrays(self.bits, self.tick, self.tick_spacing)
        known: dict[int, TickArray | None] = {} if old is None else old.arrays
        arrays: dict[int, TickArray | None] = {}
        for start in sorted({*self.down, *self.up}):
            array = known.get(start)
            pubkey = tick_array_address(self.key, start)
            if array is None or pubkey in changed:
                account = accounts.get(pubkey)
                array = None
                if account is not None and account.data:
                    array = parse_tick_array(self.key, pubkey, start, self.tick_spacing, account)
            arrays[start] = array
        same = old is not None and arrays.keys() == known.keys()
        self.arrays = arrays
        if not same or any(array is not known[start] for start, array in arrays.items()):
            self._join()

    def changed(self, accounts: Mapping[bytes, Account], changed: Collection[bytes]) -> "RaydiumClmmPool":
        """See ``decode_changed``."""
        new = self.copy()
        if self.mint_a in changed or self.mint_b in changed:
            spl.read_programs(new, accounts)
        if self.config in changed:
            new._read_config(accounts)
        if self.key in changed or extension_address(self.key) in changed:
            new._read_pool(accounts)
        if self.key in changed and len(changed) == 1 and new.bits == self.bits:
            spacing = new.tick_spacing
            if array_start(new.tick, spacing) == array_start(self.tick, spacing):
                return new
        new._read_arrays(accounts, self, changed)
        return new

    def _bound(self, a_to_b: bool) -> int | None:
        """The farthest initialised tick of the arrays at hand; None if there is none."""
        starts = self.down if a_to_b else self.up
        end = self.nets.ends.get((a_to_b, starts))
        if end is not None:
            return end[0]
        bound = None
        for start in starts:
            array = self.arrays[start]
            if array is None:
                break
            if array.ticks:
                bound = array.ticks[0] if a_to_b else array.ticks[-1]
        if bound is not None:
            self.nets.ends[a_to_b, starts] = bound, None
        return bound

    def _reach(self, a_to_b: bool) -> tuple[Path, Ladder]:
        """The way a swap may go, to the farthest initialised tick at hand, and its stretches. Raises
        QuoteError if there is none.
        """
        bound = self._bound(a_to_b)
        if bound is None or (bound > self.tick if a_to_b else bound <= self.tick):
            raise self._exhausted(a_to_b, None)
        limit = DOWN_LIMIT if a_to_b else UP_LIMIT
        path = Path(self.nets.ticks, self.nets, bound, limit, raydium_sqrt_price)
        here = (self.sqrt_price, self.tick, self.liquidity)
        reach = path, Ladder(a_to_b, path, here, self.fee_rate, self.shares)
        if a_to_b:
            self._falling = reach
        else:
            self._rising = reach
        return reach

    def _exhausted(self, a_to_b: bool, filled: int | None) -> QuoteError:
        """Why a swap that used up the known ticks, having used ``filled``, can't go on."""
        starts = self.down if a_to_b else self.up
        for start in starts:
            if self.arrays[start] is None:
                return QuoteError(QuoteErrorCode.ARRAY_MISSING, f"tick array {start} is not at hand", filled)
        if starts and more_arrays(self.bits, starts[-1], self.tick_spacing, a_to_b):
            text = f"the swap goes on beyond tick array {starts[-1]}"
            return QuoteError(QuoteErrorCode.ARRAYS_EXHAUSTED, text, filled)
        text = "no initialised tick is left in this direction"
        return QuoteError(QuoteErrorCode.INSUFFICIENT_LIQUIDITY, text, filled)

    def _check_open(self, now: int) -> None:
        if self.status & SWAP_OFF:
            raise QuoteError(QuoteErrorCode.POOL_DISABLED, f"swaps are off (status {self.status})")
        if now <= self.open_time:
            raise QuoteError(QuoteErrorCode.NOT_OPEN, f"the pool opens after {self.open_time}, now is {now}")

    def _fee_on_input(self, a_to_b: bool) -> bool:
        return self.fee_on == 0 or (self.fee_on == 1) == a_to_b

    def _swap(self, a_to_b: bool, amount: int, exact_in: bool, now: int) -> tuple[SwapEnd, tuple[Any, ...]]:
        """(where the swap ends, the state that ``after`` takes). Raises QuoteError."""
        if not 0 < amount <= U64_MAX:
            check_amount(amount)
        if self.status & SWAP_OFF or now <= self.open_time:
            self._check_open(now)
        path, ladder = (self._falling if a_to_b else self._rising) or self._reach(a_to_b)
        try:
            if self.dynamic is None and not self.orders and not self.fee_on:
                end = ladder.exact_in(amount) if exact_in else ladder.exact_out(amount)
                dynamic, orders = None, NO_ORDERS
            else:
                start = (self.sqrt_price, self.tick, self.liquidity)
                rates = (self.fee_rate, self.protocol_rate, self.fund_rate)
                market = Market(start, rates, self.tick_spacing, self.orders, path)
                on_input = self._fee_on_input(a_to_b)
                swap = FeatureSwap(market, a_to_b, on_input, self.dynamic, now)
                end, dynamic, orders = swap.run(amount, exact_in)
        except QuoteError as error:
            if error.code is QuoteErrorCode.ARRAYS_EXHAUSTED:
                raise self._exhausted(a_to_b, error.filled) from None
            raise
        done = end[0] if exact_in else end[1]
        if done != amount:
            raise QuoteError(
                QuoteErrorCode.PRICE_LIMIT, f"only {done} of {amount} can be swapped before the price limit"
            )
        if end[1] == 0:
            raise QuoteError(QuoteErrorCode.AMOUNT_TOO_SMALL, f"input {amount} gives no output")
        return end, (a_to_b, end, dynamic, orders)

    def quote(self, input_mint: bytes, amount_in: int, clock: ChainClock) -> Quote:
        """Exact-in swap over at most three initialised tick arrays. Raises QuoteError."""
        a_to_b = input_mint == self.mint_a or self.is_a(input_mint)
        end, state = self._swap(a_to_b, amount_in, True, clock[1])
        return Quote(self, state, amount_in, amount_in, end[1], end[2], end[5])

    def quote_exact_out(self, output_mint: bytes, amount_out: int, clock: ChainClock) -> Quote:
        """Exact-out swap; ``amount_in`` is what the user pays. Raises QuoteError."""
        a_to_b = not self.is_a(output_mint)
        end, state = self._swap(a_to_b, amount_out, False, clock.unix_timestamp)
        return Quote(self, state, end.amount_used, end.amount_used, amount_out, end.fee, end.crossings)

    def _drop_served(self, served: Mapping[int, Orders]) -> None:
        """A tick without liquidity is no tick any more once its orders are filled."""
        kept = [
            tick
            for tick in self.nets.ticks
            if tick not in served or served[tick].unfilled or self._gross(tick)
        ]
        self._set_ticks(kept)

    def _gross(self, tick: int) -> int:
        start = array_start(tick, self.tick_spacing)
        array = self.arrays[start]
        return 0 if array is None else read_gross(array.data, (tick - start) // self.tick_spacing)

    def after(self, state: tuple[Any, ...]) -> "RaydiumClmmPool":
        """The pool as the quoted swap leaves it."""
        a_to_b: bool = state[0]
        end: SwapEnd = state[1]
        orders: dict[int, Orders] = state[3]
        new = self.copy()
        new.sqrt_price, new.liquidity, new.dynamic = end.price, end.liquidity, state[2]
        new.tick = tick_of(end.price, raydium_sqrt_price) if end.tick is None else end.tick
        side = 0 if a_to_b == self._fee_on_input(a_to_b) else 1
        new.protocol_fees = _plus(self.protocol_fees, side, end.owed_1)
        new.fund_fees = _plus(self.fund_fees, side, end.owed_2)
        if orders:
            new.orders = self.orders | orders
            new._drop_served(orders)
        down, up = swap_arrays(self.bits, new.tick, self.tick_spacing)
        new.down, new.up = down, up
        new.arrays = {start: self.arrays.get(start) for start in sorted({*self.arrays, *down, *up})}
        return new

    def marginal(self, state: tuple[Any, ...]) -> float:
        """Output per further unit of input after the swap, fees taken off; floats, for sizing only."""
        a_to_b, end, dynamic, _ = state
        rate = self.fee_rate
        if dynamic is not None:
            rate = total_rate(rate, dynamic, dynamic.volatility, self.tick_spacing)
        return marginal_at(a_to_b, end[6], rate)

    def fee_mint(self, input_mint: bytes) -> bytes:
        """The token the fee is taken in."""
        return input_mint if self._fee_on_input(self.is_a(input_mint)) else self.other_mint(input_mint)

    @property
    def fee_moves(self) -> bool:
        """A dynamic one decays."""
        return self.dynamic is not None

    def fee_ppm(self, clock: ChainClock) -> int:
        """The fee rate in millionths; a dynamic one at the volatility the next swap begins with."""
        if self.dynamic is None:
            return self.fee_rate
        group = self.tick // self.tick_spacing
        fee = refreshed(self.dynamic, group, clock.unix_timestamp)
        return total_rate(self.fee_rate, fee, volatility_at(fee, group), self.tick_spacing)

    def swap_instruction(
        self, user: Pubkey, input_mint: bytes, amount_in: int, minimum_out: int
    ) -> Instruction:
        """See ``build_swap``."""
        return build_swap(self, user, input_mint, amount_in, minimum_out)

    def swap_names(self, input_mint: bytes) -> object:
        """The tick arrays ahead, foremost."""
        ahead = self.down if self.is_a(input_mint) else self.up
        return self.extension, self.config, self.observation, tuple(ahead)

    def names_rest_on(self) -> tuple[bytes, ...]:
        """Where the price is, and which arrays there are."""
        return self.key, extension_address(self.key)

    def store(self, accounts: Mapping[bytes, Account]) -> dict[bytes, bytes]:
        """Pool account (curve, fees owed, dynamic fee), and tick arrays whose limit orders were served."""
        data = bytearray(spl.find_account(accounts, self.key, "pool").data)
        liquidity, sqrt_price = self.liquidity.to_bytes(16, "little"), self.sqrt_price.to_bytes(16, "little")
        POOL_CURVE.pack_into(data, POOL_CURVE_AT, self.tick_spacing, liquidity, sqrt_price, self.tick)
        TWO_AMOUNTS.pack_into(data, POOL_PROTOCOL_FEES_AT, *self.protocol_fees)
        TWO_AMOUNTS.pack_into(data, POOL_FUND_FEES_AT, *self.fund_fees)
        if self.dynamic is not None:
            DYNAMIC_FEE.pack_into(data, DYNAMIC_FEE_AT, *self.dynamic)
        stored = {self.key: bytes(data)}
        for start, array in self.arrays.items():
            if array is None:
                continue
            served = {
                tick: self.orders[tick] for tick, old in array.orders.items() if self.orders[tick] != old
            }
            if served:
                patched = bytearray(array.data)
                for tick, orders in served.items():
                    at = 44 + TICK_SIZE * ((tick - start) // self.tick_spacing) + TICK_ORDERS_AT
                    TICK_ORDERS.pack_into(patched, at, *orders)
                stored[tick_array_address(self.key, start)] = bytes(patched)
        return stored


def _plus(pair: tuple[int, int], side: int, amount: int) -> tuple[int, int]:
    return (pair[0] + amount, pair[1]) if side == 0 else (pair[0], pair[1] + amount)


def decode(
    pubkey: bytes, accounts: Mapping[bytes, Account], settings: Settings = DEFAULT_SETTINGS
) -> RaydiumClmmPool:
    """The pool from its account, config, mints, bitmap extension and the tick arrays the mapping holds.

    A tick array that the bitmap names and the mapping lacks is unknown: a swap that needs it is refused.
    """
    pool = RaydiumClmmPool.blank()
    pool.key, pool.settings = pubkey, settings
    pool._read_pool(accounts)
    data = accounts[pubkey].data
    pool.config, pool.observation = data[9:41], data[201:233]
    pool._read_config(accounts)
    pool.mint_a, pool.mint_b = data[73:105], data[105:137]
    pool.vault_a, pool.vault_b = data[137:169], data[169:201]
    spl.read_programs(pool, accounts)
    pool._read_arrays(accounts, None, ())
    return pool


SPEC = VenueSpec(
    venue=Venue.RAYDIUM_CLMM,
    program=PROGRAM,
    pool_bytes=POOL_SIZE,
    pool_head=POOL_HEAD,
    recognises=recognises,
    required_accounts=required_accounts,
    decode=decode,
    parse_swap=parse_swap,
    minimum_out_error=6022,
    figures=figures,
    encode=encode,
    error_names=ERROR_NAMES,
    names_in=names_in,
)
