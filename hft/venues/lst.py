"""Fair value of liquid-staking tokens from their stake pools: a sanity reference, never a price to trade at.

Layouts: SPL stake pool (three deployments), Marinade state, Sanctum INF PoolState V2. Values are floors.
"""

from collections.abc import Callable, Mapping
from enum import IntEnum
from struct import Struct
from typing import NamedTuple

from solders.pubkey import Pubkey

from hft.venues import spl
from hft.venues.tokens import Token
from hft.venues.types import U64_MAX, Account, PoolError

SPL_STAKE_POOLS = tuple(
    map(
        spl.key,
        (
            "SPoo1Ku8WFXoNDMHPsrGSTSG1Y47rzgn41SLUNakuHy",
            "SP12tWFxD9oJsVWNavTTBZvMbA6gkAmxtVgxdqvyvhY",
            "SPMBzsVUuoHA4Jm6KunbsotaahvVikZs1JyTW6iJvbn",
        ),
    )
)
MARINADE = spl.key("MarBmsSgKXdrN1egZf5sqe1TMai9K1rChYNDJgjq7aD")
INFINITY = spl.key("5ocnV1qiCgaQR8Jb8xWnVbApfaygJ8tNoZfgPwsgx9kx")

_STAKE_POOL_TAG = 1
_STAKE_POOL_SIZE = 282  # up to and with last_update_epoch
_MARINADE_HEAD = bytes.fromhex("d8926b5e684bb6b1")
_MARINADE_SIZE = 576
_INFINITY_SIZE = 240
_INFINITY_VERSION = 2
_POOL_FIGURES = Struct("<QQQ")  # total lamports, pool token supply, last update epoch
_U64 = Struct("<Q")


class FairValueErrorCode(IntEnum):
    """Why a token has no fair value now."""

    STATE_MISSING = 1
    WRONG_PROGRAM = 2
    WRONG_LAYOUT = 3
    WRONG_MINT = 4
    ZERO_SUPPLY = 5
    STALE_EPOCH = 6
    OVERFLOW = 7


class FairValueError(Exception):
    """No fair value; ``code`` says why. The token must not be traded on it."""

    def __init__(self, code: FairValueErrorCode, message: str) -> None:
        super().__init__(f"{code.name.lower()}: {message}")
        self.code = code


class FairValue(NamedTuple):
    """``total_lamports`` belong to ``supply`` base units of the token, as of ``epoch`` (None: not
    recorded).
    """

    mint: bytes
    total_lamports: int
    supply: int
    epoch: int | None

    def lamports(self, amount: int) -> int:
        """Lamports that ``amount`` of the token is worth, rounded down. Raises FairValueError OVERFLOW."""
        value = amount * self.total_lamports // self.supply
        if not 0 <= value <= U64_MAX:
            raise FairValueError(
                FairValueErrorCode.OVERFLOW,
                f"{amount} of {Pubkey(self.mint)} is worth {value}, beyond 64 bits",
            )
        return value

    def tokens(self, lamports: int) -> int:
        """Base units of the token worth ``lamports``, rounded down. Raises FairValueError OVERFLOW."""
        if self.total_lamports == 0:
            raise FairValueError(FairValueErrorCode.ZERO_SUPPLY, f"{Pubkey(self.mint)} is backed by nothing")
        amount = lamports * self.supply // self.total_lamports
        if not 0 <= amount <= U64_MAX:
            raise FairValueError(
                FairValueErrorCode.OVERFLOW, f"{lamports} lamports are {amount} of {Pubkey(self.mint)}"
            )
        return amount


def fair_value(token: Token, accounts: Mapping[bytes, Account], epoch: int | None = None) -> FairValue:
    """The fair value of an LST from its state account (and INF's mint account). Raises FairValueError.

    With ``epoch`` (the chain's current one) a stake pool that was not updated in it is stale, and
    so is one that
    names epoch 0. Marinade and INF name no epoch.
    """
    if token.state is None:
        raise FairValueError(
            FairValueErrorCode.STATE_MISSING, f"{token.symbol} has no state account in the token list"
        )
    account = accounts.get(token.state)
    if account is None or not account.data:
        raise FairValueError(
            FairValueErrorCode.STATE_MISSING,
            f"state {Pubkey(token.state)} of {token.symbol} is not among the accounts",
        )
    if token.state_program is not None and account.owner != token.state_program:
        raise FairValueError(
            FairValueErrorCode.WRONG_PROGRAM,
            f"state {Pubkey(token.state)} of {token.symbol} is owned by {Pubkey(account.owner)}, "
            f"not by {Pubkey(token.state_program)}",
        )
    reader = _READERS.get(account.owner)
    if reader is None:
        raise FairValueError(
            FairValueErrorCode.WRONG_PROGRAM,
            f"state {Pubkey(token.state)} of {token.symbol} is owned by {Pubkey(account.owner)}, "
            "which is no known staking program",
        )
    value = reader(token, account.data, accounts)
    if value.mint != token.mint:
        raise FairValueError(
            FairValueErrorCode.WRONG_MINT,
            f"state {Pubkey(token.state)} is of mint {Pubkey(value.mint)}, "
            f"{token.symbol} is {Pubkey(token.mint)}",
        )
    if value.supply == 0:
        raise FairValueError(FairValueErrorCode.ZERO_SUPPLY, f"{token.symbol} has no supply")
    if value.epoch == 0 or (epoch is not None and value.epoch is not None and value.epoch < epoch):
        raise FairValueError(
            FairValueErrorCode.STALE_EPOCH,
            f"{token.symbol} was last updated in epoch {value.epoch}, now is {epoch}",
        )
    return value


def _layout(token: Token, good: bool, what: str) -> None:
    if not good:
        raise FairValueError(FairValueErrorCode.WRONG_LAYOUT, f"state of {token.symbol}: {what}")


def _stake_pool(token: Token, data: bytes, accounts: Mapping[bytes, Account]) -> FairValue:
    _layout(
        token,
        len(data) >= _STAKE_POOL_SIZE,
        f"{len(data)} bytes, a stake pool has {_STAKE_POOL_SIZE} or more",
    )
    _layout(token, data[0] == _STAKE_POOL_TAG, f"account type {data[0]}, a stake pool has {_STAKE_POOL_TAG}")
    total, supply, epoch = _POOL_FIGURES.unpack_from(data, 258)
    return FairValue(data[162:194], total, supply, epoch)


def _marinade(token: Token, data: bytes, accounts: Mapping[bytes, Account]) -> FairValue:
    _layout(token, len(data) >= _MARINADE_SIZE, f"{len(data)} bytes, Marinade's has {_MARINADE_SIZE} or more")
    _layout(
        token,
        data.startswith(_MARINADE_HEAD),
        f"discriminator {data[:8].hex()}, wants {_MARINADE_HEAD.hex()}",
    )
    cooling, active, reserve, supply, tickets, emergency = (
        _U64.unpack_from(data, at)[0] for at in (226, 376, 496, 504, 528, 568)
    )
    total = active + cooling + emergency + reserve - tickets
    _layout(token, total >= 0, f"tickets {tickets} are more than all that backs them")
    return FairValue(data[8:40], total, supply, None)


def _infinity(token: Token, data: bytes, accounts: Mapping[bytes, Account]) -> FairValue:
    _layout(token, len(data) == _INFINITY_SIZE, f"{len(data)} bytes, INF's version 2 has {_INFINITY_SIZE}")
    _layout(token, data[12] == _INFINITY_VERSION, f"version {data[12]}, known is {_INFINITY_VERSION}")
    total, withheld, protocol = (_U64.unpack_from(data, at)[0] for at in (0, 216, 224))
    total -= withheld + protocol
    _layout(token, total >= 0, f"withheld {withheld} and protocol fee {protocol} are more than the total")
    mint = data[144:176]
    try:
        supply = _U64.unpack_from(spl.find_account(accounts, mint, "mint").data, 36)[0]
    except PoolError as error:
        raise FairValueError(FairValueErrorCode.STATE_MISSING, str(error)) from None
    return FairValue(mint, total, supply, None)


_Reader = Callable[[Token, bytes, Mapping[bytes, Account]], FairValue]
_READERS: dict[bytes, _Reader] = {
    **dict.fromkeys(SPL_STAKE_POOLS, _stake_pool),
    MARINADE: _marinade,
    INFINITY: _infinity,
}


class TokenProblem(NamedTuple):
    """A token that the start-up check takes out of trading, and why."""

    token: Token
    code: FairValueErrorCode
    message: str


def check_tokens(
    tokens: Mapping[bytes, Token], accounts: Mapping[bytes, Account], *, missing_is_wrong: bool = True
) -> tuple[dict[bytes, Token], list[TokenProblem]]:
    """Start-up self-check against the chain: (tokens that may trade, problems).

    Each LST's state must be owned by its program and name its mint; each mint account that is
    known must belong to a
    token program and have the listed decimals. A mismatch disables that token and no other. Tokens
    without a listed
    state pass. With ``missing_is_wrong`` false a state that is not among the accounts passes too
    (a market of test
    accounts need not hold it).
    """
    good: dict[bytes, Token] = {}
    problems: list[TokenProblem] = []
    for mint, token in tokens.items():
        problem = _mint_problem(token, accounts)
        if problem is None and token.enabled and token.state is not None and token.state_program is not None:
            problem = _state_problem(token, accounts, missing_is_wrong)
        if problem is None:
            good[mint] = token
        else:
            problems.append(problem)
    return good, problems


def _mint_problem(token: Token, accounts: Mapping[bytes, Account]) -> TokenProblem | None:
    account = accounts.get(token.mint)
    if account is None:
        return None
    if account.owner not in (spl.TOKEN_PROGRAM, spl.TOKEN_2022_PROGRAM) or len(account.data) < spl.MINT_SIZE:
        size, owner = len(account.data), Pubkey(account.owner)
        text = f"{token.symbol}: {Pubkey(token.mint)} is no mint ({size} bytes, owner {owner})"
        return TokenProblem(token, FairValueErrorCode.WRONG_MINT, text)
    if account.data[44] != token.decimals:
        text = f"{token.symbol}: the mint has {account.data[44]} decimals, the list says {token.decimals}"
        return TokenProblem(token, FairValueErrorCode.WRONG_MINT, text)
    return None


def _state_problem(
    token: Token, accounts: Mapping[bytes, Account], missing_is_wrong: bool
) -> TokenProblem | None:
    try:
        fair_value(token, accounts)
    except FairValueError as error:
        missing = error.code is FairValueErrorCode.STATE_MISSING and not missing_is_wrong
        # Staleness passes with time; it is no mismatch of mint and pool.
        if missing or error.code is FairValueErrorCode.STALE_EPOCH:
            return None
        return TokenProblem(token, error.code, str(error))
    return None
