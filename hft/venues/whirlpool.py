"""Orca Whirlpool: concentrated liquidity with fixed or adaptive fee, fixed and dynamic tick arrays.

Program whirLbMiicVdio4qvUfM5KAg6Ct8VwpYzGff3uctyCc (orca-so/whirlpools). Layouts, roundings and the adaptive-fee
rules follow the mainnet binary of 2025-09; every vector of it and a recorded day of swaps come out to the unit.
"""

from collections.abc import Collection, Mapping, Sequence
from itertools import compress
from struct import Struct
from typing import Any, NamedTuple

from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

from hft.venues import spl
from hft.venues.concentrated import (
    MILLION,
    MIN_SQRT_PRICE,
    TICK_LIMIT,
    SwapEnd,
    exhausted,
    orca_sqrt_price,
    swap_exact_in,
    swap_exact_out,
    tick_of,
)
from hft.venues.concentrated import ORCA_MAX_SQRT_PRICE as MAX_SQRT_PRICE
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
    ScreenForm,
    Settings,
    SwapCall,
    Venue,
    VenueSpec,
    check_amount,
)
from hft.venues.whirlpool_adaptive import FEE_CAP, Oracle, swap_adaptive

PROGRAM = spl.key("whirLbMiicVdio4qvUfM5KAg6Ct8VwpYzGff3uctyCc")
POOL_SIZE = 653
ORACLE_SIZE = 254
FIXED_ARRAY_SIZE = 9988
ARRAY_TICKS = 88
SWAP_ARRAYS = 3  # a swap instruction names three tick arrays
WINDOW = 3  # arrays kept on either side of the price's

_POOL = bytes.fromhex("3f95d10ce1806309")
_FIXED_ARRAY = bytes.fromhex("4561bdbe6e0742bb")
_DYNAMIC_ARRAY = bytes.fromhex("11d8f68ee1c7da38")
_ORACLE = bytes.fromhex("8bc283b38cb3e5f4")
_SWAP = bytes.fromhex("f8c69e91e17587c8")
_SWAP_V2 = bytes.fromhex("2b04ed0b1ac91e62")

# tick_spacing, fee_tier_index_seed, fee_rate, protocol_fee_rate, liquidity, sqrt_price, tick, owed a, owed b
_HEAD = Struct("<HHHH16s16siQQ")
_HEAD_AT = 41
# trade_enable, filter, decay, reduction, control, max volatility, group size, major-swap ticks
_ORACLE_CONSTANTS = Struct("<QHHHIIHH")
# last reference update, last major swap, volatility reference, group reference, volatility accumulator
_ORACLE_VARIABLES = Struct("<QQIiI")
_SWAP_ARGS = Struct("<QQ16s??")


class TickArray(NamedTuple):
    """Initialised ticks of one array, rising, with their net liquidity."""

    ticks: tuple[int, ...]
    nets: tuple[int, ...]


_EMPTY_ARRAY = TickArray((), ())


def array_start(tick: int, tick_spacing: int) -> int:
    """First tick of the array that holds ``tick``."""
    span = ARRAY_TICKS * tick_spacing
    return tick // span * span


def tick_array_address(pool: bytes, start: int) -> bytes:
    """Address of a pool's tick array."""
    return spl.find_address(PROGRAM, b"tick_array", pool, str(start).encode())


def oracle_address(pool: bytes) -> bytes:
    """Address of a pool's oracle."""
    return spl.find_address(PROGRAM, b"oracle", pool)


def _in_range(start: int, span: int) -> bool:
    return start + span > -TICK_LIMIT and start <= TICK_LIMIT


def swap_arrays(tick: int, tick_spacing: int, a_to_b: bool) -> list[int]:
    """Starts of the (at most three) tick arrays a swap from ``tick`` may use, in order."""
    span = ARRAY_TICKS * tick_spacing
    start = array_start(tick if a_to_b else tick + tick_spacing, tick_spacing)
    step = -span if a_to_b else span
    return [s for s in (start, start + step, start + 2 * step) if _in_range(s, span)]


def _window(tick: int, tick_spacing: int) -> list[int]:
    span = ARRAY_TICKS * tick_spacing
    start = array_start(tick, tick_spacing)
    return [s for s in range(start - WINDOW * span, start + WINDOW * span + 1, span) if _in_range(s, span)]


def parse_tick_array(
    pool: bytes, pubkey: bytes, start: int, tick_spacing: int, account: Account
) -> TickArray:
    """The initialised ticks of a fixed or dynamic tick array; an account that doesn't exist is an empty array."""
    data = account.data
    if not data and account.lamports == 0:
        return _EMPTY_ARRAY
    if account.owner != PROGRAM:
        raise PoolError(
            PoolErrorCode.WRONG_OWNER,
            f"tick array {Pubkey(pubkey)} is owned by {Pubkey(account.owner)}, not Whirlpool",
        )
    head = data[:8]
    if head == _FIXED_ARRAY:
        if len(data) != FIXED_ARRAY_SIZE:
            raise PoolError(
                PoolErrorCode.WRONG_SIZE,
                f"tick array {Pubkey(pubkey)} has {len(data)} bytes, wants {FIXED_ARRAY_SIZE}",
            )
        owner_pool = data[9956:9988]
        offsets = [12 + 113 * i for i in compress(range(ARRAY_TICKS), data[12:9956:113])]
        ticks = tuple([start + (at - 12) // 113 * tick_spacing for at in offsets])
    elif head == _DYNAMIC_ARRAY:
        owner_pool = data[12:44]
        offsets, ticks = _dynamic_ticks(pubkey, start, tick_spacing, data)
    else:
        raise PoolError(
            PoolErrorCode.WRONG_DISCRIMINATOR,
            f"{Pubkey(pubkey)} starts with {head.hex()}, not a Whirlpool tick array",
        )
    if owner_pool != pool:
        raise PoolError(
            PoolErrorCode.POOL_MISMATCH,
            f"tick array {Pubkey(pubkey)} belongs to pool {Pubkey(owner_pool)}, not to {Pubkey(pool)}",
        )
    found = int.from_bytes(data[8:12], "little", signed=True)
    if found != start:
        raise PoolError(
            PoolErrorCode.BAD_VALUE,
            f"tick array {Pubkey(pubkey)} starts at {found}, its address says {start}",
        )
    from_bytes = int.from_bytes
    return TickArray(
        ticks, tuple([from_bytes(data[at + 1 : at + 17], "little", signed=True) for at in offsets])
    )


def _dynamic_ticks(
    pubkey: bytes, start: int, tick_spacing: int, data: bytes
) -> tuple[list[int], tuple[int, ...]]:
    """Offsets of the initialised entries of a dynamic tick array and their ticks."""
    at, offsets, ticks = 60, [], []
    for i in range(ARRAY_TICKS):
        if at >= len(data) or data[at] > 1 or (data[at] == 1 and at + 113 > len(data)):
            raise PoolError(
                PoolErrorCode.WRONG_SIZE,
                f"dynamic tick array {Pubkey(pubkey)} of {len(data)} bytes ends at tick {i}",
            )
        if data[at]:
            offsets.append(at)
            ticks.append(start + i * tick_spacing)
            at += 113
        else:
            at += 1
    return offsets, tuple(ticks)


def parse_oracle(pool: bytes, pubkey: bytes, account: Account) -> Oracle:
    """The adaptive-fee oracle of ``pool``. Raises PoolError."""
    data = account.data
    if account.owner != PROGRAM:
        raise PoolError(
            PoolErrorCode.WRONG_OWNER,
            f"oracle {Pubkey(pubkey)} is owned by {Pubkey(account.owner)}, not Whirlpool",
        )
    if len(data) < ORACLE_SIZE:
        raise PoolError(
            PoolErrorCode.WRONG_SIZE, f"oracle {Pubkey(pubkey)} has {len(data)} bytes, wants {ORACLE_SIZE}"
        )
    if data[:8] != _ORACLE:
        raise PoolError(
            PoolErrorCode.WRONG_DISCRIMINATOR,
            f"oracle {Pubkey(pubkey)} starts with {data[:8].hex()}, wants {_ORACLE.hex()}",
        )
    if data[8:40] != pool:
        raise PoolError(PoolErrorCode.POOL_MISMATCH, f"oracle {Pubkey(pubkey)} is not of pool {Pubkey(pool)}")
    oracle = Oracle(*_ORACLE_CONSTANTS.unpack_from(data, 40), *_ORACLE_VARIABLES.unpack_from(data, 82))
    if oracle.group_size == 0:
        raise PoolError(PoolErrorCode.BAD_VALUE, f"oracle {Pubkey(pubkey)} has tick group size 0")
    return oracle


def recognises(account: Account) -> bool:
    """True for a Whirlpool account (owner already compared)."""
    return len(account.data) == POOL_SIZE and account.data[:8] == _POOL


def required_accounts(pubkey: bytes, account: Account) -> tuple[bytes, ...]:
    """Both mints, the oracle (adaptive pools only) and seven tick arrays around the price."""
    _check_pool(pubkey, account)
    data = account.data
    tick_spacing, seed, _, _, _, _, tick, _, _ = _HEAD.unpack_from(data, _HEAD_AT)
    keys = [data[101:133], data[181:213]]
    if seed != tick_spacing:
        keys.append(oracle_address(pubkey))
    keys.extend(tick_array_address(pubkey, start) for start in _window(tick, tick_spacing))
    return tuple(keys)


def _check_pool(pubkey: bytes, account: Account) -> None:
    data = account.data
    if account.owner != PROGRAM:
        raise PoolError(
            PoolErrorCode.WRONG_OWNER,
            f"pool {Pubkey(pubkey)} is owned by {Pubkey(account.owner)}, not {Pubkey(PROGRAM)}",
        )
    if len(data) != POOL_SIZE:
        raise PoolError(
            PoolErrorCode.WRONG_SIZE, f"pool {Pubkey(pubkey)} has {len(data)} bytes, wants {POOL_SIZE}"
        )
    if data[:8] != _POOL:
        raise PoolError(
            PoolErrorCode.WRONG_DISCRIMINATOR,
            f"pool {Pubkey(pubkey)} starts with {data[:8].hex()}, wants {_POOL.hex()}",
        )


class WhirlpoolPool(Pool):
    """A Whirlpool with the tick arrays around its price."""

    __slots__ = (
        "arrays",
        "down",
        "fee_rate",
        "liquidity",
        "nets",
        "oracle",
        "owed_a",
        "owed_b",
        "protocol_fee_rate",
        "reward_last_updated",
        "shares",
        "sqrt_price",
        "tick",
        "tick_spacing",
        "ticks",
        "up",
    )

    venue = Venue.WHIRLPOOL
    arrays: dict[int, TickArray | None]
    ticks: Sequence[int]
    nets: Sequence[int]

    def _read_head(self, pubkey: bytes, account: Account) -> None:
        """Take over the pool account's swap fields."""
        _check_pool(pubkey, account)
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
        ) = _HEAD.unpack_from(data, _HEAD_AT)
        self.liquidity = int.from_bytes(liquidity, "little")
        self.sqrt_price = int.from_bytes(sqrt_price, "little")
        self.reward_last_updated = int.from_bytes(data[261:269], "little")
        self.shares = (self.protocol_fee_rate, 0, 10_000)
        if self.tick_spacing == 0 or self.fee_rate > FEE_CAP:
            raise PoolError(
                PoolErrorCode.BAD_VALUE,
                f"pool {Pubkey(pubkey)}: tick spacing {self.tick_spacing}, fee rate {self.fee_rate} millionths",
            )
        if not MIN_SQRT_PRICE <= self.sqrt_price <= MAX_SQRT_PRICE or abs(self.tick) > TICK_LIMIT + 1:
            raise PoolError(
                PoolErrorCode.BAD_VALUE,
                f"pool {Pubkey(pubkey)}: root price {self.sqrt_price} or tick {self.tick} is out of range",
            )

    def _read_array(self, start: int, accounts: Mapping[bytes, Account]) -> TickArray | None:
        pubkey = tick_array_address(self.key, start)
        account = accounts.get(pubkey)
        return (
            None if account is None else parse_tick_array(self.key, pubkey, start, self.tick_spacing, account)
        )

    def _join(self) -> None:
        """Merge the arrays' ticks and work out how far a swap may go in either direction."""
        ticks: list[int] = []
        nets: list[int] = []
        for array in self.arrays.values():
            if array is not None:
                ticks += array.ticks
                nets += array.nets
        self.ticks, self.nets = ticks, nets
        if not ticks and self.liquidity == 0:
            raise PoolError(
                PoolErrorCode.ZERO_LIQUIDITY, f"pool {Pubkey(self.key)} has no liquidity near its price"
            )
        self._set_bounds()

    def _set_bounds(self) -> None:
        self.down = self._bound(True)
        self.up = self._bound(False)

    def _bound(self, a_to_b: bool) -> tuple[int, int | None]:
        """(farthest tick a swap may reach, start of the first array that would be needed but is unknown)."""
        span = ARRAY_TICKS * self.tick_spacing
        starts = swap_arrays(self.tick, self.tick_spacing, a_to_b)
        bound = self.tick
        for start in starts:
            if self.arrays.get(start) is None:
                return bound, start
            bound = max(start, -TICK_LIMIT) if a_to_b else min(start + span - 1, TICK_LIMIT)
        return bound, None

    def changed(self, accounts: Mapping[bytes, Account], changed: Collection[bytes]) -> "WhirlpoolPool":
        """See ``decode_changed``: parses the pool account and the tick arrays among ``changed`` only."""
        new = _copy(self)
        if self.mint_a in changed or self.mint_b in changed:
            new.program_a = spl.mint_program(accounts, self.mint_a)
            new.program_b = spl.mint_program(accounts, self.mint_b)
        if self.key in changed:
            new._read_head(self.key, spl.find_account(accounts, self.key, "pool"))
        if self.oracle is not None:
            pubkey = oracle_address(self.key)
            if pubkey in changed:
                new.oracle = parse_oracle(self.key, pubkey, spl.find_account(accounts, pubkey, "oracle"))
        arrays: dict[int, TickArray | None] = {}
        same = True
        for start in _window(new.tick, new.tick_spacing):
            old = self.arrays.get(start)
            if old is not None and tick_array_address(self.key, start) not in changed:
                arrays[start] = old
            else:
                arrays[start] = new._read_array(start, accounts)
            same = same and start in self.arrays and arrays[start] is old
        if same and len(arrays) == len(self.arrays):
            new._set_bounds()
        else:
            new.arrays = arrays
            new._join()
        return new

    def _refuse_if_unknown(self, a_to_b: bool, bound: int, missing: int | None) -> None:
        if missing is not None:
            raise QuoteError(
                QuoteErrorCode.ARRAY_MISSING,
                f"the swap goes on beyond tick {bound} into tick array {missing}, which is not among the accounts",
            )
        raise exhausted(bound)

    def _check_clock(self, now: int) -> None:
        if now < self.reward_last_updated:
            raise QuoteError(
                QuoteErrorCode.CLOCK_BEHIND,
                f"time {now} lies before the pool's last update {self.reward_last_updated}",
            )

    def _swap(self, a_to_b: bool, amount: int, exact_in: bool, now: int) -> tuple[SwapEnd, Oracle | None]:
        check_amount(amount)
        self._check_clock(now)
        bound, missing = self.down if a_to_b else self.up
        limit = MIN_SQRT_PRICE if a_to_b else MAX_SQRT_PRICE
        oracle = self.oracle
        try:
            if oracle is None:
                swap = swap_exact_in if exact_in else swap_exact_out
                end = swap(
                    a_to_b,
                    amount,
                    self.sqrt_price,
                    self.tick,
                    self.liquidity,
                    self.fee_rate,
                    self.shares,
                    self.ticks,
                    self.nets,
                    bound,
                    limit,
                    orca_sqrt_price,
                )
            else:
                end, oracle = swap_adaptive(
                    a_to_b,
                    amount,
                    exact_in,
                    (self.sqrt_price, self.tick, self.liquidity),
                    self.fee_rate,
                    self.protocol_fee_rate,
                    oracle,
                    self.ticks,
                    self.nets,
                    bound,
                    limit,
                    now,
                )
        except QuoteError as error:
            if missing is not None and error.code is QuoteErrorCode.ARRAYS_EXHAUSTED:
                self._refuse_if_unknown(a_to_b, bound, missing)
            raise
        return end, oracle

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
        new = _copy(self)
        new.sqrt_price, new.liquidity, new.oracle = end.price, end.liquidity, oracle
        new.tick = tick_of(end.price, orca_sqrt_price) if end.tick is None else end.tick
        if a_to_b:
            new.owed_a = (new.owed_a + end.owed_1) & U64_MAX
        else:
            new.owed_b = (new.owed_b + end.owed_1) & U64_MAX
        new.reward_last_updated = now
        new._set_bounds()
        return new

    def spot_price(self, input_mint: bytes) -> float:
        """Output base units per input base unit before fees; for screening only."""
        price = (self.sqrt_price / (1 << 64)) ** 2
        return price if self.is_a(input_mint) else 1 / price

    def fee_ppm(self, clock: ChainClock) -> int:
        """The fee rate in millionths; adaptive pools at the volatility the next swap would begin with."""
        oracle = self.oracle
        if oracle is None:
            return int(self.fee_rate)
        group = self.tick // oracle.group_size
        oracle = oracle.refreshed(group, clock.unix_timestamp)
        return oracle.fee_rate(self.fee_rate, oracle.volatility_at(group))

    def screen_form(self, clock: ChainClock) -> ScreenForm:
        """Marginal rates and virtual reserves."""
        root = self.sqrt_price / (1 << 64)
        keep = 1 - self.fee_ppm(clock) / MILLION
        return ScreenForm(
            root * root * keep, keep / (root * root), self.liquidity / root, self.liquidity * root
        )

    def swap_instruction(
        self, user: Pubkey, input_mint: bytes, amount_in: int, minimum_out: int
    ) -> Instruction:
        """``swap``, or ``swap_v2`` where a mint is of Token-2022; user accounts are the associated ones."""
        a_to_b = self.is_a(input_mint)
        limit = MIN_SQRT_PRICE if a_to_b else MAX_SQRT_PRICE
        args = _SWAP_ARGS.pack(amount_in, minimum_out, limit.to_bytes(16, "little"), True, a_to_b)
        owner = bytes(user)
        user_a = spl.associated_token_address(owner, self.mint_a, self.program_a)
        user_b = spl.associated_token_address(owner, self.mint_b, self.program_b)
        arrays = [tick_array_address(self.key, s) for s in swap_arrays(self.tick, self.tick_spacing, a_to_b)]
        arrays += [arrays[-1]] * (SWAP_ARRAYS - len(arrays))
        oracle = _meta(oracle_address(self.key), writable=self.oracle is not None)
        signer = AccountMeta(user, True, False)
        if self.program_a == self.program_b == spl.TOKEN_PROGRAM:
            keys = [_meta(spl.TOKEN_PROGRAM), signer]
            keys += [
                _meta(k, writable=True)
                for k in (self.key, user_a, self.vault_a, user_b, self.vault_b, *arrays)
            ]
            return Instruction(Pubkey(PROGRAM), _SWAP + args, [*keys, oracle])
        keys = [_meta(self.program_a), _meta(self.program_b), _meta(spl.MEMO_PROGRAM), signer]
        keys += [_meta(self.key, writable=True), _meta(self.mint_a), _meta(self.mint_b)]
        keys += [_meta(k, writable=True) for k in (user_a, self.vault_a, user_b, self.vault_b, *arrays)]
        return Instruction(Pubkey(PROGRAM), _SWAP_V2 + args + b"\0", [*keys, oracle])

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
            _ORACLE_VARIABLES.pack_into(oracle, 82, *self.oracle[8:])
            stored[pubkey] = bytes(oracle)
        return stored


_COPIED = tuple(name for name in (*Pool.__slots__, *WhirlpoolPool.__slots__))


def _copy(pool: WhirlpoolPool) -> WhirlpoolPool:
    new = object.__new__(WhirlpoolPool)
    for name in _COPIED:
        setattr(new, name, getattr(pool, name))
    return new


def _meta(pubkey: bytes, *, writable: bool = False) -> AccountMeta:
    return AccountMeta(Pubkey(pubkey), False, writable)


def decode(
    pubkey: bytes, accounts: Mapping[bytes, Account], settings: Settings = DEFAULT_SETTINGS
) -> WhirlpoolPool:
    """The pool from its account, mints, oracle (adaptive pools) and the tick arrays that the mapping holds.

    A tick array that is not in the mapping is unknown: a swap that needs it is refused (ARRAY_MISSING).
    """
    account = spl.find_account(accounts, pubkey, "pool")
    pool = object.__new__(WhirlpoolPool)
    pool.key, pool.settings = pubkey, settings
    pool._read_head(pubkey, account)
    data = account.data
    pool.mint_a, pool.vault_a = data[101:133], data[133:165]
    pool.mint_b, pool.vault_b = data[181:213], data[213:245]
    pool.program_a = spl.mint_program(accounts, pool.mint_a)
    pool.program_b = spl.mint_program(accounts, pool.mint_b)
    pool.oracle = None
    seed = int.from_bytes(data[43:45], "little")
    if seed != pool.tick_spacing:
        oracle = oracle_address(pubkey)
        if oracle not in accounts:
            raise PoolError(
                PoolErrorCode.ACCOUNT_MISSING,
                f"oracle {Pubkey(oracle)} of pool {Pubkey(pubkey)} is not among the accounts",
            )
        if spl.exists(accounts[oracle]):
            pool.oracle = parse_oracle(pubkey, oracle, accounts[oracle])
    pool.arrays = {
        start: pool._read_array(start, accounts) for start in _window(pool.tick, pool.tick_spacing)
    }
    pool._join()
    return pool


def parse_swap(keys: Sequence[bytes], data: bytes) -> SwapCall | None:
    """A ``swap`` or ``swap_v2`` instruction, exact in; None for anything else (two-hop and exact-out included)."""
    head = data[:8]
    if len(data) < 8 + _SWAP_ARGS.size:
        return None
    amount, threshold, _, exact_in, a_to_b = _SWAP_ARGS.unpack_from(data, 8)
    if not exact_in:
        return None
    if head == _SWAP and len(keys) >= 11:
        user, pool = keys[1], keys[2]
        user_a, vault_a, user_b, vault_b = keys[3:7]
    elif head == _SWAP_V2 and len(keys) >= 15:
        user, pool = keys[3], keys[4]
        user_a, vault_a, user_b, vault_b = keys[7:11]
    else:
        return None
    user_in, user_out = (user_a, user_b) if a_to_b else (user_b, user_a)
    return SwapCall(
        Venue.WHIRLPOOL, pool, a_to_b, amount, threshold, user, user_in, user_out, vault_a, vault_b, pool
    )


ERROR_NAMES = {
    6022: "InvalidTimestamp",
    6034: "ZeroTradableAmount",
    6036: "AmountOutBelowMinimum",
    6038: "TickArraySequenceInvalidIndex",
}

SPEC = VenueSpec(
    venue=Venue.WHIRLPOOL,
    program=PROGRAM,
    recognises=recognises,
    required_accounts=required_accounts,
    decode=decode,
    parse_swap=parse_swap,
    minimum_out_error=6036,
    error_names=ERROR_NAMES,
)
