"""Orca Whirlpool: concentrated liquidity with fixed or adaptive fee, fixed and dynamic tick arrays.

Program whirLbMiicVdio4qvUfM5KAg6Ct8VwpYzGff3uctyCc (orca-so/whirlpools). Roundings follow the
mainnet binary of 2025-09; every vector of it and a recorded day of swaps come out to the unit.
"""

from collections.abc import Collection, Mapping
from typing import Any

from solders.instruction import Instruction
from solders.pubkey import Pubkey

from hft.venues import spl
from hft.venues.concentrated import (
    MIN_SQRT_PRICE,
    TICK_LIMIT,
    Nets,
    Path,
    SwapEnd,
    orca_sqrt_price,
    tick_fits,
    tick_of,
)
from hft.venues.concentrated import ORCA_MAX_SQRT_PRICE as MAX_SQRT_PRICE
from hft.venues.concentrated_pool import ConcentratedPool, marginal_at
from hft.venues.ladder import Ladder
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
from hft.venues.whirlpool_accounts import (
    ARRAY_TICKS,
    ORACLE_VARIABLES,
    POOL_FIELDS,
    POOL_FIELDS_AT,
    POOL_HEAD,
    POOL_SIZE,
    PROGRAM,
    TickArray,
    array_start,
    check_pool,
    encode,
    figures,
    fixed_net,
    names_in,
    oracle_address,
    parse_oracle,
    parse_tick_array,
    recognises,
    required_accounts,
    swap_arrays,
    tick_array_address,
    window,
)
from hft.venues.whirlpool_adaptive import FEE_CAP, Oracle, swap_adaptive
from hft.venues.whirlpool_instruction import ERROR_NAMES, build_swap, parse_swap


class WhirlpoolPool(ConcentratedPool):
    """A Whirlpool with the tick arrays around its price."""

    __slots__ = (
        "_down",
        "_up",
        "adaptive",
        "arrays",
        "nets",
        "oracle",
        "owed_a",
        "owed_b",
        "protocol_fee_rate",
        "reward_last_updated",
        "shares",
    )

    _worked_out = ("_down", "_up")
    _curve = POOL_FIELDS, POOL_FIELDS_AT, 5
    venue = Venue.WHIRLPOOL
    adaptive: bool
    protocol_fee_rate: int
    shares: tuple[int, int, int]
    owed_a: int
    owed_b: int
    reward_last_updated: int
    oracle: Oracle | None
    arrays: dict[int, TickArray | None]
    nets: Nets
    _down: tuple[Path, Ladder | None, int | None] | None
    _up: tuple[Path, Ladder | None, int | None] | None

    def _read_head(self, pubkey: bytes, account: Account) -> None:
        """Take over the pool account's swap fields."""
        check_pool(pubkey, account)
        data = account.data
        (
            self.tick_spacing,
            seed,
            self.fee_rate,
            self.protocol_fee_rate,
            liquidity,
            sqrt_price,
            self.tick,
            self.owed_a,
            self.owed_b,
        ) = POOL_FIELDS.unpack_from(data, POOL_FIELDS_AT)
        self.liquidity = int.from_bytes(liquidity, "little")
        self.sqrt_price = int.from_bytes(sqrt_price, "little")
        self.reward_last_updated = int.from_bytes(data[261:269], "little")
        self.adaptive = seed != self.tick_spacing
        self.shares = (self.protocol_fee_rate, 0, 10_000)
        if self.tick_spacing == 0 or self.fee_rate > FEE_CAP:
            raise PoolError(
                PoolErrorCode.BAD_VALUE,
                f"pool {Pubkey(pubkey)}: tick spacing {self.tick_spacing}, fee rate {self.fee_rate}",
            )
        in_range = MIN_SQRT_PRICE <= self.sqrt_price <= MAX_SQRT_PRICE
        if not in_range or not tick_fits(self.tick, self.sqrt_price, orca_sqrt_price):
            raise PoolError(
                PoolErrorCode.BAD_VALUE,
                f"pool {Pubkey(pubkey)}: root price {self.sqrt_price} does not fit tick {self.tick}",
            )

    def _read_oracle(self, accounts: Mapping[bytes, Account]) -> None:
        """Take over the oracle; an adaptive pool whose oracle doesn't exist has a fixed fee."""
        self.oracle = None
        if self.adaptive:
            pubkey = oracle_address(self.key)
            if pubkey not in accounts:
                raise PoolError(
                    PoolErrorCode.ACCOUNT_MISSING,
                    f"oracle {Pubkey(pubkey)} of pool {Pubkey(self.key)} is not among the accounts",
                )
            if spl.exists(accounts[pubkey]):
                self.oracle = parse_oracle(self.key, pubkey, accounts[pubkey])

    def _read_array(self, start: int, accounts: Mapping[bytes, Account]) -> TickArray | None:
        pubkey = tick_array_address(self.key, start)
        account = accounts.get(pubkey)
        return (
            None if account is None else parse_tick_array(self.key, pubkey, start, self.tick_spacing, account)
        )

    def _join(self) -> None:
        """Merge the arrays' ticks."""
        ticks: list[int] = []
        values: list[int | None] = []
        data: dict[int, bytes] = {}
        for start, array in self.arrays.items():
            if array is not None:
                ticks += array.ticks
                values += array.nets
                data[start] = array.data
        self.nets = Nets(ticks, values, data, self.tick_spacing, ARRAY_TICKS, fixed_net)
        if not ticks and self.liquidity == 0:
            raise PoolError(
                PoolErrorCode.ZERO_LIQUIDITY, f"pool {Pubkey(self.key)} has no liquidity near its price"
            )

    def _end(self, a_to_b: bool) -> tuple[int, int | None]:
        """(the tick up to which a swap may go, start of the first array it would need that is unknown)."""
        spacing = self.tick_spacing
        here = a_to_b, array_start(self.tick if a_to_b else self.tick + spacing, spacing)
        end = self.nets.ends.get(here)
        if end is not None:
            return end
        bound = missing = None
        for start in swap_arrays(self.tick, spacing, a_to_b):
            if self.arrays.get(start) is None:
                missing = start
                break
            bound = max(start, -TICK_LIMIT) if a_to_b else min(start + ARRAY_TICKS * spacing - 1, TICK_LIMIT)
        if bound is None:
            return self.tick, missing
        end = self.nets.ends[here] = bound, missing
        return end

    def _reach(self, a_to_b: bool) -> tuple[Path, Ladder | None, int | None]:
        """(the way a swap may go, its stretches unless the fee adapts, start of the first array that it would
        need but that is unknown).
        """
        bound, missing = self._end(a_to_b)
        limit = MIN_SQRT_PRICE if a_to_b else MAX_SQRT_PRICE
        path = Path(self.nets.ticks, self.nets, bound, limit, orca_sqrt_price)
        ladder = None
        if self.oracle is None:
            here = (self.sqrt_price, self.tick, self.liquidity)
            ladder = Ladder(a_to_b, path, here, self.fee_rate, self.shares)
        reach = path, ladder, missing
        if a_to_b:
            self._down = reach
        else:
            self._up = reach
        return reach

    def changed(self, accounts: Mapping[bytes, Account], changed: Collection[bytes]) -> "WhirlpoolPool":
        """See ``decode_changed``: parses the pool account and the tick arrays among ``changed`` only."""
        new = self.copy()
        if self.mint_a in changed or self.mint_b in changed:
            spl.read_programs(new, accounts)
        if self.key in changed:
            new._read_head(self.key, spl.find_account(accounts, self.key, "pool"))
        if self.adaptive and oracle_address(self.key) in changed:
            new._read_oracle(accounts)
        old = self.arrays
        moved = array_start(new.tick, new.tick_spacing) != array_start(self.tick, self.tick_spacing)
        if not moved and self.key in changed and len(changed) == 1:
            return new
        starts = window(new.tick, new.tick_spacing) if moved else list(old)
        arrays: dict[int, TickArray | None] = {}
        for start in starts:
            array = old.get(start)
            if array is None or tick_array_address(self.key, start) in changed:
                array = new._read_array(start, accounts)
            arrays[start] = array
        if moved or any(arrays[start] is not old[start] for start in starts):
            new.arrays = arrays
            new._join()
        return new

    def _check_clock(self, now: int) -> None:
        if now < self.reward_last_updated:
            raise QuoteError(
                QuoteErrorCode.CLOCK_BEHIND,
                f"time {now} lies before the pool's last update {self.reward_last_updated}",
            )

    def _swap(self, a_to_b: bool, amount: int, exact_in: bool, now: int) -> tuple[SwapEnd, Oracle | None]:
        if not 0 < amount <= U64_MAX:
            check_amount(amount)
        if now < self.reward_last_updated:
            self._check_clock(now)
        path, ladder, missing = (self._down if a_to_b else self._up) or self._reach(a_to_b)
        oracle = self.oracle
        try:
            if ladder is not None:
                return ladder.exact_in(amount) if exact_in else ladder.exact_out(amount), None
            assert oracle is not None
            start = (self.sqrt_price, self.tick, self.liquidity)
            rates = (self.fee_rate, self.protocol_fee_rate)
            return swap_adaptive(a_to_b, amount, exact_in, start, *rates, oracle, path, now)
        except QuoteError as error:
            if missing is not None and error.code is QuoteErrorCode.ARRAYS_EXHAUSTED:
                raise QuoteError(
                    QuoteErrorCode.ARRAY_MISSING,
                    f"the swap goes on from tick {path.bound} into tick array {missing}: not at hand",
                    error.filled,
                ) from None
            raise

    def quote(self, input_mint: bytes, amount_in: int, clock: ChainClock) -> Quote:
        """Exact-in swap over at most three tick arrays. Raises QuoteError."""
        a_to_b = input_mint == self.mint_a or self.is_a(input_mint)
        now = clock.unix_timestamp
        end, oracle = self._swap(a_to_b, amount_in, True, now)
        return Quote(self, (a_to_b, now, end, oracle), amount_in, end[0], end[1], end[2], end[5])

    def quote_exact_out(self, output_mint: bytes, amount_out: int, clock: ChainClock) -> Quote:
        """Exact-out swap; ``amount_in`` is what the user pays. Raises QuoteError."""
        a_to_b = not self.is_a(output_mint)
        now = clock.unix_timestamp
        end, oracle = self._swap(a_to_b, amount_out, False, now)
        if end.amount_out < amount_out:
            raise QuoteError(
                QuoteErrorCode.INSUFFICIENT_LIQUIDITY, f"the pool can pay {end.amount_out}, not {amount_out}"
            )
        return Quote(
            self,
            (a_to_b, now, end, oracle),
            end.amount_used,
            end.amount_used,
            amount_out,
            end.fee,
            end.crossings,
        )

    def after(self, state: tuple[Any, ...]) -> "WhirlpoolPool":
        """The pool as the quoted swap leaves it."""
        a_to_b, now, end, oracle = state
        new = self.copy()
        new.sqrt_price, new.liquidity, new.oracle = end.price, end.liquidity, oracle
        new.tick = tick_of(end.price, orca_sqrt_price) if end.tick is None else end.tick
        if a_to_b:
            new.owed_a = (new.owed_a + end.owed_1) & U64_MAX
        else:
            new.owed_b = (new.owed_b + end.owed_1) & U64_MAX
        new.reward_last_updated = now
        return new

    def marginal(self, state: tuple[Any, ...]) -> float:
        """Output per further unit of input after the swap, fee taken off; floats, for sizing only."""
        a_to_b, _, end, oracle = state
        rate = self.fee_rate if oracle is None else oracle.fee_rate(self.fee_rate, oracle.volatility)
        return marginal_at(a_to_b, end[6], rate)

    @property
    def fee_moves(self) -> bool:
        """It decays where it adapts."""
        return self.oracle is not None

    def fee_ppm(self, clock: ChainClock) -> int:
        """The fee rate in millionths; adaptive pools at the volatility the next swap would begin with."""
        oracle = self.oracle
        if oracle is None:
            return self.fee_rate
        group = self.tick // oracle.group_size
        oracle = oracle.refreshed(group, clock.unix_timestamp)
        return oracle.fee_rate(self.fee_rate, oracle.volatility_at(group))

    def swap_instruction(
        self, user: Pubkey, input_mint: bytes, amount_in: int, minimum_out: int
    ) -> Instruction:
        """See ``build_swap``."""
        return build_swap(self, user, input_mint, amount_in, minimum_out)

    def swap_names(self, input_mint: bytes) -> object:
        """The tick array it starts in, foremost."""
        tick = self.tick if self.is_a(input_mint) else self.tick + self.tick_spacing
        return self.oracle is None, array_start(tick, self.tick_spacing)

    def names_rest_on(self) -> tuple[bytes, ...]:
        """The tick's account, and the oracle's, which may come to be."""
        return (self.key, oracle_address(self.key)) if self.adaptive else (self.key,)

    def store(self, accounts: Mapping[bytes, Account]) -> dict[bytes, bytes]:
        """Pool account (price, tick, liquidity, protocol fees, last update) and oracle, patched."""
        data = bytearray(spl.find_account(accounts, self.key, "pool").data)
        data[49:65] = self.liquidity.to_bytes(16, "little")
        data[65:81] = self.sqrt_price.to_bytes(16, "little")
        data[81:85] = self.tick.to_bytes(4, "little", signed=True)
        data[85:93] = self.owed_a.to_bytes(8, "little")
        data[93:101] = self.owed_b.to_bytes(8, "little")
        data[261:269] = self.reward_last_updated.to_bytes(8, "little")
        stored = {self.key: bytes(data)}
        if self.oracle is not None:
            pubkey = oracle_address(self.key)
            oracle = bytearray(spl.find_account(accounts, pubkey, "oracle").data)
            ORACLE_VARIABLES.pack_into(oracle, 82, *self.oracle[8:])
            stored[pubkey] = bytes(oracle)
        return stored


def decode(
    pubkey: bytes, accounts: Mapping[bytes, Account], settings: Settings = DEFAULT_SETTINGS
) -> WhirlpoolPool:
    """The pool from its account, mints, oracle (adaptive pools) and the tick arrays that the mapping holds.

    A tick array that is not in the mapping is unknown: a swap that needs it is refused (ARRAY_MISSING).
    """
    account = spl.find_account(accounts, pubkey, "pool")
    pool = WhirlpoolPool.blank()
    pool.key, pool.settings = pubkey, settings
    pool._read_head(pubkey, account)
    data = account.data
    pool.mint_a, pool.vault_a = data[101:133], data[133:165]
    pool.mint_b, pool.vault_b = data[181:213], data[213:245]
    spl.read_programs(pool, accounts)
    pool._read_oracle(accounts)
    pool.arrays = {start: pool._read_array(start, accounts) for start in window(pool.tick, pool.tick_spacing)}
    pool._join()
    return pool


SPEC = VenueSpec(
    venue=Venue.WHIRLPOOL,
    program=PROGRAM,
    pool_bytes=POOL_SIZE,
    pool_head=POOL_HEAD,
    recognises=recognises,
    required_accounts=required_accounts,
    decode=decode,
    parse_swap=parse_swap,
    minimum_out_error=6036,
    figures=figures,
    encode=encode,
    error_names=ERROR_NAMES,
    names_in=names_in,
)
