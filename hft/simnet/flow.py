"""Seeded order flow: everybody else who trades on the local cluster's pools.

Each pair has a fair value that walks slowly and is pulled back to where it began. Noise traders swap on
every pool, with sizes and runs of equal sides as on a recorded day. Whoever keeps a pool in line does so
late: once a pool's price is off its fair value by more than its fee, a rebalancing swap follows after some
hundreds of milliseconds. Between the two lie the dislocations. All of it is drawn from one seeded generator
over the market's own time: the same seed makes the same market, byte for byte, as long as nobody else trades.
"""

import heapq
import math
import random
from bisect import bisect_right
from collections.abc import Mapping
from typing import Final, NamedTuple

from hft.simnet.bank import Bank
from hft.simnet.market import MarketError, MarketErrorCode
from hft.venues import Pool, QuoteError, quote, token_amount

NEVER: Final = 2**62
SECOND_NS: Final = 1_000_000_000
FAIR_VOLATILITY: Final = 1.5e-4  # of log price, per square root of a second
FAIR_PULL: Final = 5e-4  # per second: with the volatility above the walk spreads to about half a percent
FAIR_LIMIT: Final = 0.02  # the account files know only some liquidity around the price
REACTION_FLOOR_NS: Final = 200_000_000
REACTION_MEAN_NS: Final = 600_000_000
MARGIN: Final = 1e-4  # a rebalancing trader wants a basis point beyond the fee
# The tape's pool held one in 7.6 of its virtual reserve; where liquidity is packed closer, what the vault
# holds bounds the sizes.
VAULT_MULTIPLE: Final = 7.6
MAX_VAULT_SHARE: Final = 0.25
# Up to this many swaps a second have the recorded sizes; more are smaller by the square root of the rate, so
# that prices spread alike and a faster flow is a finer one.
FULL_SIZE_RATE: Final = 20
OPENING_ROUNDS: Final = 50


class FlowProfile(NamedTuple):
    """Figures of recorded swaps: the share (in millionths) of swaps no larger than each size (in
    parts per billion of
    the pool's reserve), and how often one swap goes the way of the last (in millionths)."""

    shares_ppm: tuple[int, ...]
    sizes_ppb: tuple[int, ...]
    same_side_ppm: int


class FlowCounts(NamedTuple):
    """What the flow did so far; ``refused`` swaps were too large or small for their pool and
    changed nothing.
    """

    noise: int
    rebalancing: int
    refused: int


def profile_of(figures: Mapping[str, object]) -> FlowProfile:
    """The profile in a snapshot's ``flow`` part. ``MarketError`` WRONG_FORM if it is none."""
    rows, same = figures.get("size_ppb"), figures.get("same_side_ppm")
    try:
        if not isinstance(rows, list) or not isinstance(same, int):
            raise TypeError("size_ppb must be a list, same_side_ppm an integer")
        shares = tuple(int(row[0]) for row in rows)
        sizes = tuple(int(row[1]) for row in rows)
        if len(rows) < 2 or shares[0] != 0 or shares[-1] != 1_000_000:
            raise ValueError("shares must go from 0 to 1000000")
        if sorted(shares) != list(shares) or sorted(sizes) != list(sizes):
            raise ValueError("shares and sizes must rise")
    except (TypeError, ValueError, IndexError) as error:
        raise MarketError(MarketErrorCode.WRONG_FORM, f"snapshot's flow figures: {error}") from error
    return FlowProfile(shares, sizes, same)


class _Pair:
    """A pair's fair value: how far (in log price of B per A) it has walked from where it began."""

    def __init__(self, mint_a: bytes, origin: float) -> None:
        self.mint_a = mint_a
        self.origin = origin
        self.offset = 0.0
        self.walked_ns = 0
        self.pools: list[bytes] = []

    @property
    def log_price(self) -> float:
        return self.origin + self.offset

    def walk(self, now_ns: int, draw: float) -> None:
        """On to ``now_ns`` with a standard normal ``draw``."""
        seconds = (now_ns - self.walked_ns) / SECOND_NS
        self.walked_ns = now_ns
        step = draw * FAIR_VOLATILITY * math.sqrt(seconds) - self.offset * FAIR_PULL * seconds
        self.offset = min(max(self.offset + step, -FAIR_LIMIT), FAIR_LIMIT)


class Flow:
    """Order flow on a bank's pools. ``next_ns`` says when (on the market's time, from 0) the next
    swap is due.
    """

    def __init__(self, bank: Bank, profile: FlowProfile, *, seed: int, swaps_per_second: int) -> None:
        """``swaps_per_second``: mean rate of noise swaps over all pools; 0: no flow at all."""
        self._bank = bank
        self._profile = profile
        self._random = random.Random(seed)
        self._rate = swaps_per_second
        self._scale = (
            min(1.0, math.sqrt(FULL_SIZE_RATE / swaps_per_second)) / 1e9 if swaps_per_second else 0.0
        )
        self._pairs = _pairs(bank)
        self._keys = sorted(bank.pools)
        self._pair_of = {key: pair for pair in self._pairs for key in pair.pools}
        self._sides = {key: self._random.random() < 0.5 for key in self._keys}
        self._due: list[tuple[int, bytes]] = []
        self._waiting: set[bytes] = set()
        self._noise = self._rebalancing = self._refused = 0
        self.last_pool: bytes | None = None
        self._next_noise_ns = self._gap() if swaps_per_second else NEVER
        if swaps_per_second:
            for key in self._keys:
                self._watch(key, 0)

    @property
    def next_ns(self) -> int:
        """When the next swap is due; ``NEVER`` if none is."""
        return min(self._next_noise_ns, self._due[0][0]) if self._due else self._next_noise_ns

    @property
    def counts(self) -> FlowCounts:
        """What the flow did so far."""
        return FlowCounts(self._noise, self._rebalancing, self._refused)

    def open_market(self) -> None:
        """Swaps every pool to within its fee of the fair value, before anybody trades.

        For pools that were recorded at different moments: the gap between them is no fact of any market.
        """
        for key in self._keys:
            for _ in range(OPENING_ROUNDS):
                if not self._rebalance_once(key):
                    break
        self._due.clear()
        self._waiting.clear()

    def step(self) -> None:
        """Carries out the next swap that is due."""
        if self._due and self._due[0][0] <= self._next_noise_ns:
            now_ns, key = heapq.heappop(self._due)
            self._waiting.discard(key)
            self._rebalancing += self._rebalance_once(key)
            self._watch(key, now_ns)
            return
        now_ns = self._next_noise_ns
        self._next_noise_ns += self._gap()
        key = self._keys[self._random.randrange(len(self._keys))]
        pair = self._pair_of[key]
        pair.walk(now_ns, self._random.gauss(0.0, 1.0))
        self._trade(key, now_ns)
        for other in pair.pools:
            self._watch(other, now_ns)

    def _gap(self) -> int:
        return 1 + int(self._random.expovariate(self._rate) * SECOND_NS)

    def _trade(self, key: bytes, now_ns: int) -> None:
        if self._random.randrange(1_000_000) >= self._profile.same_side_ppm:
            self._sides[key] = not self._sides[key]
        size_ppb = self._size_ppb()
        pool = self._bank.pools.get(key)
        if pool is not None:
            a_to_b = self._sides[key]
            self._noise += self._swap(pool, a_to_b, int(self._reserve(pool, a_to_b) * size_ppb * self._scale))

    def _size_ppb(self) -> float:
        """A size from the recorded ones: the quantile of a uniform share, geometrically between
        its neighbours.
        """
        shares, sizes = self._profile.shares_ppm, self._profile.sizes_ppb
        share = self._random.random() * 1_000_000
        at = min(bisect_right(shares, share), len(shares) - 1)
        low, high = max(sizes[at - 1], 1), max(sizes[at], 1)
        part = (share - shares[at - 1]) / (shares[at] - shares[at - 1])
        return low * math.exp(part * math.log(high / low))

    def _reserve(self, pool: Pool, a_to_b: bool) -> float:
        """What a size is a share of: the virtual reserve of the input, or less where little is behind it."""
        form = pool.screen_form(self._bank.clock)
        depth_in, depth_out = (form.depth_a, form.depth_b) if a_to_b else (form.depth_b, form.depth_a)
        held = token_amount(self._bank.account(pool.vault_b if a_to_b else pool.vault_a).data)
        return min(depth_in, VAULT_MULTIPLE * held * depth_in / depth_out)

    def _swap(self, pool: Pool, a_to_b: bool, amount: int) -> int:
        """Swaps if the pool can; 1 if it did."""
        input_mint = pool.mint_a if a_to_b else pool.mint_b
        try:
            self._bank.swap(pool.key, input_mint, quote(pool, input_mint, amount, self._bank.clock))
        except (QuoteError, ValueError):
            self._refused += 1
            return 0
        self.last_pool = pool.key
        return 1

    def _deviation(self, pool: Pool) -> float:
        """Log of the pool's price over the fair one, in B per A of the pool."""
        pair = self._pair_of[pool.key]
        fair = pair.log_price if pool.mint_a == pair.mint_a else -pair.log_price
        return math.log(pool.spot_price(pool.mint_a)) - fair

    def _watch(self, key: bytes, now_ns: int) -> None:
        """If the pool is off by more than its fee, somebody has seen it and comes, a little later."""
        pool = self._bank.pools.get(key)
        if pool is None or key in self._waiting or abs(self._deviation(pool)) <= self._band(pool) + MARGIN:
            return
        delay = REACTION_FLOOR_NS + int(
            self._random.expovariate(1.0) * (REACTION_MEAN_NS - REACTION_FLOOR_NS)
        )
        self._waiting.add(key)
        heapq.heappush(self._due, (now_ns + delay, key))

    def _band(self, pool: Pool) -> float:
        return pool.fee_ppm(self._bank.clock) / 1e6

    def _rebalance_once(self, key: bytes) -> int:
        """Swaps the pool back to where its fee makes more of it unprofitable; 1 if it did."""
        pool = self._bank.pools.get(key)
        if pool is None:
            return 0
        deviation = self._deviation(pool)
        excess = abs(deviation) - self._band(pool)
        if excess <= 0:
            return 0
        a_to_b = deviation > 0
        form = pool.screen_form(self._bank.clock)
        depth = form.depth_a if a_to_b else form.depth_b
        most = self._reserve(pool, a_to_b) / VAULT_MULTIPLE * MAX_VAULT_SHARE
        amount = int(min(depth * math.expm1(excess / 2), max(most, 1.0)) / (1 - self._band(pool)))
        return self._swap(pool, a_to_b, amount)


def _pairs(bank: Bank) -> list[_Pair]:
    """The bank's pairs, their fair value beginning at the price of the deepest pool."""
    found: dict[frozenset[bytes], _Pair] = {}
    deepest: dict[frozenset[bytes], float] = {}
    for key in sorted(bank.pools):
        pool = bank.pools[key]
        mints = frozenset((pool.mint_a, pool.mint_b))
        mint_a = min(mints)
        form = pool.screen_form(bank.clock)
        depth = form.depth_a if pool.mint_a == mint_a else form.depth_b
        pair = found.setdefault(mints, _Pair(mint_a, 0.0))
        pair.pools.append(key)
        if depth > deepest.get(mints, 0.0):
            deepest[mints] = depth
            pair.origin = math.log(pool.spot_price(mint_a))
    return list(found.values())
