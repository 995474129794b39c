"""Exact-out swaps over CLMM pools with limit orders, dynamic fee and fee side: as Raydium's SDK has them.

``clmm_exact_out.json`` holds its answers for made-up pools. Where the SDK is installed (scripts/peers) they
are computed anew and compared; run this file as a program to write them.
"""

import base64
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from solders.pubkey import Pubkey

from hft.venues import Pool, QuoteError, decode, quote_exact_out
from hft.venues.encoders import encode
from hft.venues.raydium_clmm_accounts import extension_address, tick_array_address
from hft.venues.spl import key
from perf.made_up import CLOCK, SETTINGS, raydium_clmm
from perf.peers import sdk

HERE = Path(__file__).parent
ANSWERS = HERE / "clmm_exact_out.json"
SDK = "@raydium-io/raydium-sdk-v2"
KINDS = tuple((fee_on, dynamic) for fee_on in (0, 1, 2) for dynamic in (False, True))
"""Pools with limit orders on both sides: fee on the input, on token 0, on token 1; fixed and dynamic."""


def figures(number: int) -> dict[str, Any]:
    fee_on, dynamic = KINDS[number]
    return raydium_clmm(70 + number, fee_on=fee_on, dynamic=dynamic, orders=True)


def pool_of(number: int) -> Any:
    plain = figures(number)
    return decode(key(plain["pool"]), encode(plain), SETTINGS)


def asks() -> list[dict[str, Any]]:
    """Amounts from 1 to beyond the liquidity, log-uniform, both ways."""
    chance = random.Random(5)
    return [
        {"pool": number, "down": down, "amount": str(int(2 ** chance.uniform(0, 42)))}
        for number in range(len(KINDS))
        for down in (True, False)
        for _ in range(24)
    ]


def computed() -> list[list[str] | None]:
    """The SDK's answers."""
    pools = []
    for number in range(len(KINDS)):
        pool = pool_of(number)
        accounts = {
            str(Pubkey(k)): base64.b64encode(a.data).decode() for k, a in encode(figures(number)).items()
        }
        known = {"pool": pool.key, "config": pool.config, "extension": extension_address(pool.key)}
        arrays = {
            side: [str(Pubkey(tick_array_address(pool.key, start))) for start in starts]
            for side, starts in (("down", pool.down), ("up", pool.up))
        }
        pools.append({"accounts": accounts, **{k: str(Pubkey(v)) for k, v in known.items()}, **arrays})
    given = {"modules": sdk.folder(), "pools": pools, "asks": asks(), "time": CLOCK.unix_timestamp}
    command = ["node", str(HERE / "clmm_exact_out.mjs")]
    done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, check=True)
    found: list[list[str] | None] = json.loads(done.stdout)
    return found


def ours(pool: Pool, down: bool, amount: int) -> list[str] | None:
    try:
        quoted = quote_exact_out(pool, pool.mint_b if down else pool.mint_a, amount, CLOCK)
    except QuoteError:
        return None
    after: Any = quoted.pool_after
    figures = (quoted.amount_in, quoted.fee, after.sqrt_price, after.tick, after.liquidity)
    return [str(figure) for figure in figures]


def test_exact_out_through_limit_orders_is_what_the_sdk_computes() -> None:
    pools = [pool_of(number) for number in range(len(KINDS))]
    answers = json.loads(ANSWERS.read_text())
    served = 0
    for ask, answer in zip(asks(), answers, strict=True):
        pool = pools[ask["pool"]]
        assert ours(pool, ask["down"], int(ask["amount"])) == answer, ask
        if answer is not None:
            edge = -100 if ask["down"] else 100
            served += int(answer[3]) <= edge if ask["down"] else int(answer[3]) >= edge - 1
    assert served >= 20


def test_the_answers_are_the_sdks() -> None:
    why = sdk.missing(SDK)
    if why:
        pytest.skip(why)
    assert computed() == json.loads(ANSWERS.read_text())


if __name__ == "__main__":
    rows = ",\n".join(json.dumps(row) for row in computed())
    ANSWERS.write_text(f"[\n{rows}\n]\n")
    print(f"{ANSWERS}: written", file=sys.stderr)
