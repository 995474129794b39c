"""Token accounts around a trade, run by the real programs: rent passes or is named, never lost."""

import pytest
from solders.litesvm import LiteSVM
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import FailedTransactionMetadata

from hft.chain.accounts import (
    NO_TOKEN_ACCOUNTS,
    WALLET_RENT_LAMPORTS,
    FundsError,
    TokenAccounts,
    check_funds,
    needed_lamports,
    token_accounts,
)
from hft.chain.compute import MAX_COMPUTE_UNITS, base_fee_lamports, compute_unit_limit
from hft.chain.keys import paper_keypair
from hft.chain.transaction import sign
from hft.venues import TOKEN_PROGRAM, WRAPPED_SOL, associated_token_address, encode_mint, token_amount
from hft.venues.spl import TOKEN_ACCOUNT_RENT

PAYER = paper_keypair(5)
USER = bytes(PAYER.pubkey())
MINT = bytes([77] * 32)
MINTS = [(WRAPPED_SOL, TOKEN_PROGRAM), (MINT, TOKEN_PROGRAM)]
WSOL_ACCOUNT = associated_token_address(USER, WRAPPED_SOL)
MINT_ACCOUNT = associated_token_address(USER, MINT)
START = 10**10


@pytest.fixture
def chain() -> LiteSVM:
    from solders.account import Account

    chain = LiteSVM()
    chain.airdrop(Pubkey(USER), START)
    for mint, decimals in ((WRAPPED_SOL, 9), (MINT, 6)):
        chain.set_account(
            Pubkey(mint), Account(1_461_600, encode_mint(decimals, 0), Pubkey(TOKEN_PROGRAM), False, 0)
        )
    return chain


def run(chain: LiteSVM, accounts: TokenAccounts, tip: int = 0) -> int:
    """Lamports that the wallet lost by it."""
    before = chain.get_balance(Pubkey(USER))
    paid = transfer(
        TransferParams(from_pubkey=Pubkey(USER), to_pubkey=Pubkey(bytes([8] * 32)), lamports=10**6 + tip)
    )
    data = sign([*accounts.setup, *accounts.cleanup, paid], PAYER, bytes(chain.latest_blockhash())).data
    result = chain.send_transaction(VersionedTransaction.from_bytes(data))
    assert not isinstance(result, FailedTransactionMetadata), result
    after = chain.get_balance(Pubkey(USER))
    assert before is not None
    assert after is not None
    return before - after - 10**6 - tip


def test_row_31_wrapping_inside_gives_the_rent_back_and_names_what_stays(chain: LiteSVM) -> None:
    around = token_accounts(USER, MINTS, (), wrap_lamports=3 * 10**9)
    assert (around.rent_locked_lamports, around.rent_passing_lamports) == (TOKEN_ACCOUNT_RENT,) * 2
    assert run(chain, around) == base_fee_lamports() + around.rent_locked_lamports
    assert chain.get_balance(Pubkey(WSOL_ACCOUNT)) in (None, 0)
    assert chain.get_balance(Pubkey(MINT_ACCOUNT)) == TOKEN_ACCOUNT_RENT
    again = token_accounts(USER, MINTS, {MINT_ACCOUNT}, wrap_lamports=10**9)
    assert again.rent_locked_lamports == 0
    assert run(chain, again, tip=1) == base_fee_lamports()


def test_row_31_an_open_wsol_account_is_left_alone_unless_wrapped_into(chain: LiteSVM) -> None:
    opened = token_accounts(USER, MINTS, ())
    run(chain, opened._replace(cleanup=()))
    for account in (WSOL_ACCOUNT, MINT_ACCOUNT):
        assert chain.get_balance(Pubkey(account)) == TOKEN_ACCOUNT_RENT
    assert token_accounts(USER, MINTS, {WSOL_ACCOUNT, MINT_ACCOUNT}) == NO_TOKEN_ACCOUNTS
    unwrapping = token_accounts(USER, MINTS, {WSOL_ACCOUNT, MINT_ACCOUNT}, wrap_lamports=500)
    assert unwrapping.rent_passing_lamports == 0
    assert run(chain, unwrapping, tip=2) == base_fee_lamports() - TOKEN_ACCOUNT_RENT


def test_wrapped_sol_is_the_accounts_balance(chain: LiteSVM) -> None:
    around = token_accounts(USER, MINTS[:1], (), wrap_lamports=1234)
    run(chain, around._replace(cleanup=()))
    account = chain.get_account(Pubkey(WSOL_ACCOUNT))
    assert account is not None
    assert token_amount(bytes(account.data)) == 1234


def test_row_27_a_wallet_must_hold_fees_tip_rent_and_what_is_wrapped() -> None:
    around = token_accounts(USER, MINTS, (), wrap_lamports=10**9)
    needed = needed_lamports(
        compute_unit_limit=200_000,
        compute_unit_price_micro_lamports=1001,
        tip_lamports=7000,
        accounts=around,
        wrap_lamports=10**9,
    )
    assert needed == 5000 + 201 + 7000 + 2 * TOKEN_ACCOUNT_RENT + 10**9 + WALLET_RENT_LAMPORTS
    check_funds(needed, needed)
    with pytest.raises(FundsError, match="fees, tip, rent") as caught:
        check_funds(needed - 1, needed)
    assert caught.value.missing_lamports == 1


def test_row_27_the_real_chain_wants_what_we_ask_for(chain: LiteSVM) -> None:
    around = token_accounts(USER, MINTS, (), wrap_lamports=10**9)
    needed = needed_lamports(
        compute_unit_limit=200_000,
        compute_unit_price_micro_lamports=0,
        tip_lamports=10**6,
        accounts=around,
        wrap_lamports=10**9,
    )
    from solders.account import Account
    from solders.system_program import ID

    # The wrapped SOL is back before the last transfer, so the wallet needs it only meanwhile.
    chain.set_account(Pubkey(USER), Account(needed, b"", ID, False, 0))
    assert run(chain, around) == base_fee_lamports() + TOKEN_ACCOUNT_RENT


@pytest.mark.parametrize(
    ("simulated", "limit"),
    [(1, 5001), (30_000, 35_000), (100_000, 115_000), (100_001, 115_002), (1_300_000, 1_400_000)],
)
def test_the_compute_limit_is_the_simulations_figure_and_a_margin(simulated: int, limit: int) -> None:
    assert compute_unit_limit(simulated) == limit


@pytest.mark.parametrize("simulated", [0, -1, MAX_COMPUTE_UNITS + 1])
def test_a_simulation_without_a_figure_gives_no_limit(simulated: int) -> None:
    with pytest.raises(ValueError, match="simulation consumed"):
        compute_unit_limit(simulated)
    with pytest.raises(ValueError, match="margin"):
        compute_unit_limit(1, margin_ppm=-1)
