"""A pool and an amount in, the exact quote out, one process; sold token A, 64 different amounts in turn.

    amount ──quote──> amount out, fee, crossings

within a tick (bin): the price stays where no initialised tick or bin edge is passed.
8 crossings:         passes eight; what each costs is the difference to none, by turns in the same round.
first quote:         of a pool as decoding leaves it; else of one that was asked before, as sizing asks.
The published SDKs run in node: see perf/peers/sdk.py. Their amounts have to equal ours.
"""

from collections.abc import Callable, Sequence

from hft.venues import ChainClock, Pool, quote
from perf import made_up, pools
from perf.cases import Hiccups
from perf.engine import Case, Plan, Shape
from perf.peers import sdk
from perf.pools import Priced
from perf.sampled import Sampled, Timed

CROSSINGS = 8
INSIDE = "within one"
ACROSS = f"{CROSSINGS} crossings"


def _v4() -> Priced:
    return pools.made(pools.level_v4(10))


def _cpmm() -> Priced:
    return pools.made(made_up.raydium_cpmm())


def _clmm() -> Priced:
    return pools.made(pools.dense_clmm())


def _dlmm() -> Priced:
    return pools.made(pools.priced_dlmm())


def _damm() -> Priced:
    return pools.made(made_up.meteora_damm_v2())


def _damm_compounding() -> Priced:
    return pools.made(made_up.meteora_damm_v2(62, mode=2))


def _whirlpool() -> Priced:
    return pools.shipped_whirlpool()[0]


def timed(make: Callable[[], Priced], crossings: int, fresh: bool = False) -> Timed:
    """Quotes that cross so many levels, and as many that cross none; of a ``fresh`` pool each, if so said."""
    priced = make()

    def given(levels: int) -> list[tuple[object, ...]]:
        return [(priced.pool, priced.mint, n, priced.clock) for n in pools.amounts(priced, levels)]

    less = given(0) if crossings else []
    return Timed(quote, given(crossings), less, crossings, _as_decoded if fresh else None)


def _as_decoded(pool: Pool, mint: bytes, amount: int, clock: ChainClock) -> tuple[object, ...]:
    """The same question to a pool that nobody has asked yet."""
    return pool.copy(), mint, amount, clock


def _ours(plan: Plan, name: str, make: Callable[[], Priced], crossings: int = 0, fresh: bool = False) -> Case:
    group = ACROSS if crossings else INSIDE
    if fresh:
        group += ", first quote"
    return Sampled(f"{name} {group}", plan, timed, make, crossings, fresh, group=group, reference=True)


def _sdk(
    plan: Plan, package: str, venue: str, make: Callable[[], Priced], crossings: int = 0, group: str = ""
) -> Case:
    """The SDK on the same pool and amounts."""
    group = group or (ACROSS if crossings else INSIDE)
    label, why = f"{package} {group}", sdk.missing(package)
    if why:
        return Sampled(label, plan, timed, make, 0, group=group, missing=why)
    priced = make()
    amounts = pools.amounts(priced, crossings)
    outs = [quote(priced.pool, priced.mint, amount, priced.clock).amount_out for amount in amounts]
    return Sampled(label, plan, sdk.given(venue, priced, amounts), outs, group=group, actor=sdk.Sdk)


def _levels(plan: Plan, name: str, package: str, make: Callable[[], Priced]) -> list[Case]:
    """A pool of ticks or bins: within one and across several, asked again and as it comes from decoding."""
    found = [_ours(plan, name, make), _ours(plan, name, make, CROSSINGS)]
    found += [_ours(plan, name, make, crossings, fresh=True) for crossings in (0, CROSSINGS)]
    if plan.peers:
        found += [_sdk(plan, package, name, make, crossings) for crossings in (0, CROSSINGS)]
    return found


RAYDIUM = "@raydium-io/raydium-sdk-v2"


def whirlpool_cases(plan: Plan) -> Sequence[Case]:
    """The shipped SOL/USDC pool: real liquidity, five full tick arrays."""
    return _levels(plan, "whirlpool", "@orca-so/whirlpools-core", _whirlpool)


def raydium_v4_cases(plan: Plan) -> Sequence[Case]:
    """Constant product."""
    found = [_ours(plan, "raydium_v4", _v4)]
    return [*found, _sdk(plan, RAYDIUM, "raydium_v4", _v4)] if plan.peers else found


def raydium_cpmm_cases(plan: Plan) -> Sequence[Case]:
    """Constant product."""
    found = [_ours(plan, "raydium_cpmm", _cpmm)]
    return [*found, _sdk(plan, RAYDIUM, "raydium_cpmm", _cpmm)] if plan.peers else found


def raydium_clmm_cases(plan: Plan) -> Sequence[Case]:
    """A tick every ten, all of them initialised."""
    return _levels(plan, "raydium_clmm", RAYDIUM, _clmm)


def meteora_dlmm_cases(plan: Plan) -> Sequence[Case]:
    """Bins of 0.2 %, a dynamic fee that grows with every bin."""
    return _levels(plan, "meteora_dlmm", "@meteora-ag/dlmm", _dlmm)


def meteora_damm_v2_cases(plan: Plan) -> Sequence[Case]:
    """Constant liquidity over the whole range, or compounding; with a dynamic fee."""
    found: list[Case] = [_ours(plan, "meteora_damm_v2", _damm)]
    label, group = "meteora_damm_v2 compounding", "compounding"
    found.append(Sampled(label, plan, timed, _damm_compounding, 0, group=group, reference=True))
    if plan.peers:
        package, venue = "@meteora-ag/cp-amm-sdk", "meteora_damm_v2"
        found += [_sdk(plan, package, venue, _damm), _sdk(plan, package, venue, _damm_compounding, 0, group)]
    return found


_CASES: dict[str, Callable[[Plan], Sequence[Case]]] = {
    "whirlpool": whirlpool_cases,
    "raydium_v4": raydium_v4_cases,
    "raydium_cpmm": raydium_cpmm_cases,
    "raydium_clmm": raydium_clmm_cases,
    "meteora_dlmm": meteora_dlmm_cases,
    "meteora_damm_v2": meteora_damm_v2_cases,
}


def _shape(name: str, cases: Callable[[Plan], Sequence[Case]]) -> Shape:
    first = f"{name}: what one exact quote takes; {(cases.__doc__ or '').strip()}\n\n"
    return Shape(f"quote_{name}", first + (__doc__ or ""), lambda plan: [Hiccups(plan), *cases(plan)])


SHAPES = tuple(_shape(name, cases) for name, cases in _CASES.items())
