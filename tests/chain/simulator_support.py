"""The shipped market, for simulations of two-hops on it."""

import itertools
from collections.abc import Iterator
from pathlib import Path

from made_program import elf
from solders.pubkey import Pubkey

from hft.chain.keys import paper_keypair
from hft.chain.svm_simulator import Simulated, Simulator
from hft.chain.template import Templates
from hft.chain.tips import TIP_ACCOUNTS
from hft.chain.transaction import TwoHop
from hft.simnet.bank import Bank
from hft.simnet.genesis import genesis_accounts
from hft.simnet.market import load_market
from hft.venues import WRAPPED_SOL, Pool, associated_token_address, quote
from hft.wire.account import AccountRecord

WALLET = paper_keypair(1)
USER = bytes(WALLET.pubkey())
PURSE = associated_token_address(USER, WRAPPED_SOL)
AMOUNT = 10**8


class Market:
    """The shipped market as a table's reader sees it, and the bank that holds it."""

    def __init__(self) -> None:
        market = load_market()
        self.bank = Bank(market, genesis_accounts(market, WALLET.pubkey(), 10**12), seed=1, slot_ms=400)
        self.templates = Templates(USER)
        self._records: dict[bytes, AccountRecord] = {}

    def record(self, key: bytes) -> AccountRecord | None:
        """The account's newest record: the same object as long as the account is the same."""
        owner, data, lamports = self.bank.account(key)
        if not lamports:
            return None
        held = self._records.get(key)
        if held is None or (held.owner, held.data, held.lamports) != (owner, data, lamports):
            held = self._records[key] = AccountRecord(self.bank.slot, 1, owner, lamports, 0, data)
        return held

    def order(self, pool_1: Pool, pool_2: Pool, minimum_out: int = 1) -> TwoHop:
        """Both swaps as they are quoted now; the least out is in the caller's hand."""
        mid_mint = pool_1.mint_b if pool_1.mint_a == WRAPPED_SOL else pool_1.mint_a
        mid = quote(pool_1, WRAPPED_SOL, AMOUNT, self.bank.clock).amount_out
        out = quote(pool_2, mid_mint, mid, self.bank.clock).amount_out
        least = minimum_out if minimum_out > 0 else out - minimum_out
        return TwoHop(pool_1, pool_2, WRAPPED_SOL, AMOUNT, mid, least, 400_000, 1_000, 5_000, TIP_ACCOUNTS[3])

    def simulate(self, simulator: Simulator, order: TwoHop) -> Simulated:
        """The order's message, run."""
        message = self.templates.message(order, bytes(32))
        return simulator.run(message, self.bank.pools, self.bank.clock, PURSE)


def pairs(market: Market) -> Iterator[tuple[Pool, Pool]]:
    """A route a pair of venues, both ways round."""
    seen = set()
    for one, two in itertools.permutations(market.bank.pools.values(), 2):
        mints = {one.mint_a, one.mint_b}
        if WRAPPED_SOL in mints == {two.mint_a, two.mint_b} and (one.venue, two.venue) not in seen:
            seen.add((one.venue, two.venue))
            yield one, two


def loaded(folder: Path, market: Market, code: list[bytes]) -> Simulator:
    """A simulator in which every venue's program is this one."""
    for pool in market.bank.pools.values():
        owner = market.bank.account(pool.key).owner
        (folder / f"{Pubkey(owner)}.so").write_bytes(elf(code))
    return Simulator(market.record, folder)
