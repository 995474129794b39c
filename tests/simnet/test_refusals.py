"""What the real programs refused, refused by the settlement with the same numbers and the same words."""

from pathlib import Path
from typing import Any

import pytest
from simnet_helpers import (
    WALLET,
    WALLET_LAMPORTS,
    key,
    row_bank,
    row_transaction,
    set_files,
    vectors,
)
from solders.compute_budget import set_compute_unit_limit

from hft.chain.transaction import TransactionError, sign
from hft.simnet.bank import Bank, with_token_amount
from hft.simnet.events import Outcome
from hft.simnet.genesis import genesis_accounts
from hft.simnet.market import Market, load_market
from hft.simnet.settlement import Settlement
from hft.venues import VENUES, associated_token_address, swap_instruction

NAMES = [spec.venue.name.lower() for spec in VENUES]
PLENTY = 2**62
EXHAUSTED = "ComputationalBudgetExceeded"
# The programs walk on through arrays until their units are used up; a swap that is refused for want of arrays
# or liquidity here has not been walked to that end.
INSTEAD_OF_EXHAUSTED = {EXHAUSTED, 6038, 6019}


@pytest.mark.parametrize("name", NAMES)
def test_every_recorded_refusal_has_the_programs_number(shared_data: Path, name: str) -> None:
    markets: dict[str, Market] = {}
    seen: dict[Any, int] = {}
    for row in vectors(shared_data, name):
        if row.get("error") is None:
            continue
        if row["set"] not in markets:
            markets[row["set"]] = load_market(set_files(shared_data, f"{name}/{row['set']}"))
        market = markets[row["set"]]._replace(slot=row["slot"], unix_timestamp=row["unix_timestamp"])
        bank = Bank(market, genesis_accounts(market, WALLET.pubkey(), WALLET_LAMPORTS), seed=7, slot_ms=400)
        pool, mint = bank.pools[key(row["pool"])], key(row["input_mint"])
        program = pool.program_a if mint == pool.mint_a else pool.program_b
        wallet = associated_token_address(bytes(WALLET.pubkey()), mint, program)
        bank.write({wallet: with_token_amount(bank.account(wallet), PLENTY)})
        swap = swap_instruction(pool, WALLET.pubkey(), mint, row["amount_in"], 0)
        order = [set_compute_unit_limit(1_400_000), swap]
        status = Settlement(bank).execute(sign(order, WALLET, bank.blockhash).data)
        told = status.error_code or status.error_name
        where = f"{row['pool']} {row['input_mint']} {row['amount_in']}: {status}"
        if row["error"] != EXHAUSTED:
            assert told == row["error"], where
            if "error_name" in row:
                assert status.error_name == row["error_name"], where
        elif status.outcome is Outcome.LANDED_FAILED:
            assert told in INSTEAD_OF_EXHAUSTED, where
        seen[row["error"]] = seen.get(row["error"], 0) + 1
    assert sum(seen.values()) >= 19, seen


REASONS = tuple(f"Program log: {word}" for word in ("AnchorError", "Error", "Left", "Right"))


def telling(logs: list[str]) -> list[str]:
    """The lines that say which program failed and why."""
    return [line for line in logs if line.startswith(REASONS) or " failed: " in line]


def test_recorded_failures_of_two_hops_read_word_for_word(shared_data: Path) -> None:
    compared: set[tuple[str, int]] = set()
    for row in vectors(shared_data, "two_hop"):
        # Our swaps name the wallet as Meteora's host: its share covers the unit too much that was asked for.
        hosted = row["dexes"][0].startswith("meteora") and row["case"] == "mid_too_high"
        if row["ok"] or hosted:
            continue
        bank = row_bank(shared_data, row)
        try:
            transaction = row_transaction(bank, row)
        except TransactionError:
            continue  # too large to be sent as it was recorded
        executed = Settlement(bank).run(transaction.data)
        assert executed.envelope is not None
        assert executed.details is not None
        logs = executed.details.logs(executed.envelope)
        assert telling(logs) == telling(row["logs"]), (row["id"], row["dexes"], row["case"])
        started = [line for line in logs if line.startswith("Program log: Instruction: Swap")]
        recorded = [line for line in row["logs"] if line.startswith("Program log: Instruction: Swap")]
        assert started == recorded, (row["id"], row["dexes"])
        compared.add((row["dexes"][0 if row["case"] == "min_mid_too_high" else 1], row["error"]))
    assert {venue for venue, _ in compared} == set(NAMES)
    assert len(compared) >= 12
