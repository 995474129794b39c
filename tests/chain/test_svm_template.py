"""Simulations made ready: what they tell is what the general way tells, and they are taken where all goes
well."""

import random
from pathlib import Path

import pytest
from chain_pools import route_table
from made_program import returns, spends
from simulator_support import AMOUNT, PURSE, USER, WALLET, Market, loaded, pairs
from solders.pubkey import Pubkey

from hft.chain.lookup import TableCache, encode_table
from hft.chain.svm import prepare
from hft.chain.svm_envelope import EnvelopeError, open_envelope
from hft.chain.svm_rewrite import rewrite
from hft.chain.svm_simulator import UNSIGNED, Simulated, Simulator
from hft.chain.svm_template import SvmTemplate
from hft.chain.template import Templates
from hft.chain.tips import TIP_ACCOUNTS
from hft.chain.transaction import TransactionError, TwoHop
from hft.simnet.bank import with_token_amount
from hft.venues import WRAPPED_SOL, Account, Pool, Quote, associated_token_address, quote, token_amount

BLOCKHASH = bytes(32)
DICE = random.Random(5)


@pytest.fixture
def market() -> Market:
    return Market()


class Both:
    """Two simulators: one goes the general way always, the other as the planner does."""

    def __init__(self, market: Market, general: Simulator, quick: Simulator, templates: Templates) -> None:
        self.market, self.general, self.quick, self.templates = market, general, quick, templates

    def told(self, order: TwoHop) -> tuple[Simulated, bool]:
        """What both say of ``order``, the same; and whether the quick one was ready for it."""
        bank, patched = self.market.bank, self.quick.patched
        template = self.templates.template(order, bank.slot)
        expected = self.general.run(template.message(order, BLOCKHASH), bank.pools, bank.clock, PURSE)
        where = f"{order.pool_1.venue.name} → {order.pool_2.venue.name}"
        assert (
            self.quick.run_two_hop(template, order, quotes(self.market, order), bank.clock, PURSE) == expected
        ), where
        return expected, self.quick.patched > patched

    def made_ready(self, order: TwoHop) -> None:
        """It went well once, and was made ready between plans."""
        told, ready = self.told(order)
        assert told.ok
        assert not ready
        assert self.quick.prepare(self.market.bank.clock)
        assert not self.quick.prepare(self.market.bank.clock)
        assert self.told(order) == (told, True)


def both(market: Market, tables: TableCache | None = None) -> Both:
    return Both(market, Simulator(market.record), Simulator(market.record), Templates(USER, tables))


def quotes(market: Market, order: TwoHop) -> tuple[Quote, Quote]:
    """Of the order's own amounts, as the planner has them."""
    clock, mid_mint = market.bank.clock, order.pool_1.other_mint(order.base_mint)
    return (
        quote(order.pool_1, order.base_mint, order.amount_in, clock),
        quote(order.pool_2, mid_mint, order.amount_mid, clock),
    )


def sized(market: Market, order: TwoHop, amount_in: int) -> TwoHop:
    """The order with another amount in, and all the rest by the dice."""
    mid = quote(order.pool_1, order.base_mint, amount_in, market.bank.clock).amount_out
    made = order._replace(amount_in=amount_in, amount_mid=mid)
    out = quotes(market, made)[1].amount_out
    return made._replace(
        minimum_out=DICE.randrange(1, out + 1),
        compute_unit_limit=DICE.randrange(300_000, 1_400_001),
        compute_unit_price_micro_lamports=DICE.randrange(10**6),
        tip_lamports=DICE.randrange(1_000, 10**7),
        tip_account=DICE.choice(TIP_ACCOUNTS),
    )


def failing(market: Market, order: TwoHop) -> list[TwoHop]:
    """Orders that do not go well."""
    out = quotes(market, order)[1].amount_out
    return [
        order._replace(minimum_out=out + 1),
        order._replace(amount_mid=order.amount_mid + 1),
        order._replace(compute_unit_limit=30_000),
        order._replace(tip_lamports=10**12),
        order._replace(compute_unit_price_micro_lamports=10**15),
    ]


def in_tables(market: Market, order: TwoHop) -> TableCache:
    """All that the order names, in a table that the bank has."""
    name, table = route_table(order, WALLET.pubkey())
    market.bank.write({name: table})
    cache = TableCache([name])
    cache.update({name: table}, market.bank.slot)
    return cache


@pytest.mark.parametrize("tabled", [False, True])
def test_every_pair_of_venues_is_told_as_the_general_way_tells_it(market: Market, tabled: bool) -> None:
    compared, names = 0, set()
    simulators = both(market)
    for pool_1, pool_2 in pairs(market):
        order = market.order(pool_1, pool_2)
        run = simulators
        if tabled:
            cache = in_tables(market, order)
            run = Both(market, simulators.general, simulators.quick, Templates(USER, cache))
        try:
            run.templates.template(order, market.bank.slot)
        except TransactionError:
            assert not tabled
            continue  # too large without a lookup table
        run.made_ready(order)
        for factor in (1, 3, 40):
            other = sized(market, order, AMOUNT * factor + DICE.randrange(AMOUNT))
            told, ready = run.told(other)
            assert (told.ok, ready) == (True, True)
            assert not told.measured
        for bad in failing(market, order):
            told, ready = run.told(bad)
            assert (told.ok, ready) == (False, False)
            names.add((told.failed_at, told.name))
        assert run.told(order)[1]
        compared += 1
    assert compared == len(list(pairs(market))) if tabled else compared >= 25
    assert len(names) > 8


def any_route(market: Market) -> tuple[Pool, Pool]:
    return next(pairs(market))


def test_what_moves_between_two_runs_counts(market: Market) -> None:
    """Pools, the wallet and the clock, each as the newest records have it."""
    bank, run = market.bank, both(market)
    pool_1, pool_2 = any_route(market)
    order = market.order(pool_1, pool_2)
    run.made_ready(order)
    for _ in range(3):
        bank.swap(pool_1.key, WRAPPED_SOL, quote(bank.pools[pool_1.key], WRAPPED_SOL, 10**9, bank.clock))
        bank.next_slot()
        moved = market.order(bank.pools[pool_1.key], bank.pools[pool_2.key], 1)
        assert run.told(moved) == (run.general.run(*asked(run, moved)), True)
    order = market.order(bank.pools[pool_1.key], bank.pools[pool_2.key])
    mid_mint = pool_1.other_mint(WRAPPED_SOL)
    paying, mid_purse = pool_2.vaults(mid_mint)[1], associated_token_address(USER, mid_mint)
    changes = {
        paying: emptied(bank.account(paying)),
        PURSE: emptied(bank.account(PURSE)),
        mid_purse: frozen(bank.account(mid_purse)),
        USER: bank.account(USER)._replace(lamports=7_000),
    }
    for key, account in changes.items():
        save = bank.savepoint()
        bank.write({key: account})
        told, ready = run.told(order)
        assert (told.ok, ready) == (False, False), Pubkey(key)
        bank.rollback(save)
        assert run.told(order)[1]


def emptied(account: Account) -> Account:
    return with_token_amount(account, -token_amount(account.data))


def frozen(account: Account) -> Account:
    return account._replace(data=account.data[:108] + b"\x02" + account.data[109:])


def asked(run: Both, order: TwoHop) -> tuple[bytes, dict[bytes, Pool], object, bytes]:
    bank = run.market.bank
    return run.templates.message(order, BLOCKHASH, bank.slot), dict(bank.pools), bank.clock, PURSE


def test_a_table_that_changed_is_looked_at_again(market: Market) -> None:
    """What is ready rests on the table's record: deactivated, the message is none that a validator takes."""
    bank = market.bank
    pool_1, pool_2 = any_route(market)
    order = market.order(pool_1, pool_2)
    run = both(market, in_tables(market, order))
    run.made_ready(order)
    name, off = route_table(order, WALLET.pubkey(), deactivation_slot=bank.slot)
    bank.write({name: off})
    for simulator in (run.general, run.quick):
        template = run.templates.template(order, bank.slot)
        with pytest.raises(EnvelopeError, match="no active address lookup table"):
            simulator.run_two_hop(template, order, quotes(market, order), bank.clock, PURSE)
    bank.write({name: route_table(order, WALLET.pubkey())[1]})
    run.made_ready(order)


def test_a_table_extended_in_this_slot_or_later_is_not_rested_on(market: Market) -> None:
    bank = market.bank
    order = market.order(*any_route(market))
    name, table = route_table(order, WALLET.pubkey())
    cache = TableCache([name])
    cache.update({name: table}, bank.slot)
    late = {"last_extended_slot": bank.slot + 1, "last_extended_start_index": 0}
    bank.write({name: route_table(order, WALLET.pubkey(), **late)[1]})
    run = both(market, cache)
    assert run.told(order)[0].ok
    assert run.quick.prepare(bank.clock)
    assert run.told(order) == (run.told(order)[0], False)
    assert encode_table((), **late) != encode_table(())


def test_loaded_programs_get_the_very_transaction(market: Market, tmp_path: Path) -> None:
    general, quick = (loaded(tmp_path, market, spends(1_000)) for _ in range(2))
    for pool_1, pool_2 in list(pairs(market))[:12]:
        run = Both(market, general, quick, Templates(USER))
        order = market.order(pool_1, pool_2)
        try:
            run.made_ready(order)
        except TransactionError:
            continue
        other = sized(market, order, 3 * AMOUNT)
        told, ready = run.told(other)
        assert (told.measured, told.received, ready) == (True, 0, True)
        short = run.told(other._replace(compute_unit_limit=3_000))
        assert (short[0].ok, short[1]) == (False, False)
        same_tip = other._replace(tip_account=order.tip_account)
        assert patched(run, order, same_tip) == prepared(run, same_tip)
    assert quick.patched > 20


def prepared(run: Both, order: TwoHop) -> bytes:
    """The order's transaction by the general way."""
    envelope = opened(run, order)
    return bytes(prepare(envelope, rewrite(run.general._view, envelope, run.general.programs)).transaction)


def patched(run: Both, like: TwoHop, order: TwoHop) -> bytes:
    """The order's transaction, patched in what was made of another's."""
    envelope = opened(run, like)
    made = SvmTemplate(like, envelope, rewrite(run.general._view, envelope, run.general.programs))
    assert made.measured
    assert made.patch(order, *quotes(run.market, order)) == 0
    return bytes(made.transaction())


def opened(run: Both, order: TwoHop):  # type: ignore[no-untyped-def]
    message = run.templates.message(order, BLOCKHASH)
    return open_envelope(UNSIGNED + message, run.market.bank.account, verify=False)


def test_programs_that_fail_are_told_with_their_code(market: Market, tmp_path: Path) -> None:
    simulator = loaded(tmp_path, market, returns(6036))
    run = Both(market, simulator, simulator, Templates(USER))
    order = market.order(*any_route(market))
    told, ready = run.told(order)
    assert (told[:3], ready) == ((2, 6036, "Custom"), False)
    assert not simulator.prepare(market.bank.clock)


def test_what_was_wanted_in_vain_is_dropped(market: Market) -> None:
    """The wallet was emptied before the transaction could be made ready."""
    bank, run = market.bank, both(market)
    order = market.order(*any_route(market))
    assert run.told(order)[0].ok
    save = bank.savepoint()
    bank.write({PURSE: emptied(bank.account(PURSE))})
    assert run.quick.prepare(bank.clock)
    bank.rollback(save)
    assert not run.quick.prepare(bank.clock)
    run.made_ready(order)


def test_what_changed_between_two_runs_is_brought_before_the_next(market: Market) -> None:
    bank, run = market.bank, both(market)
    pool_1, pool_2 = any_route(market)
    order = market.order(pool_1, pool_2)
    run.made_ready(order)
    vault = pool_2.vaults(WRAPPED_SOL)[0]
    bank.write({vault: with_token_amount(bank.account(vault), 5)})
    wrote = run.quick.written
    run.quick.follow()
    assert run.quick.written == wrote + 1
    run.quick.follow()
    assert run.told(order)[1]
    assert run.quick.written == wrote + 1
