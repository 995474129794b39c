"""What must hold for every swap of every venue, searched by hypothesis on made-up pools."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hft.venues import Pool, Quote, QuoteError, decode_changed, quote, quote_exact_out, store, token_amount
from perf.made_up import CLOCK, VARIANTS, accounts_of, pool_of

POOLS = {variant: pool_of(variant) for variant in VARIANTS}
VAULTS = {
    variant: {
        mint: token_amount(accounts_of(variant)[vault].data)
        for mint, vault in ((pool.mint_a, pool.vault_a), (pool.mint_b, pool.vault_b))
    }
    for variant, pool in POOLS.items()
}
# A rate limiter's fee grows with the size of the swap: splitting pays, and more in may give less out.
MONOTONE = sorted(set(VARIANTS) - {"meteora_damm_v2-limiter"})

amounts = st.integers(0, 45).flatmap(lambda bits: st.integers(1 << bits, 2 << bits))
searched = settings(max_examples=25, deadline=None, derandomize=True, database=None)


def quoted(pool: Pool, mint: bytes, amount: int) -> Quote | None:
    try:
        return quote(pool, mint, amount, CLOCK)
    except QuoteError:
        return None


def mint_of(pool: Pool, a_to_b: bool) -> bytes:
    return pool.mint_a if a_to_b else pool.mint_b


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_never_pays_more_than_the_vault_holds(variant: str) -> None:
    pool = POOLS[variant]

    @searched
    @given(amount=amounts, a_to_b=st.booleans())
    def check(amount: int, a_to_b: bool) -> None:
        mint = mint_of(pool, a_to_b)
        result = quoted(pool, mint, amount)
        if result is not None:
            assert 0 <= result.amount_out < VAULTS[variant][pool.other_mint(mint)]
            assert 0 < result.amount_in_used <= amount
            assert result.fee >= 0

    check()


@pytest.mark.parametrize("variant", MONOTONE)
def test_more_in_never_gives_less_out(variant: str) -> None:
    pool = POOLS[variant]

    @searched
    @given(amount=amounts, more=st.integers(1, 10**6), a_to_b=st.booleans())
    def check(amount: int, more: int, a_to_b: bool) -> None:
        less, greater = (quoted(pool, mint_of(pool, a_to_b), n) for n in (amount, amount + more))
        if less is not None and greater is not None:
            assert less.amount_out <= greater.amount_out

    check()


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_a_round_trip_never_gains(variant: str) -> None:
    pool = POOLS[variant]

    @searched
    @given(amount=amounts, a_to_b=st.booleans())
    def check(amount: int, a_to_b: bool) -> None:
        mint = mint_of(pool, a_to_b)
        there = quoted(pool, mint, amount)
        if there is None or there.amount_out == 0:
            return
        back = quoted(there.pool_after, pool.other_mint(mint), there.amount_out)
        if back is not None:
            assert back.amount_out <= there.amount_in_used

    check()


@pytest.mark.parametrize("variant", MONOTONE)
def test_exact_out_asks_no_more_than_exact_in_took_and_gets_as_much(variant: str) -> None:
    pool = POOLS[variant]

    @searched
    @given(amount=amounts, a_to_b=st.booleans())
    def check(amount: int, a_to_b: bool) -> None:
        mint = mint_of(pool, a_to_b)
        there = quoted(pool, mint, amount)
        if there is None or there.amount_out == 0:
            return
        wanted = quote_exact_out(pool, pool.other_mint(mint), there.amount_out, CLOCK)
        assert wanted.amount_out == there.amount_out
        assert wanted.amount_in <= there.amount_in_used
        again = quoted(pool, mint, wanted.amount_in)
        assert again is not None
        assert again.amount_out >= there.amount_out

    check()


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_a_quote_changes_nothing_and_its_state_survives_the_bytes(variant: str) -> None:
    """``pool_after`` and the pool decoded from stored bytes quote alike; the quoted pool quotes as before."""
    pool = POOLS[variant]
    accounts = accounts_of(variant)

    @searched
    @given(amount=amounts, following=amounts, a_to_b=st.booleans(), back=st.booleans())
    def check(amount: int, following: int, a_to_b: bool, back: bool) -> None:
        mint = mint_of(pool, a_to_b)
        first = quoted(pool, mint, amount)
        if first is None:
            return
        after = first.pool_after
        stored = store(after, accounts)
        moved = {key: accounts[key]._replace(data=data) for key, data in stored.items()}
        vault_in, vault_out = pool.vaults(mint)
        for vault, by in ((vault_in, first.amount_in_used), (vault_out, -first.paid)):
            data = accounts[vault].data
            total = token_amount(data) + by
            moved[vault] = accounts[vault]._replace(data=data[:64] + total.to_bytes(8, "little") + data[72:])
        decoded = decode_changed(pool, accounts | moved, moved)
        onward = mint_of(pool, back)
        kept, read = quoted(after, onward, following), quoted(decoded, onward, following)
        assert (kept and (kept.amount_out, kept.amount_in_used)) == (
            read and (read.amount_out, read.amount_in_used)
        )
        again = quoted(pool, mint, amount)
        assert again is not None
        assert again.amount_out == first.amount_out

    check()


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_time_brings_better_rates_than_those_without_a_clock(variant: str) -> None:
    pool = pool_of(variant)
    best = pool.rates(None)
    for passed in (0, 1, 10, 1_000, 10**5, 10**7, 10**9):
        now = pool.rates(
            CLOCK._replace(slot=CLOCK.slot + passed, unix_timestamp=CLOCK.unix_timestamp + passed)
        )
        assert now[0] <= best[0]
        assert now[1] <= best[1]
        assert pool.fee_moves or now == best
