"""The accounts that a simulation takes besides what a pool's price rests on: the feed follows them where the
planner simulates.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from solders.pubkey import Pubkey

from hft.venues import (
    TOKEN_2022_PROGRAM,
    TOKEN_PROGRAM,
    Pool,
    QuoteError,
    associated_token_address,
    swap_instruction,
)
from hft.venues.registry import BY_PROGRAM
from hft.venues.spl import ASSOCIATED_TOKEN_PROGRAM, MEMO_PROGRAM

if TYPE_CHECKING:
    from hft.runtime.settings import Config

PROGRAMS = frozenset(
    (TOKEN_PROGRAM, TOKEN_2022_PROGRAM, ASSOCIATED_TOKEN_PROGRAM, MEMO_PROGRAM, bytes(32), *BY_PROGRAM)
)
"""The SVM has its own."""
Needs = Callable[[Pool | None], tuple[bytes, ...]]


def simulation_needs(config: "Config", wallet: bytes) -> Needs:
    """What the feed is to follow for a pool besides: the wallet's accounts of both tokens; with programs to
    run, whatever a swap of it names. Nothing where the planner does not simulate."""
    if config.planner.simulate != "on":
        return lambda _pool: ()
    purses: dict[bytes, tuple[bytes, ...]] = {}
    tables = tuple(bytes(Pubkey.from_string(key)) for key in config.chain.lookup_tables)
    user, runs = Pubkey(wallet), bool(config.chain.programs)

    def needs(pool: Pool | None) -> tuple[bytes, ...]:
        if pool is None:
            return ()
        if pool.key not in purses:
            sides = ((pool.mint_a, pool.program_a), (pool.mint_b, pool.program_b))
            held = [associated_token_address(wallet, mint, program) for mint, program in sides]
            purses[pool.key] = (*held, *tables)
        return (*purses[pool.key], *(_named(pool, user) if runs else ()))

    return needs


def _named(pool: Pool, user: Pubkey) -> list[bytes]:
    """Accounts that a swap names, either way round, but for programs."""
    found: dict[bytes, None] = {}
    for mint in (pool.mint_a, pool.mint_b):
        try:
            swap = swap_instruction(pool, user, mint, 1, 1)
        except QuoteError:
            continue
        found.update((bytes(meta.pubkey), None) for meta in swap.accounts)
    return [named for named in found if named not in PROGRAMS]
