"""A pool and an amount in, the exact quote out, one process; sold token A, 64 different amounts in turn.

    amount ──quote──> amount out, fee, crossings

within a tick (bin): the price stays where no initialised tick or bin edge is passed.
8 crossings:         passes eight; what each costs is the difference to none, by turns in the same round.
The published SDKs run in node: see perf/peers/sdk.py. Their amounts have to equal ours.
"""

from collections.abc import Callable, Sequence

from hft.venues import quote
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


def timed(make: Callable[[], Priced], crossings: int) -> Timed:
    """Quotes that cross so many levels, and as many that cross none."""
    priced = make()

    def given(levels: int) -> list[tuple[object, ...]]:
        return [(priced.pool, priced.mint, n, priced.clock) for n in pools.amounts(priced, levels)]

    return Timed(quote, given(crossings), given(0) if crossings else (), crossings)


def _ours(plan: Plan, name: str, make: Callable[[], Priced], crossings: int = 0) -> Case:
    group = ACROSS if crossings else INSIDE
    return Sampled(f"{name} {group}".strip(), plan, timed, make, crossings, group=group, reference=True)


def _sdk(plan: Plan, package: str, label: str, make: Callable[[], Priced], crossings: int) -> Case:
    """The SDK on the same pool and amounts."""
    group = ACROSS if crossings else INSIDE
    why = sdk.missing(package)
    if why:
        return Sampled(f"{package} {group}", plan, timed, make, 0, group=group, missing=why)
    priced = make()
    amounts = pools.amounts(priced, crossings)
    outs = [quote(priced.pool, priced.mint, amount, priced.clock).amount_out for amount in amounts]
    if label == "whirlpool":
        given = sdk.whirlpool(priced.figures, amounts, priced.clock.unix_timestamp)
    else:
        given = sdk.raydium_cpmm(priced.figures, amounts)
    return Sampled(f"{package} {group}", plan, given, outs, group=group, actor=sdk.Sdk)


def _unheld(plan: Plan, package: str, why: str) -> Case:
    return Sampled(package, plan, timed, _v4, 0, group=INSIDE, missing=why)


ON_LINE = "not driven here: its quote wants the objects that its own RPC loaders build"


def whirlpool_cases(plan: Plan) -> Sequence[Case]:
    """The shipped SOL/USDC pool: real liquidity, five full tick arrays."""
    found = [_ours(plan, "whirlpool", _whirlpool), _ours(plan, "whirlpool", _whirlpool, CROSSINGS)]
    if plan.peers:
        package = "@orca-so/whirlpools-core"
        found += [_sdk(plan, package, "whirlpool", _whirlpool, crossings) for crossings in (0, CROSSINGS)]
    return found


def raydium_v4_cases(plan: Plan) -> Sequence[Case]:
    """Constant product."""
    found = [_ours(plan, "raydium_v4", _v4)]
    return [*found, _unheld(plan, "@raydium-io/raydium-sdk-v2 liquidity", ON_LINE)] if plan.peers else found


def raydium_cpmm_cases(plan: Plan) -> Sequence[Case]:
    """Constant product."""
    found = [_ours(plan, "raydium_cpmm", _cpmm)]
    if plan.peers:
        found.append(_sdk(plan, "@raydium-io/raydium-sdk-v2", "raydium_cpmm", _cpmm, 0))
    return found


def raydium_clmm_cases(plan: Plan) -> Sequence[Case]:
    """A tick every ten, all of them initialised."""
    found = [_ours(plan, "raydium_clmm", _clmm), _ours(plan, "raydium_clmm", _clmm, CROSSINGS)]
    return [*found, _unheld(plan, "@raydium-io/raydium-sdk-v2 clmm", ON_LINE)] if plan.peers else found


def meteora_dlmm_cases(plan: Plan) -> Sequence[Case]:
    """Bins of 0.2 %, a dynamic fee that grows with every bin."""
    found = [_ours(plan, "meteora_dlmm", _dlmm), _ours(plan, "meteora_dlmm", _dlmm, CROSSINGS)]
    return [*found, _unheld(plan, "@meteora-ag/dlmm", ON_LINE)] if plan.peers else found


def meteora_damm_v2_cases(plan: Plan) -> Sequence[Case]:
    """Constant liquidity over the whole range, or compounding; with a dynamic fee."""
    found: list[Case] = [_ours(plan, "meteora_damm_v2", _damm)]
    label, group = "meteora_damm_v2 compounding", "compounding"
    found.append(Sampled(label, plan, timed, _damm_compounding, 0, group=group, reference=True))
    return [*found, _unheld(plan, "@meteora-ag/cp-amm-sdk", ON_LINE)] if plan.peers else found


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
