"""Meteora DLMM's accounts: pair, bin arrays and bitmap extension, read from bytes and written back.

Offsets count from the start of the account data. Source: IDL ``lb_clmm`` 0.12.0 (MeteoraAg/dlmm-sdk).
"""

from collections.abc import Mapping
from functools import lru_cache
from operator import itemgetter
from struct import Struct
from typing import Any, NamedTuple

from solders.pubkey import Pubkey

from hft.venues import spl
from hft.venues.types import Account, PoolError, PoolErrorCode

PROGRAM = spl.key("LBUZKhRxPF3XUpBCjp4YzTKgLccjZhTSDM9YuVaPwxo")
PAIR_SIZE = 904
ARRAY_SIZE = 10136
EXTENSION_SIZE = 1576
ARRAY_BINS = 70
BIN_SIZE = 144
BIN_LIMIT = 443_636
SWAP_ARRAYS = 4  # bin arrays a swap instruction names

PAIR_HEAD = bytes.fromhex("210b3162b565b10d")
ARRAY_HEAD = bytes.fromhex("5c8e5cdc059446b5")
EXTENSION_HEAD = bytes.fromhex("506f7c7137ed1205")

# base factor, filter, decay, reduction, control, max volatility, min and max bin id, protocol share, power,
# function type, collect-fee mode
PAIR_PARAMETERS = Struct("<HHHHIIiiHBBB")
PAIR_PARAMETERS_AT = 8
# volatility accumulator and reference, index reference, last update
PAIR_VARIABLES = Struct("<IIi4xq")
PAIR_VARIABLES_AT = 40
# pair type, active id, bin step, status
PAIR_STATE = Struct("<BiHB")
PAIR_STATE_AT = 75
TWO_AMOUNTS = Struct("<QQ")
PROTOCOL_FEES_AT = 216
BITMAP_AT = 584
# amounts X and Y, price
BIN_HEAD = Struct("<QQ16s")
# amounts X and Y, price's halves, open order, total processing, processed remaining, age, ask side
BIN = Struct("<QQQQ80xQQQIB")
FIRST_BIN_AT = 56
# open order, total processing, processed remaining, age, ask side
BIN_ORDERS = Struct("<QQQIB")
BIN_ORDERS_AT = 112
BIN_FULFILLED_AT = 48
# parameters; up to the pair type; from the bin step to the vaults; mints of the rewards; oracle and bitmap
_FIXED = itemgetter(
    slice(40), slice(64, 76), slice(80, 216), slice(264, 296), slice(408, 440), slice(552, 712)
)

_BITMAP_SPAN = 13 * 512  # array indexes −6656..6655: the pair's 1024 bits between both sides of the extension
_SIDE_BITS = 12 * 512
_Q = 1 << 64
_MAX_U128 = (1 << 128) - 1


class Bin(NamedTuple):
    """One bin; orders sell the token of ``ask_side`` (0 Y for X, 1 X for Y)."""

    amount_x: int
    amount_y: int
    price: int
    open_order: int
    total_processing: int
    processed_remaining: int
    age: int
    ask_side: int


def array_index(bin_id: int) -> int:
    """Index of the array that holds a bin."""
    return bin_id // ARRAY_BINS


def names_in(data: bytes) -> object:
    """See ``VenueSpec``: the active bin's array, and which arrays there are, besides what never moves."""
    return *_FIXED(data), array_index(int.from_bytes(data[76:80], "little", signed=True))


@lru_cache(maxsize=65_536)
def array_address(pair: bytes, index: int) -> bytes:
    """Address of a pair's bin array."""
    return spl.find_address(PROGRAM, b"bin_array", pair, index.to_bytes(8, "little", signed=True))


def extension_address(pair: bytes) -> bytes:
    """Address of a pair's bitmap extension."""
    return spl.find_address(PROGRAM, b"bitmap", pair)


def oracle_address(pair: bytes) -> bytes:
    """Address of a pair's oracle."""
    return spl.find_address(PROGRAM, b"oracle", pair)


@lru_cache(maxsize=65_536)
def bin_price(bin_step: int, bin_id: int) -> int:
    """Price of a bin (Y per X, Q64.64): (1 + step)^id by square-and-multiply with the program's floors.

    0 where the program's arithmetic has no price (far from bin 0 with a wide step).
    """
    if bin_id == 0:
        return _Q
    base = _MAX_U128 // (_Q + (bin_step << 64) // 10_000)
    price, exponent = _Q, abs(bin_id)
    while exponent:
        if exponent & 1:
            price = (price * base) >> 64
        base = (base * base) >> 64
        exponent >>= 1
    if bin_id > 0 and price:
        price = _MAX_U128 // price
    return price if price <= _MAX_U128 else 0


def recognises(account: Account) -> bool:
    """True for an LbPair account (owner already compared)."""
    return len(account.data) == PAIR_SIZE and account.data.startswith(PAIR_HEAD)


def check_pair(pubkey: bytes, account: Account) -> None:
    """PoolError unless this is a DLMM pair with an active bin and a bin step that can be."""
    spl.check_account("pair", pubkey, account, PROGRAM, PAIR_SIZE, PAIR_HEAD)
    _, active_id, bin_step, _ = PAIR_STATE.unpack_from(account.data, PAIR_STATE_AT)
    if bin_step == 0 or abs(active_id) > BIN_LIMIT:
        raise PoolError(
            PoolErrorCode.BAD_VALUE, f"pair {Pubkey(pubkey)}: active bin {active_id}, bin step {bin_step}"
        )


def required_accounts(pubkey: bytes, account: Account) -> tuple[bytes, ...]:
    """Mints, bitmap extension, and the bin arrays nearest to the active bin that the pair's bitmap names."""
    check_pair(pubkey, account)
    data = account.data
    _, active_id, _, _ = PAIR_STATE.unpack_from(data, PAIR_STATE_AT)
    down, up = swap_arrays(bitmap(data, None), active_id)
    arrays = [array_address(pubkey, index) for index in sorted({*down, *up})]
    return data[88:120], data[120:152], extension_address(pubkey), *arrays


def bitmap(pair_data: bytes, extension: bytes | None) -> int:
    """See ``_bits``; of a pair's and its extension's account data."""
    return _bits(pair_data[BITMAP_AT : BITMAP_AT + 128], extension)


@lru_cache(maxsize=4096)
def _bits(own: bytes, extension: bytes | None) -> int:
    """One integer whose bit i says whether the bin array of index i − 6656 exists."""
    middle = int.from_bytes(own, "little") << _SIDE_BITS
    if extension is None:
        return middle
    positive = int.from_bytes(extension[40:808], "little")
    negative = int.from_bytes(extension[808:1576], "little")
    # The negative side counts away from the middle.
    mirrored = int(f"{negative:0{_SIDE_BITS}b}"[::-1], 2)
    return positive << (_SIDE_BITS + 1024) | middle | mirrored


@lru_cache(maxsize=4096)
def swap_arrays(bits: int, active_id: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Indexes of the existing bin arrays a swap may use: (falling price, rising price), nearest first."""
    here = array_index(active_id) + _BITMAP_SPAN
    down: list[int] = []
    up: list[int] = []
    low = bits & ((1 << (here + 1)) - 1)
    while low and len(down) < SWAP_ARRAYS:
        top = low.bit_length() - 1
        down.append(top - _BITMAP_SPAN)
        low ^= 1 << top
    high, at = bits >> here, here
    while high and len(up) < SWAP_ARRAYS:
        step = (high & -high).bit_length() - 1
        at += step
        up.append(at - _BITMAP_SPAN)
        high >>= step + 1
        at += 1
    return tuple(down), tuple(up)


def more_arrays(bits: int, bin_id: int, falling: bool) -> bool:
    """True if the bitmap names an array that holds ``bin_id`` or lies beyond it."""
    at = max(array_index(bin_id) + _BITMAP_SPAN, -1)
    return bool(bits & ((1 << (at + 1)) - 1)) if falling else bool(bits >> max(at, 0))


def check_array(pair: bytes, pubkey: bytes, index: int, account: Account) -> bytes:
    """The data of a bin array of ``pair``; bins are read when a swap comes to them. Raises PoolError."""
    spl.check_account("bin array", pubkey, account, PROGRAM, ARRAY_SIZE, ARRAY_HEAD)
    data = account.data
    spl.check_pool_key("bin array", pubkey, data[24:56], pair)
    found = int.from_bytes(data[8:16], "little", signed=True)
    if found != index:
        raise PoolError(
            PoolErrorCode.BAD_VALUE, f"bin array {Pubkey(pubkey)} has index {found}, its address says {index}"
        )
    if data[16] > 2:
        raise PoolError(
            PoolErrorCode.UNSUPPORTED, f"bin array {Pubkey(pubkey)} has version {data[16]}, known are 0, 1, 2"
        )
    return data


def read_bin(data: bytes, position: int, bin_step: int, bin_id: int) -> Bin:
    """The bin at ``position`` of an array. Arrays before version 2 hold old counters where orders are now."""
    at = 56 + BIN_SIZE * position
    amount_x, amount_y, raw = BIN_HEAD.unpack_from(data, at)
    price = int.from_bytes(raw, "little") or bin_price(bin_step, bin_id)
    if data[16] < 2:
        return Bin(amount_x, amount_y, price, 0, 0, 0, 0, 0)
    return Bin(amount_x, amount_y, price, *BIN_ORDERS.unpack_from(data, at + BIN_ORDERS_AT))


def write_bin(data: bytearray, position: int, found: Bin) -> None:
    """Write a bin's amounts and orders into an array's data."""
    at = 56 + BIN_SIZE * position
    TWO_AMOUNTS.pack_into(data, at, found.amount_x, found.amount_y)
    if data[16] >= 2:
        BIN_ORDERS.pack_into(data, at + BIN_ORDERS_AT, *found[3:])


def figures(pubkey: bytes, accounts: Mapping[bytes, Account]) -> dict[str, Any]:
    """The pair, its bitmaps and known bin arrays as plain figures that ``encode`` turns back.

    Bin arrays: ``[index, version, [[position, x, y, price, open, processing, remaining, age, ask], …]]``.
    """
    account = spl.find_account(accounts, pubkey, "pair")
    check_pair(pubkey, account)
    data = account.data
    pair_type, active_id, bin_step, status = PAIR_STATE.unpack_from(data, PAIR_STATE_AT)
    extension = accounts.get(extension_address(pubkey))
    found = extension.data if extension is not None and extension.data else None
    down, up = swap_arrays(bitmap(data, found), active_id)
    arrays = []
    for index in sorted({*down, *up}):
        array = accounts.get(array_address(pubkey, index))
        if array is not None and array.data:
            arrays.append([index, array.data[16], _rows(array.data)])
    return {
        "venue": "meteora_dlmm",
        "pool": str(Pubkey(pubkey)),
        "parameters": list(PAIR_PARAMETERS.unpack_from(data, PAIR_PARAMETERS_AT)),
        "variables": list(PAIR_VARIABLES.unpack_from(data, PAIR_VARIABLES_AT)),
        "pair_type": pair_type,
        "active_id": active_id,
        "bin_step": bin_step,
        "status": status,
        "activation_type": data[86],
        "activation_point": int.from_bytes(data[816:824], "little"),
        "protocol_fees": list(TWO_AMOUNTS.unpack_from(data, PROTOCOL_FEES_AT)),
        "reward_mints": [str(Pubkey(data[at : at + 32])) for at in (264, 408)],
        "oracle": str(Pubkey(data[552:584])),
        "bitmap": data[BITMAP_AT : BITMAP_AT + 128].hex(),
        "extension": None if found is None else found[40:].hex(),
        "token_flags": list(data[880:882]),
        "x": spl.token_figures(accounts, data[88:120], data[152:184]),
        "y": spl.token_figures(accounts, data[120:152], data[184:216]),
        "bin_arrays": arrays,
    }


def _rows(data: bytes) -> list[list[int]]:
    rows = []
    for position in range(ARRAY_BINS):
        at = 56 + BIN_SIZE * position
        x, y, price = BIN_HEAD.unpack_from(data, at)
        orders = BIN_ORDERS.unpack_from(data, at + BIN_ORDERS_AT)
        if x or y or any(price) or any(orders):
            rows.append([position, x, y, int.from_bytes(price, "little"), *orders])
    return rows


def encode(plain: Mapping[str, Any]) -> dict[bytes, Account]:
    """The accounts that ``plain`` (see ``figures``) describes, as ``decode`` expects them."""
    pair, x, y = spl.key(plain["pool"]), plain["x"], plain["y"]
    data = bytearray(PAIR_SIZE)
    data[0:8] = PAIR_HEAD
    PAIR_PARAMETERS.pack_into(data, PAIR_PARAMETERS_AT, *plain["parameters"])
    PAIR_VARIABLES.pack_into(data, PAIR_VARIABLES_AT, *plain["variables"])
    state = (plain["pair_type"], plain["active_id"], plain["bin_step"], plain["status"])
    PAIR_STATE.pack_into(data, PAIR_STATE_AT, *state)
    data[86] = plain["activation_type"]
    data[88:152] = spl.key(x["mint"]) + spl.key(y["mint"])
    data[152:216] = spl.key(x["vault"]) + spl.key(y["vault"])
    TWO_AMOUNTS.pack_into(data, PROTOCOL_FEES_AT, *plain["protocol_fees"])
    for at, mint in zip((264, 408), plain["reward_mints"], strict=True):
        data[at : at + 32] = spl.key(mint)
    data[552:584] = spl.key(plain["oracle"])
    data[BITMAP_AT : BITMAP_AT + 128] = bytes.fromhex(plain["bitmap"])
    data[816:824] = plain["activation_point"].to_bytes(8, "little")
    data[880:882] = bytes(plain["token_flags"])
    own = {pair: Account(PROGRAM, bytes(data), spl.rent_exempt(PAIR_SIZE))}
    if plain["extension"] is not None:
        extension = EXTENSION_HEAD + pair + bytes.fromhex(plain["extension"])
        own[extension_address(pair)] = Account(PROGRAM, extension, spl.rent_exempt(EXTENSION_SIZE))
    for index, version, rows in plain["bin_arrays"]:
        own[array_address(pair, index)] = encode_array(pair, index, version, rows)
    return own | spl.token_accounts(x) | spl.token_accounts(y)


def encode_array(pair: bytes, index: int, version: int, rows: list[list[int]]) -> Account:
    """A bin array with ``rows`` as in ``figures``."""
    data = bytearray(ARRAY_SIZE)
    data[0:8] = ARRAY_HEAD
    data[8:16] = index.to_bytes(8, "little", signed=True)
    data[16] = version
    data[24:56] = pair
    for position, x, y, price, *orders in rows:
        at = 56 + BIN_SIZE * position
        BIN_HEAD.pack_into(data, at, x, y, price.to_bytes(16, "little"))
        BIN_ORDERS.pack_into(data, at + BIN_ORDERS_AT, *orders)
    return Account(PROGRAM, bytes(data), spl.rent_exempt(ARRAY_SIZE))
