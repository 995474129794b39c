"""A real day of Whirlpool: 9,466 swaps and 475 liquidity changes replayed through account bytes."""

import gzip
import json
from pathlib import Path
from typing import Any

from venue_vectors import Complete, key, load_set

from hft.venues import (
    Account,
    ChainClock,
    Pool,
    PoolError,
    decode,
    decode_changed,
    quote,
    store,
)
from hft.venues.encoders import figures
from hft.venues.whirlpool_accounts import POOL_FIELDS, POOL_FIELDS_AT, array_start, tick_array_address


class Day:
    """The market of the tape: account bytes, and the pools decoded from them."""

    def __init__(self, accounts: dict[bytes, Account]) -> None:
        self.accounts = accounts
        self.pools: dict[bytes, Pool] = {}

    def pool(self, pubkey: bytes) -> Pool:
        if pubkey not in self.pools:
            self.pools[pubkey] = decode(pubkey, self.accounts)
        return self.pools[pubkey]

    def take(self, pubkey: bytes, changed: dict[bytes, bytes]) -> None:
        for account, data in changed.items():
            self.accounts[account] = self.accounts[account]._replace(data=data)
        if pubkey in self.pools:
            try:
                self.pools[pubkey] = decode_changed(self.pools[pubkey], self.accounts, changed)
            except PoolError:  # on this day one small pool loses all its liquidity for a while
                del self.pools[pubkey]

    def swap(self, line: dict[str, Any]) -> None:
        pool = self.pool(key(line["pool"]))
        mint = pool.mint_a if line["a_to_b"] else pool.mint_b
        result = quote(pool, mint, line["amount_in"], ChainClock(line["slot"], line["unix_time"]))
        assert (result.amount_out, result.amount_in_used) == (line["amount_out"], line["amount_in"]), line
        self.take(pool.key, store(result.pool_after, self.accounts))
        after: Any = self.pools[pool.key]
        assert after.sqrt_price == line["sqrt_price_post"], line
        assert (after.tick, after.liquidity) == (line["tick_post"], line["liquidity_post"]), line

    def liquidity(self, line: dict[str, Any]) -> None:
        """Move a position's liquidity: the two ticks, and the pool's own if the price lies between them."""
        pubkey, delta = key(line["pool"]), line["liquidity_delta"]
        data = bytearray(self.accounts[pubkey].data)
        fields = list(POOL_FIELDS.unpack_from(data, POOL_FIELDS_AT))
        lower, upper = line["tick_lower"], line["tick_upper"]
        if lower <= fields[6] < upper:
            moved = int.from_bytes(fields[4], "little") + delta
            assert moved == line["liquidity_post"], line
            data[49:65] = moved.to_bytes(16, "little")
        changed = {pubkey: bytes(data)}
        for tick, sign in ((lower, 1), (upper, -1)):
            start = array_start(tick, fields[0])
            address = tick_array_address(pubkey, start)
            array = bytearray(changed.get(address, self.accounts[address].data))
            at = 12 + 113 * ((tick - start) // fields[0])
            net = int.from_bytes(array[at + 1 : at + 17], "little", signed=True) + sign * delta
            gross = int.from_bytes(array[at + 17 : at + 33], "little") + delta
            array[at] = 1 if gross else 0
            array[at + 1 : at + 17] = net.to_bytes(16, "little", signed=True)
            array[at + 17 : at + 33] = gross.to_bytes(16, "little")
            changed[address] = bytes(array)
        self.take(pubkey, changed)


def test_the_whole_day_comes_out_to_the_unit(shared_data: Path) -> None:
    day = Day(Complete(load_set(shared_data, "whirlpool/tape-start-2022-04-06")))
    swaps = 0
    with gzip.open(shared_data / "tapes" / "whirlpool-swaps-2022-04-06.jsonl.gz", "rt") as tape:
        for line in map(json.loads, tape):
            if line["kind"] == "swap":
                day.swap(line)
                swaps += 1
            elif line["kind"] == "liquidity":
                day.liquidity(line)
    assert swaps == 9466
    end = load_set(shared_data, "whirlpool/tape-end-2022-04-06")
    for pubkey in day.pools:
        ours, theirs = figures(pubkey, day.accounts), figures(pubkey, end)
        for name in (
            "sqrt_price",
            "tick",
            "liquidity",
            "protocol_fee_owed_a",
            "protocol_fee_owed_b",
            "tick_arrays",
        ):
            assert ours[name] == theirs[name], (pubkey.hex(), name)
