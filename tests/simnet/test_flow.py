"""Order flow: one market a seed, pools that stay what their accounts say, dislocations that pass."""

import hashlib

import pytest
from simnet_helpers import shipped_bank

from hft.simnet.bank import Bank
from hft.simnet.flow import NEVER, SECOND_NS, Flow, profile_of
from hft.simnet.market import SETTINGS, MarketError, shipped_profile
from hft.venues import TOKEN_PROGRAM, WRAPPED_SOL, Pool, QuoteError, decode, quote, token_amount

SLOT_NS = 400_000_000


def flow_on(bank: Bank, seed: int = 3, rate: int = 200) -> Flow:
    return Flow(bank, profile_of(shipped_profile()), seed=seed, swaps_per_second=rate)


def market_digest(seed: int, seconds: int, rate: int = 200) -> tuple[str, int]:
    """Digest of everything a subscriber would get in so long, and how many updates that are."""
    bank = shipped_bank(seed)
    flow, digest, slots, updates = flow_on(bank, seed, rate), hashlib.sha256(), 0, 0
    while min(flow.next_ns, (slots + 1) * SLOT_NS) < seconds * SECOND_NS:
        if (slots + 1) * SLOT_NS <= flow.next_ns:
            slots += 1
            digest.update(repr(bank.next_slot()).encode())
        else:
            flow.step()
        for update in bank.take_changes():
            updates += 1
            digest.update(repr(update).encode())
    return digest.hexdigest(), updates


def test_the_same_seed_gives_the_same_market_byte_for_byte() -> None:
    first, second, other = market_digest(3, 5), market_digest(3, 5), market_digest(4, 5)
    assert first == second
    assert first[0] != other[0]
    assert first[1] > 1000


def test_pools_are_what_a_client_decodes_from_the_accounts() -> None:
    bank = shipped_bank()
    flow = flow_on(bank)
    for step in range(600):
        flow.step()
        if step % 60 == 0:
            bank.next_slot()
            for pool_key, pool in bank.pools.items():
                assert_equal_pools(bank, pool, decode(pool_key, bank.accounts, SETTINGS))
    counts = flow.counts
    assert counts.noise > 500
    assert counts.refused < 20


def assert_equal_pools(bank: Bank, ours: Pool, fresh: Pool) -> None:
    """Both give the same swaps, or refuse the same ones."""
    assert ours.spot_price(ours.mint_a) == fresh.spot_price(fresh.mint_a)
    for mint in (ours.mint_a, ours.mint_b):
        for amount in (10**6, 10**10, 10**13):
            assert outcome(bank, ours, mint, amount) == outcome(bank, fresh, mint, amount)


def outcome(bank: Bank, pool: Pool, mint: bytes, amount: int) -> object:
    try:
        found = quote(pool, mint, amount, bank.clock)
    except QuoteError as error:
        return error.code
    return (found.amount_in_used, found.amount_out, found.fee, found.crossings)


def test_the_svm_holds_the_same_accounts() -> None:
    from solders.pubkey import Pubkey

    bank = shipped_bank()
    flow = flow_on(bank)
    for _ in range(200):
        flow.step()
    for pubkey, account in bank.accounts.items():
        held = bank.svm.get_account(Pubkey(pubkey))
        if account.lamports == 0:
            assert held is None or held.lamports == 0
            continue
        assert held is not None
        assert (bytes(held.owner), held.data, held.lamports) == account
        if account.owner == TOKEN_PROGRAM and account.data[:32] == WRAPPED_SOL and len(account.data) == 165:
            assert account.lamports == token_amount(account.data) + 2_039_280


def profits(bank: Bank) -> dict[tuple[bytes, bytes], int]:
    """Gross profit of one SOL there and back, for every ordered pair of pools that makes one."""
    found = {}
    for first in bank.pools.values():
        for second in bank.pools.values():
            if first is second or {first.mint_a, first.mint_b} != {second.mint_a, second.mint_b}:
                continue
            mid = quote(first, WRAPPED_SOL, 10**9, bank.clock)
            back = quote(second, first.other_mint(WRAPPED_SOL), mid.amount_out, bank.clock)
            if back.amount_out > 10**9:
                found[first.key, second.key] = back.amount_out - 10**9
    return found


def test_dislocations_beyond_both_fees_appear_last_a_while_and_vanish() -> None:
    bank = shipped_bank()
    flow = flow_on(bank, seed=1, rate=50)
    flow.open_market()
    assert not profits(bank), "the snapshot's pools open within their fees of one another"
    begun: dict[tuple[bytes, bytes], int] = {}
    lasted = []
    while flow.next_ns < 60 * SECOND_NS:
        now_ns = flow.next_ns
        flow.step()
        profitable = profits(bank)
        for route in profitable:
            begun.setdefault(route, now_ns)
        for route in [route for route in begun if route not in profitable]:
            lasted.append(now_ns - begun.pop(route))
    lasted.sort()
    assert len(lasted) >= 20
    assert 50_000_000 < lasted[len(lasted) // 2] < 3 * SECOND_NS
    assert lasted[-1] < 20 * SECOND_NS


def test_prices_stay_near_where_they_began() -> None:
    bank = shipped_bank()
    began = {pool_key: pool.spot_price(pool.mint_a) for pool_key, pool in bank.pools.items()}
    flow = flow_on(bank, rate=100)
    while flow.next_ns < 100 * SECOND_NS:
        flow.step()
        bank.take_changes()
    for pool_key, price in began.items():
        assert bank.pools[pool_key].spot_price(bank.pools[pool_key].mint_a) == pytest.approx(price, rel=0.05)


def test_no_rate_means_no_flow() -> None:
    bank = shipped_bank()
    assert flow_on(bank, rate=0).next_ns == NEVER


@pytest.mark.parametrize(
    "figures",
    [
        {},
        {"size_ppb": [], "same_side_ppm": 1},
        {"size_ppb": [[0, 1], [5, 2]], "same_side_ppm": 1},
        {"size_ppb": [[0, 9], [1_000_000, 2]], "same_side_ppm": 1},
        {"size_ppb": [[0], [1_000_000]], "same_side_ppm": 1},
        {"size_ppb": "x", "same_side_ppm": 1},
    ],
)
def test_figures_that_are_no_profile_are_refused(figures: dict[str, object]) -> None:
    with pytest.raises(MarketError):
        profile_of(figures)
