"""From account bytes to the best size of a route, one process.

    bytes ──decode──> pool ──screen──> routes that can pay ──size──> the input that earns most

decode_whirlpool: the shipped SOL/USDC pool with its five tick arrays, from bytes; and when one array changed.
screen:           15 pairs, each on 6 pools: which of the 450 routes can pay after fees.
size_two_hop:     the exact best input of one route, for pools of different kinds that differ by 1 to 3 %.
first time:       of pools as decoding leaves them, as the scanner has them; else of such as were asked.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hft.strategy.screen import Screen, candidates
from hft.strategy.two_hop import size
from hft.venues import Account, Pool, decode, decode_changed
from perf import made_up, pools
from perf.cases import Hiccups
from perf.engine import Case, Plan, Shape
from perf.pools import CLOCK, MINT_A
from perf.sampled import Sampled, Timed

PAIRS, POOLS_A_PAIR = 15, 6
MAXIMUM_IN = 10**12


def decode_whole() -> Timed:
    """All from bytes."""
    priced, accounts = pools.shipped_whirlpool()
    return Timed(decode, [(priced.pool.key, accounts)])


def decode_one_array() -> Timed:
    """The array of the present price changed, there and back again."""
    priced, accounts = pools.shipped_whirlpool()
    key, changed_data = _touched(priced.figures, accounts)
    other: Mapping[bytes, Account] = {**accounts, key: accounts[key]._replace(data=changed_data)}
    pool, changed = priced.pool, {key}
    return Timed(decode_changed, [(pool, accounts, changed), (pool, other, changed)])


def _touched(figures: Mapping[str, Any], accounts: Mapping[bytes, Account]) -> tuple[bytes, bytes]:
    """The tick array around the price and other bytes for it: a tick's liquidity differs."""
    span = 88 * figures["tick_spacing"]
    start = figures["tick"] // span * span
    wanted = start.to_bytes(4, "little", signed=True)
    for key, account in accounts.items():
        if len(account.data) == 9988 and account.data[8:12] == wanted:
            data = bytearray(account.data)
            data[13] ^= 1
            return key, bytes(data)
    raise ValueError(f"no tick array starts at {start}")


def _market() -> list[Pool]:
    """Pools of every pair within a thousandth of each other: after fees of 0.25 % nothing pays."""
    found = []
    for pair in range(PAIRS):
        for place in range(POOLS_A_PAIR):
            number = 10 + pair * POOLS_A_PAIR + place
            figures = pools.level_v4(number, 10**12, 10**12 + place * 10**8)
            mint = made_up.name(200 + pair, 1)
            figures["b"] = made_up.side(
                number, 2, figures["b"]["vault_owner"], figures["b"]["vault_amount"], mint
            )
            found.append(pools.made(figures).pool)
    return found


def screen_all() -> Timed:
    """All routes, one pass."""
    screen = Screen(MINT_A)
    for pool in _market():
        screen.update(pool)
    return Timed(screen.candidates, [()])


def screen_changed() -> Timed:
    """One pool changed: its rates updated, then the routes it takes part in."""
    found = _market()
    screen = Screen(MINT_A)
    for pool in found:
        screen.update(pool)

    def step(pool: Pool) -> object:
        screen.update(pool)
        return screen.candidates({pool.key})

    return Timed(step, [(pool,) for pool in found[:64]])


def screen_loop() -> Timed:
    """The same question asked of all pools anew, in a Python loop."""
    return Timed(candidates, [(_market(), MINT_A)])


_FIGURES: dict[str, Callable[[], dict[str, Any]]] = {
    "raydium_v4": lambda: pools.level_v4(10, 10**12, 103 * 10**10),
    "raydium_cpmm": lambda: made_up.raydium_cpmm(20, 10**12, 10**12),
    "whirlpool": made_up.whirlpool,
    "raydium_clmm": lambda: pools.dense_clmm(150),
    "meteora_dlmm": pools.priced_dlmm,
    "meteora_damm_v2": made_up.meteora_damm_v2,
}


def size_route(first: str, second: str, fresh: bool = False) -> Timed:
    """The best input between 1 and MAXIMUM_IN, of ``fresh`` pools each time, if so said; ValueError if none
    pays."""
    pool_1, pool_2 = (pools.made(_FIGURES[kind]()).pool for kind in (first, second))

    def best(pool_1: Pool, pool_2: Pool) -> object:
        return size(pool_1, pool_2, MINT_A, CLOCK, minimum_in=1, maximum_in=MAXIMUM_IN)

    if best(pool_1, pool_2) is None:
        raise ValueError(f"{first}, {second}: no size pays")
    return Timed(best, [(pool_1, pool_2)], renew=_as_decoded if fresh else None)


def _as_decoded(pool_1: Pool, pool_2: Pool) -> tuple[object, ...]:
    """The same route over pools that nobody has asked yet."""
    return pool_1.copy(), pool_2.copy()


ROUTES = (
    ("raydium_v4", "raydium_cpmm"),
    ("raydium_v4", "whirlpool"),
    ("raydium_v4", "meteora_dlmm"),
    ("raydium_v4", "meteora_damm_v2"),
    ("raydium_clmm", "whirlpool"),
    ("raydium_clmm", "meteora_dlmm"),
)


def decode_cases(plan: Plan) -> Sequence[Case]:
    """From bytes, and one array changed."""
    return [
        Sampled("from bytes", plan, decode_whole, group="whole", reference=True),
        Sampled("one array changed", plan, decode_one_array, group="changed", reference=True),
    ]


def screen_cases(plan: Plan) -> Sequence[Case]:
    """One numpy pass, and the routes of one pool alone, beside a loop."""
    return [
        Sampled("numpy, all routes", plan, screen_all, reference=True),
        Sampled("one pool changed", plan, screen_changed, group="changed", reference=True),
        Sampled("Python loop, all routes", plan, screen_loop),
    ]


def size_cases(plan: Plan) -> Sequence[Case]:
    """Each pair of kinds is a group of its own: nobody else does this."""
    return [
        Sampled(
            f"{one}→{two}{told}",
            plan,
            size_route,
            one,
            two,
            bool(told),
            group=one + two + told,
            reference=True,
        )
        for told in ("", ", first time")
        for one, two in ROUTES
    ]


def _shape(name: str, cases: Callable[[Plan], Sequence[Case]]) -> Shape:
    return Shape(name, __doc__ or "", lambda plan: [Hiccups(plan), *cases(plan)])


DECODE = _shape("decode_whirlpool", decode_cases)
SCREEN = _shape("screen", screen_cases)
SIZE = _shape("size_two_hop", size_cases)
