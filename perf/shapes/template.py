"""A plan in, signed bytes out, one process; 64 different plans of AMM v4 → Whirlpool, SOL/USDC, in turn.

    plan ──figures──> order ──patch──> message ──sign──> bytes

plan to signed bytes:     the order with the plan's figures, checked, patched, signed.
patch + sign, libsodium:  the prepared message patched in place and signed; the reference.
patch + sign, solders:    the same message, solders' Ed25519.
patch:                    no signature.
solders, full build:      both swaps' instructions, MessageV0.try_compile, VersionedTransaction, bytes.
solders, compile + sign:  the same with its instructions at hand.
"""

from collections.abc import Callable, Sequence
from functools import cache

from solders.hash import Hash
from solders.instruction import Instruction
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from hft.chain.keys import paper_keypair
from hft.chain.signers import LocalSigner
from hft.chain.template import Template, TemplateCache
from hft.chain.tips import TIP_ACCOUNTS
from hft.chain.transaction import TwoHop, two_hop_instructions
from hft.simnet.market import load_market
from hft.venues import Pool, Venue
from hft.venues.tokens import SOL_MINT, USDC_MINT
from perf.cases import Hiccups
from perf.engine import Case, Plan, Shape
from perf.sampled import Sampled, Timed

PLANS, CHECKED = 64, 8
BLOCKHASH = bytes(range(32))
PAYER = paper_keypair(1)


@cache
def _pool(venue: Venue) -> Pool:
    pools = load_market().pools.values()
    return next(
        one for one in pools if one.venue is venue and {one.mint_a, one.mint_b} == {SOL_MINT, USDC_MINT}
    )


def _route() -> TwoHop:
    first, second = _pool(Venue.RAYDIUM_V4), _pool(Venue.WHIRLPOOL)
    return TwoHop(first, second, SOL_MINT, 10**9, 1, 1, 300_000, 1_000, 10_000, TIP_ACCOUNTS[0])


def _figures(number: int) -> tuple[int, int, int, int]:
    return 10**9 + number, 10**8 + number, 10**9 + 2 * number, 10_000 + number


def _orders() -> list[TwoHop]:
    route = _route()
    return [_with_figures(route, *_figures(number)) for number in range(PLANS)]


def _with_figures(route: TwoHop, amount_in: int, amount_mid: int, minimum_out: int, tip: int) -> TwoHop:
    return route._replace(
        amount_in=amount_in, amount_mid=amount_mid, minimum_out=minimum_out, tip_lamports=tip
    )


def from_plan() -> Timed:
    """Figures of a plan to signed bytes."""
    route, cache = _route(), TemplateCache(LocalSigner.of(PAYER))

    def step(*figures: int) -> object:
        return cache.sign(_with_figures(route, *figures), BLOCKHASH)

    return _equal(step, [_figures(number) for number in range(PLANS)])


def libsodium() -> Timed:
    """The cache as the executor has it."""
    cache = TemplateCache(LocalSigner.of(PAYER))
    return _equal(lambda order: cache.sign(order, BLOCKHASH), [(order,) for order in _orders()])


def solders_signs() -> Timed:
    """The same message, signed by solders."""
    template = Template(_route(), PAYER.pubkey())

    def step(order: TwoHop) -> bytes:
        message = template.message(order, BLOCKHASH)
        return b"\x01" + bytes(PAYER.sign_message(message)) + message

    return _equal(step, [(order,) for order in _orders()])


def patch() -> Timed:
    """No signature."""
    template = Template(_route(), PAYER.pubkey())
    return Timed(lambda order: template.message(order, BLOCKHASH), [(order,) for order in _orders()])


def full_build() -> Timed:
    """Everything anew, by solders' own types."""
    user = PAYER.pubkey()
    return _equal(
        lambda order: _compiled(two_hop_instructions(order, user), user), [(order,) for order in _orders()]
    )


def compile_and_sign() -> Timed:
    """The instructions are there."""
    user = PAYER.pubkey()
    made = [(two_hop_instructions(order, user),) for order in _orders()]
    return _equal(lambda instructions: _compiled(instructions, user), made)


def _compiled(instructions: list[Instruction], user: Pubkey) -> bytes:
    message = MessageV0.try_compile(user, instructions, [], Hash(BLOCKHASH))
    return bytes(VersionedTransaction(message, [PAYER]))


def _equal(call: Callable[..., object], arguments: Sequence[tuple[object, ...]]) -> Timed:
    """ValueError unless this way gives the bytes of the full build; a few plans tell."""
    for given, order in zip(arguments[:CHECKED], _orders()[:CHECKED], strict=True):
        found = call(*given)
        data = found if isinstance(found, bytes) else getattr(found, "data", b"")
        if data != _compiled(two_hop_instructions(order, PAYER.pubkey()), PAYER.pubkey()):
            raise ValueError("a prepared transaction differs from a full build")
    return Timed(call, arguments)


def cases(plan: Plan) -> Sequence[Case]:
    """All ways to the same bytes."""
    return [
        Hiccups(plan),
        Sampled("plan to signed bytes", plan, from_plan, group="plan"),
        Sampled("patch + sign, libsodium", plan, libsodium, group="bytes", reference=True),
        Sampled("patch + sign, solders", plan, solders_signs, group="bytes"),
        Sampled("solders, full build", plan, full_build, group="bytes"),
        Sampled("solders, compile + sign", plan, compile_and_sign, group="bytes"),
        Sampled("patch", plan, patch, group="patch"),
    ]


SHAPE = Shape("template", __doc__, cases)
