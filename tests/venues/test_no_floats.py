"""No float touches an amount: by the source, and on figures that a float could not carry (row 9)."""

import ast
from fractions import Fraction
from math import isqrt
from pathlib import Path
from typing import Any

import pytest

import hft.venues
from hft.venues import QuoteError, decode, quote
from hft.venues.encoders import encode
from hft.venues.spl import key
from perf.made_up import CLOCK, MINT_A, SETTINGS, VARIANTS, meteora_dlmm, raydium_cpmm, raydium_v4, whirlpool

# Functions whose results never become amounts: look-outs of the screen, of sizing and of the judge of prices.
FLOAT_FUNCTIONS = {"spot_price", "rates", "depths", "marginal", "marginal_at", "_keep", "_price"}
FLOAT_FUNCTIONS |= {"glance", "held_price"}
U64 = (1 << 64) - 1


def float_uses(tree: ast.Module) -> list[str]:
    """Places outside the allowed functions where a float could come into being."""
    found = []
    stack: list[tuple[ast.AST, str]] = [(tree, "")]
    while stack:
        node, where = stack.pop()
        if isinstance(node, ast.FunctionDef):
            if node.name in FLOAT_FUNCTIONS:
                continue
            where = node.name
        divided = isinstance(node, (ast.BinOp, ast.AugAssign)) and isinstance(node.op, ast.Div)
        constant = isinstance(node, ast.Constant) and isinstance(node.value, float)
        called = (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("float", "sqrt", "round")
        )
        if divided or constant or called:
            found.append(f"{where} line {getattr(node, 'lineno', 0)}")
        stack.extend((child, where) for child in ast.iter_child_nodes(node))
    return found


def test_row_09_no_source_line_outside_the_screen_makes_a_float() -> None:
    folder = Path(hft.venues.__file__).parent
    uses = {path.name: float_uses(ast.parse(path.read_text())) for path in sorted(folder.glob("*.py"))}
    assert {name: lines for name, lines in uses.items() if lines} == {}
    assert len(uses) > 15


def test_the_search_for_floats_finds_them() -> None:
    assert float_uses(ast.parse("def quote(x):\n    return x / 2")) == ["quote line 2"]
    assert float_uses(ast.parse("def spot_price(x):\n    return x / 2.0")) == []


@pytest.mark.parametrize("amount", [U64, U64 - 1, 2**53 + 1, 2**63 + 3, 10**18 + 9])
def test_row_09_constant_product_is_exact_at_the_end_of_64_bits(amount: int) -> None:
    figures = raydium_v4(a=U64, b=U64 - 2)
    pool = decode(key(figures["pool"]), encode(figures), SETTINGS)
    fee = -(-amount * 25 // 10_000)
    exact = Fraction((U64 - 2 - 23) * (amount - fee), U64 - 17 + amount - fee)
    out = quote(pool, key(MINT_A), amount, CLOCK).amount_out
    assert type(out) is int
    assert out <= exact < out + 1
    figures = raydium_cpmm(a=U64, b=U64 - 2)
    pool = decode(key(figures["pool"]), encode(figures), SETTINGS)
    fee = -(-amount * 2500 // 1_000_000)
    exact = Fraction((U64 - 2 - 12 - 14 - 16) * (amount - fee), U64 - 11 - 13 - 15 + amount - fee)
    out = quote(pool, key(MINT_A), amount, CLOCK).amount_out
    assert out <= exact < out + 1


@pytest.mark.parametrize("bits", [64, 80, 100])
@pytest.mark.parametrize("amount", [U64, 2**53 + 1, 10**18 + 9])
def test_row_09_concentrated_liquidity_is_exact_with_128_bits(bits: int, amount: int) -> None:
    """Within a tick the amounts obey the curve exactly: in is rounded up, out down, by less than a unit."""
    figures = whirlpool(liquidity=(1 << bits) + 12_345)
    pool: Any = decode(key(figures["pool"]), encode(figures), SETTINGS)
    try:
        result = quote(pool, pool.mint_a, amount, CLOCK)
    except QuoteError:
        assert bits == 64
        return
    after: Any = result.pool_after
    if result.crossings:
        return
    liquidity, before, end = pool.liquidity, pool.sqrt_price, after.sqrt_price
    exact_in = Fraction(liquidity * (before - end) << 64, before * end)
    exact_out = Fraction(liquidity * (before - end), 1 << 64)
    net = result.amount_in_used - result.fee
    assert exact_in <= net < exact_in + 1
    assert result.amount_out <= exact_out < result.amount_out + 1


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_row_09_every_amount_of_every_venue_is_an_integer(variant: str) -> None:
    figures = VARIANTS[variant]()
    pool = decode(key(figures["pool"]), encode(figures), SETTINGS)
    for amount in (1, 1000, 2**31 + 1, 2**53 + 1, U64):
        for mint in (pool.mint_a, pool.mint_b):
            try:
                result = quote(pool, mint, amount, CLOCK)
            except QuoteError:
                continue
            names = ("amount_in", "amount_in_used", "amount_out", "fee", "crossings", "rebate", "paid")
            assert {type(getattr(result, name)) for name in names} == {int}


def test_row_09_a_bin_of_64_bit_amounts_is_exact() -> None:
    figures = meteora_dlmm()
    for _, _, rows in figures["bin_arrays"]:
        for row in rows:
            row[1] = row[1] and U64
            row[2] = row[2] and U64
    pool: Any = decode(key(figures["pool"]), encode(figures), SETTINGS)
    amount = 2**63 + 1
    result = quote(pool, pool.mint_a, amount, CLOCK)
    assert result.crossings == 0
    price = pool.bins.get(3) or result.pool_after.bins[3].price
    exact = Fraction((amount - result.fee) * price, 1 << 64)
    assert result.amount_out <= exact < result.amount_out + 1
    assert isqrt(amount) ** 2 != amount
