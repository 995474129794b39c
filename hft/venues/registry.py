"""The venues there are, and the functions that find the right one.

Adding a venue: its file, and one line in ``VENUES``.
"""

from collections.abc import Callable, Collection, Mapping, Sequence

from solders.instruction import Instruction
from solders.pubkey import Pubkey

from hft.venues import meteora_damm_v2, meteora_dlmm, raydium_clmm, raydium_cpmm, raydium_v4, whirlpool
from hft.venues.spl import TOKEN_PROGRAM
from hft.venues.transfer_fee import TransferFeePool, with_transfer_fees
from hft.venues.types import (
    DEFAULT_SETTINGS,
    Account,
    ChainClock,
    Pool,
    PoolError,
    PoolErrorCode,
    Quote,
    ScreenForm,
    Settings,
    SwapCall,
    Venue,
    VenueSpec,
)

VENUES: tuple[VenueSpec, ...] = (
    whirlpool.SPEC,
    raydium_v4.SPEC,
    raydium_cpmm.SPEC,
    raydium_clmm.SPEC,
    meteora_dlmm.SPEC,
    meteora_damm_v2.SPEC,
)

BY_PROGRAM: dict[bytes, VenueSpec] = {spec.program: spec for spec in VENUES}
BY_VENUE: dict[Venue, VenueSpec] = {spec.venue: spec for spec in VENUES}


def venue_of(account: Account) -> Venue | None:
    """The venue whose pool this account is; None if it is no pool of a known venue."""
    spec = BY_PROGRAM.get(account.owner)
    return spec.venue if spec is not None and spec.recognises(account) else None


def _spec_of(pubkey: bytes, account: Account) -> VenueSpec:
    spec = BY_PROGRAM.get(account.owner)
    if spec is None:
        known = ", ".join(s.venue.name.lower() for s in VENUES)
        raise PoolError(
            PoolErrorCode.UNKNOWN_VENUE,
            f"{Pubkey(pubkey)} is owned by {Pubkey(account.owner)}, which is none of {known}",
        )
    return spec


def required_accounts(pubkey: bytes, account: Account) -> tuple[bytes, ...]:
    """Keys of the accounts that ``decode`` needs besides the pool's own. Raises PoolError.

    The keys may change with the pool account (tick or bin arrays follow the price): ask again when
    it changed.
    """
    return _spec_of(pubkey, account).required_accounts(pubkey, account)


def decode(pubkey: bytes, accounts: Mapping[bytes, Account], settings: Settings = DEFAULT_SETTINGS) -> Pool:
    """The pool ``pubkey`` and all that it needs, from ``accounts``. Raises PoolError with a coded reason.

    A key that is missing from ``accounts`` is unknown; ``ABSENT`` says that the account does not
    exist on chain.
    """
    account = accounts.get(pubkey)
    if account is None or not account.data:
        raise PoolError(PoolErrorCode.ACCOUNT_MISSING, f"pool {Pubkey(pubkey)} is not among the accounts")
    return with_transfer_fees(_spec_of(pubkey, account).decode(pubkey, accounts, settings), accounts)


def decode_changed(pool: Pool, accounts: Mapping[bytes, Account], changed: Collection[bytes]) -> Pool:
    """``pool`` after the accounts named in ``changed`` took the bytes in ``accounts``; only those
    are parsed again.

    Equal to ``decode(pool.key, accounts)`` if ``changed`` names all that differ. Raises PoolError.
    """
    new = pool.changed(accounts, changed)
    if new.program_a == new.program_b == TOKEN_PROGRAM or isinstance(new, TransferFeePool):
        return new
    return with_transfer_fees(new, accounts)


def quote(pool: Pool, input_mint: bytes, amount_in: int, clock: ChainClock) -> Quote:
    """The exact result of swapping ``amount_in`` of ``input_mint`` now. Raises QuoteError with a
    coded reason.
    """
    return pool.quote(input_mint, amount_in, clock)


def quote_exact_out(pool: Pool, output_mint: bytes, amount_out: int, clock: ChainClock) -> Quote:
    """The exact result of buying ``amount_out`` of ``output_mint`` now. Raises QuoteError with a
    coded reason.
    """
    return pool.quote_exact_out(output_mint, amount_out, clock)


def spot_price(pool: Pool, input_mint: bytes) -> float:
    """Output base units per input base unit before fees; floats, for screening only."""
    return pool.spot_price(input_mint)


def fee_ppm(pool: Pool, clock: ChainClock) -> int:
    """The fee of a very small swap now, in millionths, rounded up."""
    return pool.fee_ppm(clock)


def screen_form(pool: Pool, clock: ChainClock | None = None) -> ScreenForm:
    """The pool as floats for the screen."""
    return pool.screen_form(clock)


def swap_instruction(
    pool: Pool, user: Pubkey, input_mint: bytes, amount_in: int, minimum_out: int
) -> Instruction:
    """The venue's exact-in swap instruction; the user's accounts are the associated ones. Raises
    QuoteError.
    """
    return pool.swap_instruction(user, input_mint, amount_in, minimum_out)


def parse_swap(program_id: bytes, account_keys: Sequence[bytes], data: bytes) -> SwapCall | None:
    """A venue's exact-in swap read back from an instruction; None if it is none."""
    spec = BY_PROGRAM.get(program_id)
    return None if spec is None else spec.parse_swap(account_keys, data)


def store(pool: Pool, accounts: Mapping[bytes, Account]) -> dict[bytes, bytes]:
    """New data of the accounts that hold ``pool``'s swap state, vault balances aside."""
    return pool.store(accounts)


def names_in(venue: Venue) -> Callable[[bytes], object]:
    """What tells of a pool account's data which accounts its swaps name (see ``VenueSpec``): while that is
    equal, and with it every other account of ``Pool.names_rest_on``, they name the same.
    """
    return BY_VENUE[venue].names_in


def minimum_out_error(venue: Venue) -> int:
    """The custom program error of an output below the minimum."""
    return BY_VENUE[venue].minimum_out_error
