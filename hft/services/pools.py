"""Which pools to watch: those the settings name, else every pool of the local cluster that trades listed
tokens. What can't be right is refused at start-up, all of it together.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, NamedTuple

from solders.pubkey import Pubkey

from hft.chain.rpc import MAX_ACCOUNTS, RpcClient
from hft.runtime.config import ConfigError
from hft.runtime.endpoints import LIVE
from hft.runtime.settings import Config
from hft.venues import ABSENT, VENUES, Account, Pool, PoolError, decode, required_accounts, venue_of
from hft.venues.lst import TokenProblem, check_tokens
from hft.venues.tokens import Token

MAX_POOLS: Final = 500
ASK_NS: Final = 5_000_000_000
"""Longest wait for one answer at start-up."""


class Survey(NamedTuple):
    """What was found at start-up. ``pools``: each with the accounts that it needs; ``left_out``: pools of
    tokens that nobody listed; ``tokens``: the listed ones that are what the list says; ``problems``: the
    others."""

    pools: Mapping[bytes, tuple[bytes, ...]]
    left_out: int
    tokens: Mapping[bytes, Token]
    problems: tuple[TokenProblem, ...]


def named_pools(config: Config) -> tuple[bytes, ...]:
    """The pools that ``[chain] pools`` names. ``ConfigError``: an entry that is no key, or is there twice;
    too many; none in live mode."""
    texts, found, wrong = config.chain.pools, [], []
    if not texts and config.hft.mode == LIVE:
        wrong.append("[chain] pools: live mode needs at least one pool to watch, as a base58 key")
    if len(texts) > MAX_POOLS:
        wrong.append(f"[chain] pools: {len(texts)} pools; at most {MAX_POOLS} are watched")
    for text in texts:
        try:
            key = bytes(Pubkey.from_string(text))
        except ValueError:
            wrong.append(f"[chain] pools: {text!r} is no base58 key of 32 bytes")
            continue
        if key in found:
            wrong.append(f"[chain] pools: {text} is named twice")
        found.append(key)
    if wrong:
        raise ConfigError(wrong)
    return tuple(found)


async def sound_pools(rpc: RpcClient, named: Sequence[bytes]) -> list[Pool]:
    """Those of the named pools that the chain has and that are sound now. ``RpcFault`` without an answer."""
    pools = await accounts_of(rpc, named)
    needed = dict.fromkeys(key for pool in pools.items() for key in needs_of(*pool, None))
    accounts = {**await accounts_of(rpc, list(needed)), **pools}
    return [pool for key in pools if (pool := _decoded(key, accounts)) is not None]


async def survey(
    rpc: RpcClient,
    named: Sequence[bytes],
    tokens: Mapping[bytes, Token],
    besides: Callable[[Pool | None], tuple[bytes, ...]],
    *,
    live: bool,
) -> Survey:
    """Looks at the pools (``named``; none: all there are) and at the tokens on the chain. ``besides``: what
    is wanted of a pool besides what it rests on.

    ``ConfigError``: a named pool that is of no known venue, or whose mints are not listed. A pool that does
    not exist, or is not sound, is no error: it is disabled until it is. ``RpcFault`` without an answer.
    """
    pools = await accounts_of(rpc, named) if named else await _every_pool(rpc)
    needed = dict.fromkeys(key for pool in pools.items() for key in needs_of(*pool, None))
    states = [state for token in tokens.values() for state in (token.mint, token.state) if state is not None]
    accounts = {**await accounts_of(rpc, [*needed, *states]), **pools}
    known = {key: account for key, account in accounts.items() if account.data}
    good, problems = check_tokens(tokens, known, missing_is_wrong=live)
    wrong: list[str] = []
    kept: dict[bytes, tuple[bytes, ...]] = {}
    for key, account in pools.items():
        decoded = _decoded(key, accounts)
        trouble = _trouble(account, decoded, tokens)
        if trouble and named:
            wrong.append(f"[chain] pools: {Pubkey(key)} {trouble}")
        elif not trouble and len(kept) < MAX_POOLS:
            kept[key] = (*needs_of(key, account, decoded), *besides(decoded))
    if wrong:
        raise ConfigError(wrong)
    return Survey(kept, len(pools) - len(kept), good, tuple(problems))


def _trouble(account: Account, pool: Pool | None, tokens: Collection[bytes]) -> str:
    """Why nobody should trade that pool, ever; empty if nothing speaks against it."""
    if account == ABSENT:
        return ""
    if venue_of(account) is None:
        owner, size = Pubkey(account.owner), len(account.data)
        return f"is no pool of a known venue: {size} bytes, owned by {owner}"
    mints = () if pool is None else (pool.mint_a, pool.mint_b)
    strangers = [str(Pubkey(mint)) for mint in mints if mint not in tokens]
    return f"trades {' and '.join(strangers)}, not in the token list" if strangers else ""


def needs_of(key: bytes, account: Account, pool: Pool | None) -> tuple[bytes, ...]:
    """What a pool rests on: what its decoder reads and, once it is decoded, both vaults, whose balances bound
    what it can pay. Empty if the account is no sound pool."""
    try:
        needs = required_accounts(key, account)
    except PoolError:
        return ()
    return needs if pool is None else (*needs, pool.vault_a, pool.vault_b)


def _decoded(key: bytes, accounts: Mapping[bytes, Account]) -> Pool | None:
    try:
        return decode(key, accounts)
    except PoolError:
        return None


async def _every_pool(rpc: RpcClient) -> dict[bytes, Account]:
    found: dict[bytes, Account] = {}
    for spec in VENUES:
        found.update(
            await rpc.program_accounts(
                spec.program, size=spec.pool_bytes, head=spec.pool_head, deadline_ns=rpc.now_ns + ASK_NS
            )
        )
    return dict(sorted(found.items()))


async def accounts_of(rpc: RpcClient, keys: Sequence[bytes]) -> dict[bytes, Account]:
    """Each account, ``ABSENT`` where there is none. ``RpcFault`` without an answer."""
    found: dict[bytes, Account] = {}
    for first in range(0, len(keys), MAX_ACCOUNTS):
        asked = keys[first : first + MAX_ACCOUNTS]
        told = await rpc.accounts(asked, deadline_ns=rpc.now_ns + ASK_NS)
        found.update((key, account or ABSENT) for key, account in zip(asked, told.accounts, strict=True))
    return found
