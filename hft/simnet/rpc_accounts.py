"""JSON-RPC methods that read accounts."""

from typing import Any, Final

from solders.pubkey import Pubkey

from hft.chain.base58 import b58decode
from hft.simnet.encoding import account_json, amount_json, exists
from hft.simnet.rpc import (
    INVALID_PARAMS,
    Config,
    Method,
    Params,
    RpcError,
    View,
    config_at,
    integer,
    pubkey,
    required,
    sequence,
)
from hft.venues import Account, token_amount
from hft.venues.spl import MINT_SIZE, TOKEN_2022_PROGRAM, TOKEN_ACCOUNT_SIZE, TOKEN_PROGRAM, rent_exempt

MAX_ACCOUNTS: Final = 100
MAX_FILTERS: Final = 4
MAX_MEMCMP: Final = 128
_TOKEN_PROGRAMS: Final = (TOKEN_PROGRAM, TOKEN_2022_PROGRAM)


def decimals_of(view: View, account: Account) -> int:
    """Decimals of a token account's mint; 0 if it is no token account."""
    if account.owner not in _TOKEN_PROGRAMS or len(account.data) < TOKEN_ACCOUNT_SIZE:
        return 0
    mint = view.bank.account(bytes(account.data[0:32])).data
    return mint[44] if len(mint) >= MINT_SIZE else 0


def written(view: View, account: Account, config: Config) -> dict[str, Any] | None:
    """The account as the config wants it."""
    decimals = decimals_of(view, account) if config.get("encoding") == "jsonParsed" else 0
    return account_json(account, config, decimals)


def get_account_info(view: View, params: Params) -> Any:
    """``getAccountInfo``"""
    key, config = pubkey(required(params, 0)), config_at(params, 1)
    level = view.begin(config)
    return view.answer(level, written(view, view.account(key, level), config))


def get_multiple_accounts(view: View, params: Params) -> Any:
    """``getMultipleAccounts``: all of one bank, ``null`` for those that do not exist."""
    keys = [pubkey(key) for key in sequence(required(params, 0), "keys", MAX_ACCOUNTS)]
    config = config_at(params, 1)
    level = view.begin(config)
    return view.answer(level, [written(view, view.account(key, level), config) for key in keys])


def get_balance(view: View, params: Params) -> Any:
    """``getBalance``"""
    key = pubkey(required(params, 0))
    level = view.begin(config_at(params, 1))
    return view.answer(level, view.account(key, level).lamports)


def get_token_account_balance(view: View, params: Params) -> Any:
    """``getTokenAccountBalance``"""
    key = pubkey(required(params, 0))
    level = view.begin(config_at(params, 1))
    account = view.account(key, level)
    if account.owner not in _TOKEN_PROGRAMS or len(account.data) < TOKEN_ACCOUNT_SIZE:
        raise RpcError(INVALID_PARAMS, "Invalid param: could not find account")
    return view.answer(level, amount_json(token_amount(account.data), decimals_of(view, account)))


def get_token_supply(view: View, params: Params) -> Any:
    """``getTokenSupply``"""
    key = pubkey(required(params, 0))
    level = view.begin(config_at(params, 1))
    account = view.account(key, level)
    if account.owner not in _TOKEN_PROGRAMS or len(account.data) < MINT_SIZE:
        raise RpcError(INVALID_PARAMS, "Invalid param: could not find mint")
    supply = int.from_bytes(account.data[36:44], "little")
    return view.answer(level, amount_json(supply, account.data[44]))


def get_token_accounts_by_owner(view: View, params: Params) -> Any:
    """``getTokenAccountsByOwner``: of one mint, or of one token program."""
    owner, wanted, config = pubkey(required(params, 0)), config_at(params, 1), config_at(params, 2)
    level = view.begin(config)
    mint = pubkey(wanted["mint"]) if "mint" in wanted else None
    program = pubkey(wanted["programId"]) if "programId" in wanted else None
    if (mint is None) == (program is None):
        raise RpcError(INVALID_PARAMS, "Invalid params: one of mint and programId belongs there.")
    found = []
    for key in sorted(view.bank.held_by(owner)):
        account = view.account(key, level)
        if not account.data or account.data[32:64] != owner:
            continue
        if account.data[0:32] == mint if mint is not None else account.owner == program:
            found.append({"pubkey": str(Pubkey(key)), "account": written(view, account, config)})
    return view.answer(level, found)


def get_program_accounts(view: View, params: Params) -> Any:
    """``getProgramAccounts``: at most four filters (dataSize, memcmp)."""
    program, config = pubkey(required(params, 0)), config_at(params, 1)
    level = view.begin(config)
    wanted = filters(config)
    found = []
    for key in sorted(view.bank.accounts):
        account = view.account(key, level)
        if account.owner == program and exists(account) and passes(account, wanted):
            found.append({"pubkey": str(Pubkey(key)), "account": written(view, account, config)})
    return view.answer(level, found) if config.get("withContext") else found


def filters(config: Config) -> list[tuple[int, bytes | None]]:
    """The filters of a config: (size, ``None``) or (offset, bytes that must stand there)."""
    found: list[tuple[int, bytes | None]] = []
    for one in sequence(config.get("filters") or [], "filters", MAX_FILTERS):
        compared = one.get("memcmp") if isinstance(one, dict) else None
        if isinstance(one, dict) and "dataSize" in one:
            found.append((integer(one["dataSize"], "dataSize"), None))
        elif isinstance(compared, dict) and isinstance(compared.get("bytes"), str):
            try:
                wanted = b58decode(compared["bytes"])
            except ValueError as error:
                raise RpcError(INVALID_PARAMS, f"Invalid param: memcmp: {error}") from error
            if len(wanted) > MAX_MEMCMP:
                raise RpcError(INVALID_PARAMS, f"Invalid param: memcmp of at most {MAX_MEMCMP} bytes.")
            found.append((integer(compared.get("offset", 0), "offset"), wanted))
        else:
            raise RpcError(INVALID_PARAMS, f"Invalid params: filter {one!r:.60}: dataSize or memcmp.")
    return found


def passes(account: Account, wanted: list[tuple[int, bytes | None]]) -> bool:
    """Whether an account passes all filters."""
    return all(
        len(account.data) == at if text is None else account.data[at : at + len(text)] == text
        for at, text in wanted
    )


def get_minimum_balance(_: View, params: Params) -> Any:
    """``getMinimumBalanceForRentExemption``"""
    return rent_exempt(integer(required(params, 0), "size"))


def request_airdrop(view: View, params: Params) -> Any:
    """``requestAirdrop``: lamports out of nothing, by a transfer from the cluster's faucet."""
    key, lamports = pubkey(required(params, 0)), integer(required(params, 1), "lamports")
    if not 0 < lamports <= MAX_AIRDROP:
        raise RpcError(INVALID_PARAMS, f"Invalid params: airdrops of 1 to {MAX_AIRDROP} lamports are given.")
    return view.cluster.airdrop(key, lamports)


MAX_AIRDROP: Final = 1_000_000_000_000
METHODS: Final[dict[str, Method]] = {
    "getAccountInfo": get_account_info,
    "getMultipleAccounts": get_multiple_accounts,
    "getBalance": get_balance,
    "getTokenAccountBalance": get_token_account_balance,
    "getTokenSupply": get_token_supply,
    "getTokenAccountsByOwner": get_token_accounts_by_owner,
    "getProgramAccounts": get_program_accounts,
    "getMinimumBalanceForRentExemption": get_minimum_balance,
    "requestAirdrop": request_airdrop,
}
