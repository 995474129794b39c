"""Seventeen real mainnet swaps of a Raydium CLMM pool: what we quote is what mainnet paid."""

import base64
import gzip
import json
from pathlib import Path

from venue_vectors import SETTINGS, key

from hft.venues import Account, ChainClock, decode, encode_mint, quote
from hft.venues.raydium_clmm_accounts import (
    CONFIG_HEAD,
    CONFIG_RATES,
    CONFIG_RATES_AT,
    CONFIG_SIZE,
    POOL_CURVE,
    POOL_CURVE_AT,
    PROGRAM,
)
from hft.venues.spl import TOKEN_PROGRAM


def test_recorded_mainnet_swaps_come_out_to_the_unit(shared_data: Path) -> None:
    count = 0
    path = shared_data / "accounts" / "raydium_clmm" / "recorded-swaps-2026-04.jsonl.gz"
    with gzip.open(path, "rt") as file:
        for row in map(json.loads, file):
            data = base64.b64decode(row["pool_data_base64"])
            config = bytearray(CONFIG_SIZE)
            config[0:8] = CONFIG_HEAD
            spacing = POOL_CURVE.unpack_from(data, POOL_CURVE_AT)[0]
            CONFIG_RATES.pack_into(config, CONFIG_RATES_AT, 120_000, row["trade_fee_rate"], spacing, 40_000)
            accounts = {
                key(row["pool"]): Account(PROGRAM, data, 1),
                data[9:41]: Account(PROGRAM, bytes(config), 1),
                data[73:105]: Account(TOKEN_PROGRAM, encode_mint(9, 1), 1),
                data[105:137]: Account(TOKEN_PROGRAM, encode_mint(6, 1), 1),
            }
            for array in row["tick_arrays"]:
                accounts[key(array["pubkey"])] = Account(PROGRAM, base64.b64decode(array["data_base64"]), 1)
            pool = decode(key(row["pool"]), accounts, SETTINGS)
            mint = pool.mint_a if row["zero_for_one"] else pool.mint_b
            result = quote(pool, mint, row["amount"], ChainClock(row["slot"], row["unix_timestamp"]))
            assert result.amount_in_used == row["observed_amount_in"], row["id"]
            assert result.amount_out == row["observed_amount_out"], row["id"]
            count += 1
    assert count == 17
