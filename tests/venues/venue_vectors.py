"""Reading the chain data for the venue tests: account sets, executed swaps, states by field name."""

import base64
import gzip
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from solders.pubkey import Pubkey

from hft.replay.tape import Complete
from hft.venues import (
    Account,
    ChainClock,
    DustRule,
    Pool,
    QuoteError,
    Settings,
    Venue,
    decode,
    quote,
)

# The vectors come from the binary of 2025-06, whose AMM v4 takes no fee of inputs below 200 units, and
# name nobody as host or referrer.
SETTINGS = Settings(dust_rule=DustRule.ROUND_HALF, own_host_fee=False)

# Sets that hold every tick array that existed: what is missing there does not exist.
COMPLETE = ("whirlpool/lst-2023-03", "whirlpool/adaptive-fee-synthetic", "whirlpool/tape")


def key(text: str) -> bytes:
    return bytes(Pubkey.from_string(text))


def load_set(data: Path, name: str) -> dict[bytes, Account]:
    """Accounts of ``<dex>/<set>``."""
    with gzip.open(data / "accounts" / f"{name}.json.gz") as file:
        rows = json.load(file)["accounts"]
    accounts = Complete() if name.startswith(COMPLETE) else {}
    for row in rows:
        accounts[key(row["pubkey"])] = Account(
            key(row["owner"]), base64.b64decode(row["data_base64"]), row["lamports"]
        )
    return accounts


def lines(data: Path, name: str) -> Iterator[dict[str, Any]]:
    """Objects of ``vectors/<name>.jsonl.gz``."""
    with gzip.open(data / "vectors" / f"{name}.jsonl.gz", "rt") as file:
        yield from map(json.loads, file)


def clock_of(line: Mapping[str, Any]) -> ChainClock:
    return ChainClock(line["slot"], line["unix_timestamp"])


def post_state(pool: Any) -> dict[str, Any]:
    """The pool's state by the vectors' field names."""
    return _POST[pool.venue](pool)


def _whirlpool(pool: Any) -> dict[str, Any]:
    state: dict[str, Any] = {
        "sqrt_price": pool.sqrt_price,
        "tick": pool.tick,
        "liquidity": pool.liquidity,
        "protocol_fee_owed_a": pool.owed_a,
        "protocol_fee_owed_b": pool.owed_b,
    }
    if pool.oracle is not None:
        state["oracle"] = {
            "last_reference_update_timestamp": pool.oracle.last_reference,
            "last_major_swap_timestamp": pool.oracle.last_major,
            "volatility_reference": pool.oracle.volatility_reference,
            "tick_group_index_reference": pool.oracle.group_reference,
            "volatility_accumulator": pool.oracle.volatility,
        }
    return state


def _raydium_v4(pool: Any) -> dict[str, Any]:
    return {
        "vault_coin": pool.amount_a,
        "vault_pc": pool.amount_b,
        "reserve_coin": pool.reserve_a,
        "reserve_pc": pool.reserve_b,
    }


def _raydium_cpmm(pool: Any) -> dict[str, Any]:
    return {
        "vault_0": pool.amount_a,
        "vault_1": pool.amount_b,
        "reserve_0": pool.reserve_a,
        "reserve_1": pool.reserve_b,
        "protocol_fees_0": pool.protocol_fee_a,
        "protocol_fees_1": pool.protocol_fee_b,
        "fund_fees_0": pool.fund_fee_a,
        "fund_fees_1": pool.fund_fee_b,
    }


def _raydium_clmm(pool: Any) -> dict[str, Any]:
    return {
        "sqrt_price": pool.sqrt_price,
        "tick": pool.tick,
        "liquidity": pool.liquidity,
        "protocol_fees_0": pool.protocol_fees[0],
        "protocol_fees_1": pool.protocol_fees[1],
        "fund_fees_0": pool.fund_fees[0],
        "fund_fees_1": pool.fund_fees[1],
    }


def _meteora_dlmm(pool: Any) -> dict[str, Any]:
    return {
        "active_id": pool.active_id,
        "volatility_accumulator": pool.volatility.accumulator,
        "volatility_reference": pool.volatility.reference,
        "index_reference": pool.volatility.origin,
        "last_update_timestamp": pool.volatility.last_update,
        "protocol_fee_x": pool.protocol_fees[0],
        "protocol_fee_y": pool.protocol_fees[1],
    }


def _meteora_damm_v2(pool: Any) -> dict[str, Any]:
    fee = pool.dynamic
    return {
        "sqrt_price": pool.sqrt_price,
        "liquidity": pool.liquidity,
        "protocol_a_fee": pool.protocol_fee_a,
        "protocol_b_fee": pool.protocol_fee_b,
        "token_a_amount": pool.amount_a if pool.stores_amounts else 0,
        "token_b_amount": pool.amount_b if pool.stores_amounts else 0,
        "sqrt_price_reference": fee.price_reference if fee else 0,
        "volatility_accumulator": fee.volatility if fee else 0,
        "volatility_reference": fee.volatility_reference if fee else 0,
        "last_update_timestamp": fee.last_update if fee else 0,
    }


_POST = {
    Venue.WHIRLPOOL: _whirlpool,
    Venue.RAYDIUM_V4: _raydium_v4,
    Venue.RAYDIUM_CPMM: _raydium_cpmm,
    Venue.RAYDIUM_CLMM: _raydium_clmm,
    Venue.METEORA_DLMM: _meteora_dlmm,
    Venue.METEORA_DAMM_V2: _meteora_damm_v2,
}


def difference(pool: Pool, line: Mapping[str, Any]) -> str | None:
    """What differs between our quote and an executed swap; None if all agrees (or both refuse)."""
    try:
        result = quote(pool, key(line["input_mint"]), line["amount_in"], clock_of(line))
    except QuoteError as error:
        return None if "error" in line else f"we refuse ({error}), the program paid {line['amount_out']}"
    if "error" in line:
        # Compute exhaustion depends on the transaction's limit, not on the pool: a quote may name an amount.
        if line["error"] == "ComputationalBudgetExceeded":
            return None
        return f"we pay {result.amount_out}, the program refused with {line['error']}"
    expected = (line["amount_out"], line.get("amount_in_used", line["amount_in"]))
    if (result.amount_out, result.amount_in_used) != expected:
        return f"we pay {result.amount_out} for {result.amount_in_used}, the program {expected}"
    if "fee_total" in line and result.fee != line["fee_total"]:
        return f"our fee is {result.fee}, the program's {line['fee_total']}"
    if "post" in line:
        state = post_state(result.pool_after)
        ours = {name: state[name] for name in line["post"]}
        if ours != line["post"]:
            return f"state after: ours {ours}, the program's {line['post']}"
    return None


class Pools:
    """Decoded pools of the sets, each decoded once."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._sets: dict[str, dict[bytes, Account]] = {}
        self._pools: dict[tuple[str, str], Pool] = {}

    def accounts(self, name: str) -> dict[bytes, Account]:
        if name not in self._sets:
            self._sets[name] = load_set(self._data, name)
        return self._sets[name]

    def pool(self, name: str, pubkey: str) -> Pool:
        if (name, pubkey) not in self._pools:
            self._pools[name, pubkey] = decode(key(pubkey), self.accounts(name), SETTINGS)
        return self._pools[name, pubkey]
