"""What the local cluster holds besides the market when it starts: the paper wallet and the tip accounts."""

from typing import Final

from solders.pubkey import Pubkey

from hft.chain.tips import TIP_ACCOUNTS
from hft.simnet.market import Market
from hft.venues import TOKEN_PROGRAM, WRAPPED_SOL, Account, associated_token_address, token_account
from hft.venues.spl import rent_exempt
from hft.venues.transfer_fee import transfer_fee

SYSTEM_PROGRAM: Final = bytes(32)
FEE_SHARE: Final = 10  # one part in ten stays unwrapped, for fees and tips
# They hold some on chain: an account without lamports could not take a tip below its rent.
# Account type, then the extension that holds what a mint with a transfer fee withholds here: nothing yet.
_WITHHELD: Final = b"\x02" + (2).to_bytes(2, "little") + (8).to_bytes(2, "little") + bytes(8)
TIP_ACCOUNT_LAMPORTS: Final = 1_000_000_000


def genesis_accounts(market: Market, wallet: Pubkey, lamports: int) -> dict[bytes, Account]:
    """The wallet with ``lamports`` (nine parts in ten of them wrapped), an empty token account for
    every other mint
    of the market's pools, and the tip accounts. The token accounts' rent comes on top.
    """
    owner = bytes(wallet)
    mints = {WRAPPED_SOL: TOKEN_PROGRAM}
    for pool in market.pools.values():
        mints[pool.mint_a] = pool.program_a
        mints[pool.mint_b] = pool.program_b
    unwrapped = lamports // FEE_SHARE
    accounts = {owner: Account(SYSTEM_PROGRAM, b"", unwrapped)}
    for mint, program in mints.items():
        amount = lamports - unwrapped if mint == WRAPPED_SOL else 0
        account = token_account(mint, owner, amount, program)
        if program != TOKEN_PROGRAM and transfer_fee(market.accounts, mint) is not None:
            data = account.data + _WITHHELD
            account = account._replace(data=data, lamports=rent_exempt(len(data)))
        accounts[associated_token_address(owner, mint, program)] = account
    accounts.update((tip, Account(SYSTEM_PROGRAM, b"", TIP_ACCOUNT_LAMPORTS)) for tip in TIP_ACCOUNTS)
    return accounts
