"""What a change of a Whirlpool position's liquidity does to the pool and its ticks: for recorded days.

Fixed tick arrays only: 113 bytes a tick from byte 12: initialised u8, net i128, gross u128, the rest is of no
concern to prices. Source: IDL ``whirlpool``, ``modify_liquidity`` (orca-so/whirlpools).
"""

from collections.abc import Mapping

from solders.pubkey import Pubkey

from hft.venues.types import Account, PoolError, PoolErrorCode
from hft.venues.whirlpool_accounts import (
    FIXED_ARRAY_SIZE,
    FIXED_HEAD,
    POOL_FIELDS,
    POOL_FIELDS_AT,
    array_start,
    check_pool,
    tick_array_address,
)

_LIQUIDITY_AT = 49
_TICKS_AT = 12
_TICK_BYTES = 113


def moved_liquidity(
    pubkey: bytes, accounts: Mapping[bytes, Account], tick_lower: int, tick_upper: int, delta: int
) -> dict[bytes, bytes]:
    """New data of each account that changes when a position from ``tick_lower`` to ``tick_upper`` gains
    ``delta`` (negative: loses) liquidity: its two ticks, and the pool's own if the price lies between them.

    ``PoolError``: no such pool, a tick array that is missing or not fixed, or less liquidity than is taken.
    """
    pool = accounts[pubkey]
    check_pool(pubkey, pool)
    data = bytearray(pool.data)
    fields = POOL_FIELDS.unpack_from(data, POOL_FIELDS_AT)
    tick_spacing, tick = fields[0], fields[6]
    changed: dict[bytes, bytes] = {}
    if tick_lower <= tick < tick_upper:
        liquidity = int.from_bytes(fields[4], "little") + delta
        data[_LIQUIDITY_AT : _LIQUIDITY_AT + 16] = _u128(pubkey, liquidity)
        changed[pubkey] = bytes(data)
    for place, sign in ((tick_lower, 1), (tick_upper, -1)):
        start = array_start(place, tick_spacing)
        address = tick_array_address(pubkey, start)
        held = changed.get(address) or accounts[address].data
        if len(held) != FIXED_ARRAY_SIZE or not held.startswith(FIXED_HEAD):
            raise PoolError(
                PoolErrorCode.WRONG_SIZE,
                f"tick array {Pubkey(address)}: {len(held)} bytes, wants a fixed one of {FIXED_ARRAY_SIZE}",
            )
        array = bytearray(held)
        at = _TICKS_AT + _TICK_BYTES * ((place - start) // tick_spacing)
        net = int.from_bytes(array[at + 1 : at + 17], "little", signed=True) + sign * delta
        gross = int.from_bytes(array[at + 17 : at + 33], "little") + delta
        array[at] = 1 if gross else 0
        array[at + 1 : at + 17] = net.to_bytes(16, "little", signed=True)
        array[at + 17 : at + 33] = _u128(address, gross)
        changed[address] = bytes(array)
    return changed


def _u128(pubkey: bytes, value: int) -> bytes:
    if not 0 <= value < 2**128:
        raise PoolError(PoolErrorCode.BAD_VALUE, f"{Pubkey(pubkey)} would hold liquidity {value}")
    return value.to_bytes(16, "little")
