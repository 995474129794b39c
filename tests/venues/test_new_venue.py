"""A venue is one file and one registry line: the page's example, run as it stands there."""

import re
from types import ModuleType
from typing import Any

import pytest
from solders.keypair import Keypair

from hft.strategy.screen import candidates
from hft.strategy.two_hop import size
from hft.venues import (
    Account,
    QuoteError,
    decode,
    decode_changed,
    encode_mint,
    parse_swap,
    quote,
    quote_exact_out,
    registry,
    required_accounts,
    screen_form,
    store,
    swap_instruction,
    venue_of,
)
from hft.venues.encoders import encode
from hft.venues.spl import TOKEN_PROGRAM, key
from perf import made_up
from tests.conftest import ROOT

CLOCK = made_up.CLOCK
PAGE = ROOT / "hft" / "venues" / "README.md"
POOL = bytes([8] * 32)
MINT_A, MINT_B = (bytes([number + 1] * 32) for number in (0, 1))


@pytest.fixture
def flat(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The page's file, with its registry line."""
    found = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found
    module = ModuleType("flat")
    exec(compile(found[1], str(PAGE), "exec"), module.__dict__)
    spec = module.SPEC
    monkeypatch.setattr(registry, "VENUES", (*registry.VENUES, spec))
    monkeypatch.setitem(registry.BY_PROGRAM, spec.program, spec)
    monkeypatch.setitem(registry.BY_VENUE, spec.venue, spec)
    return module


def accounts(flat: Any, fee: int) -> dict[bytes, Account]:
    vaults = bytes([11] * 32) + bytes([12] * 32)
    data = flat.HEAD + MINT_A + MINT_B + vaults + flat.TAIL.pack(fee, 10**9, 2 * 10**9)
    mint = Account(TOKEN_PROGRAM, encode_mint(9, 10**18), 10**7)
    return {POOL: Account(flat.PROGRAM, data, 10**7), MINT_A: mint, MINT_B: mint}


def test_every_shared_function_serves_the_new_venue(flat: Any) -> None:
    known = accounts(flat, 3000)
    assert venue_of(known[POOL]) is flat.SPEC.venue
    assert required_accounts(POOL, known[POOL]) == (MINT_A, MINT_B)
    pool = decode(POOL, known)
    made = quote(pool, MINT_A, 1_000_001, CLOCK)
    assert (made.amount_out, made.fee) == (997_000, 3001)
    assert quote_exact_out(pool, MINT_B, made.amount_out, CLOCK).amount_in <= 1_000_001
    assert screen_form(pool).rate_a_to_b == pytest.approx(0.997)
    after = store(made.pool_after, known)
    again = decode_changed(pool, known | {POOL: known[POOL]._replace(data=after[POOL])}, {POOL})
    assert quote(again, MINT_A, 10**6, CLOCK).amount_out == quote(pool, MINT_A, 10**6, CLOCK).amount_out
    with pytest.raises(QuoteError, match="insufficient_liquidity"):
        quote(pool, MINT_A, 3 * 10**9, CLOCK)
    user = Keypair().pubkey()
    instruction = swap_instruction(pool, user, MINT_A, 5, 4)
    keys = [bytes(meta.pubkey) for meta in instruction.accounts]
    call = parse_swap(bytes(instruction.program_id), keys, instruction.data)
    assert call is not None
    assert (call.pool, call.amount_in, call.minimum_out, call.user) == (POOL, 5, 4, bytes(user))
    figures = flat.SPEC.figures(POOL, known)
    assert flat.SPEC.encode(figures)[POOL].data == known[POOL].data


def test_routes_through_the_new_venue_are_found_and_sized(flat: Any) -> None:
    other = made_up.raydium_v4(10, 10**9, 11 * 10**8)
    known = encode(other)
    v4 = decode(key(other["pool"]), known, made_up.SETTINGS)
    vaults = bytes([11] * 32) + bytes([12] * 32)
    data = flat.HEAD + v4.mint_a + v4.mint_b + vaults + flat.TAIL.pack(500, 10**12, 10**12)
    pool = decode(POOL, {**known, POOL: Account(flat.PROGRAM, data, 10**7)})
    routes = candidates([v4, pool], v4.mint_a, clock=CLOCK)
    assert [(route.pool_1, route.pool_2) for route in routes] == [(v4, pool)]
    best = size(v4, pool, v4.mint_a, CLOCK, minimum_in=1, maximum_in=10**9)
    assert best is not None
    assert best.gross_profit > 10**6
