"""A plan's figures in, what its transaction would do out: in the planner's process, before it is told.

    general way: order ──patch──> message ──open──> calls ──price──> transfers ──compile──> SVM ──> the answer
    ready: order and its two quotes ──patch──> what was compiled of an order like it ──> SVM ──> the answer

Two swaps and a tip, AMM v4 → Whirlpool and CLMM → DAMM v2, SOL/USDC, by their prices; no program is loaded.

all new:  what it rests on came anew before each run: vaults and the wallet's accounts, seven records.
known:    nothing changed since the last run.
"""

from collections.abc import Sequence

from solders.pubkey import Pubkey

from hft.chain.keys import paper_keypair
from hft.chain.svm_simulator import Simulator
from hft.chain.template import Templates
from hft.chain.tips import TIP_ACCOUNTS
from hft.chain.transaction import TwoHop
from hft.simnet.genesis import genesis_accounts
from hft.simnet.market import load_market
from hft.venues import WRAPPED_SOL, ChainClock, Venue, associated_token_address, quote
from hft.venues.tokens import USDC_MINT
from hft.wire.account import AccountRecord
from perf.cases import Hiccups
from perf.engine import Case, Plan, Shape
from perf.sampled import Sampled, Timed

PLANS = 64
AMOUNT = 10**8
WAYS = (("all new", True, True), ("known", True, False), ("general way, all new", False, True))
"""Label; whether it is made ready first; whether all comes anew before each run."""
ROUTES = (("raydium_v4", "whirlpool"), ("raydium_clmm", "meteora_damm_v2"))
BLOCKHASH = bytes(32)
WALLET = paper_keypair(1)


class _Known:
    """The shipped market and the wallet as the account table has them."""

    def __init__(self) -> None:
        market = load_market()
        self.pools = market.pools
        self.clock = ChainClock(market.slot, market.unix_timestamp)
        accounts = {**market.accounts, **genesis_accounts(market, WALLET.pubkey(), 10**12)}
        self.records = {
            key: AccountRecord(market.slot, 1, account.owner, account.lamports, 0, account.data)
            for key, account in accounts.items()
            if account.lamports
        }

    def pool(self, venue: str) -> bytes:
        """The SOL/USDC pool of a venue."""
        wanted = Venue[venue.upper()]
        mints = {WRAPPED_SOL, USDC_MINT}
        return next(
            one.key
            for one in self.pools.values()
            if one.venue is wanted and {one.mint_a, one.mint_b} == mints
        )


def simulated(first: str, second: str, ready: bool, renewed: bool) -> Timed:
    """Message and simulation. ValueError if one does not succeed, or not the way that was asked for."""
    known, user = _Known(), bytes(WALLET.pubkey())
    pool_1, pool_2 = known.pools[known.pool(first)], known.pools[known.pool(second)]
    purses = [associated_token_address(user, mint) for mint in (WRAPPED_SOL, USDC_MINT)]
    quote_1 = quote(pool_1, WRAPPED_SOL, AMOUNT, known.clock)
    mid = quote_1.amount_out
    quotes = quote_1, quote(pool_2, USDC_MINT, mid, known.clock)
    order = TwoHop(pool_1, pool_2, WRAPPED_SOL, AMOUNT, mid, 1, 400_000, 1_000, 5_000, TIP_ACCOUNTS[0])
    simulator, templates = Simulator(known.records.get), Templates(user)
    moved = [pool_1.vault_a, pool_1.vault_b, pool_2.vault_a, pool_2.vault_b, *purses, user]

    def step(least: int) -> None:
        made = order._replace(minimum_out=least)
        before, template = simulator.patched, templates.template(made)
        if ready:
            done = simulator.run_two_hop(template, made, quotes, known.clock, purses[0])
        else:
            done = simulator.run(template.message(made, BLOCKHASH), known.pools, known.clock, purses[0])
        if not done.ok or (simulator.patched > before) != ready:
            raise ValueError(f"{Pubkey(pool_1.key)} → {Pubkey(pool_2.key)}: {done}")

    def renew(least: int) -> tuple[int]:
        for key in moved:
            known.records[key] = known.records[key]._replace()
        return (least,)

    if ready:
        simulator.run_two_hop(templates.template(order), order, quotes, known.clock, purses[0])
        simulator.prepare(known.clock)
    given = [(number,) for number in range(1, PLANS + 1)]
    return Timed(step, given, renew=renew if renewed else None)


def cases(plan: Plan) -> Sequence[Case]:
    """Both routes: ready, with what they rest on new and known, and the general way."""
    return [
        Hiccups(plan),
        *(
            Sampled(
                f"{first}→{second}, {word}",
                plan,
                simulated,
                first,
                second,
                ready,
                renewed,
                group=f"{first}→{second}",
                reference=ready and renewed,
            )
            for first, second in ROUTES
            for word, ready, renewed in WAYS
        ),
    ]


SHAPE = Shape("simulate", __doc__, cases)
