"""Settlement on real account files: amounts, errors and balances as the real programs gave them."""

from pathlib import Path

import pytest
from simnet_helpers import WALLET, key, row_bank, row_transaction, vectors

from hft.chain.frames import Outcome
from hft.simnet.settlement import Settlement
from hft.venues import WRAPPED_SOL

ROWS_HERE = {"whirlpool", "raydium_v4"}


def test_recorded_two_hops_settle_as_the_real_programs_did(shared_data: Path) -> None:
    rows = [row for row in vectors(shared_data, "two_hop") if set(row["dexes"]) <= ROWS_HERE]
    assert len(rows) == 13
    wallet = bytes(WALLET.pubkey())
    for row in rows:
        bank = row_bank(shared_data, row)
        before = bank.account(wallet).lamports
        held = dict(bank.balances(0, wallet).tokens)
        transaction = row_transaction(bank, row)
        assert len(transaction.data) <= row["tx_bytes"]
        status = Settlement(bank).execute(transaction.data)
        fee = 5000 + -(-row["compute_unit_price"] * row["compute_unit_limit"] // 1_000_000)
        where = f"row {row['id']}: {status}"
        assert status.fee_lamports == fee, where
        if row["ok"]:
            assert status.outcome is Outcome.LANDED_OK, where
            assert status.compute_units == pytest.approx(row["compute_units"], rel=0.35), where
            change = sum(c.after - c.before for c in status.tokens if c.mint == WRAPPED_SOL)
            spent = status.lamports_before - status.lamports_after - fee - row["tip_lamports"]
            rent = 2_039_280 if row["wrap_unwrap"] else 0  # the token's account stays behind
            assert change - spent + rent == row["amount_out"] - row["amount_in"], where
            mid = dict(bank.balances(0, wallet).tokens).get(key(row["x_mint"]), 0)
            assert mid == row["mid_amount"] - row["leg2_amount_in"], where
        else:
            assert status.outcome is Outcome.LANDED_FAILED, where
            assert (status.error_index, status.error_code) == (row["error_index"], row["error"]), where
            assert before - bank.account(wallet).lamports == fee, where
            assert dict(bank.balances(0, wallet).tokens) == held, where
