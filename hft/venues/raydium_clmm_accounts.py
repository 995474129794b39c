"""Raydium CLMM's accounts: pool, config, tick arrays and bitmaps, read from bytes and written back.

Offsets count from the start of the account data. Source: IDL ``amm_v3`` (raydium-io/raydium-clmm).
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from struct import Struct
from typing import Any, NamedTuple

from solders.pubkey import Pubkey

from hft.venues import spl
from hft.venues.concentrated import TICK_LIMIT
from hft.venues.types import Account, PoolError, PoolErrorCode

PROGRAM = spl.key("CAMMCzo5YL8w4VFF8KVHrK22GGUsp5VTaW7grrKgrWqK")
POOL_SIZE = 1544
CONFIG_SIZE = 117
ARRAY_SIZE = 10240
EXTENSION_SIZE = 1832
ARRAY_TICKS = 60
TICK_SIZE = 168
SWAP_ARRAYS = 3  # tick arrays a swap instruction names

POOL_HEAD = bytes.fromhex("f7ede3f5d7c3de46")
CONFIG_HEAD = bytes.fromhex("daf42168cbcb2b6f")
ARRAY_HEAD = bytes.fromhex("c09b55cd31f9812a")
EXTENSION_HEAD = bytes.fromhex("3c9624db61808b99")

POOL_CURVE = Struct("<H16s16si")  # tick spacing, liquidity, sqrt price, tick
POOL_CURVE_AT = 235
POOL_PROTOCOL_FEES_AT = 309
POOL_FUND_FEES_AT = 1064
TWO_AMOUNTS = Struct("<QQ")
DYNAMIC_FEE = Struct("<HHHIIiIIQ")
DYNAMIC_FEE_AT = 1096
CONFIG_RATES = Struct("<IIHI")  # protocol fee rate, trade fee rate, tick spacing, fund fee rate
CONFIG_RATES_AT = 43
TICK_ORDERS = Struct("<QQQ")  # order phase, orders amount, part-filled remaining
TICK_ORDERS_AT = 116
# up to the tick spacing; status and fee mode; bitmap
_FIXED = itemgetter(slice(237), slice(389, 391), slice(904, 1032))

_BITMAP_SPAN = 15 * 512  # array indexes −7680..7679: the pool's 1024 bits between both extensions
_EMPTY_EXTENSION = bytes(14 * 64)


class DynamicFee(NamedTuple):
    """Dynamic-fee state; periods and times in seconds, ``reduction`` in 1/10000."""

    filter_period: int
    decay_period: int
    reduction: int
    control: int
    max_volatility: int
    group_reference: int
    volatility_reference: int
    volatility: int
    last_update: int


class Orders(NamedTuple):
    """Limit orders at a tick, in the token a swap that reaches the tick receives."""

    phase: int
    amount: int
    part_filled: int

    @property
    def unfilled(self) -> int:
        """What a swap may still take."""
        return self.amount + self.part_filled


class TickArray(NamedTuple):
    """Initialised ticks of one array, rising; ``data`` holds their net liquidity, ``orders`` limit orders."""

    ticks: Sequence[int]
    orders: Mapping[int, Orders]
    data: bytes


def array_start(tick: int, tick_spacing: int) -> int:
    """First tick of the array that holds ``tick``."""
    span = ARRAY_TICKS * tick_spacing
    return tick // span * span


def names_in(data: bytes) -> object:
    """See ``VenueSpec``: the tick's array, and which arrays there are, besides what never moves."""
    span = ARRAY_TICKS * int.from_bytes(data[235:237], "little")
    tick = int.from_bytes(data[269:273], "little", signed=True)
    return (*_FIXED(data), tick // span) if span else None


@lru_cache(maxsize=65_536)
def tick_array_address(pool: bytes, start: int) -> bytes:
    """Address of a pool's tick array."""
    return spl.find_address(PROGRAM, b"tick_array", pool, start.to_bytes(4, "big", signed=True))


def extension_address(pool: bytes) -> bytes:
    """Address of a pool's bitmap extension."""
    return spl.find_address(PROGRAM, b"pool_tick_array_bitmap_extension", pool)


def recognises(account: Account) -> bool:
    """True for a PoolState account (owner already compared)."""
    return len(account.data) == POOL_SIZE and account.data.startswith(POOL_HEAD)


def check_pool(pubkey: bytes, account: Account) -> None:
    """PoolError unless this is a CLMM pool with a tick and a tick spacing that can be."""
    spl.check_account("pool", pubkey, account, PROGRAM, POOL_SIZE, POOL_HEAD)
    spacing, _, _, tick = POOL_CURVE.unpack_from(account.data, POOL_CURVE_AT)
    if spacing == 0 or abs(tick) > TICK_LIMIT + 1:
        raise PoolError(
            PoolErrorCode.BAD_VALUE, f"pool {Pubkey(pubkey)}: tick spacing {spacing}, tick {tick}"
        )


def required_accounts(pubkey: bytes, account: Account) -> tuple[bytes, ...]:
    """Config, mints, bitmap extension, and the tick arrays nearest to the price that the pool's
    bitmap names.
    """
    check_pool(pubkey, account)
    data = account.data
    tick_spacing, _, _, tick = POOL_CURVE.unpack_from(data, POOL_CURVE_AT)
    keys = [data[9:41], data[73:105], data[105:137], extension_address(pubkey)]
    down, up = swap_arrays(bitmap(data, None), tick, tick_spacing)
    return *keys, *(tick_array_address(pubkey, start) for start in sorted({*down, *up}))


def bitmap(pool_data: bytes, extension: bytes | None) -> int:
    """See ``_bits``; of a pool's and its extension's account data."""
    return _bits(pool_data[904:1032], extension)


@lru_cache(maxsize=4096)
def _bits(middle: bytes, extension: bytes | None) -> int:
    """One integer whose bit i says whether the tick array of index i − 7680 is initialised."""
    if extension is None:
        negative = positive = _EMPTY_EXTENSION
    else:
        positive, raw = extension[40:936], extension[936:1832]
        # The negative side counts blocks of 512 away from the price, bits within a block towards it.
        negative = b"".join(raw[64 * k : 64 * k + 64] for k in range(13, -1, -1))
    return int.from_bytes(negative + middle + positive, "little")


@lru_cache(maxsize=4096)
def swap_arrays(bits: int, tick: int, tick_spacing: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Starts of the initialised tick arrays a swap may use: (falling price, rising price), nearest first."""
    span = ARRAY_TICKS * tick_spacing
    here = tick // span + _BITMAP_SPAN
    down: list[int] = []
    up: list[int] = []
    low = bits & ((1 << (here + 1)) - 1)
    while low and len(down) < SWAP_ARRAYS:
        top = low.bit_length() - 1
        down.append((top - _BITMAP_SPAN) * span)
        low ^= 1 << top
    high = bits >> here
    at = here
    while high and len(up) < SWAP_ARRAYS:
        step = (high & -high).bit_length() - 1
        at += step
        up.append((at - _BITMAP_SPAN) * span)
        high >>= step + 1
        at += 1
    return tuple(down), tuple(up)


def more_arrays(bits: int, start: int, tick_spacing: int, falling: bool) -> bool:
    """True if the bitmap names an initialised array beyond the one at ``start``."""
    index = start // (ARRAY_TICKS * tick_spacing) + _BITMAP_SPAN
    return bool(bits & ((1 << index) - 1)) if falling else bool(bits >> (index + 1))


def parse_tick_array(
    pool: bytes, pubkey: bytes, start: int, tick_spacing: int, account: Account
) -> TickArray:
    """The ticks of an array that have liquidity or unfilled limit orders. Raises PoolError."""
    spl.check_account("tick array", pubkey, account, PROGRAM, ARRAY_SIZE, ARRAY_HEAD)
    data = account.data
    spl.check_pool_key("tick array", pubkey, data[8:40], pool)
    found = int.from_bytes(data[40:44], "little", signed=True)
    if found != start:
        raise PoolError(
            PoolErrorCode.BAD_VALUE,
            f"tick array {Pubkey(pubkey)} starts at {found}, its address says {start}",
        )
    # 64-bit words from the first tick's gross on: 21 a tick, gross 0 and 1, orders 13, part-filled 14.
    words = memoryview(data)[64:10120].cast("Q")
    rows = zip(
        words[0::21].tolist(),
        words[1::21].tolist(),
        words[13::21].tolist(),
        words[14::21].tolist(),
        strict=True,
    )
    ticks = []
    orders = {}
    tick = start
    for low, high, amount, part in rows:
        if amount or part:
            at = 44 + TICK_SIZE * ((tick - start) // tick_spacing) + TICK_ORDERS_AT
            orders[tick] = Orders(*TICK_ORDERS.unpack_from(data, at))
            ticks.append(tick)
        elif low or high:
            ticks.append(tick)
        tick += tick_spacing
    if ticks and not -TICK_LIMIT <= ticks[0] <= ticks[-1] <= TICK_LIMIT:
        raise PoolError(
            PoolErrorCode.BAD_VALUE, f"tick array {Pubkey(pubkey)} has ticks {ticks[0]} to {ticks[-1]}"
        )
    return TickArray(ticks, orders, data)


def read_net(data: bytes, index: int) -> int:
    """Net liquidity of the tick at ``index`` of an array."""
    at = 48 + TICK_SIZE * index
    return int.from_bytes(data[at : at + 16], "little", signed=True)


def read_gross(data: bytes, index: int) -> int:
    """Gross liquidity of the tick at ``index`` of an array."""
    at = 64 + TICK_SIZE * index
    return int.from_bytes(data[at : at + 16], "little")


def figures(pubkey: bytes, accounts: Mapping[bytes, Account]) -> dict[str, Any]:
    """The pool, config, bitmap and known tick arrays as plain figures that ``encode`` turns back.

    Tick arrays: ``[start, [[tick, net, gross, phase, orders, part filled], …]]``; bitmaps as hex.
    """
    account = spl.find_account(accounts, pubkey, "pool")
    check_pool(pubkey, account)
    data = account.data
    tick_spacing, liquidity, sqrt_price, tick = POOL_CURVE.unpack_from(data, POOL_CURVE_AT)
    extension = accounts.get(extension_address(pubkey))
    bits = bitmap(data, extension.data if extension is not None and extension.data else None)
    down, up = swap_arrays(bits, tick, tick_spacing)
    arrays = []
    for start in sorted({*down, *up}):
        found = accounts.get(tick_array_address(pubkey, start))
        if found is not None and found.data:
            arrays.append([start, _rows(found.data, start, tick_spacing)])
    config = spl.find_account(accounts, data[9:41], "config").data
    return {
        "venue": "raydium_clmm",
        "pool": str(Pubkey(pubkey)),
        "bump": data[8],
        "config": str(Pubkey(data[9:41])),
        "config_index": int.from_bytes(config[9:11], "little"),
        "config_rates": list(CONFIG_RATES.unpack_from(config, CONFIG_RATES_AT)),
        "observation": str(Pubkey(data[201:233])),
        "tick_spacing": tick_spacing,
        "liquidity": int.from_bytes(liquidity, "little"),
        "sqrt_price": int.from_bytes(sqrt_price, "little"),
        "tick": tick,
        "protocol_fees": list(TWO_AMOUNTS.unpack_from(data, POOL_PROTOCOL_FEES_AT)),
        "fund_fees": list(TWO_AMOUNTS.unpack_from(data, POOL_FUND_FEES_AT)),
        "status": data[389],
        "fee_on": data[390],
        "bitmap": data[904:1032].hex(),
        "extension": extension.data[40:].hex() if extension is not None and extension.data else None,
        "open_time": int.from_bytes(data[1080:1088], "little"),
        "dynamic_fee": list(DYNAMIC_FEE.unpack_from(data, DYNAMIC_FEE_AT)),
        "a": spl.token_figures(accounts, data[73:105], data[137:169]),
        "b": spl.token_figures(accounts, data[105:137], data[169:201]),
        "tick_arrays": arrays,
    }


def _rows(data: bytes, start: int, tick_spacing: int) -> list[list[int]]:
    rows = []
    for i in range(ARRAY_TICKS):
        at = 44 + TICK_SIZE * i
        gross = int.from_bytes(data[at + 20 : at + 36], "little")
        orders = TICK_ORDERS.unpack_from(data, at + TICK_ORDERS_AT)
        if gross or any(orders):
            net = int.from_bytes(data[at + 4 : at + 20], "little", signed=True)
            rows.append([start + i * tick_spacing, net, gross, *orders])
    return rows


def encode(plain: Mapping[str, Any]) -> dict[bytes, Account]:
    """The accounts that ``plain`` (see ``figures``) describes, as ``decode`` expects them."""
    side_a, side_b = plain["a"], plain["b"]
    pool, config = spl.key(plain["pool"]), spl.key(plain["config"])
    data = bytearray(POOL_SIZE)
    data[0:9] = POOL_HEAD + bytes([plain["bump"]])
    data[9:41] = config
    data[73:137] = spl.key(side_a["mint"]) + spl.key(side_b["mint"])
    data[137:201] = spl.key(side_a["vault"]) + spl.key(side_b["vault"])
    data[201:233] = spl.key(plain["observation"])
    data[233:235] = bytes((side_a["decimals"], side_b["decimals"]))
    liquidity, sqrt_price = (
        plain["liquidity"].to_bytes(16, "little"),
        plain["sqrt_price"].to_bytes(16, "little"),
    )
    POOL_CURVE.pack_into(data, POOL_CURVE_AT, plain["tick_spacing"], liquidity, sqrt_price, plain["tick"])
    TWO_AMOUNTS.pack_into(data, POOL_PROTOCOL_FEES_AT, *plain["protocol_fees"])
    TWO_AMOUNTS.pack_into(data, POOL_FUND_FEES_AT, *plain["fund_fees"])
    data[389:391] = bytes((plain["status"], plain["fee_on"]))
    data[904:1032] = bytes.fromhex(plain["bitmap"])
    data[1080:1088] = plain["open_time"].to_bytes(8, "little")
    DYNAMIC_FEE.pack_into(data, DYNAMIC_FEE_AT, *plain["dynamic_fee"])
    rates = bytearray(CONFIG_SIZE)
    rates[0:8] = CONFIG_HEAD
    rates[9:11] = plain["config_index"].to_bytes(2, "little")
    CONFIG_RATES.pack_into(rates, CONFIG_RATES_AT, *plain["config_rates"])
    own = {
        pool: Account(PROGRAM, bytes(data), spl.rent_exempt(POOL_SIZE)),
        config: Account(PROGRAM, bytes(rates), spl.rent_exempt(CONFIG_SIZE)),
    }
    if plain["extension"] is not None:
        extension = EXTENSION_HEAD + pool + bytes.fromhex(plain["extension"])
        own[extension_address(pool)] = Account(PROGRAM, extension, spl.rent_exempt(EXTENSION_SIZE))
    for start, rows in plain["tick_arrays"]:
        own[tick_array_address(pool, start)] = encode_tick_array(pool, start, plain["tick_spacing"], rows)
    return own | spl.token_accounts(side_a) | spl.token_accounts(side_b)


def encode_tick_array(pool: bytes, start: int, tick_spacing: int, rows: list[list[int]]) -> Account:
    """A tick array with ``rows`` of [tick, net, gross, phase, orders, part filled]."""
    data = bytearray(ARRAY_SIZE)
    data[0:44] = ARRAY_HEAD + pool + start.to_bytes(4, "little", signed=True)
    for i in range(ARRAY_TICKS):
        at = 44 + TICK_SIZE * i
        data[at : at + 4] = (start + i * tick_spacing).to_bytes(4, "little", signed=True)
    for tick, net, gross, *orders in rows:
        at = 44 + TICK_SIZE * ((tick - start) // tick_spacing)
        data[at + 4 : at + 20] = net.to_bytes(16, "little", signed=True)
        data[at + 20 : at + 36] = gross.to_bytes(16, "little")
        TICK_ORDERS.pack_into(data, at + TICK_ORDERS_AT, *orders)
    data[10124] = sum(row[2] > 0 for row in rows)
    return Account(PROGRAM, bytes(data), spl.rent_exempt(ARRAY_SIZE))
