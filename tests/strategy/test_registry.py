"""Strategies side by side: one sizing for all whose bounds agree, filters of their own."""

import pytest
from test_two_hop import CLOCK, v4_pool

from hft.strategy import two_hop
from hft.strategy.registry import KINDS, Refusal, Sizes, Terms, TwoHopStrategy, widest
from hft.strategy.two_hop import TwoHop
from hft.venues import WRAPPED_SOL, ChainClock, Pool

SOL = 10**9
ALL = Terms(SOL // 100, 100 * SOL, 10_000, 0, 2)


@pytest.fixture(scope="module")
def route() -> tuple[Pool, Pool, ChainClock]:
    return v4_pool(1, 10**13, 102 * 10**10), v4_pool(2, 10**13, 10**12), CLOCK


def sized(route: tuple[Pool, Pool, ChainClock], terms: Terms) -> TwoHop | None:
    pool_1, pool_2, clock = route
    return two_hop.size(
        pool_1,
        pool_2,
        WRAPPED_SOL,
        clock,
        minimum_in=terms.minimum_in,
        maximum_in=terms.maximum_in,
        minimum_profit=terms.minimum_profit,
    )


def test_each_gets_the_size_it_would_have_found_alone(route: tuple[Pool, Pool, ChainClock]) -> None:
    best = sized(route, ALL)
    assert best is not None
    sizes = Sizes(route[0], route[1], WRAPPED_SOL, route[2], ALL)
    asked = [
        ALL,
        ALL._replace(maximum_in=best.amount_in),
        ALL._replace(maximum_in=best.amount_in - 1),
        ALL._replace(maximum_in=best.amount_in // 3),
        ALL._replace(minimum_in=best.amount_in + 1),
        ALL._replace(minimum_in=2 * best.amount_in),
        ALL._replace(minimum_profit=best.gross_profit),
        ALL._replace(minimum_profit=best.gross_profit + 1),
    ]
    found = [sizes.best(terms) for terms in asked]
    alone = [sized(route, terms) for terms in asked]
    assert [each and each.amount_in for each in found] == [each and each.amount_in for each in alone]
    assert [each and each.gross_profit for each in found] == [each and each.gross_profit for each in alone]
    assert found[0] is found[1]  # shared, not worked out again
    assert found[2] is not found[0]
    assert found[2] is not None
    assert found[2].amount_in < best.amount_in
    assert found[-1] is None


def test_filters_refuse_with_their_reason(route: tuple[Pool, Pool, ChainClock]) -> None:
    sizes = Sizes(route[0], route[1], WRAPPED_SOL, route[2], ALL)
    best = sizes.best(ALL)
    assert best is not None
    bps_milli = best.gross_profit * 10_000_000 // best.amount_in
    judged = [
        TwoHopStrategy("one", 16, terms).judge(sizes)
        for terms in (
            ALL._replace(minimum_gross_bps_milli=bps_milli),
            ALL._replace(minimum_gross_bps_milli=bps_milli + 1),
            ALL._replace(minimum_profit=best.gross_profit + 1),
        )
    ]
    assert judged == [best, Refusal.BELOW_GROSS, Refusal.UNPROFITABLE]


def test_row_24_each_strategy_remembers_what_it_offered_itself(
    route: tuple[Pool, Pool, ChainClock],
) -> None:
    found = sized(route, ALL)
    assert found is not None
    one, other = (KINDS["two_hop"](name, number, ALL) for name, number in (("one", 16), ("other", 17)))
    assert one.is_new(found, 100)
    assert not one.is_new(found, 101)
    assert other.is_new(found, 101)
    assert one.is_new(found, 102)


def test_the_widest_terms_hold_everybodys() -> None:
    small = Terms(1, 10, 500, 7, 2)
    large = Terms(11, 1_000, 90, 0, 9)
    both = {n: TwoHopStrategy(str(n), n, terms) for n, terms in ((16, small), (17, large))}
    assert widest(both) == Terms(1, 1_000, 90, 0, 2)
