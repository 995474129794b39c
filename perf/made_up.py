"""Made-up pools of every venue, as figures for the encoders: small, round, and independent of chain data."""

from collections.abc import Callable
from typing import Any

from solders.pubkey import Pubkey

from hft.venues import Account, ChainClock, DustRule, Pool, Settings, decode
from hft.venues.concentrated import orca_sqrt_price, raydium_sqrt_price
from hft.venues.encoders import encode
from hft.venues.meteora_dlmm_accounts import bin_price
from hft.venues.spl import key

SETTINGS = Settings(dust_rule=DustRule.CEILING, own_host_fee=False)
CLOCK = ChainClock(1_000_000, 2_000_000)
TOKEN = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"


def name(number: int, part: int = 0) -> str:
    """A key of its own for each pool and part; ``name(0, …)`` are the mints, in rising order."""
    return str(Pubkey(bytes([number + 1, part + 1] + [9] * 30)))


MINT_A, MINT_B = name(0, 1), name(0, 2)


def side(number: int, part: int, owner: str, amount: int, mint: str | None = None) -> dict[str, Any]:
    """One side of a pool: mint, vault and amount."""
    return {
        "mint": mint or (MINT_A if part == 1 else MINT_B),
        "program": TOKEN,
        "decimals": 9,
        "supply": 10**18,
        "vault": name(number, part),
        "vault_owner": owner,
        "vault_amount": amount,
    }


def raydium_v4(number: int = 10, a: int = 10**12, b: int = 2 * 10**12) -> dict[str, Any]:
    """A constant-product pool with a fee of 25/10000."""
    owner = "5Q544fKrFoe6tsEbD7S8EmxGTJYAKtTVhAW5Q5pge4j1"
    return {
        "venue": "raydium_v4",
        "pool": name(number),
        "nonce": 254,
        "swap_fee_numerator": 25,
        "swap_fee_denominator": 10_000,
        "need_take_pnl_a": 17,
        "need_take_pnl_b": 23,
        "pool_open_time": 0,
        **dict.fromkeys(
            ("lp_mint", "open_orders", "market", "market_program", "target_orders"), name(number, 9)
        ),
        "a": side(number, 1, owner, a),
        "b": side(number, 2, owner, b),
    }


def raydium_cpmm(
    number: int = 20, a: int = 10**12, b: int = 2 * 10**12, creator_on: int | None = None
) -> dict[str, Any]:
    """A constant-product pool with a fee of 2500 millionths, and a creator fee if ``creator_on``
    says where.
    """
    owner = "GpMZbSM2GgvTKHJirzeGfMFoaZ8UR2X7F4v8vHTvxFbL"
    return {
        "venue": "raydium_cpmm",
        "pool": name(number),
        "config": name(number, 8),
        "creator": name(number, 7),
        "lp_mint": name(number, 6),
        "observation": name(number, 5),
        "auth_bump": 253,
        "status": 0,
        "lp_decimals": 9,
        "lp_supply": 10**9,
        "protocol_fees": [11, 12],
        "fund_fees": [13, 14],
        "creator_fees": [15, 16],
        "open_time": 1,
        "creator_fee_on": creator_on or 0,
        "enable_creator_fee": int(creator_on is not None),
        "config_rates": [2500, 120_000, 40_000],
        "config_creator_fee_rate": 500,
        "config_index": 1,
        "a": side(number, 1, owner, a),
        "b": side(number, 2, owner, b),
    }


def whirlpool(
    number: int = 30,
    kind: str = "fixed",
    adaptive: bool = False,
    liquidity: int = 10**14,
    ticks: tuple[int, ...] = (-1600, -640, 640, 1600),
) -> dict[str, Any]:
    """A Whirlpool around tick 0 with two nested positions; ``kind`` of its tick arrays: fixed or dynamic."""
    spacing, span = 64, 88 * 64
    outer, inner = liquidity // 4, liquidity - liquidity // 4
    rows = {ticks[0]: [ticks[0], outer, outer], ticks[1]: [ticks[1], inner, inner]}
    rows |= {ticks[2]: [ticks[2], -inner, inner], ticks[3]: [ticks[3], -outer, outer]}
    arrays = []
    for start in range(-3 * span, 4 * span, span):
        own = [row for tick, row in sorted(rows.items()) if start <= tick < start + span]
        arrays.append([start, kind if own else "absent", own])
    oracle = None
    if adaptive:
        fields = (0, 30, 600, 5000, 4000, 350_000, 64, 128, 1_999_000, 1_999_000, 1000, 0, 2000)
        names = (
            "trade_enable filter_period decay_period reduction control max_volatility group_size major_ticks "
            "last_reference last_major volatility_reference group_reference volatility"
        )
        oracle = dict(zip(names.split(), fields, strict=True))
    return {
        "venue": "whirlpool",
        "pool": name(number),
        "config": name(number, 9),
        "bump": 255,
        "tick_spacing": spacing,
        "fee_tier_index_seed": 1024 + spacing if adaptive else spacing,
        "fee_rate": 3000,
        "protocol_fee_rate": 1300,
        "liquidity": liquidity,
        "sqrt_price": orca_sqrt_price(10) + 12345,
        "tick": 10,
        "protocol_fee_owed_a": 5,
        "protocol_fee_owed_b": 6,
        "reward_last_updated": 1_999_999,
        "a": side(number, 1, name(number), min(20 * liquidity, (1 << 64) - 1)),
        "b": side(number, 2, name(number), min(20 * liquidity, (1 << 64) - 1)),
        "tick_arrays": arrays,
        "oracle": oracle,
    }


def raydium_clmm(
    number: int = 40,
    liquidity: int = 10**14,
    fee_on: int = 0,
    dynamic: bool = False,
    orders: bool = False,
) -> dict[str, Any]:
    """A CLMM pool around tick 0 with two nested positions, and the newer features asked for."""
    spacing, span = 10, 600
    outer, inner = liquidity // 4, liquidity - liquidity // 4
    rows = [[-900, outer, outer, 0, 0, 0], [-200, inner, inner, 0, 0, 0]]
    rows += [[200, -inner, inner, 0, 0, 0], [900, -outer, outer, 0, 0, 0]]
    if orders:
        rows += [[-100, 0, 0, 2, 10**9, 10**8], [100, 0, 0, 1, 0, 10**9]]
    arrays = []
    bits = 0
    for start in range(-2 * span, 2 * span, span):
        own = sorted(row for row in rows if start <= row[0] < start + span)
        if own:
            arrays.append([start, own])
            bits |= 1 << (start // span + 512)
    fee = [10, 120, 5000, 9000, 250_000, 1, 1000, 2000, 1_999_950] if dynamic else [0] * 9
    return {
        "venue": "raydium_clmm",
        "pool": name(number),
        "bump": 255,
        "config": name(number, 8),
        "config_index": 3,
        "config_rates": [120_000, 2500, spacing, 40_000],
        "observation": name(number, 7),
        "tick_spacing": spacing,
        "liquidity": liquidity,
        "sqrt_price": raydium_sqrt_price(5) + 999,
        "tick": 5,
        "protocol_fees": [1, 2],
        "fund_fees": [3, 4],
        "status": 0,
        "fee_on": fee_on,
        "bitmap": bits.to_bytes(128, "little").hex(),
        "extension": bytes(1792).hex(),
        "open_time": 1,
        "dynamic_fee": fee,
        "a": side(number, 1, name(number), min(20 * liquidity, (1 << 64) - 1)),
        "b": side(number, 2, name(number), min(20 * liquidity, (1 << 64) - 1)),
        "tick_arrays": arrays,
    }


def meteora_dlmm(
    number: int = 50, orders: bool = False, fee_on_y: bool = False, pair_type: int = 0
) -> dict[str, Any]:
    """A DLMM pair with bins −40..40 of bin step 20 around the active bin 3; orders in bins −2 and 8."""
    step, active = 20, 3
    arrays = []
    for index in (-1, 0):
        rows = []
        for position in range(70):
            bin_id = index * 70 + position
            if abs(bin_id) > 40:
                continue
            x = 10**10 + 7 * bin_id if bin_id >= active else 0
            y = 10**10 - 5 * bin_id if bin_id <= active else 0
            order = [0, 0, 0, 0, 0]
            if orders and bin_id == -2:
                order = [10**9, 10**8, 10**8, 2, 0]
            if orders and bin_id == 8:
                order = [10**9, 0, 0, 1, 1]
            rows.append([position, x, y, bin_price(step, bin_id) if bin_id % 2 else 0, *order])
        arrays.append([index, 2, rows])
    return {
        "venue": "meteora_dlmm",
        "pool": name(number),
        "parameters": [10_000, 30, 600, 5000, 40_000, 350_000, -443_636, 443_636, 500, 0, 2, int(fee_on_y)],
        "variables": [20_000, 10_000, 2, 1_999_900],
        "pair_type": pair_type,
        "active_id": active,
        "bin_step": step,
        "status": 0,
        "activation_type": 1,
        "activation_point": 1_500_000,
        "protocol_fees": [1, 2],
        "reward_mints": [str(Pubkey(bytes(32)))] * 2,
        "oracle": name(number, 8),
        "bitmap": (3 << 511).to_bytes(128, "little").hex(),
        "extension": None,
        "token_flags": [0, 0],
        "x": side(number, 1, name(number), 10**12),
        "y": side(number, 2, name(number), 10**12),
        "bin_arrays": arrays,
    }


def meteora_damm_v2(
    number: int = 60, mode: int = 0, base_fee: int = 0, dynamic: bool = True
) -> dict[str, Any]:
    """A DAMM v2 pool of fee mode ``mode`` (2 compounds) with base-fee mode ``base_fee``."""
    fee = bytearray(40)
    fee[0:8] = (5_000_000).to_bytes(8, "little")
    fee[8] = base_fee
    fee[14:16] = (20).to_bytes(2, "little")
    if base_fee < 2:
        fee[16:24] = (1000).to_bytes(8, "little")
        fee[24:32] = (100_000 if base_fee == 0 else 100).to_bytes(8, "little")
    else:
        fee[16:20] = (100).to_bytes(4, "little")
        fee[20:24] = (9_000 if base_fee == 2 else 500_000).to_bytes(4, "little")
        fee[24:32] = (10**9 if base_fee == 2 else 100_000).to_bytes(8, "little")
    volatile = bytearray(112)
    q64 = 1 << 64
    if dynamic:
        volatile[0] = 1
        for at, size, value in (
            (8, 4, 14_460_000),
            (12, 4, 956),
            (16, 2, 1),
            (18, 2, 10),
            (20, 2, 120),
            (22, 2, 5000),
            (24, 8, 1_999_950),
            (32, 16, 1_844_674_407_370_955),
            (48, 16, q64 + q64 // 1000),
            (64, 16, 30_000),
            (80, 16, 10_000),
        ):
            volatile[at : at + size] = value.to_bytes(size, "little")
    volatile[96:112] = q64.to_bytes(16, "little")
    liquidity = 10**13 << 64
    return {
        "venue": "meteora_damm_v2",
        "pool": name(number),
        "creator": name(number, 9),
        "base_fee": fee.hex(),
        "protocol_percent": 20,
        "referral_percent": 20,
        "compounding_bps": 5000,
        "dynamic_fee": volatile.hex(),
        "liquidity": liquidity,
        "protocol_fees": [1, 2],
        "sqrt_min": q64 // 2,
        "sqrt_max": 2 * q64,
        "sqrt_price": q64 + q64 // 500,
        "activation_point": 1_990_000,
        "modes": [1, 0, 0, 0, mode, 0, 1],
        "amounts": [5 * 10**12, 5 * 10**12 + 10**10],
        "layout_version": 1,
        "a": side(number, 1, "HLnpSz9h2S4hiLQ43rnSD9XkcUThA7B8hQMKmDaiTLcC", 6 * 10**12),
        "b": side(number, 2, "HLnpSz9h2S4hiLQ43rnSD9XkcUThA7B8hQMKmDaiTLcC", 6 * 10**12),
    }


VARIANTS: dict[str, Callable[[], dict[str, Any]]] = {
    "raydium_v4": raydium_v4,
    "raydium_cpmm": raydium_cpmm,
    "raydium_cpmm-creator-both": lambda: raydium_cpmm(21, creator_on=0),
    "raydium_cpmm-creator-0": lambda: raydium_cpmm(22, creator_on=1),
    "raydium_cpmm-creator-1": lambda: raydium_cpmm(23, creator_on=2),
    "whirlpool": whirlpool,
    "whirlpool-dynamic-arrays": lambda: whirlpool(31, kind="dynamic"),
    "whirlpool-adaptive": lambda: whirlpool(32, adaptive=True),
    "raydium_clmm": raydium_clmm,
    "raydium_clmm-fee-on-0": lambda: raydium_clmm(41, fee_on=1),
    "raydium_clmm-fee-on-1": lambda: raydium_clmm(42, fee_on=2),
    "raydium_clmm-dynamic": lambda: raydium_clmm(43, dynamic=True),
    "raydium_clmm-orders": lambda: raydium_clmm(44, orders=True),
    "meteora_dlmm": meteora_dlmm,
    "meteora_dlmm-orders": lambda: meteora_dlmm(51, orders=True),
    "meteora_dlmm-fee-on-y": lambda: meteora_dlmm(52, fee_on_y=True),
    "meteora_damm_v2": meteora_damm_v2,
    "meteora_damm_v2-fee-in-b": lambda: meteora_damm_v2(61, mode=1),
    "meteora_damm_v2-compounding": lambda: meteora_damm_v2(62, mode=2),
    "meteora_damm_v2-time-exponential": lambda: meteora_damm_v2(63, base_fee=1),
    "meteora_damm_v2-limiter": lambda: meteora_damm_v2(64, base_fee=2, mode=1, dynamic=False),
    "meteora_damm_v2-market-linear": lambda: meteora_damm_v2(65, base_fee=3),
    "meteora_damm_v2-market-exponential": lambda: meteora_damm_v2(66, base_fee=4),
}


def accounts_of(variant: str) -> dict[bytes, Account]:
    """The accounts of a variant."""
    return encode(VARIANTS[variant]())


def pool_of(variant: str, settings: Settings = SETTINGS) -> Pool:
    """The pool of a variant, decoded from its accounts."""
    return decode(key(VARIANTS[variant]()["pool"]), accounts_of(variant), settings)
