"""Whirlpool's accounts: pool, tick arrays (fixed and dynamic) and oracle, read from bytes and written back.

Offsets count from the start of the account data. Source: IDL ``whirlpool`` (orca-so/whirlpools).
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import compress
from operator import itemgetter
from struct import Struct
from typing import Any, NamedTuple

from solders.pubkey import Pubkey

from hft.venues import spl
from hft.venues.concentrated import TICK_LIMIT
from hft.venues.types import Account, PoolError, PoolErrorCode
from hft.venues.whirlpool_adaptive import Oracle

PROGRAM = spl.key("whirLbMiicVdio4qvUfM5KAg6Ct8VwpYzGff3uctyCc")
POOL_SIZE = 653
ORACLE_SIZE = 254
FIXED_ARRAY_SIZE = 9988
DYNAMIC_ARRAY_MAX_SIZE = 60 + 88 * 113
ARRAY_TICKS = 88
WINDOW = 3  # arrays kept on either side of the price's

POOL_HEAD = bytes.fromhex("3f95d10ce1806309")
FIXED_HEAD = bytes.fromhex("4561bdbe6e0742bb")
DYNAMIC_HEAD = bytes.fromhex("11d8f68ee1c7da38")
ORACLE_HEAD = bytes.fromhex("8bc283b38cb3e5f4")

# tick_spacing, fee_tier_index_seed, fee_rate, protocol_fee_rate, liquidity, sqrt_price, tick, owed a, owed b
POOL_FIELDS = Struct("<HHHH16s16siQQ")
POOL_FIELDS_AT = 41
# trade_enable, filter, decay, reduction, control, max volatility, group size, major-swap ticks
ORACLE_CONSTANTS = Struct("<QHHHIIHH")
# last reference update, last major swap, volatility reference, group reference, volatility accumulator
ORACLE_VARIABLES = Struct("<QQIiI")
# up to the fee rates; mint and vault a; mint and vault b
_FIXED = itemgetter(slice(49), slice(101, 165), slice(181, 245))


class TickArray(NamedTuple):
    """Initialised ticks of one array, rising, with their net liquidity.

    ``nets`` of a fixed array are None: ``fixed_net`` reads one from ``data`` when it is needed.
    """

    ticks: Sequence[int]
    nets: Sequence[int | None]
    data: bytes


_EMPTY_ARRAY = TickArray((), (), b"")


def array_start(tick: int, tick_spacing: int) -> int:
    """First tick of the array that holds ``tick``."""
    span = ARRAY_TICKS * tick_spacing
    return tick // span * span


def names_in(data: bytes) -> object:
    """See ``VenueSpec``: the arrays of the tick and of one spacing above it, besides what never moves."""
    spacing = int.from_bytes(data[41:43], "little")
    tick = int.from_bytes(data[81:85], "little", signed=True)
    span = ARRAY_TICKS * spacing
    return (*_FIXED(data), tick // span, (tick + spacing) // span) if span else None


@lru_cache(maxsize=65_536)
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


def window(tick: int, tick_spacing: int) -> list[int]:
    """Starts of the tick arrays a pool keeps: those of either direction's swap and one more for a move."""
    span = ARRAY_TICKS * tick_spacing
    start = array_start(tick, tick_spacing)
    return [s for s in range(start - WINDOW * span, start + WINDOW * span + 1, span) if _in_range(s, span)]


def check_pool(pubkey: bytes, account: Account) -> None:
    """PoolError unless this is a Whirlpool account."""
    spl.check_account("pool", pubkey, account, PROGRAM, POOL_SIZE, POOL_HEAD)


def recognises(account: Account) -> bool:
    """True for a Whirlpool account (owner already compared)."""
    return len(account.data) == POOL_SIZE and account.data.startswith(POOL_HEAD)


def required_accounts(pubkey: bytes, account: Account) -> tuple[bytes, ...]:
    """Both mints, the oracle (adaptive pools only) and seven tick arrays around the price."""
    check_pool(pubkey, account)
    data = account.data
    tick_spacing, seed, _, _, _, _, tick, _, _ = POOL_FIELDS.unpack_from(data, POOL_FIELDS_AT)
    keys = [data[101:133], data[181:213]]
    if seed != tick_spacing:
        keys.append(oracle_address(pubkey))
    if tick_spacing:
        keys.extend(tick_array_address(pubkey, start) for start in window(tick, tick_spacing))
    return tuple(keys)


def parse_tick_array(
    pool: bytes, pubkey: bytes, start: int, tick_spacing: int, account: Account
) -> TickArray:
    """The initialised ticks of a fixed or dynamic tick array; an account that doesn't exist is an
    empty array.
    """
    data = account.data
    if not data and account.lamports == 0:
        return _EMPTY_ARRAY
    first = int.from_bytes(data[8:12], "little", signed=True)
    if data.startswith(DYNAMIC_HEAD):
        if not 60 + ARRAY_TICKS <= len(data) <= DYNAMIC_ARRAY_MAX_SIZE:
            raise PoolError(
                PoolErrorCode.WRONG_SIZE,
                f"dynamic tick array {Pubkey(pubkey)} has {len(data)} bytes, "
                f"wants 148 to {DYNAMIC_ARRAY_MAX_SIZE}",
            )
        spl.check_account("tick array", pubkey, account, PROGRAM, len(data), DYNAMIC_HEAD)
        spl.check_pool_key("tick array", pubkey, data[12:44], pool)
        offsets, indexes = _dynamic_offsets(pubkey, data)
        nets = [int.from_bytes(data[at + 1 : at + 17], "little", signed=True) for at in offsets]
        array = TickArray([start + i * tick_spacing for i in indexes], nets, data)
    else:
        spl.check_account("tick array", pubkey, account, PROGRAM, FIXED_ARRAY_SIZE, FIXED_HEAD)
        spl.check_pool_key("tick array", pubkey, data[9956:9988], pool)
        every = range(start, start + ARRAY_TICKS * tick_spacing, tick_spacing)
        ticks = list(compress(every, data[12:9956:113]))
        array = TickArray(ticks, [None] * len(ticks), data)
    if first != start:
        raise PoolError(
            PoolErrorCode.BAD_VALUE,
            f"tick array {Pubkey(pubkey)} starts at {first}, its address says {start}",
        )
    return array


def fixed_net(data: bytes, index: int) -> int:
    """Net liquidity of the tick at ``index`` of a fixed array."""
    at = 13 + 113 * index
    return int.from_bytes(data[at : at + 16], "little", signed=True)


def _dynamic_offsets(pubkey: bytes, data: bytes) -> tuple[list[int], tuple[int, ...]]:
    """Offsets of the initialised entries of a dynamic tick array and their positions."""
    at, offsets, indexes = 60, [], []
    for i in range(ARRAY_TICKS):
        if at >= len(data) or data[at] > 1 or (data[at] == 1 and at + 113 > len(data)):
            raise PoolError(
                PoolErrorCode.WRONG_SIZE,
                f"dynamic tick array {Pubkey(pubkey)} of {len(data)} bytes ends at tick {i}",
            )
        if data[at]:
            offsets.append(at)
            indexes.append(i)
            at += 113
        else:
            at += 1
    return offsets, tuple(indexes)


def parse_oracle(pool: bytes, pubkey: bytes, account: Account) -> Oracle:
    """The adaptive-fee oracle of ``pool``. Raises PoolError."""
    spl.check_account("oracle", pubkey, account, PROGRAM, ORACLE_SIZE, ORACLE_HEAD)
    data = account.data
    spl.check_pool_key("oracle", pubkey, data[8:40], pool)
    oracle = Oracle(*ORACLE_CONSTANTS.unpack_from(data, 40), *ORACLE_VARIABLES.unpack_from(data, 82))
    if oracle.group_size == 0:
        raise PoolError(PoolErrorCode.BAD_VALUE, f"oracle {Pubkey(pubkey)} has tick group size 0")
    return oracle


def figures(pubkey: bytes, accounts: Mapping[bytes, Account]) -> dict[str, Any]:
    """The pool and what it needs as plain figures (JSON-able) that ``encode`` turns back into accounts.

    Tick arrays: ``[start, kind, [[tick, net, gross], …]]`` with kind fixed, dynamic or absent;
    those not in the mapping are left out. Fee growths and rewards are not kept.
    """
    account = spl.find_account(accounts, pubkey, "pool")
    check_pool(pubkey, account)
    data = account.data
    ts, seed, fee_rate, protocol, liquidity, sqrt_price, tick, owed_a, owed_b = POOL_FIELDS.unpack_from(
        data, POOL_FIELDS_AT
    )
    arrays: list[list[Any]] = []
    for start in window(tick, ts):
        at = tick_array_address(pubkey, start)
        if at in accounts:
            arrays.append(_array_figures(pubkey, at, start, ts, accounts[at]))
    oracle = None
    if seed != ts and spl.exists(accounts.get(oracle_address(pubkey))):
        at = oracle_address(pubkey)
        oracle = parse_oracle(pubkey, at, accounts[at])._asdict()
    return {
        "venue": "whirlpool",
        "pool": str(Pubkey(pubkey)),
        "config": str(Pubkey(data[8:40])),
        "bump": data[40],
        "tick_spacing": ts,
        "fee_tier_index_seed": seed,
        "fee_rate": fee_rate,
        "protocol_fee_rate": protocol,
        "liquidity": int.from_bytes(liquidity, "little"),
        "sqrt_price": int.from_bytes(sqrt_price, "little"),
        "tick": tick,
        "protocol_fee_owed_a": owed_a,
        "protocol_fee_owed_b": owed_b,
        "reward_last_updated": int.from_bytes(data[261:269], "little"),
        "a": spl.token_figures(accounts, data[101:133], data[133:165]),
        "b": spl.token_figures(accounts, data[181:213], data[213:245]),
        "tick_arrays": arrays,
        "oracle": oracle,
    }


def _array_figures(pool: bytes, pubkey: bytes, start: int, tick_spacing: int, account: Account) -> list[Any]:
    array = parse_tick_array(pool, pubkey, start, tick_spacing, account)
    data = account.data
    if not data:
        return [start, "absent", []]
    dynamic = data.startswith(DYNAMIC_HEAD)
    if dynamic:
        offsets, _ = _dynamic_offsets(pubkey, data)
    else:
        offsets = [12 + 113 * ((tick - start) // tick_spacing) for tick in array.ticks]
    rows = [
        [
            tick,
            int.from_bytes(data[at + 1 : at + 17], "little", signed=True),
            int.from_bytes(data[at + 17 : at + 33], "little"),
        ]
        for tick, at in zip(array.ticks, offsets, strict=True)
    ]
    return [start, "dynamic" if dynamic else "fixed", rows]


def encode(plain: Mapping[str, Any]) -> dict[bytes, Account]:
    """The accounts that ``plain`` (see ``figures``) describes, as ``decode`` expects them."""
    pool = spl.key(plain["pool"])
    data = bytearray(POOL_SIZE)
    data[0:8] = POOL_HEAD
    data[8:40] = spl.key(plain["config"])
    data[40] = plain["bump"]
    POOL_FIELDS.pack_into(
        data,
        POOL_FIELDS_AT,
        plain["tick_spacing"],
        plain["fee_tier_index_seed"],
        plain["fee_rate"],
        plain["protocol_fee_rate"],
        plain["liquidity"].to_bytes(16, "little"),
        plain["sqrt_price"].to_bytes(16, "little"),
        plain["tick"],
        plain["protocol_fee_owed_a"],
        plain["protocol_fee_owed_b"],
    )
    for at, side in ((101, plain["a"]), (181, plain["b"])):
        data[at : at + 64] = spl.key(side["mint"]) + spl.key(side["vault"])
    data[261:269] = plain["reward_last_updated"].to_bytes(8, "little")
    found = {pool: Account(PROGRAM, bytes(data), spl.rent_exempt(POOL_SIZE))}
    found |= spl.token_accounts(plain["a"]) | spl.token_accounts(plain["b"])
    for start, kind, rows in plain["tick_arrays"]:
        found[tick_array_address(pool, start)] = encode_tick_array(
            pool, start, plain["tick_spacing"], kind, rows
        )
    if plain["oracle"] is not None:
        found[oracle_address(pool)] = encode_oracle(pool, Oracle(**plain["oracle"]))
    return found


def encode_tick_array(
    pool: bytes, start: int, tick_spacing: int, kind: str, rows: list[list[int]]
) -> Account:
    """A tick array of ``kind`` fixed, dynamic or absent with ``rows`` of [tick, net, gross]."""
    if kind == "absent":
        return Account(bytes(32), b"", 0)
    by_index = {(tick - start) // tick_spacing: (net, gross) for tick, net, gross in rows}
    entries = []
    for i in range(ARRAY_TICKS):
        net, gross = by_index.get(i, (0, 0))
        body = net.to_bytes(16, "little", signed=True) + gross.to_bytes(16, "little") + bytes(80)
        if kind == "fixed":
            entries.append((b"\1" if i in by_index else b"\0") + body)
        else:
            entries.append(b"\1" + body if i in by_index else b"\0")
    first = start.to_bytes(4, "little", signed=True)
    if kind == "fixed":
        data = FIXED_HEAD + first + b"".join(entries) + pool
    else:
        bitmap = sum(1 << i for i in by_index).to_bytes(16, "little")
        data = DYNAMIC_HEAD + first + pool + bitmap + b"".join(entries)
    return Account(PROGRAM, data, spl.rent_exempt(len(data)))


def encode_oracle(pool: bytes, oracle: Oracle) -> Account:
    """An adaptive-fee oracle account."""
    data = bytearray(ORACLE_SIZE)
    data[0:8] = ORACLE_HEAD
    data[8:40] = pool
    ORACLE_CONSTANTS.pack_into(data, 40, *oracle[:8])
    ORACLE_VARIABLES.pack_into(data, 82, *oracle[8:])
    return Account(PROGRAM, bytes(data), spl.rent_exempt(ORACLE_SIZE))
