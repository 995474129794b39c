"""The simulator: what it says is what the settlement does, and nothing of it stays."""

from pathlib import Path

import pytest
from made_program import returns, spends
from simulator_support import PURSE, USER, WALLET, Market, loaded, pairs

from hft.chain.compute import MAX_COMPUTE_UNITS
from hft.chain.svm import NO_INDEX
from hft.chain.svm_envelope import EnvelopeError
from hft.chain.svm_programs import ProgramError
from hft.chain.svm_simulator import Simulated, Simulator
from hft.chain.transaction import TransactionError, build_two_hop
from hft.simnet.bank import with_token_amount
from hft.simnet.events import Outcome
from hft.simnet.settlement import Settlement
from hft.venues import ABSENT, WRAPPED_SOL, Venue, associated_token_address


@pytest.fixture(scope="module")
def market() -> Market:
    return Market()


@pytest.mark.parametrize("beyond", [1, -1])
def test_what_is_simulated_is_what_settles(market: Market, beyond: int) -> None:
    """Success, and with a minimum one above what the second swap pays: the guard of the profit."""
    bank, compared = market.bank, 0
    simulator = Simulator(market.record)
    for pool_1, pool_2 in pairs(market):
        order = market.order(pool_1, pool_2, beyond)
        try:
            told = market.simulate(simulator, order)
        except TransactionError:
            continue  # too large without a lookup table
        before, save = dict(bank.balances(USER).tokens), bank.savepoint()
        done = Settlement(bank).execute(build_two_hop(order, WALLET, bank.blockhash).data)
        after = dict(bank.balances(USER).tokens)
        bank.rollback(save)
        where = f"{pool_1.venue.name} → {pool_2.venue.name}"
        assert (done.outcome is Outcome.LANDED_OK) == told.ok == (beyond > 0), where
        assert (done.error_index, done.error_code, done.error_name) == told[:3], where
        assert done.compute_units == told.units, where
        assert told.received == after[WRAPPED_SOL] - before[WRAPPED_SOL], where
        assert not told.measured
        compared += 1
    assert compared >= 25


def test_only_what_changed_is_written_and_nothing_stays(market: Market) -> None:
    bank, simulator = market.bank, Simulator(market.record)
    pool_1, pool_2 = next(pairs(market))
    order = market.order(pool_1, pool_2)
    first = market.simulate(simulator, order)
    wrote = simulator.written
    for _ in range(5):
        assert market.simulate(simulator, order) == first
    assert simulator.written == wrote
    save = bank.savepoint()
    vault = pool_2.vaults(WRAPPED_SOL)[0]
    bank.write({vault: with_token_amount(bank.account(vault), 5)})
    assert market.simulate(simulator, order) == first
    assert simulator.written - wrote == 1
    bank.write({USER: bank.account(USER)._replace(lamports=10**9)})
    assert market.simulate(simulator, order) == first
    assert simulator.written - wrote == 2
    bank.rollback(save)


def test_a_wallet_that_can_not_is_told(market: Market) -> None:
    bank = market.bank
    pool_1, pool_2 = next(pairs(market))
    order, save = market.order(pool_1, pool_2), bank.savepoint()
    mid_mint = pool_1.mint_b if pool_1.mint_a == WRAPPED_SOL else pool_1.mint_a
    bank.write({associated_token_address(USER, mid_mint): ABSENT})
    told = market.simulate(Simulator(market.record), order)
    assert not told.ok
    assert told.failed_at == 2
    bank.rollback(save)
    save = bank.savepoint()
    bank.write({USER: bank.account(USER)._replace(lamports=7_000)})
    told = market.simulate(Simulator(market.record), order)
    assert (told.ok, told.failed_at) == (False, 4)  # the tip
    bank.rollback(save)


def test_a_loaded_program_runs_unchanged_and_is_measured(market: Market, tmp_path: Path) -> None:
    pool_1, pool_2 = next(pairs(market))
    order = market.order(pool_1, pool_2)
    idle = market.simulate(loaded(tmp_path, market, returns(0)), order)
    assert idle == Simulated(NO_INDEX, 0, "", idle.units, True, 0)
    busy = market.simulate(loaded(tmp_path, market, spends(10_000)), order)
    assert busy.units == idle.units + 2 * 20_001
    refused = market.simulate(loaded(tmp_path, market, returns(6036)), order)
    assert refused[:3] == (2, 6036, "Custom")
    short = order._replace(compute_unit_limit=10_000)
    assert not market.simulate(loaded(tmp_path, market, spends(10_000)), short).ok
    assert busy.units < MAX_COMPUTE_UNITS


def test_a_folder_or_a_message_that_is_none_is_refused(market: Market, tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match="no <program id>"):
        Simulator(market.record, tmp_path)
    for message in (b"", b"\x80\x01", bytes(1232)):
        with pytest.raises(EnvelopeError):
            Simulator(market.record).run(message, {}, market.bank.clock, PURSE)


def test_every_venue_is_among_the_pairs(market: Market) -> None:
    assert {one.venue for one, _ in pairs(market)} == set(Venue) - {Venue.UNKNOWN}
